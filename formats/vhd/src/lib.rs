//! Microsoft VHD images (Virtual PC, Hyper-V, Azure, XenServer), by the open specification of the format.
//!
//! ```text
//!  fixed         ┌──────────────────────────────────────────────────────┬────────┐
//!                │ the disk as it is                                    │ footer │
//!                └──────────────────────────────────────────────────────┴────────┘
//!  dynamic,      ┌────────┬─────────┬─────┬────────────────┬────────────┬────────┐
//!  differencing  │ copy of│ dynamic │ BAT │ bitmap │ block │ bitmap │ … │ footer │
//!                │ footer │ header  │     │        │       │        │   │        │
//!                └────────┴─────────┴─────┴────────────────┴────────────┴────────┘
//!  footer ─▶ type, size ─▶ dynamic header ─▶ BAT ─▶ blocks; differencing: bitmap ─▶ here or in the parent
//! ```
//!
//! Read: all three types, both conventions of the disk size, blocks of 512 bytes to 256 MiB, the footer's copy where
//! the footer is lost. Written: all three types, and fixed ones as Azure takes them.
//! `SPEC.md` has the table of what is supported and the quirks of the products.

mod check;
mod error;
mod layout;
mod parse;
mod read;
mod table;
mod write;

use format_core::{CreateOption, Format};

/// The VHD format.
#[allow(clippy::needless_update, reason = "a new ability of formats should not touch this room")]
pub static FORMAT: Format = Format {
    name: "vhd",
    aliases: &["vpc"],
    extensions: &["vhd", "avhd", "vpc"],
    description: "Microsoft Virtual PC, Hyper-V, Azure and XenServer disks: dynamic, fixed and differencing",
    probe: parse::probe,
    open_layer: Some(read::open),
    check: Some(check::check),
    can_differ: true,
    create: Some(write::create),
    resume: Some(write::resume),
    create_options: &[
        CreateOption {
            key: "subformat",
            values: "dynamic|fixed",
            default: "dynamic",
            help: "whether blocks take room only once they hold data",
        },
        CreateOption {
            key: "force_size",
            values: "on",
            default: "on",
            help: "the disk has the size that was asked for, never one rounded to cylinders",
        },
        CreateOption {
            key: "azure",
            values: "on|off",
            default: "off",
            help: "as Azure takes it: fixed, whole MiB, 20 MiB to 32 TiB",
        },
        CreateOption {
            key: "identity",
            values: "a UUID",
            default: "a new one",
            help: "the unique id that differences know the image by: for one that replaces another of the same content",
        },
    ],
    size_step: write::size_step,
    ..Format::NONE
};
