//! Which formats qemu-img judges by itself, and how the tools of a kind take out the disk for it where it does not.

use crate::run;
use conformance::qemu_name;
use format_all::FORMATS;
use format_core::Format;
use std::path::{Path, PathBuf};

/// How to take the disk out of what qemu-img does not read: format, package, and a script from file `$1` to file `$2`.
const TAKEN_OUT: &[(&str, &str, &str)] = &[
    ("gzip", "gzip", "gzip -dc \"$1\" >\"$2\""),
    ("zstd", "zstd", "zstd -qdc \"$1\" >\"$2\""),
    // Moving fails when it holds more than the one file.
    ("tar", "tar", "mkdir \"$2.d\"; tar -xf \"$1\" -C \"$2.d\"; mv \"$2.d\"/* \"$2\"; rmdir \"$2.d\""),
];

/// Formats that are read at any place, but not by qemu-img; each room tests them with images of their own tools.
const READ_BY_OTHERS: &[&str] = &["gzip", "zstd", "gcp", "partclone", "ntfsclone"];

/// Formats that qemu-img writes and we read.
pub fn sources() -> impl Iterator<Item = &'static Format> {
    FORMATS
        .iter()
        .copied()
        .filter(|format| format.open_layer.is_some() && !READ_BY_OTHERS.contains(&format.name))
}

/// Formats that we write. Google's is a tar archive that takes whole GiB only: its room tests it.
pub fn targets() -> impl Iterator<Item = &'static Format> {
    FORMATS.iter().copied().filter(|format| format.create.is_some() && format.name != "gcp")
}

/// Whether qemu-img reads the format.
#[must_use]
pub fn qemu_reads(format: &Format) -> bool {
    TAKEN_OUT.iter().all(|(name, ..)| *name != format.name)
}

/// A file that qemu-img reads with the image's disk, and what it calls its format: the image, or what is taken out of it.
///
/// # Panics
/// When the tools of the format fail.
#[must_use]
#[allow(clippy::expect_used, reason = "a test that cannot run has to say so")]
pub fn for_qemu(image: &Path, format: &Format) -> (PathBuf, &'static str) {
    let Some((_, package, script)) = TAKEN_OUT.iter().find(|(name, ..)| *name == format.name) else {
        return (image.to_owned(), qemu_name(format));
    };
    let out = image.with_extension("taken-out");
    let names = [image, &out].map(|path| path.to_str().expect("tests name their files in UTF-8"));
    run(package, 120, "sh", &["-ec", script, "sh", names[0], names[1]]);
    (out, "raw")
}
