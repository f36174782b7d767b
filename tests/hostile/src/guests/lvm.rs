//! Physical volumes of LVM2: labels, areas of metadata, and what encloses the text. Checksums are always right.

use super::disk::{Disk, MIB, crc32, extremes, put_le};
use super::lvm_text::{self, PV};
use super::{case, inspect, inspect_json, plan, refused};
use crate::{Case, Run};

/// LVM's checksum goes on from this and is not inverted.
const INITIAL: u32 = 0xf597_a6cf;
const LABEL: u64 = 512;
const AREA: u64 = 4096;
const AREA_LEN: u64 = 5 << 20;
const SIZE: u64 = 12 * MIB;

/// What a physical volume is made from.
#[derive(Clone)]
pub(super) struct Physical {
    /// Of the metadata areas: first byte and length.
    pub(super) areas: Vec<(u64, u64)>,
    pub(super) text: Vec<u8>,
    /// Where the text lies in its area, and how long it is said to be.
    place: Option<(u64, u64)>,
}

impl Physical {
    pub(super) fn new(text: &[u8]) -> Self {
        Self { areas: vec![(AREA, AREA_LEN)], text: text.to_vec(), place: None }
    }

    fn label(&self, change: impl Fn(&mut [u8])) -> Vec<u8> {
        let mut bytes = vec![0; 512];
        bytes[..8].copy_from_slice(b"LABELONE");
        put_le(&mut bytes, 8, 8, 1);
        put_le(&mut bytes, 20, 4, 32);
        bytes[24..32].copy_from_slice(b"LVM2 001");
        bytes[32..64].copy_from_slice(PV.replace('-', "").as_bytes());
        put_le(&mut bytes, 64, 8, SIZE);
        // The data area, an end, the metadata areas, an end.
        put_le(&mut bytes, 72, 8, AREA + AREA_LEN);
        for (number, (start, len)) in self.areas.iter().enumerate() {
            put_le(&mut bytes, 104 + 16 * number, 8, *start);
            put_le(&mut bytes, 112 + 16 * number, 8, *len);
        }
        change(&mut bytes);
        let sum = crc32(INITIAL, &bytes[20..]);
        put_le(&mut bytes, 16, 4, u64::from(sum));
        bytes
    }

    fn area(&self, start: u64, len: u64, change: impl Fn(&mut [u8])) -> Vec<u8> {
        let mut bytes = vec![0; 512];
        bytes[4..20].copy_from_slice(b"\x20LVM2\x20x[5A%r0N*>");
        let (offset, text_len) = self.place.unwrap_or((512, self.text.len() as u64));
        let sum = crc32(INITIAL, &self.text);
        for (at, width, value) in [
            (20, 4, 1),
            (24, 8, start),
            (32, 8, len),
            (40, 8, offset),
            (48, 8, text_len),
            (56, 4, u64::from(sum)),
        ] {
            put_le(&mut bytes, at, width, value);
        }
        change(&mut bytes);
        let sum = crc32(INITIAL, &bytes[4..]);
        put_le(&mut bytes, 0, 4, u64::from(sum));
        bytes
    }

    fn volume(&self, label: impl Fn(&mut [u8]), area: impl Fn(&mut [u8])) -> Disk {
        let mut disk = Disk::empty(SIZE).put(LABEL, &self.label(label));
        for (start, len) in &self.areas {
            if start.saturating_add(512 + self.text.len() as u64) <= SIZE {
                disk = disk.put(*start, &self.area(*start, *len, &area)).put(start + 512, &self.text);
            }
        }
        disk
    }

    /// A disk with this as its partition.
    pub(super) fn disk(&self) -> Disk {
        self.volume(|_| {}, |_| {}).in_partition(0x8e)
    }
}

fn one(name: &str, about: &str, disk: Disk, runs: Vec<Run>) -> Case {
    case(&format!("lvm/{name}"), about, disk, runs)
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = fields();
    cases.extend(areas());
    cases.extend(lvm_text::texts().into_iter().map(|(name, about, text)| {
        let runs = vec![inspect(&[0]), inspect_json(&[0]), plan("kvm", &[78])];
        one(&name, about, Physical::new(&text).disk(), runs)
    }));
    cases
}

/// Every field of label and area header at its extremes.
fn fields() -> Vec<Case> {
    let good = Physical::new(&lvm_text::plain());
    let label = [
        ("label-sector", 8, 8),
        ("label-header", 20, 4),
        ("device-size", 64, 8),
        ("data-start", 72, 8),
        ("data-end", 88, 8),
        ("area-start", 104, 8),
        ("area-len", 112, 8),
        ("area-end", 120, 8),
        ("extension", 136, 4),
    ];
    let header = [
        ("version", 20, 4),
        ("own-start", 24, 8),
        ("own-len", 32, 8),
        ("text-start", 40, 8),
        ("text-len", 48, 8),
        ("text-crc", 56, 4),
        ("text-flags", 60, 4),
        ("second-text", 64, 8),
    ];
    let sweep = |fields: &[(&'static str, usize, usize)], in_label: bool| {
        let mut found = Vec::new();
        for (name, at, width) in fields {
            for (what, value) in extremes(*width) {
                let set = |bytes: &mut [u8]| put_le(bytes, *at, *width, value);
                let volume = if in_label { good.volume(set, |_| {}) } else { good.volume(|_| {}, set) };
                let disk = volume.in_partition(0x8e);
                found.push(one(&format!("{name}-{what}"), "a field of a header", disk, refused()));
            }
        }
        found
    };
    let mut cases = sweep(&label, true);
    cases.extend(sweep(&header, false));
    // The label's own header runs to the end of the sector without an end of its lists.
    let full = good.volume(|bytes| bytes[72..].fill(0x11), |_| {}).in_partition(0x8e);
    cases.push(one("no-end-of-areas", "a list of areas that does not end", full, refused()));
    let outside = good.volume(|bytes| put_le(bytes, 20, 4, 500), |_| {}).in_partition(0x8e);
    cases.push(one("header-at-the-end", "a header that leaves its sector", outside, refused()));
    cases
}

fn areas() -> Vec<Case> {
    let text = lvm_text::plain();
    let good = Physical::new(&text);
    let with = |areas: &[(u64, u64)]| Physical { areas: areas.to_vec(), ..good.clone() };
    let placed = |offset, len| Physical { place: Some((offset, len)), ..good.clone() };
    let newer = lvm_text::replaced("seqno = 3", "seqno = 9223372036854775807");
    let other = lvm_text::replaced("extent_count = 1", "extent_count = 2");
    let two = with(&[(AREA, MIB), (2 * MIB, MIB)]);
    // Two whole areas that say different things, the second in the second's place.
    let differ = |second: &[u8]| {
        let second = Physical { areas: vec![(2 * MIB, MIB)], ..Physical::new(second) };
        let header = second.area(2 * MIB, MIB, |_| {});
        two.disk().put(MIB + 2 * MIB, &header).put(MIB + 2 * MIB + 512, &second.text)
    };
    let blanks = vec![b' '; 4 << 20];
    let long = Physical { place: Some((512, 4 << 20)), ..Physical::new(&blanks) };
    [
        ("own-area", "an area that is the label's sector", with(&[(512, 4096)]).disk()),
        ("area-at-0", "an area of the whole volume", with(&[(1, SIZE)]).disk()),
        ("same-area-4-times", "four areas at the same place", with(&[(AREA, AREA_LEN); 4]).disk()),
        ("many-areas", "twenty areas", with(&[(AREA, AREA_LEN); 20]).disk()),
        (
            "wraps-into-header",
            "a text that goes on in its own header",
            placed(AREA_LEN - 8, text.len() as u64).disk(),
        ),
        ("text-is-area", "a text as long as its area", placed(512, AREA_LEN).disk()),
        ("text-from-0", "a text that begins with the header", placed(0, AREA_LEN).disk()),
        ("blank-text", "4 MiB of blanks", long.disk()),
        ("second-newer", "two areas, of which one is the newest that there can be", differ(&newer)),
        ("same-number", "two areas with the same number that differ", differ(&other)),
        (
            "two-labels",
            "labels in all four sectors",
            (0..4).fold(good.disk(), |disk, sector| {
                disk.put(MIB + sector * 512, &good.label(|bytes| put_le(bytes, 8, 8, sector)))
            }),
        ),
    ]
    .into_iter()
    .map(|(name, about, disk)| one(name, about, disk, refused()))
    .collect()
}
