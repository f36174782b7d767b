//! Which images are being opened in this process, and for how long.
//!
//! Whoever watches over the process ends it when one takes too long: what hangs in a loop or in a read cannot end itself.
//! Kept for the whole process, as that is what is ended, and so that no command can forget it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

static UNDER_WAY: Mutex<UnderWay> =
    Mutex::new(UnderWay { list: Vec::new(), next: 0, pauses: 0, paused: None });

struct UnderWay {
    list: Vec<Entry>,
    next: u64,
    /// How many pauses there are now, and when the first of them began.
    pauses: u32,
    paused: Option<Instant>,
}

struct Entry {
    id: u64,
    what: String,
    since: Instant,
}

fn under_way() -> MutexGuard<'static, UnderWay> {
    UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An image is being opened, or looked through, while this lives.
#[derive(Debug)]
pub struct TimedOpen {
    id: u64,
}

impl TimedOpen {
    /// Begins; `what` says it to a person: `open disk.vmdk`.
    #[must_use]
    pub fn begin(what: String) -> Self {
        let mut all = under_way();
        let id = all.next;
        all.next += 1;
        all.list.push(Entry { id, what, since: Instant::now() });
        Self { id }
    }

    /// What has been under way for the longest time, and how long that is without pauses; nothing during one.
    #[must_use]
    pub fn longest() -> Option<(String, Duration)> {
        let all = under_way();
        let first = all.list.iter().min_by_key(|entry| entry.since)?;
        all.paused.is_none().then(|| (first.what.clone(), first.since.elapsed()))
    }

    /// Stops the clock while the value lives: bytes are moved that are as many as they are, and progress is shown.
    #[must_use]
    pub(crate) fn pause() -> Pause {
        let mut all = under_way();
        all.pauses += 1;
        all.paused.get_or_insert_with(Instant::now);
        Pause
    }
}

impl Drop for TimedOpen {
    fn drop(&mut self) {
        under_way().list.retain(|entry| entry.id != self.id);
    }
}

/// The clock of all [`TimedOpen`]s stands.
pub(crate) struct Pause;

impl Drop for Pause {
    fn drop(&mut self) {
        let mut all = under_way();
        all.pauses = all.pauses.saturating_sub(1);
        if all.pauses > 0 {
            return;
        }
        if let Some(begun) = all.paused.take() {
            let now = Instant::now();
            for entry in &mut all.list {
                entry.since += now.duration_since(begun.max(entry.since));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test: the state is the process's.
    #[test]
    fn the_longest_counts_and_pauses_do_not() {
        let first = TimedOpen::begin("open a".into());
        std::thread::sleep(Duration::from_millis(30));
        let second = TimedOpen::begin("open b".into());
        let mine = || TimedOpen::longest().filter(|(what, _)| what.starts_with("open ") && what.len() == 6);
        assert!(mine().is_some_and(|(what, time)| what == "open a" && time >= Duration::from_millis(30)));
        {
            let _outer = TimedOpen::pause();
            let _inner = TimedOpen::pause();
            std::thread::sleep(Duration::from_millis(200));
            assert!(TimedOpen::longest().is_none());
        }
        assert!(mine().is_some_and(|(what, time)| what == "open a" && time < Duration::from_millis(200)));
        drop(first);
        assert!(mine().is_some_and(|(what, _)| what == "open b"));
        drop(second);
        assert!(mine().is_none());
    }
}
