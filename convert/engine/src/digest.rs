//! rehome disk digest v1: the same for every format of the same disk.
//!
//! The guest's bytes are cut into 64 KiB leaves; a leaf's hash is the BLAKE3 of its bytes (the last leaf may be short).
//! 64 leaves make a 4 MiB block, whose hash is the BLAKE3 of its leaf hashes. The digest is the BLAKE3 of
//! [`CONTEXT`], the virtual size (64-bit little-endian) and all block hashes. Leaves and blocks of zeros have constant
//! hashes, so holes cost nothing.

use format_core::units::{TIB, format_size};
use format_core::{Error, ErrorKind, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{LazyLock, Mutex, PoisonError};

/// Bytes of guest data in one leaf.
pub const LEAF_SIZE: u64 = 64 << 10;
/// Bytes of guest data in one block.
pub const BLOCK_SIZE: u64 = 4 << 20;
/// What the digest's hash starts with.
const CONTEXT: &[u8] = b"rehome disk digest v1";
const HASH_LEN: u64 = 32;
/// Lists up to this many blocks (4 TiB of disk, 32 MiB of hashes) are kept in memory, longer ones in a temporary file.
const MEMORY_BLOCKS: u64 = 1 << 20;
/// The largest disk, 256 TiB. Hypervisors and clouds end at 64 TiB or below; but a header of a few bytes can claim 2 EiB,
/// and passing those would take days.
const MAX_DISK: u64 = 256 * TIB;

/// A digest: 64 hexadecimal digits when printed.
pub type Digest = blake3::Hash;

static ZERO_LEAF: LazyLock<blake3::Hash> = LazyLock::new(|| blake3::hash(&[0; LEAF_SIZE as usize]));
static ZERO_BLOCK: LazyLock<blake3::Hash> = LazyLock::new(|| zero_block_hash(BLOCK_SIZE));

/// How many blocks a disk of `size` bytes has.
pub(crate) fn block_count(size: u64) -> u64 {
    size.div_ceil(BLOCK_SIZE)
}

/// # Errors
/// `Limit` for a disk that nobody has.
pub(crate) fn check_disk_size(size: u64) -> Result<()> {
    if size <= MAX_DISK {
        return Ok(());
    }
    let (size, most) = (format_size(size), format_size(MAX_DISK));
    Err(Error::new(ErrorKind::Limit, format!("the disk claims to have {size}, possible are {most}")))
}

/// The hash of the leaf with these bytes: 64 KiB, or less at the end of the disk.
#[must_use]
pub fn leaf_hash(bytes: &[u8]) -> blake3::Hash {
    if bytes.len() as u64 == LEAF_SIZE && format_core::is_zero(bytes) {
        *ZERO_LEAF
    } else {
        blake3::hash(bytes)
    }
}

/// The hash of one block's bytes: 4 MiB, or less at the end of the disk.
#[must_use]
pub fn block_hash(bytes: &[u8]) -> Digest {
    let mut leaves = BlockLeaves::of(bytes.len());
    leaves.take(0, bytes);
    leaves.hash()
}

/// The hashes of one block's leaves, taken in any order.
pub(crate) struct BlockLeaves(Vec<blake3::Hash>);

impl BlockLeaves {
    /// Of a block of `len` bytes; leaves that are never taken count as zeros.
    pub(crate) fn of(len: usize) -> Self {
        Self(vec![*ZERO_LEAF; len.div_ceil(LEAF_SIZE as usize)])
    }

    /// Takes a piece that begins at the leaf at `from` and ends where a leaf or the block does.
    pub(crate) fn take(&mut self, from: usize, piece: &[u8]) {
        let first = from / LEAF_SIZE as usize;
        for (hash, leaf) in self.0.iter_mut().skip(first).zip(piece.chunks(LEAF_SIZE as usize)) {
            *hash = leaf_hash(leaf);
        }
    }

    pub(crate) fn hash(&self) -> Digest {
        let mut hasher = blake3::Hasher::new();
        for leaf in &self.0 {
            hasher.update(leaf.as_bytes());
        }
        hasher.finalize()
    }
}

/// The hash of a block of `len` zeros.
fn zero_block_hash(len: u64) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for _ in 0..len / LEAF_SIZE {
        hasher.update(ZERO_LEAF.as_bytes());
    }
    let rest = (len % LEAF_SIZE) as usize;
    if rest > 0 {
        hasher.update(blake3::hash(&vec![0; rest]).as_bytes());
    }
    hasher.finalize()
}

/// The digest of a disk that is in memory: the definition in its shortest form, for tests and small disks.
#[must_use]
pub fn digest_of_bytes(bytes: &[u8]) -> Digest {
    let mut hasher = root_hasher(bytes.len() as u64);
    for block in bytes.chunks(BLOCK_SIZE as usize) {
        hasher.update(block_hash(block).as_bytes());
    }
    hasher.finalize()
}

fn root_hasher(virtual_size: u64) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new();
    hasher.update(CONTEXT);
    hasher.update(&virtual_size.to_le_bytes());
    hasher
}

fn untaken() -> Error {
    Error::contract("the hashes of a copy without a digest were asked for")
}

/// The block hashes of one disk, filled in any order by many threads. What is never set is a block of zeros.
#[derive(Debug)]
pub struct BlockList {
    virtual_size: u64,
    store: Store,
}

/// 32 bytes per block; all zero stands for a block of zeros.
#[derive(Debug)]
enum Store {
    /// Nobody wants to know them.
    Nowhere,
    Memory(Mutex<Vec<u8>>),
    File(File),
}

impl BlockList {
    /// A list for a disk of `virtual_size` bytes of zeros.
    ///
    /// # Errors
    /// `Limit` above 256 TiB; `Io` when the temporary file of a very large disk cannot be made.
    pub fn new(virtual_size: u64) -> Result<Self> {
        check_disk_size(virtual_size)?;
        let blocks = block_count(virtual_size);
        let len = blocks.saturating_mul(HASH_LEN);
        let store = if blocks <= MEMORY_BLOCKS {
            Store::Memory(Mutex::new(vec![0; len as usize]))
        } else {
            let file = tempfile::tempfile().and_then(|file| file.set_len(len).map(|()| file));
            Store::File(file.map_err(|e| Error::io("cannot make a temporary file for the block hashes", e))?)
        };
        Ok(Self { virtual_size, store })
    }

    /// A list for a copy that takes no digest: it keeps nothing and has no digest.
    ///
    /// # Errors
    /// `Limit` above 256 TiB.
    pub(crate) fn untaken(virtual_size: u64) -> Result<Self> {
        check_disk_size(virtual_size)?;
        Ok(Self { virtual_size, store: Store::Nowhere })
    }

    /// Whether it keeps hashes.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        !matches!(self.store, Store::Nowhere)
    }

    /// A list over the stored block file of a manifest.
    ///
    /// # Errors
    /// `Limit` above 256 TiB; `Corrupt` when the file does not fit the size, `Io` when it cannot be read.
    pub(crate) fn from_file(virtual_size: u64, file: File) -> Result<Self> {
        check_disk_size(virtual_size)?;
        let found = file.metadata().map_err(|e| Error::io("cannot examine the block list", e))?.len();
        let wanted = block_count(virtual_size).saturating_mul(HASH_LEN);
        if found != wanted {
            return Err(Error::corrupt(format!(
                "the block list has {found:#x} bytes, the disk needs {wanted:#x}"
            )));
        }
        Ok(Self { virtual_size, store: Store::File(file) })
    }

    /// Size of the disk in bytes.
    #[must_use]
    pub fn virtual_size(&self) -> u64 {
        self.virtual_size
    }

    /// Sets the hash of block `index`.
    ///
    /// # Errors
    /// `Io` when the temporary file cannot be written.
    pub(crate) fn set(&self, index: u64, hash: &blake3::Hash) -> Result<()> {
        let at = index * HASH_LEN;
        match &self.store {
            Store::Nowhere => Ok(()),
            Store::Memory(bytes) => {
                let mut bytes = bytes.lock().unwrap_or_else(PoisonError::into_inner);
                let at = at as usize;
                bytes
                    .get_mut(at..at + HASH_LEN as usize)
                    .ok_or_else(|| Error::contract(format!("block {index} is outside the disk")))?
                    .copy_from_slice(hash.as_bytes());
                Ok(())
            }
            Store::File(file) => file
                .write_all_at(hash.as_bytes(), at)
                .map_err(|e| Error::io("cannot write the block hashes", e)),
        }
    }

    /// Calls `visit` with every block's index and hash, in order.
    ///
    /// # Errors
    /// `Io` when the file cannot be read; what `visit` returns.
    pub fn for_each(&self, mut visit: impl FnMut(u64, Digest) -> Result<()>) -> Result<()> {
        let last_len = self.virtual_size % BLOCK_SIZE;
        let last = block_count(self.virtual_size).saturating_sub(1);
        let mut index = 0;
        self.for_each_chunk(|chunk| {
            for entry in chunk.as_chunks::<32>().0 {
                let hash = match entry {
                    [0, rest @ ..] if format_core::is_zero(rest) => {
                        if index == last && last_len > 0 {
                            zero_block_hash(last_len)
                        } else {
                            *ZERO_BLOCK
                        }
                    }
                    entry => blake3::Hash::from_bytes(*entry),
                };
                visit(index, hash)?;
                index += 1;
            }
            Ok(())
        })
    }

    /// The disk's digest.
    ///
    /// # Errors
    /// As [`BlockList::for_each`].
    pub fn digest(&self) -> Result<Digest> {
        let mut hasher = root_hasher(self.virtual_size);
        self.for_each(|_, hash| {
            hasher.update(hash.as_bytes());
            Ok(())
        })?;
        Ok(hasher.finalize())
    }

    /// The blocks whose hashes differ from `other`'s, which must be of a disk of the same size.
    ///
    /// # Errors
    /// `Usage` when the sizes differ; as [`BlockList::for_each`].
    pub fn differing_blocks(&self, other: &Self) -> Result<Vec<u64>> {
        if self.virtual_size != other.virtual_size {
            return Err(Error::usage("disks of different sizes have no blocks in common"));
        }
        let mut differing = Vec::new();
        self.for_each_difference(other, |index| differing.push(index))?;
        Ok(differing)
    }

    /// Calls `visit` with the blocks whose hashes differ from `other`'s, in order. Of disks of different sizes only whole
    /// blocks that both have are compared. Tells how many bytes were.
    ///
    /// # Errors
    /// As [`BlockList::for_each`].
    pub(crate) fn for_each_difference(&self, other: &Self, mut visit: impl FnMut(u64)) -> Result<u64> {
        let size = self.virtual_size.min(other.virtual_size);
        let same_size = self.virtual_size == other.virtual_size;
        let compared = if same_size { size } else { size - size % BLOCK_SIZE };
        self.for_each(|index, hash| {
            if index * BLOCK_SIZE < compared && other.get(index)? != hash {
                visit(index);
            }
            Ok(())
        })?;
        Ok(compared)
    }

    /// Calls `visit` with every block that is not known to be zeros, in order.
    ///
    /// # Errors
    /// `Io` when the file cannot be read.
    pub(crate) fn for_each_data(&self, mut visit: impl FnMut(u64)) -> Result<()> {
        let mut index = 0;
        self.for_each_chunk(|chunk| {
            for entry in chunk.as_chunks::<32>().0 {
                if !format_core::is_zero(entry) {
                    visit(index);
                }
                index += 1;
            }
            Ok(())
        })
    }

    /// Offset and length of block `index` of a disk of `size` bytes.
    pub(crate) fn block_range(index: u64, size: u64) -> (u64, u64) {
        let offset = index * BLOCK_SIZE;
        (offset, size.saturating_sub(offset).min(BLOCK_SIZE))
    }

    /// The stored form: 32 bytes per block, zeros for a block of zeros.
    ///
    /// # Errors
    /// `Io` when it cannot be read; what `write` returns.
    pub(crate) fn for_each_chunk(&self, mut write: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        match &self.store {
            Store::Nowhere => Err(untaken()),
            Store::Memory(bytes) => write(&bytes.lock().unwrap_or_else(PoisonError::into_inner)),
            Store::File(file) => {
                let failed = |e| Error::io("cannot read the block hashes", e);
                let end = block_count(self.virtual_size) * HASH_LEN;
                let (mut at, mut buf) = (0, vec![0; 1 << 20]);
                while at < end {
                    let len = (end - at).min(buf.len() as u64) as usize;
                    file.read_exact_at(&mut buf[..len], at).map_err(failed)?;
                    write(&buf[..len])?;
                    at += len as u64;
                }
                Ok(())
            }
        }
    }

    /// The hash of block `index`.
    ///
    /// # Errors
    /// `Contract` outside the disk, `Io` when the file cannot be read.
    pub(crate) fn get(&self, index: u64) -> Result<Digest> {
        let mut entry = [0; HASH_LEN as usize];
        match &self.store {
            Store::Nowhere => return Err(untaken()),
            Store::Memory(bytes) => {
                let bytes = bytes.lock().unwrap_or_else(PoisonError::into_inner);
                let at = (index * HASH_LEN) as usize;
                let found = bytes.get(at..at + entry.len());
                entry.copy_from_slice(found.ok_or_else(|| Error::contract("block outside the disk"))?);
            }
            Store::File(file) => file
                .read_exact_at(&mut entry, index * HASH_LEN)
                .map_err(|e| Error::io("cannot read the block hashes", e))?,
        }
        if entry != [0; HASH_LEN as usize] {
            return Ok(blake3::Hash::from_bytes(entry));
        }
        let len = (self.virtual_size - index * BLOCK_SIZE).min(BLOCK_SIZE);
        Ok(if len == BLOCK_SIZE { *ZERO_BLOCK } else { zero_block_hash(len) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unset_blocks_are_zeros_and_order_does_not_matter() {
        let size = 3 * BLOCK_SIZE + LEAF_SIZE + 5;
        let mut disk = vec![0u8; size as usize];
        disk[BLOCK_SIZE as usize + 7] = 1;
        let list = BlockList::new(size).unwrap();
        list.set(1, &block_hash(&disk[BLOCK_SIZE as usize..2 * BLOCK_SIZE as usize])).unwrap();
        assert_eq!(list.digest().unwrap(), digest_of_bytes(&disk));
        let zeros = BlockList::new(size).unwrap();
        assert_eq!(zeros.digest().unwrap(), digest_of_bytes(&vec![0; size as usize]));
        assert_eq!(zeros.differing_blocks(&list).unwrap(), [1]);
        assert!(zeros.differing_blocks(&BlockList::new(1).unwrap()).is_err());
    }

    /// The definition is a promise to manifests of years ago.
    #[test]
    fn the_definition_never_changes() {
        let hello = digest_of_bytes(b"hello");
        let mut by_hand = blake3::Hasher::new();
        by_hand.update(b"rehome disk digest v1");
        by_hand.update(&5u64.to_le_bytes());
        by_hand.update(blake3::hash(blake3::hash(b"hello").as_bytes()).as_bytes());
        assert_eq!(hello, by_hand.finalize());
        assert_ne!(digest_of_bytes(&[0; 512]), digest_of_bytes(&[0; 513]), "the size is part of it");
    }

    #[test]
    fn disks_that_nobody_has_are_refused() {
        assert!(BlockList::new(MAX_DISK).is_ok());
        for size in [MAX_DISK + 1, 1 << 60, u64::MAX] {
            assert_eq!(BlockList::new(size).unwrap_err().kind(), ErrorKind::Limit, "{size:#x}");
        }
    }

    #[test]
    fn a_list_in_a_file_behaves_the_same() {
        let size = (MEMORY_BLOCKS + 2) * BLOCK_SIZE - 1;
        let list = BlockList::new(size).unwrap();
        assert!(matches!(list.store, Store::File(_)));
        let hash = blake3::hash(b"x");
        list.set(MEMORY_BLOCKS + 1, &hash).unwrap();
        let mut last = None;
        list.for_each(|index, hash| {
            last = Some((index, hash));
            Ok(())
        })
        .unwrap();
        assert_eq!(last, Some((MEMORY_BLOCKS + 1, hash)));
    }
}
