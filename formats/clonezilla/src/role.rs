//! What becomes of each partition and logical volume, told without opening anything.

use crate::content::refuse_foreign;
use crate::error::ClonezillaError;
use crate::group::{Group, Logical};
use crate::image::{Image, SavedDisk};
use crate::names::Saved;
use crate::unplaced::unplaced;

/// What a partition or volume is made from.
pub(crate) enum Role<'a> {
    /// A part of a volume group: the group, and which of its physical volumes it is.
    Physical(&'a Group, usize),
    /// A content, and what it was saved as.
    Content(String, &'a Saved),
    /// A swap area; the file that identifies it.
    Swap(String),
    /// Nothing of it was saved.
    NotSaved,
    /// It cannot be put together.
    Fault(ClonezillaError),
}

/// The role of the partition or disk `name`.
pub(crate) fn of_part<'a>(image: &'a Image, name: &str) -> Role<'a> {
    for group in &image.groups {
        let mut physical = group.physical.iter();
        if let Some(number) = physical.position(|one| image.device(&one.id, &one.device) == name) {
            return Role::Physical(group, number);
        }
    }
    let swap = format!("swappt-{name}.info");
    match image.contents.get(name) {
        Some(saved) => match refuse_foreign(saved) {
            Ok(()) => Role::Content(name.to_owned(), saved),
            Err(fault) => Role::Fault(fault),
        },
        None if image.luks.contains(name) => Role::Fault(ClonezillaError::Luks { device: name.to_owned() }),
        None if image.has(&swap) => Role::Swap(swap),
        None if image.parts.contains(name) => {
            Role::Fault(ClonezillaError::NoContent { part: name.to_owned() })
        }
        None => Role::NotSaved,
    }
}

/// The role of a logical volume.
pub(crate) fn of_volume<'a>(image: &'a Image, group: &Group, volume: &Logical) -> Role<'a> {
    let plain = format!("{}-{}", group.name, volume.name);
    let mapped = format!("{}-{}", group.name.replace('-', "--"), volume.name.replace('-', "--"));
    let names = [&plain, &mapped];
    let saved = names.into_iter().find_map(|name| Some((name.clone(), image.contents.get(name)?)));
    let swap = names.into_iter().map(|name| format!("swappt-{name}.info")).find(|swap| image.has(swap));
    if (saved.is_some() || swap.is_some() || volume.is_visible)
        && let Some(kind) = &volume.other_type
    {
        return Role::Fault(ClonezillaError::Volume { name: plain, kind: kind.clone() });
    }
    match (saved, swap) {
        (Some((name, saved)), _) => match refuse_foreign(saved) {
            Ok(()) => Role::Content(name, saved),
            Err(fault) => Role::Fault(fault),
        },
        (None, Some(swap)) => Role::Swap(swap),
        (None, None) if image.volumes.contains(&plain) => {
            Role::Fault(ClonezillaError::NoContent { part: plain })
        }
        (None, None) => Role::NotSaved,
    }
}

/// A physical volume that is nowhere: pieces of the group's volumes would be missing.
pub(crate) fn lost_device(image: &Image, group: &Group) -> Option<ClonezillaError> {
    let is_known = |name: &str| {
        let mut parts =
            image.disks.iter().filter_map(|disk| disk.table.as_ref()).flat_map(|table| &table.parts);
        parts.any(|part| part.name == name) || image.disks.iter().any(|disk| disk.name == name)
    };
    let mut devices = group.physical.iter().map(|one| image.device(&one.id, &one.device));
    let lost = devices.find(|device| !is_known(device))?;
    Some(ClonezillaError::Device { device: lost.to_owned(), group: group.name.clone() })
}

/// What keeps `disk` from being put together, as far as that shows without opening anything.
pub(crate) fn faults(image: &Image, disk: &SavedDisk) -> Vec<ClonezillaError> {
    let mut faults = disk.faults.clone();
    let names: Vec<&str> = match &disk.table {
        None => vec![&disk.name],
        Some(table) => {
            let plain = table.parts.iter().filter(|part| !part.is_extended());
            plain.map(|part| part.name.as_str()).collect()
        }
    };
    if disk.gpt.is_none()
        && !image.has(&format!("{}-mbr", disk.name))
        && let Some(part) = disk.table.as_ref().and_then(|table| table.parts.first())
    {
        faults.push(ClonezillaError::NoMbr { disk: disk.name.clone(), part: part.name.clone() });
    }
    for name in names {
        match of_part(image, name) {
            Role::Fault(fault) => faults.push(fault),
            Role::Physical(group, _) => {
                let is_in = |group: &&Group| {
                    group.physical.iter().any(|one| image.device(&one.id, &one.device) == name)
                };
                if let Some(other) = image.groups.iter().filter(is_in).nth(1) {
                    let (file, what) = (
                        format!("lvm_{}.conf", other.name),
                        "another group has the device, too, which is that",
                    );
                    faults.push(ClonezillaError::Group { file, what, name: name.to_owned() });
                }
                faults.extend(lost_device(image, group));
                for volume in &group.logical {
                    if let Role::Fault(fault) = of_volume(image, group, volume) {
                        faults.push(fault);
                    }
                }
            }
            Role::Content(..) | Role::Swap(_) | Role::NotSaved => {}
        }
    }
    for fault in unplaced(image, disk) {
        if !faults.contains(&fault) {
            faults.push(fault);
        }
    }
    faults.dedup();
    faults
}
