//! The room against a byte array: random disks in, random questions out.
#![allow(clippy::unwrap_used, clippy::panic)]

mod disks;

use disks::{Noise, open};
use format_core::{ExtentKind, MemTarget, Packed, is_zero};
use format_qcow2::FORMAT;
use proptest::prelude::*;

/// What happens to a run of chunks; runs never overlap, and come in any order.
#[derive(Clone, Debug)]
enum Op {
    Skip(usize),
    Zero(usize),
    Text(usize),
    Noise(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let len = 1usize..40;
    prop_oneof![
        len.clone().prop_map(Op::Skip),
        len.clone().prop_map(Op::Zero),
        len.clone().prop_map(Op::Text),
        len.prop_map(Op::Noise),
    ]
}

/// The model, and what to write where: `None` is a `zero_at`.
type Writes = Vec<(usize, usize, bool)>;

fn model(ops: &[Op], chunk: usize, tail: usize) -> (Vec<u8>, Writes) {
    let (mut disk, mut writes, mut noise) = (Vec::new(), Vec::new(), Noise(9));
    for op in ops {
        let start = disk.len();
        let (Op::Skip(n) | Op::Zero(n) | Op::Text(n) | Op::Noise(n)) = op;
        disk.resize(start + n * chunk, 0);
        match op {
            Op::Skip(_) => continue,
            Op::Zero(_) => {}
            Op::Text(_) => {
                disk[start..].iter_mut().enumerate().for_each(|(i, byte)| *byte = (i / 9 % 50) as u8 + 1);
            }
            Op::Noise(_) => noise.fill(&mut disk[start..]),
        }
        writes.push((start, disk.len(), !matches!(op, Op::Zero(_))));
    }
    if let Some(last) = writes.last_mut().filter(|last| last.1 == disk.len()) {
        disk.truncate(disk.len() - tail);
        last.1 -= tail;
    }
    (disk, writes)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_goes_in_comes_out(
        ops in prop::collection::vec(op(), 1..24),
        bits in 9u32..14,
        compressed: bool,
        zstd: bool,
        order in any::<u64>(),
        tail in 0usize..512,
        questions in prop::collection::vec((any::<prop::sample::Index>(), 1usize..20_000), 20),
    ) {
        let chunk = 1usize << bits;
        let (disk, mut writes) = model(&ops, chunk, tail);
        let mut noise = Noise(order);
        writes.sort_by_cached_key(|_| noise.next());
        let cluster_size = chunk.to_string();
        let options = [
            ("cluster_size", cluster_size.as_str()),
            ("compressed", if compressed { "on" } else { "off" }),
            ("compression_type", if zstd { "zstd" } else { "zlib" }),
        ];
        let target = MemTarget::default();
        let sink = FORMAT.create.unwrap()(Box::new(target.clone()), &disks::request(disk.len() as u64, &options)).unwrap();
        prop_assert_eq!(sink.needs().packed, compressed);
        for (start, end, data) in writes {
            if !data {
                sink.zero_at(start as u64, (end - start) as u64).unwrap();
            } else if compressed {
                for (i, part) in disk[start..end].chunks(chunk).enumerate() {
                    sink.write_at((start + i * chunk) as u64, sink.pack(part).unwrap()).unwrap();
                }
            } else {
                sink.write_at(start as u64, Packed::Plain(&disk[start..end])).unwrap();
            }
        }
        sink.finish().unwrap();
        let found = open(target.committed_bytes().unwrap()).unwrap();
        prop_assert_eq!(found.virtual_size(), disk.len().next_multiple_of(512) as u64);

        let mut next = 0;
        for extent in found.extents(0, u64::MAX) {
            let extent = extent.unwrap();
            prop_assert_eq!(extent.offset, next);
            next = extent.end();
            let part = &disk[extent.offset as usize..(next as usize).min(disk.len())];
            prop_assert!(extent.kind == ExtentKind::Data || is_zero(part));
        }
        prop_assert_eq!(next, found.virtual_size());

        for (start, len) in questions {
            let start = start.index(disk.len());
            let len = len.min(disk.len() - start);
            let mut part = vec![0xee; len];
            found.read_exact_at(start as u64, &mut part).unwrap();
            prop_assert!(part == disk[start..start + len], "{len} bytes at {start}");
            if let Some(range) = found.host_range(start as u64).unwrap() {
                let mut plain = vec![0; range.len.min(len as u64) as usize];
                range.storage.read_exact_at(range.offset, &mut plain).unwrap();
                prop_assert!(plain == disk[start..start + plain.len()]);
            }
        }
    }
}
