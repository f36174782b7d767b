//! A migration from its first stage to its last.
//!
//! ```text
//!  open ─▶ inspect ─▶ choose target ─▶ plan ─▶ apply (overlay) ─▶ copy ─▶ verify ─▶ machine ─▶ report
//! ```
//!
//! [`migrate`] in `run.rs` is the sequence: read it first. Nothing is written before the plan says that the guest can
//! be mended, and the source is never written at all.

mod boot;
mod choose;
mod copy;
mod definition;
mod feedback;
mod filesystems;
mod folder;
mod inspect;
mod locate;
mod machine;
mod network;
mod plan;
mod prove;
mod report;
mod resize;
mod run;
mod stack;
mod undo;
mod windows;
mod wrap;

pub use choose::{Choice, Wish};
pub use feedback::write_feedback;
pub use inspect::{Inspection, inspect_disks};
pub use locate::{Located, Place, locate};
pub use machine::described;
pub use network::{AdapterReport, AdapterWishes, MacPair, NetworkPair, NetworkSource};
pub use plan::{COPY_AGAIN, Readiness, plan_for, readiness};
pub use report::{ChainFile, DiskReport, EditReport, MigrateReport};
pub use resize::resize_disk;
pub use run::{MigrateRequest, migrate};
pub use wrap::Wrapping;
