//! The copy with fake disks and sinks, which other tests of this crate use too.

use super::*;
use crate::digest::digest_of_bytes;
use crate::observer::Silent;
use format_core::Order;
use format_core::{CreateRequest, ErrorKind, Extent, ExtentKind, Layer, MemTarget, Packed};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Offset and length of data; each byte is made from its offset.
#[derive(Debug)]
pub(crate) struct Piece(pub(crate) u64, pub(crate) u64);

struct Pieces(u64, Vec<Piece>);

fn byte_at(offset: u64) -> u8 {
    (offset % 251) as u8 + 1
}

impl Layer for Pieces {
    fn format(&self) -> &'static str {
        "pieces"
    }
    fn virtual_size(&self) -> u64 {
        self.0
    }
    fn chunk_size(&self) -> u64 {
        1
    }
    fn extent_at(&self, offset: u64) -> Result<Extent> {
        let inside = self.1.iter().find(|p| (p.0..p.0 + p.1).contains(&offset));
        let next = self.1.iter().map(|p| p.0).filter(|&start| start > offset).min().unwrap_or(self.0);
        Ok(match inside {
            Some(p) => Extent { offset, len: p.0 + p.1 - offset, kind: ExtentKind::Data },
            None => Extent { offset, len: next - offset, kind: ExtentKind::Unallocated },
        })
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        (offset..).zip(buf).for_each(|(at, byte)| *byte = byte_at(at));
        Ok(())
    }
}

pub(crate) fn disk_of(size: u64, pieces: Vec<Piece>) -> Disk {
    Disk::new(vec![Arc::new(Pieces(size, pieces))]).unwrap()
}

/// Checks that an ordered, packing sink gets what it asked for.
struct Picky {
    needs: Needs,
    seen: Mutex<Vec<(u64, u64, bool)>>,
}

impl Sink for Picky {
    fn needs(&self) -> Needs {
        self.needs
    }
    fn pack<'a>(&self, data: &'a [u8]) -> Result<Packed<'a>> {
        Ok(Packed::Encoded { bytes: vec![1], guest_len: data.len() as u64 })
    }
    fn write_at(&self, offset: u64, data: Packed<'_>) -> Result<()> {
        let Packed::Encoded { guest_len, .. } = data else { panic!("not packed") };
        locked(&self.seen).push((offset, guest_len, true));
        Ok(())
    }
    fn zero_at(&self, offset: u64, len: u64) -> Result<()> {
        locked(&self.seen).push((offset, len, false));
        Ok(())
    }
    fn flush(&self) -> Result<()> {
        Ok(())
    }
    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

pub(crate) fn control(interrupted: &AtomicBool, threads: usize) -> Control<'_> {
    Control { observer: &Silent, interrupted, threads }
}

#[test]
fn an_ordered_sink_gets_every_byte_once_in_order_and_packed() {
    let size = 40 * BLOCK_SIZE + 777;
    let disk =
        disk_of(size, vec![Piece(0, 100_000), Piece(3 * BLOCK_SIZE - 9, 5 * BLOCK_SIZE), Piece(size - 1, 1)]);
    let chunk_size = 64 << 10;
    let sink =
        Picky { needs: Needs { order: Order::Ascending, chunk_size, packed: true }, seen: Mutex::default() };
    copy_disk(&disk, &sink, control(&AtomicBool::new(false), 4)).unwrap();
    let seen = locked(&sink.seen);
    let mut at = 0;
    for &(offset, len, data) in seen.iter() {
        assert_eq!(offset, at);
        assert!(!data || len == chunk_size || offset + len == size);
        at += len;
    }
    assert_eq!(at, size);
}

#[test]
fn the_digest_is_that_of_the_bytes_for_any_number_of_threads() {
    let size = 3 * BLOCK_SIZE + 70_000;
    let disk =
        disk_of(size, vec![Piece(10, 5), Piece(BLOCK_SIZE - 3, 9), Piece(3 * BLOCK_SIZE + 65_536, 4_464)]);
    let mut bytes = vec![0; size as usize];
    disk.read_exact_at(0, &mut bytes).unwrap();
    for threads in [1, 2, 7] {
        let target = MemTarget::default();
        let request = CreateRequest { virtual_size: size, ..CreateRequest::default() };
        let sink = format_raw::FORMAT.create.unwrap()(Box::new(target.clone()), &request).unwrap();
        let outcome = copy_disk(&disk, sink.as_ref(), control(&AtomicBool::new(false), threads)).unwrap();
        sink.finish().unwrap();
        assert_eq!(outcome.blocks.digest().unwrap(), digest_of_bytes(&bytes));
        assert_eq!(target.committed_bytes().unwrap(), bytes);
        assert_eq!(outcome.read, 5 + 9 + 4_464);
    }
}

/// Wants order and takes nothing.
struct Full;

impl Sink for Full {
    fn needs(&self) -> Needs {
        Needs { order: Order::Ascending, chunk_size: BLOCK_SIZE, packed: false }
    }
    fn write_at(&self, _: u64, _: Packed<'_>) -> Result<()> {
        // Time for the other workers to queue up behind this one.
        std::thread::sleep(std::time::Duration::from_millis(20));
        Err(Error::new(ErrorKind::Temporary, "full"))
    }
    fn zero_at(&self, _: u64, _: u64) -> Result<()> {
        Ok(())
    }
    fn flush(&self) -> Result<()> {
        Ok(())
    }
    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

#[test]
fn workers_that_wait_for_their_turn_end_when_the_sink_fails() {
    let size = 30 * BLOCK_SIZE;
    let disk = disk_of(size, vec![Piece(0, size)]);
    let error = copy_disk(&disk, &Full, control(&AtomicBool::new(false), 7)).unwrap_err();
    assert_eq!(error.message(), "full");
}

#[test]
fn a_failing_target_ends_the_run_with_its_error() {
    let size = 30 * BLOCK_SIZE;
    let disk = disk_of(size, vec![Piece(0, size)]);
    let request = CreateRequest { virtual_size: size, ..CreateRequest::default() };
    let sink = format_raw::FORMAT.create.unwrap()(Box::new(MemTarget::failing_after(5)), &request).unwrap();
    let error = copy_disk(&disk, sink.as_ref(), control(&AtomicBool::new(false), 3)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Temporary);
    let error = copy_disk(&disk, sink.as_ref(), control(&AtomicBool::new(true), 3)).unwrap_err();
    assert_eq!(error.message(), "interrupted");
}
