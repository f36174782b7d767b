//! What is added to an image: an archive behind it, or its last segment packed again with the files in it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};

use crate::append::{Added, MODULE_DICTIONARY, Plan};
use crate::cpio::Writer;
use crate::error::{Error, Result};
use crate::input::Input;
use crate::listing::{FileKind, Listing};
use crate::lz4_legacy;
use crate::nash;
use crate::segment::{self, Compression, Segment};

/// Archives start at multiples of this, as cpio(1) pads them.
const BLOCK: usize = 512;

/// Files to add, by their path in the image.
pub(crate) struct Addition<'l> {
    listing: &'l Listing,
    files: BTreeMap<String, Vec<u8>>,
    /// What of it the report names besides modules.
    pub(crate) reported: Vec<Added>,
}

impl<'l> Addition<'l> {
    pub(crate) fn new(listing: &'l Listing) -> Self {
        Addition { listing, files: BTreeMap::new(), reported: Vec::new() }
    }

    pub(crate) fn add(&mut self, path: String, content: Vec<u8>) -> Added {
        let added = Added { path: path.clone(), bytes: content.len() as u64 };
        self.files.insert(path, content);
        added
    }

    /// What adding them means for `image`.
    pub(crate) fn into_plan(self, image: &[u8]) -> Result<Plan> {
        if self.files.is_empty() {
            return Ok(Plan::Nothing);
        }
        let archive = self.archive()?;
        match self.listing.segments().last() {
            Some(last) if last.compression == Compression::Lz4 => {
                repack(image, last, &archive).map(Plan::Replace)
            }
            _ => Ok(Plan::Append(padded(image.len(), &archive))),
        }
    }

    fn archive(&self) -> Result<Vec<u8>> {
        // Younger than everything in the image, or cpio(1) would not let these files replace older ones.
        let mut writer = Writer::new(self.listing.newest().saturating_add(1));
        let mut made = BTreeSet::new();
        for (path, content) in &self.files {
            for (at, _) in path.match_indices('/') {
                let folder = path.get(..at).unwrap_or_default();
                match self.listing.kind(folder) {
                    Some(FileKind::Directory) => {}
                    None if made.insert(folder) => writer.directory(folder)?,
                    None => {}
                    Some(_) => {
                        return Err(Error::InTheWay { path: folder.to_owned(), wanted: "folder" });
                    }
                }
            }
            match self.listing.kind(path) {
                Some(FileKind::Directory) => {
                    return Err(Error::InTheWay { path: path.clone(), wanted: "file" });
                }
                // Writing to a hard link would change its twins. A link in its place makes the kernel drop the name first.
                Some(FileKind::File { links, .. }) if *links > 1 => writer.symlink(path, ".")?,
                _ => {}
            }
            // The script is what the kernel runs.
            match path == nash::SCRIPT {
                true => writer.program(path, content)?,
                false => writer.file(path, content)?,
            }
        }
        writer.finish()
    }
}

/// Zeros up to a multiple of 512, at least four of them: unmkinitramfs(8) sees the end of a plain archive by a zero.
fn padded(image: usize, archive: &[u8]) -> Vec<u8> {
    let mut padding = image.next_multiple_of(BLOCK) - image;
    if padding < 4 {
        padding += BLOCK;
    }
    let mut bytes = vec![0; padding];
    bytes.extend_from_slice(archive);
    bytes
}

/// Unpacks the last segment up to its trailer, and packs it again with the archive behind.
fn repack(image: &[u8], last: &Segment, archive: &[u8]) -> Result<Vec<u8>> {
    let other = || Error::OtherImage { offset: last.offset, len: last.len, size: image.len() as u64 };
    let start = usize::try_from(last.offset).map_err(|_| other())?;
    let (before, segment) = image.split_at_checked(start).ok_or_else(other)?;
    let mut input = Input::new(segment);
    let damaged = |e: io::Error| Error::Decode {
        segment: last.offset,
        compression: last.compression,
        at: 0,
        reason: e.to_string(),
    };
    let decoder = segment::decoder(&mut input, last.compression, MODULE_DICTIONARY).map_err(damaged)?;
    let mut writer = lz4_legacy::Writer::new(before.to_vec()).map_err(damaged)?;
    let copied = io::copy(&mut decoder.take(last.trailer), &mut writer).map_err(damaged)?;
    if copied != last.trailer {
        return Err(other());
    }
    writer.write_all(archive).map_err(damaged)?;
    writer.finish().map_err(damaged)
}
