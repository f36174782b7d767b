//! FAT12, FAT16 and FAT32: EFI system partitions.
//!
//! ```text
//!  Volume ─▶ boot sector ─▶ table (in memory) ─▶ chains ─▶ folders ─▶ entries, names ─▶ FatFs (GuestFs)
//!                             ▲                                                          │
//!                             └── check of all chains, before the first edit ◀───────────┘
//! ```
//!
//! | | |
//! |---|---|
//! | Read | FAT12/16/32, sectors of 512 to 4096 bytes, clusters to 64 KiB, long names, case bits, look-ups without regard to case and by alias |
//! | Edited | files and folders, both copies of the FAT, FSInfo; every chain is checked first, and an edit has its clusters before it writes |
//! | Left alone | the volume's label, its "in use" marks, clusters that belong to nothing, the backup of FAT32's boot sector |
//! | Not edited | chains that cross, run in circles or do not fit a size; copies that differ; only one FAT in use; errors noted by the guest; more than 4 million clusters |
//! | Free | clusters whose entries are 0, where the chains could be edited; in larger tables, where it was unmounted and FSInfo counts the same |
//! | Not in FAT | links, owners, modes |
//!
//! Facts: Microsoft, *FAT: General Overview of On-Disk Format* 1.03 (`fatgen103`); Linux, `Documentation/filesystems/vfat`,
//! for the "in use" mark in the boot sector.

mod boot_sector;
mod check;
mod edit;
mod entry;
mod error;
mod file;
mod folder;
mod free;
mod fs;
mod fs_info;
mod name;
mod stamp;
mod table;

pub use boot_sector::{FatFacts, probe};
pub use fs::{FatFs, FatState, open, open_at};
