//! Holds workers back, so that a copy leaves the disk and the network to others.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A signal is noticed within this time.
const STEP: Duration = Duration::from_millis(50);

/// A number of bytes a second that all workers share. What was read is paid for afterwards, by waiting: the sum is exact
/// over any time that is long against one block of each worker.
#[derive(Debug)]
pub struct RateLimit {
    bytes_per_second: u64,
    /// When everything that was read so far is paid for.
    paid: Mutex<Option<Instant>>,
}

impl RateLimit {
    /// At most so many bytes a second; 0 counts as 1.
    #[must_use]
    pub fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), paid: Mutex::new(None) }
    }

    /// Waits until `bytes` more bytes are paid for, or the run is interrupted.
    pub fn pay(&self, bytes: u64, interrupted: &AtomicBool) {
        let until = self.due(bytes, Instant::now());
        while !interrupted.load(Ordering::Relaxed) {
            match until.checked_duration_since(Instant::now()) {
                Some(left) if !left.is_zero() => std::thread::sleep(left.min(STEP)),
                _ => return,
            }
        }
    }

    /// When `bytes` are paid for that were read until `now`. Time in which nothing was read is not saved up.
    fn due(&self, bytes: u64, now: Instant) -> Instant {
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second);
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let begin = paid.map_or(now, |paid| paid.max(now));
        let due = begin.checked_add(cost).unwrap_or(begin);
        *paid = Some(due);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_the_rate_and_idle_time_is_not_saved_up() {
        let rate = RateLimit::new(100 << 20);
        let start = Instant::now();
        let mut workers = [start; 3];
        // 1000 blocks of 4 MiB, each read in no time by the worker that is free first.
        for _ in 0..1000 {
            let first = workers.iter_mut().min().unwrap();
            *first = rate.due(4 << 20, *first);
        }
        assert_eq!(workers.into_iter().max().unwrap() - start, Duration::from_secs(40));
        let later = start + Duration::from_secs(100);
        assert_eq!(rate.due(50 << 20, later) - later, Duration::from_millis(500));
    }

    #[test]
    fn an_interrupted_run_does_not_wait() {
        let started = Instant::now();
        RateLimit::new(1).pay(1 << 40, &AtomicBool::new(true));
        assert!(started.elapsed() < Duration::from_secs(60));
    }
}
