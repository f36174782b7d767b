//! Microsoft VHDX images (also named AVHDX for checkpoints), by the open specification MS-VHDX.
//!
//! ```text
//!  0      64 KiB   128 KiB  192 KiB  256 KiB        1 MiB, all of these on 1 MiB boundaries
//!  ┌──────┬────────┬────────┬────────┬────────┬─────┬─────┬──────────┬─────┬───────┬────────┬───────
//!  │ file │ header │ header │ region │ region │     │ log │ metadata │ BAT │ block │ bitmap │ block …
//!  │  id  │   1    │   2    │ table 1│ table 2│     │     │ (sizes)  │     │       │        │
//!  └──────┴────────┴────────┴────────┴────────┴─────┴─────┴──────────┴─────┴───────┴────────┴───────
//!  header ─▶ log ─▶ (replayed in memory) ─▶ region table ─▶ metadata, BAT ─▶ blocks
//! ```
//!
//! Read: fixed, dynamic and differencing images, 512 and 4096 byte sectors, blocks of 1 to 256 MiB. A log that was
//! not replayed is replayed in memory, never in the file. Written: dynamic, fixed and differencing images.
//! `SPEC.md` has the table of what is supported and the quirks of the products.

mod check;
mod error;
mod layout;
mod load;
mod parse;
mod read;
mod replay;
mod table;
mod update;
mod write;

use format_core::{CreateOption, Format, Score};

/// The VHDX format.
pub static FORMAT: Format = Format {
    name: "vhdx",
    extensions: &["vhdx", "avhdx"],
    description: "Microsoft Hyper-V disks: dynamic, fixed and differencing, with log replay in memory",
    probe: |head, _| if head.starts_with(&layout::FILE_SIGNATURE) { Score::Magic } else { Score::No },
    open_layer: Some(read::open),
    check: Some(check::check),
    can_differ: true,
    create: Some(write::create),
    resume: Some(write::resume),
    open_update: Some(update::open),
    create_options: &[
        CreateOption {
            key: "subformat",
            values: "dynamic|fixed",
            default: "dynamic",
            help: "whether blocks take room only once they hold data",
        },
        CreateOption {
            key: "block_size",
            values: "1M..256M, a power of two",
            default: "1M, doubled for each doubling above 1 TiB",
            help: "size of the blocks that the image is allocated in",
        },
        CreateOption {
            key: "logical_sector_size",
            values: "512|4096",
            default: "512",
            help: "sector size that the guest sees",
        },
        CreateOption {
            key: "identity",
            values: "a GUID",
            default: "a new one",
            help: "the DataWriteGuid that differences know the image by: for one that replaces another of the same content",
        },
        CreateOption {
            key: "disk_id",
            values: "a GUID",
            default: "the parent's, else a new one",
            help: "the VirtualDiskId, by which the guest knows its disk",
        },
    ],
    size_step: write::size_step,
    ..Format::NONE
};
