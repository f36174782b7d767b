//! A snapshot as a disk.

use super::api::{Api, is_snapshot};
use super::listing::{Page, is_expired, wrong};
use crate::aws::Services;
use crate::http::Failure;
use crate::{CloudOptions, Identity, pieces};
use format_core::{Error, ErrorKind, Extent, ExtentKind, RangeSet, Result, Storage};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Pages of the list that are kept: each is for at least a GiB, and has at most some hundred KiB.
const PAGES: usize = 8;
/// Blocks that are kept for reads of a part of them.
const BLOCKS: usize = 8;
/// How often a token that has had its time is got anew.
const RENEWALS: u32 = 3;
/// How many empty pages may follow each other: a service that gives only those never ends.
const EMPTY_PAGES: u32 = 1000;

/// A stretch of the list.
struct Stretch {
    /// From block `from` on, up to before block `to`, all that the list has is in the page.
    from: u64,
    to: u64,
    page: Page,
}

/// A snapshot of an EBS volume. Blocks that the service does not list were never written, and read as zeros. The list is got
/// by stretches when they are needed: that of a volume of 16 TiB has 33 million entries.
pub struct EbsSnapshot {
    api: Api,
    id: String,
    block_size: u64,
    volume_size: u64,
    stretches: Mutex<VecDeque<Arc<Stretch>>>,
    blocks: Mutex<VecDeque<(u64, Arc<[u8]>)>>,
}

impl EbsSnapshot {
    /// Opens the snapshot `id` (`snap-…`) in `region`, else in the region that the environment says.
    ///
    /// # Errors
    /// `Usage` for what is no id, `NeedsPerson` without credentials, `SourceMissing`, `Denied`, `Temporary`, `Io` for answers that
    /// break the rules.
    pub fn open(id: &str, region: Option<&str>, options: &CloudOptions) -> Result<Self> {
        if !is_snapshot(id) {
            return Err(Error::usage(format!(
                "{:?} is no id of a snapshot (snap- and hexadecimal digits)",
                format_core::printable(id)
            )));
        }
        let api = Api(Services::new(options, region)?.service("ebs")?);
        let first = api.list(id, None, 0, None)?;
        let (block_size, volume_size) = (first.block_size, first.volume_size);
        let (stretches, blocks) = (Mutex::default(), Mutex::default());
        let snapshot = Self { api, id: id.to_owned(), block_size, volume_size, stretches, blocks };
        snapshot.kept(snapshot.whole(0, None, first)?);
        Ok(snapshot)
    }

    /// Its id: a snapshot never changes.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity { kind: "snapshot", value: self.id.clone() }
    }

    /// The ranges, in bytes, in which this snapshot may differ from an older one of the same volume; a range whose blocks are no longer
    /// there is among them, and reads as zeros here.
    ///
    /// # Errors
    /// As [`EbsSnapshot::open`]; `Io` as well for snapshots of different volumes, which the service refuses.
    pub fn changed_since(&self, older: &str) -> Result<RangeSet> {
        if !is_snapshot(older) {
            return Err(Error::usage(format!("{:?} is no id of a snapshot", format_core::printable(older))));
        }
        let (mut changed, mut at) = (RangeSet::default(), 0);
        while at < self.count() {
            let page = self.list(Some(older), at, None)?;
            let stretch = self.whole(at, Some(older), page)?;
            for block in &stretch.page.blocks {
                changed.add(block.index * self.block_size, self.block_size);
            }
            at = stretch.to;
        }
        Ok(changed)
    }

    fn count(&self) -> u64 {
        self.volume_size / self.block_size
    }

    fn list(&self, older: Option<&str>, first: u64, token: Option<&str>) -> Result<Page, Failure> {
        let page = self.api.list(&self.id, older, first, token)?;
        // A volume that was enlarged between two snapshots has its later size in their list of changes.
        let is_same =
            page.block_size == self.block_size && (older.is_some() || page.volume_size == self.volume_size);
        if is_same { Ok(page) } else { Err(wrong("says other sizes than the one before").into()) }
    }

    /// The stretch that begins with `page`: empty pages are followed to the next that says something.
    fn whole(&self, from: u64, older: Option<&str>, mut page: Page) -> Result<Arc<Stretch>> {
        let (mut empty, mut renewals) = (0, 0);
        while let (true, Some(token)) = (page.blocks.is_empty(), page.next.clone()) {
            empty += 1;
            if empty > EMPTY_PAGES {
                return Err(wrong("is one of very many empty lists"));
            }
            page = match self.list(older, from, Some(&token)) {
                Err(Failure::Refused(refusal)) if is_expired(&refusal) && renewals < RENEWALS => {
                    renewals += 1;
                    self.list(older, from, None)?
                }
                answer => answer?,
            };
        }
        let last = page.blocks.last().map(|block| block.index + 1);
        let to = last.filter(|_| page.next.is_some()).unwrap_or(self.count());
        Ok(Arc::new(Stretch { from, to, page }))
    }

    /// The stretch of the list that has block `index`.
    fn stretch(&self, index: u64) -> Result<Arc<Stretch>> {
        let has = |stretch: &&Arc<Stretch>| (stretch.from..stretch.to).contains(&index);
        // While one asks, all others that need the same wait for its answer.
        let mut kept = self.stretches.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = kept.iter().find(has) {
            return Ok(Arc::clone(found));
        }
        let found = self.whole(index, None, self.list(None, index, None)?)?;
        kept.truncate(PAGES - 1);
        kept.push_front(Arc::clone(&found));
        Ok(found)
    }

    fn kept(&self, stretch: Arc<Stretch>) {
        self.stretches.lock().unwrap_or_else(PoisonError::into_inner).push_front(stretch);
    }

    /// Fills `block`, which is as long as one, with block `index`.
    fn load(&self, index: u64, block: &mut [u8]) -> Result<()> {
        for renewal in 0.. {
            let stretch = self.stretch(index)?;
            let found = stretch.page.blocks.binary_search_by_key(&index, |block| block.index).ok();
            let Some(token) = found.and_then(|at| stretch.page.blocks.get(at)?.token.clone()) else {
                block.fill(0);
                return Ok(());
            };
            match self.api.block(&self.id, index, &token, block) {
                Err(Failure::Refused(refusal)) if is_expired(&refusal) && renewal < RENEWALS => {
                    let mut kept = self.stretches.lock().unwrap_or_else(PoisonError::into_inner);
                    kept.retain(|other| !Arc::ptr_eq(other, &stretch));
                }
                answer => return answer.map_err(|failure| Error::from(failure).at(index * self.block_size)),
            }
        }
        Ok(())
    }

    /// A part of one block, which is kept for the next part.
    fn read_part(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let (index, at) = (offset / self.block_size, (offset % self.block_size) as usize);
        let lock = || self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lock().iter().find(|(kept, _)| *kept == index).map(|(_, block)| Arc::clone(block));
        let block = match known {
            Some(block) => block,
            None => {
                let mut block = vec![0; self.block_size as usize];
                self.load(index, &mut block)?;
                let block: Arc<[u8]> = block.into();
                let mut kept = lock();
                kept.truncate(BLOCKS - 1);
                kept.push_front((index, Arc::clone(&block)));
                block
            }
        };
        let part =
            block.get(at..at + buf.len()).ok_or_else(|| Error::contract("a part of a block leaves it"))?;
        buf.copy_from_slice(part);
        Ok(())
    }
}

impl Storage for EbsSnapshot {
    fn size(&self) -> u64 {
        self.volume_size
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        if offset.checked_add(buf.len() as u64).is_none_or(|end| end > self.volume_size) {
            let (len, size) = (buf.len(), self.volume_size);
            return Err(Error::corrupt(format!(
                "{len:#x} bytes wanted at {offset:#x}, the volume ends at {size:#x}"
            ))
            .at(offset));
        }
        pieces::read(offset, buf, self.block_size, &|at, part| {
            if part.len() as u64 == self.block_size {
                self.load(at / self.block_size, part)
            } else {
                self.read_part(at, part)
            }
        })
    }

    fn data_at(&self, offset: u64) -> Result<Extent> {
        if offset >= self.volume_size {
            return Err(Error::new(
                ErrorKind::Usage,
                format!("extent asked for at {offset:#x} of a volume of {:#x} bytes", self.volume_size),
            ));
        }
        let index = offset / self.block_size;
        let stretch = self.stretch(index)?;
        let (blocks, until) = (&stretch.page.blocks, |block: u64| block * self.block_size - offset);
        let at = blocks.partition_point(|block| block.index < index);
        match blocks.get(at).map(|block| block.index) {
            Some(first) if first == index => {
                let run =
                    blocks.iter().skip(at).zip(index..).take_while(|(block, wanted)| block.index == *wanted);
                Ok(Extent { offset, len: until(index + run.count() as u64), kind: ExtentKind::Data })
            }
            Some(first) => Ok(Extent { offset, len: until(first), kind: ExtentKind::Zero }),
            None => Ok(Extent { offset, len: until(stretch.to), kind: ExtentKind::Zero }),
        }
    }
}
