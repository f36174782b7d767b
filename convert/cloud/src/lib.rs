//! Objects of HTTP servers and cloud stores, and snapshots of cloud disks, as sources and targets.
//!
//! ```text
//!  CloudAddress ─ open ──▶ HttpStorage · …   = Storage        one Object, read by ranges, pinned by its ETag
//!                                                             │
//!                                     Client: attempts, time limits, redirects, certificates
//! ```
//!
//! Servers are strangers: every length is checked before anything is taken, every answer has to hold exactly what was asked for,
//! of the object that was opened. What breaks that is an error, never other bytes. Secrets come from files or from the clouds' own
//! conventions, and are in no message: of an address its query is not shown, of a refusal only status and code.

mod aws;
mod content_range;
mod ebs;
mod ec2;
mod error_body;
mod http;
mod http_storage;
mod identity;
mod object;
mod options;
mod pieces;
mod secret;
mod time;
mod url;
mod xml;

pub use content_range::ContentRange;
pub use ebs::{EbsSnapshot, EbsTarget};
pub use ec2::Ec2;
pub use http_storage::HttpStorage;
pub use identity::Identity;
pub use options::{CloudOptions, Environment, TimeLimits};
