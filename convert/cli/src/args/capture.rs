//! Arguments of the command that copies the disks of machines.

use super::SshArgs;
use super::images::size;
use super::speed::SpeedArgs;
use clap::Args;
use std::path::PathBuf;

pub(super) const AFTER_CAPTURE: &str = "\
What happens:
  1  The machine is described: firmware, processors, memory, disks, adapters; the disks are asked how they are (smartctl, where it is
     installed). Nothing is written there, but that this program copies itself into a temporary folder over SSH, when the same
     version is not installed, and removes it again, and the snapshots of --lvm-snapshot.
  2  Each disk is copied into NAME.capture. A run that is interrupted goes on there.
  3  Hashes are taken at both ends, and what differs is read again, until nothing does. So the image is the disk, proven at both ends.
     A machine that runs changes its disks all the time: hold its file systems for the last round with --freeze, or switch it to
     read-only, or stop it; or take the image as it is with --live.
  4  The image gets its name. DIR has then:
       web-sda.qcow2, web-sda.qcow2.rehome.json    the disk and its manifest
       web.machine.json                            the machine, for 'rehome migrate --machine'
       web.facts.json, web.capture.json            all that was found, and what was done
With --to the images are migrated to DIR/TARGET then; the captured ones stay as they are.

Warm migration: capture while the machine runs; 'capture --sync' as often as you like, each moves what changed since; then stop the
machine, and 'rehome cutover' does the last round, fixes the guest on an overlay, and writes the target. A cutover that fails costs no second copy.

Examples:
  rehome capture ssh://root@web --out web
  rehome capture ssh://root@web --disk /dev/sda --freeze / --skip-free --out web
  rehome capture ssh://root@web --disk /dev/vg0/data --lvm-snapshot=20G --out web     a volume as it is now, however long it takes
  rehome capture ssh://root@web --to hyperv --out web
  rehome capture ssh://root@web --sync --out web        again: only what changed
  rehome capture /dev/sdb --out old                     a disk of this machine
  rehome capture ssh://root@web --dry-run --out web     what is there, and what would be done";

#[derive(Args, Clone, Debug)]
pub(crate) struct CaptureArgs {
    /// The machine, ssh://[USER@]HOST[:PORT][/dev/DISK], or disks of this machine, /dev/sda.
    #[arg(required = true, value_name = "SOURCE")]
    pub(crate) sources: Vec<PathBuf>,
    /// Of a machine, only these disks. Without it all are copied that are disks by themselves: no loop devices, no volumes, no optical
    /// drives. Repeatable.
    #[arg(long, value_name = "DEVICE")]
    pub(crate) disk: Vec<PathBuf>,
    /// The folder for images and descriptions; it is made when it is not there.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Format of the images.
    #[arg(short = 'O', long = "target-format", value_name = "FMT", default_value = "qcow2")]
    pub(crate) target_format: String,
    /// An option of the target format; 'rehome formats' lists them. Repeatable, or several separated by commas.
    #[arg(short = 'o', value_name = "KEY[=VALUE]", value_delimiter = ',')]
    pub(crate) options: Vec<String>,
    /// Migrate the machine to this target when its disks are captured, into DIR/TARGET.
    #[arg(long, value_name = "TARGET")]
    pub(crate) to: Option<String>,
    /// Bring images that were captured before up to date: only what changed is read. For raw, qcow2 and VHDX.
    #[arg(long, conflicts_with_all = ["force", "restart", "options"])]
    pub(crate) sync: bool,
    /// How often changes are fetched that the disk made meanwhile.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// Hold the file system that is mounted there (fsfreeze) for the last round: what writes to it waits. Repeatable: name all of the
    /// disk, the root file system last.
    #[arg(long, value_name = "MOUNTPOINT")]
    pub(crate) freeze: Vec<String>,
    /// The longest time for which file systems are held; then they go on, and the run fails.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) freeze_seconds: u64,
    /// For logical volumes that are named with --disk /dev/VG/LV: read a snapshot that LVM takes, not the volume, so that the image is what it
    /// was at one moment, as long as the copy may take. SIZE is the room for what is written to the volume meanwhile, a fifth of it by default;
    /// when that is not enough, the run ends with 75 and no image. All volumes get theirs before the first is copied; they are removed at the
    /// end, also of a run that is killed.
    #[arg(long, value_name = "SIZE", num_args = 0..=1, require_equals = true, value_parser = size, conflicts_with_all = ["freeze", "live"])]
    pub(crate) lvm_snapshot: Option<Option<u64>>,
    /// Take images of disks that change although their parts are of different moments.
    #[arg(long)]
    pub(crate) live: bool,
    /// Record what is gone when the machine is switched off: processes, sockets, mounts, modules, users; before the copy begins.
    #[arg(long)]
    pub(crate) volatile: bool,
    /// Describe the machine, and say what would be done; write nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Replace images that exist.
    #[arg(long)]
    pub(crate) force: bool,
    /// Discard what an interrupted run left, and copy from the start.
    #[arg(long)]
    pub(crate) restart: bool,
    #[command(flatten)]
    pub(crate) ssh: SshArgs,
    #[command(flatten)]
    pub(crate) speed: SpeedArgs,
}
