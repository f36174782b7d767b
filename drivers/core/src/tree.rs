//! The guest's file systems mounted into one tree.

use crate::hives::GuestHive;
use crate::memo::Memo;
use crate::remember::Remembering;
use crate::{
    Change, CommandOutcome, CommandRun, DirEntry, FileKind, FileMeta, GuestCommand, GuestFile, GuestFs,
    GuestRunner, Ownership,
};
use format_core::{Error, Result};
use std::any::Any;
use std::rc::Rc;
use std::time::Instant;

/// As many links as the Linux kernel follows in one path.
const MAX_LINKS: usize = 40;

/// The guest's file systems, mounted as the guest mounts them. Symbolic links are resolved inside the tree and can
/// not leave it.
///
/// What was read is remembered until something is changed through the tree: nobody else may change its file systems.
#[derive(Default)]
pub struct GuestTree {
    /// Sorted by mount point, longest first, so that the first prefix is the right one.
    mounts: Vec<Mount>,
    /// Those of a Windows guest, for `tree_registry`.
    pub(crate) hives: Vec<GuestHive>,
    memo: Memo,
    runner: Option<Box<dyn GuestRunner>>,
    commands: Vec<CommandRun>,
}

struct Mount {
    point: String,
    fs: Remembering,
}

/// Where a path leads after all links: the mount's place, and the path within its file system.
struct Place {
    mount: usize,
    inner: String,
    /// The path in the tree without links.
    full: String,
}

impl GuestTree {
    /// A tree with nothing mounted.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Mounts `fs` at `point` (`/`, `/boot`, `/boot/efi`).
    pub fn mount(&mut self, point: &str, fs: Box<dyn GuestFs>) {
        self.memo.forget();
        let point = point.trim_end_matches('/').to_owned();
        self.mounts.push(Mount { point, fs: Remembering::new(fs) });
        self.mounts.sort_by_key(|mount| std::cmp::Reverse(mount.point.len()));
    }

    /// From now on programs of the guest can be run over this tree.
    pub fn set_runner(&mut self, runner: Box<dyn GuestRunner>) {
        self.runner = Some(runner);
    }

    /// Whether programs of the guest can be run.
    #[must_use]
    pub fn can_run(&self) -> bool {
        self.runner.is_some()
    }

    /// Runs a program of the guest, which may change any file of it.
    ///
    /// # Errors
    /// `NeedsPerson` where none can be run; as [`GuestRunner::run`].
    pub fn run(&mut self, command: &GuestCommand) -> Result<CommandOutcome> {
        self.forget();
        let runner = self.runner.as_ref().ok_or_else(|| {
            Error::needs_person(format!("{} of the guest has to be run", command.program))
                .hint("use --editor microvm")
        })?;
        let start = Instant::now();
        let outcome = runner.run(command)?;
        let seconds = start.elapsed().as_secs_f64();
        self.commands.push(CommandRun { command: command.line(), seconds, outcome: outcome.clone() });
        Ok(outcome)
    }

    /// Takes what was run since the last call, in order.
    pub fn take_commands(&mut self) -> Vec<CommandRun> {
        std::mem::take(&mut self.commands)
    }

    /// What `make` makes of the tree's files, known by its type and `name`: made once, as a rule, until the tree is
    /// changed. `bytes` says about how many bytes it takes.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn remember<T: Any, E>(
        &self,
        name: &str,
        bytes: impl FnOnce(&T) -> usize,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<Rc<T>, E> {
        self.memo.get(name, bytes, make)
    }

    /// Forgets what was read and made: what is asked next is asked of the file systems.
    pub(crate) fn forget(&mut self) {
        self.memo.forget();
        self.mounts.iter_mut().for_each(|mount| mount.fs.forget());
    }

    /// The mount point that holds `path`, after links; `/` for the root file system.
    ///
    /// # Errors
    /// As [`GuestTree::metadata`].
    pub fn mount_point_of(&self, path: &str) -> Result<String> {
        let place = self.place(path, true)?;
        let point = self.mounts.get(place.mount).map(|mount| mount.point.as_str()).unwrap_or_default();
        Ok(if point.is_empty() { "/".into() } else { point.into() })
    }

    /// `path` without links in its folders; the last component is resolved too when `follow` is set.
    ///
    /// # Errors
    /// `Usage` for a relative path, too many links, or when nothing is mounted at the root.
    pub fn canonical(&self, path: &str, follow: bool) -> Result<String> {
        Ok(self.place(path, follow)?.full)
    }

    /// Facts of what `path` leads to after all links, `None` when there is nothing.
    ///
    /// # Errors
    /// What the file system reports; `Usage` for a loop of links.
    pub fn metadata(&self, path: &str) -> Result<Option<FileMeta>> {
        let place = self.place(path, true)?;
        self.fs(place.mount)?.metadata(&place.inner)
    }

    /// Facts of `path` itself, not of what it links to.
    ///
    /// # Errors
    /// As [`GuestTree::metadata`].
    pub fn link_metadata(&self, path: &str) -> Result<Option<FileMeta>> {
        let place = self.place(path, false)?;
        self.fs(place.mount)?.metadata(&place.inner)
    }

    /// Where the link `path` points.
    ///
    /// # Errors
    /// As [`GuestFs::read_link`].
    pub fn read_link(&self, path: &str) -> Result<String> {
        let place = self.place(path, false)?;
        self.fs(place.mount)?.read_link(&place.inner)
    }

    /// The names in the folder `path`, sorted; empty when there is no such folder.
    ///
    /// # Errors
    /// As [`GuestTree::metadata`].
    pub fn read_dir(&self, path: &str) -> Result<Vec<DirEntry>> {
        let place = self.place(path, true)?;
        let fs = self.fs(place.mount)?;
        if fs.metadata(&place.inner)?.is_none_or(|meta| meta.kind != FileKind::Folder) {
            return Ok(Vec::new());
        }
        let mut entries = fs.read_dir(&place.inner)?;
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// The content of the file that `path` leads to; `None` when there is no regular file.
    ///
    /// # Errors
    /// As [`GuestFs::read_file`].
    pub fn read_file(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let place = self.place(path, true)?;
        let fs = self.fs(place.mount)?;
        match fs.metadata(&place.inner)? {
            Some(meta) if meta.kind == FileKind::File => fs.read_file(&place.inner, limit).map(Some),
            _ => Ok(None),
        }
    }

    /// Opens the regular file that `path` leads to, to be read piece by piece.
    ///
    /// # Errors
    /// As [`GuestFs::open_file`].
    pub fn open_file(&self, path: &str) -> Result<Box<dyn GuestFile + '_>> {
        let place = self.place(path, true)?;
        self.fs(place.mount)?.open_file(&place.inner)
    }

    /// Whether `change` of `path` itself is one that its file system can be given.
    ///
    /// # Errors
    /// As [`GuestFs::allows`].
    pub fn allows(&self, path: &str, change: Change) -> Result<()> {
        let place = self.place(path, false)?;
        self.fs(place.mount)?.allows(&place.inner, change)
    }

    /// Replaces the content of the file that `path` leads to.
    ///
    /// # Errors
    /// As [`GuestFs::replace_file`].
    pub fn replace_file(&mut self, path: &str, content: &[u8]) -> Result<()> {
        let place = self.place(path, true)?;
        self.fs_mut(&place)?.replace_file(&place.inner, content)
    }

    /// Extends the file that `path` leads to.
    ///
    /// # Errors
    /// As [`GuestFs::append_file`].
    pub fn append_file(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        let place = self.place(path, true)?;
        self.fs_mut(&place)?.append_file(&place.inner, bytes)
    }

    /// Creates a file.
    ///
    /// # Errors
    /// As [`GuestFs::create_file`].
    pub fn create_file(&mut self, path: &str, content: &[u8], ownership: Ownership) -> Result<()> {
        let place = self.place(path, false)?;
        self.fs_mut(&place)?.create_file(&place.inner, content, ownership)
    }

    /// Creates a folder.
    ///
    /// # Errors
    /// As [`GuestFs::create_folder`].
    pub fn create_folder(&mut self, path: &str, ownership: Ownership) -> Result<()> {
        let place = self.place(path, false)?;
        self.fs_mut(&place)?.create_folder(&place.inner, ownership)
    }

    /// Creates a symbolic link.
    ///
    /// # Errors
    /// As [`GuestFs::create_link`].
    pub fn create_link(&mut self, path: &str, target: &str) -> Result<()> {
        let place = self.place(path, false)?;
        self.fs_mut(&place)?.create_link(&place.inner, target)
    }

    /// Removes a file, link or empty folder.
    ///
    /// # Errors
    /// As [`GuestFs::remove`].
    pub fn remove(&mut self, path: &str) -> Result<()> {
        let place = self.place(path, false)?;
        self.fs_mut(&place)?.remove(&place.inner)
    }

    /// Writes everything that is still in memory to the volumes: hives of the registry, and what the file systems hold.
    ///
    /// # Errors
    /// As [`GuestFs::finish`] and [`GuestFs::replace_file`].
    pub fn finish(&mut self) -> Result<()> {
        self.write_hives()?;
        self.mounts.iter_mut().try_for_each(|mount| mount.fs.finish())
    }

    fn fs(&self, mount: usize) -> Result<&dyn GuestFs> {
        self.mounts.get(mount).map(|mount| &mount.fs as &dyn GuestFs).ok_or_else(nothing_mounted)
    }

    fn fs_mut(&mut self, place: &Place) -> Result<&mut Remembering> {
        self.memo.forget();
        self.mounts.get_mut(place.mount).map(|mount| &mut mount.fs).ok_or_else(nothing_mounted)
    }

    /// The mount that holds the link-free path `full`, and the path in there.
    fn locate<'p>(&self, full: &'p str) -> Result<(usize, &'p str)> {
        let inside = |point: &str| {
            let rest = full.strip_prefix(point)?;
            (rest.is_empty() || rest.starts_with('/')).then_some(if rest.is_empty() { "/" } else { rest })
        };
        let mut mounts = self.mounts.iter().enumerate();
        mounts.find_map(|(mount, m)| Some((mount, inside(&m.point)?))).ok_or_else(nothing_mounted)
    }

    fn place(&self, path: &str, follow: bool) -> Result<Place> {
        if !path.starts_with('/') {
            return Err(Error::usage(format!("{path:?} is not an absolute path")));
        }
        let mut todo: Vec<String> = components(path).rev().collect();
        let mut full = String::with_capacity(path.len());
        let mut links = 0;
        while let Some(name) = todo.pop() {
            let folder = full.len();
            if name == ".." {
                full.truncate(full.rfind('/').unwrap_or(0));
                continue;
            }
            full.push('/');
            full.push_str(&name);
            if todo.is_empty() && !follow {
                break;
            }
            let (mount, inner) = self.locate(&full)?;
            let fs = self.fs(mount)?;
            if fs.metadata(inner)?.is_none_or(|meta| meta.kind != FileKind::Link) {
                continue;
            }
            links += 1;
            if links > MAX_LINKS {
                return Err(Error::usage(format!("too many symbolic links in {path:?}")));
            }
            let target = fs.read_link(inner)?;
            full.truncate(if target.starts_with('/') { 0 } else { folder });
            todo.extend(components(&target).rev());
        }
        if full.is_empty() {
            full.push('/');
        }
        let (mount, inner) = self.locate(&full)?;
        Ok(Place { mount, inner: inner.to_owned(), full })
    }
}

fn components(path: &str) -> impl DoubleEndedIterator<Item = String> {
    path.split('/').filter(|name| !name.is_empty() && *name != ".").map(str::to_owned)
}

fn nothing_mounted() -> Error {
    Error::usage("no root file system is mounted")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemFs;

    fn tree() -> GuestTree {
        let root = MemFs::new()
            .with_file("/etc/fstab", "x")
            .with_link("/lib", "usr/lib")
            .with_file("/usr/lib/os-release", "ID=debian")
            .with_link("/etc/os-release", "../usr/lib/os-release")
            .with_link("/etc/up", "../../../../etc/fstab")
            .with_link("/loop", "loop")
            .with_folder("/boot");
        let mut tree = GuestTree::new();
        tree.mount("/", Box::new(root));
        tree.mount(
            "/boot",
            Box::new(MemFs::new().with_file("/grub/grub.cfg", "g").with_link("/root", "/etc")),
        );
        tree
    }

    #[test]
    fn links_are_followed_inside_the_tree_only() {
        let tree = tree();
        assert_eq!(tree.read_file("/etc/os-release", 99).unwrap().unwrap(), b"ID=debian");
        assert_eq!(tree.read_file("/lib/os-release", 99).unwrap().unwrap(), b"ID=debian");
        assert_eq!(tree.read_file("/etc/up", 99).unwrap().unwrap(), b"x");
        assert_eq!(tree.read_file("/boot/root/fstab", 99).unwrap().unwrap(), b"x");
        assert!(tree.read_file("/loop", 99).is_err());
        assert!(tree.read_file("etc/fstab", 99).is_err());
        assert_eq!(tree.read_file("/etc/none/x", 99).unwrap(), None);
    }

    #[test]
    fn paths_land_in_the_file_system_mounted_there() {
        let mut tree = tree();
        assert_eq!(tree.mount_point_of("/boot/grub/grub.cfg").unwrap(), "/boot");
        assert_eq!(tree.mount_point_of("/boot").unwrap(), "/boot");
        assert_eq!(tree.mount_point_of("/etc").unwrap(), "/");
        assert_eq!(tree.canonical("/lib/x", true).unwrap(), "/usr/lib/x");
        tree.create_file("/boot/new", b"n", Ownership::ROOT_FILE).unwrap();
        assert_eq!(tree.read_file("/boot/new", 9).unwrap().unwrap(), b"n");
        assert!(GuestTree::new().metadata("/").is_err());
    }
}
