//! EWF images: what EnCase, FTK Imager, SMART, linen and libewf acquire (`.E01`, `.s01`).
//!
//! ```text
//!  NAME.E01   header ▸ section ▸ section ▸ … ▸ next      each section: type, place of the next, size, Adler-32
//!  NAME.E02   header ▸ section ▸ …         ▸ next
//!  NAME.E03   header ▸ section ▸ …  ▸ hash ▸ done
//!
//!  volume ─▶ sizes of sector, chunk and disk
//!  sectors ─▶ chunks: zlib, or bytes and their Adler-32      table (and its copy, table2) ─▶ where each chunk begins
//!  header, header2 ─▶ case, examiner, notes      hash, digest ─▶ MD5 and SHA-1 of the disk      error2 ─▶ sectors that could not be read
//! ```
//!
//! Read only. The segments are one storage (`segments`), so every place is one number; the tables are checked when
//! the image is opened and stay in the file. Every chunk carries a checksum, which is compared whenever the chunk is
//! read; the hashes of the whole disk are compared by `check` and beside a copy. Logical evidence and the second version of
//! the format (`.L01`, `.Ex01`) are recognised and refused. `SPEC.md` has the table of what is supported.

mod chunk;
mod container;
mod details;
mod error;
mod facts;
mod header;
mod image;
mod layout;
mod names;
mod parse;
mod read;
mod scan;
mod segments;
mod table;
mod verify;

use format_core::Format;

/// The EWF format.
#[allow(clippy::needless_update, reason = "a new ability of formats should not touch this room")]
pub static FORMAT: Format = Format {
    name: "ewf",
    aliases: &["e01", "encase"],
    extensions: &["e01", "s01"],
    description: "EWF evidence images of EnCase, FTK Imager, SMART and libewf (E01)",
    probe: parse::probe,
    open_container: Some(container::open),
    ..Format::NONE
};

/// The second version of EWF.
pub static EWF2: Format = Format {
    name: "ewf2",
    aliases: &["ex01", "lx01"],
    extensions: &["ex01", "lx01"],
    description: "an EWF evidence image of version 2 (Ex01, Lx01)",
    probe: parse::probe_ewf2,
    way_out: Some(
        "make a raw disk of it with ewfexport of libewf, or acquire it again as E01 in EnCase or FTK Imager",
    ),
    ..Format::NONE
};

/// Logical evidence: files, and no disk.
pub static L01: Format = Format {
    name: "l01",
    extensions: &["l01"],
    description: "EWF logical evidence (L01): files, not a disk",
    probe: parse::probe_logical,
    way_out: Some("it holds files and no disk: take them out with EnCase, FTK Imager or ewfmount of libewf"),
    ..Format::NONE
};
