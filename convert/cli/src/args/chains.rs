//! Arguments of the commands about chains of differences.

use super::ChainArgs;
use clap::Args;
use std::path::PathBuf;

pub(super) const AFTER_CHAIN: &str = "\
'holds' is what an image holds of the disk itself. Identities are what VHDX, VHD, VMDK and VDI know a parent by; qcow2 has none: there
only the time tells that a parent was changed after its child, which is a warning. The images of a broken chain are shown from the top to the
break. With a folder: all images in it as trees, the base first; what is based on one of several children is indented.

Exit codes: 0 whole, 66 a parent is missing, 65 it was changed, 77 it may not be opened.

Examples:
  rehome chain vm-friday.qcow2
  rehome chain /backups/web --output json
  rehome chain snapshot.vmdk --parent disk.vmdk         VirtualBox does not say where the parent is";

#[derive(Args, Debug)]
pub(crate) struct ChainListArgs {
    /// The image at the top of the chain, or a folder.
    pub(crate) image: PathBuf,
    /// Format of the image. Without it the bytes and the file name decide.
    #[arg(short = 'f', long = "format", value_name = "FMT")]
    pub(crate) format: Option<String>,
    #[command(flatten)]
    pub(crate) chain: ChainArgs,
}

pub(super) const AFTER_CONSOLIDATE: &str = "\
Unlike all other commands this one replaces and removes its sources: that is its purpose. What happens:
  1  The oldest kept point is written as a full image, in a folder of its own, TOP.consolidate, beside the chain.
  2  It is read back, and every kept point is hashed through the old chain and through it: all digests must be the same.
  3  It takes the name of the image that it replaces, in one step of the file system, with that one's identity, time, owner and mode.
     So the images above it stay as they are, to the byte, and go on naming the same parent.
  4  The chain is opened through it; only then the older images and the replaced one are removed, with their manifests.
At any moment, also when the process is killed or the power fails, all kept points open under their names. The same command finishes
what was interrupted, or undoes it and begins anew where no name had changed; one with a larger --keep than the interrupted run's is
refused (78). Room for the full image is needed beside the old ones.

Refused: images in this folder that are based on what would go, or that begin like an image and cannot be opened, whatever they are
called, so that nobody knows (78); NAME.partial is passed over. Images in other folders cannot be seen: do not consolidate
when copies or linked clones elsewhere need the older images; --keep-old DIR keeps them. Also refused: internal snapshots and bitmaps, which would
be lost (78), encrypted images, hard-linked ones, VirtualBox's VMDKs (69), files in use (75), and points that are not what their
manifests say (65). An old file that is another one by the time it would be removed stays, with a warning. --keep-old wants a folder of its
own for each run: a name that is taken there stops the run before it begins (73). A base in another folder (--allow-parent) is merged and stays. Extended attributes and ACLs are not carried over.

Examples:
  rehome consolidate vm-friday.qcow2 --keep 7 --dry-run
  rehome consolidate vm-friday.qcow2 --keep 7
  rehome consolidate web.avhdx --keep 1                 one image, the others are gone
  rehome consolidate web.vmdk --keep 14 --keep-old /srv/old-48";

#[derive(Args, Debug)]
pub(crate) struct ConsolidateArgs {
    /// The newest image of the chain.
    pub(crate) top: PathBuf,
    /// How many restore points remain, TOP included. Where the chain has no more, nothing is done.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) keep: u16,
    /// Format of TOP. Without it the bytes and the file name decide.
    #[arg(short = 'f', long = "format", value_name = "FMT")]
    pub(crate) format: Option<String>,
    /// An option of the format for the full image, as compressed for qcow2; 'rehome formats' lists them. Repeatable, or several
    /// separated by commas.
    #[arg(short = 'o', value_name = "KEY[=VALUE]", value_delimiter = ',')]
    pub(crate) options: Vec<String>,
    /// Move the older images into this folder of the same file system instead of removing them: they are a whole chain there. Each
    /// run needs a folder of its own.
    #[arg(long, value_name = "DIR")]
    pub(crate) keep_old: Option<PathBuf>,
    /// Show what would be done, with files and room, and do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) chain: ChainArgs,
}
