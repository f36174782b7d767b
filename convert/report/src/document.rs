//! A report as a JSON document.

use crate::batch::BatchReport;
use crate::model::JobReport;
use crate::outcome::is_outcome;
use format_core::{Error, ErrorKind, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A report as it is kept in a file. `report` says of what, and in which version of this structure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "report")]
pub enum Report {
    /// Of one job.
    #[serde(rename = "job-v1")]
    Job(Box<JobReport>),
    /// Of a batch.
    #[serde(rename = "batch-v1")]
    Batch(Box<BatchReport>),
}

/// A batch of 10,000 jobs has 400,000.
const MOST_VALUES: usize = 2_000_000;

impl Report {
    /// Reads a report, or what `rehome --output json migrate` or `convert` printed, which becomes the report of a job called `name`.
    ///
    /// # Errors
    /// `Corrupt` when it is neither; `Unsupported` when it is of another version.
    pub fn parse(json: &[u8], name: &str) -> Result<Self> {
        format_core::check_json_weight(json, MOST_VALUES)?;
        let value: Value =
            serde_json::from_slice(json).map_err(|e| Error::corrupt("not a JSON document").with_source(e))?;
        match value.get("report").and_then(Value::as_str) {
            Some("job-v1" | "batch-v1") => serde_json::from_value(value)
                .map_err(|e| Error::corrupt("the report does not fit its schema").with_source(e)),
            Some(other) => Err(Error::unsupported(format!(
                "the report is {other:?}, this version reads job-v1 and batch-v1"
            ))
            .hint("use the version of rehome that wrote it")),
            None if is_outcome(&value) => Ok(Self::Job(Box::new(JobReport::from_outcome(name, &value)))),
            None => Err(Error::new(ErrorKind::Corrupt, "neither a report nor the outcome of a run")
                .hint("name a report.json, or what 'rehome --output json migrate' printed")),
        }
    }

    /// The document, with a line break at its end.
    ///
    /// # Errors
    /// `Contract` when there is a number that JSON cannot hold.
    pub fn to_json(&self) -> Result<String> {
        let json = serde_json::to_string_pretty(self);
        json.map(|json| format_core::printable_json(&json) + "\n")
            .map_err(|e| Error::contract("the report as JSON").with_source(e))
    }

    /// The JSON Schema of the document.
    #[must_use]
    pub fn schema() -> Value {
        let mut schema = schemars::schema_for!(Report).to_value();
        if let Some(schema) = schema.as_object_mut() {
            schema.insert("title".into(), "report of rehome".into());
        }
        schema
    }

    /// The files that it names with their digests, those of its jobs included.
    pub fn evidence(&self) -> impl Iterator<Item = &crate::model::Evidence> {
        let (own, jobs) = match self {
            Self::Job(job) => (&job.evidence, [].as_slice()),
            Self::Batch(batch) => (&batch.evidence, batch.jobs.as_slice()),
        };
        own.iter().chain(jobs.iter().flat_map(|job| &job.evidence))
    }
}
