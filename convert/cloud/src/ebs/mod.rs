//! Snapshots of Amazon EBS by the direct APIs (Amazon EBS User Guide, "Use EBS direct APIs to access the contents of an EBS snapshot";
//! EBS direct APIs Reference, version 2019-11-02).

pub(crate) mod api;
mod listing;
mod snapshot;
mod target;

pub use listing::{Block, Page};
pub use snapshot::EbsSnapshot;
pub use target::EbsTarget;

/// The block of the service, in bytes: what is written has this size.
pub(crate) const BLOCK: u64 = 512 << 10;
