//! Arrays of every level: what is read, where a write goes, and which members count. mdadm judges the superblocks.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod maker;

use driver_core::Volume;
use driver_md::{Array, MemberState, assemble, probe};
use maker::{FAULTY, Memory, SPARE, Spec, dealt, old_device, pattern};
use proptest::prelude::*;
use std::process::Command;
use std::sync::Arc;

fn assembled(devices: &[Arc<Memory>]) -> Array {
    let members: Vec<_> = devices
        .iter()
        .map(|device| (probe(device.as_ref()).unwrap().unwrap(), Arc::clone(device) as Arc<dyn Volume>))
        .collect();
    let mut arrays = assemble(&members);
    assert_eq!(arrays.len(), 1);
    arrays.remove(0)
}

fn refusal(devices: &[Arc<Memory>]) -> String {
    assembled(devices).content.err().unwrap()
}

fn read(array: &Array) -> Vec<u8> {
    let content = array.content.as_ref().unwrap();
    let mut bytes = vec![0; content.size() as usize];
    content.read_exact_at(0, &mut bytes).unwrap();
    bytes
}

/// What mdadm says of a member.
fn examine(device: &Memory) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), device.bytes()).unwrap();
    let output = Command::new("timeout")
        .args(["30", "mdadm", "--examine"])
        .arg(file.path())
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .output()
        .unwrap_or_else(|e| panic!("cannot run mdadm (package mdadm): {e}"));
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The value that mdadm prints after `field :`.
fn field<'a>(text: &'a str, field: &str) -> &'a str {
    let lines = text.lines().filter_map(|line| line.split_once(" : "));
    lines.filter(|(name, _)| name.trim() == field).map(|(_, value)| value.trim()).next().unwrap_or_default()
}

#[test]
fn mdadm_sees_what_is_seen_here() {
    for (version, level) in [("1.0", 1), ("1.1", 10), ("1.2", 0), ("1.2", -1), ("1.2", 1)] {
        let mut spec = Spec::new(version, level, 2, 1024, 1);
        spec.layout = if level == 10 { 0x102 } else { 0 };
        let device = spec.device(&[]);
        let text = examine(&device);
        let superblock = probe(device.as_ref()).unwrap().unwrap();
        assert!(field(&text, "Checksum").ends_with("correct"), "{text}");
        assert!(field(&text, "Version").starts_with(version), "{text}");
        assert_eq!(field(&text, "Array UUID"), superblock.uuid());
        assert!(field(&text, "Name").starts_with(&superblock.name()), "{text}");
        assert_eq!(field(&text, "Device Role"), "Active device 1");
        assert!(field(&text, "Array State").starts_with("AA"), "{text}");
        assert_eq!(field(&text, "Super Offset"), format!("{} sectors", superblock.offset() / 512));
        let other = Spec { number: 0, ..spec }.device(&[]);
        assert_eq!(field(&text, "Raid Level"), assembled(&[device, other]).level);
    }
    let device = old_device(2, 1, &[0; 128 << 10]);
    let text = examine(&device);
    let superblock = probe(device.as_ref()).unwrap().unwrap();
    assert!(field(&text, "Checksum").ends_with("correct"), "{text}");
    assert!(field(&text, "UUID").starts_with(&superblock.uuid()), "{text}");
    assert_eq!((superblock.name().as_str(), field(&text, "Preferred Minor")), ("md3", "3"));
}

/// All members of an array of this shape, with its content.
fn array_of(
    version: &'static str,
    level: i32,
    disks: u32,
    copies: usize,
    rows: u64,
) -> (Vec<Arc<Memory>>, Vec<u8>) {
    let (chunk, size) = (64 << 10, rows * 128);
    let len = match level {
        1 => size as usize * 512,
        _ => rows as usize * disks as usize / copies * chunk,
    };
    let content = pattern(len, u64::from(disks) * 100 + rows);
    let members = match level {
        1 => vec![content.clone(); disks as usize],
        -1 => content.chunks(size as usize * 512).map(<[u8]>::to_vec).collect(),
        _ => dealt(&content, disks as usize, copies, chunk, size as usize * 512),
    };
    let devices = (0..disks).zip(&members).map(|(number, data)| {
        let mut spec = Spec::new(version, level, disks, size, number);
        spec.layout = if level == 10 { 0x100 | copies as u32 } else { 0 };
        // Some sectors more than whole chunks.
        spec.data_size += 24;
        spec.device(data)
    });
    (devices.collect(), content)
}

const SHAPES: [(i32, u32, usize); 10] = [
    (-1, 3, 1),
    (0, 1, 1),
    (0, 2, 1),
    (0, 3, 1),
    (1, 2, 1),
    (1, 3, 1),
    (10, 2, 2),
    (10, 3, 2),
    (10, 4, 2),
    (10, 5, 3),
];

#[test]
fn every_level_is_read_as_it_was_dealt() {
    for version in ["1.0", "1.1", "1.2"] {
        for (level, disks, copies) in SHAPES {
            let (devices, content) = array_of(version, level, disks, copies, 7);
            let array = assembled(&devices);
            assert!(read(&array) == content, "{version} {level} {disks}");
            assert!(array.warnings.is_empty() && array.read_only.is_none(), "{:?}", array.warnings);
            assert_eq!(array.devices[0], "/dev/md7");
            // The order in which the disks are given means nothing.
            let reversed: Vec<_> = devices.into_iter().rev().collect();
            assert!(read(&assembled(&reversed)) == content, "{version} {level} {disks} reversed");
        }
    }
    let content = pattern(128 << 10, 4);
    let old = [old_device(2, 0, &content), old_device(2, 1, &content)];
    let array = assembled(&old);
    assert!(read(&array) == content);
    assert_eq!(array.devices[..2], ["/dev/md3", "/dev/md/3"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// After random writes the array reads as a byte array would, and the members are what dealing that array gives:
    /// every copy is written, and nothing beside the data.
    #[test]
    fn writes_reach_every_copy_and_nothing_else(
        shape in 0usize..10,
        writes in prop::collection::vec((0usize..1 << 22, 1usize..200_000, any::<u64>()), 1..6),
    ) {
        let (level, disks, copies) = SHAPES[shape];
        let (devices, mut content) = array_of("1.2", level, disks, copies, 5);
        let array = assembled(&devices);
        let volume = array.content.as_ref().unwrap();
        for (at, len, seed) in writes {
            let at = at % content.len();
            let bytes = pattern(len.min(content.len() - at), seed);
            volume.write_all_at(at as u64, &bytes).unwrap();
            content[at..at + bytes.len()].copy_from_slice(&bytes);
            let mut back = vec![0; bytes.len()];
            volume.read_exact_at(at as u64, &mut back).unwrap();
            prop_assert!(back == bytes);
        }
        prop_assert!(read(&array) == content);
        let size = 5 * (64 << 10);
        let members = match level {
            1 => vec![content; disks as usize],
            -1 => content.chunks(size).map(<[u8]>::to_vec).collect(),
            _ => dealt(&content, disks as usize, copies, 64 << 10, size),
        };
        for (number, (device, data)) in (0..).zip(devices.iter().zip(members)) {
            let mut spec = Spec::new("1.2", level, disks, 5 * 128, number);
            spec.layout = if level == 10 { 0x100 | copies as u32 } else { 0 };
            spec.data_size += 24;
            prop_assert!(device.bytes() == spec.device(&data).bytes(), "member {number}");
        }
    }
}

fn mirror(number: u32, change: impl Fn(&mut Spec)) -> (Spec, Arc<Memory>) {
    let mut spec = Spec::new("1.2", 1, 2, 256, number);
    change(&mut spec);
    let device = spec.device(&pattern(256 * 512, u64::from(number)));
    (spec, device)
}

#[test]
fn the_freshest_superblock_decides_who_is_a_member() {
    // It was thrown out, and does not know.
    for events in [20, 29, 30] {
        let (_, current) = mirror(0, |spec| (spec.events, spec.roles) = (30, vec![0, FAULTY]));
        let (_, old) = mirror(1, |spec| spec.events = events);
        let array = assembled(&[old.clone(), current.clone()]);
        if events == 30 {
            let why = array.content.err().unwrap();
            assert!(why.contains("contradict"), "{why}");
            continue;
        }
        assert!(read(&array) == pattern(256 * 512, 0), "{events}");
        let states: Vec<_> = array.members.iter().map(|member| member.state).collect();
        assert_eq!(states, [MemberState::OutOfDate, MemberState::InSync]);
        assert!(array.warnings[0].contains("degraded"), "{:?}", array.warnings);
        let before = old.bytes();
        array.content.unwrap().write_all_at(5, b"new").unwrap();
        assert!(old.bytes() == before, "a member that is out of date is not written");
    }
    let (_, alone) = mirror(1, |_| {});
    let array = assembled(std::slice::from_ref(&alone));
    assert!(read(&array) == pattern(256 * 512, 1));
    assert_eq!(array.members.iter().filter(|member| member.state == MemberState::Missing).count(), 1);
    let (_, spare) = mirror(2, |spec| spec.roles = vec![0, 1, SPARE]);
    let (_, first) = mirror(0, |spec| spec.roles = vec![0, 1, SPARE]);
    let array = assembled(&[spare, first]);
    assert!(read(&array) == pattern(256 * 512, 0), "a spare holds nothing");
}

#[test]
fn a_mirror_that_was_not_stopped_is_read_from_one_member_and_written_to_all() {
    let dirty = |spec: &mut Spec| spec.resync_offset = 0;
    let ((_, first), (_, second)) = (mirror(0, dirty), mirror(1, dirty));
    assert_eq!(field(&examine(&first), "State"), "active");
    let array = assembled(&[second.clone(), first.clone()]);
    assert!(read(&array) == pattern(256 * 512, 0), "the first device, as the kernel's resync");
    assert!(array.warnings[0].contains("not cleanly stopped"));
    array.content.unwrap().write_all_at(1000, &[7; 3000]).unwrap();
    for device in [first, second] {
        assert_eq!(device.bytes()[256 * 512 + 1000..][..3000], [7; 3000]);
    }
    // One event less: the last update reached one of them only.
    let ((_, first), (_, second)) =
        (mirror(0, dirty), mirror(1, |spec| (spec.events, spec.resync_offset) = (21, 0)));
    let array = assembled(&[first, second]);
    assert!(read(&array) == pattern(256 * 512, 0));
    assert!(array.members.iter().all(|member| member.state == MemberState::InSync));
    // Write-mostly members are read last.
    let ((_, first), (_, second)) = (mirror(0, |spec| spec.devflags = 1), mirror(1, |_| {}));
    assert!(read(&assembled(&[first, second])) == pattern(256 * 512, 1));
}

#[test]
fn a_member_that_is_rebuilt_is_written_and_not_read() {
    let (_, rebuilt) = mirror(0, |spec| spec.features = 2);
    let (_, whole) = mirror(1, |_| {});
    let array = assembled(&[rebuilt.clone(), whole.clone()]);
    assert!(read(&array) == pattern(256 * 512, 1));
    array.content.unwrap().write_all_at(0, b"both").unwrap();
    assert!(
        rebuilt.bytes()[256 * 512..].starts_with(b"both") && whole.bytes()[256 * 512..].starts_with(b"both")
    );
    let refused = refusal(std::slice::from_ref(&rebuilt));
    assert!(refused.contains("in sync"), "{refused}");
}

#[test]
fn a_degraded_array_with_a_bitmap_is_read_only() {
    let (_, alone) = mirror(0, |spec| spec.features = 1);
    let array = assembled(std::slice::from_ref(&alone));
    assert!(read(&array) == pattern(256 * 512, 0));
    let before = alone.bytes();
    let error = array.content.unwrap().write_all_at(0, b"x").unwrap_err();
    assert_eq!(error.kind(), format_core::ErrorKind::NeedsPerson);
    assert_eq!(array.read_only.as_deref(), Some(error.message()));
    assert!(alone.bytes() == before);
    let (_, other) = mirror(1, |spec| spec.features = 1);
    assert!(assembled(&[alone, other]).read_only.is_none());
}

#[test]
fn raid10_lives_as_long_as_every_chunk_has_a_copy() {
    let (devices, content) = array_of("1.2", 10, 4, 2, 6);
    for (missing, lives) in
        [(vec![0], true), (vec![0, 2], true), (vec![1, 2], true), (vec![0, 1], false), (vec![2, 3], false)]
    {
        let left: Vec<_> = (0..4).filter(|i| !missing.contains(i)).map(|i| Arc::clone(&devices[i])).collect();
        let array = assembled(&left);
        assert_eq!(array.content.is_ok(), lives, "{missing:?}");
        if lives {
            assert!(read(&array) == content, "{missing:?}");
            assert!(array.warnings[0].contains("2 of 4") || missing.len() == 1);
        }
    }
    let (devices, _) = array_of("1.2", 10, 3, 2, 6);
    assert!(assembled(&devices[1..]).content.is_ok());
    assert!(assembled(&devices[2..]).content.is_err(), "with three devices every two share a chunk");
}

#[test]
fn what_is_not_done_is_refused_with_a_reason() {
    let pair = |change: &dyn Fn(&mut Spec)| [mirror(0, change).1, mirror(1, change).1];
    for (feature, why) in [
        (4, "reshape"),
        (8, "bad blocks"),
        (16, "replaced"),
        (32, "reshape"),
        (64, "reshape"),
        (128, "bitmap"),
        (256, "cluster"),
        (512, "journal"),
        (1024, "parity log"),
        (2048, "parity log"),
        (1 << 20, "not known"),
    ] {
        let refused = refusal(&pair(&|spec| spec.features = feature));
        assert!(refused.contains(why), "{feature}: {refused}");
    }
    for (level, layout, why) in [
        (4, 0, "raid4"),
        (5, 2, "raid5"),
        (6, 2, "raid6"),
        (-4, 0, "multipath"),
        (10, 0x100, "copies"),
        (10, 0x103, "copies"),
        (10, 0x001, "copies"),
        (10, 0x202, "copies"),
        (10, 0x301, "copies"),
        // What mdadm cannot make: near and far at once, sets without far copies, bits that mean nothing.
        (10, 0x1_0102, "layout 0x10102"),
        (10, 0x6_0201, "layout 0x60201"),
        (10, 0x8_0201, "layout 0x80201"),
        // Sets smaller than the copies, of which the kernel warns.
        (10, 0x2_0201, "layout 0x20201"),
        (99, 0, "raid99"),
    ] {
        let refused = refusal(&pair(&|spec| (spec.level, spec.layout, spec.chunk) = (level, layout, 128)));
        assert!(refused.contains(why), "{level}: {refused}");
    }
    let striped = |number, data_size| {
        let spec = Spec { data_size, ..Spec::new("1.2", 0, 2, 1024, number) };
        spec.device(&[])
    };
    assert!(refusal(&[striped(0, 1024), striped(1, 512)]).contains("different sizes"));
    assert!(refusal(&[striped(0, 1024)]).contains("missing"));
    let ((_, a), (_, b)) = (mirror(0, |_| {}), mirror(0, |_| {}));
    assert!(refusal(&[a, b]).contains("leave out the copy"));
}

#[test]
fn two_superblocks_and_those_of_another_device_are_noticed() {
    let (spec, device) = mirror(0, |_| {});
    let mut bytes = device.bytes();
    let at_end = Spec { version: "1.0", ..spec };
    let at = at_end.place() as usize * 512;
    bytes[at..at + 4096].copy_from_slice(&at_end.superblock());
    let error = probe(Memory::new(bytes.clone()).as_ref()).unwrap_err();
    assert!(
        error.to_string().contains("several") && error.kind() == format_core::ErrorKind::NeedsPerson,
        "{error}"
    );
    // The last partition's superblock, seen from a disk that begins earlier.
    let mut disk = vec![0; 1 << 20];
    disk.extend_from_slice(&at_end.device(&[]).bytes());
    assert!(probe(Memory::new(disk).as_ref()).unwrap().is_none());
}

#[test]
fn an_array_with_parity_names_its_members_and_what_it_needs() {
    let members = |level: i32, disks: u32, change: &dyn Fn(&mut Spec)| -> Vec<_> {
        let device = |number| {
            let mut spec = Spec::new("1.2", level, disks, 1024, number);
            (spec.chunk, spec.layout) = (128, 2);
            change(&mut spec);
            spec.device(&[])
        };
        (0..disks).map(device).collect()
    };
    for (level, disks, spared) in [(4, 3, 1), (5, 3, 1), (5, 4, 1), (6, 4, 2), (6, 5, 2)] {
        let mut devices = members(level, disks, &|_| {});
        for missing in 0..=spared + 1 {
            let array = assembled(&devices);
            assert!(array.content.as_ref().err().unwrap().contains(&format!("raid{level}")));
            assert_eq!(array.needs_kernel, missing <= spared, "{level} {disks} {missing}");
            let there = array.members.iter().filter(|member| member.member.is_some());
            assert!(there.clone().all(|member| member.state == MemberState::InSync));
            assert_eq!(there.count(), (disks - missing) as usize);
            assert_eq!(array.members.len(), disks as usize);
            devices.pop();
        }
    }
    // Both degraded and not cleanly stopped; another obstacle than the level; another level.
    let mut unclean = members(5, 3, &|spec| spec.resync_offset = 0);
    assert!(assembled(&unclean).needs_kernel);
    unclean.pop();
    assert!(!assembled(&unclean).needs_kernel);
    assert!(!assembled(&members(5, 3, &|spec| spec.features = 32)).needs_kernel);
    assert!(!assembled(&members(1, 3, &|_| {})).needs_kernel);
}
