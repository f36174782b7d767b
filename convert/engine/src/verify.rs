//! Does an image still hold what its manifest says?

use crate::digest::{BLOCK_SIZE, BlockList, Digest};
use crate::hashes::{HashKind, Hashes};
use crate::manifest::Manifest;
use crate::observer::Control;
use crate::pipeline::{CopyOutcome, digest_blocks, hash_disk};
use crate::ranges::RangeList;
use crate::sample::{Sample, SampleFacts, data_blocks};
use format_core::{Disk, Error, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// What a verification found.
#[derive(Clone, Debug, Serialize)]
pub struct Verification {
    /// Whether the image holds what the manifest says, as far as it was looked at.
    pub ok: bool,
    /// The digest that the manifest promises.
    pub expected: String,
    /// The digest of the disk as it reads now; `None` when only a sample was read.
    pub found: Option<String>,
    /// Size that the manifest promises, in bytes.
    pub expected_size: u64,
    /// Size of the disk now, in bytes.
    pub found_size: u64,
    /// How many 4 MiB blocks differ.
    pub differing_blocks: u64,
    /// Guest offset of the first block that differs.
    pub first_difference: Option<u64>,
    /// The ranges of blocks that differ.
    pub differing: RangeList,
    /// The hashes of the whole disk that were asked for.
    pub hashes: BTreeMap<String, HashCheck>,
    /// What the sample covered, when there was one.
    pub sample: Option<SampleFacts>,
    /// Bytes of data that were read and hashed.
    pub data_bytes: u64,
    /// Bytes that are zeros because the source could not be read when the image was written.
    pub unreadable_bytes: u64,
}

/// One hash of the whole disk.
#[derive(Clone, Debug, Serialize)]
pub struct HashCheck {
    /// What the manifest promises.
    pub expected: String,
    /// What the disk has now.
    pub found: String,
}

/// Reads `disk` and compares it with the manifest at `manifest`, with the hashes `also` too.
///
/// # Errors
/// What the disk and the manifest report; `Usage` for a hash that the manifest does not have. A difference is no error
/// but a result.
pub fn verify_image(
    disk: &Disk,
    manifest: &Path,
    also: &[HashKind],
    control: Control<'_>,
) -> Result<Verification> {
    let (manifest, expected) = Manifest::load(manifest)?;
    promised(&manifest, also)?;
    let read = hash_disk(disk, "verify", also, control)?;
    let (found, wanted): (Digest, Digest) = (read.blocks.digest()?, manifest.digest_value()?);
    let hashes = hash_checks(&manifest.hashes, &read.hashes);
    let mut result = Verification {
        found: Some(found.to_hex().to_string()),
        ok: found == wanted && hashes.values().all(|check| check.expected == check.found),
        hashes,
        ..unread(&manifest, disk)
    };
    if found != wanted && disk.virtual_size() == manifest.virtual_size {
        expected.for_each_difference(&read.blocks, |index| result.add_block(index))?;
    }
    result.data_bytes = read.read;
    Ok(result)
}

/// Reads a random choice of the blocks that hold data and compares them with the manifest at `manifest`. The others
/// stay unproven.
///
/// # Errors
/// What the disk and the manifest report.
pub fn verify_sample(
    disk: &Disk,
    manifest: &Path,
    sample: Sample,
    control: Control<'_>,
) -> Result<Verification> {
    let (manifest, expected) = Manifest::load(manifest)?;
    let mut result = unread(&manifest, disk);
    if disk.virtual_size() != manifest.virtual_size {
        return Ok(result);
    }
    let all = data_blocks(&expected, disk, control)?;
    let chosen = sample.of(&all);
    let CopyOutcome { blocks, read, .. } = digest_blocks(disk, "verify sample", &chosen, control)?;
    for index in chosen.iter() {
        if blocks.get(index)? != expected.get(index)? {
            result.add_block(index);
        }
    }
    result.ok = result.differing_blocks == 0;
    result.data_bytes = read;
    result.sample =
        Some(SampleFacts { seed: sample.seed, checked_blocks: chosen.len(), data_blocks: all.len() });
    Ok(result)
}

/// A result before anything was read: nothing is proven.
fn unread(manifest: &Manifest, disk: &Disk) -> Verification {
    Verification {
        ok: false,
        expected: manifest.digest.to_ascii_lowercase(),
        found: None,
        expected_size: manifest.virtual_size,
        found_size: disk.virtual_size(),
        differing_blocks: 0,
        first_difference: None,
        differing: RangeList::default(),
        hashes: BTreeMap::new(),
        sample: None,
        data_bytes: 0,
        unreadable_bytes: manifest.unreadable.iter().fold(0, |sum, range| sum.saturating_add(range.len)),
    }
}

impl Verification {
    fn add_block(&mut self, index: u64) {
        let (offset, len) = BlockList::block_range(index, self.found_size);
        self.differing_blocks += 1;
        self.first_difference.get_or_insert(index * BLOCK_SIZE);
        self.differing.push(offset, len);
    }
}

fn promised(manifest: &Manifest, also: &[HashKind]) -> Result<()> {
    match also.iter().find(|kind| !manifest.hashes.contains_key(kind.name())) {
        None => Ok(()),
        Some(kind) => Err(Error::usage(format!("the manifest has no {kind} of the whole disk"))
            .hint("leave --also away: the digest is compared in any case")),
    }
}

fn hash_checks(expected: &Hashes, found: &Hashes) -> BTreeMap<String, HashCheck> {
    let check = |(kind, found): (&String, &String)| {
        let expected = expected.get(kind).map(|hash| hash.to_ascii_lowercase()).unwrap_or_default();
        (kind.clone(), HashCheck { expected, found: found.clone() })
    };
    found.iter().map(check).collect()
}
