//! The pieces of a file that was cut, one after the other.

use crate::error::ClonezillaError;
use crate::names::Saved;
use format_core::{Error, Extent, Result, SourceFolder, Storage};
use std::sync::Arc;

struct Joined {
    /// Where each piece begins.
    pieces: Vec<(u64, Arc<dyn Storage>)>,
    size: u64,
}

/// The bytes of all files of `saved`.
pub(crate) fn join(folder: &SourceFolder, saved: &Saved) -> Result<Arc<dyn Storage>> {
    if let Some(fault) = saved.fault() {
        return Err(fault.into());
    }
    let (mut pieces, mut size) = (Vec::new(), 0u64);
    for (name, _) in &saved.pieces {
        let piece: Arc<dyn Storage> = Arc::new(folder.file(name)?);
        let len = piece.size();
        pieces.push((size, piece));
        size = size.saturating_add(len);
    }
    match pieces.pop() {
        None => Err(ClonezillaError::Missing { name: saved.stem.clone() }.into()),
        Some((_, only)) if pieces.is_empty() => Ok(only),
        Some(last) => {
            pieces.push(last);
            Ok(Arc::new(Joined { pieces, size }))
        }
    }
}

impl Joined {
    /// The piece that has `offset`, and where it is in it.
    fn piece(&self, offset: u64) -> Result<(&Arc<dyn Storage>, u64)> {
        let number = self.pieces.partition_point(|(start, _)| *start <= offset).saturating_sub(1);
        let (start, piece) =
            self.pieces.get(number).ok_or_else(|| Error::contract("a file without pieces"))?;
        Ok((piece, offset - start))
    }
}

impl Storage for Joined {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, offset: u64, mut buf: &mut [u8]) -> Result<()> {
        if offset.checked_add(buf.len() as u64).is_none_or(|end| end > self.size) {
            let text =
                format!("{:#x} bytes wanted at {offset:#x}, the pieces end at {:#x}", buf.len(), self.size);
            return Err(Error::corrupt(text).at(offset));
        }
        let mut at = offset;
        while !buf.is_empty() {
            let (piece, inside) = self.piece(at)?;
            let len = usize::try_from(piece.size() - inside).unwrap_or(usize::MAX).min(buf.len());
            let (now, rest) = buf.split_at_mut(len);
            piece.read_exact_at(inside, now)?;
            (at, buf) = (at + len as u64, rest);
        }
        Ok(())
    }

    fn data_at(&self, offset: u64) -> Result<Extent> {
        if offset >= self.size {
            return Err(Error::usage(format!("extent asked for at {offset:#x} of {:#x} bytes", self.size)));
        }
        let (piece, inside) = self.piece(offset)?;
        let found = piece.data_at(inside)?;
        Ok(Extent { offset, len: found.len.min(piece.size() - inside), ..found })
    }
}
