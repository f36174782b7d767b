//! A read or write of many bytes in pieces, several at a time.

use format_core::{Error, Result};
use std::sync::{Mutex, PoisonError};

/// How many pieces of one call are under way at a time. The engine's workers come on top of that.
const LANES: usize = 8;

/// Gives `each` the pieces of `buf` that end at multiples of `piece` bytes, with their offsets; from several threads where
/// there are several pieces.
///
/// # Errors
/// The first error that `each` gives.
pub(crate) fn read(
    offset: u64,
    buf: &mut [u8],
    piece: u64,
    each: &(dyn Fn(u64, &mut [u8]) -> Result<()> + Sync),
) -> Result<()> {
    let mut waiting = Vec::new();
    let (mut at, mut rest) = (offset, buf);
    while !rest.is_empty() {
        let len = next_len(at, piece, rest.len());
        let (part, more) = rest.split_at_mut(len);
        waiting.push((at, part));
        (at, rest) = (at.saturating_add(len as u64), more);
    }
    run(waiting, &|(at, part)| each(at, part))
}

/// As [`read`], of bytes that go out.
///
/// # Errors
/// The first error that `each` gives.
pub(crate) fn write(
    offset: u64,
    bytes: &[u8],
    piece: u64,
    each: &(dyn Fn(u64, &[u8]) -> Result<()> + Sync),
) -> Result<()> {
    let mut waiting = Vec::new();
    let (mut at, mut rest) = (offset, bytes);
    while !rest.is_empty() {
        let (part, more) = rest.split_at(next_len(at, piece, rest.len()));
        waiting.push((at, part));
        (at, rest) = (at.saturating_add(part.len() as u64), more);
    }
    run(waiting, &|(at, part)| each(at, part))
}

fn next_len(at: u64, piece: u64, rest: usize) -> usize {
    let piece = piece.max(1);
    (piece - at % piece).min(rest as u64) as usize
}

fn run<T: Send>(mut waiting: Vec<T>, each: &(dyn Fn(T) -> Result<()> + Sync)) -> Result<()> {
    if waiting.len() <= 1 {
        return waiting.pop().map_or(Ok(()), each);
    }
    let lanes = waiting.len().min(LANES);
    waiting.reverse();
    let (waiting, failed) = (Mutex::new(waiting), Mutex::new(None::<Error>));
    let next = || {
        let has_failed = failed.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        if has_failed { None } else { waiting.lock().unwrap_or_else(PoisonError::into_inner).pop() }
    };
    let work = || {
        while let Some(piece) = next() {
            if let Err(error) = each(piece) {
                failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..lanes {
            // Where no thread can be had, those that there are do the work.
            let _ = std::thread::Builder::new().spawn_scoped(scope, work);
        }
        work();
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_given_once_and_at_its_place() {
        for (offset, len, piece) in
            [(0u64, 0usize, 8u64), (3, 5, 8), (3, 6, 8), (7, 100, 8), (0, 64, 16), (1, 1000, 7)]
        {
            let mut buf = vec![0; len];
            let calls = Mutex::new(0);
            read(offset, &mut buf, piece, &|at, part| {
                *calls.lock().unwrap() += 1;
                assert!(part.len() as u64 <= piece && at / piece == (at + part.len() as u64 - 1) / piece);
                for (index, byte) in part.iter_mut().enumerate() {
                    *byte = (at + index as u64) as u8;
                }
                Ok(())
            })
            .unwrap();
            assert!(buf.iter().enumerate().all(|(index, byte)| *byte == (offset + index as u64) as u8));
            assert!(*calls.lock().unwrap() <= len as u64 / piece + 2);
        }
    }

    #[test]
    fn an_error_ends_it() {
        let failed =
            read(0, &mut [0; 1000], 10, &|at, _| if at == 500 { Err(Error::usage("no")) } else { Ok(()) });
        assert!(failed.is_err());
    }
}
