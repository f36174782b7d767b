//! Trees of an allocation group: what is free, what holds inodes, what is shared, what belongs to whom. Only asked,
//! before something is overwritten.

use crate::btree::{Expected, MAX_LEVELS, SHORT};
use crate::checksum::checksum;
use crate::error::XfsError;
use crate::layout::{
    XFS_ABTB_MAGIC, XFS_ABTC_MAGIC, XFS_AGF_MAGIC, XFS_AGI_MAGIC, XFS_IBT_MAGIC, XFS_REFC_CRC_MAGIC,
    XFS_RMAP_CRC_MAGIC, ro_compat,
};
use crate::volume::Medium;
use driver_core::block::{array as uuid, be16, be32, be64, le32};
use format_core::Result;
use std::cell::Cell;
use std::ops::Range;

/// Blocks that all questions of one edit may read.
const MAX_NODES: u32 = 1 << 16;
/// `XFS_REFC_COWFLAG`: a copy that is being made; such records lie behind all others.
const COW_FLAG: u64 = 1 << 31;
/// `XFS_INODES_PER_CHUNK`
const CHUNK: u64 = 64;

/// One kind of tree.
#[derive(Clone, Copy)]
struct Kind {
    what: &'static str,
    magic: [u32; 2],
    record_len: usize,
    key_len: usize,
    /// Where the highest block below a key is named: records of that tree overlap.
    high_key: Option<usize>,
}

const FREE: Kind =
    Kind { what: "free space", magic: XFS_ABTB_MAGIC, record_len: 8, key_len: 8, high_key: None };
/// The same records by their length.
const FREE_BY_SIZE: Kind =
    Kind { what: "free space by size", magic: XFS_ABTC_MAGIC, record_len: 8, key_len: 8, high_key: None };
const INODES: Kind =
    Kind { what: "inodes", magic: XFS_IBT_MAGIC, record_len: 16, key_len: 4, high_key: None };
const SHARED: Kind =
    Kind { what: "reference counts", magic: XFS_REFC_CRC_MAGIC, record_len: 12, key_len: 4, high_key: None };
const OWNERS: Kind =
    Kind { what: "owners", magic: XFS_RMAP_CRC_MAGIC, record_len: 24, key_len: 40, high_key: Some(20) };

/// Where a tree begins.
#[derive(Clone, Copy)]
struct Root {
    block: u32,
    level: u32,
}

/// How many blocks may still be read.
pub(crate) struct Budget(Cell<u32>);

impl Default for Budget {
    fn default() -> Self {
        Self(Cell::new(MAX_NODES))
    }
}

/// An allocation group whose headers were checked.
pub(crate) struct Ag<'a> {
    medium: &'a Medium,
    budget: &'a Budget,
    number: u32,
    free: Root,
    free_by_size: Root,
    inodes: Root,
    shared: Root,
    owners: Root,
    pub(crate) counts: Counts,
}

/// What the header of a group counts, in blocks.
pub(crate) struct Counts {
    /// In the trees of free space.
    pub(crate) free: u64,
    /// Kept for those trees to grow.
    pub(crate) kept: u64,
    /// In which those trees lie, and in some versions others.
    pub(crate) trees: u64,
}

/// Who a block belongs to by the tree of owners.
pub(crate) struct Owner {
    pub(crate) blocks: Range<u64>,
    pub(crate) ino: u64,
    /// The block in the file, with flags in the top bits.
    pub(crate) offset: u64,
}

impl<'a> Ag<'a> {
    pub(crate) fn load(medium: &'a Medium, number: u32, budget: &'a Budget) -> Result<Self> {
        let agf = header(medium, number, 1, "AGF", XFS_AGF_MAGIC, 216, 64)?;
        let agi = header(medium, number, 2, "AGI", XFS_AGI_MAGIC, 312, 296)?;
        let root = |bytes: &[u8], block, level| Root { block: be32(bytes, block), level: be32(bytes, level) };
        Ok(Self {
            medium,
            budget,
            number,
            free: root(&agf, 16, 28),
            free_by_size: root(&agf, 20, 32),
            owners: root(&agf, 24, 36),
            shared: root(&agf, 88, 92),
            inodes: root(&agi, 20, 24),
            counts: Counts {
                free: be32(&agf, 52).into(),
                kept: be32(&agf, 48).into(),
                trees: be32(&agf, 60).into(),
            },
        })
    }

    /// Whether a tree begins in one of `blocks`.
    pub(crate) fn has_roots(&self, blocks: &Range<u64>) -> bool {
        let used = |root: &Root| root.level > 0 && blocks.contains(&root.block.into());
        [self.free, self.inodes, self.shared, self.owners].iter().any(used)
    }

    /// Whether any of `blocks` is free.
    pub(crate) fn has_free(&self, blocks: Range<u64>) -> Result<bool> {
        let mut found = false;
        self.ask(&FREE, self.free, blocks.clone(), |record| {
            let start = u64::from(be32(record, 0));
            found |= start < blocks.end && start + u64::from(be32(record, 4)) > blocks.start;
        })?;
        Ok(found)
    }

    /// Shows `visit` all free extents, as first block and number of blocks, in the order of a tree.
    pub(crate) fn each_free(&self, by_size: bool, mut visit: impl FnMut(u32, u32)) -> Result<()> {
        let (kind, root) = if by_size { (&FREE_BY_SIZE, self.free_by_size) } else { (&FREE, self.free) };
        self.ask(kind, root, 0..u64::MAX, |record| visit(be32(record, 0), be32(record, 4)))
    }

    /// Whether any of `blocks` holds inodes.
    pub(crate) fn has_inodes(&self, blocks: Range<u64>) -> Result<bool> {
        let per_block = u64::from(self.medium.sb.inodes_per_block());
        let inodes = blocks.start * per_block..blocks.end * per_block;
        let mut found = false;
        self.ask(&INODES, self.inodes, inodes.start.saturating_sub(CHUNK)..inodes.end, |record| {
            let start = u64::from(be32(record, 0));
            // A set bit is four inodes that are not there, in a chunk with holes.
            let holes = be16(record, 4);
            found |= (0..16).any(|bit| {
                let first = start + bit * 4;
                holes & 1 << bit == 0 && first < inodes.end && first + 4 > inodes.start
            });
        })?;
        Ok(found)
    }

    /// Whether the inode with that number in the group is in use.
    pub(crate) fn is_inode_used(&self, number: u32) -> Result<bool> {
        let number = u64::from(number);
        let mut used = false;
        self.ask(&INODES, self.inodes, number.saturating_sub(CHUNK)..number + 1, |record| {
            if let Some(index) = number.checked_sub(be32(record, 0).into()).filter(|index| *index < CHUNK) {
                used = be64(record, 8) & 1 << index == 0 && be16(record, 4) & 1 << (index / 4) == 0;
            }
        })?;
        Ok(used)
    }

    /// Whether any of `blocks` belongs to more than one file, or to a copy that is being made.
    pub(crate) fn has_shared(&self, blocks: Range<u64>) -> Result<bool> {
        if !self.medium.sb.has_ro_compat(ro_compat::REFLINK) {
            return Ok(false);
        }
        let mut found = false;
        for flag in [0, COW_FLAG] {
            let wanted = blocks.start | flag..blocks.end | flag;
            self.ask(&SHARED, self.shared, wanted.clone(), |record| {
                let start = u64::from(be32(record, 0));
                found |= start < wanted.end && start + u64::from(be32(record, 4)) > wanted.start;
            })?;
        }
        Ok(found)
    }

    /// Who owns `blocks`, `None` where the file system does not say.
    pub(crate) fn owners(&self, blocks: Range<u64>) -> Result<Option<Vec<Owner>>> {
        if !self.medium.sb.has_ro_compat(ro_compat::RMAPBT) {
            return Ok(None);
        }
        let mut found = Vec::new();
        self.ask(&OWNERS, self.owners, blocks.clone(), |record| {
            let start = u64::from(be32(record, 0));
            let end = start + u64::from(be32(record, 4));
            if start < blocks.end && end > blocks.start {
                found.push(Owner { blocks: start..end, ino: be64(record, 8), offset: be64(record, 16) });
            }
        })?;
        Ok(Some(found))
    }

    /// Shows `visit` every record that may overlap `wanted`, and some around.
    fn ask(&self, kind: &Kind, root: Root, wanted: Range<u64>, mut visit: impl FnMut(&[u8])) -> Result<()> {
        let Some(level) = root.level.checked_sub(1).and_then(|level| u16::try_from(level).ok()) else {
            return Err(self
                .wrong(kind, "its level", root.level.into(), format!("1 to {MAX_LEVELS}"))
                .into());
        };
        if level >= MAX_LEVELS {
            return Err(self
                .wrong(kind, "its level", root.level.into(), format!("1 to {MAX_LEVELS}"))
                .into());
        }
        self.descend(kind, root.block.into(), level, &wanted, &mut visit)
    }

    fn descend(
        &self,
        kind: &Kind,
        block: u64,
        level: u16,
        wanted: &Range<u64>,
        visit: &mut dyn FnMut(&[u8]),
    ) -> Result<()> {
        let limit =
            || XfsError::Limit { what: self.name(kind), limit: MAX_NODES.into(), of: "blocks to ask" };
        self.budget.0.set(self.budget.0.get().checked_sub(1).ok_or_else(limit)?);
        let sb = &self.medium.sb;
        if !sb.is_in_ag(self.number.into(), block, 1) {
            return Err(self.wrong(kind, "pointer", block, "a block of the group".into()).into());
        }
        let offset = sb.ag_block_offset(self.number, block as u32);
        let entry_len = if level == 0 { kind.record_len } else { kind.key_len + 4 };
        let owner = self.number.into();
        let expected = Expected { what: kind.what, magic: kind.magic, owner, level, entry_len };
        let node = SHORT.load(self.medium, offset, &expected)?;
        if level == 0 {
            (0..node.count).for_each(|index| visit(node.entry(index, kind.record_len)));
            return Ok(());
        }
        let low = |index| u64::from(be32(node.entry(index, kind.key_len), 0));
        for index in 0..node.count {
            let reaches = match kind.high_key {
                Some(at) => u64::from(be32(node.entry(index, kind.key_len), at)) >= wanted.start,
                None => index + 1 == node.count || low(index + 1) > wanted.start,
            };
            if low(index) < wanted.end && reaches {
                self.descend(kind, node.pointer(index, kind.key_len, 4), level - 1, wanted, visit)?;
            }
        }
        Ok(())
    }

    fn name(&self, kind: &Kind) -> String {
        format!("the tree of {} of allocation group {}", kind.what, self.number)
    }

    fn wrong(&self, kind: &Kind, field: &'static str, value: u64, possible: String) -> XfsError {
        XfsError::Field { what: self.name(kind), field, value, possible }
    }
}

/// A header in sector `sector` of the group `number`, with its checksum and UUID at these places.
fn header(
    medium: &Medium,
    number: u32,
    sector: u64,
    name: &str,
    magic: u32,
    crc: usize,
    uuid_at: usize,
) -> Result<Vec<u8>> {
    let sb = &medium.sb;
    let offset = sb.ag_block_offset(number, 0) + sector * u64::from(sb.sector_size);
    let bytes = medium.volume.read(offset, sb.sector_size as usize)?;
    let what = format!("{name} {number} at {offset:#x}");
    if sb.is_v5() {
        let (stored, computed) = (le32(&bytes, crc), checksum(&bytes, crc));
        if stored != computed {
            return Err(XfsError::Checksum { what, stored, computed }.into());
        }
        if uuid(&bytes, uuid_at) != sb.meta_uuid {
            return Err(XfsError::Structure(format!("{what} belongs to another file system")).into());
        }
    }
    for (field, at, wanted) in
        [("magic", 0, magic), ("version", 4, 1), ("number", 8, number), ("length", 12, sb.ag_len(number))]
    {
        let value = be32(&bytes, at);
        if value != wanted {
            let possible = format!("{wanted:#x}");
            return Err(XfsError::Field { what, field, value: value.into(), possible }.into());
        }
    }
    Ok(bytes)
}
