//! Blocks that come in pieces, in an order of their own.

use super::tests::{Piece, control, disk_of};
use super::*;
use crate::digest::digest_of_bytes;
use format_core::{Extent, ExtentKind, HostRange, Layer, Order, PIECE_STEP, Packed, Seen, Storage};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

const SIZE: u64 = 3 * BLOCK_SIZE + 70_001;

/// Shows the pieces of a read from its end to its beginning; some of them are zeros.
struct Backwards(Vec<u8>);

impl Storage for Backwards {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }
    fn read_exact_at(&self, _: u64, _: &mut [u8]) -> Result<()> {
        panic!("not read in pieces");
    }
    fn read_pieces_at(&self, offset: u64, buf: &mut [u8], seen: &mut Seen<'_>) -> Result<()> {
        buf.copy_from_slice(&self.0[offset as usize..][..buf.len()]);
        let step = 3 * PIECE_STEP as usize;
        (0..buf.len())
            .step_by(step)
            .rev()
            .try_for_each(|from| seen(from, &buf[from..buf.len().min(from + step)]))
    }
}

/// Shows nothing of what it reads.
struct Silent(u64);

impl Storage for Silent {
    fn size(&self) -> u64 {
        self.0
    }
    fn read_exact_at(&self, _: u64, buf: &mut [u8]) -> Result<()> {
        buf.fill(1);
        Ok(())
    }
    fn read_pieces_at(&self, offset: u64, buf: &mut [u8], _: &mut Seen<'_>) -> Result<()> {
        self.read_exact_at(offset, buf)
    }
}

/// The storage as a disk: what is a hole in it has to be read by the layer, which cannot.
struct Plain(Arc<dyn Storage>);

impl Layer for Plain {
    fn format(&self) -> &'static str {
        "plain"
    }
    fn virtual_size(&self) -> u64 {
        SIZE
    }
    fn chunk_size(&self) -> u64 {
        1
    }
    fn extent_at(&self, offset: u64) -> Result<Extent> {
        Ok(Extent { offset, len: SIZE - offset, kind: ExtentKind::Data })
    }
    fn read_exact_at(&self, _: u64, _: &mut [u8]) -> Result<()> {
        panic!("not read where it lies plain");
    }
    fn host_range(&self, offset: u64) -> Option<HostRange> {
        Some(HostRange { storage: Arc::clone(&self.0), offset, len: SIZE - offset })
    }
}

/// A disk in memory.
struct Memory {
    needs: Needs,
    takes_pieces: bool,
    fails_at: u64,
    bytes: Mutex<Vec<u8>>,
    /// How long the longest write was.
    longest: Mutex<usize>,
}

impl Sink for Memory {
    fn needs(&self) -> Needs {
        self.needs
    }
    fn pack<'a>(&self, data: &'a [u8]) -> Result<Packed<'a>> {
        Ok(Packed::Plain(data))
    }
    fn takes_pieces(&self) -> bool {
        self.takes_pieces
    }
    fn write_at(&self, offset: u64, data: Packed<'_>) -> Result<()> {
        let Packed::Plain(data) = data else { panic!("packed") };
        if (offset..offset + data.len() as u64).contains(&self.fails_at) {
            return Err(Error::new(ErrorKind::Temporary, "full"));
        }
        let mut longest = locked(&self.longest);
        *longest = data.len().max(*longest);
        locked(&self.bytes)[offset as usize..][..data.len()].copy_from_slice(data);
        Ok(())
    }
    fn zero_at(&self, offset: u64, len: u64) -> Result<()> {
        locked(&self.bytes)[offset as usize..][..len as usize].fill(0);
        Ok(())
    }
    fn flush(&self) -> Result<()> {
        Ok(())
    }
    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

fn memory(needs: Needs, takes_pieces: bool) -> Memory {
    let bytes = Mutex::new(vec![0xee; SIZE as usize]);
    Memory { needs, takes_pieces, fails_at: u64::MAX, bytes, longest: Mutex::default() }
}

/// Data, with zeros at the beginning, over the border of two pieces, and in a whole leaf.
fn content() -> Vec<u8> {
    let mut bytes = vec![0; SIZE as usize];
    disk_of(SIZE, vec![Piece(0, SIZE)]).read_exact_at(0, &mut bytes).unwrap();
    for (start, len) in [(0, 4096), (2 << 20, 100_000), (BLOCK_SIZE as usize + (64 << 10), 64 << 10)] {
        bytes[start..start + len].fill(0);
    }
    bytes
}

#[test]
fn every_order_of_pieces_makes_the_disk_and_its_digest() {
    let bytes = content();
    let disk = Disk::new(vec![Arc::new(Plain(Arc::new(Backwards(bytes.clone()))))]).unwrap();
    let zeros = 4096 + (98_304 - 4096) + (64 << 10);
    for (order, chunk_size, packed, takes_pieces) in [
        (Order::Any, 4096, false, true),
        (Order::Any, 4096, false, false),
        (Order::Ascending, 4096, false, true),
        (Order::Any, 64 << 10, true, true),
        (Order::Any, 1 << 20, false, true),
    ] {
        let sink = memory(Needs { order, chunk_size, packed }, takes_pieces);
        let outcome = copy_disk(&disk, &sink, control(&AtomicBool::new(false), 3)).unwrap();
        assert!(*locked(&sink.bytes) == bytes, "{:?}", sink.needs);
        assert_eq!(outcome.blocks.digest().unwrap(), digest_of_bytes(&bytes));
        assert_eq!(outcome.read, SIZE);
        if chunk_size == 4096 {
            // Whole chunks of zeros are not written, whatever piece they are in.
            assert!(SIZE - outcome.written >= zeros && SIZE - outcome.written <= zeros + 4096);
        }
        let in_pieces = takes_pieces && order == Order::Any && chunk_size <= PIECE_STEP && !packed;
        assert_eq!(
            *locked(&sink.longest) <= 3 * PIECE_STEP as usize,
            in_pieces || packed,
            "{:?}",
            sink.needs
        );
    }
}

#[test]
fn hashes_of_the_whole_disk_see_it_too() {
    let bytes = content();
    let disk = Disk::new(vec![Arc::new(Plain(Arc::new(Backwards(bytes.clone()))))]).unwrap();
    let sink = memory(Needs { order: Order::Any, chunk_size: 4096, packed: false }, true);
    let proof = Proof { digest: true, also: &[HashKind::Blake3] };
    let outcome = copy(Origin::Disk(&disk), &sink, proof, control(&AtomicBool::new(false), 3)).unwrap();
    assert!(*locked(&sink.bytes) == bytes);
    let hashes: Vec<String> = outcome.hashes.values().map(ToString::to_string).collect();
    assert_eq!(hashes, [blake3::hash(&bytes).to_hex().to_string()]);
    assert_eq!(outcome.blocks.digest().unwrap(), digest_of_bytes(&bytes));
}

#[test]
fn a_storage_that_shows_too_little_is_a_fault_of_ours() {
    let disk = Disk::new(vec![Arc::new(Plain(Arc::new(Silent(SIZE))))]).unwrap();
    let sink = memory(Needs { order: Order::Any, chunk_size: 4096, packed: false }, true);
    let error = copy_disk(&disk, &sink, control(&AtomicBool::new(false), 2)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Contract, "{error}");
}

#[test]
fn a_sink_that_fails_in_a_piece_ends_the_run() {
    let disk = Disk::new(vec![Arc::new(Plain(Arc::new(Backwards(content()))))]).unwrap();
    let needs = Needs { order: Order::Any, chunk_size: 4096, packed: false };
    let sink = Memory { fails_at: BLOCK_SIZE + 9_999, ..memory(needs, true) };
    let error = copy_disk(&disk, &sink, control(&AtomicBool::new(false), 2)).unwrap_err();
    assert_eq!(error.message(), "full");
}
