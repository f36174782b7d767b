//! Cut and flipped images: an error or the right bytes, soon, and never a broken contract.

use crate::builder::{Plan, check, find, open, read, seal};
use format_core::{Disk, ErrorKind};
use std::time::{Duration, Instant};

#[test]
fn every_prefix_is_an_error() {
    for plan in [Plan::sample(), Plan::short()] {
        let image = plan.one();
        for len in 0..image.len() {
            let error = read(&image[..len]).err().unwrap_or_else(|| panic!("{len:#x} bytes are read"));
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{len:#x}: {error}");
        }
        assert!(read(&image).unwrap() == plan.data);
    }
}

/// Every bit of an image is covered by a checksum, or does not matter for the disk; entries of a short table alone are
/// not covered, and there a chunk that is not one is found by its own.
#[test]
fn every_flipped_bit_is_found_or_changes_nothing() {
    for plan in [Plan::sample(), Plan::short()] {
        let image = plan.one();
        for at in 0..image.len() {
            let mut bytes = image.clone();
            bytes[at] ^= 1 << (at % 8);
            match read(&bytes) {
                Ok(content) => assert!(content == plan.data, "byte {at:#x}"),
                Err(error) => assert_ne!(error.kind(), ErrorKind::Contract, "{error}"),
            }
        }
    }
}

fn walk(bytes: &[u8], what: &str) {
    let start = Instant::now();
    if let Ok(layer) = open(bytes) {
        let disk = Disk::new(vec![layer]).unwrap();
        let size = disk.virtual_size();
        let mut buf = vec![0; 64 << 10];
        for at in [0, 1, 1023, size / 2, size.saturating_sub(buf.len() as u64)] {
            let len = (buf.len() as u64).min(size.saturating_sub(at)) as usize;
            let read = disk.read_exact_at(at.min(size), &mut buf[..len]);
            assert!(read.map_err(|e| e.kind()) != Err(ErrorKind::Contract), "{what}");
            let _ = (disk.map_at(at), disk.extent_at(at));
        }
    }
    let _ = check(bytes);
    assert!(start.elapsed() < Duration::from_secs(1), "{what} took {:?}", start.elapsed());
}

/// With checksums put right, so that the numbers themselves are met.
#[test]
fn extreme_numbers_everywhere_break_nothing_else() {
    for plan in [Plan::sample(), Plan::short(), Plan { with_second_table: false, ..Plan::sample() }] {
        let image = plan.one();
        let (volume, table) = (find(&image, "volume"), find(&image, "table"));
        let volume_len = if plan.is_short { 94 } else { 1052 };
        let places = (volume + 76..volume + 76 + 40).map(|at| (at, volume + 76, volume_len));
        let entries = table + 76 + 24;
        let places = places.chain((table + 76..entries).map(|at| (at, table + 76, 24)));
        let places = places
            .chain([volume, table].into_iter().flat_map(|s| (s + 16..s + 32).map(move |at| (at, s, 76))));
        let places = places.chain((entries..entries + 48).map(|at| (at, entries, 48)));
        for (at, start, len) in places {
            for value in [0u64, 1, 0x7fff_ffff, 0xffff_ffff, 1 << 40, 1 << 63, u64::MAX] {
                for width in [1, 8] {
                    let mut bytes = image.clone();
                    let end = (at + width).min(start + len);
                    bytes[at..end].copy_from_slice(&value.to_le_bytes()[..end - at]);
                    if !(plan.is_short && start == entries) {
                        seal(&mut bytes[start..start + len]);
                    }
                    walk(&bytes, &format!("{value:#x} at {at:#x}"));
                }
            }
        }
    }
}

/// EnCase 6.7 let places of chunks run over the bit that says whether a chunk is compressed. The file is sparse.
#[test]
fn places_beyond_two_gib_of_one_section_are_understood() {
    use std::io::{Seek, SeekFrom, Write};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("big.E01");
    let mut plan = Plan::sample();
    plan.sectors_per_chunk = 32_768;
    let size = 32_768 * 512;
    let chunks = 131u64;
    let mut bytes = plan.one();
    bytes.truncate(13);
    let mut volume = plan.volume();
    volume[4..8].copy_from_slice(&(chunks as u32).to_le_bytes());
    volume[16..20].copy_from_slice(&((chunks * 32_768) as u32).to_le_bytes());
    seal(&mut volume);
    crate::builder::section(&mut bytes, "volume", &volume);
    // Zeros have an Adler-32 that depends on their number alone.
    let sum = crate::builder::adler(&vec![0; size]);
    let start = bytes.len() as u64 + 76;
    let stride = size as u64 + 4;
    let end = start + stride * chunks;
    bytes.extend(crate::builder::descriptor("sectors", end, end - start + 76));
    let mut table = vec![0; 24];
    table[..4].copy_from_slice(&(chunks as u32).to_le_bytes());
    seal(&mut table);
    let entries: Vec<u8> =
        (0..chunks).flat_map(|chunk| ((start + chunk * stride) as u32).to_le_bytes()).collect();
    table.extend(&entries);
    table.extend(crate::builder::adler(&entries));
    let mut tail = Vec::new();
    let len = 76 + table.len() as u64;
    tail.extend(crate::builder::descriptor("table", end + len, len));
    tail.extend(&table);
    tail.extend(crate::builder::descriptor("done", end + len, 0));
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(&bytes).unwrap();
    for chunk in 0..chunks {
        file.seek(SeekFrom::Start(start + chunk * stride + size as u64)).unwrap();
        file.write_all(&sum).unwrap();
    }
    file.write_all(&tail).unwrap();
    let image = crate::files::open(&path).unwrap();
    assert!(start + (chunks - 1) * stride > 1 << 31);
    for chunk in [0, 126, 127, 128, 130] {
        let mut buf = [1; 4096];
        image.disk.read_exact_at(chunk * size as u64 + 5, &mut buf).unwrap();
        assert!(buf == [0; 4096], "chunk {chunk}");
    }
}
