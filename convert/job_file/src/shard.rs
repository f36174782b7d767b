//! Which jobs of a file one task of a batch engine does.

use format_core::{Error, Result};

/// Variables that engines count their tasks with, and what the first task is called.
const INDICES: [(&str, u64); 6] = [
    ("REHOME_SHARD_INDEX", 0),
    ("JOB_COMPLETION_INDEX", 0),
    ("SLURM_ARRAY_TASK_ID", 0),
    ("AWS_BATCH_JOB_ARRAY_INDEX", 0),
    ("CLOUD_RUN_TASK_INDEX", 0),
    ("SGE_TASK_ID", 1),
];

/// Variables that engines count attempts with, and what the first attempt is called.
const ATTEMPTS: [(&str, u64); 3] =
    [("SLURM_RESTART_COUNT", 0), ("AWS_BATCH_JOB_ATTEMPT", 1), ("CLOUD_RUN_TASK_ATTEMPT", 0)];

/// Part of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shard {
    /// The job with this number, from 0, in the order of the batch.
    One(u64),
    /// Of every `of` jobs the one with the number `index`, from 0.
    Every {
        /// Which.
        index: u64,
        /// Of how many.
        of: u64,
    },
}

impl Shard {
    /// Reads `I/N` with `I` from 0 to `N` - 1, `env`, or `env/N`.
    ///
    /// `env` is the number that the engine gave its task, and with `REHOME_SHARD_OFFSET`, where a file has several arrays, that many more:
    /// the task does the job of this number. With `env/N` the tasks of one array of N share all jobs.
    ///
    /// # Errors
    /// `Usage` when it cannot be read, and when the environment tells no task or two.
    pub fn parse(text: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        if text == "env" {
            let offset = number("REHOME_SHARD_OFFSET", 0, environment)?.unwrap_or(0);
            return Ok(Self::One(from_engine(environment)?.saturating_add(offset)));
        }
        let parts = text.split_once('/').and_then(|(index, of)| Some((index, of.parse::<u64>().ok()?)));
        let index = match parts {
            Some(("env", _)) => Some(from_engine(environment)?),
            Some((index, _)) => index.parse().ok(),
            None => None,
        };
        match (index, parts) {
            (Some(index), Some((_, of))) if index < of => Ok(Self::Every { index, of }),
            _ => Err(Error::usage(format!("{text:?} is no shard: they are counted from 0")).hint(
                "write --shard 0/4 for the first of four, or --shard env for what the batch engine says",
            )),
        }
    }

    /// The numbers, from 0 in the order of the batch, of the jobs in this part of `jobs` jobs.
    ///
    /// # Errors
    /// `Usage` when there is no such job: the array is larger than the file.
    pub fn of(self, jobs: usize) -> Result<Vec<usize>> {
        match self {
            Self::One(index) => match usize::try_from(index) {
                Ok(index) if index < jobs => Ok(vec![index]),
                _ => {
                    Err(Error::usage(format!("task {index}, counted from 0, of a job file with {jobs} jobs"))
                        .hint("write the engine's specification again with 'rehome batch emit'"))
                }
            },
            Self::Every { index, of } => Ok((0..jobs).filter(|job| *job as u64 % of == index).collect()),
        }
    }
}

fn from_engine(environment: &dyn Fn(&str) -> Option<String>) -> Result<u64> {
    let mut found: Option<(&str, u64)> = None;
    for (name, first) in INDICES {
        let Some(number) = number(name, first, environment)? else { continue };
        match found {
            Some((other, before)) if before != number => {
                return Err(Error::usage(format!("{other} and {name} tell two tasks"))
                    .hint("unset the one that is not this engine's"));
            }
            _ => found = Some((name, number)),
        }
    }
    found.map(|(_, index)| index).ok_or_else(|| {
        let names: Vec<_> = INDICES.iter().map(|(name, _)| *name).collect();
        Error::usage(format!("no batch engine tells which task this is: none of {} is set", names.join(", ")))
            .hint("say it by hand, as in --shard 0/4")
    })
}

/// Which attempt at this task it is, from 1, where the engine tells.
///
/// # Errors
/// `Usage` when what it tells is no number.
pub fn attempt(environment: &dyn Fn(&str) -> Option<String>) -> Result<Option<u64>> {
    for (name, first) in ATTEMPTS {
        if let Some(number) = number(name, first, environment)? {
            return Ok(Some(number.saturating_add(1)));
        }
    }
    Ok(None)
}

/// That the job file is the one which the engine's specification was written for.
///
/// # Errors
/// `Usage` when `REHOME_JOB_FILE` is set and is not `digest`: numbers of tasks would mean other jobs.
pub fn check_digest(digest: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<()> {
    match environment("REHOME_JOB_FILE") {
        Some(expected) if expected != digest => Err(Error::usage(
            "the job file is not the one that this task was made for: its number would mean another job",
        )
        .hint("write the engine's specification again with 'rehome batch emit'")),
        _ => Ok(()),
    }
}

fn number(name: &str, first: u64, environment: &dyn Fn(&str) -> Option<String>) -> Result<Option<u64>> {
    // SGE says `undefined` to jobs that are no array.
    let Some(text) = environment(name).filter(|text| !matches!(text.as_str(), "" | "undefined")) else {
        return Ok(None);
    };
    let number = text.parse::<u64>().ok().and_then(|number| number.checked_sub(first));
    number
        .map(Some)
        .ok_or_else(|| Error::usage(format!("{name} is {text:?}, and not a number from {first} on")))
}
