//! Objects of HTTP servers and cloud stores, and snapshots of cloud disks, as sources and targets.
//!
//! ```text
//!  CloudAddress ─ open ───▶ HttpStorage · S3Object · GcsObject · AzureBlob   = Storage: an Object, read by ranges, pinned
//!               │          EbsSnapshot                                       = Storage: blocks, each with its SHA-256
//!               └ create ─▶ S3Target · EbsTarget · AzureTarget               = TargetStorage
//!                                      │
//!                          Client: attempts, time limits, redirects, certificates ◀── Sign: who asks
//! ```
//!
//! Servers are strangers: every length is checked before anything is taken, every answer has to hold exactly what was asked for,
//! of the object that was opened. What breaks that is an error, never other bytes. Secrets come from files or from the clouds' own
//! conventions, and are in no message: of an address its query is not shown, of a refusal only status and code.

mod address;
mod aws;
mod azure;
mod content_range;
mod ebs;
mod ec2;
mod error_body;
mod gcs;
mod http;
mod http_storage;
mod identity;
mod object;
mod open;
mod options;
mod pieces;
mod s3;
mod secret;
mod time;
mod url;
mod xml;

pub use address::CloudAddress;
pub use azure::{AzureBlob, AzureTarget};
pub use content_range::ContentRange;
pub use ebs::{EbsSnapshot, EbsTarget};
pub use ec2::Ec2;
pub use gcs::GcsObject;
pub use http_storage::HttpStorage;
pub use identity::Identity;
pub use open::{CloudSource, CloudTarget, Writing, create, open};
pub use options::{CloudOptions, Environment, TimeLimits};
pub use s3::{S3Object, S3Store, S3Target};

/// What is parsed of strangers' answers, pure, for fuzzing.
pub mod answers {
    pub use crate::azure::{PageList, PageRange};
    pub use crate::ebs::{Block, Page};
    pub use crate::ec2::to_json;
    pub use crate::s3::{Listed, completed, listed, upload_id};
}
