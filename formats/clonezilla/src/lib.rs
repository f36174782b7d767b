//! Folders that Clonezilla saves disks and partitions in.
//!
//! ```text
//!  sda-mbr ───────────────▶ ┌──────────────────┐
//!  sda-hidden-data-… ─────▶ │ before the first │
//!  sda-gpt-1st ───────────▶ │ partition        │
//!  sda1.vfat-ptcl-img.zst ▶ ├──────────────────┤ places and lengths: sda-gpt-1st, sda-pt.sf, sda-pt.parted
//!  sda2.ext4-ptcl-img.gz.aa │ sda1, sda2 …     │
//!              … .ab, .ac ▶ │                  │
//!  swappt-sda3.info ──────▶ ├──────────────────┤ a swap area is made anew
//!  lvm_vg.conf, vg-root.… ▶ │ sda4: LVM        │ label, metadata and volumes are put in their places
//!  sda-gpt-2nd ───────────▶ └──────────────────┘
//! ```
//!
//! Each disk in the list `disk` becomes one disk again. `SPEC.md` has the files, what is made anew, and what is refused.

mod agree;
mod assemble;
mod build;
mod config;
mod container;
mod content;
mod ebr;
mod error;
mod extents;
mod gpt;
mod gpt_sums;
mod group;
mod image;
mod joined;
mod names;
mod role;
mod swap;
mod table;
mod unplaced;

use format_core::Format;

/// The Clonezilla format.
pub static FORMAT: Format = Format {
    name: "clonezilla",
    description: "folders of Clonezilla: disks put together from their saved partitions",
    open_container: Some(container::open),
    probe_folder: container::probe,
    ..Format::NONE
};
