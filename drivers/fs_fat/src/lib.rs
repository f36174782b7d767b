//! FAT12, FAT16 and FAT32, for reading: EFI system partitions.
//!
//! ```text
//!  Volume ─▶ boot sector checks ─▶ Window (cache, read budget) ─▶ fatfs ─▶ FatFs (GuestFs)
//! ```
//!
//! | | |
//! |---|---|
//! | Supported | FAT12/16/32, long names, look-ups without regard to case, sector sizes 512 to 4096 |
//! | Not supported | any change (`Unsupported`): `fatfs` writes long-name entries for `.` and `..`, which `fsck.fat` wants to repair |
//!
//! Facts: Microsoft, *FAT: General Overview of On-Disk Format* 1.03 (`fatgen103`).

mod boot_sector;
mod fs;
mod window;

pub use boot_sector::{FatFacts, probe};
pub use fs::{FatFs, open};
