//! Numbers of the on-disk superblock, with the names of the kernel's `Documentation/filesystems/ext4/super.rst`.

/// Where the primary superblock is, and its length.
pub(crate) const SUPERBLOCK_OFFSET: u64 = 1024;
pub(crate) const SUPERBLOCK_LEN: usize = 1024;
pub(crate) const EXT4_SUPER_MAGIC: u16 = 0xef53;
pub(crate) const ROOT_INODE: u32 = 2;
/// Offset of `s_checksum`, the last field.
pub(crate) const S_CHECKSUM: usize = 0x3fc;
pub(crate) const S_FEATURE_INCOMPAT: usize = 0x60;

/// `s_state`
pub(crate) const EXT4_VALID_FS: u16 = 1;
pub(crate) const EXT4_ERROR_FS: u16 = 2;

/// `i_flags`
pub(crate) const EXT4_ENCRYPT_FL: u32 = 0x800;
pub(crate) const EXT4_VERITY_FL: u32 = 0x10_0000;
pub(crate) const EXT4_INLINE_DATA_FL: u32 = 0x1000_0000;

/// `i_mode`
pub(crate) const S_IFMT: u32 = 0o170_000;
pub(crate) const S_IFREG: u32 = 0o100_000;
pub(crate) const S_IFDIR: u32 = 0o040_000;
pub(crate) const S_IFLNK: u32 = 0o120_000;

pub(crate) mod compat {
    pub(crate) const HAS_JOURNAL: u32 = 0x4;
    pub(crate) const ORPHAN_FILE: u32 = 0x1000;

    pub(crate) const LAZY_BG: u32 = 0x40;
    pub(crate) const SNAPSHOT_BITMAP: u32 = 0x100;

    pub(crate) const NAMES: [(u32, &str); 12] = [
        (0x1, "dir_prealloc"),
        (0x2, "imagic_inodes"),
        (HAS_JOURNAL, "has_journal"),
        (0x8, "ext_attr"),
        (0x10, "resize_inode"),
        (0x20, "dir_index"),
        (LAZY_BG, "lazy_bg"),
        (SNAPSHOT_BITMAP, "snapshot_bitmap"),
        (0x200, "sparse_super2"),
        (0x400, "fast_commit"),
        (0x800, "stable_inodes"),
        (ORPHAN_FILE, "orphan_file"),
    ];
}

pub(crate) mod incompat {
    pub(crate) const RECOVER: u32 = 0x4;
    pub(crate) const JOURNAL_DEV: u32 = 0x8;
    pub(crate) const META_BG: u32 = 0x10;
    pub(crate) const BIT64: u32 = 0x80;
    pub(crate) const EA_INODE: u32 = 0x400;
    pub(crate) const CSUM_SEED: u32 = 0x2000;
    pub(crate) const CASEFOLD: u32 = 0x2_0000;
    /// What ext3 knows.
    pub(crate) const EXT3: u32 = 0x2 | RECOVER | META_BG;
    /// What libext2fs 1.47 opens, less what it only lists.
    pub(crate) const READABLE: u32 = EXT3
        | 0x40 // extents
        | BIT64
        | 0x100 // mmp
        | 0x200 // flex_bg
        | EA_INODE
        | CSUM_SEED
        | 0x4000 // largedir
        | 0x8000 // inline_data
        | 0x1_0000 // encrypt
        | CASEFOLD;

    pub(crate) const NAMES: [(u32, &str); 16] = [
        (0x1, "compression"),
        (0x2, "filetype"),
        (RECOVER, "needs_recovery"),
        (JOURNAL_DEV, "journal_dev"),
        (META_BG, "meta_bg"),
        (0x40, "extent"),
        (BIT64, "64bit"),
        (0x100, "mmp"),
        (0x200, "flex_bg"),
        (EA_INODE, "ea_inode"),
        (0x1000, "dirdata"),
        (CSUM_SEED, "metadata_csum_seed"),
        (0x4000, "large_dir"),
        (0x8000, "inline_data"),
        (0x1_0000, "encrypt"),
        (CASEFOLD, "casefold"),
    ];
}

pub(crate) mod ro_compat {
    pub(crate) const GDT_CSUM: u32 = 0x10;
    pub(crate) const DIR_NLINK: u32 = 0x20;
    pub(crate) const QUOTA: u32 = 0x100;
    pub(crate) const BIGALLOC: u32 = 0x200;
    pub(crate) const METADATA_CSUM: u32 = 0x400;
    pub(crate) const READONLY: u32 = 0x1000;
    pub(crate) const SHARED_BLOCKS: u32 = 0x4000;
    pub(crate) const ORPHAN_PRESENT: u32 = 0x1_0000;
    /// What ext2 and ext3 know.
    pub(crate) const EXT3: u32 = 0x1 | 0x2 | 0x4;
    /// What is edited here with every invariant kept.
    pub(crate) const EDITABLE: u32 = EXT3
        | 0x8 // huge_file
        | GDT_CSUM
        | DIR_NLINK
        | 0x40 // extra_isize
        | METADATA_CSUM
        | 0x2000 // project
        | 0x8000 // verity: single files only
        | ORPHAN_PRESENT;

    pub(crate) const NAMES: [(u32, &str); 17] = [
        (0x1, "sparse_super"),
        (0x2, "large_file"),
        (0x4, "btree_dir"),
        (0x8, "huge_file"),
        (GDT_CSUM, "uninit_bg"),
        (DIR_NLINK, "dir_nlink"),
        (0x40, "extra_isize"),
        (0x80, "has_snapshot"),
        (QUOTA, "quota"),
        (BIGALLOC, "bigalloc"),
        (METADATA_CSUM, "metadata_csum"),
        (0x800, "replica"),
        (READONLY, "read-only"),
        (0x2000, "project"),
        (SHARED_BLOCKS, "shared_blocks"),
        (0x8000, "verity"),
        (ORPHAN_PRESENT, "orphan_present"),
    ];
}
