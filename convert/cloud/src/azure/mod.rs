//! Blobs of Azure Storage, and disks of Azure while they are exported (Azure Storage REST API; disks are page blobs).

mod key;
mod lease;
mod pages;
mod source;
mod target;

pub use pages::{PageList, PageRange};
pub use source::AzureBlob;
pub use target::AzureTarget;

/// The version that is spoken: the first one in which lists of pages come in pages of their own.
const VERSION: &str = "2020-10-02";
