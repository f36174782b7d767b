//! Blobs and chunks: a checksum around content that may be packed and encrypted.

use crate::error::PbsError;
use crate::key::BackupKey;
use crate::layout::{BLOB_HEADER, SEAL_PART, SEALED_HEADER, magic};
use format_core::Bytes;
use std::io::Read;

/// The bytes of a blob without its wrapping.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blob<'a> {
    data: &'a [u8],
    /// Whether the bytes were compressed with zstd.
    pub(crate) is_packed: bool,
    /// Whether they were encrypted.
    pub(crate) is_sealed: bool,
}

/// What a blob is, by its first bytes: packed, sealed.
fn kind_of(bytes: &[u8]) -> Result<(bool, bool), PbsError> {
    let short = |_| PbsError::BlobShort { size: bytes.len() as u64, wanted: BLOB_HEADER };
    let found: [u8; 8] = Bytes::new(bytes, 0).array(0).map_err(short)?;
    match found {
        magic::PLAIN => Ok((false, false)),
        magic::PACKED => Ok((true, false)),
        magic::SEALED => Ok((false, true)),
        magic::SEALED_PACKED => Ok((true, true)),
        other => Err(PbsError::BlobMagic { found: u64::from_be_bytes(other) }),
    }
}

/// Checks the CRC of the blob in `bytes`, and decrypts it in its place.
pub(crate) fn unseal<'a>(bytes: &'a mut [u8], key: Option<&BackupKey>) -> Result<Blob<'a>, PbsError> {
    let (is_packed, is_sealed) = kind_of(bytes)?;
    let wanted = if is_sealed { SEALED_HEADER } else { BLOB_HEADER };
    let size = bytes.len() as u64;
    let short = || PbsError::BlobShort { size, wanted };
    let (header, data) = bytes.split_at_mut_checked(wanted).ok_or_else(short)?;
    let header = Bytes::new(header, 0);
    let stored = header.u32_le(8).map_err(|_| short())?;
    let found = crc32fast::hash(data);
    if found != stored {
        return Err(PbsError::Crc { found, wanted: stored });
    }
    if is_sealed {
        let key = key.ok_or(PbsError::NoKey)?;
        let start = header.array(BLOB_HEADER).map_err(|_| short())?;
        let tag = header.array(BLOB_HEADER + SEAL_PART).map_err(|_| short())?;
        key.decrypt(&start, &tag, data)?;
    }
    Ok(Blob { data, is_packed, is_sealed })
}

impl Blob<'_> {
    /// Fills `out` with the content, which has to have its length.
    pub(crate) fn unpack_into(&self, out: &mut [u8]) -> Result<(), PbsError> {
        let wanted = out.len() as u64;
        if !self.is_packed {
            let found = self.data.len() as u64;
            if found != wanted {
                return Err(PbsError::Length { found, wanted });
            }
            out.copy_from_slice(self.data);
            return Ok(());
        }
        let failed = |e: std::io::Error| PbsError::Unpack { reason: e.to_string() };
        let found = zstd::bulk::Decompressor::new()
            .and_then(|mut unpacker| unpacker.decompress_to_buffer(self.data, out))
            .map_err(failed)? as u64;
        if found == wanted { Ok(()) } else { Err(PbsError::Length { found, wanted }) }
    }

    /// The content, which must not have more than `limit` bytes.
    pub(crate) fn unpack(&self, limit: u64) -> Result<Vec<u8>, PbsError> {
        let failed = |e: std::io::Error| PbsError::Unpack { reason: e.to_string() };
        let mut content = Vec::new();
        if self.is_packed {
            let unpacker = zstd::Decoder::with_buffer(self.data).map_err(failed)?;
            unpacker.take(limit.saturating_add(1)).read_to_end(&mut content).map_err(failed)?;
        } else {
            content.extend_from_slice(self.data);
        }
        if content.len() as u64 > limit { Err(PbsError::TooLong { limit }) } else { Ok(content) }
    }
}
