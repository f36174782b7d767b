//! Version 0001, which no program writes any more: images made in code after the program's sources.

use crate::builder::{check, crc, open, read, stream};
use format_core::ErrorKind::Corrupt;

/// An image with checksums of `stride` bytes, and the partition in it.
fn build(map: &[u8], stride: usize) -> (Vec<u8>, Vec<u8>) {
    let mut bytes = b"partclone-imageEXTFS\0\0\0\0\0\0\0\0\0\x000001\0\0".to_vec();
    bytes.extend(1024u32.to_le_bytes());
    let used = map.iter().filter(|byte| **byte == 1).count() as u64;
    for number in [u64::MAX, map.len() as u64, used] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.resize(64 + 4096, 0);
    bytes.extend(map);
    bytes.extend(b"BiTmAgIc");
    let (mut state, mut content) = (u32::MAX, vec![0; map.len() * 1024]);
    for (number, block) in content.chunks_mut(1024).enumerate().filter(|(number, _)| map[*number] == 1) {
        block.iter_mut().enumerate().for_each(|(at, byte)| *byte = (number * 5 + at + 3) as u8);
        bytes.extend(&*block);
        state = crc(state, &[block[0]; 1024]);
        bytes.extend(state.to_le_bytes());
        bytes.resize(bytes.len() + stride - 4, 0xaa);
    }
    (bytes, content)
}

#[test]
fn both_lengths_of_checksums_are_read() {
    // Other values than 1 mean that the block is not there.
    let maps: [&[u8]; 4] = [&[1, 0, 1, 1, 2, 0xff, 1, 0], &[0, 1], &[0, 0, 0], &[1; 300]];
    for map in maps {
        for stride in [4, 8] {
            let (bytes, content) = build(map, stride);
            assert!(read(&bytes).unwrap() == content, "{map:?} {stride}");
            assert!(stream(&bytes).unwrap() == (content, 0), "{map:?} {stride}");
            let report = check(&bytes).unwrap();
            assert_eq!(report.errors, 0, "{report:?}");
        }
    }
    assert_eq!(open(&build(&[1, 1], 4).0).unwrap().details()["image-version"], "0001");
}

/// The checksum covers the first byte of each block alone.
#[test]
fn a_changed_first_byte_is_found() {
    for stride in [4, 8] {
        let (good, _) = build(&[1; 20], stride);
        let data = good.len() - 20 * (1024 + stride);
        for number in [2, 19] {
            let mut bytes = good.clone();
            bytes[data + number * (1024 + stride)] ^= 1;
            assert_eq!(read(&bytes).err().unwrap().kind(), Corrupt);
            assert_eq!(stream(&bytes).err().unwrap().kind(), Corrupt);
            assert_eq!(check(&bytes).unwrap().errors, 1);
        }
        for end in (0..good.len() - 8).step_by(501) {
            assert!(read(&good[..end]).is_err() && stream(&good[..end]).is_err(), "{end}");
        }
    }
}
