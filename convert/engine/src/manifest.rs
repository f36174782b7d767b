//! The manifest: what an image was when it was written, so that anyone can check it later.
//!
//! `NAME.rehome.json` holds the facts and the digest; `NAME.rehome.blocks` beside it holds 32 bytes for each 4 MiB
//! block of the disk (zeros stand for a block of zeros), in order. The digest covers the block list.

use crate::digest::{BLOCK_SIZE, BlockList, Digest, LEAF_SIZE};
use crate::hashes::Hashes;
use crate::pipeline::CopyOutcome;
use crate::seal::seal_of;
use format_core::{
    ChainLink, Error, Fence, FileTarget, OpenedImage, Result, TargetStorage, check_json_weight, is_zero,
    printable_json,
};
use serde::{Deserialize, Serialize};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What is added to an image's name to name its manifest.
pub const MANIFEST_SUFFIX: &str = ".rehome.json";
/// What is added to an image's name to name its block list.
pub const BLOCKS_SUFFIX: &str = ".rehome.blocks";
/// The structure that is written.
const VERSION: u32 = 2;
/// From this version on a manifest has a seal.
const FIRST_SEALED: u32 = 2;
const ALGORITHM: &str = "rehome-disk-digest-v1";
/// A manifest is small; a larger file is none.
const MAX_LEN: u64 = 16 << 20;
/// As many values may a manifest have: a hundred thousand ranges that were changed or lost.
const MAX_VALUES: usize = 600_000;

/// What an image was when it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this file's structure: 2, whose files have a seal; 1 is read.
    pub version: u32,
    /// The program and version that wrote it.
    pub tool: String,
    /// When, UTC, RFC 3339.
    pub created: String,
    /// Name of the digest's definition.
    pub algorithm: String,
    /// The disk's digest, 64 hexadecimal digits.
    pub digest: String,
    /// Hashes of the whole disk that were asked for besides, by the names of their kinds.
    #[serde(default, skip_serializing_if = "Hashes::is_empty")]
    pub hashes: Hashes,
    /// Size of the disk in bytes.
    pub virtual_size: u64,
    /// Bytes of one leaf of the digest.
    pub leaf_size: u64,
    /// Bytes of one block of the digest.
    pub block_size: u64,
    /// File name of the block list, beside the manifest.
    pub blocks: String,
    /// The image that was written.
    pub image: ImageFacts,
    /// Where the disk came from.
    pub source: SourceFacts,
    /// The guest ranges in which the disk differs from its source, because fixups wrote there.
    pub changed: Vec<ChangedRange>,
    /// The guest ranges that are zeros because the source could not be read there. None in what older versions wrote.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<ChangedRange>,
}

/// The image that a manifest belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFacts {
    /// File name.
    pub name: String,
    /// Format name.
    pub format: String,
    /// Size of the file in bytes.
    pub file_size: u64,
}

/// Where a disk came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFacts {
    /// The files, top first.
    pub files: Vec<ImageFacts>,
    /// What tells the source from a later one of the same name, where it is at an address that says so: a snapshot, a version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// The source's digest where it was taken: it differs from the image's when fixups changed the disk.
    pub digest: Option<String>,
    /// Where the source's first byte lies on the image's disk, where that is not its first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// The disk that was captured, where the source is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceFacts>,
}

/// A physical disk, as its kernel and the disk itself tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceFacts {
    /// What it was called on its machine.
    pub path: String,
    /// What its maker calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Its serial number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Its world wide name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wwn: Option<String>,
    /// Version of its firmware.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware: Option<String>,
    /// How it was attached: `nvme`, `sata`, `scsi`, `usb`, ….
    pub transport: String,
    /// Whether it turns.
    pub rotational: bool,
    /// Logical sector size in bytes.
    pub sector_size: u64,
    /// Physical sector size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub physical_sector_size: Option<u64>,
    /// `good`, `failing` or `unknown`.
    pub health: String,
    /// Why that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub health_reasons: Vec<String>,
}

impl SourceFacts {
    /// What is known of an opened image and its parents.
    #[must_use]
    pub fn of_image(source: &OpenedImage) -> Self {
        let file = |link: &ChainLink| ImageFacts {
            name: link.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            format: link.format.name.into(),
            file_size: link.file_size,
        };
        let remote = source.chain.first().and_then(|link| link.remote.as_ref());
        let identity = remote.and_then(|remote| remote.identity());
        Self {
            files: source.chain.iter().map(file).collect(),
            identity,
            digest: None,
            offset: None,
            device: None,
        }
    }
}

/// A range of guest bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedRange {
    /// First byte.
    pub offset: u64,
    /// Number of bytes.
    pub len: u64,
}

/// Where the manifest of the image at `path` lies.
#[must_use]
pub fn manifest_path(path: &Path) -> PathBuf {
    with_suffix(path, MANIFEST_SUFFIX)
}

/// Where the block list of the image at `path` lies.
pub(crate) fn blocks_path(path: &Path) -> PathBuf {
    with_suffix(path, BLOCKS_SUFFIX)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

impl Manifest {
    /// The manifest of an image that was just written.
    ///
    /// # Errors
    /// `Io` when the block hashes or the image's size cannot be read.
    pub fn new(image: &Path, format: &str, blocks: &BlockList, source: SourceFacts) -> Result<Self> {
        let metadata =
            image.metadata().map_err(|e| Error::io(format!("cannot examine {}", image.display()), e))?;
        let facts = ImageFacts { name: file_name(image), format: format.into(), file_size: metadata.len() };
        Self::of_image(facts, blocks, source)
    }

    /// The manifest of an image that is no file here: one in a pipe.
    ///
    /// # Errors
    /// `Io` when the block hashes cannot be read.
    pub fn of_image(image: ImageFacts, blocks: &BlockList, source: SourceFacts) -> Result<Self> {
        Ok(Self {
            version: VERSION,
            tool: concat!("rehome ", env!("CARGO_PKG_VERSION")).into(),
            created: crate::clock::now(),
            algorithm: ALGORITHM.into(),
            digest: blocks.digest()?.to_hex().to_string(),
            hashes: Hashes::new(),
            virtual_size: blocks.virtual_size(),
            leaf_size: LEAF_SIZE,
            block_size: BLOCK_SIZE,
            blocks: format!("{}{BLOCKS_SUFFIX}", image.name),
            image,
            source,
            changed: Vec::new(),
            unreadable: Vec::new(),
        })
    }

    /// The same, with the hashes that the copy took.
    ///
    /// # Errors
    /// As [`Manifest::new`].
    pub(crate) fn of_copy(
        image: &Path,
        format: &str,
        copy: &CopyOutcome,
        source: SourceFacts,
    ) -> Result<Self> {
        Ok(Self { hashes: copy.hashes.clone(), ..Self::new(image, format, &copy.blocks, source)? })
    }

    /// Removes the manifest and the block list beside `image`, if they are there.
    ///
    /// # Errors
    /// `Io` when the host fails; `Temporary` when another run has taken over, whose manifest it may be.
    pub fn remove(image: &Path) -> Result<()> {
        Fence::of_process()?.map_or(Ok(()), Fence::check)?;
        for path in [manifest_path(image), blocks_path(image)] {
            match std::fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io(format!("cannot remove {}", path.display()), e));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes the manifest and the block list beside `image`, replacing older ones.
    ///
    /// # Errors
    /// As [`FileTarget::create`] and its methods.
    pub fn save(&self, image: &Path, blocks: &BlockList) -> Result<PathBuf> {
        let list = Box::new(FileTarget::create(&blocks_path(image), true)?);
        let mut at = 0;
        blocks.for_each_chunk(|chunk| {
            // Much of a huge disk's list is zeros: holes.
            if !is_zero(chunk) {
                list.write_all_at(at, chunk)?;
            }
            at += chunk.len() as u64;
            Ok(())
        })?;
        list.set_len(at)?;
        list.commit()?;
        let path = manifest_path(image);
        let file = Box::new(FileTarget::create(&path, true)?);
        file.write_all_at(0, &self.to_json()?)?;
        file.commit()?;
        Ok(path)
    }

    /// The manifest's own file.
    pub(crate) fn to_json(&self) -> Result<Vec<u8>> {
        #[derive(Serialize)]
        struct Sealed<'a> {
            #[serde(flatten)]
            manifest: &'a Manifest,
            seal: String,
        }
        let failed = |e| Error::contract("the manifest cannot be written as JSON").with_source(e);
        let seal = seal_of(&serde_json::to_value(self).map_err(failed)?)?;
        let text = serde_json::to_string_pretty(&Sealed { manifest: self, seal }).map_err(failed)?;
        Ok((printable_json(&text) + "\n").into_bytes())
    }

    /// Reads the manifest at `path` and its block list, and checks that they belong together.
    ///
    /// # Errors
    /// `SourceMissing` when there is none, `Corrupt` when it contradicts itself, `Unsupported` for another version.
    pub fn load(path: &Path) -> Result<(Self, BlockList)> {
        load(path).map_err(|e| e.context(format!("manifest {}", path.display())))
    }

    /// The digest as a value.
    ///
    /// # Errors
    /// `Corrupt` when it is not 64 hexadecimal digits.
    pub fn digest_value(&self) -> Result<Digest> {
        Digest::from_hex(&self.digest)
            .map_err(|e| Error::corrupt("the digest is not 64 hexadecimal digits").with_source(e))
    }
}

fn load(path: &Path) -> Result<(Manifest, BlockList)> {
    let len = regular_len(path)?;
    if len > MAX_LEN {
        return Err(Error::corrupt(format!(
            "a manifest has at most {MAX_LEN:#x} bytes, this file has {len:#x}"
        )));
    }
    let text = std::fs::read(path).map_err(|e| Error::io("cannot read it", e))?;
    check_json_weight(&text, MAX_VALUES)?;
    let none = |e| Error::corrupt("it is no manifest").with_source(e);
    let manifest: Manifest = serde_json::from_slice(&text).map_err(none)?;
    crate::seal::check(&serde_json::from_slice(&text).map_err(none)?, manifest.version >= FIRST_SEALED)?;
    if !(1..=VERSION).contains(&manifest.version) || manifest.algorithm != ALGORITHM {
        let (version, algorithm) = (manifest.version, &manifest.algorithm);
        return Err(Error::unsupported(format!(
            "version {version} with {algorithm:?} is unknown to this program"
        )));
    }
    let name = Path::new(&manifest.blocks);
    if name.file_name() != Some(name.as_os_str()) {
        return Err(Error::corrupt(format!(
            "the block list {:?} is not in the manifest's folder",
            manifest.blocks
        )));
    }
    let blocks = own_blocks(path, &manifest.blocks).unwrap_or_else(|| path.with_file_name(&manifest.blocks));
    regular_len(&blocks)?;
    let file = std::fs::File::open(&blocks)
        .map_err(|e| Error::io(format!("cannot open the block list {}", blocks.display()), e))?;
    let blocks = BlockList::from_file(manifest.virtual_size, file)?;
    let (found, wanted) = (blocks.digest()?, manifest.digest_value()?);
    if found != wanted {
        return Err(Error::corrupt(format!(
            "the block list gives the digest {found}, the manifest says {wanted}"
        )));
    }
    Ok((manifest, blocks))
}

/// The block list beside the manifest at `path` when it is the one called `name`: JSON cannot spell every file name.
fn own_blocks(path: &Path, name: &str) -> Option<PathBuf> {
    let own = path.file_name()?.as_bytes().strip_suffix(MANIFEST_SUFFIX.as_bytes())?;
    let blocks = blocks_path(&path.with_file_name(OsStr::from_bytes(own)));
    (file_name(&blocks) == name).then_some(blocks)
}

/// The length of a regular file: to open a pipe would wait for a writer who never comes.
fn regular_len(path: &Path) -> Result<u64> {
    let found = path.metadata().map_err(|e| Error::io(format!("cannot examine {}", path.display()), e))?;
    if found.is_file() {
        return Ok(found.len());
    }
    Err(Error::corrupt(format!("{} is no regular file", path.display())))
}

#[cfg(test)]
mod tests;
