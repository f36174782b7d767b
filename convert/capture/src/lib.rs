//! Physical and remote machines as sources.
//!
//! ```text
//!  ssh ──▶ FarProgram ─┬─ agent facts ──▶ MachineFacts ──▶ Machine
//!                      ├─ agent serve ──▶ NBD over stdio ──▶ the disk's bytes
//!                      ├─ agent session ─▶ FarSide ──▶ hashes taken there, file systems held
//!                      └─ agent snapshot ▶ FarSnapshots: what is read instead of volumes that change
//!                                                         │
//!  capture_disk: first copy into NAME.capture ──▶ rounds of changes ──▶ NAME
//! ```
//!
//! The other machine is reached by the system's own `ssh`: its configuration, keys, agents and jump hosts count. Nothing is written there
//! but a copy of this program in a temporary folder, where none of its version is installed, and that is removed again. Disks are
//! opened read-only.
//!
//! What comes from there is checked as what comes from any server: the client of NBD checks every reply, hashes have to be those that
//! were asked for, in order, and the facts are data.

mod brief;
mod compressed;
mod dd;
mod facts;
mod far_side;
mod freeze;
mod hashing;
mod here;
mod lvm;
mod patient;
mod place;
mod program;
mod run;
mod session;
mod ssh;
mod ssh_disk;

pub use compressed::{CompressedConnector, CompressingWriter};
pub use dd::DdDisk;
pub use facts::{
    Adapter, Health, HealthState, Holder, MachineFacts, Mount, PhysicalDisk, PhysicalPartition,
    PlatformFacts, Roots, VolatileFacts, volatile_facts,
};
pub use far_side::{FarSide, Side};
pub use freeze::{Frozen, MAX_SECONDS};
pub use hashing::hash_pieces;
pub use here::HereSide;
pub use lvm::{FarSnapshots, LvmSnapshots, Snapshot, SnapshotSide, Snapshots, serve_snapshots};
pub use place::SshPlace;
pub use program::FarProgram;
pub use run::{CaptureRequest, Captured, Consistency, Cycle, Follow, capture_disk, with_suffix};
pub use session::{Hello, LookAtFree, serve_session};
pub use ssh::{Ssh, SshOptions};
pub use ssh_disk::open_ssh_disk;
