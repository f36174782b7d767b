//! Header extensions, and the names of feature bits that one of them holds.

use crate::crypto::HeaderPlace;
use crate::error::Qcow2Error;
use crate::layout::*;
use format_core::units::align_up;
use format_core::{Bytes, Error};

/// What the header extensions say.
#[derive(Debug, Default)]
pub(crate) struct Extensions {
    pub backing_format: Option<String>,
    pub data_file: Option<String>,
    pub crypto: Option<HeaderPlace>,
    pub bitmaps: Option<BitmapsPlace>,
    feature_names: Vec<u8>,
}

/// Where the bitmap directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BitmapsPlace {
    pub count: u32,
    pub directory_size: u64,
    pub directory_offset: u64,
}

/// The extensions of the header's cluster, `first`.
pub(crate) fn parse_extensions(
    first: &Bytes<'_>,
    v2: &HeaderV2,
    v3: &HeaderV3,
    cluster_size: u64,
) -> Result<Extensions, Error> {
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
        found.add(kind, at, first.slice(at as usize + 8, len as usize)?)?;
        at += 8 + align_up(len.into(), 8).unwrap_or(left);
    }
    Ok(found)
}

impl Extensions {
    fn add(&mut self, kind: u32, at: u64, data: &[u8]) -> Result<(), Error> {
        let text = || {
            let text = str::from_utf8(data).map_err(|_| Qcow2Error::ExtensionText { kind, at })?;
            Ok::<_, Error>(Some(text.trim_end_matches('\0').to_owned()))
        };
        let long = |wanted: usize| {
            let len = data.len() as u64;
            if data.len() < wanted { Err(Qcow2Error::ExtensionShort { kind, len, at }) } else { Ok(()) }
        };
        let bytes = Bytes::new(data, at.saturating_add(8));
        match kind {
            EXT_BACKING_FORMAT => self.backing_format = text()?,
            EXT_DATA_FILE => self.data_file = text()?,
            EXT_FEATURE_NAMES => self.feature_names = data.to_vec(),
            EXT_CRYPTO => {
                long(16)?;
                self.crypto = Some(HeaderPlace { offset: bytes.u64_be(0)?, len: bytes.u64_be(8)? });
            }
            EXT_BITMAPS => {
                long(24)?;
                self.bitmaps = Some(BitmapsPlace {
                    count: bytes.u32_be(0)?,
                    directory_size: bytes.u64_be(8)?,
                    directory_offset: bytes.u64_be(16)?,
                });
            }
            _ => {}
        }
        Ok(())
    }

    /// Refuses the bits that change how the file is read, and that we do not know.
    pub(crate) fn check_features(&self, incompatible: u64) -> Result<(), Qcow2Error> {
        let known = INCOMPAT_DIRTY
            | INCOMPAT_CORRUPT
            | INCOMPAT_DATA_FILE
            | INCOMPAT_COMPRESSION
            | INCOMPAT_EXTENDED_L2;
        let unknown = incompatible & !known;
        if unknown == 0 {
            return Ok(());
        }
        let described: Vec<_> =
            (0..64).filter(|bit| unknown >> bit & 1 == 1).map(|bit| self.feature_name(bit)).collect();
        Err(Qcow2Error::Features(described.join(", ")))
    }

    fn feature_name(&self, bit: u8) -> String {
        let mut names = self.feature_names.chunks_exact(FEATURE_NAME_LEN);
        match names.find(|entry| entry.starts_with(&[0, bit])).and_then(|entry| entry.get(2..)) {
            Some(name) => {
                let name = String::from_utf8_lossy(name);
                format!("{:?} (bit {bit})", name.trim_end_matches('\0'))
            }
            None => format!("bit {bit}"),
        }
    }
}
