//! Arguments of the commands about destinations.

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

pub(super) const AFTER_DESTINATION: &str = "\
A volume that is not mounted leaves an empty folder behind, and a copy into that folder fills the disk this host runs from.
'check' says so before the first byte: exit 73, PATH_NOT_FOUND (-403). Unless told otherwise, it wants a folder below
the mount point of a volume, or one with the marker that 'init' writes.

After the last write, 'isolate' takes the volume out of reach and looks that it is so; 'restore' brings it back as it was.
Both may be repeated, and go on where a run that was killed stopped. They need root.

Against programs that write to every file they reach, such as ransomware: what becomes root can mount an unmounted
volume again. An ejected disk is the one that needs a person's hand.

Examples:
  rehome destination init /mnt/backup
  rehome destination check /mnt/backup/vms
  rehome destination isolate /mnt/backup/vms --how unmount
  rehome destination restore /mnt/backup/vms
  rehome destination isolate /mnt/nas/vms --how network-down --interface eth1";

const AFTER_ISOLATE: &str = "\
What is refused: the disk this host runs from, a volume on which others are mounted or that is mounted twice, one that
nothing tells how to mount again (network and FUSE file systems need an entry in /etc/fstab, noauto will do), and the
interface of the default route. A volume in use is waited for and never unmounted lazily: exit 75 names who uses it.

eject: USB disks. All their partitions are unmounted, the disk is detached from the kernel. Restoring needs a person
       who plugs it in: exit 78 until then.
network-down: what is reached over the interface is unmounted first. Addresses and routes that the kernel forgets come
       back with 'restore'; an interface that NetworkManager has is taken down and up by nmcli.";

#[derive(Args, Debug)]
pub(crate) struct DestinationArgs {
    #[command(subcommand)]
    pub(crate) command: DestinationCommand,
}

#[derive(Subcommand, Debug)]
pub(crate) enum DestinationCommand {
    /// Mark a folder as a destination, once: a small file that names the folder's id and its volume.
    Init(DestinationInitArgs),
    /// Check that a folder is the destination it should be. Exit 0: it is, 73: it is not.
    Check(DestinationCheckArgs),
    /// Take a destination's volume out of reach, and verify that.
    #[command(after_help = AFTER_ISOLATE)]
    Isolate(DestinationIsolateArgs),
    /// Bring back what 'isolate' took out of reach, as it was.
    Restore(DestinationRestoreArgs),
}

#[derive(Args, Debug)]
pub(crate) struct DestinationInitArgs {
    /// The folder. It may be the mount point itself.
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct DestinationCheckArgs {
    /// The folder that the images go to.
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// What it has to show.
    #[arg(long, value_enum, default_value_t = Shows::Subfolder)]
    pub(crate) require: Shows,
    /// The id that its marker has to have, as 'init' printed it.
    #[arg(long, value_name = "UUID")]
    pub(crate) id: Option<String>,
    /// Where its volume has to be mounted.
    #[arg(long, value_name = "DIR")]
    pub(crate) mount_point: Option<PathBuf>,
    /// The UUID of the file system that has to be mounted there, as blkid prints it.
    #[arg(long, value_name = "UUID", conflicts_with = "device")]
    pub(crate) uuid: Option<String>,
    /// The device, or SERVER:/EXPORT, that has to be mounted there.
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shows {
    /// That it is there.
    Exists,
    /// That it is a folder below the mount point of a volume, or marked.
    Subfolder,
    /// That it is marked.
    Marked,
}

#[derive(Args, Debug)]
pub(crate) struct DestinationIsolateArgs {
    /// The destination.
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// How it is taken out of reach.
    #[arg(long, value_enum)]
    pub(crate) how: How,
    /// With --how network-down: the interface to take down.
    #[arg(long, value_name = "IF", required_if_eq("how", "network-down"))]
    pub(crate) interface: Option<String>,
    /// Take the interface down even if this host is then cut off.
    #[arg(long, requires = "interface")]
    pub(crate) yes_i_lose_network: bool,
    /// What is needed while the volume is away, such as logs: refused when it lies there. Repeatable.
    #[arg(long, value_name = "PATH")]
    pub(crate) keep: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum How {
    /// Unmount its volume.
    Unmount,
    /// Unmount its USB disk and detach it.
    Eject,
    /// Unmount what is reached over a network interface, and take the link down.
    NetworkDown,
}

#[derive(Args, Debug)]
pub(crate) struct DestinationRestoreArgs {
    /// The destination.
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

#[derive(Args, Debug)]
pub(crate) struct StateArgs {
    /// Where it is remembered what was taken out of reach. By default /var/lib/rehome/destinations, or a folder in the
    /// home of a user who is not root.
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct WaitArgs {
    /// Seconds that a volume in use, a link or a server is waited for. By default 10 to isolate, 60 to restore.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) wait: Option<u32>,
}
