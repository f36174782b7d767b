//! Cuts a block into what the sink gets: data, zeros, or nothing.

use format_core::{Packed, Result, Sink, is_zero};

/// Hands the runs over: data as they are or packed one by one, zeros as zeros, the rest not at all.
pub(crate) fn give<'p>(
    sink: &dyn Sink,
    start: u64,
    block: &[u8],
    runs: &[ChunkRun],
    packed: &mut impl Iterator<Item = Packed<'p>>,
) -> Result<u64> {
    let mut written = 0;
    for run in runs {
        let at = start + run.from as u64;
        let len = (run.to - run.from) as u64;
        match run.kind {
            ChunkKind::Same => {}
            ChunkKind::Zero => sink.zero_at(at, len)?,
            ChunkKind::Data => {
                match packed.next() {
                    Some(packed) => sink.write_at(at, packed)?,
                    None => sink.write_at(at, Packed::Plain(&block[run.from..run.to]))?,
                }
                written += len;
            }
        }
    }
    Ok(written)
}

/// What a chunk means for the sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChunkKind {
    Data,
    Zero,
    /// Reads the same in the base.
    Same,
}

/// A run of chunks of one block that are all of one kind; positions within the block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ChunkRun {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) kind: ChunkKind,
}

/// Cuts a block into runs; chunks with data are joined unless each has to be packed alone.
pub(crate) fn runs_of_chunks(
    block: &[u8],
    base: Option<&[u8]>,
    chunk_size: usize,
    single: bool,
) -> Vec<ChunkRun> {
    let mut runs: Vec<ChunkRun> = Vec::new();
    for (number, chunk) in block.chunks(chunk_size).enumerate() {
        let from = number * chunk_size;
        let to = from + chunk.len();
        let kind = if base.is_some_and(|base| base[from..to] == *chunk) {
            ChunkKind::Same
        } else if is_zero(chunk) {
            ChunkKind::Zero
        } else {
            ChunkKind::Data
        };
        match runs.last_mut() {
            Some(run) if run.kind == kind && !(single && kind == ChunkKind::Data) => run.to = to,
            _ => runs.push(ChunkRun { from, to, kind }),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::{BLOCK_SIZE, digest_of_bytes};
    use crate::observer::{Control, Silent};
    use crate::pipeline::copy_difference;
    use crate::pipeline::tests::{Piece, disk_of};
    use format_core::{Needs, Order};
    use proptest::prelude::*;
    use std::sync::Mutex;
    use std::sync::atomic::AtomicBool;

    /// A child in memory: what is never mentioned is the base's.
    struct Child {
        needs: Needs,
        bytes: Mutex<Vec<u8>>,
        given: Mutex<u64>,
    }

    impl Sink for Child {
        fn needs(&self) -> Needs {
            self.needs
        }
        fn write_at(&self, offset: u64, data: Packed<'_>) -> Result<()> {
            let Packed::Plain(data) = data else { panic!("packed") };
            self.bytes.lock().unwrap()[offset as usize..][..data.len()].copy_from_slice(data);
            *self.given.lock().unwrap() += data.len() as u64;
            Ok(())
        }
        fn zero_at(&self, offset: u64, len: u64) -> Result<()> {
            self.bytes.lock().unwrap()[offset as usize..][..len as usize].fill(0);
            *self.given.lock().unwrap() += len;
            Ok(())
        }
        fn flush(&self) -> Result<()> {
            Ok(())
        }
        fn finish(self: Box<Self>) -> Result<()> {
            Ok(())
        }
    }

    const SIZE: u64 = 3 * BLOCK_SIZE + 12_345;

    fn pieces() -> impl Strategy<Value = Vec<Piece>> {
        let piece = (0..SIZE, 1..2 * BLOCK_SIZE).prop_map(|(start, len)| Piece(start, len.min(SIZE - start)));
        prop::collection::vec(piece, 0..4)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
        #[test]
        fn a_base_and_what_differs_make_the_disk(
            below in pieces(),
            above in pieces(),
            shorter in 0u64..2 * BLOCK_SIZE,
            ascending in any::<bool>(),
        ) {
            let below = below.into_iter().filter(|p| p.0 + p.1 <= SIZE - shorter).collect();
            let (base, disk) = (disk_of(SIZE - shorter, below), disk_of(SIZE, above));
            let mut expected = vec![0; SIZE as usize];
            disk.read_exact_at(0, &mut expected).unwrap();
            let mut bytes = vec![0; SIZE as usize];
            base.read_exact_at(0, &mut bytes[..(SIZE - shorter) as usize]).unwrap();
            let chunk_size = 64 << 10;
            let differing: u64 = expected
                .chunks(chunk_size)
                .zip(bytes.chunks(chunk_size))
                .filter(|(a, b)| a != b)
                .map(|(a, _)| a.len() as u64)
                .sum();
            let order = if ascending { Order::Ascending } else { Order::Any };
            let needs = Needs { order, chunk_size: chunk_size as u64, packed: false };
            let child = Child { needs, bytes: Mutex::new(bytes), given: Mutex::default() };
            let interrupted = AtomicBool::new(false);
            let control = Control { observer: &Silent, interrupted: &interrupted, threads: 3 };
            let outcome = copy_difference(&base, &disk, &child, control).unwrap();
            prop_assert!(*child.bytes.lock().unwrap() == expected);
            prop_assert_eq!(*child.given.lock().unwrap(), differing, "no more than what differs");
            prop_assert_eq!(outcome.blocks.digest().unwrap(), digest_of_bytes(&expected));
        }
    }

    /// Data in small pieces, and how often anyone looked.
    struct Crumbs(std::sync::atomic::AtomicU64);

    const CRUMB: u64 = 16 << 10;
    const CRUMBS_SIZE: u64 = 40 * BLOCK_SIZE;

    impl format_core::Layer for Crumbs {
        fn format(&self) -> &'static str {
            "crumbs"
        }
        fn virtual_size(&self) -> u64 {
            CRUMBS_SIZE
        }
        fn chunk_size(&self) -> u64 {
            CRUMB
        }
        fn extent_at(&self, offset: u64) -> Result<format_core::Extent> {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let kind = format_core::ExtentKind::Data;
            Ok(format_core::Extent { offset, len: CRUMB - offset % CRUMB, kind })
        }
        fn read_exact_at(&self, _: u64, buf: &mut [u8]) -> Result<()> {
            buf.fill(1);
            Ok(())
        }
    }

    #[test]
    fn a_full_base_under_an_empty_disk_is_walked_once() {
        let crumbs = std::sync::Arc::new(Crumbs(Default::default()));
        let base = format_core::Disk::new(vec![std::sync::Arc::clone(&crumbs) as _]).unwrap();
        let needs = Needs { order: Order::Ascending, chunk_size: 64 << 10, packed: false };
        let bytes = Mutex::new(vec![1; CRUMBS_SIZE as usize]);
        let child = Child { needs, bytes, given: Mutex::default() };
        let interrupted = AtomicBool::new(false);
        let control = Control { observer: &Silent, interrupted: &interrupted, threads: 3 };
        copy_difference(&base, &format_core::Disk::blank(CRUMBS_SIZE), &child, control).unwrap();
        assert!(child.bytes.lock().unwrap().iter().all(|&byte| byte == 0));
        let looks = crumbs.0.load(std::sync::atomic::Ordering::Relaxed);
        assert!(looks <= 2 * CRUMBS_SIZE / CRUMB, "{looks} looks at {} pieces", CRUMBS_SIZE / CRUMB);
    }
}
