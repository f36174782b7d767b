//! Every check of the header and of table entries; no input or output in here.

use crate::error::{Misplaced, QedError};
use crate::layout::{
    ENTRY_LEN, F_BACKING_FILE, F_BACKING_FORMAT_NO_PROBE, F_NEED_CHECK, Header, KNOWN_FEATURES, MAGIC,
    MAX_BACKING_NAME, MAX_CLUSTER, MAX_TABLE_SIZE, MIN_CLUSTER, ZERO_CLUSTER,
};
use format_core::Score;
use format_core::units::SECTOR;

pub(crate) fn probe(head: &[u8], _tail: &[u8]) -> Score {
    if head.starts_with(&MAGIC) { Score::Magic } else { Score::No }
}

/// The sizes that say where everything lies, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) cluster_size: u64,
    /// Bytes of the L1 table and of each L2 table.
    pub(crate) table_len: u64,
    pub(crate) header_end: u64,
    pub(crate) l1_table_offset: u64,
    pub(crate) image_size: u64,
    pub(crate) file_size: u64,
}

/// What a header says, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) geometry: Geometry,
    /// Where the name of the backing file lies, and its length.
    pub(crate) backing_name: Option<(u32, u32)>,
    pub(crate) is_backing_raw: bool,
    pub(crate) needs_check: bool,
}

/// What an L2 entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cluster {
    /// The backing file shows through.
    Unallocated,
    Zero,
    /// At this place of the file.
    Data(u64),
}

/// Checks a header of a file of `size` bytes.
pub(crate) fn parse_header(header: &Header, size: u64) -> Result<Image, QedError> {
    if header.magic != MAGIC {
        return Err(QedError::Magic(header.magic));
    }
    let unknown = header.features & !KNOWN_FEATURES;
    if unknown != 0 {
        return Err(QedError::Features(unknown));
    }
    let geometry = geometry(header, size)?;
    let has_backing = header.features & F_BACKING_FILE != 0;
    let backing_name = if has_backing { Some(backing_place(header, geometry.header_end)?) } else { None };
    Ok(Image {
        geometry,
        backing_name,
        is_backing_raw: header.features & F_BACKING_FORMAT_NO_PROBE != 0,
        needs_check: header.features & F_NEED_CHECK != 0,
    })
}

fn geometry(header: &Header, size: u64) -> Result<Geometry, QedError> {
    let Header { cluster_size, table_size, header_size, image_size, .. } = *header;
    if !cluster_size.is_power_of_two() || !(MIN_CLUSTER..=MAX_CLUSTER).contains(&cluster_size) {
        return Err(QedError::ClusterSize(cluster_size));
    }
    if !table_size.is_power_of_two() || table_size > MAX_TABLE_SIZE {
        return Err(QedError::TableSize(table_size));
    }
    // Two numbers of 32 bits.
    let header_end = u64::from(header_size) * u64::from(cluster_size);
    if header_size == 0 || header_end > size {
        return Err(QedError::HeaderSize { clusters: header_size, cluster_size, size });
    }
    if !image_size.is_multiple_of(SECTOR) {
        return Err(QedError::ImageSize(image_size));
    }
    let geometry = Geometry {
        cluster_size: cluster_size.into(),
        table_len: u64::from(cluster_size) * u64::from(table_size),
        header_end,
        l1_table_offset: header.l1_table_offset,
        image_size,
        file_size: size,
    };
    let most = geometry.l2_coverage().saturating_mul(geometry.entries());
    if image_size > most {
        return Err(QedError::ImageTooLarge { size: image_size, most });
    }
    geometry.check_place(header.l1_table_offset, geometry.table_len).map_err(QedError::L1Table)?;
    Ok(geometry)
}

fn backing_place(header: &Header, end: u64) -> Result<(u32, u32), QedError> {
    let (offset, len) = (header.backing_filename_offset, header.backing_filename_size);
    if len == 0 || len > MAX_BACKING_NAME {
        return Err(QedError::BackingLength { len });
    }
    if u64::from(offset) + u64::from(len) > end {
        return Err(QedError::BackingPlace { offset, len, end });
    }
    Ok((offset, len))
}

/// The name from its bytes at `offset`.
pub(crate) fn parse_backing_name(bytes: &[u8], offset: u32) -> Result<String, QedError> {
    let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    match std::str::from_utf8(bytes) {
        Ok("") => Err(QedError::BackingLength { len: 0 }),
        Ok(name) => Ok(name.to_owned()),
        Err(_) => Err(QedError::BackingText { offset }),
    }
}

impl Geometry {
    /// Entries of a table.
    pub(crate) fn entries(&self) -> u64 {
        self.table_len / ENTRY_LEN
    }

    /// Guest bytes that one L2 table describes; at most 2^53.
    pub(crate) fn l2_coverage(&self) -> u64 {
        self.entries() * self.cluster_size
    }

    /// The L2 table of an L1 entry.
    pub(crate) fn l2_table(&self, entry: u64) -> Result<Option<u64>, Misplaced> {
        if entry == 0 {
            return Ok(None);
        }
        self.check_place(entry, self.table_len).map(|()| Some(entry))
    }

    /// What an L2 entry says.
    pub(crate) fn cluster(&self, entry: u64) -> Result<Cluster, Misplaced> {
        match entry {
            0 => Ok(Cluster::Unallocated),
            ZERO_CLUSTER => Ok(Cluster::Zero),
            _ => self.check_place(entry, self.cluster_size).map(|()| Cluster::Data(entry)),
        }
    }

    /// Whether `len` bytes of clusters may lie at `offset`.
    fn check_place(&self, offset: u64, len: u64) -> Result<(), Misplaced> {
        let Self { cluster_size, header_end, file_size: size, .. } = *self;
        if !offset.is_multiple_of(cluster_size) {
            return Err(Misplaced::Unaligned { offset, cluster_size });
        }
        if offset < header_end {
            return Err(Misplaced::InHeader { offset, header_end });
        }
        match offset.checked_add(len) {
            Some(end) if end <= size => Ok(()),
            _ => Err(Misplaced::Outside { offset, len, size }),
        }
    }
}
