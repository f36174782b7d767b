//! What addresses stand for.

use crate::args::{ChainArgs, SshArgs};
use crate::claims;
use crate::commands::agent::whole;
use crate::output::to_stderr;
use convert_capture::{DdDisk, FarProgram, Side, Ssh, SshOptions, SshPlace, open_ssh_disk};
use convert_cloud::{AzureBlob, CloudAddress, CloudOptions, EbsSnapshot, Ec2, Writing};
use convert_engine::Control;
use convert_nbd::{ClientLimits, NbdAddress, NbdDisk, NbdTarget};
use format_core::{
    DiskStorage, Error, ErrorKind, PlainRemote, RangeSet, RemoteSource, Remotes, Result, Storage,
    TargetStorage, Warning, masked, read_small_file,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What stands before the name of a file with an address in it, which can hold a secret.
const IN_FILE: char = '@';
/// The longest address, in bytes.
const MOST: u64 = 8 << 10;
/// Parts of addresses that are secrets: signatures of Azure, AWS and Google.
const SECRET: [&str; 4] = ["sig=", "x-amz-signature=", "x-goog-signature=", "x-amz-security-token="];

/// Opens the addresses of this program with what the operator says about connections.
#[derive(Clone, Debug)]
pub(crate) struct Addresses {
    ssh: SshOptions,
    skip_free: bool,
    cloud: CloudOptions,
}

impl Addresses {
    pub(crate) fn new(args: &ChainArgs) -> Self {
        let cloud = CloudOptions {
            credentials: args.cloud.credentials.clone(),
            ca_file: args.cloud.ca_file.clone(),
            insecure: args.cloud.insecure_http,
            ..CloudOptions::default()
        };
        Self { ssh: args.ssh.options(), skip_free: args.ssh.skip_free, cloud }
    }
}

impl SshArgs {
    pub(crate) fn options(&self) -> SshOptions {
        SshOptions {
            program: None,
            config: self.ssh_config.as_ref().map(|path| path.as_os_str().to_owned()),
            options: self.ssh_option.clone(),
            sudo: self.sudo,
            compress: self.compress,
        }
    }
}

/// Whether it is an address, or names a file with one, and is no path.
pub(crate) fn is_address(path: &Path) -> bool {
    path.to_str().is_some_and(|text| {
        NbdAddress::is_one(text)
            || SshPlace::is_one(text)
            || CloudAddress::parse(text).is_some()
            || file_with_address(text).is_some()
    })
}

/// Whether a disk is written there as a fixed VHD, as Azure takes it.
pub(crate) fn takes_fixed_vhd(path: &Path) -> bool {
    let place = path.to_str().and_then(|text| resolved(text).ok());
    place.and_then(|text| CloudAddress::parse(&text)?.ok()).is_some_and(|place| place.takes_fixed_vhd())
}

/// Whether it is reached by a program of the system that has keys of its own.
pub(crate) fn needs_ssh(path: &Path) -> bool {
    path.to_str().is_some_and(SshPlace::is_one)
}

/// The file behind `@`.
pub(crate) fn file_with_address(text: &str) -> Option<&Path> {
    text.strip_prefix(IN_FILE).filter(|path| path.starts_with('/') || path.starts_with("./")).map(Path::new)
}

/// The address as it is to be opened. One with a secret has to come from a file: the arguments of a process are for all to see.
fn resolved(text: &str) -> Result<String> {
    if let Some(file) = file_with_address(text) {
        let bytes = read_small_file(file, MOST)?;
        let address = String::from_utf8(bytes)
            .map_err(|_| Error::usage(format!("{} holds no address", file.display())))?;
        return Ok(address.trim().to_owned());
    }
    let lower = text.to_ascii_lowercase();
    if SECRET.iter().any(|part| lower.contains(&format!("?{part}")) || lower.contains(&format!("&{part}"))) {
        return Err(Error::usage(
            "the address holds a signature, which others could read in the list of processes",
        )
        .hint("write the address into a file that only you can read, and name it: @/path/of/file"));
    }
    Ok(text.to_owned())
}

impl Remotes for Addresses {
    fn knows(&self, address: &str) -> bool {
        is_address(Path::new(address))
    }

    fn open(&self, address: &str) -> Result<RemoteSource> {
        let address = resolved(address)?;
        if SshPlace::is_one(&address) {
            return self.open_ssh(&address);
        }
        if let Some(place) = CloudAddress::parse(&address) {
            let place = place?;
            let opened = convert_cloud::open(&place, &self.cloud)?;
            let identity = opened.identity.map(|identity| format!("{} {}", identity.kind, identity.value));
            return Ok(RemoteSource {
                storage: opened.storage.into(),
                name: (!place.is_raw_disk()).then(|| place.file_name()),
                remote: Arc::new(PlainRemote { identity }),
                warnings: Vec::new(),
            });
        }
        let disk = NbdDisk::connect(&NbdAddress::parse(&address)?, &ClientLimits::default())?;
        let remote = Arc::new(PlainRemote::default());
        Ok(RemoteSource { storage: Arc::new(disk), name: None, remote, warnings: Vec::new() })
    }
}

impl Addresses {
    /// What a disk of `size` bytes is written to at `address`; with `restart`, nothing of an earlier run is gone on with.
    ///
    /// # Errors
    /// As [`Remotes::open`]; `Unsupported` for addresses that are only read; `Temporary` where another run writes there.
    pub(crate) fn create(
        &self,
        address: &str,
        size: u64,
        restart: bool,
        control: Control<'_>,
    ) -> Result<Box<dyn TargetStorage>> {
        let address = resolved(address)?;
        if SshPlace::is_one(&address) {
            return Err(Error::unsupported("disks of other machines are only read").hint(
                "serve the disk there with 'nbdkit' or 'qemu-nbd', and write to nbd+unix: through 'ssh -L'",
            ));
        }
        if let Some(place) = CloudAddress::parse(&address) {
            let place = place?;
            let claim = claims::take(&place, &self.cloud, control)?;
            let target = convert_cloud::create(&place, &self.cloud, Writing { size, claim, restart })?;
            if let Some(note) = &target.note {
                to_stderr(&format!("note: {}", crate::output::safe(note)));
            }
            return Ok(target.storage);
        }
        let target = NbdTarget::connect(&NbdAddress::parse(&address)?, &ClientLimits::default())?;
        if target.size() < size {
            let (found, text) = (target.size(), format!("the disk has {size} bytes"));
            return Err(Error::new(ErrorKind::Destination, format!("{text}, the export only {found}"))
                .hint("make the export larger"));
        }
        Ok(Box::new(target))
    }

    /// What changed at `address` since an older snapshot, or as a bitmap of the export says.
    ///
    /// # Errors
    /// `Unsupported` where nothing keeps track; what the other side says.
    pub(crate) fn changes(&self, address: &str, wish: &Tracking<'_>) -> Result<RangeSet> {
        let address = resolved(address)?;
        match wish {
            Tracking::Bitmap(name) => {
                NbdDisk::connect(&NbdAddress::parse(&address)?, &ClientLimits::default())?.bitmap(name)
            }
            Tracking::Since(older) => {
                let (place, query) = address.split_once('?').unwrap_or((&address, ""));
                if let Some(id) = place.strip_prefix("ebs://") {
                    let region = query.split('&').find_map(|part| part.strip_prefix("region="));
                    let older = older.strip_prefix("ebs://").unwrap_or(older);
                    return EbsSnapshot::open(id, region, &self.cloud)?.changed_since(older);
                }
                if place.starts_with("https://") {
                    return AzureBlob::open_signed(&address, &self.cloud)?.changed_since(&resolved(older)?);
                }
                Err(Error::unsupported("--since is for snapshots of EBS and disks of Azure")
                    .hint("leave it away: both sides are read then, and only what differs is rewritten"))
            }
        }
    }

    fn open_ssh(&self, address: &str) -> Result<RemoteSource> {
        let (place, disk) = SshPlace::parse(address)?;
        let Some(disk) = disk else {
            return Err(Error::usage(format!("{address} names a machine and no disk")).hint(
                "add the disk, as in ssh://HOST/dev/sda, or use 'rehome capture' for all of its disks",
            ));
        };
        let ssh = Ssh::new(place, self.ssh.clone());
        let program = match FarProgram::find(&ssh, &own_program()?) {
            Err(error) if error.kind() == ErrorKind::Unsupported && !self.skip_free => {
                return by_dd(&ssh, &disk, &error);
            }
            found => Arc::new(found?),
        };
        let (bytes, side) = open_ssh_disk(&program, &disk, self.skip_free, &ClientLimits::default())?;
        let storage = without(bytes, &side.free()?)?;
        let warnings = side.hello().notes.iter().map(|note| Warning::new("source-note", note)).collect();
        Ok(RemoteSource { storage, name: None, remote: side, warnings })
    }

    /// The descriptions of machines with those that stand at addresses (`ec2://i-…`) fetched into files of `folder`.
    ///
    /// # Errors
    /// What the cloud says.
    pub(crate) fn machines(&self, named: &[PathBuf], folder: &Path) -> Result<Vec<PathBuf>> {
        let fetched = |(number, path): (usize, &PathBuf)| {
            let Some(rest) = path.to_str().and_then(|text| text.strip_prefix(EC2)) else {
                return Ok(path.clone());
            };
            let (id, query) = rest.split_once('?').unwrap_or((rest, ""));
            let region = query.split('&').find_map(|part| part.strip_prefix("region="));
            let json = Ec2::open(region, &self.cloud)?.describe_instance(id)?;
            let file = folder.join(format!("ec2-{number}.json"));
            std::fs::write(&file, json)
                .map_err(|e| Error::io(format!("cannot write {}", file.display()), e))?;
            Ok(file)
        };
        named.iter().enumerate().map(fetched).collect()
    }
}

/// Machines of EC2, as `--machine` takes them.
pub(crate) const EC2: &str = "ec2://";

/// What keeps track of changes.
pub(crate) enum Tracking<'a> {
    /// A bitmap of an NBD export.
    Bitmap(&'a str),
    /// The snapshot that the target was made from.
    Since(&'a str),
}

/// Where our program does not run, there is `dd`: it moves all of the disk, and nothing is proven at the other end.
fn by_dd(ssh: &Ssh, disk: &str, why: &Error) -> Result<RemoteSource> {
    let bytes = DdDisk::open(ssh, disk)?;
    let text =
        format!("the disk is read by dd, holes included and uncompressed, and not proven at its side: {why}");
    let (remote, warnings) = (Arc::new(PlainRemote::default()), vec![Warning::new("source-by-dd", text)]);
    Ok(RemoteSource { storage: Arc::new(bytes), name: None, remote, warnings })
}

/// The bytes with zeros where nothing is.
fn without(bytes: NbdDisk, free: &RangeSet) -> Result<Arc<dyn Storage>> {
    if free.iter().next().is_none() {
        return Ok(Arc::new(bytes));
    }
    Ok(Arc::new(DiskStorage(masked(&whole(Arc::new(bytes))?, free))))
}

/// This program's own file, for a machine that has none.
pub(crate) fn own_program() -> Result<PathBuf> {
    std::env::current_exe().map_err(|e| Error::io("cannot find this program's own file", e))
}
