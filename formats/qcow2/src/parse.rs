//! The header: bytes to trusted types. Pure; every check of the header is here.

use crate::error::Qcow2Error;
use crate::layout::*;
use crate::table::Geometry;
use binrw::BinRead;
use format_core::units::align_up;
use format_core::{Bytes, Error, Warning};
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
    pub geometry: Geometry,
    pub l1_table_offset: u64,
    /// L1 entries that the disk needs; the table may have more (for a saved machine state).
    pub l1_entries: usize,
    pub compression: Compression,
    pub backing_name: Option<String>,
    pub backing_format: Option<String>,
    pub warnings: Vec<Warning>,
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
    if v2.crypt_method != 0 {
        let method = match v2.crypt_method {
            1 => "AES".to_owned(),
            2 => "LUKS".to_owned(),
            other => format!("the unknown method {other}"),
        };
        return Err(Qcow2Error::Encrypted { method }.into());
    }
    check_features(v3.incompatible_features, extensions.feature_names)?;
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
    };
    check_refcount_table(&v2, &geometry)?;
    Ok(Header {
        geometry,
        l1_table_offset: v2.l1_table_offset,
        l1_entries: check_l1(&v2, &geometry)?,
        compression: parse_compression(&bytes, &v3)?,
        backing_name: parse_backing_name(&bytes, &v2, cluster_size)?,
        backing_format: extensions.backing_format,
        warnings: warnings(&v2, &v3),
    })
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
    if length >= min && u64::from(length) <= cluster_size {
        return Ok(());
    }
    Err(Qcow2Error::HeaderLength { length, min, cluster_size })
}

#[derive(Default)]
struct Extensions<'a> {
    backing_format: Option<String>,
    feature_names: &'a [u8],
}

fn parse_extensions<'a>(
    first: &Bytes<'a>,
    v2: &HeaderV2,
    v3: &HeaderV3,
    cluster_size: u64,
) -> Result<Extensions<'a>, Error> {
    // The backing file name ends the area; where there is none, the cluster does.
    let end = match v2.backing_file_offset {
        0 => cluster_size,
        offset => offset.min(cluster_size),
    };
    let mut found = Extensions::default();
    let mut at = u64::from(v3.header_length);
    while at + 8 <= end {
        let (kind, len) = (first.u32_be(at as usize)?, first.u32_be(at as usize + 4)?);
        let left = end - at - 8;
        if kind == EXT_END {
            break;
        }
        if u64::from(len) > left {
            return Err(Qcow2Error::Extension { kind, len, left, at }.into());
        }
        let data = first.slice(at as usize + 8, len as usize)?;
        match kind {
            EXT_BACKING_FORMAT => {
                let text = str::from_utf8(data).map_err(|_| Qcow2Error::ExtensionText { kind, at })?;
                found.backing_format = Some(text.trim_end_matches('\0').to_owned());
            }
            EXT_FEATURE_NAMES => found.feature_names = data,
            _ => {}
        }
        at += 8 + align_up(len.into(), 8).unwrap_or(left);
    }
    Ok(found)
}

/// The bits that change how the file is read, and that we do not know.
fn check_features(incompatible: u64, names: &[u8]) -> Result<(), Qcow2Error> {
    let known = INCOMPAT_DIRTY | INCOMPAT_CORRUPT | INCOMPAT_COMPRESSION | INCOMPAT_EXTENDED_L2;
    let unknown = incompatible & !known;
    if unknown == 0 {
        return Ok(());
    }
    let described: Vec<_> =
        (0..64).filter(|bit| unknown >> bit & 1 == 1).map(|bit| feature_name(bit, names)).collect();
    Err(Qcow2Error::Features(described.join(", ")))
}

fn feature_name(bit: u8, names: &[u8]) -> String {
    let named = names.chunks_exact(FEATURE_NAME_LEN).find(|entry| entry.starts_with(&[0, bit]));
    match named.and_then(|entry| entry.get(2..)) {
        Some(name) => {
            let name = String::from_utf8_lossy(name);
            format!("{:?} (bit {bit})", name.trim_end_matches('\0'))
        }
        None if 1 << bit == INCOMPAT_DATA_FILE => format!("\"external data file\" (bit {bit})"),
        None => format!("bit {bit}"),
    }
}

fn check_l1(v2: &HeaderV2, geometry: &Geometry) -> Result<usize, Qcow2Error> {
    let needed = v2.size.div_ceil(geometry.table_coverage());
    if needed.max(v2.l1_size.into()) > MAX_L1_ENTRIES {
        return Err(Qcow2Error::L1TooLarge(needed.max(v2.l1_size.into())));
    }
    if needed > u64::from(v2.l1_size) {
        return Err(Qcow2Error::L1TooSmall { l1_size: v2.l1_size, size: v2.size, needed });
    }
    let (offset, len) = (v2.l1_table_offset, u64::from(v2.l1_size) * ENTRY_SIZE);
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
    Ok(needed as usize)
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

fn warnings(v2: &HeaderV2, v3: &HeaderV3) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if v3.incompatible_features & INCOMPAT_DIRTY != 0 {
        let text =
            "the image was not closed properly (dirty bit); its data are read, the machine may have crashed";
        warnings.push(Warning::new("qcow2-dirty", text));
    }
    if v3.incompatible_features & INCOMPAT_CORRUPT != 0 {
        let text =
            "QEMU marked the image as corrupt; run qemu-img check on a copy before you trust the result";
        warnings.push(Warning::new("qcow2-corrupt", text));
    }
    if v2.nb_snapshots > 0 {
        let text = format!("{} internal snapshots are left out, the current state is read", v2.nb_snapshots);
        warnings.push(Warning::new("qcow2-snapshots", text));
    }
    if !v2.size.is_multiple_of(512) {
        let text = format!(
            "the disk has {:#x} bytes, no multiple of 512; QEMU ignores the last {}",
            v2.size,
            v2.size % 512
        );
        warnings.push(Warning::new("qcow2-odd-size", text));
    }
    warnings
}
