//! Linux software RAID (md): from members to arrays, without the kernel's driver.
//!
//! ```text
//!  Volume ─probe─▶ Superblock (0.90, 1.0, 1.1, 1.2)
//!                       │
//!  all Superblocks ─assemble─▶ the freshest of each array ─▶ which members count ─▶ Array: its content as a Volume
//! ```
//!
//! Levels linear, 0, 1 and 10 are mapped; everything else is named, with the next step. A write reaches every
//! member that the guest's kernel will take into the array; superblocks and bitmaps are never written.

mod assemble;
mod map;
mod raid10;
mod superblock;
mod version_0;
mod version_1;

pub use assemble::{Array, Member, MemberState, assemble};
pub use superblock::{Superblock, probe};
