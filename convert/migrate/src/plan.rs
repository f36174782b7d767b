//! The plan for one target, and how ready a guest is for each.

use crate::choose::{buses, unsupported};
use crate::inspect::{Inspection, of_guest};
use crate::stack::overlapping;
use crate::wrap::lone_file_system;
use driver_core::{
    Context, DriverPackage, Firmware, Fixup, Guest, Plan, PlannedFixup, Platform, Status, Target, Wishes,
    make_plan, outline,
};
use format_core::Result;
use serde::Serialize;
use std::collections::BTreeSet;

/// How ready a guest is for one target.
#[derive(Clone, Debug, Serialize)]
pub struct Readiness {
    /// The target's id.
    pub target: &'static str,
    /// For people.
    pub name: &'static str,
    /// `ready`, `fixable` or `blocked`.
    pub verdict: &'static str,
    /// Number of edits that would make it ready.
    pub edits: usize,
    /// What stands in the way, or what would be done.
    pub reasons: Vec<String>,
}

/// Plans the fixups of the inspected guest for `target`. Without a guest that can be read the plan is empty.
///
/// # Errors
/// When the guest's files cannot be read.
pub fn plan_for(
    inspection: &Inspection,
    target: &Target,
    extra_modules: &[String],
    wishes: &Wishes,
) -> Result<Plan> {
    match &inspection.tree {
        Some(tree) => make_plan(
            &Context { extra_modules, wishes, ..Context::new(&inspection.guest, target) },
            tree,
            fixups_for(&inspection.guest),
        )
        .map_err(of_guest),
        None => Ok(Plan::default()),
    }
}

/// The fixups for the guest's system.
fn fixups_for(guest: &Guest) -> &'static [&'static dyn Fixup] {
    if guest.windows.is_some() { driver_windows::fixups() } else { driver_linux::fixups() }
}

/// The first of the platform's controllers that the guest can start from; `None` where any will do, or none does.
pub(crate) fn startable(
    inspection: &Inspection,
    platform: Platform,
    buses: &[&'static str],
    packages: &[DriverPackage],
) -> Result<Option<&'static str>> {
    let Some(tree) = &inspection.tree else { return Ok(None) };
    let buses = buses.iter().copied();
    driver_windows::startable_bus(tree, &inspection.guest, platform, buses, packages).map_err(of_guest)
}

/// How ready the guest is for every platform, with its usual controller or the first that the guest can start from.
///
/// # Errors
/// As [`plan_for`].
pub fn readiness(inspection: &Inspection) -> Result<Vec<Readiness>> {
    driver_targets::targets()
        .filter(|target| target.is_default)
        .map(|target| {
            let buses = buses(target.platform, target.firmware);
            let bus = startable(inspection, target.platform, &buses, &[])?;
            let target = driver_targets::target(target.platform, target.firmware, bus).unwrap_or(target);
            readiness_for(inspection, target)
        })
        .collect()
}

/// How a reason begins that says what the micro-VM would do.
pub const BY_MICROVM: &str = "by the micro-VM: ";

fn readiness_for(inspection: &Inspection, target: &Target) -> Result<Readiness> {
    let boot = &inspection.guest.boot;
    let starts = match target.firmware {
        Firmware::Bios => boot.bios.is_some(),
        Firmware::Uefi => boot.uefi.is_some(),
        Firmware::Host => inspection.guest.windows.is_none(),
    };
    let plan = match &inspection.tree {
        // What cannot start there needs no plan.
        Some(tree) if starts => {
            outline(&Context::new(&inspection.guest, target), tree, fixups_for(&inspection.guest))
                .map_err(of_guest)?
        }
        _ => Plan::default(),
    };
    // What only this program's own editor cannot do is no obstacle: the micro-VM can.
    let (for_microvm, own): (Vec<_>, Vec<_>) = plan.fixups.into_iter().partition(|fixup| fixup.by_editor);
    let plan = Plan { fixups: own, edits: plan.edits };
    let mut blocks = obstacles(inspection, &plan);
    if !starts {
        let firmware = match target.firmware {
            Firmware::Bios => "BIOS",
            Firmware::Uefi => "UEFI",
            Firmware::Host => "GRUB of the host",
        };
        let bios = target.firmware == Firmware::Bios && lone_file_system(&inspection.guest).is_some();
        let wrap = if bios { " on a disk without a partition table; 'migrate --wrap' makes one" } else { "" };
        blocks.insert(0, format!("it starts by {firmware}, for which no boot loader was found{wrap}"));
    }
    blocks.extend(unsupported(&inspection.guest, target));
    let planned = plan.fixups.iter().filter(|fixup| fixup.status == Status::Planned);
    let titles = for_microvm.iter().map(|fixup| fixup.title).collect::<Vec<_>>().join("; ");
    let by_microvm = (!titles.is_empty()).then(|| format!("{BY_MICROVM}{titles}"));
    let (verdict, reasons) = match (blocks.is_empty(), plan.edits.is_empty() && for_microvm.is_empty()) {
        (false, _) => ("blocked", blocks),
        (true, true) => ("ready", Vec::new()),
        (true, false) => ("fixable", planned.map(|fixup| fixup.title.to_owned()).chain(by_microvm).collect()),
    };
    Ok(Readiness { target: target.id, name: target.name, verdict, edits: plan.edits.len(), reasons })
}

/// What was left out, and what a person does about it, in words.
pub(crate) fn left_out_text(fixup: &PlannedFixup) -> String {
    let reason = fixup.reason.as_deref().unwrap_or("the file system cannot take it");
    let step = fixup.next_step.as_deref().unwrap_or("see to it");
    format!("not done: {} ({}): {reason}; in the running guest, {step}", fixup.title, fixup.id)
}

/// What to do with an image that ends before its disk did.
pub const COPY_AGAIN: &str = "the image is cut off: copy it again, in full; if the machine's own disk ends there too, \
                                     repair its partition table or file system in the running guest first";

/// Everything that keeps a guest from being mended, in words.
pub(crate) fn obstacles(inspection: &Inspection, plan: &Plan) -> Vec<String> {
    if let Some(reason) = closed_windows(&inspection.guest) {
        return std::iter::once(reason).chain(inspection.guest.cut_off()).collect();
    }
    let mut found: Vec<String> = plan
        .obstacles()
        .map(|fixup| format!("{}: {}", fixup.id, fixup.reason.as_deref().unwrap_or("it cannot be done")))
        .collect();
    if inspection.tree.is_none() {
        found.extend(inspection.guest.obstacles.iter().cloned());
        if found.is_empty() {
            found.push("no guest that can be read was found".into());
        }
    } else {
        found.extend(overlapping(&inspection.guest));
    }
    found.extend(inspection.closed.iter().cloned());
    found.extend(inspection.guest.cut_off());
    let edited: BTreeSet<&str> =
        plan.edits.iter().filter_map(|edit| mount_point(&inspection.guest, &edit.path)).collect();
    for mount in inspection.guest.mounts.iter().filter(|mount| edited.contains(mount.point.as_str())) {
        let fs = inspection.guest.file_system(mount.place);
        if let Some(reason) = fs.and_then(|fs| fs.not_editable.as_ref()) {
            found.push(format!("{} cannot be edited: {reason}", mount.point));
        }
    }
    found
}

/// Why a Windows cannot be changed at all: it sleeps, or was not shut down, and starts on no other hardware, edited or not. That is said
/// once, and not for each edit that cannot be made.
fn closed_windows(guest: &Guest) -> Option<String> {
    guest.windows.as_ref()?;
    let root = guest.mounts.iter().find(|mount| mount.point == "/")?;
    let reason = guest.file_system(root.place)?.not_editable.as_ref()?;
    Some(format!("the volume of Windows cannot be edited: {reason}"))
}

/// The mount point that holds `path`: the longest one above it.
pub(crate) fn mount_point<'a>(guest: &'a Guest, path: &str) -> Option<&'a str> {
    let holds = |point: &str| {
        path.strip_prefix(point.trim_end_matches('/'))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let points = guest.mounts.iter().map(|mount| mount.point.as_str());
    points.filter(|point| holds(point)).max_by_key(|point| point.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use driver_core::MountFacts;

    #[test]
    fn a_path_belongs_to_the_longest_mount_point_above_it() {
        let mount = |point: &str| MountFacts {
            point: point.into(),
            device: String::new(),
            place: (0, 1).into(),
            kind: "ext4".into(),
        };
        let mounts = ["/", "/boot", "/boot/efi"].map(mount).to_vec();
        let guest = Guest { mounts, ..Guest::default() };
        for (path, point) in [
            ("/etc/fstab", "/"),
            ("/boot/grub/grub.cfg", "/boot"),
            ("/boot/efi/EFI/x", "/boot/efi"),
            ("/bootx", "/"),
        ] {
            assert_eq!(mount_point(&guest, path), Some(point), "{path}");
        }
    }
}
