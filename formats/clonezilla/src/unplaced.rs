//! What is in the folder and would be in no disk, and what a disk would be without: told by names, without opening anything.

use crate::error::ClonezillaError;
use crate::group::Group;
use crate::image::{Image, MAX_HIDDEN, SavedDisk, disk_of};
use crate::role::{Role, lost_device, of_part, of_volume};
use format_core::Severity;

const SECTOR: u64 = 512;
/// What a file with the metadata of a volume group is called before and after the group's name.
const GROUP_FILE: (&str, &str) = ("lvm_", ".conf");
/// What `dev-fs.list` calls a physical volume.
const PHYSICAL: &str = "LVM2_member";

/// Partitions and disks that a content can be put into, and the same of volumes, as names of files have them.
struct Places<'a> {
    parts: Vec<&'a str>,
    volumes: Vec<String>,
}

fn places(image: &Image) -> Places<'_> {
    let mut places = Places { parts: Vec::new(), volumes: Vec::new() };
    for disk in &image.disks {
        match &disk.table {
            None => places.parts.push(&disk.name),
            Some(table) => places.parts.extend(table.parts.iter().map(|part| part.name.as_str())),
        }
    }
    for group in placed_groups(image, &places) {
        for volume in &group.logical {
            places.volumes.push(format!("{}-{}", group.name, volume.name));
            places.volumes.push(format!(
                "{}-{}",
                group.name.replace('-', "--"),
                volume.name.replace('-', "--")
            ));
        }
    }
    places
}

/// Groups with a physical volume that is a partition or disk of the folder.
fn placed_groups<'a>(image: &'a Image, places: &Places<'_>) -> Vec<&'a Group> {
    let is_placed = |group: &&Group| {
        let mut devices = group.physical.iter().map(|one| image.device(&one.id, &one.device));
        devices.any(|device| places.parts.contains(&device))
    };
    image.groups.iter().filter(is_placed).collect()
}

/// What was saved and has no place, as far as it may belong to `disk`: the disk would be without it.
pub(crate) fn unplaced(image: &Image, disk: &SavedDisk) -> Vec<ClonezillaError> {
    let places = places(image);
    let mut faults = Vec::new();
    let is_other = |subject: &str| {
        let owner = disk_of(subject);
        owner != disk.name && image.disks.iter().any(|disk| disk.name == owner)
    };
    let has_place = |subject: &str| {
        let is_part =
            places.parts.contains(&subject) && !matches!(of_part(image, subject), Role::Physical(..));
        is_part || places.volumes.iter().any(|volume| volume == subject)
    };
    for (subject, saved) in &image.contents {
        if !has_place(subject) && !is_other(subject) {
            let (file, subject) = (saved.file().to_owned(), subject.clone());
            faults.push(ClonezillaError::Unplaced { file, subject });
        }
    }
    for part in image.parts.iter().filter(|part| !places.parts.contains(&part.as_str()) && !is_other(part)) {
        faults.push(ClonezillaError::Unplaced { file: "parts".into(), subject: part.clone() });
    }
    for volume in image.volumes.iter().filter(|volume| !places.volumes.contains(volume)) {
        faults.push(ClonezillaError::Unplaced { file: "lvm_logv.list".into(), subject: volume.clone() });
    }
    for file in image.names() {
        let name = file.strip_prefix(GROUP_FILE.0).and_then(|rest| rest.strip_suffix(GROUP_FILE.1));
        if let Some(name) = name.filter(|name| image.groups.iter().all(|group| group.name != *name)) {
            faults.push(ClonezillaError::Unplaced { file: file.to_owned(), subject: name.to_owned() });
        }
    }
    let placed = placed_groups(image, &places);
    let lost = image.groups.iter().filter(|group| !placed.iter().any(|one| one.name == group.name));
    faults.extend(lost.filter_map(|group| lost_device(image, group)));
    for (part, system) in &image.systems {
        let is_here = places.parts.contains(&part.as_str()) && !is_other(part);
        let is_lost = is_here && system == PHYSICAL && matches!(of_part(image, part), Role::NotSaved);
        if is_lost && image.is_whole {
            faults.push(ClonezillaError::NoGroup { part: part.clone() });
        }
    }
    faults
}

/// Something that a disk is put together without.
pub(crate) struct Lack {
    /// Of the warning.
    pub(crate) code: &'static str,
    pub(crate) text: String,
    /// An error where Clonezilla saves it always.
    pub(crate) severity: Severity,
}

/// What `disk` is put together without.
pub(crate) fn lacks(image: &Image, disk: &SavedDisk) -> Vec<Lack> {
    let Some(table) = &disk.table else { return Vec::new() };
    let (name, mut lacks) = (&disk.name, Vec::new());
    let mut push = |code, severity, text| lacks.push(Lack { code, text, severity });
    if let Some(gpt) = &disk.gpt {
        if gpt.second.is_none() {
            let text = format!("{name}-gpt-2nd is missing: the disk has no second GPT at its end");
            push("clonezilla-no-second-gpt", Severity::Error, text);
        }
    } else {
        if let Some((severity, text)) = hidden(image, name, table.parts.iter().map(|part| part.start).min()) {
            push("clonezilla-no-hidden-data", severity, text);
        }
        if !image.has(&format!("{name}-pt.parted")) {
            let (severity, guess) = match image.has(&format!("{name}-chs.sf")) {
                true => (Severity::Note, "its geometry"),
                false => (Severity::Error, "its last partition's end"),
            };
            let text = format!("{name}-pt.parted is missing: the size of {name} is a guess from {guess}");
            push("clonezilla-size-guessed", severity, text);
        }
    }
    for part in table.parts.iter().filter(|part| !part.is_extended()) {
        match of_part(image, &part.name) {
            Role::NotSaved => push("clonezilla-not-saved", not_saved(image), nothing_of(image, &part.name)),
            Role::Physical(group, number) => {
                for volume in &group.logical {
                    let is_here = volume.columns.iter().any(|column| column.physical == number);
                    if is_here
                        && volume.is_visible
                        && matches!(of_volume(image, group, volume), Role::NotSaved)
                    {
                        let name = format!("{}-{}", group.name, volume.name);
                        push("clonezilla-not-saved", not_saved(image), nothing_of(image, &name));
                    }
                }
            }
            _ => {}
        }
    }
    lacks
}

/// Of a disk that was saved, nothing may be left out.
fn not_saved(image: &Image) -> Severity {
    if image.is_whole { Severity::Error } else { Severity::Note }
}

fn nothing_of(image: &Image, name: &str) -> String {
    match image.systems.get(name) {
        Some(system) => format!("{name} ({system}, says dev-fs.list) was not saved: it reads as zeros"),
        None => format!("{name} was not saved: it reads as zeros"),
    }
}

/// What is missing of the sectors between an MBR and the first partition, which begins at `first`.
fn hidden(image: &Image, disk: &str, first: Option<u64>) -> Option<(Severity, String)> {
    let wanted = first?.checked_sub(SECTOR).filter(|wanted| *wanted > 0)?;
    let file = format!("{disk}-hidden-data-after-mbr");
    let what = "a boot loader there, as GRUB's, is lost";
    match image.size(&file) {
        None => Some((Severity::Error, format!("{file} is missing: {what}"))),
        Some(found) if found < wanted.min(MAX_HIDDEN) => {
            let text = format!(
                "{file} has {found:#x} bytes, {wanted:#x} lie before the first partition: what is missing reads as zeros"
            );
            Some((Severity::Note, text))
        }
        Some(_) => None,
    }
}
