//! Names and numbers of a repository.

/// Bytes of the initialisation vector before a ciphertext.
pub(crate) const IV: usize = 16;
/// Bytes of the authentication code after it.
pub(crate) const MAC: usize = 16;
/// What encryption adds.
pub(crate) const OVERHEAD: usize = IV + MAC;
/// The first byte of a file whose rest is JSON packed with zstd, since version 2.
pub(crate) const PACKED_JSON: u8 = 2;

/// The file that tells the version.
pub(crate) const CONFIG: &str = "config";
/// Keys, each encrypted by a password.
pub(crate) const KEYS: &str = "keys";
/// What lies where in the packs.
pub(crate) const INDEX: &str = "index";
/// Points in time.
pub(crate) const SNAPSHOTS: &str = "snapshots";
/// Packs, in folders named by the first two digits, or flat.
pub(crate) const DATA: &str = "data";

/// Keys that are tried at most: each takes half a second.
pub(crate) const MAX_KEYS: usize = 64;
/// The largest config, key or snapshot.
pub(crate) const MAX_SMALL: u64 = 16 << 20;
/// The largest index file, before and after it is unpacked. restic starts another at 50 000 blobs, about 8 MiB.
pub(crate) const MAX_INDEX: u64 = 128 << 20;
/// The largest list of a folder's files, with what they consist of: 67 bytes for each blob, which is enough for 4 TiB of data
/// in one file.
pub(crate) const MAX_TREE: u64 = 256 << 20;
/// The largest piece of a file; restic cuts at 8 MiB.
pub(crate) const MAX_BLOB: u64 = 64 << 20;

/// Folders of a snapshot that are looked into at most.
pub(crate) const MAX_FOLDERS: usize = 4 << 20;
/// How deep they may lie in each other.
pub(crate) const MAX_DEPTH: usize = 1024;
/// Disks that are listed at most.
pub(crate) const MAX_DISKS: usize = 4096;
/// Smaller files are no disks.
pub(crate) const LEAST_IMAGE: u64 = 64 << 10;
/// Files of at least this size may be disks where none is called like one.
pub(crate) const LEAST_UNNAMED: u64 = 1 << 20;
/// Larger files do not describe machines.
pub(crate) const MAX_MACHINE: u64 = 1 << 20;
/// Files beside the disks that may describe their machine, at most.
pub(crate) const MAX_MACHINES: usize = 64;
