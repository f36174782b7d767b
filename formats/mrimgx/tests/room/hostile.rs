//! Cut and flipped files: an error or the right bytes, soon.

use crate::builder::*;
use crate::golden::reseal;
use format_core::{Disk, ErrorKind};
use std::time::{Duration, Instant};

fn small() -> Plan {
    let mut plan = Plan::sample();
    plan.disks[0].size = 3 << 20;
    plan
}

/// Opens, walks, reads, checks.
fn walk(bytes: &[u8], what: &str) -> Option<Vec<u8>> {
    let start = Instant::now();
    let container = open_bytes(bytes).ok()?;
    let _ = (container.check(&|_| Ok(())), container.completeness());
    let mut found = None;
    if let Ok(disk) = disk(&container, 0) {
        for extent in disk.extents(0, u64::MAX).take(200) {
            if let Err(error) = extent {
                assert_ne!(error.kind(), ErrorKind::Contract, "{what}: {error}");
            }
        }
        found = read_some(&disk, what);
    }
    assert!(start.elapsed() < Duration::from_secs(1), "{what} took {:?}", start.elapsed());
    found
}

fn read_some(disk: &Disk, what: &str) -> Option<Vec<u8>> {
    let mut bytes = vec![0; disk.virtual_size().min(3 << 20) as usize];
    match disk.read_exact_at(0, &mut bytes) {
        Ok(()) => Some(bytes),
        Err(error) => {
            assert_ne!(error.kind(), ErrorKind::Contract, "{what}: {error}");
            None
        }
    }
}

#[test]
fn every_prefix_is_an_error() {
    let bytes = small().build();
    for len in (0..bytes.len()).step_by(7).chain(bytes.len() - 300..bytes.len()) {
        assert!(open_bytes(&bytes[..len]).is_err(), "{len:#x}");
    }
}

#[test]
fn no_flipped_bit_gives_another_disk() {
    let plan = small();
    let (written, wanted) = (plan.write(), plan.content(0));
    let metadata = written.header("$TRACK0");
    let headers = written.headers.iter().flat_map(|(_, at)| *at..*at + 32);
    let places =
        (0..metadata).step_by(211).chain((metadata..written.bytes.len()).step_by(7)).map(|at| (at, &[5][..]));
    for (at, bits) in places.chain(headers.map(|at| (at, &[0, 1, 2, 7][..]))) {
        for bit in bits {
            let mut bytes = written.bytes.clone();
            bytes[at] ^= 1 << bit;
            if let Some(found) = walk(&bytes, &format!("bit {bit} of {at:#x}")) {
                assert!(found == wanted, "bit {bit} of {at:#x}");
            }
        }
    }
}

#[test]
fn extreme_numbers_with_the_right_sums_break_nothing() {
    let written = small().write();
    let index = written.header("$INDEX");
    for at in index + 32..index + 32 + 8 + 60 {
        for value in [0_u64, 1, 0x7fff_ffff, 0xffff_ffff, 1 << 63, u64::MAX] {
            for len in [4, 8] {
                let mut bytes = written.bytes.clone();
                bytes[at..at + len].copy_from_slice(&value.to_le_bytes()[..len]);
                reseal(&mut bytes, index);
                walk(&bytes, &format!("{value:#x} at {at:#x}"));
            }
        }
    }
    for name in ["$TRACK0", "$EPT", "$BITMAP", "$INDEX", "$JSON"] {
        let header = written.header(name);
        for value in [0_u32, 1, 31, 0x7fff_ffff, u32::MAX] {
            let mut bytes = written.bytes.clone();
            bytes[header + 8..header + 12].copy_from_slice(&value.to_le_bytes());
            walk(&bytes, &format!("{name} of {value:#x} bytes"));
        }
    }
}

#[test]
fn a_list_without_an_end_and_a_bomb_are_refused() {
    let mut bytes = Vec::new();
    for _ in 0..5000 {
        bytes.extend_from_slice(b"$NOTHING");
        bytes.extend_from_slice(&[0; 24]);
    }
    bytes.extend_from_slice(&0_u64.to_le_bytes());
    bytes.extend_from_slice(b"MACRIUM_FILE");
    let error = open_bytes(&bytes).err().unwrap();
    assert!(error.to_string().contains("does not end"), "{error}");
    let mut plan = small();
    plan.disks[0].track0 = vec![0; 40 << 20];
    let error = read_bytes(&plan.build()).unwrap_err();
    assert!(error.to_string().contains("the metadata block $TRACK0 has more than"), "{error}");
    let mut plan = small();
    plan.disks[0].partitions[0].blocks[0].1 = Source::Here(vec![0; 30 << 20]);
    let error = read_bytes(&plan.build()).unwrap_err();
    assert!(error.to_string().contains("block 0 of partition 1 cannot be unpacked"), "{error}");
}
