//! Which drivers a controller needs, and whether the guest has them.

use crate::inbox::{
    ATAPI, INTELIDE, InboxDriver, LSI_SAS, LSI_SCSI, MSAHCI, PCIIDE, STORAHCI, STORFLT, STORNVME, STORVSC,
    VMBUS,
};
use crate::services::{DISABLED, driver_file, number, service_key, text};
use driver_core::{Draft, DriverPackage, FileKind, Guest, GuestTree, Platform, WindowsFacts};
use format_core::Result;

/// What drives the disks of a controller.
pub(crate) enum Drivers {
    /// All of these, which are part of Windows.
    Inbox(&'static [InboxDriver]),
    /// A driver that is installed or comes with a package: its service.
    Added(&'static str),
}

/// Drivers of a target's controller. Xen's disks are IDE's until its own driver runs. A machine of Hyper-V that starts by BIOS starts from its
/// IDE controller, whose disks are the IDE driver's: storflt only makes them faster (storvsc names no IDE disk in real hives), and
/// the machine's other disks and its network need VMBus.
pub(crate) fn drivers_of(bus: &str, platform: Platform, windows: &WindowsFacts) -> Drivers {
    const IDE: &[InboxDriver] = &[INTELIDE, ATAPI];
    let is_hyperv = matches!(platform, Platform::HyperV | Platform::Azure);
    match bus {
        "ide" if is_hyperv => Drivers::Inbox(&[VMBUS, STORVSC, INTELIDE, ATAPI]),
        _ if is_hyperv => Drivers::Inbox(&[VMBUS, STORVSC]),
        "ide" | "xen" => Drivers::Inbox(IDE),
        "sata" if windows.has_driver_database() => Drivers::Inbox(&[STORAHCI]),
        "sata" => Drivers::Inbox(&[MSAHCI]),
        "nvme" => Drivers::Inbox(&[STORNVME]),
        "lsisas" => Drivers::Inbox(&[LSI_SAS]),
        "lsilogic" => Drivers::Inbox(&[LSI_SCSI]),
        "pvscsi" => Drivers::Added("pvscsi"),
        "virtio-blk" => Drivers::Added("viostor"),
        "virtio-scsi" => Drivers::Added("vioscsi"),
        _ => Drivers::Inbox(&[]),
    }
}

/// Drivers that are made ready on every target, where the guest has them: controllers change once more, later.
pub(crate) const FALLBACKS: [InboxDriver; 6] = [INTELIDE, PCIIDE, ATAPI, MSAHCI, STORAHCI, STORNVME];

/// Hyper-V's, where the guest has it: the guest starts without it as well.
pub(crate) const ACCELERATOR: InboxDriver = STORFLT;

/// Whether an added driver is installed, with its file, and not disabled in any control set.
pub(crate) fn is_installed(draft: &Draft<'_>, windows: &WindowsFacts, service: &str) -> Result<bool> {
    for set in &windows.control_sets {
        let key = service_key(set, service);
        let start = number(draft, &key, "Start")?;
        if start.is_none_or(|start| start == DISABLED) {
            return Ok(false);
        }
        let image = text(draft, &key, "ImagePath")?;
        let file = driver_file(&windows.system_root, service, image.as_deref());
        if !file.map(|file| is_file(draft, &file)).transpose()?.unwrap_or(false) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a file is there, or planned. An empty one is what an update that failed leaves.
pub(crate) fn is_file(draft: &Draft<'_>, path: &str) -> Result<bool> {
    let meta = draft.metadata(path)?;
    let has = meta.as_ref().is_some_and(|meta| meta.kind == FileKind::File && meta.size > 0);
    Ok(has || meta.is_none() && draft.exists(path)?)
}

/// Whether Windows can start from a disk on this controller, after the fixups.
pub(crate) fn can_start_from(
    draft: &Draft<'_>,
    windows: &WindowsFacts,
    platform: Platform,
    bus: &str,
    packages: &[DriverPackage],
) -> Result<bool> {
    match drivers_of(bus, platform, windows) {
        Drivers::Inbox([]) => Ok(false),
        Drivers::Inbox(drivers) => {
            for driver in drivers {
                if !driver.is_there(draft, windows)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        Drivers::Added(service) => {
            let comes = packages.iter().any(|package| package.service(service).is_some());
            Ok(comes || is_installed(draft, windows, service)?)
        }
    }
}

/// The platform's controller that Windows starts from today by a driver that is no part of it, else the first, in the order of the
/// platform's targets, that it can start from; `None` when there is no such controller, or no Windows.
///
/// # Errors
/// When the guest cannot be read.
pub fn startable_bus<'a>(
    tree: &GuestTree,
    guest: &Guest,
    platform: Platform,
    buses: impl Iterator<Item = &'a str>,
    packages: &[DriverPackage],
) -> Result<Option<&'a str>> {
    let Some(windows) = &guest.windows else { return Ok(None) };
    let draft = Draft::new(tree);
    let buses: Vec<&str> = buses.collect();
    let today = |bus: &&&str| match drivers_of(bus, platform, windows) {
        Drivers::Added(service) => windows.boot_drivers.iter().any(|own| own.eq_ignore_ascii_case(service)),
        Drivers::Inbox(_) => false,
    };
    for bus in buses.iter().filter(today).chain(&buses) {
        if can_start_from(&draft, windows, platform, bus, packages)? {
            return Ok(Some(*bus));
        }
    }
    Ok(None)
}
