//! What a job file says, as data. The JSON Schema is made from this.

mod batch;
mod job;
mod values;
mod words;

pub use batch::{Batch, Destination, Isolate, IsolateHow};
pub use job::Job;
pub(crate) use values::SCALAR;
pub use values::{Pairs, Paths, Size, Words};
pub use words::{Editor, Firmware, Hash, Identity, Kind, Platform, XenType};

use schemars::JsonSchema;
use serde::Deserialize;

/// A job file of rehome.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "rehome job file")]
pub struct Model {
    /// The version of this notation: 1.
    #[schemars(range(min = 1, max = 1))]
    pub version: u32,
    /// What is said once for all jobs.
    #[serde(default)]
    pub batch: Batch,
    /// What jobs have that do not say otherwise.
    #[serde(default)]
    pub defaults: Job,
    /// The jobs.
    #[serde(default)]
    pub job: Vec<Job>,
}

/// The JSON Schema of job files, draft 2020-12.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Model).into()
}
