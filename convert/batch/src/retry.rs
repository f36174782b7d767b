//! Setting jobs back that a run would leave.

use crate::state::{BatchState, JobState, Phase, StateFolder};
use format_core::{Error, Result};

/// Which jobs are set back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RetryWish {
    /// All that failed or are held.
    AllFailed,
    /// These, if they failed, are held or were cancelled.
    These(Vec<String>),
}

/// Sets jobs back to waiting, and gives their ids. Nothing is started.
///
/// # Errors
/// `Usage` for an id that there is not, or one that does not need it: then nothing is set back.
pub fn retry(folder: &StateFolder, state: &BatchState, wish: &RetryWish) -> Result<Vec<String>> {
    let has_failed = |job: &&JobState| matches!(job.state, Phase::Failed | Phase::Held);
    let jobs: Vec<&JobState> = match wish {
        RetryWish::AllFailed => state.jobs.iter().filter(has_failed).collect(),
        RetryWish::These(ids) => ids.iter().map(|id| named(state, id)).collect::<Result<_>>()?,
    };
    for job in &jobs {
        let back =
            JobState { state: Phase::Waiting, attempts: 0, exit_code: None, signal: None, ..(*job).clone() };
        folder.keep(&back)?;
    }
    Ok(jobs.iter().map(|job| job.id.clone()).collect())
}

fn named<'a>(state: &'a BatchState, id: &str) -> Result<&'a JobState> {
    let job = state.jobs.iter().find(|job| job.id == id).ok_or_else(|| {
        Error::usage(format!("the batch has no job {id:?}")).hint("'rehome batch status' lists the jobs")
    })?;
    match job.state {
        Phase::Failed | Phase::Held | Phase::Cancelled => Ok(job),
        other => Err(Error::usage(format!("the job {id} is {}, and needs no retry", other.name()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::BatchInfo;
    use crate::testing::task;

    #[test]
    fn what_failed_is_set_back_and_what_is_done_is_not() {
        let temp = tempfile::tempdir().unwrap();
        let folder = StateFolder::create(&temp.path().join("s")).unwrap();
        let tasks: Vec<_> = ["a", "b", "c"].map(task).into();
        let info = BatchInfo {
            id: "b".into(),
            job_file: "j".into(),
            job_file_hash: String::new(),
            started: String::new(),
            version: String::new(),
        };
        folder.begin(&info, &tasks).unwrap();
        let phases = [(Phase::Failed, 65), (Phase::Done, 0), (Phase::Held, 78)];
        for (task, (state, code)) in tasks.iter().zip(phases) {
            folder.keep(&JobState { state, exit_code: Some(code), ..JobState::new(task) }).unwrap();
        }
        let state = folder.load().unwrap();
        for ids in [vec!["a", "b"], vec!["a", "x"]] {
            let wish = RetryWish::These(ids.iter().map(ToString::to_string).collect());
            assert!(retry(&folder, &state, &wish).is_err(), "{ids:?}");
            assert_eq!(folder.load().unwrap().count(Phase::Failed), 1, "nothing happened");
        }
        assert_eq!(retry(&folder, &state, &RetryWish::AllFailed).unwrap(), ["a", "c"]);
        let state = folder.load().unwrap();
        assert_eq!((state.count(Phase::Waiting), state.count(Phase::Done)), (2, 1));
        assert!(state.jobs[0].may_start());
    }
}
