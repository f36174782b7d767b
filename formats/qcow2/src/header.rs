//! The first cluster of an image that is written: header, header extensions, name of the backing file.

use crate::allocate::RefcountTable;
use crate::layout::*;
use crate::options::Plan;
use crate::parse::Compression;
use binrw::{BinResult, BinWrite};
use format_core::{Error, Result};
use std::io::{Cursor, Write};

/// Bytes of an empty header extension: its type and its length.
const EXTENSION_HEAD: u32 = 8;

/// Where the parts of the first cluster lie.
pub(crate) struct FirstCluster {
    header_length: u32,
    backing_name: u32,
}

impl FirstCluster {
    /// # Errors
    /// `Limit` when the name of the backing file does not fit.
    pub(crate) fn new(plan: &Plan) -> Result<Self> {
        let header_length = if plan.version >= 3 { V3_LENGTH_WITH_COMPRESSION } else { V2_LENGTH };
        let Some(backing) = &plan.backing else {
            return Ok(Self { header_length, backing_name: 0 });
        };
        let format = EXTENSION_HEAD + (backing.format.len() as u32).next_multiple_of(8);
        let backing_name = header_length + format + EXTENSION_HEAD;
        backing.check_len((plan.cluster_size() - u64::from(backing_name)) as usize)?;
        Ok(Self { header_length, backing_name })
    }

    /// The bytes; what follows them in the cluster is zeros, which also ends the list of header extensions.
    pub(crate) fn bytes(self, plan: &Plan, l1_offset: u64, refcounts: RefcountTable) -> Result<Vec<u8>> {
        self.write(plan, l1_offset, refcounts)
            .map_err(|e| Error::contract("the header cannot be written").with_source(e))
    }

    fn write(&self, plan: &Plan, l1_table_offset: u64, refcounts: RefcountTable) -> BinResult<Vec<u8>> {
        let mut out = Cursor::new(Vec::new());
        HeaderV2 {
            magic: MAGIC,
            version: plan.version,
            backing_file_offset: self.backing_name.into(),
            backing_file_size: plan.backing.as_ref().map_or(0, |backing| backing.name.len() as u32),
            cluster_bits: plan.cluster_bits,
            size: plan.header_size,
            l1_size: plan.l1_entries as u32,
            l1_table_offset,
            refcount_table_offset: refcounts.offset,
            refcount_table_clusters: refcounts.clusters as u32,
            ..HeaderV2::default()
        }
        .write(&mut out)?;
        if plan.version >= 3 {
            let (compression, kind) = match plan.codec.compression {
                Compression::Zlib => (0, COMPRESSION_ZLIB),
                Compression::Zstd => (INCOMPAT_COMPRESSION, COMPRESSION_ZSTD),
            };
            HeaderV3 {
                incompatible_features: compression | if plan.extended_l2 { INCOMPAT_EXTENDED_L2 } else { 0 },
                refcount_order: plan.refcount_order,
                header_length: self.header_length,
                ..HeaderV3::default()
            }
            .write(&mut out)?;
            (kind, [0u8; 7]).write(&mut out)?;
        }
        if let Some(backing) = &plan.backing {
            let mut format = backing.format.as_bytes().to_vec();
            (EXT_BACKING_FORMAT, format.len() as u32).write_be(&mut out)?;
            format.resize(format.len().next_multiple_of(8), 0);
            out.write_all(&format)?;
            (EXT_END, 0u32).write_be(&mut out)?;
            out.write_all(backing.name.as_bytes())?;
        }
        Ok(out.into_inner())
    }
}
