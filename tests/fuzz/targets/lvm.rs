//! LVM2 metadata: whatever a text says, volumes stay inside of the extents, and LVM's own bytes are never written.
#![no_main]

use driver_core::{Mapping, MappingArgument, Volume};
use driver_lvm::{assemble, probe};
use fuzz::{Device, write_seeds};
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

const SIZE: usize = 1 << 20;
const AREA: usize = 4096;
const AREA_SIZE: usize = 192 << 10;
const IDS: [&str; 2] = ["abcdefghijklmnopqrstuvwxyz012345", "bbcdefghijklmnopqrstuvwxyz012345"];

const TEXT: &str = "vg {\nid = \"VVVVVV-ghij-klmn-opqr-stuv-wxyz-012345\"\nseqno = 2\nstatus = [\"READ\", \"WRITE\"]\nflags = []\n\
    extent_size = 16\nphysical_volumes {\npv0 {\nid = \"abcdef-ghij-klmn-opqr-stuv-wxyz-012345\"\nstatus = []\nflags = []\n\
    pe_start = 512\npe_count = 90\n}\npv1 {\nid = \"bbcdef-ghij-klmn-opqr-stuv-wxyz-012345\"\nstatus = []\nflags = []\n\
    pe_start = 512\npe_count = 90\n}\n}\nlogical_volumes {\nroot {\nid = \"rootef-ghij-klmn-opqr-stuv-wxyz-012345\"\n\
    status = [\"READ\", \"WRITE\", \"VISIBLE\"]\nsegment_count = 2\nsegment1 {\nstart_extent = 0\nextent_count = 4\n\
    type = \"striped\"\nstripe_count = 2\nstripe_size = 8\nstripes = [\n\"pv0\", 0,\n\"pv1\", 9\n]\n}\nsegment2 {\n\
    start_extent = 4\nextent_count = 3\ntype = \"striped\"\nstripe_count = 1\nstripes = [\n\"pv0\", 20\n]\n}\n}\nold {\n\
    id = \"oldoef-ghij-klmn-opqr-stuv-wxyz-012345\"\nstatus = [\"READ\", \"VISIBLE\"]\nsegment_count = 1\nsegment1 {\n\
    start_extent = 0\nextent_count = 3\ntype = \"snapshot\"\norigin = \"root\"\ncow_store = \"x\"\n}\n}\n}\n}\n\
    contents = \"Text Format Volume Group\"\nversion = 1\n";

/// Hidden volumes, and those of each kind that the device mapper makes of them.
fn layered() -> String {
    let mut volumes = String::new();
    let mut volume = |name: &str, status: &str, segment: String| {
        volumes += &format!(
            "{name} {{\nid = \"{:x<6}-ghij-klmn-opqr-stuv-wxyz-012345\"\nstatus = [\"READ\", \"WRITE\"{status}]\nsegment_count = 1\n\
             segment1 {{\nstart_extent = 0\nextent_count = 2\n{segment}\n}}\n}}\n",
            name.replace('_', "")
        );
    };
    for (at, name) in ["meta", "data", "rm0", "ri0", "rm1", "ri1", "mi0", "mi1", "orig", "cvol", "cow"].iter().enumerate() {
        volume(name, "", format!("type = \"striped\"\nstripe_count = 1\nstripes = [\n\"pv1\", {}\n]", at * 2));
    }
    let shown = ", \"VISIBLE\"";
    volume("pool", shown, "type = \"thin-pool\"\nmetadata = \"meta\"\npool = \"data\"\nchunk_size = 128\ndiscards = \"ignore\"".into());
    volume("thin", shown, "type = \"thin\"\nthin_pool = \"pool\"\ndevice_id = 1\nexternal_origin = \"raid\"".into());
    let raids = "raids = [\n\"rm0\", \"ri0\",\n\"rm1\", \"ri1\"\n]";
    volume("raid", shown, format!("type = \"raid1\"\ndevice_count = 2\nregion_size = 64\nwritebehind = 9\n{raids}"));
    volume("mir", shown, "type = \"mirror\"\nmirror_count = 2\nregion_size = 64\nmirrors = [\n\"mi0\", 0,\n\"mi1\", 0\n]".into());
    volume(
        "fast",
        shown,
        "type = \"cache+CACHE_USES_CACHEVOL\"\ncache_pool = \"cvol\"\norigin = \"orig\"\nmetadata_format = 2\nchunk_size = 64\n\
         cache_mode = \"writeback\"\nmetadata_start = 0\nmetadata_len = 8\ndata_start = 8\ndata_len = 16"
            .into(),
    );
    volume("snap0", shown, "type = \"snapshot\"\nchunk_size = 8\norigin = \"thin\"\ncow_store = \"cow\"".into());
    let (start, rest) = TEXT.split_once("root {\n").expect("a volume");
    let (_, end) = rest.split_once("cow_store = \"x\"\n}\n}\n").expect("the last one");
    format!("{start}{volumes}{end}")
}

/// Walks a device and all below it: tables have no gaps, and name members that are there.
fn walk_mapping(mapping: &Mapping, depth: usize) {
    assert!(depth < 40, "{} lies on itself", mapping.name);
    let mut end = 0;
    for line in &mapping.lines {
        assert_eq!(line.start, end, "{}", mapping.name);
        end = line.start + line.sectors;
        for argument in &line.arguments {
            match argument {
                MappingArgument::Mapped(below) => walk_mapping(below, depth + 1),
                MappingArgument::Member(place) => assert!(*place < IDS.len()),
                MappingArgument::Text(text) => assert!(!text.is_empty() && !text.contains(['\n', '\0'])),
                MappingArgument::Secret(_) => panic!("LVM has no secrets"),
            }
        }
    }
}

/// LVM's checksum: CRC-32 with another beginning and without the final inversion.
fn crc(bytes: &[u8]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new_with_initial(!0xf597_a6cf);
    hasher.update(bytes);
    (!hasher.finalize()).to_le_bytes()
}

/// A physical volume with this text, which begins at the end of its area and goes on at its start.
fn device(id: &str, text: &[u8], split: usize) -> Vec<u8> {
    let mut disk = vec![0; SIZE];
    disk[512..520].copy_from_slice(b"LABELONE");
    disk[520] = 1;
    disk[532] = 32;
    disk[536..544].copy_from_slice(b"LVM2 001");
    disk[544..576].copy_from_slice(id.as_bytes());
    let put = |disk: &mut [u8], at: usize, value: usize| disk[at..at + 8].copy_from_slice(&(value as u64).to_le_bytes());
    for (at, value) in [(576, SIZE), (584, 512 * 512), (616, AREA), (624, AREA_SIZE)] {
        put(&mut disk, at, value);
    }
    let sum = crc(&disk[532..1024]);
    disk[528..532].copy_from_slice(&sum);
    disk[AREA + 4..AREA + 20].copy_from_slice(b" LVM2 x[5A%r0N*>");
    disk[AREA + 20] = 1;
    let (first, second) = text.split_at(split.clamp(1, text.len().max(1)).min(text.len()));
    let offset = if second.is_empty() { 512 } else { AREA_SIZE - first.len() };
    disk[AREA + offset..][..first.len()].copy_from_slice(first);
    disk[AREA + 512 + if second.is_empty() { first.len() } else { 0 }..][..second.len()].copy_from_slice(second);
    for (at, value) in [(24, AREA), (32, AREA_SIZE), (40, offset), (48, text.len())] {
        put(&mut disk, AREA + at, value);
    }
    disk[AREA + 56..AREA + 60].copy_from_slice(&crc(text));
    let sum = crc(&disk[AREA + 4..AREA + 512]);
    disk[AREA..AREA + 4].copy_from_slice(&sum);
    disk
}

fuzz_target!(
    init: write_seeds(|| {
        let two = format!("{TEXT}\u{1}{}", TEXT.replace("seqno = 2", "seqno = 3"));
        vec![("layered".into(), layered().into_bytes()), ("one".into(), TEXT.as_bytes().to_vec()), ("two".into(), two.into_bytes())]
    }),
    |input: &[u8]| {
        if input.len() > 60_000 {
            return;
        }
        // Both volumes have the same text, or each its own.
        let mut texts = input.splitn(2, |&byte| byte == 1);
        let first = texts.next().unwrap_or_default();
        let second = texts.next().unwrap_or(first);
        let devices = [(IDS[0], first, usize::MAX), (IDS[1], second, 700)]
            .map(|(id, text, split)| Arc::new(Device::new(device(id, text, split), vec![0..1024, AREA..AREA + AREA_SIZE])));
        let members: Vec<_> = devices
            .iter()
            .map(|device| (probe(device.as_ref()).expect("the label is whole").expect("a label"), Arc::clone(device) as Arc<dyn Volume>))
            .collect();
        let (groups, _) = assemble(&members);
        for volume in groups.iter().flat_map(|group| &group.volumes) {
            volume.mapping.iter().chain(&volume.beside).for_each(|mapping| walk_mapping(mapping, 0));
            if let Ok(content) = &volume.content {
                fuzz::walk_volume(content.as_ref(), volume.size, volume.read_only.is_some());
            }
        }
    }
);
