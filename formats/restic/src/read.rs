//! A file of a snapshot, at any place.

use crate::cache::BlobCache;
use crate::error::ResticError;
use crate::index::{Place, Places};
use crate::layout::MAX_BLOB;
use crate::parse::{Content, Id};
use crate::repository::Repository;
use format_core::{Error, Extent, ExtentKind, Result, Storage};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Every so many pieces of a file it is remembered where they begin.
const STEP: usize = 64;
/// Pieces that one answer of [`Storage::data_at`] spans at most.
const RUN: usize = 4096;
/// What is missing is told so many times at most.
const MAX_PROBLEMS: usize = 20;

/// What a file consists of, and where that lies: 4 bytes for each piece, 52 for each that is different.
pub(crate) struct FileMap {
    ids: Vec<Id>,
    places: Vec<Place>,
    /// Further places, sorted by the number of the blob.
    others: Vec<(u32, Place)>,
    packs: Vec<Id>,
    order: Vec<u32>,
    /// Where each `STEP`th piece begins.
    marks: Vec<u64>,
    size: u64,
    /// The blob that is nothing but zeros.
    zeros: Option<u32>,
}

/// A map, and what keeps it from being read.
pub(crate) struct Planned {
    pub(crate) map: Option<FileMap>,
    /// What is missing, the first of it.
    pub(crate) problems: Vec<ResticError>,
}

impl FileMap {
    /// Finds all of `content`, the file `name` of `size` bytes.
    pub(crate) fn plan(repository: &Repository, content: Content, name: &str, size: u64) -> Result<Planned> {
        let Content { ids, order } = content;
        let Places { first, mut others, packs } = Places::find(repository, &ids)?;
        let mut pack_sizes = Vec::with_capacity(packs.len());
        for pack in &packs {
            pack_sizes.push(repository.pack_size(*pack)?);
        }
        let problem = |number: usize, place: Option<Place>| missing(ids[number], place, &packs, &pack_sizes);
        let (mut places, mut problems) = (Vec::with_capacity(ids.len()), Vec::new());
        for (number, found) in first.iter().enumerate() {
            let known = others.partition_point(|(other, _)| (*other as usize) < number);
            let further = others[known..].iter_mut().take_while(|(other, _)| *other as usize == number);
            let mut chosen = *found;
            if problem(number, chosen).is_some() {
                for (_, other) in further {
                    if let Some(now) = chosen.filter(|_| problem(number, Some(*other)).is_none()) {
                        chosen = Some(std::mem::replace(other, now));
                        break;
                    }
                }
            }
            match (problem(number, chosen), chosen) {
                (None, Some(place)) => places.push(place),
                (found, _) if problems.len() < MAX_PROBLEMS => problems.extend(found),
                _ => {}
            }
        }
        if places.len() < ids.len() {
            return Ok(Planned { map: None, problems });
        }
        let mut map = Self { ids, places, others, packs, order, marks: Vec::new(), size: 0, zeros: None };
        map.measure(name, size)?;
        map.zeros = map.find_zeros();
        Ok(Planned { map: Some(map), problems })
    }

    fn measure(&mut self, name: &str, expected: u64) -> Result<(), ResticError> {
        let mut at = 0u64;
        self.marks.reserve_exact(self.order.len() / STEP + 1);
        for (index, number) in self.order.iter().enumerate() {
            if index % STEP == 0 {
                self.marks.push(at);
            }
            at = at.saturating_add(self.places[*number as usize].plain_len());
        }
        if at != expected {
            return Err(ResticError::FileSize { name: name.to_owned(), found: at, expected });
        }
        self.size = at;
        Ok(())
    }

    /// Zeros of one length have one ID, and restic cuts long runs of them into pieces of one length: the piece that is
    /// there most is looked at, without reading it.
    fn find_zeros(&self) -> Option<u32> {
        let mut counts = vec![0u32; self.ids.len()];
        for number in &self.order {
            counts[*number as usize] = counts[*number as usize].saturating_add(1);
        }
        let (number, count) = counts.iter().enumerate().max_by_key(|(_, count)| **count)?;
        let len = self.places[number].plain_len();
        if *count < 2 || len > MAX_BLOB {
            return None;
        }
        let mut hash = Sha256::new();
        let zeros = [0; 4096];
        for _ in 0..len / 4096 {
            hash.update(zeros);
        }
        hash.update(&zeros[..(len % 4096) as usize]);
        (self.ids[number].0 == <[u8; 32]>::from(hash.finalize())).then_some(number as u32)
    }

    /// The piece that holds `offset`, and where it begins.
    fn piece_at(&self, offset: u64) -> Option<(usize, u64)> {
        let mark = self.marks.partition_point(|mark| *mark <= offset).checked_sub(1)?;
        let mut at = self.marks[mark];
        for index in mark * STEP..self.order.len() {
            let end = at + self.len_of(index);
            if offset < end {
                return Some((index, at));
            }
            at = end;
        }
        None
    }

    fn len_of(&self, index: usize) -> u64 {
        self.places[self.order[index] as usize].plain_len()
    }

    /// How many different blobs there are.
    pub(crate) fn blob_count(&self) -> u32 {
        self.ids.len() as u32
    }

    /// How many pieces the file has.
    pub(crate) fn piece_count(&self) -> u64 {
        self.order.len() as u64
    }

    /// Whether the blob is stored packed.
    pub(crate) fn is_packed(&self, number: u32) -> bool {
        self.places[number as usize].unpacked > 0
    }

    /// The blob with this number, from the first place where it is whole.
    pub(crate) fn blob(&self, repository: &Repository, number: u32) -> Result<Vec<u8>> {
        let read = |place: Place| {
            repository.blob(self.ids[number as usize], place, self.packs[place.pack as usize], MAX_BLOB)
        };
        let failed = match read(self.places[number as usize]) {
            Ok(bytes) => return Ok(bytes),
            Err(error) => error,
        };
        let start = self.others.partition_point(|(other, _)| *other < number);
        let others = self.others[start..].iter().take_while(|(other, _)| *other == number);
        others.map(|(_, place)| read(*place)).find(Result::is_ok).unwrap_or(Err(failed))
    }
}

/// What keeps the blob `id` from being read at `place`.
fn missing(id: Id, place: Option<Place>, packs: &[Id], sizes: &[Option<u64>]) -> Option<ResticError> {
    let what = || format!("blob {id}");
    let Some(place) = place else { return Some(ResticError::NotIndexed { what: what() }) };
    let pack = || packs[place.pack as usize].to_string();
    let (offset, length) = (u64::from(place.offset), u64::from(place.length));
    match sizes[place.pack as usize] {
        None => Some(ResticError::PackMissing { what: what(), pack: pack() }),
        Some(size) if offset + length > size => {
            Some(ResticError::PackShort { what: what(), offset, length, pack: pack(), size })
        }
        Some(_) => None,
    }
}

/// A file of a snapshot as a storage.
pub(crate) struct BackedFile {
    pub(crate) repository: Arc<Repository>,
    pub(crate) map: FileMap,
    pub(crate) cache: BlobCache,
}

impl BackedFile {
    /// Reads the wanted part of one piece.
    fn read_piece(&self, number: u32, inside: usize, buf: &mut [u8]) -> Result<()> {
        let read = || self.map.blob(&self.repository, number);
        // A piece that is wanted whole is wanted once.
        let whole = buf.len() as u64 == self.map.places[number as usize].plain_len();
        let blob = if whole {
            self.cache.get(number).map_or_else(|| read().map(Arc::new), Ok)?
        } else {
            self.cache.get_or(number, read)?
        };
        let end = inside + buf.len();
        let wanted = blob.get(inside..end).ok_or_else(|| Error::contract("a blob of another length"))?;
        buf.copy_from_slice(wanted);
        Ok(())
    }
}

impl Storage for BackedFile {
    fn size(&self) -> u64 {
        self.map.size
    }

    fn read_exact_at(&self, offset: u64, mut buf: &mut [u8]) -> Result<()> {
        let size = self.size();
        if offset.checked_add(buf.len() as u64).is_none_or(|end| end > size) {
            let text = format!("{:#x} bytes wanted at {offset:#x}, the file ends at {size:#x}", buf.len());
            return Err(Error::corrupt(text).at(offset).in_format(crate::FORMAT.name));
        }
        let ended = || Error::contract("a file without pieces at its end");
        if buf.is_empty() {
            return Ok(());
        }
        let (mut index, start) = self.map.piece_at(offset).ok_or_else(ended)?;
        let mut inside = offset - start;
        while !buf.is_empty() {
            let number = *self.map.order.get(index).ok_or_else(ended)?;
            let left = self.map.len_of(index) - inside;
            let len = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
            let (now, rest) = buf.split_at_mut(len);
            if self.map.zeros == Some(number) {
                now.fill(0);
            } else if len > 0 {
                self.read_piece(number, inside as usize, now)?;
            }
            (buf, inside, index) = (rest, 0, index + 1);
        }
        Ok(())
    }

    fn data_at(&self, offset: u64) -> Result<Extent> {
        let Some((first, start)) = self.map.piece_at(offset) else {
            let size = self.size();
            return Err(Error::usage(format!(
                "extent asked for at {offset:#x} of a file of {size:#x} bytes"
            )));
        };
        let is_zero = |index: usize| Some(self.map.order[index]) == self.map.zeros;
        let zero = is_zero(first);
        let last = self.map.order.len().min(first + RUN);
        let run = (first..last).take_while(|index| is_zero(*index) == zero);
        let end = run.fold(start, |at, index| at + self.map.len_of(index));
        let kind = if zero { ExtentKind::Zero } else { ExtentKind::Data };
        Ok(Extent { offset, len: end - offset, kind })
    }
}
