//! From disks to facts: tables, arrays and volume groups, file systems, the root, the mounts, the operating system.

use crate::filesystems::{Notes, open_volume};
use crate::microvm::MicroVm;
use crate::{boot, crypt, root, stack, windows};
use driver_core::{FileKind, Guest, GuestFs, GuestTree, MountFacts, PartitionRole, VolumeId};
use driver_linux::FstabEntry;
use driver_luks::Passphrase;
use driver_partitions::{has_table, read_table};
use format_core::{Error, ErrorKind, Overlay, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What inspection found, with the guest's file systems mounted.
pub struct Inspection {
    /// The facts.
    pub guest: Guest,
    /// The mounted file systems; `None` when no root file system could be opened.
    pub tree: Option<GuestTree>,
    /// What opening the file systems already changed in the overlays, one sentence each.
    pub replays: Vec<String>,
    /// Mounted folders that fixups would have to edit and that cannot be looked into, with the reason.
    pub(crate) closed: Vec<String>,
    /// What only the micro-VM opens, with the reason.
    pub(crate) for_microvm: Vec<String>,
    /// Who opened it, where that was not this program itself. Behind the tree, which is dropped before it.
    pub(crate) microvm: Option<Arc<MicroVm>>,
}

/// File systems that are opened: a machine has fewer, and each takes its memory until the end.
pub(crate) const MAX_FILE_SYSTEMS: usize = 256;

/// What is said of volumes that were not looked into because of that.
pub(crate) fn left_out_text(count: u64) -> Option<String> {
    (count > 0).then(|| {
        format!(
            "{MAX_FILE_SYSTEMS} file systems are opened at most, and {count} volumes were not looked into"
        )
    })
}

/// Bytes of an obstacle that are kept: where a number or a name should be, a disk may have megabytes.
const MAX_OBSTACLE: usize = 2000;

/// Cuts what is too long for anybody to read.
pub(crate) fn shorten(obstacles: &mut [String]) {
    for text in obstacles.iter_mut().filter(|text| text.len() > MAX_OBSTACLE) {
        let end = (0..=MAX_OBSTACLE).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
        text.push('…');
    }
}

/// File systems that were opened and not mounted yet.
pub(crate) type Opened = BTreeMap<VolumeId, Box<dyn GuestFs>>;

/// Folders without which the guest cannot be understood.
const ESSENTIAL: &[&str] = &["/boot", "/etc", "/usr", "/lib", "/var"];

/// Without this one too the guest can be made to start.
const DISPENSABLE: &str = "/var";

/// Inspects the machine that has these disks, in this order.
///
/// Journals are replayed into the overlays. What cannot be looked at is an obstacle in the facts.
///
/// # Errors
/// What the disks report.
pub fn inspect_disks(overlays: &[Arc<Overlay>]) -> Result<Inspection> {
    inspect_with(overlays, &Opening::default())
}

/// What is known and wanted before the guest is opened.
#[derive(Default)]
pub(crate) struct Opening {
    /// What the source calls each disk, where its description says so.
    pub(crate) names: Vec<Option<String>>,
    /// A Windows that sleeps is given up.
    pub(crate) discard_hibernation: bool,
    /// What may open encrypted volumes.
    pub(crate) passphrases: Vec<Passphrase>,
    /// What the guest calls its open containers, by the UUID of each, as far as that is known.
    pub(crate) crypt_names: BTreeMap<String, String>,
    /// Who opens Linux's file systems instead of this program.
    pub(crate) microvm: Option<Arc<MicroVm>>,
    /// What the micro-VM may write, `None` is everything: of all else not even a log is replayed.
    pub(crate) writable: Option<BTreeSet<VolumeId>>,
    /// Only where what is mounted is asked for, not what the system is.
    pub(crate) is_survey: bool,
}

/// The same with what is known and wanted.
pub(crate) fn inspect_with(overlays: &[Arc<Overlay>], opening: &Opening) -> Result<Inspection> {
    let mut guest = Guest::default();
    let mut opened = Opened::new();
    let mut notes = Notes::default();
    let mut replays = Vec::new();
    for (index, overlay) in overlays.iter().enumerate() {
        let (mut facts, obstacles) = read_table(overlay)?;
        facts.device_name = opening.names.get(index).cloned().flatten();
        guest.obstacles.extend(obstacles.into_iter().map(|text| format!("disk {index}: {text}")));
        guest.disks.push(facts);
    }
    let candidates = stack::stack(&mut guest, overlays, opening, &mut notes)?;
    let mut left_out = 0u64;
    for candidate in candidates {
        let place = guest.place_name(candidate.id);
        let mut file_system = None;
        if opened.len() >= MAX_FILE_SYSTEMS {
            left_out += 1;
            continue;
        }
        match open_volume(&candidate, opening, &mut file_system, &mut notes) {
            Ok(Some(fs)) => {
                opened.insert(candidate.id, fs);
            }
            Ok(None) => {}
            // A VM that ended has nothing more to say of the others.
            Err(error) if opening.microvm.as_ref().is_some_and(|vm| !vm.is_running()) => {
                return Err(error.context(place));
            }
            // That is said below, and weighs more.
            Err(_) if notes.too_large.iter().any(|(id, _)| *id == candidate.id) => {}
            Err(error) => guest.obstacles.push(format!("{place}: {error}")),
        }
        replays.extend(notes.replays.drain(..).map(|text| format!("{place}: {text}")));
        if let Some(facts) = file_system {
            stack::mark(&mut guest, candidate.id, facts);
        } else if matches!(candidate.id, VolumeId::Mapped { .. }) && has_table(candidate.volume.as_ref())? {
            guest.obstacles.push(format!(
                "{place}: it holds a partition table; partitions in volumes are not mapped here"
            ));
        }
    }
    guest.obstacles.extend(left_out_text(left_out));
    for (id, text) in std::mem::take(&mut notes.too_large) {
        tell_cut(&mut guest, id, &text);
    }
    tell_encrypted(&mut guest);
    boot::firmware_facts(&mut guest, &opened)?;
    let mut closed = Vec::new();
    let mut tree = mount_all(&mut guest, opened, opening, &mut closed, &mut notes).map_err(of_guest)?;
    if let (Some(tree), Some(microvm), false) = (&mut tree, &opening.microvm, opening.is_survey) {
        tree.set_runner(microvm.vm().runner(microvm.mounts()));
    }
    if let Some(tree) = tree.as_ref().filter(|_| !opening.is_survey) {
        look(&mut guest, tree).map_err(of_guest)?;
    }
    shorten(&mut guest.obstacles);
    replays.append(&mut notes.replays);
    let (for_microvm, microvm) = (notes.for_microvm, opening.microvm.clone());
    Ok(Inspection { guest, tree, replays, closed, for_microvm, microvm })
}

/// A file system that is larger than its volume lacks its end: told of the disk, for a volume of a group of its first.
fn tell_cut(guest: &mut Guest, id: VolumeId, text: &str) {
    let (disk, text) = match id {
        VolumeId::Partition { disk, partition: 0 } => (disk, text.to_owned()),
        VolumeId::Partition { disk, partition } => (disk, format!("partition {partition}: {text}")),
        VolumeId::Mapped { volume } => {
            let group = guest.volumes.get(volume).and_then(|volume| guest.groups.get(volume.group));
            let first = group.and_then(|group| group.parts.iter().find_map(|part| part.place));
            let disk = match first {
                Some(VolumeId::Partition { disk, .. }) => disk,
                _ => 0,
            };
            (disk, format!("{}: {text}", guest.place_name(id)))
        }
    };
    if let Some(facts) = guest.disks.get_mut(disk) {
        facts.cut_off.push(text);
    }
}

/// Volumes that only their owner can open.
fn tell_encrypted(guest: &mut Guest) {
    let mut found = Vec::new();
    for (disk, facts) in guest.disks.iter().enumerate() {
        for partition in &facts.partitions {
            if partition.file_system.as_ref().is_some_and(|fs| fs.kind == "BitLocker") {
                let place = guest.place_name((disk, partition.number).into());
                found.push(format!("{place}: {}", windows::BITLOCKER_TEXT));
            }
        }
    }
    guest.obstacles.extend(found);
}

fn look(guest: &mut Guest, tree: &GuestTree) -> Result<()> {
    if tree.hive_path("SYSTEM").is_some() {
        driver_windows::inspect(tree, guest)?;
        return boot::windows_facts(guest, tree);
    }
    driver_linux::inspect(tree, guest, &interesting_modules())?;
    boot::fallback_facts(guest, tree)?;
    boot::kernel_signature(guest, tree)?;
    boot::host_loader(guest, tree)
}

/// An error about a guest's files, as the operator sees it: a link that leads to itself is no fault of the command line, and
/// a file that is too large none of this program.
pub(crate) fn of_guest(error: Error) -> Error {
    let step = match error.kind() {
        ErrorKind::Usage => "repair that file or link in the running guest, then export and migrate it again",
        ErrorKind::Limit => "make it smaller in the running guest, then export and migrate it again",
        _ => return error,
    };
    let error = error.with_kind(ErrorKind::NeedsPerson);
    if error.hint_text().is_some() { error } else { error.hint(step) }
}

/// Every module that some target asks for.
fn interesting_modules() -> Vec<&'static str> {
    let mut modules: Vec<_> = driver_targets::targets()
        .flat_map(|target| target.boot_modules.iter().chain(target.helpful_modules))
        .copied()
        .collect();
    modules.sort_unstable();
    modules.dedup();
    modules
}

/// Mounts a file system into the tree.
type Mount<'a> = &'a dyn Fn(&mut GuestTree, &str, Box<dyn GuestFs>);

/// Mounts the root and what its fstab mounts below it.
pub(crate) fn mount_all(
    guest: &mut Guest,
    mut opened: Opened,
    opening: &Opening,
    closed: &mut Vec<String>,
    notes: &mut Notes,
) -> Result<Option<GuestTree>> {
    let Some((root, fs)) = root::take(guest, &mut opened, opening, !notes.for_microvm.is_empty())? else {
        return Ok(None);
    };
    if fs.kind() == "ntfs" {
        return windows::mount(guest, root, fs, &mut opened, notes);
    }
    let mut tree = GuestTree::new();
    let kind = fs.kind().to_owned();
    let mount = |tree: &mut GuestTree, point: &str, fs: Box<dyn GuestFs>| {
        opening.microvm.iter().for_each(|microvm| microvm.note_mount(point, fs.as_ref()));
        tree.mount(point, fs);
    };
    mount(&mut tree, "/", fs);
    let text = read_table_of_mounts(&tree)?;
    let entries = driver_linux::read_fstab(&String::from_utf8_lossy(&text));
    let root_device = entries.iter().find(|entry| entry.point == "/").map(|entry| entry.device.clone());
    let device = root_device.unwrap_or_default();
    guest.mounts.push(MountFacts { point: "/".into(), device, place: root, kind });
    driver_linux::learn_disk_links(&tree, guest, root, &entries)?;
    for path in ["/etc/mdadm/mdadm.conf", "/etc/mdadm.conf"] {
        if let Some(text) = tree.read_file(path, 1 << 20)? {
            stack::name_arrays(guest, &String::from_utf8_lossy(&text));
        }
    }
    if let Some(text) = tree.read_file("/etc/crypttab", 1 << 20)? {
        crypt::name_containers(guest, &String::from_utf8_lossy(&text));
    }
    let mut below: Vec<_> =
        entries.iter().filter(|entry| entry.point.starts_with('/') && entry.point != "/").collect();
    below.sort_by_key(|entry| entry.point.len());
    for entry in below {
        let found = guest.resolve_device(&entry.device);
        let fs = found.map(|id| take_for(entry, id, &mut opened)).transpose()?.flatten();
        match found.zip(fs) {
            Some((id, fs)) => {
                let (point, device, kind) = (entry.point.clone(), entry.device.clone(), fs.kind().to_owned());
                guest.mounts.push(MountFacts { point, device, place: id, kind });
                mount(&mut tree, &entry.point, fs);
            }
            None if ESSENTIAL.contains(&entry.point.as_str()) => {
                let kind = found.and_then(|id| what_is_at(guest, id));
                let kind = kind.unwrap_or_else(|| "an unknown device".into());
                let text = format!("{} is on {} ({kind}), which cannot be opened", entry.point, entry.device);
                // What lies below the mount point in the root is not what the machine uses.
                closed.extend((entry.point != DISPENSABLE).then(|| text.clone()));
                guest.obstacles.push(text);
            }
            None => {}
        }
    }
    mount_esp(guest, &mut opened, &mut tree, &mount)?;
    Ok(Some(tree))
}

/// The file system that a line of fstab mounts. One with subvolumes is there for several lines.
fn take_for(entry: &FstabEntry, id: VolumeId, opened: &mut Opened) -> Result<Option<Box<dyn GuestFs>>> {
    let option = |name: &str| entry.options.iter().find_map(|option| option.strip_prefix(name));
    let subvolume = option("subvol=").map(|path| path.trim_matches('/'));
    let subvolume = subvolume.or_else(|| option("subvolid=").filter(|number| *number == "5").map(|_| ""));
    match (subvolume, opened.get(&id)) {
        (Some(path), Some(fs)) if fs.kind() == "btrfs" => fs.open_subvolume(path),
        _ => Ok(opened.remove(&id)),
    }
}

fn read_table_of_mounts(tree: &GuestTree) -> Result<Vec<u8>> {
    const FSTAB: &str = "/etc/fstab";
    Ok(tree.read_file(FSTAB, 1 << 20).map_err(|error| error.context(FSTAB))?.unwrap_or_default())
}

/// An EFI system partition that fstab does not name is mounted by systemd-gpt-auto-generator(8): at /efi, or else at /boot
/// where that is empty. Where neither is, it gets the place that installers make for it, so that its loader can be seen.
fn mount_esp(guest: &mut Guest, opened: &mut Opened, tree: &mut GuestTree, mount: Mount<'_>) -> Result<()> {
    let is_esp = |id: &VolumeId| match *id {
        VolumeId::Partition { disk, partition } => {
            guest.partition((disk, partition)).is_some_and(|facts| facts.role == PartitionRole::Esp)
        }
        VolumeId::Mapped { .. } => false,
    };
    if guest.mounts.iter().any(|mount| is_esp(&mount.place)) {
        return Ok(());
    }
    let esps: Vec<_> = opened.keys().copied().filter(is_esp).collect();
    // Which of several the firmware starts from is not written on them.
    let [id] = esps.as_slice() else { return Ok(()) };
    for point in ["/efi", "/boot", "/boot/efi"] {
        let is_mounted = guest.mounts.iter().any(|mount| mount.point == point);
        let is_folder = tree.link_metadata(point)?.is_some_and(|meta| meta.kind == FileKind::Folder);
        if is_mounted || !is_folder || !tree.read_dir(point)?.is_empty() {
            continue;
        }
        let Some(fs) = opened.remove(id) else { return Ok(()) };
        let (point, kind) = (point.to_owned(), fs.kind().to_owned());
        mount(tree, &point, fs);
        guest.mounts.push(MountFacts { point, device: String::new(), place: *id, kind });
        return Ok(());
    }
    Ok(())
}

/// The file system's kind, or why the volume could not be mapped.
fn what_is_at(guest: &Guest, id: VolumeId) -> Option<String> {
    let obstacle = match id {
        VolumeId::Mapped { volume } => guest.volumes.get(volume).and_then(|volume| volume.obstacle.clone()),
        VolumeId::Partition { .. } => None,
    };
    obstacle.or_else(|| guest.file_system(id).map(|fs| fs.kind.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use driver_core::{FsFacts, PartitionFacts};
    use format_core::{OpenOptions, open_image};

    #[test]
    fn obstacles_are_cut_at_a_character() {
        let mut texts =
            [String::from("short"), "é".repeat(1 << 20), format!("x{}", "é".repeat(MAX_OBSTACLE))];
        shorten(&mut texts);
        assert_eq!(texts[0], "short");
        assert_eq!(texts[1], format!("{}…", "é".repeat(MAX_OBSTACLE / 2)));
        assert_eq!(texts[2].len(), MAX_OBSTACLE - 1 + "…".len());
        assert_eq!(left_out_text(0), None);
        assert!(left_out_text(3).is_some_and(|text| text.contains("3 volumes")));
    }

    #[test]
    fn a_boot_folder_that_cannot_be_opened_is_noticed() {
        let xfs = FsFacts { kind: "xfs".into(), uuid: Some("b".into()), ..FsFacts::default() };
        let partition = |number, file_system| PartitionFacts { number, file_system, ..Default::default() };
        let partitions = vec![partition(1, None), partition(2, Some(xfs))];
        let mut guest = Guest::default();
        guest.disks.push(driver_core::DiskFacts { partitions, ..Default::default() });
        let root = driver_core::MemFs::new()
            .with_file("/etc/os-release", "ID=x\n")
            .with_file("/etc/fstab", "UUID=b /boot xfs defaults 0 0\nUUID=c /var xfs defaults 0 0\n")
            .with_file("/boot/grub/grub.cfg", "of an earlier time");
        let opened = Opened::from([((0, 1).into(), Box::new(root) as Box<dyn GuestFs>)]);
        let mut closed = Vec::new();
        assert!(
            mount_all(&mut guest, opened, &Opening::default(), &mut closed, &mut Notes::default())
                .unwrap()
                .is_some()
        );
        assert_eq!(closed, ["/boot is on UUID=b (xfs), which cannot be opened"]);
        assert_eq!(guest.obstacles.len(), 2);
    }

    #[test]
    fn an_efi_system_partition_without_a_line_in_fstab_is_mounted() {
        for (folder, point) in [("/efi", Some("/efi")), ("/boot/efi", Some("/boot/efi")), ("/mnt", None)] {
            let partition = |number, role| PartitionFacts { number, role, ..Default::default() };
            let partitions = vec![partition(1, PartitionRole::Data), partition(2, PartitionRole::Esp)];
            let mut guest = Guest::default();
            guest.disks.push(driver_core::DiskFacts { partitions, ..Default::default() });
            let root = driver_core::MemFs::new()
                .with_file("/etc/os-release", "ID=debian\n")
                .with_file("/etc/fstab", "")
                .with_file("/boot/vmlinuz", "")
                .with_folder(folder);
            let esp = driver_core::MemFs::new()
                .with_file("/EFI/debian/shimx64.efi", "Microsoft UEFI CA 2023")
                .with_file("/EFI/debian/grubx64.efi", "g");
            let root = Box::new(root) as Box<dyn GuestFs>;
            let opened =
                Opened::from([((0, 1).into(), root), ((0, 2).into(), Box::new(esp) as Box<dyn GuestFs>)]);
            let tree =
                mount_all(&mut guest, opened, &Opening::default(), &mut Vec::new(), &mut Notes::default())
                    .unwrap()
                    .unwrap();
            assert_eq!(guest.mounts.get(1).map(|mount| mount.point.as_str()), point);
            boot::fallback_facts(&mut guest, &tree).unwrap();
            assert_eq!(guest.boot.uefi.is_some(), point.is_some());
            assert_eq!(guest.boot.secure_boot, point.map(|_| true));
            assert_eq!(guest.boot.uefi_copy, point.map(|point| format!("{point}/EFI/debian/shimx64.efi")));
        }
    }

    #[test]
    fn disks_get_the_names_of_the_machine() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("zeros.raw");
        std::fs::write(&path, vec![0; 1 << 20]).unwrap();
        let raw = format_all::FORMATS.iter().find(|format| format.is_called("raw")).copied();
        let options = OpenOptions::new(format_all::FORMATS, raw);
        let overlay = || Overlay::new(open_image(&path, &options).unwrap().disk);
        let names = vec![Some("/dev/sda1".to_owned()), Some("/dev/sdf".to_owned())];
        let opening = Opening { names: names.clone(), ..Opening::default() };
        let guest = inspect_with(&[overlay(), overlay()], &opening).unwrap().guest;
        let found: Vec<_> = guest.disks.iter().map(|disk| disk.device_name.clone()).collect();
        assert_eq!(found, names);
    }
}
