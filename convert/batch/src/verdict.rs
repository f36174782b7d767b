//! With which exit code a batch ends.

use crate::state::{JobState, Phase};

/// The worst first: what no other try mends, what may pass with the next try, what waits for a person.
const WORST_FIRST: [u8; 11] = [70, 65, 77, 73, 69, 66, 2, 1, 74, 75, 78];

/// The exit code that counts of two.
#[must_use]
pub fn worse(a: u8, b: u8) -> u8 {
    // A code that nobody knows is as bad as a bug.
    let rank = |code: u8| match code {
        0 => WORST_FIRST.len(),
        code => WORST_FIRST.iter().position(|&known| known == code).unwrap_or(0),
    };
    if rank(b) < rank(a) { b } else { a }
}

/// The exit code of a batch: 75 when it was interrupted; else the worst code of a job that failed; else 75 when jobs are
/// left that can be tried again; else 78 when jobs wait for a person; else 0.
#[must_use]
pub fn exit_code<'a>(jobs: impl IntoIterator<Item = &'a JobState>, interrupted: bool) -> u8 {
    if interrupted {
        return 75;
    }
    let (mut failed, mut left, mut held) = (None, false, false);
    for job in jobs {
        match job.state {
            Phase::Done => {}
            Phase::Held => held = true,
            Phase::Failed if !job.is_retryable() => {
                failed = Some(worse(failed.unwrap_or(0), job.code()));
            }
            _ => left = true,
        }
    }
    match (failed, left, held) {
        (Some(code), _, _) => code,
        (None, true, _) => 75,
        (None, false, true) => 78,
        (None, false, false) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::task;

    #[test]
    fn the_worst_counts() {
        let job = |state, exit_code| JobState { state, exit_code, ..JobState::new(&task("a")) };
        let done = job(Phase::Done, Some(0));
        let held = job(Phase::Held, Some(78));
        let again = job(Phase::Failed, Some(74));
        let waiting = job(Phase::Waiting, None);
        let missing = job(Phase::Failed, Some(66));
        let corrupt = job(Phase::Failed, Some(65));
        let crashed = JobState { signal: Some(11), ..job(Phase::Failed, None) };
        assert_eq!(
            (worse(0, 78), worse(75, 78), worse(65, 66), worse(42, 65), worse(0, 0)),
            (78, 75, 65, 42, 0)
        );
        assert_eq!(exit_code([], false), 0);
        assert_eq!(exit_code([&done], false), 0);
        assert_eq!(exit_code([&done, &held], false), 78);
        assert_eq!(exit_code([&held, &again], false), 75);
        assert_eq!(exit_code([&held, &waiting], false), 75);
        assert_eq!(exit_code([&again, &missing, &held], false), 66);
        assert_eq!(exit_code([&missing, &corrupt, &missing], false), 65);
        assert_eq!(exit_code([&corrupt, &crashed], false), 70);
        assert_eq!(exit_code([&corrupt], true), 75);
    }
}
