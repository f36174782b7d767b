//! What a run may do, as it follows from its arguments.

use crate::calls::Calls;
use crate::state::{Sandbox, State};
use crate::{files, filter};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Folders of the system in which programs, libraries and their data lie. Most hosts do not have all of them.
const SYSTEM: [&str; 12] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/opt",
    "/nix/store",
    "/gnu/store",
    "/run/current-system",
    "/snap",
];
/// What is read by every run: about itself and the machine, the C library's data, the time zone. Processes of others give away nothing
/// there: Landlock refuses to look into what it does not confine itself.
const ALWAYS_READ: [&str; 9] =
    ["/proc", "/sys", "/usr", "/lib", "/lib64", "/etc/localtime", "/dev/urandom", "/dev/random", "/dev/zero"];
/// What programs read before they do anything: settings of the loader, of libraries for cryptography, of names, of QEMU. No secrets.
const SETTINGS: [&str; 11] = [
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    "/etc/ld-musl-x86_64.path",
    "/etc/ld-musl-aarch64.path",
    "/etc/ssl/openssl.cnf",
    "/etc/pki/tls/openssl.cnf",
    "/etc/crypto-policies",
    "/etc/gnutls",
    "/etc/gcrypt",
    "/etc/nsswitch.conf",
    "/etc/qemu",
];

/// What a client reads to find a server and to know it.
const NETWORK: [&str; 9] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/services",
    "/etc/gai.conf",
    "/etc/ssl/certs",
    "/etc/pki",
    "/etc/ca-certificates",
    "/run/systemd/resolve",
];

/// What a path may be used for. Later ones hold more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Use {
    Read,
    /// Read, and programs in it started.
    Run,
    /// A device: read, and controlled by ioctls.
    ReadDevice,
    /// A device: also written.
    WriteDevice,
    /// Read, written, made, renamed, removed.
    Write,
}

/// Whom a run speaks with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peers {
    /// Clients at a Unix socket.
    AtSocket,
    /// Clients at this TCP port; 0 is any.
    AtPort(u16),
    /// Servers that the operator named by an address, and those that know where their names are.
    Elsewhere,
}

/// What a run may do.
#[derive(Clone, Debug)]
pub struct Rules {
    pub(crate) paths: BTreeMap<PathBuf, Vec<Use>>,
    pub(crate) calls: Calls,
    pub(crate) peers: Option<Peers>,
    pub(crate) all_files: Option<&'static str>,
}

impl Default for Rules {
    fn default() -> Self {
        Self::new()
    }
}

impl Rules {
    /// What every run needs, and nothing of the operator's.
    #[must_use]
    pub fn new() -> Self {
        let mut rules = Self { paths: BTreeMap::new(), calls: Calls::Needed, peers: None, all_files: None };
        for path in ALWAYS_READ {
            rules.allow(Path::new(path), Use::Read);
        }
        rules.allow(Path::new("/dev/null"), Use::WriteDevice);
        if let Ok(own) = std::env::current_exe() {
            rules.allow(&own, Use::Read);
        }
        rules
    }

    /// Lets this file, or this folder and all below it, be read.
    pub fn read(&mut self, path: &Path) -> &mut Self {
        match kind_of(path) {
            Kind::Device => self.allow(path, Use::ReadDevice),
            _ => self.allow(path, Use::Read),
        }
        self
    }

    /// Lets an image be read: a folder with all below it; a file with what lies beside it, and beside what a link leads to; a device alone.
    pub fn read_image(&mut self, path: &Path) -> &mut Self {
        match kind_of(path) {
            Kind::Device => self.allow(path, Use::ReadDevice),
            Kind::Folder => self.allow(path, Use::Read),
            Kind::Other => {
                self.allow(path, Use::Read);
                folders_of(path).iter().for_each(|folder| self.allow(folder, Use::Read));
            }
            // Nothing can be read; the run says so.
            Kind::Missing => {}
        }
        self
    }

    /// Lets a file be made, and whatever belongs beside it; a device is written alone.
    pub fn write_file(&mut self, path: &Path) -> &mut Self {
        match kind_of(path) {
            Kind::Device => self.allow(path, Use::WriteDevice),
            _ => folders_of(path).iter().for_each(|folder| self.allow(folder, Use::Write)),
        }
        self
    }

    /// Lets everything in a folder for temporary files be written, if it is there: nobody makes it.
    pub fn write_temporary(&mut self, path: &Path) -> &mut Self {
        if path.is_dir() {
            self.allow(path, Use::Write);
        }
        self
    }

    /// Lets everything in a folder be written; where it is still to be made, everything in the nearest folder above it that is there.
    pub fn write_folder(&mut self, path: &Path) -> &mut Self {
        if let Some(there) = path.ancestors().map(here).find(|folder| folder.is_dir()) {
            self.allow(there, Use::Write);
        }
        self
    }

    /// Lets programs of the system, and those in the search path, be started: [`Calls::Harmless`]. `names` are those that the run starts;
    /// where links lead to them is allowed, too.
    pub fn run_programs(&mut self, names: &[&str]) -> &mut Self {
        self.calls = Calls::Harmless;
        SYSTEM.iter().for_each(|folder| self.allow(Path::new(folder), Use::Run));
        SETTINGS.iter().for_each(|file| self.allow(Path::new(file), Use::Read));
        let search = std::env::var_os("PATH").unwrap_or_default();
        for folder in std::env::split_paths(&search).filter(|folder| folder.is_absolute()) {
            for program in names.iter().filter_map(|name| folder.join(name).canonicalize().ok()) {
                program.parent().into_iter().for_each(|folder| self.allow(folder, Use::Run));
            }
            self.allow(&folder, Use::Run);
        }
        self
    }

    /// Lets a device be used by ioctls and written, as `/dev/kvm` is.
    pub fn use_device(&mut self, path: &Path) -> &mut Self {
        self.allow(path, Use::WriteDevice);
        self
    }

    /// Lets clients come in.
    pub fn listen(&mut self, at: Peers) -> &mut Self {
        self.peers = Some(at);
        self
    }

    /// Lets servers be reached, and what a resolver of names and a client of TLS read.
    pub fn reach(&mut self) -> &mut Self {
        self.peers = Some(Peers::Elsewhere);
        SETTINGS.iter().chain(&NETWORK).for_each(|file| self.allow(Path::new(file), Use::Read));
        self
    }

    /// Leaves files alone, because nobody can tell yet which are needed: `why` is for people.
    pub fn with_all_files(&mut self, why: &'static str) -> &mut Self {
        self.all_files = Some(why);
        self
    }

    /// Confines the calling thread, and all threads and processes that it starts from now on, for good.
    #[must_use]
    pub fn enforce(&self) -> Sandbox {
        let mut reasons: Vec<String> = Vec::new();
        let landlock = match self.all_files {
            Some(why) => Err(why.to_owned()),
            None => files::confine(self),
        };
        let landlock = landlock.map_err(|why| reasons.push(why)).ok();
        let filtered = filter::confine(self.calls, self.peers).map_err(|why| reasons.push(why)).is_ok();
        if landlock.is_some() {
            reasons.extend(self.too_wide());
        }
        let state = match (landlock, filtered) {
            (None, false) => State::Unavailable,
            _ if reasons.is_empty() => State::Enforced,
            _ => State::Partly,
        };
        let reason = (!reasons.is_empty()).then(|| reasons.join("; "));
        Sandbox { state, landlock, system_calls: filtered.then_some(self.calls), reason, switched_off: false }
    }

    /// A file in the root folder makes the whole host one that is allowed.
    fn too_wide(&self) -> Option<String> {
        use std::os::unix::fs::MetadataExt;
        let id = |path: &Path| std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
        let root = id(Path::new("/"))?;
        let uses = self.paths.iter().filter(|(path, _)| id(path) == Some(root));
        match uses.flat_map(|(_, uses)| uses).max()? {
            Use::Write => Some("the target lies in /, so every file may be written".into()),
            _ => Some("a source lies in /, so every file may be read".into()),
        }
    }

    fn allow(&mut self, path: &Path, what: Use) {
        let uses = self.paths.entry(here(path).to_owned()).or_default();
        if !uses.contains(&what) {
            uses.push(what);
        }
    }
}

enum Kind {
    Missing,
    Device,
    Folder,
    Other,
}

fn kind_of(path: &Path) -> Kind {
    use std::os::unix::fs::FileTypeExt;
    let Ok(found) = std::fs::metadata(here(path)).map(|found| found.file_type()) else {
        return Kind::Missing;
    };
    if found.is_block_device() || found.is_char_device() {
        Kind::Device
    } else if found.is_dir() {
        Kind::Folder
    } else {
        Kind::Other
    }
}

/// The folder that a path lies in, and the one of the file that it leads to, where it is a link. Beside `/dev/stdin` lie only devices.
fn folders_of(path: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = path.parent().map(|folder| here(folder).to_owned()).into_iter().collect();
    if path.is_symlink() {
        let behind = path.canonicalize().ok();
        folders.extend(behind.as_deref().and_then(Path::parent).map(Path::to_owned));
    }
    folders.retain(|folder| folder != Path::new("/dev"));
    folders
}

/// The folder before a bare name is the current one.
fn here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rules: &Rules, path: &Path) -> Vec<Use> {
        rules.paths.get(path).cloned().unwrap_or_default()
    }

    #[test]
    fn an_image_brings_its_folder_and_that_of_what_it_links_to() {
        let folder = tempfile::tempdir().unwrap();
        let (links, disks) = (folder.path().join("links"), folder.path().join("disks"));
        for folder in [&links, &disks] {
            std::fs::create_dir(folder).unwrap();
        }
        std::fs::write(disks.join("a.qcow2"), "").unwrap();
        std::os::unix::fs::symlink("../disks/a.qcow2", links.join("b.qcow2")).unwrap();
        let mut rules = Rules::new();
        rules.read_image(&links.join("b.qcow2"));
        let disks = disks.canonicalize().unwrap();
        assert_eq!((of(&rules, &links), of(&rules, &disks)), (vec![Use::Read], vec![Use::Read]));
        assert!(of(&rules, folder.path()).is_empty());
    }

    #[test]
    fn a_target_brings_the_nearest_folder_that_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let mut rules = Rules::new();
        rules.write_folder(&folder.path().join("not/yet")).write_file(Path::new("bare.raw"));
        assert_eq!(of(&rules, folder.path()), [Use::Write]);
        assert_eq!(of(&rules, Path::new(".")), [Use::Write]);
        rules.write_temporary(Path::new("/no/such/folder"));
        assert!(of(&rules, Path::new("/")).is_empty());
        rules.read_image(&folder.path().join("missing.raw"));
        assert_eq!(of(&rules, folder.path()), [Use::Write]);
    }

    #[test]
    fn a_device_is_allowed_without_its_folder() {
        let mut rules = Rules::new();
        rules.read_image(Path::new("/dev/full")).write_file(Path::new("/dev/full"));
        assert_eq!(of(&rules, Path::new("/dev/full")), [Use::ReadDevice, Use::WriteDevice]);
        assert!(of(&rules, Path::new("/dev")).is_empty());
    }

    #[test]
    fn the_root_folder_is_more_than_was_meant() {
        assert_eq!(Rules::new().too_wide(), None);
        let mut rules = Rules::new();
        rules.read_image(Path::new("/"));
        assert!(rules.too_wide().is_some_and(|why| why.ends_with("may be read")));
        rules.write_file(Path::new("/disk.raw"));
        assert!(rules.too_wide().is_some_and(|why| why.ends_with("may be written")));
    }
}
