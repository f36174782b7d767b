//! Compressed files: gzip, xz, zstd, lz4, bzip2 and lzop around any other image, or around a raw disk.
//!
//! ```text
//!  from the start to the end     Read ─▶ Input ─▶ Unpack ─▶ Read             every format, every checksum
//!  at any place                  Storage ─▶ Index ─▶ Random ─▶ Storage      where units can be unpacked alone:
//!                                BGZF blocks · xz blocks · zstd frames
//!  written                       Sink ─▶ Pack (in the workers) ─▶ target    gzip as BGZF, zstd as seekable zstd
//! ```
//!
//! A file ends where its last member ends: other bytes behind it are an error and never passed over. `SPEC.md` says for each
//! format what is read, which bytes no checksum covers, and what is refused.

mod bzip2;
mod check;
mod error;
mod gzip;
mod index;
mod input;
mod layer;
mod lz4;
mod lzop;
mod random;
mod stream;
mod window;
mod write;
mod xz;
mod zstd;

use format_core::{Format, Score};

/// gzip, and BGZF, which is gzip that can be read at any place.
pub static GZIP: Format = Format {
    name: "gzip",
    aliases: &["gz", "raw.gz", "bgzf"],
    extensions: &["gz", "tgz"],
    description: "gzip around an image; written as BGZF, readable at any place",
    probe: |head, _| score(gzip::header::is_start(head)),
    open_layer: Some(|storage, context| layer::open(&GZIP, &storage, context)),
    unpack: Some(stream::open::<gzip::unpack::Gzip>),
    unpack_at: Some(|storage, _| gzip::bgzf::open(storage).map_err(|e| e.named(gzip::NAME))),
    check: Some(|storage, context| check::check(&GZIP, &storage, context)),
    create: Some(gzip::write::create),
    resume: Some(gzip::write::resume),
    create_options: gzip::write::OPTIONS,
    ..Format::NONE
};

/// xz.
pub static XZ: Format = Format {
    name: "xz",
    aliases: &["raw.xz"],
    extensions: &["xz", "txz"],
    description: "xz around an image; readable at any place where it has several blocks",
    probe: |head, _| score(head.starts_with(&xz::MAGIC)),
    unpack: Some(stream::open::<xz::unpack::Xz>),
    unpack_at: Some(|storage, context| xz::at::open(storage, context).map_err(|e| e.named(xz::NAME))),
    unpacked_size: xz::at::size,
    check: Some(|storage, context| check::check(&XZ, &storage, context)),
    ..Format::NONE
};

/// zstd, and the seekable format.
pub static ZSTD: Format = Format {
    name: "zstd",
    aliases: &["zst", "raw.zst"],
    extensions: &["zst", "tzst", "zstd"],
    description: "zstd around an image; written in the seekable format",
    probe: |head, _| score(zstd::frame::is_start(head)),
    open_layer: Some(|storage, context| layer::open(&ZSTD, &storage, context)),
    unpack: Some(stream::open::<zstd::unpack::Zstd>),
    unpack_at: Some(|storage, _| zstd::at::open(storage).map_err(|e| e.named(zstd::NAME))),
    unpacked_size: zstd::at::size,
    check: Some(|storage, context| check::check(&ZSTD, &storage, context)),
    create: Some(zstd::write::create),
    resume: Some(zstd::write::resume),
    create_options: zstd::write::OPTIONS,
    ..Format::NONE
};

/// lz4, frames and the legacy format.
pub static LZ4: Format = Format {
    name: "lz4",
    aliases: &["raw.lz4"],
    extensions: &["lz4"],
    description: "lz4 around an image",
    probe: |head, _| score(lz4::frame::is_start(head)),
    unpack: Some(stream::open::<lz4::unpack::Lz4>),
    unpacked_size: lz4::frame::size,
    check: Some(|storage, context| check::check(&LZ4, &storage, context)),
    ..Format::NONE
};

/// bzip2.
pub static BZIP2: Format = Format {
    name: "bzip2",
    aliases: &["bz2", "raw.bz2"],
    extensions: &["bz2", "tbz2"],
    description: "bzip2 around an image",
    probe: |head, _| score(bzip2::is_start(head)),
    unpack: Some(stream::open::<bzip2::Bzip2>),
    check: Some(|storage, context| check::check(&BZIP2, &storage, context)),
    ..Format::NONE
};

/// lzop.
pub static LZOP: Format = Format {
    name: "lzop",
    aliases: &["lzo", "raw.lzo"],
    extensions: &["lzo", "lzop"],
    description: "lzop around an image",
    probe: |head, _| score(head.starts_with(&lzop::header::MAGIC)),
    unpack: Some(stream::open::<lzop::unpack::Lzop>),
    check: Some(|storage, context| check::check(&LZOP, &storage, context)),
    ..Format::NONE
};

/// All of them.
pub static FORMATS: [&Format; 6] = [&GZIP, &XZ, &ZSTD, &LZ4, &BZIP2, &LZOP];

fn score(is_it: bool) -> Score {
    if is_it { Score::Magic } else { Score::No }
}
