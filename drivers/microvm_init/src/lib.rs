//! What host and micro-VM say to each other. The program of the same name is the other half: the VM's first and only program.
//!
//! ```text
//!  host                                          VM
//!   ── Request ─▶ [Data ─▶ …]                     does it
//!   ◀─ … ◀─ Data or Listed ◀─ … ◀─ Done | Failed ──
//! ```
//!
//! One conversation at a time, over a port of virtio-serial: a [`Request`], with as many bytes behind it as it says; any number of
//! frames with content; one [`Answer`] that ends it. Neither side trusts the other: a frame is at most [`MAX_FRAME`] bytes, and its
//! length is checked before anything is allocated for it.

mod message;
mod wire;

pub use message::{
    Answer, Failure, FailureKind, How, Kind, Line, Listed, Made, Meta, Owner, Reply, Request, Secret,
};
pub use wire::{Content, Frame, MAX_FRAME, WireError, read_frame, write_data, write_message};

/// What the port is called that both sides speak over.
pub const PORT: &str = "rehome";
/// What a disk's serial number begins with; its place in the list of disks follows, in decimal.
pub const SERIAL: &str = "rehome";
/// What this version of the protocol is called; the first answer of the VM has it.
pub const VERSION: u32 = 1;
