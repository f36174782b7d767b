//! Looking into disks without a migration: their volumes, the file systems on them, and the guest's tree.

use crate::filesystems::{Notes, open_volume};
use crate::inspect::{MAX_FILE_SYSTEMS, Opened, Opening, left_out_text, mount_all, of_guest, shorten};
use crate::stack;
use driver_core::{FsFacts, GroupKind, Guest, GuestFs, GuestTree, ReadOnlyFs, TableKind, Volume, VolumeId};
use driver_luks::Passphrase;
use driver_partitions::{Window, read_table};
use format_core::{Error, Overlay, Result, codes};
use std::sync::Arc;

/// What lies on some disks. File systems are opened once and can be mounted in several trees, because nothing changes them.
pub struct Look {
    /// Tables, groups, volumes and mounts; no facts of the operating system.
    pub guest: Guest,
    /// The volumes with a file system that was recognised: what was opened, or why it could not be.
    pub file_systems: Vec<(VolumeId, Result<ReadOnlyFs>)>,
    /// The guest's file systems as it mounts them; `None` when no installed system was found, with the reason among the obstacles.
    pub tree: Option<GuestTree>,
    /// What opening the file systems changed in the overlays, one sentence each.
    pub replays: Vec<String>,
    /// Something stood in the way before a system was looked for: a locked volume, a damaged header, a group that lacks parts.
    is_partial: bool,
}

/// Opens everything that can be opened on these disks, in this order, encrypted volumes by `passphrases`. Journals are replayed into the overlays.
///
/// # Errors
/// What the disks report. A file system that cannot be opened is part of the answer.
pub fn look_into(overlays: &[Arc<Overlay>], passphrases: &[Passphrase]) -> Result<Look> {
    let mut guest = tables(overlays)?;
    let (mut notes, mut replays, mut file_systems) = (Notes::default(), Vec::new(), Vec::new());
    let opening = Opening { passphrases: passphrases.to_vec(), ..Opening::default() };
    let candidates = stack::stack(&mut guest, overlays, &opening, &mut notes)?;
    let mut left_out = 0u64;
    for candidate in candidates {
        if file_systems.len() >= MAX_FILE_SYSTEMS {
            left_out += 1;
            continue;
        }
        let mut facts = None;
        let opened = open_volume(&candidate, &opening, &mut facts, &mut notes);
        let place = guest.place_name(candidate.id);
        replays.extend(notes.replays.drain(..).map(|text| format!("{place}: {text}")));
        match opened {
            Ok(Some(fs)) => file_systems.push((candidate.id, Ok(ReadOnlyFs::new(fs)))),
            Ok(None) => {
                file_systems.extend(facts.as_ref().and_then(not_shown).map(|e| (candidate.id, Err(e))))
            }
            Err(error) => file_systems.push((candidate.id, Err(error))),
        }
        if let Some(facts) = facts {
            stack::mark(&mut guest, candidate.id, facts);
        }
    }
    guest.obstacles.extend(left_out_text(left_out));
    let readable = file_systems.iter().filter_map(|(id, fs)| Some((*id, fs.as_ref().ok()?.clone())));
    let opened: Opened = readable.map(|(id, fs)| (id, Box::new(fs) as Box<dyn GuestFs>)).collect();
    let is_partial = !guest.obstacles.is_empty();
    let tree = match mount_all(&mut guest, opened, &opening, &mut Vec::new(), &mut notes).map_err(of_guest) {
        Ok(tree) => tree,
        // The file systems can be looked into all the same.
        Err(error) => {
            guest.obstacles.push(error.to_string());
            None
        }
    };
    shorten(&mut guest.obstacles);
    replays.append(&mut notes.replays);
    Ok(Look { guest, file_systems, tree, replays, is_partial })
}

/// All partitions, and the volumes that are put together of them, as they lie on these disks; ids are those of [`look_into`].
/// A disk without a table is none of them.
///
/// # Errors
/// What the disks report.
pub fn volumes(
    overlays: &[Arc<Overlay>],
    passphrases: &[Passphrase],
) -> Result<Vec<(VolumeId, Arc<dyn Volume>)>> {
    let mut guest = tables(overlays)?;
    let mut found: Vec<(VolumeId, Arc<dyn Volume>)> = Vec::new();
    for (disk, (overlay, facts)) in overlays.iter().zip(&guest.disks).enumerate() {
        for partition in facts.partitions.iter().filter(|_| facts.table != TableKind::None) {
            // One that leaves the disk is told by inspection.
            if let Ok(window) = Window::of_partition(overlay, partition) {
                found.push(((disk, partition.number).into(), Arc::new(window)));
            }
        }
    }
    let opening = Opening { passphrases: passphrases.to_vec(), ..Opening::default() };
    let mapped = stack::stack(&mut guest, overlays, &opening, &mut Notes::default())?.into_iter();
    let mapped = mapped.filter(|candidate| matches!(candidate.id, VolumeId::Mapped { .. }));
    found.extend(mapped.map(|candidate| (candidate.id, candidate.volume)));
    Ok(found)
}

pub(crate) fn tables(overlays: &[Arc<Overlay>]) -> Result<Guest> {
    let mut guest = Guest::default();
    for (index, overlay) in overlays.iter().enumerate() {
        let (facts, obstacles) = read_table(overlay)?;
        guest.obstacles.extend(obstacles.into_iter().map(|text| format!("disk {index}: {text}")));
        guest.disks.push(facts);
    }
    Ok(guest)
}

impl Look {
    /// The short name of a volume: `2` for a partition of the only disk, `0-2` where there are several disks, `VG/LV` for a logical
    /// volume, `md0` or `md/NAME` for an array, `luks-UUID` or the name in the guest's crypttab for an encrypted volume.
    #[must_use]
    pub fn name(&self, id: VolumeId) -> String {
        match id {
            VolumeId::Partition { disk, partition } if self.guest.disks.len() > 1 => {
                format!("{disk}-{partition}")
            }
            VolumeId::Partition { partition, .. } => partition.to_string(),
            VolumeId::Mapped { volume } => {
                self.mapped_name(volume).unwrap_or_else(|| format!("volume-{volume}"))
            }
        }
    }

    fn mapped_name(&self, volume: usize) -> Option<String> {
        let facts = self.guest.volumes.get(volume)?;
        let group = self.guest.groups.get(facts.group)?;
        let short = |device: &String| device.strip_prefix("/dev/").map(str::to_owned);
        let mut names = facts.devices.iter().filter_map(short);
        match group.kind {
            GroupKind::Md => names.next(),
            GroupKind::Luks => names.next().and_then(|name| name.strip_prefix("mapper/").map(str::to_owned)),
            // Its first name is the device mapper's.
            GroupKind::Lvm => {
                let prefix = format!("{}/", group.name);
                names.find(|name| name.starts_with(&prefix))
            }
        }
    }

    /// The file system on the volume that [`Look::name`] calls `name`, as a tree of its own.
    ///
    /// # Errors
    /// `Usage` when there is no file system that can be read, `NeedsPerson` where a volume is locked or nothing is left to choose; why it
    /// cannot be opened.
    pub fn tree_of(mut self, is_partition: bool, name: &str) -> Result<GuestTree> {
        let of_kind = |id: VolumeId| is_partition == matches!(id, VolumeId::Partition { .. });
        // The first disk needs no number.
        let is_called = |id| self.name(id) == name || self.name(id).strip_prefix("0-") == Some(name);
        let found = self.file_systems.iter().position(|(id, _)| of_kind(*id) && is_called(*id));
        match found.map(|at| self.file_systems.swap_remove(at)) {
            Some((_, fs)) => fs.map(alone),
            None => {
                let what = if is_partition { "partition" } else { "volume" };
                let reasons = self.reasons();
                let text =
                    format!("there is no file system that can be read in the {what} {name:?}{reasons}");
                Err(self.nothing(text))
            }
        }
    }

    /// The guest's own tree, or the only file system when no system is installed.
    ///
    /// # Errors
    /// `Usage` with what there is, when it has to be chosen, `NeedsPerson` where a volume is locked; why the only file system cannot be
    /// opened.
    pub fn into_tree(mut self) -> Result<GuestTree> {
        if let Some(tree) = self.tree.take() {
            return Ok(tree);
        }
        // Beside what is locked or damaged it may be only a part: /boot would be taken for the root.
        let is_all = !self.is_partial && self.guest.volumes.iter().all(|volume| volume.obstacle.is_none());
        match self.file_systems.pop() {
            Some((_, fs)) if is_all && self.file_systems.is_empty() => fs.map(alone),
            last => {
                self.file_systems.extend(last);
                Err(self.nothing(format!("there is no tree of one installed system{}", self.reasons())))
            }
        }
    }

    /// Whether what is missing may lie in an encrypted volume that is not open.
    fn is_locked(&self) -> bool {
        self.guest.groups.iter().any(|group| group.kind == GroupKind::Luks && group.obstacle.is_some())
    }

    /// What stood in the way, in brackets.
    fn reasons(&self) -> String {
        let reasons: Vec<&str> = self.guest.obstacles.iter().map(String::as_str).take(3).collect();
        if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join("; ")) }
    }

    /// An error with what could be named instead.
    fn nothing(&self, text: String) -> Error {
        let mut known = Vec::new();
        for (id, fs) in &self.file_systems {
            let option = if matches!(id, VolumeId::Partition { .. }) { "--partition" } else { "--volume" };
            let what = match fs {
                Ok(fs) => fs.kind().to_owned(),
                Err(error) => format!("cannot be opened: {error}"),
            };
            known.push(format!("{option} {} ({what})", self.name(*id)));
        }
        let hint = match known.is_empty() {
            true => "no file system was found; see 'rehome inspect'".to_owned(),
            false => format!("choose one of: {}", known.join(", ")),
        };
        if self.is_locked() || (self.is_partial && self.file_systems.is_empty()) {
            return Error::needs_person(text).hint(hint);
        }
        Error::usage(text).hint(hint)
    }
}

/// Why a file system that was recognised is not opened. It must not look as if there was none: another one beside it, such as /boot,
/// would be taken for the whole guest.
fn not_shown(facts: &FsFacts) -> Option<Error> {
    match facts.kind.as_str() {
        "btrfs" => Some(
            Error::unsupported("btrfs is opened by the micro-VM only, which is there for 'rehome inspect' and 'rehome migrate'")
                .hint("to look at files, serve the disk with 'rehome serve', attach it with nbd-client, and mount it read-only"),
        ),
        "BitLocker" => Some(Error::needs_person(crate::windows::BITLOCKER_TEXT).with_code(&codes::ENCRYPTED)),
        _ => None,
    }
}

fn alone(fs: ReadOnlyFs) -> GuestTree {
    let mut tree = GuestTree::new();
    tree.mount("/", Box::new(fs));
    tree
}

#[cfg(test)]
mod tests {
    use super::*;
    use driver_core::{DiskFacts, GroupFacts, MemFs, VolumeFacts};

    fn look(disks: usize, ids: &[VolumeId]) -> Look {
        let mut guest = Guest { disks: vec![DiskFacts::default(); disks], ..Guest::default() };
        for (kind, name) in [(GroupKind::Lvm, "my-vg"), (GroupKind::Md, "host:0")] {
            let (uuid, layout, parts, warnings) = Default::default();
            guest.groups.push(GroupFacts {
                kind,
                name: name.into(),
                uuid,
                layout,
                parts,
                warnings,
                obstacle: None,
            });
        }
        for (group, devices) in
            [(0, ["/dev/mapper/my--vg-root", "/dev/my-vg/root"]), (1, ["/dev/md/0", "/dev/md0"])]
        {
            let devices = devices.map(str::to_owned).to_vec();
            let layout = String::new();
            guest.volumes.push(VolumeFacts {
                group,
                devices,
                size: 1,
                layout,
                file_system: None,
                obstacle: None,
            });
        }
        let fs = |number: usize| ReadOnlyFs::new(Box::new(MemFs::new().with_file(&format!("/{number}"), "")));
        let file_systems = ids.iter().enumerate().map(|(number, id)| (*id, Ok(fs(number)))).collect();
        Look { guest, file_systems, tree: None, replays: Vec::new(), is_partial: false }
    }

    #[test]
    fn volumes_are_found_by_their_short_names() {
        let ids =
            [(0, 2).into(), (1, 2).into(), VolumeId::Mapped { volume: 0 }, VolumeId::Mapped { volume: 1 }];
        let names: Vec<_> = ids.iter().map(|id| look(2, &ids).name(*id)).collect();
        assert_eq!(names, ["0-2", "1-2", "my-vg/root", "md/0"]);
        assert_eq!(look(1, &ids).name(ids[0]), "2");
        for (is_partition, name, path) in [
            (true, "0-2", "/0"),
            (true, "2", "/0"),
            (true, "1-2", "/1"),
            (false, "my-vg/root", "/2"),
            (false, "md/0", "/3"),
        ] {
            let tree = look(2, &ids).tree_of(is_partition, name).unwrap();
            assert!(tree.metadata(path).unwrap().is_some(), "{name}");
        }
        for (is_partition, name) in [(true, "3"), (true, "my-vg/root"), (false, "2"), (false, "md0")] {
            let Err(error) = look(2, &ids).tree_of(is_partition, name) else { panic!("{name}") };
            assert!(
                error.hint_text().is_some_and(|hint| hint.contains("--volume my-vg/root (memory)")),
                "{error}"
            );
        }
    }

    #[test]
    fn a_locked_volume_is_not_passed_over() {
        let locked = || {
            let mut look = look(1, &[(0, 1).into()]);
            let obstacle = Some("it is encrypted".to_owned());
            look.guest.obstacles.extend(obstacle.clone());
            look.is_partial = true;
            look.guest.groups.truncate(1);
            look.guest.groups[0] =
                GroupFacts { kind: GroupKind::Luks, obstacle, ..look.guest.groups[0].clone() };
            look
        };
        // Its only open file system is /boot: nobody may take that for the guest.
        for error in [locked().into_tree().err(), locked().tree_of(false, "vg/root").err()] {
            let error = error.unwrap();
            assert_eq!(error.kind(), format_core::ErrorKind::NeedsPerson);
            assert!(error.to_string().contains("it is encrypted"), "{error}");
            assert!(error.hint_text().is_some_and(|hint| hint.contains("--partition 1")), "{error}");
        }
        assert!(locked().tree_of(true, "1").is_ok());
        // A header that is damaged, beside a file system and alone.
        for (ids, kind) in [
            (vec![(0, 1).into()], format_core::ErrorKind::Usage),
            (vec![], format_core::ErrorKind::NeedsPerson),
        ] {
            let damaged = Look { is_partial: true, ..look(1, &ids) };
            assert_eq!(damaged.into_tree().err().unwrap().kind(), kind);
        }
        let mut apart = look(1, &[(0, 1).into()]);
        apart.guest.volumes[0].obstacle = Some("a part is missing".into());
        assert_eq!(apart.into_tree().err().unwrap().kind(), format_core::ErrorKind::Usage);
    }

    #[test]
    fn btrfs_beside_the_boot_partition_is_not_passed_over() {
        let facts = |kind: &str| FsFacts { kind: kind.into(), ..FsFacts::default() };
        for (kind, expected) in [
            ("btrfs", format_core::ErrorKind::Unsupported),
            ("BitLocker", format_core::ErrorKind::NeedsPerson),
        ] {
            let closed = || not_shown(&facts(kind)).unwrap();
            let mut only = look(1, &[]);
            only.file_systems.push(((0, 1).into(), Err(closed())));
            assert_eq!(only.into_tree().err().unwrap().kind(), expected);
            let mut beside = look(1, &[(0, 1).into()]);
            beside.file_systems.push(((0, 2).into(), Err(closed())));
            let hint = beside.into_tree().err().unwrap().hint_text().unwrap().to_owned();
            assert!(
                hint.contains("--partition 1 (memory)") && hint.contains("--partition 2 (cannot be opened: "),
                "{hint}"
            );
        }
        assert!(not_shown(&facts("swap")).is_none());
    }

    #[test]
    fn without_a_system_the_only_file_system_is_taken() {
        assert!(look(1, &[(0, 1).into()]).into_tree().is_ok());
        assert!(look(1, &[(0, 1).into(), (0, 2).into()]).into_tree().is_err());
        let Err(error) = look(1, &[]).into_tree() else { panic!("a tree of nothing") };
        assert!(error.hint_text().is_some_and(|hint| hint.contains("no file system")));
    }
}
