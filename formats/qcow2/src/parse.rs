//! The header: bytes to trusted types. Pure; every check of the header is here.

use crate::error::Qcow2Error;
use crate::extensions::{Extensions, parse_extensions};
use crate::layout::*;
use crate::table::Geometry;
use binrw::BinRead;
use format_core::units::align_up;
use format_core::{Bytes, Error};
use std::io::Cursor;

/// How compressed clusters are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    Zlib,
    Zstd,
}

/// A header that was checked.
#[derive(Debug)]
pub(crate) struct Header {
    pub v2: HeaderV2,
    pub v3: HeaderV3,
    pub extensions: Extensions,
    /// The size of an external data file is not known yet.
    pub geometry: Geometry,
    pub l1: TablePlace,
    pub compression: Compression,
    pub backing_name: Option<String>,
}

/// Where an L1 table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TablePlace {
    pub offset: u64,
    /// Entries that the disk needs; the table may have more (for a saved machine state).
    pub needed: usize,
    /// Entries that the table has.
    pub entries: u64,
}

impl Header {
    pub(crate) fn has_data_file(&self) -> bool {
        self.v3.incompatible_features & INCOMPAT_DATA_FILE != 0
    }

    /// Whether there are bitmaps, and a program wrote to the image that does not know them.
    pub(crate) fn bitmaps_are_stale(&self) -> bool {
        self.extensions.bitmaps.is_some() && self.v3.autoclear_features & AUTOCLEAR_BITMAPS == 0
    }
}

/// Parses the first cluster of an image whose file has `file_size` bytes. `first` may hold more than the cluster.
pub(crate) fn parse_header(first: &[u8], file_size: u64) -> Result<Header, Error> {
    let magic = Bytes::new(first, 0).array(0)?;
    if magic != MAGIC {
        return Err(Qcow2Error::Magic(magic).into());
    }
    let v2: HeaderV2 = read_fixed(first, 0)?;
    let v3 = match v2.version {
        2 => HeaderV3 { refcount_order: REFCOUNT_ORDER, header_length: V2_LENGTH, ..HeaderV3::default() },
        3 => read_fixed(first, V2_LENGTH.into())?,
        other => return Err(Qcow2Error::Version(other).into()),
    };
    let cluster_size = check_cluster_bits(v2.cluster_bits, MIN_CLUSTER_BITS)?;
    let first = first.get(..cluster_size as usize).unwrap_or(first);
    check_header_length(&v2, &v3, cluster_size)?;
    let bytes = Bytes::new(first, 0);
    let extensions = parse_extensions(&bytes, &v2, &v3, cluster_size)?;
    extensions.check_features(v3.incompatible_features)?;
    if v3.refcount_order > MAX_REFCOUNT_ORDER {
        return Err(Qcow2Error::RefcountOrder(v3.refcount_order).into());
    }
    let extended_l2 = v3.incompatible_features & INCOMPAT_EXTENDED_L2 != 0;
    if extended_l2 {
        check_cluster_bits(v2.cluster_bits, MIN_EXTENDED_CLUSTER_BITS)?;
    }
    let geometry = Geometry {
        version: v2.version,
        cluster_bits: v2.cluster_bits,
        extended_l2,
        virtual_size: v2.size,
        file_size,
        data_file_size: None,
        encrypted: v2.crypt_method != 0,
    };
    check_refcount_table(&v2, &geometry)?;
    let l1 = check_l1(v2.l1_size, v2.l1_table_offset, &geometry)?;
    let compression = parse_compression(&bytes, &v3)?;
    let backing_name = parse_backing_name(&bytes, &v2, cluster_size)?;
    Ok(Header { v2, v3, extensions, geometry, l1, compression, backing_name })
}

fn read_fixed<T>(first: &[u8], at: u64) -> Result<T, Qcow2Error>
where
    T: for<'a> BinRead<Args<'a> = ()> + binrw::meta::ReadEndian,
{
    let rest = first.get(at as usize..).unwrap_or_default();
    let short = |_| Qcow2Error::ShortHeader {
        wanted: (if at == 0 { V2_LENGTH } else { V3_LENGTH }).into(),
        have: first.len() as u64,
    };
    T::read(&mut Cursor::new(rest)).map_err(short)
}

fn check_cluster_bits(bits: u32, min: u32) -> Result<u64, Qcow2Error> {
    if (min..=MAX_CLUSTER_BITS).contains(&bits) {
        return Ok(1 << bits);
    }
    Err(Qcow2Error::ClusterBits { bits, min })
}

fn check_header_length(v2: &HeaderV2, v3: &HeaderV3, cluster_size: u64) -> Result<(), Qcow2Error> {
    let min = if v2.version == 2 { V2_LENGTH } else { V3_LENGTH };
    let length = v3.header_length;
    if length >= min && u64::from(length) <= cluster_size && length.is_multiple_of(8) {
        return Ok(());
    }
    Err(Qcow2Error::HeaderLength { length, min, cluster_size })
}

/// An L1 table of the disk `geometry`: the active one, or a snapshot's.
pub(crate) fn check_l1(l1_size: u32, offset: u64, geometry: &Geometry) -> Result<TablePlace, Qcow2Error> {
    let (size, entries) = (geometry.virtual_size, u64::from(l1_size));
    let needed = size.div_ceil(geometry.table_coverage());
    if needed.max(entries) > MAX_L1_ENTRIES {
        return Err(Qcow2Error::L1TooLarge(needed.max(entries)));
    }
    if needed > entries {
        return Err(Qcow2Error::L1TooSmall { l1_size, size, needed });
    }
    let len = entries * ENTRY_SIZE;
    if len > 0 {
        if offset < geometry.cluster_size() {
            return Err(Qcow2Error::L1Offset { offset, why: "it overlaps the header" });
        }
        if !offset.is_multiple_of(geometry.cluster_size()) {
            return Err(Qcow2Error::L1Offset { offset, why: "it is no multiple of the cluster size" });
        }
        if offset.checked_add(len).is_none_or(|end| end > geometry.file_size) {
            return Err(Qcow2Error::L1Outside { offset, len, file_size: geometry.file_size });
        }
    }
    Ok(TablePlace { offset, needed: needed as usize, entries })
}

/// Reading needs no reference counts. But where their table is gone, the file is cut off, and then the end of a cluster
/// that seems to have never been written may in truth be lost.
fn check_refcount_table(v2: &HeaderV2, geometry: &Geometry) -> Result<(), Qcow2Error> {
    let (offset, file_size) = (v2.refcount_table_offset, geometry.file_size);
    let len = u64::from(v2.refcount_table_clusters) << geometry.cluster_bits;
    let file_end = align_up(file_size, geometry.cluster_size()).unwrap_or(u64::MAX);
    if offset.checked_add(len).is_some_and(|end| end <= file_end) {
        return Ok(());
    }
    Err(Qcow2Error::RefcountTableOutside { offset, len, file_size })
}

fn parse_compression(first: &Bytes<'_>, v3: &HeaderV3) -> Result<Compression, Error> {
    let kind = if v3.header_length > COMPRESSION_TYPE_OFFSET {
        first.u8(COMPRESSION_TYPE_OFFSET as usize)?
    } else {
        COMPRESSION_ZLIB
    };
    let bit = v3.incompatible_features & INCOMPAT_COMPRESSION != 0;
    match kind {
        _ if bit != (kind != COMPRESSION_ZLIB) => {
            Err(Qcow2Error::CompressionBit { kind, bit: bit.into() }.into())
        }
        COMPRESSION_ZLIB => Ok(Compression::Zlib),
        COMPRESSION_ZSTD => Ok(Compression::Zstd),
        other => Err(Qcow2Error::Compression(other).into()),
    }
}

fn parse_backing_name(first: &Bytes<'_>, v2: &HeaderV2, cluster_size: u64) -> Result<Option<String>, Error> {
    let (offset, len) = (v2.backing_file_offset, v2.backing_file_size);
    if offset == 0 {
        return Ok(None);
    }
    let inside = offset.checked_add(len.into()).is_some_and(|end| end <= cluster_size);
    if !inside || len == 0 || len > MAX_BACKING_NAME {
        return Err(Qcow2Error::BackingName { offset, len }.into());
    }
    let name = first.slice(offset as usize, len as usize)?;
    let name = str::from_utf8(name).map_err(|_| Qcow2Error::BackingNameText { offset })?;
    Ok(Some(name.to_owned()))
}
