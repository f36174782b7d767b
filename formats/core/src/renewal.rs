//! What is done again and again until somebody ends it: the renewal of leases.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A thread's regular work, which another thread ends.
#[derive(Debug, Default)]
pub struct Renewal {
    ended: Mutex<bool>,
    wake: Condvar,
}

impl Renewal {
    /// Calls `renew` after each `interval`, until it returns false or [`Renewal::end`] is called. The end is seen at once, but not while
    /// `renew` is at work.
    pub fn every(&self, interval: Duration, mut renew: impl FnMut() -> bool) {
        let mut due = Instant::now() + interval;
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        while !*ended {
            let left = due.saturating_duration_since(Instant::now());
            ended = self.wake.wait_timeout(ended, left).unwrap_or_else(PoisonError::into_inner).0;
            if *ended || Instant::now() < due {
                continue;
            }
            drop(ended);
            due = Instant::now() + interval;
            if !renew() {
                return;
            }
            ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// There is nothing left to renew.
    pub fn end(&self) {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.wake.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_until_it_is_ended_by_either_side() {
        let mut left = 3;
        let begun = Instant::now();
        Renewal::default().every(Duration::from_millis(20), || {
            left -= 1;
            left > 0
        });
        assert!(left == 0 && begun.elapsed() >= Duration::from_millis(60));
        let renewal = Renewal::default();
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| renewal.every(Duration::from_secs(600), || panic!("it is not due")));
            renewal.end();
            thread.join().unwrap();
        });
        renewal.every(Duration::ZERO, || panic!("it has ended"));
    }
}
