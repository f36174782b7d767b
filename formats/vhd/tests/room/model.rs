//! The writer against a byte array, read back by the reader (which is judged by other tools' images elsewhere).

use crate::maker::{content, open_file};
use format_core::units::{GIB, TIB};
use format_core::{CreateRequest, Disk, ErrorKind, ExtentKind, MemTarget, Order, Packed, Sink, is_zero};
use format_vhd::FORMAT;
use proptest::prelude::*;

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
            1..120,
        ),
        order in prop::collection::vec(any::<u32>(), 120..=120),
        cut in 1..CHUNK,
        fixed in any::<bool>(),
    ) {
        let size = operations.len() * CHUNK - cut;
        let options = [("subformat", if fixed { "fixed" } else { "dynamic" })];
        let target = MemTarget::default();
        let sink = create(target.clone(), &request(size as u64, &options));
        prop_assert_eq!((sink.needs().order, sink.needs().chunk_size), (Order::Any, CHUNK as u64));
        let mut expected = vec![0; size.next_multiple_of(512)];
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
        prop_assert_eq!(file.len() % 512, 0);
        let layer = open_file(file).unwrap();
        prop_assert!(layer.warnings().is_empty());
        prop_assert_eq!(layer.chunk_size(), if fixed { 1 } else { 2 * MIB });
        for start in [0, size / 2] {
            let extent = layer.extent_at(start as u64).unwrap();
            let bytes = &expected[start..extent.end() as usize];
            prop_assert!(extent.kind == ExtentKind::Data || is_zero(bytes));
        }
        prop_assert!(content(layer) == expected);
    }
}

#[test]
fn blocks_lie_on_pages_in_order_of_their_first_touch() {
    let target = MemTarget::default();
    let sink = create(target.clone(), &request(9 * MIB, &[]));
    for at in [7 * MIB, MIB, 7 * MIB + CHUNK as u64] {
        sink.write_at(at, Packed::Plain(&[at as u8 | 1; CHUNK])).unwrap();
    }
    // Over the border of two blocks that have no place yet.
    sink.write_at(4 * MIB - CHUNK as u64, Packed::Plain(&[3; 2 * CHUNK])).unwrap();
    sink.finish().unwrap();
    let file = target.committed_bytes().unwrap();
    assert!(file[..512] == file[file.len() - 512..], "the copy is one");
    let entry = |index: usize| u32::from_be_bytes(file[0x600 + index * 4..][..4].try_into().unwrap());
    let stride = 4096 + 8;
    assert_eq!(
        (0..5).map(entry).collect::<Vec<_>>(),
        [7 + stride, 7 + 2 * stride, 7 + 3 * stride, 7, u32::MAX]
    );
    assert_eq!(file.len() as u32, (7 + 4 * stride) * 512 + 512);
    for at in [0x600 + 5 * 4, 0x7ff, 7 * 512, 7 * 512 + 511] {
        assert_eq!(file[at], 0xff, "the rest of the BAT and the bitmap, {at:#x}");
    }
    let disk = Disk::new(vec![open_file(file).unwrap().into()]).unwrap();
    let found: Vec<_> = disk.extents(0, u64::MAX).map(|e| e.map(|e| (e.offset, e.kind)).unwrap()).collect();
    assert_eq!(found, [(0, ExtentKind::Data), (8 * MIB, ExtentKind::Zero)]);
}

#[test]
fn many_threads_write_at_once() {
    let target = MemTarget::default();
    let sink = create(target.clone(), &request(32 * MIB, &[]));
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
    let found = content(open_file(target.committed_bytes().unwrap()).unwrap());
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
            assert!(writes > 7, "the steps of finish are counted: {writes}");
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
    refused(2040 * GIB + 1, &[], "at most 2040 GiB");
    refused(2040 * GIB + 1, &[("subformat", "fixed")], "at most 2040 GiB");
    refused(u64::MAX, &[], "at most 2040 GiB");
    refused(32 * TIB + 1, &[("azure", "on")], "at most 32 TiB");
    refused(0, &[("azure", "on")], "at least 20 MiB");
    refused(MIB, &[("azure", "on"), ("subformat", "dynamic")], "azure takes fixed disks");
    refused(MIB, &[("azure", "yes")], "azure is on or off");
    refused(MIB, &[("subformat", "thick")], "dynamic or fixed");
    refused(MIB, &[("force_size", "off")], "force_size is on");
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
fn azure_disks_are_fixed_and_whole_mib() {
    let azure = [("azure", "on"), ("force_size", "on")];
    let step = |size| (FORMAT.size_step)(&request(size, &azure));
    assert_eq!((step(MIB), step(20 * MIB), step(20 * MIB + 1)), (20 * MIB, MIB, MIB));
    assert_eq!((FORMAT.size_step)(&request(MIB, &[])), 512);
    for (size, len) in [(1, 20 * MIB), (21 * MIB + 1, 22 * MIB)] {
        let target = MemTarget::default();
        create(target.clone(), &request(size, &azure)).finish().unwrap();
        let file = target.committed_bytes().unwrap();
        assert_eq!(file.len() as u64, len + 512);
        assert_eq!(file[len as usize + 63], 2, "the disk type");
        assert_eq!(open_file(file).unwrap().virtual_size(), len);
    }
}

#[test]
fn the_smallest_and_the_largest_disk() {
    for options in [[("subformat", "dynamic")], [("subformat", "fixed")]] {
        for size in [0, 1] {
            let target = MemTarget::default();
            create(target.clone(), &request(size, &options)).finish().unwrap();
            let layer = open_file(target.committed_bytes().unwrap()).unwrap();
            assert_eq!(layer.virtual_size(), size.next_multiple_of(512));
        }
    }
    let target = MemTarget::default();
    let sink = create(target.clone(), &request(2040 * GIB, &[]));
    sink.write_at(2040 * GIB - CHUNK as u64, Packed::Plain(&[4; CHUNK])).unwrap();
    sink.finish().unwrap();
    let layer = open_file(target.committed_bytes().unwrap()).unwrap();
    let mut found = [0; CHUNK];
    layer.read_exact_at(2040 * GIB - CHUNK as u64, &mut found).unwrap();
    assert!(found == [4; CHUNK]);
    let extent = layer.extent_at(0).unwrap();
    assert_eq!((extent.kind, extent.len), (ExtentKind::Unallocated, 32 * GIB), "one page of the BAT");
}
