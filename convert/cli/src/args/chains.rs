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
