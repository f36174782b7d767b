//! Disks that look like Windows as far as a migration looks, made from recipes in our own words by other people's tools.
//!
//! No image of Windows can be had for tests. These disks have real partition tables (sfdisk), NTFS (mkntfs, ntfs-3g), FAT
//! (mkfs.vfat, mtools) and registry hives (hivexregedit), with the keys, values and files that a migration reads and changes;
//! programs and drivers are stubs. What was verified, where, and what was not: `README.md` and the heads of `hives/*.reg`.
//!
//! ```no_run
//! use test_windows_guests::{file_list, recipe, registry_diff, shared};
//!
//! let built = shared(recipe("2016-xen-bios"));
//! let before = file_list(built.disk());
//! assert!(before.contains_key("1/Windows/System32/config/SYSTEM"));
//! # let changed = built.disk();
//! println!("{}", registry_diff(built.disk(), changed, "Windows/System32/config/SYSTEM"));
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test support: what fails here fails the test that asked"
)]

mod build;
mod built_once;
mod compact;
mod hive;
mod judge;
mod layout;
#[path = "../../../drivers/registry/tests/maker/mod.rs"]
mod maker;
mod network;
mod program;
mod recipe;
mod recipes;
mod regedit;
mod registry;
mod release;
mod tools;
mod tree;
mod volumes;

pub use build::{Built, build};
pub use built_once::shared;
pub use judge::{Export, diff, export, file, file_list, files, registry_diff};
pub use recipe::{Adapter, Address, Layout, Recipe, Release, Source, Special};
pub use recipes::{recipe, recipes};
