//! Numbers of the journal, with the names of the kernel's `Documentation/filesystems/ext4/journal.rst`. Big-endian.

pub(crate) const JBD2_MAGIC_NUMBER: u32 = 0xc03b_3998;

/// `h_blocktype`
pub(crate) const JBD2_DESCRIPTOR_BLOCK: u32 = 1;
pub(crate) const JBD2_COMMIT_BLOCK: u32 = 2;
pub(crate) const JBD2_SUPERBLOCK_V1: u32 = 3;
pub(crate) const JBD2_SUPERBLOCK_V2: u32 = 4;
pub(crate) const JBD2_REVOKE_BLOCK: u32 = 5;

/// Length of `journal_header_t`.
pub(crate) const HEADER_LEN: usize = 12;
/// Length of `journal_superblock_t`, and offsets in it.
pub(crate) const SUPERBLOCK_LEN: usize = 1024;
pub(crate) const S_SEQUENCE: usize = 0x18;
pub(crate) const S_START: usize = 0x1c;
pub(crate) const S_CHECKSUM: usize = 0xfc;
/// Length of `r_header`.
pub(crate) const REVOKE_HEADER_LEN: usize = 16;
/// Offset of `h_chksum` in the commit block.
pub(crate) const H_CHKSUM: usize = 0x10;

pub(crate) const FEATURE_COMPAT_CHECKSUM: u32 = 1;
pub(crate) const FEATURE_INCOMPAT_REVOKE: u32 = 1;
pub(crate) const FEATURE_INCOMPAT_64BIT: u32 = 2;
pub(crate) const FEATURE_INCOMPAT_ASYNC_COMMIT: u32 = 4;
pub(crate) const FEATURE_INCOMPAT_CSUM_V2: u32 = 8;
pub(crate) const FEATURE_INCOMPAT_CSUM_V3: u32 = 0x10;
pub(crate) const FEATURE_INCOMPAT_FAST_COMMIT: u32 = 0x20;
pub(crate) const FEATURE_INCOMPAT_KNOWN: u32 = FEATURE_INCOMPAT_REVOKE
    | FEATURE_INCOMPAT_64BIT
    | FEATURE_INCOMPAT_ASYNC_COMMIT
    | FEATURE_INCOMPAT_CSUM_V2
    | FEATURE_INCOMPAT_CSUM_V3
    | FEATURE_INCOMPAT_FAST_COMMIT;

/// `t_flags`
pub(crate) const FLAG_ESCAPE: u32 = 1;
pub(crate) const FLAG_SAME_UUID: u32 = 2;
pub(crate) const FLAG_LAST_TAG: u32 = 8;

/// `s_checksum_type`
pub(crate) const JBD2_CRC32C_CHKSUM: u8 = 4;
/// `h_chksum_type`, `h_chksum_size`
pub(crate) const JBD2_CRC32_CHKSUM: u8 = 1;
pub(crate) const JBD2_CRC32_CHKSUM_SIZE: u8 = 4;

/// Blocks of the fast-commit area where `s_num_fc_blks` is 0.
pub(crate) const DEFAULT_FAST_COMMIT_BLOCKS: u32 = 256;
/// First tag of a fast commit (`EXT4_FC_TAG_HEAD`), little-endian like all of that area.
pub(crate) const FC_TAG_HEAD: u16 = 9;
