//! Where things lie in the files of a datastore. All numbers are little-endian.

/// First bytes of an index of pieces of one size: a disk.
pub(crate) const FIXED_MAGIC: [u8; 8] = [0x2f, 0x7f, 0x41, 0xed, 0x91, 0xfd, 0x0f, 0xcd];
/// First bytes of an index of pieces of any size: an archive of files.
pub(crate) const DYNAMIC_MAGIC: [u8; 8] = [0x1c, 0x91, 0x4e, 0xa5, 0x19, 0xba, 0xb3, 0xcd];

/// Fields of the header of an index, by their offset in bytes.
pub(crate) mod at {
    pub(crate) const UUID: usize = 8;
    pub(crate) const TIME: usize = 24;
    pub(crate) const SUM: usize = 32;
    pub(crate) const SIZE: usize = 64;
    pub(crate) const CHUNK_SIZE: usize = 72;
}
/// The header of an index in bytes; the digests follow.
pub(crate) const INDEX_HEADER: usize = 4096;
/// A digest in bytes.
pub(crate) const DIGEST: usize = 32;
/// Chunk sizes that are taken: the client makes 64 KiB to 4 MiB, 4 MiB for disks of virtual machines.
pub(crate) const CHUNK_SIZES: std::ops::RangeInclusive<u64> = 4 << 10..=16 << 20;

/// What a blob or chunk begins with.
pub(crate) mod magic {
    pub(crate) const PLAIN: [u8; 8] = [0x42, 0xab, 0x38, 0x07, 0xbe, 0x83, 0x70, 0xa1];
    pub(crate) const PACKED: [u8; 8] = [0x31, 0xb9, 0x58, 0x42, 0x6f, 0xb6, 0xa3, 0x7f];
    pub(crate) const SEALED: [u8; 8] = [0x7b, 0x67, 0x85, 0xbe, 0x22, 0x2d, 0x4c, 0xf0];
    pub(crate) const SEALED_PACKED: [u8; 8] = [0xe6, 0x59, 0x1b, 0xbf, 0x0b, 0xbf, 0xd8, 0x0b];
}
/// Magic and CRC-32.
pub(crate) const BLOB_HEADER: usize = 12;
/// Magic, CRC-32, start value and tag.
pub(crate) const SEALED_HEADER: usize = 44;
/// Start value and tag of AES-GCM in bytes.
pub(crate) const SEAL_PART: usize = 16;
/// A chunk is only packed when that makes it smaller; what a file may be longer than its content.
pub(crate) const CHUNK_OVERHEAD: u64 = 4096;
/// The largest blob that is read, packed or not: configuration and manifest.
pub(crate) const MAX_BLOB: u64 = 16 << 20;

/// The folder of chunks, in the root of the datastore.
pub(crate) const CHUNKS: &str = ".chunks";
/// The list of a snapshot's files.
pub(crate) const MANIFEST: &str = "index.json.blob";
/// The configuration of a virtual machine.
pub(crate) const CONFIG: &str = "qemu-server.conf.blob";
/// The key of an encrypted snapshot, for who has the master key.
pub(crate) const KEY_BLOB: &str = "rsa-encrypted.key.blob";
/// Kinds of backups, each a folder with groups.
pub(crate) const KINDS: [&str; 3] = ["vm", "ct", "host"];
/// The folder of namespaces, each again with `KINDS` and namespaces.
pub(crate) const NAMESPACES: &str = "ns";
/// Namespaces lie in each other at most so deep.
pub(crate) const MAX_NAMESPACES: usize = 8;
/// How far above a snapshot its datastore is looked for: kind, group, snapshot, and two folders for each namespace.
pub(crate) const MAX_CLIMB: usize = 3 + 2 * MAX_NAMESPACES;
