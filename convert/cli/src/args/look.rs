//! Arguments of the commands that look into disks.

use super::OpenArgs;
use clap::Args;
use std::path::PathBuf;

/// Which file system is meant, and on which disks.
#[derive(Args, Debug)]
pub(crate) struct WhereArgs {
    /// The image of the machine's boot disk; it is opened read-only.
    pub(crate) image: PathBuf,
    /// A further disk of the machine: volume groups, arrays and the guest's mounts may lie on several. Repeatable, in their order.
    #[arg(long, value_name = "IMAGE")]
    pub(crate) disk: Vec<PathBuf>,
    /// Look into the file system of this partition instead of the guest's own tree: its number, or DISK-NUMBER with the first disk 0.
    #[arg(long, value_name = "N", conflicts_with = "volume")]
    pub(crate) partition: Option<String>,
    /// Look into the file system of this volume instead: VG/LV, or an array as its guest names it in /dev.
    #[arg(long, value_name = "VG/LV")]
    pub(crate) volume: Option<String>,
    #[command(flatten)]
    pub(crate) open: OpenArgs,
}

#[derive(Args, Debug)]
pub(crate) struct LsArgs {
    #[command(flatten)]
    pub(crate) place: WhereArgs,
    /// The folder or file, as the guest names it; a link to a folder is followed.
    #[arg(default_value = "/")]
    pub(crate) path: String,
}

#[derive(Args, Debug)]
pub(crate) struct CatArgs {
    #[command(flatten)]
    pub(crate) place: WhereArgs,
    /// The file, as the guest names it; links are followed within the guest.
    pub(crate) path: String,
}

#[derive(Args, Debug)]
pub(crate) struct CpOutArgs {
    #[command(flatten)]
    pub(crate) place: WhereArgs,
    /// The file or folder, as the guest names it; when it is a link, what that leads to.
    pub(crate) path: String,
    /// Where to: a new name, or a folder that exists, in which it gets its own name.
    pub(crate) dest: PathBuf,
    /// Replace files that exist, and copy into folders that exist.
    #[arg(long)]
    pub(crate) force: bool,
    /// Keep the numbers of owner and group. Needs root.
    #[arg(long)]
    pub(crate) preserve: bool,
}

#[derive(Args, Debug)]
pub(crate) struct MountArgs {
    /// The images of the machine's disks, the boot disk first, which are opened read-only; then the folder to mount on, which exists and
    /// is empty.
    // One list: options may stand between the images and the folder.
    #[arg(required = true, value_name = "IMAGE... DIR")]
    pub(crate) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) open: OpenArgs,
    /// Let other users look, as far as the guest's own permissions let their numbers; disks and volumes stay yours alone. Needs root, or
    /// user_allow_other in /etc/fuse.conf.
    #[arg(long)]
    pub(crate) allow_other: bool,
}
