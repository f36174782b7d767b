//! What disks do not use: overwritten with noise, judged by e2fsck, debugfs and LVM.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "../../../drivers/md/tests/maker/mod.rs"]
mod maker;
#[path = "../../../drivers/lvm/tests/tools/mod.rs"]
mod tools;

use convert_migrate::{FreeSpace, free_space};
use format_core::{Disk, OpenOptions, masked, open_image};
use maker::Spec;
use tools::{Disks, Run, deal, pattern, sbin, size_of};

const MIB: usize = 1 << 20;

/// An ext4 with files, of which some are deleted again.
fn ext4(size: usize, files: usize) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    for number in 0..files {
        std::fs::write(tree.join(number.to_string()), pattern(40_000 + number * 977, number as u64)).unwrap();
    }
    let (image, tree, size) = (folder.path().join("fs"), tree.to_str().unwrap(), format!("{}k", size / 1024));
    let image = image.to_str().unwrap();
    let made = sbin("mke2fs", &["-q", "-t", "ext4", "-b", "1024", "-d", tree, image, &size]);
    assert!(made.status.success(), "mke2fs (package e2fsprogs): {made:?}");
    for number in (1..files).step_by(2) {
        assert!(sbin("debugfs", &["-w", "-R", &format!("rm {number}"), image]).status.success());
    }
    std::fs::read(image).unwrap()
}

/// The file system is clean, and its files are as they were.
fn judge(image: &[u8], files: usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fs");
    std::fs::write(&path, image).unwrap();
    let path = path.to_str().unwrap();
    let checked = sbin("e2fsck", &["-fn", path]);
    assert!(checked.status.success(), "{checked:?}");
    for number in (0..files).step_by(2) {
        let content = sbin("debugfs", &["-R", &format!("cat {number}"), path]).stdout;
        assert!(content == pattern(40_000 + number * 977, number as u64), "file {number}");
    }
}

/// A disk with MBR partitions of type and content, each from a whole MiB, and noise between them.
fn disk(partitions: &[(u8, &[u8])]) -> Vec<u8> {
    let mut disk = pattern(MIB, 77);
    disk[446..510].fill(0);
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    for (number, (kind, content)) in partitions.iter().enumerate() {
        let (entry, start) = (446 + 16 * number, disk.len());
        disk[entry + 4] = *kind;
        disk[entry + 8..entry + 12].copy_from_slice(&((start / 512) as u32).to_le_bytes());
        disk[entry + 12..entry + 16].copy_from_slice(&((content.len() / 512) as u32).to_le_bytes());
        disk.extend_from_slice(content);
        let gap = disk.len().next_multiple_of(MIB) + MIB - disk.len();
        disk.extend(pattern(gap, 78));
    }
    disk
}

/// The disks, what they do not use, and the disks after noise went there.
fn overwritten(contents: &[Vec<u8>]) -> (FreeSpace, Vec<Vec<u8>>) {
    let folder = tempfile::tempdir().unwrap();
    let raw = format_all::FORMATS.iter().find(|format| format.is_called("raw")).copied();
    let open = |(number, content): (usize, &Vec<u8>)| {
        let path = folder.path().join(format!("{number}.raw"));
        std::fs::write(&path, content).unwrap();
        open_image(&path, &OpenOptions::new(format_all::FORMATS, raw)).unwrap().disk
    };
    let disks: Vec<Disk> = contents.iter().enumerate().map(open).collect();
    let found = free_space(&disks).unwrap();
    let mut after = contents.to_vec();
    for (((number, content), set), disk) in after.iter_mut().enumerate().zip(&found.disks).zip(&disks) {
        assert!(*content == std::fs::read(folder.path().join(format!("{number}.raw"))).unwrap());
        let mut zeroed = content.clone();
        for (at, len) in set.iter() {
            let (at, len) = (at as usize, len as usize);
            // Equal on mirrors.
            content[at..at + len].fill(0xa5);
            let (from, to) = (at.next_multiple_of(65536), (at + len) / 65536 * 65536);
            zeroed[from..to.max(from)].fill(0);
        }
        let mut read = vec![1; zeroed.len()];
        masked(disk, set).read_exact_at(0, &mut read).unwrap();
        assert!(read == zeroed, "disk {number} with what is free masked");
    }
    (found, after)
}

/// Takes a volume's content out of the disks again.
fn taken(disks: &[Vec<u8>], map: &[Run], volume: &str) -> Vec<u8> {
    let mut content = vec![0; size_of(map, volume)];
    for run in map.iter().filter(|run| run.volume == volume) {
        let piece = if run.stripes.len() == 1 { run.len } else { run.stripe_size };
        let mut places = run.stripes.clone();
        for (turn, target) in content[run.start..run.start + run.len].chunks_mut(piece).enumerate() {
            let count = places.len();
            let (disk, at) = &mut places[turn % count];
            target.copy_from_slice(&disks[*disk][*at..*at + target.len()]);
            *at += target.len();
        }
    }
    content
}

fn swap(size: usize) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("swap");
    std::fs::write(&path, vec![0; size]).unwrap();
    let made = sbin("mkswap", &[path.to_str().unwrap()]);
    assert!(made.status.success(), "mkswap (package util-linux): {made:?}");
    std::fs::read(path).unwrap()
}

#[test]
fn partitions_swap_and_volumes_over_two_disks() {
    let Some(group) = Disks::blank(2, 24) else { return };
    group.lvm("pvcreate @0 @1");
    group.lvm("vgcreate -s 512k vg-0 @0 @1");
    group.lvm("lvcreate -an -Zn -Wn -l 12 -n root vg-0 @0");
    group.lvm("lvcreate -an -Zn -Wn -i 2 -I 64k -l 20 -n va-r vg-0");
    group.lvm("lvextend -l +12 vg-0/root @1");
    let (map, mut volumes) = (group.map(), group.contents());
    deal(&mut volumes, &map, "root", &ext4(size_of(&map, "root"), 30));
    deal(&mut volumes, &map, "va-r", &ext4(size_of(&map, "va-r"), 20));
    let (boot, area) = (ext4(16 * MIB, 40), swap(3 * MIB));
    let first = disk(&[(0x83, &boot), (0x82, &area), (0x8e, &volumes[0])]);
    let contents = [first, volumes[1].clone()];
    let (found, after) = overwritten(&contents);

    let kinds: Vec<_> = found.notes.iter().map(|note| (note.kind.as_deref(), note.why_not.clone())).collect();
    assert_eq!(kinds, ["ext4", "swap", "ext4", "ext4"].map(|kind| (Some(kind), None::<String>)));
    let (boot_at, swap_at, pv_at) = (MIB, 18 * MIB, 22 * MIB);
    judge(&after[0][boot_at..boot_at + boot.len()], 40);
    let pvs = [after[0][pv_at..pv_at + 24 * MIB].to_vec(), after[1].clone()];
    judge(&taken(&pvs, &map, "root"), 30);
    judge(&taken(&pvs, &map, "va-r"), 20);
    let judge = Disks::new(&pvs).unwrap();
    judge.lvm("vgck vg-0");
    assert_eq!(format!("{:?}", judge.map()), format!("{map:?}"));

    // Gaps are in use, all of the swap area behind its header is not.
    for gap in [
        0..MIB,
        boot_at + boot.len()..swap_at,
        swap_at + area.len()..pv_at,
        pv_at + 24 * MIB..contents[0].len(),
    ] {
        assert!(after[0][gap.clone()] == contents[0][gap]);
    }
    let set = &found.disks[0];
    assert!(set.within(swap_at as u64, pv_at as u64).eq([(swap_at as u64 + 4096, 3 * MIB as u64 - 4096)]));
    // Of the groups, what LVM calls free, and no other extent as a whole.
    let fields = "pv_name,pvseg_start,pvseg_size,segtype,pe_start";
    let segments =
        group.lvm(&format!("pvs --noheadings --units b --nosuffix --separator ; --segments -o {fields}"));
    let mut free = 0;
    for line in segments.lines() {
        let cells: Vec<&str> = line.trim().split(';').collect();
        let number = |cell: usize| cells[cell].parse::<u64>().unwrap();
        let index = group.loops.iter().position(|name| name == cells[0]).unwrap();
        let start = number(4) + number(1) * (512 << 10) + if index == 0 { pv_at as u64 } else { 0 };
        let end = start + number(2) * (512 << 10);
        let covered: u64 = found.disks[index].within(start, end).map(|(_, len)| len).sum();
        match cells[3] {
            "free" => assert_eq!(covered, end - start, "{line}"),
            _ => assert!(covered > 0 && covered < end - start, "{line}"),
        }
        free += if cells[3] == "free" { end - start } else { 0 };
    }
    let mapped: u64 = found.notes.iter().map(|note| note.free).sum();
    let all: u64 = found.disks.iter().map(|set| set.total()).sum();
    assert_eq!(all, mapped + free, "each volume's bytes lie in one place");
}

/// A member of a raid1 with this content.
fn member(version: &'static str, number: u32, content: &[u8]) -> Vec<u8> {
    let spec = Spec::new(version, 1, 2, (content.len() / 512) as u64, number);
    spec.device(content).bytes()
}

#[test]
fn both_halves_of_a_mirror_and_nothing_of_one_alone() {
    for (version, data) in [("1.0", 0), ("1.2", 256 * 512)] {
        let content = ext4(12 * MIB, 20);
        let halves = [0, 1].map(|number| member(version, number, &content));
        let contents = [disk(&[(0xfd, &halves[0])]), halves[1].clone()];
        let (found, after) = overwritten(&contents);
        let [first, second] = [&after[0][MIB + data..], &after[1][data..]].map(|half| &half[..content.len()]);
        assert!(first == second && first != content.as_slice(), "{version}: both halves are the same");
        judge(first, 20);
        let [one, other] = [&found.disks[0], &found.disks[1]].map(|set| set.total());
        assert_eq!((one, found.notes[0].free), (other, one), "{version}");
        assert!(one > 6 * MIB as u64, "{version}: {:?}", found.notes);

        let (found, _) = overwritten(&contents[..1]);
        assert!(found.disks[0].is_empty(), "{version}: the other half is elsewhere");
        assert!(found.notes[0].why_not.is_some(), "{version}: {:?}", found.notes);
    }
}

#[test]
fn what_is_not_certain_is_in_use() {
    let content = ext4(8 * MIB, 10);
    let good = disk(&[(0x83, &content), (0x83, &content)]);
    let (found, _) = overwritten(std::slice::from_ref(&good));
    assert_eq!(found.notes.iter().filter(|note| note.free > 0).count(), 2, "{:?}", found.notes);

    // A partition that begins inside the other.
    let mut shared = good.clone();
    shared[470..474].copy_from_slice(&(4096u32).to_le_bytes());
    let (found, _) = overwritten(&[shared]);
    assert!(found.disks[0].is_empty());
    assert!(found.notes.iter().any(|note| note.why_not.as_ref().is_some_and(|why| why.contains("overlaps"))));

    // What ZFS leaves in its label, where a file system was before.
    let mut twice = good.clone();
    twice[MIB + 0x4018..MIB + 0x4020].copy_from_slice(b"version\0");
    let (found, _) = overwritten(&[twice]);
    let why = found.notes[0].why_not.clone().unwrap();
    assert!(why.contains("zfs_member"), "{why}");
    assert!(found.notes[1].free > 0 && found.disks[0].iter().all(|(at, _)| at > 9 * MIB as u64));

    // A file system whose guest found errors, and a container.
    let mut errors = good.clone();
    errors[MIB + 1024 + 0x3a] = 2;
    errors[10 * MIB..10 * MIB + 6].copy_from_slice(b"LUKS\xba\xbe");
    errors[10 * MIB + 1024..10 * MIB + 2048].fill(0);
    let (found, _) = overwritten(&[errors]);
    assert!(found.disks[0].is_empty(), "{:?}", found.notes);
}
