//! Who may go next, where a sink wants ascending offsets from many workers.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A lock that no panic elsewhere can close: a run with a panic fails as a whole anyway.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets workers pass one by one, in the order of their numbers.
#[derive(Default)]
pub(crate) struct Turns {
    state: Mutex<TurnState>,
    changed: Condvar,
}

#[derive(Default)]
struct TurnState {
    next: u64,
    stopped: bool,
}

/// Holding it is having the turn; dropping it lets the next one pass.
pub(crate) struct Turn<'a>(&'a Turns);

impl Turns {
    /// Waits for the turn; `None` when the run was stopped.
    pub(crate) fn wait_for(&self, turn: u64) -> Option<Turn<'_>> {
        let state = locked(&self.state);
        let waiting = |state: &mut TurnState| state.next != turn && !state.stopped;
        let state = self.changed.wait_while(state, waiting).unwrap_or_else(PoisonError::into_inner);
        // Lazily: a turn made and dropped here would wait for the lock that `state` holds.
        (!state.stopped).then(|| Turn(self))
    }

    /// Lets all that wait go without a turn.
    pub(crate) fn stop(&self) {
        locked(&self.state).stopped = true;
        self.changed.notify_all();
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        locked(&self.0.state).next += 1;
        self.0.changed.notify_all();
    }
}
