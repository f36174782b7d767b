//! Devices as LVM makes them: the tables that it loaded into a kernel for the same metadata (`judged/make.sh`).
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod tools;

use driver_core::{Mapping, MappingArgument, MappingLine, Volume};
use driver_lvm::{Group, LogicalVolume, assemble, probe};
use format_core::{Error, Result};
use std::collections::BTreeMap;
use std::sync::Arc;
use tools::{crc, set_text};

const MIB: usize = 1 << 20;
/// Bytes of the disks of make.sh.
const SIZE: u64 = 256 << 20;
/// Disks in the order in which they are given: not that of the metadata.
const ORDER: [usize; 6] = [3, 0, 5, 1, 4, 2];

/// A disk of which only the start holds something.
struct Start(Vec<u8>);

impl Volume for Start {
    fn size(&self) -> u64 {
        SIZE
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        buf.fill(0);
        let from = self.0.get(offset as usize..).unwrap_or_default();
        buf.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        Ok(())
    }
    fn write_all_at(&self, _: u64, _: &[u8]) -> Result<()> {
        Err(Error::usage("nothing is written here"))
    }
}

fn disk(id: &str, text: &str) -> Start {
    let mut disk = vec![0; MIB];
    let label = &mut disk[512..1024];
    label[..8].copy_from_slice(b"LABELONE");
    label[8] = 1;
    label[20] = 32;
    label[24..32].copy_from_slice(b"LVM2 001");
    label[32..64].copy_from_slice(id.replace('-', "").as_bytes());
    for (at, value) in [(64, SIZE as usize), (72, MIB), (104, 4096), (112, MIB - 4096)] {
        label[at..at + 8].copy_from_slice(&(value as u64).to_le_bytes());
    }
    let sum = crc(&label[20..]);
    label[16..20].copy_from_slice(&sum.to_le_bytes());
    let area = &mut disk[4096..];
    area[4..20].copy_from_slice(b" LVM2 x[5A%r0N*>");
    area[20] = 1;
    for (at, value) in [(24, 4096), (32, MIB - 4096)] {
        area[at..at + 8].copy_from_slice(&(value as u64).to_le_bytes());
    }
    set_text(&mut disk, text);
    Start(disk)
}

/// The value of `id` in the section `name`.
fn id_of<'a>(text: &'a str, name: &str) -> &'a str {
    let section = text.split_once(&format!("\t{name} {{")).unwrap().1;
    section.split_once("id = \"").unwrap().1.split('"').next().unwrap()
}

fn group_of(text: &str) -> Group {
    let disks = ORDER.map(|number| {
        let disk = Arc::new(disk(id_of(text, &format!("pv{number}")), text));
        (probe(disk.as_ref()).unwrap().unwrap(), disk as Arc<dyn Volume>)
    });
    let (mut groups, strays) = assemble(&disks);
    assert!(strays.is_empty() && groups.len() == 1);
    groups.remove(0)
}

fn volume<'a>(group: &'a Group, name: &str) -> &'a LogicalVolume {
    group.volumes.iter().find(|volume| volume.name == name).unwrap()
}

fn line(line: &MappingLine) -> String {
    let argument = |argument: &MappingArgument| match argument {
        MappingArgument::Text(text) => text.clone(),
        MappingArgument::Member(place) => format!("@vd{}", ["a", "b", "c", "d", "e", "f"][ORDER[*place]]),
        MappingArgument::Mapped(mapping) => format!("@{}", mapping.name),
        MappingArgument::Secret(_) => panic!("LVM has no secrets"),
    };
    let arguments: Vec<String> = line.arguments.iter().map(argument).collect();
    format!("{} {} {} {}", line.start, line.sectors, line.target, arguments.join(" "))
}

/// A device and all below it, each once.
fn collect(mapping: &Arc<Mapping>, found: &mut BTreeMap<String, (Arc<Mapping>, String)>) {
    let mode = if mapping.read_only { "Read-only" } else { "Writeable" };
    let lines: Vec<String> = mapping.lines.iter().map(line).collect();
    let text = format!("{} {} {mode}\n{}", mapping.name, mapping.uuid, lines.join("\n"));
    match found.get(&mapping.name) {
        Some((before, _)) => assert!(before == mapping, "{} is made in two ways", mapping.name),
        None => drop(found.insert(mapping.name.clone(), (Arc::clone(mapping), text))),
    }
    let below = mapping.lines.iter().flat_map(|line| &line.arguments);
    below.for_each(|argument| {
        if let MappingArgument::Mapped(below) = argument {
            collect(below, found)
        }
    });
}

/// What the kernel prints in another way than it is told.
fn as_told(table: &str) -> String {
    let lines = table.lines().map(|line| {
        // One policy under two names; the bitmap's superblock has the last word on writing behind.
        let line =
            line.trim_end().replace(" mq ", " smq ").replace("max_write_behind 0 ", "max_write_behind 100 ");
        // Read-ahead of the tools' own: none is set.
        line
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn every_device_has_the_table_that_lvm_loads() {
    for (name, count) in [("plain-1", 9), ("thin-1", 23), ("raid-1", 82), ("cache-1", 24), ("mixed-1", 17)] {
        let path = format!("{}/tests/judged/{name}.txt", env!("CARGO_MANIFEST_DIR"));
        let file = std::fs::read_to_string(path).unwrap();
        let (text, tables) = file.split_once("# Tables\n").unwrap();
        let group = group_of(text);
        assert_eq!(group.obstacle, None);
        let mut found = BTreeMap::new();
        for volume in &group.volumes {
            let mapping = volume.mapping.as_ref().unwrap_or_else(|e| panic!("{name}/{}: {e}", volume.name));
            assert_eq!(mapping.sectors() * 512, volume.size, "{name}/{}", volume.name);
            collect(mapping, &mut found);
            volume.beside.iter().for_each(|mapping| collect(mapping, &mut found));
        }
        let wanted: BTreeMap<&str, String> = tables
            .trim()
            .split("\n\n")
            .map(|table| (table.split(' ').next().unwrap(), as_told(table)))
            .collect();
        for (device, table) in &wanted {
            let ours = found.get(*device).map(|(_, text)| text.as_str());
            assert_eq!(ours, Some(table.as_str()), "{name}: {device}");
        }
        let names: Vec<_> = found.keys().collect();
        assert_eq!((names.len(), wanted.len()), (count, count), "{name}: {names:?}");
    }
}

fn golden(name: &str) -> String {
    let path = format!("{}/tests/judged/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap().split_once("# Tables\n").unwrap().0.to_owned()
}

#[test]
fn snapshots_are_named_and_go_with_their_origin() {
    let group = group_of(&golden("plain-1"));
    let names: Vec<_> = group.volumes.iter().map(|volume| volume.name.as_str()).collect();
    assert_eq!(names, ["lin-a", "origin", "readonly", "snap1", "snap2", "str"]);
    let beside: Vec<_> =
        volume(&group, "origin").beside.iter().map(|mapping| mapping.name.as_str()).collect();
    assert_eq!(beside, ["plain--1-snap1", "plain--1-snap2"]);
    for name in ["snap1", "snap2", "str", "lin-a"] {
        assert!(volume(&group, name).beside.is_empty(), "{name}");
    }
    // Natively there is the origin alone, and it is read.
    assert!(volume(&group, "snap1").content.is_err() && volume(&group, "snap1").layout == "snapshot");
    assert!(volume(&group, "origin").content.is_ok() && volume(&group, "origin").read_only.is_some());
    assert!(!volume(&group, "origin").mapping.as_ref().unwrap().read_only);
}

#[test]
fn what_is_not_mapped_says_why() {
    for (file, lv, from, to, word) in [
        ("thin-1", "t1", "discards = \"passdown\"", "discards = \"new\"", "new"),
        ("thin-1", "t1", "zero_new_blocks = 1", "message1 {\ncreate = 1\n}", "has not told"),
        ("thin-1", "t1", "device_id = 1\n", "device_id = 16777216\n", "24 bits"),
        ("thin-1", "t1", "device_id = 1\n", "device_id = 1\nmerge = \"t2\"\n", "merged"),
        ("thin-1", "t1", "thin_pool = \"pool\"", "thin_pool = \"ext\"", "no thin pool"),
        ("thin-1", "t1", "thin_pool = \"pool\"", "thin_pool = \"gone\"", "not there"),
        ("thin-1", "t1", "metadata = \"pool_tmeta\"", "metadata = \"pool\"", "circle"),
        ("thin-1", "t1", "pool = \"odd_tdata\"", "pool = \"pool_tdata\"", "belongs to"),
        ("raid-1", "r1", "device_count = 2", "device_count = 3", "devices"),
        ("raid-1", "r1", "device_count = 2", "device_count = 2\nreshape_count = 1\n", "reshaped"),
        ("raid-1", "r1", "\"r1_rmeta_0\", \"r1_rimage_0\"", "\"r1_rmeta_0\", 1", "no list"),
        ("raid-1", "r1", "region_size = 2048", "region_size = 4294967296", "region_size"),
        ("raid-1", "r6", "type = \"raid6\"", "type = \"raid7\"", "raid7"),
        ("raid-1", "mdisk", "mdisk_mimage_0\", 0", "mdisk_mimage_0\", 1", "extent 0"),
        ("raid-1", "mdisk", "mirror_count = 2", "mirror_count = 1", "list"),
        ("cache-1", "slow2", "cache_mode = \"writeback\"", "cache_mode = \"x\"", "mode"),
        ("cache-1", "slow2", "data_len = 22528", "data_len = 32768", "sectors"),
        ("cache-1", "slow2", "metadata_len = 10240", "metadata_len = 0", "sectors"),
        ("cache-1", "slow2", "migration_threshold=4096", "migration_threshold=\"a b\"", "no number"),
        ("cache-1", "slow2", "metadata_format = 2", "metadata_format = 3", "format 3"),
        ("cache-1", "slow3", "origin = \"slow3_wcorig\"", "origin = \"slow4_wcorig\"", "belongs to"),
        ("cache-1", "slow4", "writeback_jobs = 1024", "fua = 1", "fua"),
        ("plain-1", "snap1", "chunk_size = 8", "chunk_size = 7", "chunk_size"),
        ("plain-1", "origin", "cow_store = \"snap1\"", "merging_store = \"snap1\"", "merged"),
        (
            "plain-1",
            "str",
            "type = \"striped\"\n\t\t\t\tstripe_count = 3",
            "type = \"vdo\"\nstripe_count = 3",
            "VDO",
        ),
        (
            "plain-1",
            "str",
            "type = \"striped\"\n\t\t\t\tstripe_count = 3",
            "type = \"integrity\"\nstripe_count = 3",
            "integrity",
        ),
    ] {
        let good = golden(file);
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from}");
        let group = group_of(&bad);
        let reason = volume(&group, lv)
            .mapping
            .as_ref()
            .err()
            .unwrap_or_else(|| panic!("{lv}: {to} is taken"))
            .clone();
        assert!(reason.contains(word), "{to}: {reason}");
    }
    // A rebuild is under way in a hidden volume.
    let image = "r1_rimage_1 {";
    let text = golden("raid-1");
    let (start, rest) = text.split_once(image).unwrap();
    let bent = format!("{start}{image}{}", rest.replacen("\"WRITE\"]", "\"WRITE\", \"REBUILD\"]", 1));
    assert!(volume(&group_of(&bent), "r1").mapping.as_ref().unwrap_err().contains("REBUILD"));
}
