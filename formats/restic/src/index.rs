//! What lies where: blobs looked up in the index files.
//!
//! The index of a large repository does not fit into memory, so it is read again for each question, and only answers
//! are kept.

use crate::error::ResticError;
use crate::layout::{INDEX, MAX_INDEX, OVERHEAD};
use crate::parse::{self, BlobKind, Id, IndexBlob, IndexFile};
use crate::repository::Repository;
use format_core::Result;
use std::collections::HashMap;

/// Where a blob lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Index in a table of packs.
    pub(crate) pack: u32,
    /// Offset in the pack in bytes.
    pub(crate) offset: u32,
    /// Bytes there.
    pub(crate) length: u32,
    /// Bytes of the plaintext unpacked, 0 where it is not packed.
    pub(crate) unpacked: u32,
}

impl Place {
    /// Bytes of the blob.
    pub(crate) fn plain_len(self) -> u64 {
        match self.unpacked {
            0 => u64::from(self.length).saturating_sub(OVERHEAD as u64),
            size => u64::from(size),
        }
    }
}

/// IDs of packs, each once.
#[derive(Debug, Default)]
pub(crate) struct Packs {
    ids: Vec<Id>,
    numbers: HashMap<Id, u32>,
}

impl Packs {
    fn number(&mut self, id: Id) -> u32 {
        let next = self.ids.len() as u32;
        let number = *self.numbers.entry(id).or_insert(next);
        if number == next {
            self.ids.push(id);
        }
        number
    }

    /// The IDs alone.
    fn into_ids(self) -> Vec<Id> {
        self.ids
    }
}

/// Tells `found` about every blob of `kind` in the index, several times where it lies several times.
fn scan(repository: &Repository, kind: BlobKind, mut found: impl FnMut(Id, IndexBlob)) -> Result<()> {
    for id in repository.list(INDEX)? {
        let bytes = repository.json_file(INDEX, id, MAX_INDEX)?;
        let what = format!("{INDEX}/{id}");
        let file: IndexFile = parse::json(&bytes, &what)?;
        drop(bytes);
        for pack in file.packs {
            for blob in pack.blobs.into_iter().filter(|blob| blob.kind == kind) {
                if (blob.length as usize) < OVERHEAD {
                    let (size, least) = (u64::from(blob.length), OVERHEAD as u64);
                    return Err(ResticError::TooShort {
                        what: format!("blob {} in {what}", blob.id),
                        size,
                        least,
                    }
                    .into());
                }
                found(pack.id, blob);
            }
        }
    }
    Ok(())
}

/// Where all lists of folders lie.
pub(crate) struct TreeIndex {
    /// Sorted by ID.
    places: Vec<(Id, Place)>,
    packs: Vec<Id>,
}

impl TreeIndex {
    /// Reads the index.
    pub(crate) fn load(repository: &Repository) -> Result<Self> {
        let (mut places, mut packs) = (Vec::new(), Packs::default());
        scan(repository, BlobKind::Tree, |pack, blob| {
            places.push((blob.id, placed(packs.number(pack), blob)));
        })?;
        places.sort_by_key(|(id, _)| *id);
        Ok(Self { places, packs: packs.into_ids() })
    }

    /// The list `id`, of `most` bytes at most, from the first place where it is whole.
    pub(crate) fn tree(&self, repository: &Repository, id: Id, most: u64) -> Result<Vec<u8>> {
        let start = self.places.partition_point(|(other, _)| *other < id);
        let mut failed = None;
        for (_, place) in self.places[start..].iter().take_while(|(other, _)| *other == id) {
            match repository.blob(id, *place, self.packs[place.pack as usize], most) {
                Ok(tree) => return Ok(tree),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        Err(failed.unwrap_or_else(|| ResticError::NotIndexed { what: format!("the folder {id}") }.into()))
    }
}

/// Where some data blobs lie.
pub(crate) struct Places {
    /// In the order of the IDs that were asked for; none for a blob that lies nowhere.
    pub(crate) first: Vec<Option<Place>>,
    /// Further places of the same blobs, sorted by the number of the blob.
    pub(crate) others: Vec<(u32, Place)>,
    /// Packs by the numbers in places.
    pub(crate) packs: Vec<Id>,
}

impl Places {
    /// Looks all of `ids` up, each of which is there once.
    pub(crate) fn find(repository: &Repository, ids: &[Id]) -> Result<Self> {
        let mut sorted: Vec<u32> = (0..ids.len() as u32).collect();
        sorted.sort_unstable_by_key(|number| ids[*number as usize]);
        let (mut first, mut others) = (vec![None; ids.len()], Vec::new());
        let mut packs = Packs::default();
        scan(repository, BlobKind::Data, |pack, blob| {
            let Ok(at) = sorted.binary_search_by_key(&blob.id, |number| ids[*number as usize]) else {
                return;
            };
            let number = sorted[at];
            let place = placed(packs.number(pack), blob);
            match &mut first[number as usize] {
                // Several index files may say the same.
                Some(known) if *known == place => {}
                Some(_) => others.push((number, place)),
                none => *none = Some(place),
            }
        })?;
        others.sort_unstable_by_key(|(number, place)| (*number, place.pack, place.offset));
        others.dedup();
        Ok(Self { first, others, packs: packs.into_ids() })
    }
}

fn placed(pack: u32, blob: IndexBlob) -> Place {
    Place { pack, offset: blob.offset, length: blob.length, unpacked: blob.unpacked }
}
