//! What is said once for all jobs.

use super::values::Size;
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::PathBuf;

/// The batch as a whole.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Batch {
    /// What reports call it; by default the job file's name.
    pub name: Option<String>,
    /// The folder that outputs are relative to; it must exist. By default the job file's own.
    pub output: Option<PathBuf>,
    /// How many jobs run at once.
    #[schemars(range(min = 1, max = 1024))]
    pub jobs: Option<u32>,
    /// How many jobs read from the same source group at once.
    #[schemars(range(min = 1))]
    pub max_per_source: Option<u32>,
    /// How many jobs write to the same target group at once.
    #[schemars(range(min = 1))]
    pub max_per_target: Option<u32>,
    /// Memory of all running jobs together.
    pub memory: Option<Size>,
    /// Data that all running jobs read a second, together.
    pub rate_limit: Option<Size>,
    /// How often a job is tried again after a failure that may pass.
    pub retries: Option<u32>,
    /// After so many failed jobs no new one is begun.
    pub max_failures: Option<u32>,
    /// How the destination is isolated after the last write.
    pub isolate: Option<Isolate>,
    /// What the destination must be, so that nothing is written when it is not mounted.
    pub destination: Option<Destination>,
}

/// Taking the destination away from those who get into this host.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Isolate {
    /// In which way.
    pub how: IsolateHow,
    /// The network interface, for network-down.
    pub interface: Option<String>,
    /// Take the interface down although the default route uses it.
    #[serde(default)]
    pub yes_i_lose_network: bool,
}

/// The ways.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum IsolateHow {
    /// No isolation; for a job that takes none of the batch's.
    None,
    /// The volume is unmounted.
    Unmount,
    /// The USB device is ejected; a person has to plug it in again.
    Eject,
    /// The network interface is taken down.
    NetworkDown,
}

/// What the output folder must be.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Destination {
    /// It must lie on a mounted volume, in a folder of that.
    pub volume: bool,
    /// It must hold the marker of this id, as `rehome destination init` writes it.
    pub marker: Option<String>,
    /// It must lie on the volume with this UUID.
    pub uuid: Option<String>,
}
