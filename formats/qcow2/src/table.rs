//! L1 and L2 entries: numbers to places, with every check of an entry. Pure.

use crate::error::EntryFault;
use crate::layout::*;

/// The sizes that decide how tables are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    pub version: u32,
    pub cluster_bits: u32,
    pub extended_l2: bool,
    pub virtual_size: u64,
    pub file_size: u64,
    /// Size of the external data file, where there is one.
    pub data_file_size: Option<u64>,
    pub encrypted: bool,
}

/// What one unit of the disk is. A unit is the smallest run that a table describes: a cluster, or with extended L2
/// entries a subcluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Nothing here; the backing file shows through.
    Unallocated,
    /// Reads as zeros.
    Zero,
    /// Host offset of the unit. What lies beyond the end of the file reads as zeros.
    Data(u64),
    /// The whole cluster around the unit is compressed.
    Compressed(Compressed),
}

/// Where a compressed cluster lies. The bytes may end earlier: the length is in sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Compressed {
    pub offset: u64,
    pub len: u64,
}

impl Geometry {
    pub(crate) fn cluster_size(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// Words (8 bytes) of one L2 entry.
    fn entry_words(&self) -> u64 {
        if self.extended_l2 { 2 } else { 1 }
    }

    /// Words of one L2 table.
    pub(crate) fn table_words(&self) -> usize {
        1 << (self.cluster_bits - 3)
    }

    /// Units of a cluster.
    pub(crate) fn units_per_cluster(&self) -> u64 {
        if self.extended_l2 { SUBCLUSTERS } else { 1 }
    }

    /// Bytes of a unit.
    pub(crate) fn unit_size(&self) -> u64 {
        self.cluster_size() / self.units_per_cluster()
    }

    /// Bytes of the disk that one L2 table describes: at most 2^18 entries of 2^21 bytes.
    pub(crate) fn table_coverage(&self) -> u64 {
        (self.table_words() as u64 / self.entry_words()) << self.cluster_bits
    }

    /// Which L1 entry describes the guest offset.
    pub(crate) fn l1_index(&self, offset: u64) -> u64 {
        offset / self.table_coverage()
    }

    /// Which unit of its L2 table the guest offset is in.
    pub(crate) fn unit_index(&self, offset: u64) -> u64 {
        offset % self.table_coverage() / self.unit_size()
    }

    /// Which L2 entry describes the unit.
    pub(crate) fn entry_index(&self, unit: u64) -> u64 {
        unit / self.units_per_cluster()
    }

    /// Host offset of the L2 table that the L1 entry names, if it names one.
    pub(crate) fn l2_table(&self, entry: u64) -> Result<Option<u64>, EntryFault> {
        if entry & L1_RESERVED != 0 {
            return Err(EntryFault::Reserved(entry & L1_RESERVED));
        }
        let offset = self.aligned(entry & OFFSET_MASK)?;
        if offset == 0 {
            return Ok(None);
        }
        // A table is never cut short: a missing entry would silently turn data into zeros.
        match offset.checked_add(self.cluster_size()) {
            Some(end) if end <= self.file_size => Ok(Some(offset)),
            _ => Err(EntryFault::Outside { offset, file_size: self.file_size }),
        }
    }

    /// The entry of the unit as stored, for messages.
    pub(crate) fn entry(&self, table: &[u64], unit: u64) -> u64 {
        let word = self.entry_index(unit) * self.entry_words();
        table.get(word as usize).copied().unwrap_or(0)
    }

    /// What the unit is.
    pub(crate) fn unit(&self, table: &[u64], unit: u64) -> Result<Unit, EntryFault> {
        let entry = self.entry(table, unit);
        if entry & L2_COMPRESSED != 0 {
            return self.compressed(entry).map(Unit::Compressed);
        }
        if entry & L2_RESERVED != 0 {
            return Err(EntryFault::Reserved(entry & L2_RESERVED));
        }
        let offset = self.aligned(entry & OFFSET_MASK)?;
        if self.extended_l2 {
            let word = self.entry_index(unit) * self.entry_words() + 1;
            let bitmap = table.get(word as usize).copied().unwrap_or(0);
            return self.subcluster(entry, bitmap, unit % SUBCLUSTERS);
        }
        match (entry & L2_ZERO != 0, self.has_cluster(entry)) {
            (true, _) if self.version < 3 => Err(EntryFault::ZeroFlagV2),
            (true, _) => Ok(Unit::Zero),
            (false, false) => Ok(Unit::Unallocated),
            (false, true) => self.inside_data(offset).map(Unit::Data),
        }
    }

    /// Whether a standard entry names a host cluster. An external data file has data at offset 0, too.
    pub(crate) fn has_cluster(&self, entry: u64) -> bool {
        entry & OFFSET_MASK != 0 || (self.data_file_size.is_some() && entry & COPIED != 0)
    }

    /// Extended L2: the low half of the bitmap says "allocated", the high half "reads as zeros".
    fn subcluster(&self, entry: u64, bitmap: u64, index: u64) -> Result<Unit, EntryFault> {
        let (allocated, zero) = (bitmap & 0xffff_ffff, bitmap >> 32);
        if entry & L2_ZERO != 0 {
            return Err(EntryFault::Reserved(L2_ZERO));
        }
        if allocated & zero != 0 || (allocated != 0 && !self.has_cluster(entry)) {
            return Err(EntryFault::Bitmap(bitmap));
        }
        if zero >> index & 1 == 1 {
            return Ok(Unit::Zero);
        }
        if allocated >> index & 1 == 0 {
            return Ok(Unit::Unallocated);
        }
        let offset = self.inside_data(entry & OFFSET_MASK)?;
        Ok(Unit::Data(offset.saturating_add(index * self.unit_size())))
    }

    fn compressed(&self, entry: u64) -> Result<Compressed, EntryFault> {
        // QEMU writes neither, and it would read the second without decrypting.
        if self.data_file_size.is_some() {
            return Err(EntryFault::CompressedInDataFile);
        }
        if self.encrypted {
            return Err(EntryFault::CompressedInEncrypted);
        }
        if entry & COPIED != 0 {
            return Err(EntryFault::Reserved(COPIED));
        }
        let bits = compressed_offset_bits(self.cluster_bits);
        let offset = self.inside(entry & ((1 << bits) - 1))?;
        let sectors = ((entry & !L2_COMPRESSED) >> bits) + 1;
        let len = sectors * COMPRESSED_SECTOR - offset % COMPRESSED_SECTOR;
        Ok(Compressed { offset, len: len.min(self.file_size - offset) })
    }

    fn aligned(&self, offset: u64) -> Result<u64, EntryFault> {
        if offset.is_multiple_of(self.cluster_size()) {
            return Ok(offset);
        }
        Err(EntryFault::Unaligned { offset, cluster_size: self.cluster_size() })
    }

    /// The first byte must be there. The rest of the file's last cluster may be missing: QEMU grows files lazily.
    fn inside(&self, offset: u64) -> Result<u64, EntryFault> {
        inside(offset, self.file_size)
    }

    fn inside_data(&self, offset: u64) -> Result<u64, EntryFault> {
        inside(offset, self.data_size())
    }

    /// Size of the file that holds the clusters.
    pub(crate) fn data_size(&self) -> u64 {
        self.data_file_size.unwrap_or(self.file_size)
    }
}

fn inside(offset: u64, file_size: u64) -> Result<u64, EntryFault> {
    if offset < file_size { Ok(offset) } else { Err(EntryFault::Outside { offset, file_size }) }
}
