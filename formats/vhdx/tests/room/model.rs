//! The writer against a byte array, read back by the reader (which is judged by other tools' images elsewhere).

use crate::maker::{content, open};
use format_core::{
    CreateRequest, Disk, ErrorKind, ExtentKind, MemStorage, MemTarget, Order, Packed, Sink, is_zero,
};
use format_vhdx::FORMAT;
use proptest::prelude::*;
use std::sync::Arc;

const MIB: u64 = 1 << 20;
const CHUNK: usize = 64 << 10;

fn request(virtual_size: u64, options: &[(&str, &str)]) -> CreateRequest {
    let options = options.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    CreateRequest { virtual_size, options, parent: None }
}

fn create(target: MemTarget, request: &CreateRequest) -> Box<dyn Sink> {
    FORMAT.create.unwrap()(Box::new(target), request).unwrap()
}

#[derive(Clone, Debug)]
enum Operation {
    Nothing,
    Zero,
    Data(u8),
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn what_was_written_is_read(
        operations in prop::collection::vec(
            prop_oneof![
                3 => Just(Operation::Nothing),
                1 => Just(Operation::Zero),
                3 => any::<u8>().prop_map(Operation::Data),
            ],
            1..80,
        ),
        order in prop::collection::vec(any::<u32>(), 80..=80),
        cut in 1..CHUNK,
        fixed in any::<bool>(),
        large_sectors in any::<bool>(),
    ) {
        let size = operations.len() * CHUNK - cut;
        let sector = if large_sectors { "4096" } else { "512" };
        let subformat = if fixed { "fixed" } else { "dynamic" };
        let options = [("subformat", subformat), ("logical_sector_size", sector), ("block_size", "1M")];
        let target = MemTarget::default();
        let sink = create(target.clone(), &request(size as u64, &options));
        prop_assert_eq!((sink.needs().order, sink.needs().chunk_size), (Order::Any, CHUNK as u64));
        let mut expected = vec![0; size.next_multiple_of(if large_sectors { 4096 } else { 512 })];
        let mut turns: Vec<usize> = (0..operations.len()).collect();
        turns.sort_by_key(|index| order[*index]);
        for index in turns {
            let (from, to) = (index * CHUNK, ((index + 1) * CHUNK).min(size));
            match operations[index] {
                Operation::Nothing => {}
                Operation::Zero => sink.zero_at(from as u64, (to - from) as u64).unwrap(),
                Operation::Data(value) => {
                    expected[from..to].fill(value);
                    sink.write_at(from as u64, Packed::Plain(&expected[from..to])).unwrap();
                }
            }
        }
        prop_assert!(target.committed_bytes().is_none());
        sink.finish().unwrap();
        let file = target.committed_bytes().unwrap();
        prop_assert_eq!(file.len() as u64 % MIB, 0);
        let layer = open(Arc::new(MemStorage(file))).unwrap();
        prop_assert!(layer.warnings().is_empty());
        prop_assert_eq!(layer.chunk_size(), MIB);
        for start in [0, size / 2] {
            let extent = layer.extent_at(start as u64).unwrap();
            let bytes = &expected[start..extent.end() as usize];
            prop_assert!(extent.kind == ExtentKind::Data || (extent.kind == ExtentKind::Zero && is_zero(bytes)));
        }
        prop_assert!(content(layer) == expected);
    }
}

/// Writes at both sides of the border between two chunks, where a bitmap entry stands in the BAT.
#[test]
fn bitmap_entries_stand_between_the_chunks() {
    for (sector, chunk) in [("512", 4u64 << 30), ("4096", 32 << 30)] {
        let target = MemTarget::default();
        let options = [("block_size", "1M"), ("logical_sector_size", sector)];
        let sink = create(target.clone(), &request(2 * chunk + MIB, &options));
        let bytes: Vec<u8> = (0..4 * CHUNK).map(|at| (at / CHUNK) as u8 + 1).collect();
        let starts = [chunk - 2 * CHUNK as u64, 2 * chunk - 2 * CHUNK as u64];
        for start in starts {
            sink.write_at(start, Packed::Plain(&bytes)).unwrap();
        }
        sink.finish().unwrap();
        let layer = open(Arc::new(MemStorage(target.committed_bytes().unwrap()))).unwrap();
        for start in starts {
            let mut found = vec![0; bytes.len()];
            layer.read_exact_at(start, &mut found).unwrap();
            assert!(found == bytes);
        }
        let disk = Disk::new(vec![layer.into()]).unwrap();
        let data = |e: &format_core::Extent| e.kind == ExtentKind::Data;
        let found: Vec<_> = disk.extents(0, u64::MAX).map(Result::unwrap).filter(data).collect();
        let found: Vec<_> = found.iter().map(|e| (e.offset, e.len)).collect();
        assert_eq!(found, [(chunk - MIB, 2 * MIB), (2 * chunk - MIB, 2 * MIB)]);
    }
}

#[test]
fn one_write_over_many_blocks_is_one_write() {
    let target = MemTarget::failing_after(1);
    let sink = create(target, &request(64 * MIB, &[("block_size", "1M")]));
    sink.write_at(3 * MIB, Packed::Plain(&vec![1; 4 * MIB as usize])).unwrap();
    let error = sink.write_at(20 * MIB, Packed::Plain(&[1; CHUNK])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Temporary);
    let target = MemTarget::default();
    let sink = create(target.clone(), &request(64 * MIB, &[("block_size", "1M")]));
    sink.write_at(3 * MIB, Packed::Plain(&vec![1; 4 * MIB as usize])).unwrap();
    sink.finish().unwrap();
    let layer = open(Arc::new(MemStorage(target.committed_bytes().unwrap()))).unwrap();
    assert_eq!(layer.host_range(3 * MIB + 5).unwrap().len, 4 * MIB - 5, "and one read");
    assert!(layer.host_range(0).is_none());
}

#[test]
fn many_threads_write_at_once() {
    let target = MemTarget::default();
    let sink = create(target.clone(), &request(32 * MIB, &[("block_size", "2M")]));
    std::thread::scope(|scope| {
        for thread in 0..4usize {
            let sink = &sink;
            scope.spawn(move || {
                for chunk in (thread..512).step_by(4) {
                    let bytes = vec![chunk as u8; CHUNK];
                    sink.write_at((chunk * CHUNK) as u64, Packed::Plain(&bytes)).unwrap();
                }
            });
        }
    });
    sink.finish().unwrap();
    let found = content(open(Arc::new(MemStorage(target.committed_bytes().unwrap()))).unwrap());
    assert!(found.chunks(CHUNK).enumerate().all(|(chunk, bytes)| bytes.iter().all(|b| *b == chunk as u8)));
}

#[test]
fn a_failing_target_or_a_dropped_sink_leaves_no_image() {
    for writes in 0..20 {
        let target = MemTarget::failing_after(writes);
        let sink = create(target.clone(), &request(8 * MIB, &[]));
        let written = sink.write_at(0, Packed::Plain(&[1; CHUNK])).and_then(|()| sink.finish());
        assert_eq!(written.is_ok(), target.committed_bytes().is_some(), "{writes}");
        if written.is_ok() {
            assert!(writes > 5, "the steps of finish are counted: {writes}");
            return;
        }
    }
    panic!("it never succeeds");
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let refused = |size: u64, options: &[(&str, &str)], what: &str| {
        let result = FORMAT.create.unwrap()(Box::<MemTarget>::default(), &request(size, options));
        let error = result.err().unwrap();
        let kind = if what.contains("at most") { ErrorKind::Limit } else { ErrorKind::Usage };
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().contains(what), "{error}");
    };
    let tib = 1 << 40;
    refused(64 * tib + 1, &[], "at most 64 TiB");
    refused(u64::MAX, &[], "at most 64 TiB");
    refused(MIB, &[("subformat", "thick")], "dynamic or fixed");
    refused(MIB, &[("logical_sector_size", "520")], "512 or 4096");
    refused(MIB, &[("block_size", "512K")], "power of two from 1M");
    refused(MIB, &[("block_size", "3M")], "power of two from 1M");
    refused(MIB, &[("block_size", "many")], "is not a size");
    refused(64 * tib, &[("block_size", "4M")], "the smallest that fits is 8 MiB");
    let sink = create(MemTarget::default(), &request(MIB, &[]));
    for error in [
        sink.write_at(MIB - 1, Packed::Plain(&[0; 2])).unwrap_err(),
        sink.zero_at(u64::MAX, 2).unwrap_err(),
        sink.write_at(0, Packed::Encoded { bytes: vec![], guest_len: 1 }).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Contract);
    }
}

#[test]
fn the_smallest_and_the_largest_disk() {
    let nothing = FORMAT.create.unwrap()(Box::<MemTarget>::default(), &request(0, &[]));
    assert_eq!(
        nothing.err().unwrap().kind(),
        ErrorKind::Unsupported,
        "no product opens a disk without sectors"
    );
    for (size, file) in [(1, 4 * MIB), (512, 4 * MIB)] {
        let target = MemTarget::default();
        create(target.clone(), &request(size, &[])).finish().unwrap();
        let bytes = target.committed_bytes().unwrap();
        assert_eq!(bytes.len() as u64, file);
        let layer = open(Arc::new(MemStorage(bytes))).unwrap();
        assert_eq!(layer.virtual_size(), size.next_multiple_of(512));
    }
    for (tib, block) in [(1, MIB), (2, 2 * MIB), (48, 64 * MIB)] {
        let target = MemTarget::default();
        create(target.clone(), &request(tib << 40, &[])).finish().unwrap();
        let layer = open(Arc::new(MemStorage(target.committed_bytes().unwrap()))).unwrap();
        assert_eq!((layer.chunk_size(), layer.extent_at(0).unwrap().kind), (block, ExtentKind::Zero));
    }
    let target = MemTarget::default();
    let size = 64 << 40;
    let sink = create(target.clone(), &request(size, &[]));
    sink.write_at(size - CHUNK as u64, Packed::Plain(&[8; CHUNK])).unwrap();
    sink.finish().unwrap();
    let layer = open(Arc::new(MemStorage(target.committed_bytes().unwrap()))).unwrap();
    let mut last = [0];
    layer.read_exact_at(size - 1, &mut last).unwrap();
    assert_eq!((last, layer.virtual_size()), ([8], size));
}

/// What qemu-img does not look at, by the tables of MS-VHDX 2.2 and 2.6.
#[test]
fn flags_and_reserved_fields_are_as_specified() {
    for (subformat, leave_allocated) in [("dynamic", 0), ("fixed", 1)] {
        let target = MemTarget::default();
        create(target.clone(), &request(5 * MIB, &[("subformat", subformat)])).finish().unwrap();
        let bytes = target.committed_bytes().unwrap();
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let creator: Vec<u8> = "rehome ".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(bytes[8..].starts_with(&creator));
        let [first, second] = crate::maker::HEADERS;
        assert_eq!(u64_at(second + 8) - u64_at(first + 8), 1, "sequence numbers");
        assert_eq!(bytes[first + 16..first + 48], bytes[second + 16..second + 48], "GUIDs");
        assert!(!is_zero(&bytes[first + 16..first + 32]) && !is_zero(&bytes[first + 32..first + 48]));
        assert!(is_zero(&bytes[first + 48..first + 66]), "LogGuid and LogVersion");
        assert!(is_zero(&bytes[first + 80..first + 4096]), "reserved");
        let [table, copy] = crate::maker::REGION_TABLES;
        assert_eq!(bytes[table..table + 0x10000], bytes[copy..copy + 0x10000]);
        assert_eq!((u32_at(table + 8), u32_at(table + 12)), (2, 0));
        let areas =
            [16, 48].map(|at| (u64_at(table + at + 16), u32_at(table + at + 24), u32_at(table + at + 28)));
        assert_eq!(areas, [(3 * MIB, MIB as u32, 1), (2 * MIB, MIB as u32, 1)]);
        let metadata = 2 * MIB as usize;
        let entries: Vec<_> = (0..5)
            .map(|index| metadata + 32 + index * 32)
            .map(|at| (u32_at(at + 16), u32_at(at + 20), u32_at(at + 24), u32_at(at + 28)))
            .collect();
        let start = 0x10000;
        let expected = [(0, 8, 4), (8, 8, 6), (16, 16, 6), (32, 4, 6), (36, 4, 6)];
        assert_eq!(entries, expected.map(|(offset, len, flags)| (start + offset, len, flags, 0)));
        let value = |offset: u32| u32_at(metadata + (start + offset) as usize);
        assert_eq!((value(0), value(4)), (MIB as u32, leave_allocated));
        assert_eq!((value(8), value(32), value(36)), (5 * MIB as u32, 512, 4096));
        let entries: Vec<u64> = (0..6).map(|index| u64_at(3 * MIB as usize + index * 8)).collect();
        let places = [4, 5, 6, 7, 8].map(|mib: u64| if leave_allocated == 1 { mib << 20 | 6 } else { 2 });
        assert_eq!(entries[..5], places);
        assert_eq!(entries[5], 0);
        assert_eq!(bytes.len() as u64, if leave_allocated == 1 { 9 * MIB } else { 4 * MIB });
    }
}
