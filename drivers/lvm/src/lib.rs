//! LVM2: from physical volumes to logical volumes, without a device mapper.
//!
//! ```text
//!  Volume ─probe─▶ label ─▶ metadata areas ─▶ text ─▶ group as written   (a PhysicalVolume)
//!                                                        │
//!  all PhysicalVolumes ─assemble─▶ newest text of each group ─▶ Group: parts, logical volumes as Volumes
//! ```
//!
//! Segments of type `striped` (linear is one stripe) are mapped; everything else is named, with the next step. What is
//! written to a logical volume reaches the volumes below; LVM's own structures are never written.

mod assemble;
mod label;
mod layouts;
mod load;
mod map;
mod metadata;
mod text;

pub use assemble::{Group, LogicalVolume, Part, assemble};
pub use load::{PhysicalVolume, probe};
