//! Windows driver packages: what their INF files declare, and which of a folder or disc fit a guest.
//!
//! ```text
//!  folder or ISO 9660 image ─▶ INF files ─parse─▶ Inf ─▶ what it declares for one Windows and processor
//!                                                               │ nearest folder, then newest driver
//!                                                               ▼
//!                                                        DriverPackage (with the content of its files)
//! ```
//!
//! Nothing is known by heart that an INF says: hardware identifiers, start types, load order groups and parameters such
//! as `BusType` come from the INF that belongs to the driver. What an INF file can do and what of that is followed:
//! `SPEC.md` of this folder.

mod builds;
mod copies;
mod disc;
mod inf;
mod lines;
mod model;
mod packages;
mod reader;
mod registry;
mod service;
mod signature;
mod source;
mod target;
mod text;

pub use disc::{Disc, DiscFile};
pub use inf::{Inf, parse};
pub use lines::Line;
pub use packages::packages;
pub use signature::{Signatures, is_embedded_signed, is_signed, signatures};
pub use target::{Arch, WindowsVersion};

use driver_core::DriverPackage;
use format_core::Result;

impl Inf {
    /// What the file declares for a guest. `None`: it is no driver's INF, or for others. `inf`, `source` and `files` are
    /// left empty: the file does not know them.
    ///
    /// # Errors
    /// `Corrupt` for a service that is not fully declared, `Limit` for sections that refer to each other for more than
    /// 32 MiB of content.
    pub fn package(&self, guest: &WindowsVersion, arch: Arch) -> Result<Option<DriverPackage>> {
        Ok(model::declared(self, guest, arch)?.map(|declared| declared.package))
    }
}
