//! LVM2: from physical volumes to logical volumes, without a device mapper.
//!
//! ```text
//!  Volume ─probe─▶ label ─▶ metadata areas ─▶ text ─▶ group as written   (a PhysicalVolume)
//!                                                        │
//!  all PhysicalVolumes ─assemble─▶ newest text of each group ─▶ Group: parts, logical volumes as Volumes
//! ```
//!
//! Segments of type `striped` (linear is one stripe) are volumes in process; everything else is named, with the next step. What
//! is written to a logical volume reaches the volumes below; LVM's own structures are never written.
//!
//! For those and for thin, RAID, mirrored, cached volumes and snapshots there is also what LVM would tell a kernel's device
//! mapper ([`LogicalVolume::mapping`]).

mod assemble;
mod label;
mod layouts;
mod load;
mod map;
mod metadata;
mod names;
mod snapshots;
mod tables;
mod targets;
mod text;
mod unused;

pub use assemble::{Group, LogicalVolume, Part, assemble};
pub use load::{PhysicalVolume, probe};
