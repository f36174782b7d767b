//! On-disk constants, named as the kernel's `xfs_format.h`, `xfs_da_format.h` and `xfs_log_format.h` name them.

/// Blocks of the log and disk addresses count in these.
pub(crate) const BBSIZE: u64 = 512;

pub(crate) const XFS_SB_MAGIC: u32 = 0x5846_5342;
pub(crate) const XFS_AGF_MAGIC: u32 = 0x5841_4746;
pub(crate) const XFS_AGI_MAGIC: u32 = 0x5841_4749;
pub(crate) const XFS_DINODE_MAGIC: u16 = 0x494e;
pub(crate) const XLOG_HEADER_MAGIC_NUM: u32 = 0xfeed_babe;
pub(crate) const XFS_SYMLINK_MAGIC: u32 = 0x5853_4c4d;

/// Magics of version 4 and of version 5.
pub(crate) const XFS_BMAP_MAGIC: [u32; 2] = [0x424d_4150, 0x424d_4133];
pub(crate) const XFS_ABTB_MAGIC: [u32; 2] = [0x4142_5442, 0x4142_3342];
pub(crate) const XFS_ABTC_MAGIC: [u32; 2] = [0x4142_5443, 0x4142_3343];
pub(crate) const XFS_IBT_MAGIC: [u32; 2] = [0x4941_4254, 0x4941_4233];
pub(crate) const XFS_RMAP_CRC_MAGIC: [u32; 2] = [0x524d_4233, 0x524d_4233];
pub(crate) const XFS_REFC_CRC_MAGIC: [u32; 2] = [0x5233_4643, 0x5233_4643];
pub(crate) const XFS_DIR2_BLOCK_MAGIC: [u32; 2] = [0x5844_3242, 0x5844_4233];
pub(crate) const XFS_DIR2_DATA_MAGIC: [u32; 2] = [0x5844_3244, 0x5844_4433];

/// `XFS_SB_VERSION_*BIT` of `sb_versionnum`.
pub(crate) mod version {
    pub(crate) const NUMBITS: u16 = 0xf;
    pub(crate) const LOGV2: u16 = 0x400;
    pub(crate) const DIRV2: u16 = 0x2000;
    pub(crate) const MOREBITS: u16 = 0x8000;
    /// In `sb_features2` of version 4.
    pub(crate) const FEATURES2_FTYPE: u32 = 0x200;
}

/// `XFS_SB_FEAT_RO_COMPAT_*`
pub(crate) mod ro_compat {
    pub(crate) const RMAPBT: u32 = 2;
    pub(crate) const REFLINK: u32 = 4;
    pub(crate) const NAMES: [(u32, &str); 4] =
        [(1, "finobt"), (RMAPBT, "rmapbt"), (REFLINK, "reflink"), (8, "inobtcount")];
}

/// `XFS_SB_FEAT_INCOMPAT_*`
pub(crate) mod incompat {
    pub(crate) const FTYPE: u32 = 1;
    pub(crate) const META_UUID: u32 = 4;
    pub(crate) const NEEDSREPAIR: u32 = 0x10;
    pub(crate) const NREXT64: u32 = 0x20;
    pub(crate) const NAMES: [(u32, &str); 11] = [
        (FTYPE, "ftype"),
        (2, "sparse"),
        (META_UUID, "meta_uuid"),
        (8, "bigtime"),
        (NEEDSREPAIR, "needsrepair"),
        (NREXT64, "nrext64"),
        (0x40, "exchange"),
        (0x80, "parent"),
        (0x100, "metadir"),
        (0x200, "zoned"),
        (0x400, "zone_gaps"),
    ];
    /// All but what moves the data or the root elsewhere.
    pub(crate) const READABLE: u32 = 0xff;
}

/// `XFS_DIFLAG_REALTIME`
pub(crate) const DIFLAG_REALTIME: u16 = 1;
/// `XFS_DIFLAG2_BIGTIME`
pub(crate) const DIFLAG2_BIGTIME: u64 = 8;
/// `XFS_DIFLAG2_NREXT64`
pub(crate) const DIFLAG2_NREXT64: u64 = 0x10;

pub(crate) const S_IFMT: u16 = 0o170_000;
pub(crate) const S_IFREG: u16 = 0o100_000;
pub(crate) const S_IFDIR: u16 = 0o040_000;
pub(crate) const S_IFLNK: u16 = 0o120_000;

/// `XFS_DIR2_LEAF_OFFSET`: names lie in front of it, hashes behind.
pub(crate) const DIR2_LEAF_OFFSET: u64 = 1 << 35;
/// `XFS_SYMLINK_MAXLEN`
pub(crate) const SYMLINK_MAXLEN: u64 = 1024;
/// `XLOG_UNMOUNT_TRANS`
pub(crate) const XLOG_UNMOUNT_TRANS: u8 = 0x20;
