//! Names that are no plain text: the path of a file that is none of an image's business, and bytes that are no UTF-8.

use std::borrow::Cow;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

/// Stands for the absolute path of the canary. It is as long as the path that takes its place, which is filled up with
/// slashes, so that lengths and offsets in binary files stay right.
pub const CANARY: &str =
    "/{canary}-----------------------------------------------------------------------------------";

/// The same path seen from the case's folder.
pub const NEAR: &str = "../canary";

/// What the canary holds, over and over; it must not show up anywhere else.
pub const SECRET: &str = "a stranger must not read this: kanarienvogel\n";

/// The first of 128 characters that nobody uses, which stand for the bytes 0x80 to 0xff.
const FIRST: u32 = 0xf780;

/// The character that stands for a byte from 0x80 on in names of files and arguments.
#[must_use]
pub fn byte(value: u8) -> char {
    char::from_u32(FIRST - 0x80 + u32::from(value)).unwrap_or('?')
}

/// A name as the system gets it.
#[must_use]
pub fn os(name: &str) -> OsString {
    let mut bytes = Vec::new();
    for letter in name.chars() {
        match u32::from(letter).checked_sub(FIRST) {
            Some(more @ 0..0x80) => bytes.push(0x80 | more as u8),
            _ => bytes.extend(letter.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    OsString::from_vec(bytes)
}

/// A file beside a case's folder.
#[derive(Debug)]
pub struct Canary {
    /// Its absolute path, as long as [`CANARY`].
    path: String,
}

impl Canary {
    /// Puts it there; it stays as it is where it is there already.
    ///
    /// # Errors
    /// As the system says; a folder whose path is too long or no text.
    pub fn beside(folder: &Path) -> io::Result<Self> {
        let parent = folder.canonicalize()?.parent().unwrap_or(Path::new("/")).to_owned();
        if !parent.join("canary").exists() {
            // Long and even enough to be an extent of a disk, and found in what is compressed badly or not at all.
            std::fs::write(parent.join("canary"), SECRET.repeat(65536 / SECRET.len() + 1).split_at(65536).0)?;
        }
        let parent = parent.to_str().filter(|path| path.len() + 7 <= CANARY.len()).ok_or_else(|| {
            io::Error::other("the folder's path is too long to be written into the images: take another")
        })?;
        let slashes = "/".repeat(CANARY.len() - parent.len() - 6);
        Ok(Self { path: format!("{parent}{slashes}canary") })
    }

    /// A text with its path in it.
    #[must_use]
    pub fn fill_text(&self, text: &str) -> String {
        text.replace(CANARY, &self.path)
    }

    /// Bytes with its path in them, also where it is UTF-16 of either order.
    #[must_use]
    pub fn fill<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let mut bytes = Cow::Borrowed(bytes);
        let little = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        let big = |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>();
        for (mark, path) in [
            (CANARY.as_bytes().to_vec(), self.path.as_bytes().to_vec()),
            (little(CANARY), little(&self.path)),
            (big(CANARY), big(&self.path)),
        ] {
            // The mark's first bytes are rare, so that large files are looked through quickly.
            let start: Vec<u8> = mark.iter().copied().take(8).collect();
            let mut from = 0;
            while let Some(at) = bytes.get(from..).and_then(|rest| find(rest, &start)).map(|at| at + from) {
                if bytes[at..].starts_with(&mark) {
                    bytes.to_mut()[at..at + path.len()].copy_from_slice(&path);
                }
                from = at + 1;
            }
        }
        bytes
    }
}

/// Where `wanted` begins in `bytes`.
#[must_use]
pub fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = *wanted.first()?;
    let mut from = 0;
    loop {
        let at = from + bytes.get(from..)?.iter().position(|byte| *byte == first)?;
        if bytes[at..].starts_with(wanted) {
            return Some(at);
        }
        from = at + 1;
    }
}
