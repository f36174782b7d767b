//! Windows: its volumes as one tree, its registry, and what stands in the way before any fixup.

use crate::filesystems::Notes;
use crate::inspect::{Inspection, Opened};
use driver_core::{
    DiskFacts, DriverPackage, Guest, GuestFs, GuestTree, MountFacts, PartitionRole, Platform, Target,
    VolumeId,
};
use driver_inf::{Arch, WindowsVersion};
use driver_machine::Warning;
use driver_windows::BOOT_VOLUME;
use format_core::{Error, ErrorKind, Result};
use std::path::Path;

/// Types of partitions of dynamic disks: in an MBR, and GPT's for the database and for volumes (Microsoft,
/// "PARTITION_INFORMATION_GPT").
const DYNAMIC: [&str; 3] =
    ["0x42", "5808c8aa-7e8f-42e0-85d2-e1e90434cfb3", "af9b60a0-1431-4f62-bc68-3311714a69ad"];

/// The tree of the Windows on `fs`, with the partition that the firmware starts from and the hives of its registry. `None`, with the
/// reason among the obstacles, when its registry cannot be read.
pub(crate) fn mount(
    guest: &mut Guest,
    root: VolumeId,
    fs: Box<dyn GuestFs>,
    opened: &mut Opened,
    notes: &mut Notes,
) -> Result<Option<GuestTree>> {
    let mut tree = GuestTree::new();
    guest.mounts.push(mount_facts("/", root, fs.kind()));
    tree.mount("/", fs);
    if let Some(id) = boot_volume(guest, root, opened)?
        && let Some(fs) = opened.remove(&id)
    {
        guest.mounts.push(mount_facts(BOOT_VOLUME, id, fs.kind()));
        tree.mount(BOOT_VOLUME, fs);
    }
    match driver_windows::mount_hives(&mut tree) {
        Ok(replays) => notes.replays.extend(replays),
        Err(error) if is_of_guest(&error) => {
            guest.obstacles.push(with_step(&error));
            return Ok(None);
        }
        Err(error) => return Err(error),
    }
    Ok(Some(tree))
}

fn mount_facts(point: &str, place: VolumeId, kind: &str) -> MountFacts {
    MountFacts { point: point.into(), device: String::new(), place, kind: kind.into() }
}

/// What the guest's own bytes are to blame for.
fn is_of_guest(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NeedsPerson | ErrorKind::Corrupt | ErrorKind::Unsupported | ErrorKind::Limit
    )
}

/// An obstacle is a sentence: what a person can do belongs into it.
pub(crate) fn with_step(error: &Error) -> String {
    error.hint_text().map_or_else(|| error.to_string(), |step| format!("{error}; {step}"))
}

/// The partition with the boot configuration: an EFI system partition on a GPT disk, else the active partition; on the disk of the
/// system before any other. The system's own volume needs no second mount.
fn boot_volume(guest: &Guest, root: VolumeId, opened: &Opened) -> Result<Option<VolumeId>> {
    let disk_of = |id: VolumeId| match id {
        VolumeId::Partition { disk, .. } => Some(disk),
        VolumeId::Mapped { .. } => None,
    };
    let mut found = Vec::new();
    for (&id, fs) in opened.iter() {
        let VolumeId::Partition { disk, partition } = id else { continue };
        let Some(facts) = guest.partition((disk, partition)) else { continue };
        let starts = facts.role == PartitionRole::Esp || facts.bootable;
        if starts && driver_windows::boot_configuration_in(fs.as_ref())?.is_some() {
            found.push((disk_of(root) != Some(disk), facts.role != PartitionRole::Esp, id));
        }
    }
    found.sort_unstable();
    Ok(found.first().map(|(_, _, id)| *id))
}

/// Whether Windows' own volume manager keeps the disk's volumes, of which a partition may be the half of a mirror.
pub(crate) fn is_dynamic(disk: &DiskFacts) -> bool {
    disk.partitions.iter().any(|partition| DYNAMIC.contains(&partition.type_id.to_ascii_lowercase().as_str()))
}

/// What a dynamic disk is told of.
pub(crate) const DYNAMIC_TEXT: &str = "it is a dynamic disk of Windows (LDM), whose volumes are not put together here; make it a basic \
     disk, or move the system to one, in the running guest, and export it again";

/// What an encrypted volume is told of.
pub(crate) const BITLOCKER_TEXT: &str = "it is encrypted with BitLocker; turn that off in the running guest (manage-bde -off LETTER:), wait \
     until manage-bde -status says that it is decrypted, shut down, and export it again";

/// The driver packages at `path` that fit the guest and are for devices of the platform; none for a guest that is not Windows.
///
/// # Errors
/// `Usage` when none fits; what the packages and the host report.
pub(crate) fn packages(guest: &Guest, platform: Platform, path: Option<&Path>) -> Result<Vec<DriverPackage>> {
    let (Some(path), Some(windows), Some(os)) = (path, &guest.windows, &guest.os) else {
        return Ok(Vec::new());
    };
    let arch = match os.arch.as_deref() {
        Some("i686") => Arch::X86,
        Some("aarch64") => Arch::Arm64,
        _ => Arch::Amd64,
    };
    let (major, minor) = windows.version;
    let version = WindowsVersion { major, minor, build: windows.build, is_server: windows.is_server() };
    let mut found = driver_inf::packages(path, &version, arch)?;
    found.retain(|package| is_for(package, platform));
    Ok(found)
}

/// Whether a platform has devices that the package drives: by the vendors of its virtual PCI devices. KVM has several, and devices of ACPI.
fn is_for(package: &DriverPackage, platform: Platform) -> bool {
    let vendor = match platform {
        Platform::Kvm | Platform::Proxmox | Platform::KubeVirt | Platform::Gcp => return true,
        Platform::HyperV | Platform::Azure => r"VMBUS\",
        Platform::Vmware => r"PCI\VEN_15AD",
        Platform::VirtualBox => r"PCI\VEN_80EE",
        Platform::Xen => r"PCI\VEN_5853",
        Platform::Aws => r"PCI\VEN_1D0F",
    };
    package.devices.iter().any(|device| device.hardware_id.to_ascii_uppercase().starts_with(vendor))
}

/// What is to be said when the operator gave drivers, and none of them is for the target.
pub(crate) fn useless_packages(
    guest: &Guest,
    path: Option<&Path>,
    packages: &[DriverPackage],
    target: &Target,
) -> Option<Warning> {
    let path = path.filter(|_| guest.windows.is_none() || packages.is_empty())?;
    let system = if guest.windows.is_some() { target.platform.name() } else { "a guest that is not Windows" };
    Some(Warning {
        code: "drivers-not-used",
        message: format!("{} has no drivers for {system}: nothing of it is used", path.display()),
    })
}

/// The driver of the adapter that Windows gets: the platform's own where the guest or the packages have a driver for it, else that of an adapter
/// that Windows knows by itself.
pub(crate) fn network_module(
    inspection: &Inspection,
    target: &'static Target,
    packages: &[DriverPackage],
) -> Result<&'static str> {
    let (Some(tree), Some(_)) = (&inspection.tree, &inspection.guest.windows) else {
        return Ok(target.network_module);
    };
    let Some(plain) = driver_targets::plain_network_module(target) else { return Ok(target.network_module) };
    let known = driver_windows::drives_adapter(tree, &inspection.guest, target.network_module, packages)?;
    Ok(if known { target.network_module } else { plain })
}

/// What nobody here could follow in the packages that were chosen.
pub(crate) fn package_notes(packages: &[DriverPackage]) -> Vec<Warning> {
    let of = |package: &DriverPackage| {
        let told = |note: &String| Warning {
            code: "driver-package",
            message: format!("{}/{}: {note}", package.source, package.inf),
        };
        package.notes.iter().map(told).collect::<Vec<_>>()
    };
    packages.iter().flat_map(of).collect()
}

/// What has to be said of every migrated Windows until somebody saw such a one start there.
pub(crate) fn not_confirmed(guest: &Guest, target: &Target) -> Option<Warning> {
    let windows = guest.windows.as_ref()?;
    if driver_windows::is_confirmed(windows, target) {
        return None;
    }
    Some(Warning {
        code: "windows-not-confirmed",
        message: format!(
            "nobody has told yet that a Windows of build {} which was changed by this program started on {}: what is done is what Microsoft and \
             other tools document, and was checked by content only; try it, and send the file that --collect-feedback writes",
            windows.build, target.name
        ),
    })
}
