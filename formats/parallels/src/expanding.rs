//! An expanding image ("Compressed") as a layer. What it does not hold shows the image below it.

use crate::error::ParallelsError;
use crate::layout::{BAT_ENTRY_LEN, HEADER_LEN};
use crate::parse::Image;
use format_core::{
    Details, Error, Extent, ExtentKind, HostRange, Layer, PageCache, Result, Run, Storage, Warning,
    check_guest_range, read_runs,
};
use std::sync::Arc;

const PAGE: u64 = PageCache::MAX_PAGE as u64;
/// How many clusters one answer speaks of at most: looking further would cost more than asking again.
const LOOK_AHEAD: u64 = 1024;

pub(crate) struct Expanding {
    storage: Arc<dyn Storage>,
    pub(crate) image: Image,
    pages: PageCache,
    warnings: Vec<Warning>,
}

/// Reads and checks the header.
pub(crate) fn load(storage: &dyn Storage) -> Result<Image> {
    let size = storage.size();
    if size < HEADER_LEN as u64 {
        return Err(ParallelsError::TooShort { size }.into());
    }
    let mut bytes = [0; HEADER_LEN];
    storage.read_exact_at(0, &mut bytes)?;
    Ok(Image::parse(&bytes, size)?)
}

/// Where the page of the BAT is that holds the entry of `cluster`, its length, and the entry's place in it.
pub(crate) fn page_of(image: &Image, cluster: u64) -> (u64, usize, usize) {
    let at = cluster * BAT_ENTRY_LEN;
    let start = at / PAGE * PAGE;
    let length = (image.bat_entries * BAT_ENTRY_LEN).saturating_sub(start).min(PAGE);
    (HEADER_LEN as u64 + start, length as usize, (at % PAGE) as usize)
}

/// The entry at byte `place` of a page.
pub(crate) fn entry_at(page: &[u8], place: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*page.get(place..)?.first_chunk()?))
}

impl Expanding {
    pub(crate) fn open(storage: Arc<dyn Storage>) -> Result<Self> {
        let image = load(storage.as_ref())?;
        let mut warnings = Vec::new();
        if image.in_use {
            let message = "the image was not closed by the last program that wrote it, or is still in use: the newest \
                           writes may be missing";
            warnings.push(Warning::new("parallels-in-use", message));
        }
        Ok(Self { storage, image, pages: PageCache::default(), warnings })
    }

    pub(crate) fn warn(&mut self, warning: Warning) {
        self.warnings.push(warning);
    }

    fn check_range(&self, offset: u64, len: u64) -> Result<()> {
        check_guest_range(self.image.virtual_size, offset, len).map_err(|e| e.in_format(crate::FORMAT.name))
    }

    /// The run at `offset`, which is inside the disk; it ends with the page of the BAT at the latest. With
    /// `in_one_piece` a Data run is also one run of the file.
    fn run_at(&self, offset: u64, in_one_piece: bool) -> Result<Run> {
        let image = &self.image;
        let (cluster, inside) = (offset / image.cluster_size, offset % image.cluster_size);
        let (page_at, length, mut place) = page_of(image, cluster);
        let page = self.pages.page(self.storage.as_ref(), page_at, length)?;
        let entry =
            entry_at(&page, place).ok_or_else(|| Error::contract("a page of the BAT without its entry"))?;
        let first = image.place(cluster, entry).map_err(|e| Error::from(e).at(page_at + place as u64))?;
        let mut len = image.cluster_len(cluster) - inside;
        let end = image.clusters().min(cluster.saturating_add(LOOK_AHEAD));
        for next in cluster + 1..end {
            place += BAT_ENTRY_LEN as usize;
            // A damaged entry further on is reported when it is asked for itself.
            let Some(Ok(found)) = entry_at(&page, place).map(|entry| image.place(next, entry)) else { break };
            let same = match (first, found) {
                (None, None) => true,
                (Some(start), Some(at)) => !in_one_piece || at == start + inside + len,
                _ => false,
            };
            if !same {
                break;
            }
            len += image.cluster_len(next);
        }
        Ok(match first {
            Some(host) => Run { kind: ExtentKind::Data, len, host: host + inside },
            None => Run { kind: ExtentKind::Unallocated, len, host: 0 },
        })
    }
}

impl Layer for Expanding {
    fn format(&self) -> &'static str {
        crate::FORMAT.name
    }

    fn virtual_size(&self) -> u64 {
        self.image.virtual_size
    }

    fn chunk_size(&self) -> u64 {
        self.image.cluster_size
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        self.check_range(offset, 1)?;
        let run = self.run_at(offset, false)?;
        Ok(Extent { offset, len: run.len, kind: run.kind })
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.check_range(offset, buf.len() as u64)?;
        read_runs(self.storage.as_ref(), offset, buf, |at| self.run_at(at, true))
    }

    fn host_range(&self, offset: u64) -> Option<HostRange> {
        self.check_range(offset, 1).ok()?;
        let run = self.run_at(offset, true).ok()?;
        let storage = Arc::clone(&self.storage);
        (run.kind == ExtentKind::Data).then_some(HostRange { storage, offset: run.host, len: run.len })
    }

    fn details(&self) -> Details {
        let mut details = Details::new();
        details.insert("image-type".into(), "expanding".into());
        details.insert("cluster-size".into(), self.image.cluster_size.into());
        details.insert("dirty-flag".into(), self.image.in_use.into());
        details
    }

    fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}
