//! A blob as a source.

use super::key::Access;
use super::pages::{PageList, PageRange};
use crate::http::Client;
use crate::http::{Failure, Request};
use crate::object::{Asking, Object};
use crate::url::Url;
use crate::{CloudOptions, Identity};
use format_core::{Error, ErrorKind, Extent, ExtentKind, RangeSet, Result, Storage};
use std::sync::{Arc, Mutex, PoisonError};

/// The longest range of which the service says a checksum, and the one it serves fast, in bytes.
const PIECE: u64 = 4 << 20;
/// More than a list of ten thousand ranges has, in bytes.
const MAX_LIST: u64 = 2 << 20;
/// How many empty lists may follow each other.
const EMPTY_LISTS: u32 = 1000;
/// How many ranges a difference may have: they are all in memory.
const MAX_RANGES: usize = 1 << 20;

/// A stretch of the list of pages.
struct Stretch {
    from: u64,
    to: u64,
    ranges: Vec<PageRange>,
}

/// A blob of Azure: a page blob tells its holes. Of a disk that is exported the footer of its VHD is part of it.
pub struct AzureBlob {
    object: Object,
    has_pages: bool,
    stretch: Mutex<Option<Arc<Stretch>>>,
}

impl AzureBlob {
    /// Opens a blob, or one `snapshot` of it (a time, as Azure writes it). Key or signature come from [`CloudOptions::credentials`] or from
    /// the variables `AZURE_STORAGE_…`.
    ///
    /// # Errors
    /// As [`crate::HttpStorage::open`].
    pub fn open(
        account: &str,
        container: &str,
        blob: &str,
        snapshot: Option<&str>,
        options: &CloudOptions,
    ) -> Result<Self> {
        let (url, access) = Access::locate(account, container, blob, snapshot, options)?;
        Self::open_with(url, access, options)
    }

    /// Opens what an address with a shared access signature names, such as that of a disk that is exported.
    ///
    /// # Errors
    /// As [`crate::HttpStorage::open`].
    pub fn open_signed(address: &str, options: &CloudOptions) -> Result<Self> {
        Self::open_with(Url::parse(address)?, Access::Public, options)
    }

    fn open_with(url: Url, access: Access, options: &CloudOptions) -> Result<Self> {
        let asking = Asking {
            url,
            signer: Arc::new(access),
            headers: Vec::new(),
            piece: PIECE,
            condition: "if-match",
            version: None,
        };
        let object = Object::open(Arc::new(Client::new(options)?), asking)?;
        let has_pages = object.first().get("x-ms-blob-type") == Some("PageBlob");
        if has_pages && object.size() % 512 != 0 {
            return Err(Error::new(
                ErrorKind::Io,
                format!("{} says it is a page blob of {} bytes", object.asking().url, object.size()),
            ));
        }
        Ok(Self { object, has_pages, stretch: Mutex::default() })
    }

    /// The ETag.
    #[must_use]
    pub fn identity(&self) -> Option<Identity> {
        self.object.identity()
    }

    /// The ranges, in bytes, in which the blob may differ from an earlier snapshot of it: what was written since, and what was cleared, which reads
    /// as zeros. `older` is the time of a snapshot, or, for disks, its address.
    ///
    /// # Errors
    /// `Unsupported` for blobs without pages, `Limit` for very many ranges, else as any request.
    pub fn changed_since(&self, older: &str) -> Result<RangeSet> {
        if !self.has_pages {
            return Err(Error::unsupported("only page blobs tell what changed since a snapshot"));
        }
        let (mut changed, mut at, mut count) = (RangeSet::default(), 0, 0);
        while at < self.object.size() {
            let stretch = self.list(at, Some(older))?;
            count += stretch.ranges.len();
            if count > MAX_RANGES {
                return Err(Error::new(
                    ErrorKind::Limit,
                    format!("the blob differs in more than {MAX_RANGES} places from its snapshot"),
                ));
            }
            stretch.ranges.iter().for_each(|range| changed.add(range.start, range.end - range.start));
            at = stretch.to;
        }
        Ok(changed)
    }

    /// The list from `from` on, as far as the service tells it at once.
    fn list(&self, from: u64, older: Option<&str>) -> Result<Arc<Stretch>> {
        let mut list = self.ask(from, older, None)?;
        for _ in 0..EMPTY_LISTS {
            let size = self.object.size();
            let to = match (&list.next, list.ranges.last()) {
                (None, _) => size,
                (Some(_), Some(last)) => last.end,
                (Some(marker), None) => {
                    list = self.ask(from, older, Some(&marker.clone()))?;
                    continue;
                }
            };
            if to <= from {
                break;
            }
            return Ok(Arc::new(Stretch { from, to, ranges: list.ranges }));
        }
        Err(crate::xml::wrong("the service lists no pages, and says that more follow"))
    }

    fn ask(&self, from: u64, older: Option<&str>, marker: Option<&str>) -> Result<PageList> {
        let asking = self.object.asking();
        let mut questions = vec![("comp", "pagelist"), ("maxresults", "10000")];
        questions.extend(marker.map(|marker| ("marker", marker)));
        let is_address = older.is_some_and(|older| older.starts_with("https://"));
        questions.extend(older.filter(|_| !is_address).map(|older| ("prevsnapshot", older)));
        let size = self.object.size();
        let mut request =
            Request::get(asking.url.asking(&questions)).header("range", format!("bytes={from}-{}", size - 1));
        if let Some(older) = older.filter(|_| is_address) {
            request = request.header("x-ms-previous-snapshot-url", older);
        }
        if let Some(etag) = self.object.etag() {
            request = request.header("if-match", etag);
        }
        match self.object.client().send(&request.longest(MAX_LIST), asking.signer.as_ref()) {
            Ok(answer) => PageList::parse(&answer.body, size),
            Err(Failure::Refused(refusal)) if refusal.status == 412 => {
                Err(self.object.changed("another ETag"))
            }
            Err(failure) => Err(failure.into()),
        }
    }

    fn stretch(&self, offset: u64) -> Result<Arc<Stretch>> {
        let mut kept = self.stretch.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = kept.as_ref().filter(|stretch| (stretch.from..stretch.to).contains(&offset)) {
            return Ok(Arc::clone(found));
        }
        let found = self.list(offset / 512 * 512, None)?;
        *kept = Some(Arc::clone(&found));
        Ok(found)
    }
}

impl Storage for AzureBlob {
    fn size(&self) -> u64 {
        self.object.size()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.object.read_exact_at(offset, buf)
    }

    fn data_at(&self, offset: u64) -> Result<Extent> {
        let size = self.object.size();
        if offset >= size {
            return Err(Error::usage(format!(
                "extent asked for at {offset:#x} of a blob of {size:#x} bytes"
            )));
        }
        if !self.has_pages {
            return Ok(Extent { offset, len: size - offset, kind: ExtentKind::Data });
        }
        let stretch = self.stretch(offset)?;
        let next = stretch.ranges.partition_point(|range| range.end <= offset);
        Ok(match stretch.ranges.get(next) {
            Some(range) if range.start <= offset => {
                Extent { offset, len: range.end - offset, kind: ExtentKind::Data }
            }
            Some(range) => Extent { offset, len: range.start - offset, kind: ExtentKind::Zero },
            None => Extent { offset, len: stretch.to - offset, kind: ExtentKind::Zero },
        })
    }
}
