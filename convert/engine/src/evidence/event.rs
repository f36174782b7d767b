//! What a log tells.

use super::fingerprint::Fingerprint;
use super::host::Host;
use serde::{Deserialize, Serialize};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A run began.
    Begin {
        /// Who, where and with what.
        #[serde(flatten)]
        host: Host,
        /// The command line, without secrets ([`super::without_secrets`]).
        command: Vec<String>,
    },
    /// A source was read as a whole.
    Source {
        /// Before or after the work.
        moment: Moment,
        /// What it was.
        #[serde(flatten)]
        fingerprint: Fingerprint,
    },
    /// Something was made.
    Result {
        /// The file, or what stands for it.
        path: String,
        /// Of the disk or file in bytes.
        size: u64,
        /// Names of digests and their values.
        digests: std::collections::BTreeMap<String, String>,
    },
    /// A file that belongs to the case and is no disk.
    Attachment {
        /// What it was.
        #[serde(flatten)]
        fingerprint: Fingerprint,
    },
    /// Something that a person should know.
    Note {
        /// In words.
        text: String,
    },
    /// A run ended.
    End {
        /// Whether it did what it was told to do, and its sources are as they were.
        is_ok: bool,
        /// Why not, or nothing.
        text: String,
    },
}

/// When a source was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Moment {
    /// Before anything was read for another purpose.
    Before,
    /// When all was done.
    After,
}

/// What kind of host object a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceKind {
    /// A regular file.
    File,
    /// A block device.
    Device,
}
