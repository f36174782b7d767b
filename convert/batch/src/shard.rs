//! Which jobs of a batch are one machine's, where an engine starts the same command many times.

use crate::task::Task;
use format_core::{Error, Result};

/// One share of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which, from 0.
    pub index: usize,
    /// Of how many; `None` means: as many as there are jobs.
    pub count: Option<usize>,
}

/// How many jobs of the file other arrays before this one do, where there are several.
const OFFSET: &str = "REHOME_SHARD_OFFSET";

/// Where engines tell which task of an array this is, and from which number they count.
const ENGINES: [(&str, usize); 6] = [
    // Set by what 'rehome batch emit' writes, where an engine's own number is not what is wanted.
    ("REHOME_SHARD_INDEX", 0),
    ("JOB_COMPLETION_INDEX", 0),
    ("SLURM_ARRAY_TASK_ID", 0),
    ("AWS_BATCH_JOB_ARRAY_INDEX", 0),
    ("CLOUD_RUN_TASK_INDEX", 0),
    ("SGE_TASK_ID", 1),
];

impl Shard {
    /// `I/N` from 0, `env` for the engine's own number with a job for each, `env/N` with N shares. The variables are given
    /// by `variable`.
    ///
    /// # Errors
    /// `Usage` when it is none of these, or no engine tells a number.
    pub fn parse(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let wrong =
            || Error::usage(format!("--shard {text:?} is not env, env/N or I/N with I from 0 to N-1"));
        let (index, count) = match text.split_once('/') {
            Some((index, count)) => (index, Some(count.parse().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let index = match index {
            "env" if count.is_none() => from_engine(&variable)?.saturating_add(offset(&variable)?),
            "env" => from_engine(&variable)?,
            _ if count.is_none() => return Err(wrong()),
            number => number.parse().map_err(|_| wrong())?,
        };
        if count.is_some_and(|count| index >= count) {
            return Err(wrong());
        }
        Ok(Self { index, count })
    }

    /// The numbers of this share's jobs.
    ///
    /// # Errors
    /// `Usage` when there are fewer jobs than the number says and each has one.
    pub fn pick(&self, tasks: &[Task]) -> Result<Vec<usize>> {
        let count = self.count.unwrap_or(tasks.len());
        if self.index >= count {
            let text = format!("the task's number is {} and there are {count} jobs", self.index);
            return Err(Error::usage(text).hint(
                "start an array from 0 with a task for each job, or name the shares with --shard env/N",
            ));
        }
        Ok((self.index..tasks.len()).step_by(count).collect())
    }

    /// What the files of this share are called after, where all share a folder.
    #[must_use]
    pub fn name(&self) -> String {
        match self.count {
            Some(count) => format!("{}-of-{count}", self.index),
            None => self.index.to_string(),
        }
    }
}

fn offset(variable: impl Fn(&str) -> Option<String>) -> Result<usize> {
    let text = variable(OFFSET).unwrap_or_else(|| "0".into());
    text.parse().map_err(|_| Error::usage(format!("{OFFSET} is {text:?}, which is no number of jobs")))
}

fn from_engine(variable: impl Fn(&str) -> Option<String>) -> Result<usize> {
    let mut found: Option<(&str, usize)> = None;
    for (name, first) in ENGINES {
        // Grid Engine sets its own to "undefined" outside of arrays.
        let Some(text) = variable(name).filter(|text| text != "undefined") else { continue };
        let number = text.parse::<usize>().ok().and_then(|number| number.checked_sub(first));
        let number = number
            .ok_or_else(|| Error::usage(format!("{name} is {text:?}, which is no number of a task")))?;
        match found {
            Some((other, before)) if before != number => {
                return Err(Error::usage(format!("{other} and {name} tell two tasks"))
                    .hint("unset the one that is not this engine's"));
            }
            _ => found = Some((name, number)),
        }
    }
    found.map(|(_, number)| number).ok_or_else(|| {
        let names: Vec<_> = ENGINES.iter().map(|(name, _)| *name).collect();
        Error::usage(format!("--shard env: none of {} is set", names.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::task;

    fn parse(text: &str, name: &str, value: &str) -> Option<Shard> {
        Shard::parse(text, |asked| (asked == name).then(|| value.to_owned())).ok()
    }

    #[test]
    fn every_engine_tells_its_number() {
        for (name, first) in ENGINES {
            let found = parse("env", name, &(first + 4).to_string());
            assert_eq!(found, Some(Shard { index: 4, count: None }), "{name}");
        }
        let second = |name: &str| match name {
            OFFSET => Some("1000".to_owned()),
            "SLURM_ARRAY_TASK_ID" => Some("4".to_owned()),
            _ => None,
        };
        assert_eq!(Shard::parse("env", second).ok(), Some(Shard { index: 1004, count: None }));
        assert_eq!(Shard::parse("env/7", second).ok(), Some(Shard { index: 4, count: Some(7) }));
        assert_eq!(parse("env/7", "SLURM_ARRAY_TASK_ID", "4"), Some(Shard { index: 4, count: Some(7) }));
        assert_eq!(parse("2/7", "", ""), Some(Shard { index: 2, count: Some(7) }));
        for text in ["7/7", "1", "x/2", "1/0", "env", "env/4", "1/2/3", "-1/3"] {
            assert_eq!(parse(text, "JOB_COMPLETION_INDEX", "nine"), None, "{text}");
        }
        assert_eq!(parse("env", "SGE_TASK_ID", "0"), None);
        let two = |name: &str| match name {
            "SGE_TASK_ID" => Some("3".to_owned()),
            "JOB_COMPLETION_INDEX" => Some("1".to_owned()),
            _ => None,
        };
        assert!(Shard::parse("env", two).is_err());
        assert_eq!(parse("env", "SGE_TASK_ID", "undefined"), None);
    }

    #[test]
    fn the_shares_together_are_all_jobs_and_no_job_is_in_two() {
        let tasks: Vec<_> = (0..10).map(|i| task(&i.to_string())).collect();
        for count in [Some(1), Some(3), Some(12), None] {
            let shares = (0..count.unwrap_or(10)).map(|index| Shard { index, count }.pick(&tasks).unwrap());
            let mut all: Vec<_> = shares.flatten().collect();
            all.sort_unstable();
            assert_eq!(all, (0..10).collect::<Vec<_>>(), "{count:?}");
        }
        assert!(Shard { index: 10, count: None }.pick(&tasks).is_err());
    }
}
