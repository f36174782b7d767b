//! How many workers the memory allows.

use crate::digest::BLOCK_SIZE;

/// What all workers together may hold, so that a run stays below 256 MiB with its tables and caches.
const FOR_WORKERS: u64 = 192 << 20;
/// What a run holds besides: the program, tables, caches.
const FOR_THE_REST: u64 = 32 << 20;
/// What the encoder of a chunk needs for itself.
const FOR_AN_ENCODER: u64 = 1 << 20;

/// The memory of one worker that holds `blocks` blocks, and with `packed` one more in the target's encoding.
fn worker_memory(blocks: u64, packed: bool) -> u64 {
    let encoded = if packed { BLOCK_SIZE + FOR_AN_ENCODER } else { 0 };
    blocks * BLOCK_SIZE + encoded
}

/// How many of `threads` workers may run at once, at least one.
pub(crate) fn workers(threads: usize, blocks: u64, packed: bool) -> usize {
    let most = FOR_WORKERS / worker_memory(blocks, packed);
    threads.clamp(1, usize::try_from(most).unwrap_or(usize::MAX).max(1))
}

/// How many workers a copy may have that is to stay below `max_memory` bytes, whatever its target. The other value, an
/// error, is the least that a copy needs.
///
/// # Errors
/// The least number of bytes.
pub fn threads_within(max_memory: u64) -> Result<usize, u64> {
    let one = worker_memory(1, true);
    match max_memory.saturating_sub(FOR_THE_REST) / one {
        0 => Err(FOR_THE_REST + one),
        threads => Ok(usize::try_from(threads).unwrap_or(usize::MAX)),
    }
}

/// How many of `threads` workers may run beside `held` bytes that the caller keeps in memory meanwhile, at least one; with
/// `max_memory`, all together stay below that where one worker can.
#[must_use]
pub fn threads_beside(held: u64, threads: usize, max_memory: Option<u64>) -> usize {
    let budget = max_memory.map_or(FOR_WORKERS, |max| max.saturating_sub(FOR_THE_REST)).min(FOR_WORKERS);
    let most = budget.saturating_sub(held) / worker_memory(1, true);
    threads.clamp(1, usize::try_from(most).unwrap_or(usize::MAX).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_threads_than_the_memory_holds_do_not_run() {
        assert_eq!(workers(64, 1, false), 48);
        assert_eq!(workers(64, 1, true), 21);
        assert_eq!(workers(64, 2, true), 14);
        assert_eq!((workers(2, 2, true), workers(0, 1, false)), (2, 1));
        assert_eq!(threads_within(40 << 20), Err(41 << 20));
        assert_eq!((threads_beside(0, 64, None), threads_beside(64 << 20, 64, None)), (21, 14));
        assert_eq!((threads_beside(64 << 20, 4, None), threads_beside(1 << 40, 64, None)), (4, 1));
        let within = |held| threads_beside(held, 64, Some(64 << 20));
        assert_eq!((within(0), within(9 << 20), within(64 << 20)), (3, 2, 1));
        assert_eq!(threads_beside(0, 64, Some(1 << 40)), 21);
        assert_eq!((threads_within(41 << 20), threads_within(64 << 20)), (Ok(1), Ok(3)));
    }
}
