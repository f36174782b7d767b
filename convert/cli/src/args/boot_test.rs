//! Arguments of `rehome boot-test`.

use super::{FirmwareKind, OpenArgs};
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<u32>() {
        Ok(seconds) if (1..=86_400).contains(&seconds) => Ok(Duration::from_secs(seconds.into())),
        _ => Err("seconds, from 1 to 86400".into()),
    }
}

/// What a guest's memory may be: enough for a kernel, and no more than a large server has.
pub(super) fn memory(text: &str) -> Result<u32, String> {
    text.parse()
        .ok()
        .filter(|mib| (64..=1 << 20).contains(mib))
        .ok_or_else(|| "MiB, from 64 to 1048576".into())
}

pub(crate) const AFTER_BOOT_TEST: &str = "\
What happens:
  The images are served to QEMU on an overlay, so they stay as they are and may have any format, with all their parents.
  The devices are those of QEMU that come nearest to the target's; the report says how they differ. Hyper-V's VMBus and
  Xen's own devices cannot be emulated: there a controller stands in that the guest has a driver for.
  KVM is used where it works, else everything is emulated, which takes minutes. The guest reaches no network.
  Serial console and screen are watched for what decides: a login prompt or systemd's target (passed); a panic, a missing
  root, a prompt of GRUB, an initramfs or the firmware, a stop of Windows, restart after restart (failed).
  A graphical screen that nobody can read is never a success: the verdict is 'undecided', look at screen.png.
  DIR gets boot-test.json, serial.log and screen.png.

Exit codes: 0 passed, 1 failed, 78 undecided, or QEMU or its firmware is missing.

Examples:
  rehome boot-test vm/web.vhdx --target hyperv-gen1
  rehome boot-test vm/web.qcow2 --target kvm --firmware uefi --timeout 900
  rehome boot-test root.vmdk data.vmdk --target vmware --machine web.vmx --memory 2048 --out evidence
  rehome boot-test export.raw --target aws              does the source's image start at all
  rehome migrate web.vmdk --to kvm --out vm --boot-test";

#[derive(Args, Debug)]
pub(crate) struct BootTestArgs {
    /// The images of the machine's disks, the boot disk first. They are not changed: what the guest writes is dropped.
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) open: OpenArgs,
    /// What the guest was made ready for: a platform as in migrate --to, or one of its machines (hyperv-gen1, aws-uefi,
    /// vmware-bios-lsisas, kvm-uefi-sata; 'rehome inspect' lists the usual ones).
    #[arg(long, value_name = "TARGET", default_value = "kvm")]
    pub(crate) target: String,
    /// How the machine starts; auto takes what the machine's description says, else what the guest can, UEFI first.
    #[arg(long, value_enum, default_value_t = FirmwareKind::Auto)]
    pub(crate) firmware: FirmwareKind,
    /// The controller of the disks, where the platform offers several, as in migrate --disk-bus.
    #[arg(long, value_name = "BUS")]
    pub(crate) disk_bus: Option<String>,
    /// What the machine is, as for migrate: its firmware, its memory up to --memory, and the address of its first adapter are taken.
    #[arg(long, value_name = "FILE")]
    pub(crate) machine: Vec<PathBuf>,
    /// Which instance of the machine files is meant, when they hold several.
    #[arg(long, value_name = "ID", requires = "machine")]
    pub(crate) instance: Option<String>,
    /// How long the guest may take to come up, in seconds. By default 300, and 600 where there is no KVM.
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
    /// The most memory that the guest gets, in MiB.
    #[arg(long, value_name = "MIB", default_value = "1024", value_parser = memory)]
    pub(crate) memory: u32,
    /// The folder for report, serial log and screenshot; by default IMAGE.boot-test in the current folder, with the image's file
    /// name.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Replace the files of an earlier test.
    #[arg(long)]
    pub(crate) force: bool,
}

/// A boot test at the end of a migration.
#[derive(Args, Clone, Debug)]
pub(crate) struct BootTestWish {
    /// Boot the written images in QEMU at the end, as 'rehome boot-test' does, and put what was seen into the report. When the
    /// guest does not start, the exit code is 1; the images stay. Files that show it are in NAME.boot-test.
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) boot_test: bool,
    /// With --boot-test: the most memory that the guest gets, in MiB.
    #[arg(long, value_name = "MIB", default_value = "1024", value_parser = memory, requires = "boot_test")]
    pub(crate) boot_test_memory: u32,
    /// With --boot-test: how long the guest may take, in seconds.
    #[arg(long, value_name = "S", value_parser = seconds, requires = "boot_test")]
    pub(crate) boot_test_timeout: Option<Duration>,
}
