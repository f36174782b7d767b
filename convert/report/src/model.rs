//! What a report says, as data: the JSON that is kept, checked against its schema and signed.
//!
//! Everything that a kind of job does not have is left out. Times are UTC as in RFC 3339, sizes are bytes, and texts are what
//! images, guests and programs said, unchanged: whoever shows them makes them harmless.

use crate::allocation::Allocation;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What became of one job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct JobReport {
    /// The job's id, unique in its batch.
    pub id: String,
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The kind of job: `migrate`, `convert`, …
    pub action: String,
    /// The images and backups that were read.
    pub sources: Vec<String>,
    /// The platform that it goes to, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// The file or folder that is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The wave of the batch that it belongs to, from 0.
    pub wave: u32,
    /// How it stands.
    pub state: State,
    /// Whether it was a dry run: planned, and nothing written.
    #[serde(skip_serializing_if = "is_false")]
    pub dry_run: bool,
    /// The exit code of the last attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// How long the last attempt took, where the program said so itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorReport>,
    /// The attempts, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// The operating system that was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest: Option<GuestReport>,
    /// The machine that is defined on the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineReport>,
    /// The disks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<DiskReport>,
    /// How fast each stage of the last attempt went.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageReport>,
    /// Every fixup that was considered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fixups: Vec<FixupReport>,
    /// What was changed in the guest, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<ChangeReport>,
    /// What a person should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<WarningReport>,
    /// What stands in the way and needs a person.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub obstacles: Vec<String>,
    /// What was seen when the written disks were booted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_test: Option<BootTestReport>,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_step: Option<String>,
    /// The command with its arguments, as it can be run by hand.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// What took part, and how: versions of the program, the host's kernel, QEMU; how the run was confined.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// The job's own page, relative to the report, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
    /// Files with their digests: a signature of the report covers them too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
}

/// How a job stands.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Not begun.
    #[default]
    Waiting,
    /// Being worked on.
    Running,
    /// Done, and proven as far as was asked for.
    Done,
    /// It failed.
    Failed,
    /// A person has to act first.
    Held,
    /// It was stopped and goes on when it is run again.
    Interrupted,
    /// The operator, or a batch that was stopped, gave it up.
    Cancelled,
}

/// Why a job failed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ErrorReport {
    /// Stable code, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The kind of error: `corrupt`, `io`, …
    pub kind: String,
    /// One sentence.
    pub message: String,
    /// What can be done about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The stage that it happened in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// The place in the file that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
}

/// One attempt at a job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Attempt {
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub began: Option<String>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// Its exit code; absent when it runs, or was killed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// What it ended with, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// The operating system in a machine's disks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct GuestReport {
    /// `linux`, `windows`, …
    pub family: String,
    /// For people, with the version.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The processor that it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// Its host name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
}

/// A machine in a few words.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct MachineReport {
    /// Its name.
    pub name: String,
    /// Number of processors.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// `bios` or `uefi`.
    pub firmware: String,
    /// Whether Secure Boot can be on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secure_boot: Option<bool>,
    /// The network adapters.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub adapters: Vec<AdapterReport>,
}

/// A network adapter before and after.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AdapterReport {
    /// Its hardware address at the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_mac: Option<String>,
    /// Its network at the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_network: Option<String>,
    /// Its address at the target; absent where the target chooses one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Its network at the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
}

/// One disk.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DiskReport {
    /// The file that was read, the top of its chain.
    pub source: String,
    /// Its format, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_format: Option<String>,
    /// Sizes of all the source's files together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_file_size: Option<u64>,
    /// The image that is or will be written.
    pub target: String,
    /// Its format.
    pub target_format: String,
    /// Size of its file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_file_size: Option<u64>,
    /// Size of the disk.
    pub virtual_size: u64,
    /// Bytes of data that were read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_bytes: Option<u64>,
    /// Digest of the written disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Digest of the source's disk, where it was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_digest: Option<String>,
    /// Hashes of the whole disk by the names of their kinds.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub hashes: BTreeMap<String, String>,
    /// What was proven of the image.
    pub proof: Proof,
    /// Ranges that fixups wrote: offset and length.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<(u64, u64)>,
    /// Bytes that could not be read and are zeros now.
    #[serde(skip_serializing_if = "is_zero")]
    pub unreadable_bytes: u64,
    /// Which parts of the source's disk held data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Allocation>,
    /// Which parts of the written disk hold data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Allocation>,
}

/// What was proven of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Proof {
    /// Nothing was asked for, or nothing was written.
    #[default]
    None,
    /// It was read back, and is what was written.
    ReadBack,
    /// It was read back and compared with the source: only what fixups wrote differs.
    Source,
}

/// How fast a stage went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct StageReport {
    /// Its name.
    pub name: String,
    /// Bytes of data that it was about.
    pub bytes: u64,
    /// How long it took.
    pub seconds: f64,
    /// Whether it came to its end.
    pub ended: bool,
    /// Seconds since it began, and bytes of data that were done by then.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<(f64, u64)>,
}

/// One fixup.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct FixupReport {
    /// Stable id.
    pub id: String,
    /// What it does, for people.
    pub title: String,
    /// `planned`, `nothing-to-do`, `not-applicable`, `left-out` or `cannot`.
    pub status: String,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What a person does, where it could not be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_step: Option<String>,
    /// How many changes it made.
    pub edits: u64,
}

/// One change in the guest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ChangeReport {
    /// The path in the guest.
    pub path: String,
    /// What happened to it, in a word.
    pub action: String,
    /// Why.
    pub reason: String,
    /// The change for people; cut where it is long.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// What a person should know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct WarningReport {
    /// Stable code.
    pub code: String,
    /// One sentence.
    pub message: String,
}

/// What was seen when the written disks were booted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct BootTestReport {
    /// `passed`, `failed`, `undecided` or `not-run`.
    pub verdict: String,
    /// What it means, for people.
    pub about: String,
    /// Where it was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// What was seen there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
    /// From the start to the verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// The machine that was emulated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// A PNG file of the last screen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub screenshot: Option<String>,
}

/// A file and what it was when the report was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// Where it is: relative to the report's folder, or absolute.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// BLAKE3 of its content, 64 hexadecimal digits.
    pub blake3: String,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(value: &bool) -> bool {
    !value
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}
