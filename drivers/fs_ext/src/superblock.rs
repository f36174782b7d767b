//! The superblock: bytes to trusted numbers, and what its features and state allow.

use crate::checksum::crc32c;
use crate::error::ExtError;
use crate::layout::{
    EXT4_ERROR_FS, EXT4_SUPER_MAGIC, EXT4_VALID_FS, S_CHECKSUM, S_FEATURE_INCOMPAT, SUPERBLOCK_LEN,
    SUPERBLOCK_OFFSET, compat, incompat, ro_compat,
};
use driver_core::CachedVolume;
use driver_core::block::{le16, le32, put};
use format_core::Result;

/// More group descriptors than a file system of 16 TiB has.
const MAX_GROUPS: u64 = 1 << 18;

/// The primary superblock.
#[derive(Clone)]
pub(crate) struct Superblock {
    raw: Box<[u8; SUPERBLOCK_LEN]>,
    pub(crate) feature_compat: u32,
    pub(crate) feature_incompat: u32,
    pub(crate) feature_ro_compat: u32,
}

impl Superblock {
    /// The superblock in `raw`, if there is one.
    pub(crate) fn parse(raw: &[u8; SUPERBLOCK_LEN]) -> Option<Self> {
        let old = le32(raw, 0x4c) == 0;
        let feature = |at| if old { 0 } else { le32(raw, at) };
        let sb = Self {
            feature_compat: feature(0x5c),
            feature_incompat: feature(S_FEATURE_INCOMPAT),
            feature_ro_compat: feature(0x64),
            raw: Box::new(*raw),
        };
        let plausible = le16(&sb.raw[..], 0x38) == EXT4_SUPER_MAGIC
            && le32(&sb.raw[..], 0x18) <= 6
            && sb.inodes_count() > 0
            && sb.blocks_count() > 0
            && sb.feature_incompat & incompat::JOURNAL_DEV == 0;
        plausible.then_some(sb)
    }

    pub(crate) fn load(io: &CachedVolume) -> Result<Self> {
        let mut raw = [0; SUPERBLOCK_LEN];
        if io.size() < SUPERBLOCK_OFFSET + SUPERBLOCK_LEN as u64 {
            return Err(ExtError::NoSuperblock.into());
        }
        io.read(SUPERBLOCK_OFFSET, &mut raw)?;
        Ok(Self::parse(&raw).ok_or(ExtError::NoSuperblock)?)
    }

    pub(crate) fn inodes_count(&self) -> u32 {
        self.u32(0)
    }

    pub(crate) fn blocks_count(&self) -> u64 {
        let high = if self.has_incompat(incompat::BIT64) { self.u32(0x150) } else { 0 };
        u64::from(high) << 32 | u64::from(self.u32(4))
    }

    /// Bytes per block: 1 KiB to 64 KiB, as [`Superblock::parse`] checked.
    pub(crate) fn block_size(&self) -> u32 {
        1024 << self.u32(0x18).min(6)
    }

    pub(crate) fn first_data_block(&self) -> u64 {
        self.u32(0x14).into()
    }

    pub(crate) fn blocks_per_group(&self) -> u64 {
        self.u32(0x20).into()
    }

    /// Bits of a group's block bitmap, and blocks for each of them: both follow from the fields of `bigalloc`.
    pub(crate) fn clusters(&self) -> Result<(u64, u64), ExtError> {
        let per_group = self.blocks_per_group();
        let wrong = |field, value, possible: String| ExtError::Superblock { field, value, possible };
        let (clusters, ratio) = match self.feature_ro_compat & ro_compat::BIGALLOC {
            0 => (per_group, 1),
            _ => {
                let logs = (self.u32(0x18), self.u32(0x1c));
                let log = logs.1.checked_sub(logs.0).filter(|log| *log < 20);
                let log = log.ok_or_else(|| {
                    wrong("s_log_cluster_size", logs.1.into(), format!("{} or a little more", logs.0))
                })?;
                (self.u32(0x24).into(), 1 << log)
            }
        };
        if clusters * ratio != per_group || clusters % 8 != 0 || clusters > 8 * u64::from(self.block_size()) {
            let possible = format!("{per_group:#x} blocks by {ratio:#x} in one block of bits");
            return Err(wrong("s_clusters_per_group", clusters, possible));
        }
        Ok((clusters, ratio))
    }

    /// Free blocks as the superblock says.
    pub(crate) fn free_blocks(&self) -> u64 {
        let high = if self.has_incompat(incompat::BIT64) { self.u32(0x158) } else { 0 };
        u64::from(high) << 32 | u64::from(self.u32(0xc))
    }

    /// Which features may mean that more is in use than the block bitmaps say.
    pub(crate) fn map_obstacle(&self) -> Option<ExtError> {
        let ro_known = ro_compat::EDITABLE | ro_compat::QUOTA | ro_compat::BIGALLOC | ro_compat::READONLY;
        let compat_known = names_mask(&compat::NAMES) & !(compat::LAZY_BG | compat::SNAPSHOT_BITMAP);
        let found = [
            names(self.feature_compat & !compat_known, &compat::NAMES),
            names(self.feature_ro_compat & !ro_known, &ro_compat::NAMES),
        ];
        let found: Vec<&str> = found.iter().map(String::as_str).filter(|names| !names.is_empty()).collect();
        (!found.is_empty()).then(|| ExtError::UnknownMap(found.join(" ")))
    }

    pub(crate) fn journal_inode(&self) -> u32 {
        self.u32(0xe0)
    }

    pub(crate) fn last_orphan(&self) -> u32 {
        self.u32(0xe8)
    }

    pub(crate) fn orphan_file_inode(&self) -> u32 {
        self.u32(0x280)
    }

    pub(crate) fn first_inode(&self) -> u32 {
        if self.u32(0x4c) == 0 { 11 } else { self.u32(0x54) }
    }

    /// Bytes of one inode in the table, at least 128.
    pub(crate) fn inode_size(&self) -> u64 {
        if self.u32(0x4c) == 0 { 128 } else { u64::from(le16(&self.raw[..], 0x58)).max(128) }
    }

    pub(crate) fn inodes_per_group(&self) -> u64 {
        self.u32(0x28).into()
    }

    pub(crate) fn state(&self) -> u16 {
        le16(&self.raw[..], 0x3a)
    }

    pub(crate) fn has_incompat(&self, bit: u32) -> bool {
        self.feature_incompat & bit != 0
    }

    pub(crate) fn has_journal(&self) -> bool {
        self.feature_compat & compat::HAS_JOURNAL != 0
    }

    pub(crate) fn needs_recovery(&self) -> bool {
        self.has_journal() && self.has_incompat(incompat::RECOVER)
    }

    pub(crate) fn has_metadata_csum(&self) -> bool {
        self.feature_ro_compat & ro_compat::METADATA_CSUM != 0
    }

    fn has_orphan_file(&self) -> bool {
        self.feature_compat & compat::ORPHAN_FILE != 0
    }

    pub(crate) fn orphan_present(&self) -> bool {
        self.has_orphan_file() && self.feature_ro_compat & ro_compat::ORPHAN_PRESENT != 0
    }

    /// UUID, as `blkid` writes it.
    pub(crate) fn uuid(&self) -> String {
        self.uuid_at(0x68)
    }

    fn uuid_at(&self, at: usize) -> String {
        let bytes = self.raw.get(at..at + 16).unwrap_or_default();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| hex.get(part).unwrap_or_default());
        parts.join("-")
    }

    pub(crate) fn label(&self) -> String {
        self.text(0x78, 16)
    }

    pub(crate) fn last_mounted(&self) -> String {
        self.text(0x88, 64)
    }

    /// Whether any field of the superblock keeps the file system from being read.
    pub(crate) fn check_readable(&self, volume_size: u64) -> Result<(), ExtError> {
        let unreadable = self.feature_incompat & !incompat::READABLE;
        if unreadable != 0 {
            return Err(ExtError::UnreadableFeatures(names(unreadable, &incompat::NAMES)));
        }
        if self.has_metadata_csum() {
            let (stored, computed) = (self.u32(S_CHECKSUM), self.checksum());
            if stored != computed {
                return Err(ExtError::SuperblockChecksum { stored, computed });
            }
        }
        let needed = self.blocks_count().saturating_mul(self.block_size().into());
        if needed > volume_size {
            return Err(ExtError::TooLarge { needed, size: volume_size });
        }
        let per_group = u64::from(self.u32(0x20));
        let inodes = self.u32(0x28);
        if per_group < 8 || inodes == 0 {
            let (field, value) =
                if inodes == 0 { ("s_inodes_per_group", 0) } else { ("s_blocks_per_group", per_group) };
            return Err(ExtError::Superblock { field, value, possible: "8 or more".into() });
        }
        let groups = self.blocks_count().div_ceil(per_group);
        if groups > MAX_GROUPS {
            let possible = format!("a value that makes at most {MAX_GROUPS} groups");
            return Err(ExtError::Superblock { field: "s_blocks_per_group", value: per_group, possible });
        }
        Ok(())
    }

    /// Which features stand in the way of replaying the journal and of editing.
    pub(crate) fn feature_obstacle(&self) -> Option<ExtError> {
        let compat_unknown = self.feature_compat & !names_mask(&compat::NAMES);
        let ro_unknown = self.feature_ro_compat & !ro_compat::EDITABLE;
        let incompat_unsafe = self.feature_incompat & (incompat::EA_INODE | incompat::CASEFOLD);
        let found: Vec<String> = [
            names(compat_unknown, &compat::NAMES),
            names(incompat_unsafe, &incompat::NAMES),
            names(ro_unknown, &ro_compat::NAMES),
        ]
        .into_iter()
        .filter(|names| !names.is_empty())
        .collect();
        if !found.is_empty() {
            return Some(ExtError::UneditableFeatures(found.join(" ")));
        }
        let external = self.has_journal() && self.journal_inode() == 0;
        external.then(|| ExtError::ExternalJournal { uuid: self.uuid_at(0xd0) })
    }

    /// What the state says against editing. The journal may hold a newer state.
    pub(crate) fn state_obstacle(&self) -> Option<ExtError> {
        if self.state() & EXT4_ERROR_FS != 0 {
            return Some(ExtError::ErrorState);
        }
        match (self.state() & EXT4_VALID_FS != 0, self.has_journal()) {
            (true, _) => None,
            (false, false) => Some(ExtError::UncleanWithoutJournal),
            (false, true) => Some(ExtError::UncleanWithJournal),
        }
    }

    /// Clears `needs_recovery` and returns the new bytes.
    pub(crate) fn without_recovery(&self) -> [u8; SUPERBLOCK_LEN] {
        let mut changed = self.clone();
        changed.feature_incompat &= !incompat::RECOVER;
        put(&mut changed.raw[..], S_FEATURE_INCOMPAT, &changed.feature_incompat.to_le_bytes());
        if self.has_metadata_csum() {
            let checksum = changed.checksum();
            put(&mut changed.raw[..], S_CHECKSUM, &checksum.to_le_bytes());
        }
        *changed.raw
    }

    /// All features, as `dumpe2fs` names them.
    pub(crate) fn features(&self) -> Vec<String> {
        let all = [
            names(self.feature_compat, &compat::NAMES),
            names(self.feature_incompat, &incompat::NAMES),
            names(self.feature_ro_compat, &ro_compat::NAMES),
        ];
        all.join(" ").split_whitespace().map(str::to_owned).collect()
    }

    /// `ext2`, `ext3` or `ext4`, by the features in use.
    pub(crate) fn kind(&self) -> &'static str {
        let beyond_ext3 =
            self.feature_incompat & !incompat::EXT3 != 0 || self.feature_ro_compat & !ro_compat::EXT3 != 0;
        match (beyond_ext3, self.has_journal()) {
            (true, _) => "ext4",
            (false, true) => "ext3",
            (false, false) => "ext2",
        }
    }

    fn checksum(&self) -> u32 {
        crc32c(!0, self.raw.get(..S_CHECKSUM).unwrap_or_default())
    }

    fn u32(&self, at: usize) -> u32 {
        le32(&self.raw[..], at)
    }

    fn text(&self, at: usize, len: usize) -> String {
        let bytes = self.raw.get(at..at + len).unwrap_or_default();
        let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
    }
}

fn names_mask(table: &[(u32, &str)]) -> u32 {
    table.iter().fold(0, |mask, (bit, _)| mask | bit)
}

/// The names of the set bits, unknown ones as hex.
fn names(bits: u32, table: &[(u32, &str)]) -> String {
    let known = table.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| (*name).to_owned());
    let unknown = bits & !names_mask(table);
    known.chain((unknown != 0).then(|| format!("{unknown:#x}"))).collect::<Vec<_>>().join(" ")
}
