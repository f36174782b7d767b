//! A disk of a backup as a layer.

use crate::crypt::Cipher;
use crate::error::MrimgxError;
use crate::index::Element;
use crate::layout::OVERHEAD;
use crate::map::{Blocks, Content, Map, Region};
use crate::set::Set;
use format_core::{Details, Extent, ExtentKind, Layer, Result, check_guest_range, is_zero};
use md5::{Digest, Md5};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Content of blocks that is kept for small reads, in bytes.
const KEPT: usize = 16 << 20;

/// What reads blocks of the set.
pub(crate) struct Reader {
    pub(crate) set: Arc<Set>,
    pub(crate) cipher: Option<Arc<Cipher>>,
    pub(crate) is_packed: bool,
}

/// A block by its region's place and its number.
type Kept = VecDeque<((u64, u64), Arc<[u8]>)>;

/// A disk that is put together.
pub(crate) struct MrimgxDisk {
    pub(crate) map: Map,
    pub(crate) reader: Reader,
    pub(crate) details: Details,
    pub(crate) chunk_size: u64,
    kept: Mutex<Kept>,
}

impl Reader {
    /// The content of a block, compared with its MD5.
    fn load(&self, region: &Region, blocks: &Blocks, number: u64, element: &Element) -> Result<Vec<u8>> {
        let what = || region.block_text(number);
        let storage =
            self.set.storage(element.file).map_err(|e| format_core::Error::from(e).context(what()))?;
        let (size, length) = (storage.size(), u64::from(element.length));
        let offset = element.position;
        if offset.checked_add(length).is_none_or(|end| end > size) {
            return Err(
                MrimgxError::BlockOutside { what: what(), offset, length, file: element.file, size }.into()
            );
        }
        let limit = blocks.block_size.saturating_add(OVERHEAD);
        if length > limit {
            return Err(MrimgxError::Length { what: what(), found: length, wanted: limit }.into());
        }
        let mut bytes = vec![0; element.length as usize];
        storage.read_exact_at(offset, &mut bytes)?;
        if let Some(cipher) = &self.cipher {
            cipher
                .decrypt_block(blocks.name_of(number), &mut bytes)
                .map_err(|_| MrimgxError::CipherLength { what: what(), length })?;
        }
        let content = if self.is_packed { unpack(&bytes, blocks.block_size, &what)? } else { bytes };
        let found: [u8; 16] = Md5::digest(&content).into();
        if found != element.md5 {
            return Err(MrimgxError::Sum { what: what() }.into());
        }
        check_length(region, blocks, number, &content)?;
        Ok(content)
    }

    /// Whether the block with this number is empty and may be.
    fn is_empty(
        region: &Region,
        blocks: &Blocks,
        number: u64,
        element: &Element,
    ) -> Result<bool, MrimgxError> {
        let is_empty = element.length == 0;
        if is_empty && blocks.is_reserved && number.saturating_add(1) < blocks.elements.count {
            return Err(MrimgxError::ReservedHole { what: region.block_text(number) });
        }
        Ok(is_empty)
    }

    /// Reads and checks the block with this number; how many bytes it has in the file.
    pub(crate) fn check(&self, region: &Region, blocks: &Blocks, number: u64) -> Result<u32> {
        let element = blocks.elements.get(number)?;
        if !Self::is_empty(region, blocks, number, &element)? {
            self.load(region, blocks, number, &element)?;
        }
        Ok(element.length)
    }
}

/// Unpacks the first frame; what follows it fills the cipher's last block.
fn unpack(bytes: &[u8], block_size: u64, what: &dyn Fn() -> String) -> Result<Vec<u8>> {
    let failed = |reason: String| MrimgxError::Unpack { what: what(), reason };
    let frame = zstd::zstd_safe::find_frame_compressed_size(bytes)
        .map_err(|code| failed(zstd::zstd_safe::get_error_name(code).to_owned()))?;
    let frame = bytes.get(..frame).ok_or_else(|| failed("the frame is cut".into()))?;
    let mut content = vec![0; block_size as usize];
    let len = zstd::bulk::Decompressor::new()
        .and_then(|mut unpacker| unpacker.decompress_to_buffer(frame, content.as_mut_slice()))
        .map_err(|e| failed(e.to_string()))?;
    content.truncate(len);
    Ok(content)
}

/// All blocks are full but the last, which may be shorter, or longer than its region by zeros.
fn check_length(region: &Region, blocks: &Blocks, number: u64, content: &[u8]) -> Result<(), MrimgxError> {
    let found = content.len() as u64;
    let length = |wanted| MrimgxError::Length { what: region.block_text(number), found, wanted };
    if number.saturating_add(1) < blocks.elements.count {
        return if found == blocks.block_size { Ok(()) } else { Err(length(blocks.block_size)) };
    }
    let left = region.len.saturating_sub(number.saturating_mul(blocks.block_size));
    if blocks.is_reserved && found < left {
        return Err(length(left));
    }
    let rest = content.get(usize::try_from(left).unwrap_or(usize::MAX)..).unwrap_or_default();
    if found > blocks.block_size || !is_zero(rest) && !blocks.is_reserved {
        return Err(length(left));
    }
    Ok(())
}

impl MrimgxDisk {
    pub(crate) fn new(map: Map, reader: Reader, details: Details) -> Self {
        let sizes = map.regions.iter().filter_map(|region| match &region.content {
            Content::Blocks(blocks) if !blocks.is_reserved => Some(blocks.block_size),
            _ => None,
        });
        let chunk_size = sizes.min().unwrap_or(1);
        Self { map, reader, details, chunk_size, kept: Mutex::default() }
    }

    fn check_range(&self, offset: u64, len: u64) -> Result<()> {
        check_guest_range(self.map.size, offset, len).map_err(|e| e.in_format(crate::FORMAT.name))
    }

    /// Fills `buf` from the bytes of `region` at `inside`; `buf` does not leave the region.
    fn read_region(&self, region: &Region, inside: u64, buf: &mut [u8]) -> Result<()> {
        let blocks = match &region.content {
            Content::Bytes(bytes) => {
                // A region of bytes has as many as it is long.
                buf.copy_from_slice(&bytes[inside as usize..inside as usize + buf.len()]);
                return Ok(());
            }
            Content::Blocks(blocks) => blocks,
        };
        let (mut at, mut rest) = (inside, buf);
        while !rest.is_empty() {
            let (number, skip) = (at / blocks.block_size, (at % blocks.block_size) as usize);
            let len = rest.len().min(blocks.block_size as usize - skip);
            let (now, later) = rest.split_at_mut(len);
            self.read_block(region, blocks, number, skip, now)?;
            (at, rest) = (at + len as u64, later);
        }
        Ok(())
    }

    fn read_block(
        &self,
        region: &Region,
        blocks: &Blocks,
        number: u64,
        skip: usize,
        buf: &mut [u8],
    ) -> Result<()> {
        let element = blocks.elements.get(number)?;
        if Reader::is_empty(region, blocks, number, &element)? {
            buf.fill(0);
            return Ok(());
        }
        let copy = |content: &[u8], buf: &mut [u8]| {
            let part = content.get(skip..).unwrap_or_default();
            let len = part.len().min(buf.len());
            let (now, zeros) = buf.split_at_mut(len);
            now.copy_from_slice(&part[..len]);
            zeros.fill(0);
        };
        if skip == 0 && buf.len() as u64 == blocks.block_size {
            copy(&self.reader.load(region, blocks, number, &element)?, buf);
            return Ok(());
        }
        let key = (region.start, number);
        let lock = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = lock().iter().find(|(kept, _)| *kept == key).map(|(_, content)| Arc::clone(content));
        if let Some(content) = found {
            copy(&content, buf);
            return Ok(());
        }
        // Read without the lock: others go on.
        let content: Arc<[u8]> = self.reader.load(region, blocks, number, &element)?.into();
        copy(&content, buf);
        let mut kept = lock();
        kept.push_back((key, content));
        let mut bytes: usize = kept.iter().map(|(_, content)| content.len()).sum();
        while bytes > KEPT {
            bytes -= kept.pop_front().map_or(bytes, |(_, content)| content.len());
        }
        Ok(())
    }
}

impl Layer for MrimgxDisk {
    fn format(&self) -> &'static str {
        crate::FORMAT.name
    }

    fn virtual_size(&self) -> u64 {
        self.map.size
    }

    fn chunk_size(&self) -> u64 {
        self.chunk_size
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        self.check_range(offset, 1)?;
        let region = match self.map.region_at(offset) {
            Err(next) => return Ok(Extent { offset, len: next - offset, kind: ExtentKind::Zero }),
            Ok(region) => region,
        };
        let inside = offset - region.start;
        let blocks = match &region.content {
            Content::Bytes(_) => {
                return Ok(Extent { offset, len: region.len - inside, kind: ExtentKind::Data });
            }
            Content::Blocks(blocks) => blocks,
        };
        let number = inside / blocks.block_size;
        let (is_empty, count) = blocks.elements.run_at(number)?;
        let end = number.saturating_add(count).saturating_mul(blocks.block_size).min(region.len);
        // An empty reserved block is an error only reading tells.
        let kind = if is_empty && !blocks.is_reserved { ExtentKind::Zero } else { ExtentKind::Data };
        Ok(Extent { offset, len: end - inside, kind })
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.check_range(offset, buf.len() as u64)?;
        let (mut at, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let found = self.map.region_at(at);
            let end = found.as_ref().map_or_else(|next| *next, |region| region.start + region.len);
            let len = usize::try_from(end - at).unwrap_or(usize::MAX).min(rest.len());
            let (now, later) = rest.split_at_mut(len);
            match found {
                Ok(region) => self.read_region(region, at - region.start, now)?,
                Err(_) => now.fill(0),
            }
            (at, rest) = (at + len as u64, later);
        }
        Ok(())
    }

    fn is_compressed_at(&self, offset: u64) -> bool {
        let blocks =
            self.map.region_at(offset).is_ok_and(|region| matches!(region.content, Content::Blocks(_)));
        self.reader.is_packed && blocks
    }

    fn details(&self) -> Details {
        self.details.clone()
    }
}
