//! The superblock: bytes to trusted numbers, the places they give, and what features allow.

use crate::checksum::checksum;
use crate::error::XfsError;
use crate::layout::{BBSIZE, XFS_SB_MAGIC, incompat, ro_compat, version};
use crate::volume::CachedVolume;
use driver_core::block::{array as uuid, be16, be32, be64, byte, le32};
use format_core::Result;

/// Bytes of the superblock that are looked at.
const SUPERBLOCK_LEN: usize = 264;
const SB_CRC: usize = 224;
/// `XFS_MIN_AG_BLOCKS`
const MIN_AG_BLOCKS: u32 = 64;
/// More allocation groups than a file system of 1 PiB has.
const MAX_AGS: u32 = 1 << 20;

/// The primary superblock.
#[derive(Clone, Debug)]
pub(crate) struct Superblock {
    pub(crate) block_size: u32,
    pub(crate) dblocks: u64,
    /// Free blocks, as of the last unmount.
    pub(crate) free_blocks: u64,
    pub(crate) uuid: [u8; 16],
    /// What metadata blocks carry: the UUID that the file system was made with.
    pub(crate) meta_uuid: [u8; 16],
    pub(crate) log_start: u64,
    pub(crate) log_blocks: u32,
    pub(crate) root_inode: u64,
    pub(crate) ag_blocks: u32,
    pub(crate) ag_count: u32,
    pub(crate) sector_size: u32,
    pub(crate) inode_size: u32,
    pub(crate) label: String,
    block_log: u8,
    inodes_per_block_log: u8,
    ag_block_log: u8,
    dir_block_log: u8,
    version_bits: u16,
    features2: u32,
    feature_compat: u32,
    feature_ro_compat: u32,
    feature_incompat: u32,
    feature_log_incompat: u32,
    in_progress: bool,
    inode_log: u8,
    inodes_per_block: u16,
}

impl Superblock {
    /// The superblock in `raw`, if there is one. Its numbers are not checked yet.
    pub(crate) fn parse(raw: &[u8]) -> Option<Self> {
        if be32(raw, 0) != XFS_SB_MAGIC {
            return None;
        }
        let version_bits = be16(raw, 100);
        let is_v5 = version_bits & version::NUMBITS == 5;
        let v5 = |at| if is_v5 { be32(raw, at) } else { 0 };
        let more = version_bits & version::MOREBITS != 0;
        let incompat = v5(216);
        let fs_uuid = uuid(raw, 32);
        let name = raw.get(108..120).unwrap_or_default();
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        Some(Self {
            block_size: be32(raw, 4),
            dblocks: be64(raw, 8),
            free_blocks: be64(raw, 144),
            uuid: fs_uuid,
            meta_uuid: if incompat & incompat::META_UUID != 0 { uuid(raw, 248) } else { fs_uuid },
            log_start: be64(raw, 48),
            log_blocks: be32(raw, 96),
            root_inode: be64(raw, 56),
            ag_blocks: be32(raw, 84),
            ag_count: be32(raw, 88),
            sector_size: be16(raw, 102).into(),
            inode_size: be16(raw, 104).into(),
            label: String::from_utf8_lossy(name).into_owned(),
            block_log: byte(raw, 120),
            inodes_per_block_log: byte(raw, 123),
            ag_block_log: byte(raw, 124),
            dir_block_log: byte(raw, 192),
            version_bits,
            // Old kernels wrote it at the wrong place on some machines, and the others read both.
            features2: if more { be32(raw, 200) | be32(raw, 204) } else { 0 },
            feature_compat: v5(208),
            feature_ro_compat: v5(212),
            feature_incompat: incompat,
            feature_log_incompat: v5(220),
            in_progress: byte(raw, 126) != 0,
            inode_log: byte(raw, 122),
            inodes_per_block: be16(raw, 106),
        })
    }

    /// The superblock of a file system that can be read.
    pub(crate) fn load(volume: &CachedVolume) -> Result<Self> {
        if volume.size() < BBSIZE {
            return Err(XfsError::NoSuperblock.into());
        }
        let raw = volume.read(0, BBSIZE as usize)?;
        let sb = Self::parse(&raw).ok_or(XfsError::NoSuperblock)?;
        sb.check_numbers(volume.size())?;
        if sb.is_v5() {
            let sector = volume.read(0, sb.sector_size as usize)?;
            let (stored, computed) = (le32(&sector, SB_CRC), checksum(&sector, SB_CRC));
            if stored != computed {
                let what = "the superblock".to_owned();
                return Err(XfsError::Checksum { what, stored, computed }.into());
            }
        }
        let unreadable = sb.feature_incompat & !incompat::READABLE;
        if unreadable != 0 {
            return Err(XfsError::UnreadableFeatures(names(unreadable, &incompat::NAMES)).into());
        }
        Ok(sb)
    }

    fn check_numbers(&self, volume_size: u64) -> Result<(), XfsError> {
        let is = |field, value: u64, right: bool, possible: &str| match right {
            true => Ok(()),
            false => Err(XfsError::Superblock { field, value, possible: possible.into() }),
        };
        let power = |value: u32, log: u8| value.is_power_of_two() && value.trailing_zeros() == u32::from(log);
        let number = self.version_bits & version::NUMBITS;
        if !matches!(number, 4 | 5) || self.version_bits & version::DIRV2 == 0 {
            return Err(XfsError::UnreadableFeatures(format!("version {:#x}", self.version_bits)));
        }
        let block = self.block_size;
        let block_ok = (512..=65536).contains(&block) && power(block, self.block_log);
        is(
            "sb_blocksize",
            block.into(),
            block_ok,
            "a power of two from 0x200 to 0x10000, as in sb_blocklog",
        )?;
        let sector = self.sector_size;
        let sector_ok = sector.is_power_of_two() && (512..=32768).contains(&sector) && sector <= block;
        is("sb_sectsize", sector.into(), sector_ok, "a power of two from 0x200 to the block size")?;
        let inode = self.inode_size;
        let inode_ok = (256..=2048).contains(&inode) && power(inode, self.inode_log) && inode <= block;
        is("sb_inodesize", inode.into(), inode_ok, "a power of two from 0x100 to 0x800, as in sb_inodelog")?;
        let per_block = u32::from(self.inodes_per_block);
        let per_block_ok = per_block == block / inode && power(per_block, self.inodes_per_block_log);
        is("sb_inopblock", per_block.into(), per_block_ok, "block size by inode size")?;
        let dir_ok = u32::from(self.block_log) + u32::from(self.dir_block_log) <= 16;
        is("sb_dirblklog", self.dir_block_log.into(), dir_ok, "folder blocks of up to 0x10000 bytes")?;
        let ag = self.ag_blocks;
        let ag_ok = (MIN_AG_BLOCKS..=1 << 31).contains(&ag)
            && u32::from(self.ag_block_log) == ag.next_power_of_two().trailing_zeros();
        is("sb_agblocks", ag.into(), ag_ok, "0x40 to 0x80000000, as in sb_agblklog")?;
        let count = self.ag_count;
        is("sb_agcount", count.into(), (1..=MAX_AGS).contains(&count), "1 to 0x100000")?;
        let (before_last, all) = (u64::from(count - 1) * u64::from(ag), u64::from(count) * u64::from(ag));
        let blocks_ok = self.dblocks > before_last && self.dblocks <= all;
        is("sb_dblocks", self.dblocks, blocks_ok, "what sb_agcount groups of sb_agblocks blocks hold")?;
        is("sb_inprogress", self.in_progress.into(), !self.in_progress, "0: mkfs has ended")?;
        let needed = self.dblocks.saturating_mul(block.into());
        if needed > volume_size {
            return Err(XfsError::TooLarge { needed, size: volume_size });
        }
        let (ag_no, ag_block) = self.split_block(self.log_start);
        let log_ok = self.log_start == 0
            || (self.log_blocks > 0 && self.is_in_ag(ag_no, ag_block, u64::from(self.log_blocks)));
        is("sb_logstart", self.log_start, log_ok, "a place inside one allocation group")?;
        is("sb_rootino", self.root_inode, self.inode_place(self.root_inode).is_some(), "an inode's number")
    }

    pub(crate) fn is_v5(&self) -> bool {
        self.version_bits & version::NUMBITS == 5
    }

    /// The index into pairs of magics.
    pub(crate) fn generation(&self) -> usize {
        usize::from(self.is_v5())
    }

    pub(crate) fn has_log_v2(&self) -> bool {
        self.is_v5() || self.version_bits & version::LOGV2 != 0
    }

    pub(crate) fn has_file_types(&self) -> bool {
        self.feature_incompat & incompat::FTYPE != 0 || self.features2 & version::FEATURES2_FTYPE != 0
    }

    pub(crate) fn has_ro_compat(&self, bit: u32) -> bool {
        self.feature_ro_compat & bit != 0
    }

    pub(crate) fn has_incompat(&self, bit: u32) -> bool {
        self.feature_incompat & bit != 0
    }

    /// Bytes of a block of a folder.
    pub(crate) fn dir_block_size(&self) -> u32 {
        self.block_size << self.dir_block_log
    }

    /// Blocks of the allocation group `ag`: the last one may be shorter.
    pub(crate) fn ag_len(&self, ag: u32) -> u32 {
        let start = u64::from(ag) * u64::from(self.ag_blocks);
        self.dblocks.saturating_sub(start).min(self.ag_blocks.into()) as u32
    }

    /// A block's number as allocation group and block in there.
    pub(crate) fn split_block(&self, block: u64) -> (u64, u64) {
        let log = u32::from(self.ag_block_log.min(63));
        (block >> log, block & ((1 << log) - 1))
    }

    pub(crate) fn is_in_ag(&self, ag: u64, block: u64, count: u64) -> bool {
        let len = u32::try_from(ag).ok().filter(|ag| *ag < self.ag_count).map(|ag| self.ag_len(ag));
        len.is_some_and(|len| block.checked_add(count).is_some_and(|end| end <= len.into()))
    }

    /// The byte on the volume where a block begins.
    pub(crate) fn ag_block_offset(&self, ag: u32, block: u32) -> u64 {
        (u64::from(ag) * u64::from(self.ag_blocks) + u64::from(block)) * u64::from(self.block_size)
    }

    /// The same for a block's number that was checked with [`Superblock::is_in_ag`].
    pub(crate) fn block_offset(&self, block: u64) -> u64 {
        let (ag, block) = self.split_block(block);
        self.ag_block_offset(ag as u32, block as u32)
    }

    /// Allocation group, number in there, and byte on the volume of an inode, when it can exist.
    pub(crate) fn inode_place(&self, ino: u64) -> Option<(u32, u32, u64)> {
        let per_block = u32::from(self.inodes_per_block_log);
        let bits = per_block + u32::from(self.ag_block_log);
        let (block, index) = (ino >> per_block, ino & ((1 << per_block) - 1));
        let (ag, ag_block) = self.split_block(block);
        let number = u32::try_from(ino & 1_u64.checked_shl(bits)?.wrapping_sub(1)).ok()?;
        if ino == 0 || !self.is_in_ag(ag, ag_block, 1) {
            return None;
        }
        let offset = self.ag_block_offset(ag as u32, ag_block as u32);
        Some((ag as u32, number, offset + index * u64::from(self.inode_size)))
    }

    /// How many inodes lie in a block.
    pub(crate) fn inodes_per_block(&self) -> u32 {
        self.inodes_per_block.into()
    }

    /// What features say against reading the file system as it is.
    pub(crate) fn read_obstacle(&self) -> Option<XfsError> {
        if self.has_incompat(incompat::NEEDSREPAIR) {
            return Some(XfsError::NeedsRepair);
        }
        (self.log_start == 0).then_some(XfsError::ExternalLog)
    }

    /// What features say against editing.
    pub(crate) fn edit_obstacle(&self) -> Option<XfsError> {
        let unknown_ro = self.feature_ro_compat & !names_mask(&ro_compat::NAMES);
        let found: Vec<String> = [
            names(self.feature_compat, &[]),
            names(unknown_ro, &[]),
            names(self.feature_log_incompat, &[(1, "log_xattrs")]),
        ]
        .into_iter()
        .filter(|names| !names.is_empty())
        .collect();
        (!found.is_empty()).then(|| XfsError::UneditableFeatures(found.join(" ")))
    }

    /// All features that a person may want to know.
    pub(crate) fn features(&self) -> Vec<String> {
        let version = if self.is_v5() { "crc" } else { "v4" };
        let ftype = !self.is_v5() && self.has_file_types();
        let all = [
            version.to_owned(),
            if ftype { "ftype".into() } else { String::new() },
            names(self.feature_ro_compat, &ro_compat::NAMES),
            names(self.feature_incompat, &incompat::NAMES),
        ];
        all.join(" ").split_whitespace().map(str::to_owned).collect()
    }

    /// UUID, as `blkid` writes it.
    pub(crate) fn uuid_text(&self) -> String {
        let hex: String = self.uuid.iter().map(|byte| format!("{byte:02x}")).collect();
        let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| hex.get(part).unwrap_or_default());
        parts.join("-")
    }
}

/// The superblock at the start of `volume`, if there is one; its numbers are not checked.
pub(crate) fn peek(volume: &dyn driver_core::Volume) -> Result<Option<Superblock>> {
    if volume.size() < BBSIZE {
        return Ok(None);
    }
    let mut raw = [0; SUPERBLOCK_LEN];
    volume.read_exact_at(0, &mut raw)?;
    Ok(Superblock::parse(&raw))
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
