//! md superblocks: whatever members say, the array stays inside of their data, and superblocks are never written.
#![no_main]

use driver_core::Volume;
use driver_md::{assemble, probe};
use fuzz::{Device, write_seeds};
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

const SIZE: usize = 256 << 10;

/// A superblock of version 1 (`linux/raid/md_p.h`): level, number of devices, this device.
fn superblock(place: usize, level: i32, disks: u32, number: u32) -> Vec<u8> {
    let mut b = vec![0; 4096];
    let mut put = |at: usize, bytes: &[u8]| b[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &0xa92b_4efcu32.to_le_bytes());
    put(4, &1u32.to_le_bytes());
    put(16, b"0123456789abcdefhost:0");
    put(72, &level.to_le_bytes());
    put(76, &(if level == 10 { 0x102u32 } else { 0 }).to_le_bytes());
    put(80, &200u64.to_le_bytes());
    put(88, &8u32.to_le_bytes());
    put(92, &disks.to_le_bytes());
    put(128, &64u64.to_le_bytes());
    put(136, &200u64.to_le_bytes());
    put(144, &(place as u64 / 512).to_le_bytes());
    put(160, &number.to_le_bytes());
    put(200, &9u64.to_le_bytes());
    put(208, &u64::MAX.to_le_bytes());
    put(220, &8u32.to_le_bytes());
    for role in 0..8u16 {
        put(256 + 2 * usize::from(role), &(if u32::from(role) < disks { role } else { 0xffff }).to_le_bytes());
    }
    b
}

fn seal(b: &mut [u8]) {
    b[216..220].fill(0);
    let roles = u32::from_le_bytes([b[220], b[221], b[222], b[223]]).min(1920) as usize;
    let words = b[..256 + 2 * roles].chunks(4);
    let sum: u64 = words.map(|word| word.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte))).sum();
    b[216..220].copy_from_slice(&(((sum & 0xffff_ffff) + (sum >> 32)) as u32).to_le_bytes());
}

fuzz_target!(
    init: write_seeds(|| {
        let seed = |level: u8| (format!("level{level}"), vec![level, 3, 0, 0, 0, 0, 0, 0, 1, 200, 9, 0, 0, 0]);
        (0..4).map(seed).collect()
    }),
    |input: &[u8]| {
        let Some((&[level, disks], mut rest)) = input.split_first_chunk() else { return };
        let level = [1, 0, 10, -1][usize::from(level) % 4];
        let disks = u32::from(disks % 6) + 1;
        let places = [4096, 0, (SIZE - 16 * 512) & !4095];
        let mut members: Vec<_> = (0..disks)
            .map(|number| {
                let place = places[if level == 1 { number as usize % 3 } else { 0 }];
                (place, superblock(place, level, disks, number))
            })
            .collect();
        // Which member, where, four bytes.
        while let Some((&[member, low, high, a, b, c, d], more)) = rest.split_first_chunk() {
            let (count, at) = (members.len(), usize::from(u16::from_le_bytes([low, high])) % 300);
            if !(140..152).contains(&at) {
                members[usize::from(member) % count].1[at..at + 4].copy_from_slice(&[a, b, c, d]);
            }
            rest = more;
        }
        let devices: Vec<_> = members
            .into_iter()
            .map(|(place, mut superblock)| {
                seal(&mut superblock);
                let mut bytes = vec![0; SIZE];
                bytes[place..place + 4096].copy_from_slice(&superblock);
                Arc::new(Device::new(bytes, vec![place..place + 4096]))
            })
            .collect();
        let found: Vec<_> = devices
            .iter()
            .filter_map(|device| Some((probe(device.as_ref()).ok()??, Arc::clone(device) as Arc<dyn Volume>)))
            .collect();
        for array in assemble(&found) {
            if let Ok(content) = &array.content {
                fuzz::walk_volume(content.as_ref(), array.size, array.read_only.is_some());
            }
        }
    }
);
