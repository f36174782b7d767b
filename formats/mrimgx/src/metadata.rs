//! Metadata blocks: lists of named, checked pieces.

use crate::crypt::Cipher;
use crate::error::MrimgxError;
use crate::layout::{FOOTER, MAGIC, MAX_BLOCKS, MAX_METADATA, header, name};
use format_core::{Bytes, Result, Storage};
use md5::{Digest, Md5};
use std::io::Read;

/// The header of a metadata block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlockHeader {
    pub(crate) name: [u8; 8],
    /// Bytes of the content in the file.
    pub(crate) length: u64,
    /// Where the content lies in the file.
    pub(crate) at: u64,
    md5: [u8; 16],
    flags: u8,
}

/// The place of the first metadata block, from the footer.
pub(crate) fn load_footer(storage: &dyn Storage) -> Result<u64> {
    let size = storage.size();
    let at = size.checked_sub(FOOTER as u64).ok_or(MrimgxError::TooShort { size })?;
    let mut bytes = [0; FOOTER];
    storage.read_exact_at(at, &mut bytes)?;
    if !bytes.ends_with(MAGIC) {
        return Err(MrimgxError::Magic.into());
    }
    Bytes::new(&bytes, at).u64_le(0)
}

/// The headers of the list of blocks at `offset`, and where the list ends.
pub(crate) fn load_list(storage: &dyn Storage, offset: u64) -> Result<(Vec<BlockHeader>, u64)> {
    let (mut headers, mut next) = (Vec::new(), offset);
    while headers.len() < MAX_BLOCKS {
        let found = load_header(storage, next)?;
        let is_last = found.flags & header::LAST != 0;
        // Inside the file, or the header would have been refused.
        next = found.at.saturating_add(found.length);
        headers.push(found);
        if is_last {
            return Ok((headers, next));
        }
    }
    Err(MrimgxError::Endless { offset }.into())
}

fn load_header(storage: &dyn Storage, offset: u64) -> Result<BlockHeader> {
    let size = storage.size();
    let outside = |length: u64| MrimgxError::BlockPlace { offset, length, size };
    let at = offset.checked_add(header::LEN as u64).filter(|at| *at <= size);
    let at = at.ok_or_else(|| outside(header::LEN as u64))?;
    let mut bytes = [0; header::LEN];
    storage.read_exact_at(offset, &mut bytes)?;
    let fields = Bytes::new(&bytes, offset);
    let length = u64::from(fields.u32_le(header::LENGTH)?);
    if at.saturating_add(length) > size {
        return Err(outside(length).into());
    }
    Ok(BlockHeader {
        name: fields.array(header::NAME)?,
        length,
        at,
        md5: fields.array(header::MD5)?,
        flags: fields.u8(header::FLAGS)?,
    })
}

impl BlockHeader {
    /// The name as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.name).trim_end().to_owned()
    }

    /// Compares the content with the MD5 of the header, without keeping it.
    pub(crate) fn verify(&self, storage: &dyn Storage) -> Result<()> {
        let mut hasher = Md5::new();
        let mut buffer = vec![0; self.length.min(1 << 20) as usize];
        let mut done = 0;
        while done < self.length {
            let part = (self.length - done).min(buffer.len() as u64) as usize;
            storage.read_exact_at(self.at + done, &mut buffer[..part])?;
            hasher.update(&buffer[..part]);
            done += part as u64;
        }
        let found: [u8; 16] = hasher.finalize().into();
        // An empty block has no sum.
        if self.length > 0 && found != self.md5 {
            return Err(MrimgxError::MetadataSum { name: self.text() }.into());
        }
        Ok(())
    }

    /// The content, checked, decrypted and unpacked.
    pub(crate) fn load(&self, storage: &dyn Storage, cipher: Option<&Cipher>) -> Result<Vec<u8>> {
        if self.length > MAX_METADATA {
            return Err(MrimgxError::MetadataSize { name: self.text(), limit: MAX_METADATA }.into());
        }
        self.verify(storage)?;
        let mut bytes = vec![0; self.length as usize];
        storage.read_exact_at(self.at, &mut bytes)?;
        if self.flags & header::ENCRYPTED != 0 && !bytes.is_empty() {
            cipher.ok_or(MrimgxError::NoKey)?.decrypt_metadata(&mut bytes)?;
        }
        if self.flags & header::PACKED == 0 || bytes.is_empty() {
            return Ok(bytes);
        }
        let failed = |e: std::io::Error| MrimgxError::Unpack {
            what: format!("the metadata block {}", self.text()),
            reason: e.to_string(),
        };
        // What follows the first frame fills the cipher's last block.
        let unpacker = zstd::Decoder::with_buffer(bytes.as_slice()).map_err(failed)?.single_frame();
        let mut content = Vec::new();
        unpacker.take(MAX_METADATA + 1).read_to_end(&mut content).map_err(failed)?;
        if content.len() as u64 > MAX_METADATA {
            return Err(MrimgxError::MetadataSize { name: self.text(), limit: MAX_METADATA }.into());
        }
        Ok(content)
    }

    /// An index is read in its place, so it has to lie there as it is.
    pub(crate) fn demand_plain(&self) -> Result<(), MrimgxError> {
        let what = match self.flags & (header::PACKED | header::ENCRYPTED) {
            0 => return Ok(()),
            header::PACKED => "compressed",
            _ => "encrypted",
        };
        Err(MrimgxError::MetadataFlag { name: "$INDEX", what })
    }
}

/// The block with this name.
pub(crate) fn block_of<'a>(
    blocks: &'a [BlockHeader],
    wanted: &'static [u8; 8],
) -> Result<&'a BlockHeader, MrimgxError> {
    let name = match wanted {
        name::JSON => "$JSON",
        name::TRACK_0 => "$TRACK0",
        name::INDEX => "$INDEX",
        _ => "$EPT",
    };
    blocks.iter().find(|block| block.name == *wanted).ok_or(MrimgxError::BlockMissing { name })
}
