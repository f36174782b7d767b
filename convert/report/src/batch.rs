//! What a report says of a batch, as data.

use crate::model::{Evidence, JobReport, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What became of a batch of jobs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct BatchReport {
    /// The batch's id.
    pub id: String,
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// When it was begun first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub began: Option<String>,
    /// When it ended; absent while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// When this report was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made: Option<String>,
    /// The program and version.
    pub tool: String,
    /// The host that ran it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The command that goes on with what is not done, for the operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<String>,
    /// Sums over the jobs.
    pub totals: Totals,
    /// The jobs.
    pub jobs: Vec<JobReport>,
    /// Files of the batch with their digests, such as the job file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
}

/// Sums over the jobs of a batch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Totals {
    /// All jobs.
    pub jobs: u64,
    /// How many of them stand how.
    pub states: BTreeMap<State, u64>,
    /// Jobs with warnings.
    pub with_warnings: u64,
    /// Disks of jobs that are done.
    pub disks: u64,
    /// Their sizes.
    pub virtual_bytes: u64,
    /// Bytes of data that were read for them.
    pub data_bytes: u64,
    /// Sizes of the image files that were written.
    pub written_bytes: u64,
}

impl Totals {
    /// The sums of these jobs.
    #[must_use]
    pub fn of(jobs: &[JobReport]) -> Self {
        let mut totals = Self { jobs: jobs.len() as u64, ..Self::default() };
        for job in jobs {
            *totals.states.entry(job.state).or_default() += 1;
            totals.with_warnings += u64::from(!job.warnings.is_empty());
            if job.state != State::Done {
                continue;
            }
            totals.disks += job.disks.len() as u64;
            for disk in &job.disks {
                let add = |sum: &mut u64, bytes: u64| *sum = sum.saturating_add(bytes);
                add(&mut totals.virtual_bytes, disk.virtual_size);
                add(&mut totals.data_bytes, disk.data_bytes.unwrap_or(0));
                add(&mut totals.written_bytes, disk.target_file_size.unwrap_or(0));
            }
        }
        totals
    }

    /// How many jobs stand like this.
    #[must_use]
    pub fn count(&self, state: State) -> u64 {
        self.states.get(&state).copied().unwrap_or(0)
    }
}
