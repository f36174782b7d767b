//! LVM2 metadata: whatever a text says, volumes stay inside of the extents, and LVM's own bytes are never written.
#![no_main]

use driver_core::Volume;
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
        vec![("one".into(), TEXT.as_bytes().to_vec()), ("two".into(), two.into_bytes())]
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
            if let Ok(content) = &volume.content {
                fuzz::walk_volume(content.as_ref(), volume.size, volume.read_only.is_some());
            }
        }
    }
);
