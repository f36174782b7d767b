//! Where an installed Windows has its parts.

use driver_core::{FileKind, GuestFs, GuestTree};
use driver_registry::Replay;
use format_core::Result;

/// Where the tree has the partition that the firmware starts from, when it is not the system's own. A colon is in no file's
/// name, so nothing can lie there.
pub const BOOT_VOLUME: &str = "/boot:";

/// The folder of the hives.
const CONFIG: &str = "/Windows/System32/config";

/// Where the boot configuration lies on the partition that the firmware starts from: for UEFI and for BIOS.
const BOOT_CONFIGURATIONS: [&str; 2] = ["/EFI/Microsoft/Boot/BCD", "/Boot/BCD"];

/// Whether an installed Windows lies on this file system.
///
/// # Errors
/// What the file system reports.
pub fn is_system_volume(fs: &dyn GuestFs) -> Result<bool> {
    for hive in ["SYSTEM", "SOFTWARE"] {
        let meta = fs.metadata(&format!("{CONFIG}/{hive}"))?;
        if meta.is_none_or(|meta| meta.kind != FileKind::File) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Path of the boot configuration on the partition that the firmware starts from, if this is one.
///
/// # Errors
/// What the file system reports.
pub fn boot_configuration_in(fs: &dyn GuestFs) -> Result<Option<&'static str>> {
    for path in BOOT_CONFIGURATIONS {
        if fs.metadata(path)?.is_some_and(|meta| meta.kind == FileKind::File) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Makes the hives SYSTEM and SOFTWARE and the boot configuration parts of the tree's registry, and says in sentences which
/// transaction logs were applied in memory.
///
/// # Errors
/// What is wrong with a hive; `NeedsPerson` when its logs do not make it whole.
pub fn mount_hives(tree: &mut GuestTree) -> Result<Vec<String>> {
    let mut replays = Vec::new();
    for name in ["SYSTEM", "SOFTWARE"] {
        let replay = tree.mount_hive(name, &format!("{CONFIG}/{name}"))?;
        replays.extend(sentence(name, &replay));
    }
    if let Some(path) = boot_configuration(tree)? {
        let replay = tree.mount_hive("BCD", &path)?;
        replays.extend(sentence("BCD", &replay));
    }
    Ok(replays)
}

/// The boot configuration in the tree: that of the partition that the firmware starts from, else of the system's own.
pub(crate) fn boot_configuration(tree: &GuestTree) -> Result<Option<String>> {
    for root in [BOOT_VOLUME, ""] {
        for path in BOOT_CONFIGURATIONS {
            let path = format!("{root}{path}");
            if tree.metadata(&path)?.is_some_and(|meta| meta.kind == FileKind::File) {
                return Ok(Some(path));
            }
        }
    }
    Ok(None)
}

fn sentence(name: &str, replay: &Replay) -> Option<String> {
    let bytes: u64 = replay.applied.iter().map(|applied| applied.bytes).sum();
    replay.was_dirty.then(|| {
        format!(
            "registry hive {name}: applied {} of its transaction logs in memory ({bytes} bytes), dropped {} that were not \
             complete",
            replay.applied.len(),
            replay.dropped.len()
        )
    })
}
