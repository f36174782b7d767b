//! A migration from its first stage to its last.
//!
//! ```text
//!  open ─▶ inspect ─▶ choose target ─▶ plan ─▶ apply (overlay) ─▶ copy ─▶ verify ─▶ machine ─▶ report
//! ```
//!
//! [`migrate`] in `run.rs` is the sequence: read it first. Nothing is written before the plan says that the guest can
//! be mended, and the source is never written at all.

mod apply;
mod block_device;
mod boot;
mod checks;
mod choose;
mod copy;
mod crypt;
mod definition;
mod described;
mod disk_ranges;
mod editor;
mod feedback;
mod filesystems;
mod first_report;
mod folder;
mod free_space;
mod images;
mod inspect;
mod locate;
mod look;
mod machine;
mod microvm;
mod network;
mod package;
mod plan;
mod prepare;
mod prove;
mod report;
mod resize;
mod root;
mod run;
mod stack;
mod undo;
mod watched_export;
mod windows;
mod wrap;

pub use choose::{Choice, Wish};
pub use driver_luks::Passphrase;
pub use editor::{CheckReport, Editor, EditorReport, EditorWish, inspect_for};
pub use feedback::write_feedback;
pub use free_space::{FreeNote, FreeSpace, free_space};
pub use inspect::{Inspection, inspect_disks};
pub use locate::{Located, Place, locate};
pub use look::{Look, look_into, volumes};
pub use machine::described;
pub use network::{AdapterReport, AdapterWishes, MacPair, NetworkPair, NetworkSource};
pub use plan::{BY_MICROVM, COPY_AGAIN, Readiness, plan_for, readiness};
pub use report::{ChainFile, DiskReport, EditReport, MigrateReport};
pub use resize::resize_disk;
pub use run::{MigrateRequest, migrate};
pub use wrap::Wrapping;
