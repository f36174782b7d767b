//! Arguments of the command that ends a warm migration.

use super::CaptureArgs;
use clap::Args;
use std::path::PathBuf;

pub(super) const AFTER_CUTOVER: &str = "\
The images in DIR are the ones that 'rehome capture' made. With --check nothing is written: what changed since is told, and how long a
cutover would take. Without it the last changes are fetched, and the machine is migrated: the guest is fixed on an overlay, so the captured
images stay the plain copy that they are, and when anything fails, the same command, or another target, goes on from them.

Stop the machine's services first, or start it from a live system; or hold its file systems with --freeze.

Examples:
  rehome cutover ssh://root@web --out web --to hyperv --check
  rehome cutover ssh://root@web --out web --to hyperv --freeze / --vm vm
  rehome cutover ssh://root@web --out web --to kvm -- --firmware uefi --network-map '*=LAN'";

#[derive(Args, Debug)]
pub(crate) struct CutoverArgs {
    #[command(flatten)]
    pub(crate) capture: CaptureArgs,
    /// Tell what is left to do, and do nothing.
    #[arg(long)]
    pub(crate) check: bool,
    /// The folder for the migrated machine; DIR/TARGET by default.
    #[arg(long, value_name = "VM_DIR")]
    pub(crate) vm: Option<PathBuf>,
    /// Further options of 'rehome migrate'.
    #[arg(last = true, value_name = "MIGRATE_OPTIONS")]
    pub(crate) more: Vec<String>,
}
