//! An object that is read by ranges, whoever keeps it.

use crate::http::{Client, Failure, Head, Incoming, Request, Sign};
use crate::url::Url;
use crate::{ContentRange, Identity, pieces};
use format_core::{Error, ErrorKind, PageCache, Result, codes};
use std::sync::Arc;

/// The longest piece that is asked for at once, in bytes.
pub(crate) const MAX_PIECE: u64 = 8 << 20;
/// How many bytes are asked for to learn about the object.
const FIRST: u64 = 512;
/// Reads that are shorter than this come out of pages of this length, which are kept for a while.
const PAGE: u64 = PageCache::MAX_PAGE as u64;

/// How an object is asked for.
pub(crate) struct Asking {
    pub(crate) url: Url,
    pub(crate) signer: Arc<dyn Sign>,
    /// Headers of every request.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// The longest piece, in bytes.
    pub(crate) piece: u64,
    /// The header that makes an answer depend on the ETag: `if-range` for any server, `if-match` where that is signed and sure.
    pub(crate) condition: &'static str,
    /// The header in which the store tells a version, and the question by which just that one is asked for.
    pub(crate) version: Option<(&'static str, &'static str)>,
}

/// What tells the object from a later one of the same name.
#[derive(Clone, Debug, Default)]
struct Pin {
    etag: Option<String>,
    modified: Option<String>,
    version: Option<String>,
}

impl Pin {
    fn of(head: &Head) -> Self {
        let get = |name| head.get(name).map(str::to_owned);
        Self { etag: get("etag"), modified: get("last-modified"), version: None }
    }

    /// One that compares every byte (RFC 9110, section 8.8.1).
    fn strong(&self) -> Option<&str> {
        self.etag.as_deref().filter(|etag| etag.starts_with('"'))
    }

    fn fits(&self, head: &Head) -> bool {
        let same = |known: &Option<String>, name| known.is_none() || known.as_deref() == head.get(name);
        // A server that keeps copies on several machines may tell another time for the same ETag.
        if self.etag.is_some() { same(&self.etag, "etag") } else { same(&self.modified, "last-modified") }
    }
}

/// An object of a fixed size that is read by ranges. Every answer has to be of the object that was opened.
pub(crate) struct Object {
    client: Arc<Client>,
    asking: Asking,
    size: u64,
    pin: Pin,
    first: Head,
    pages: PageCache,
}

impl Object {
    /// Asks for the first bytes, and so learns size and identity. `HEAD` would not do: an address that is signed for `GET` refuses it, and
    /// whether ranges are given shows only then.
    pub(crate) fn open(client: Arc<Client>, mut asking: Asking) -> Result<Self> {
        let request = Request { headers: asking.headers.clone(), ..Request::get(asking.url.clone()) };
        let request = request.header("range", format!("bytes=0-{}", FIRST - 1));
        let url = asking.url.clone();
        let opened = client.exchange(&request, asking.signer.as_ref(), &mut |head, body| {
            let range = first_range(&url, head)?;
            body.fill(&mut vec![0; (range.last + 1) as usize])?;
            Ok((head.clone(), range.total))
        });
        let (head, size) = match opened {
            Ok(found) => found,
            Err(Failure::Refused(refusal)) if refusal.status == 416 => {
                return Err(Error::corrupt(format!("{url} is empty")).with_code(&codes::SOURCE_CUT_OFF));
            }
            Err(failure) => return Err(failure.into()),
        };
        let mut pin = Pin::of(&head);
        if let Some((header, question)) = asking.version
            && let Some(version) = head.get(header).filter(|version| *version != "null")
        {
            asking.url = asking.url.asking(&[(question, version)]);
            pin.version = Some(version.to_owned());
        }
        Ok(Self { client, asking, size, pin, first: head, pages: PageCache::default() })
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn asking(&self) -> &Asking {
        &self.asking
    }

    /// What the first answer said.
    pub(crate) fn first(&self) -> &Head {
        &self.first
    }

    pub(crate) fn etag(&self) -> Option<&str> {
        self.pin.strong()
    }

    /// What tells this object from another; `None` where the server says nothing of that kind.
    pub(crate) fn identity(&self) -> Option<Identity> {
        let of = |kind, value: &Option<String>| {
            Some(Identity { kind, value: format_core::printable(value.as_ref()?) })
        };
        of("version", &self.pin.version)
            .or_else(|| of("etag", &self.pin.etag))
            .or_else(|| of("last-modified", &self.pin.modified))
    }

    /// Fills `buf` from `offset`.
    pub(crate) fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let end = offset.checked_add(buf.len() as u64).filter(|end| *end <= self.size);
        let Some(end) = end else {
            let (len, size, url) = (buf.len(), self.size, &self.asking.url);
            return Err(Error::corrupt(format!(
                "{len:#x} bytes wanted at {offset:#x}, {url} ends at {size:#x}"
            ))
            .at(offset));
        };
        if buf.is_empty() {
            return Ok(());
        }
        // Tables are read by pieces of a few hundred bytes, and each would cost a way there and back.
        if buf.len() as u64 <= PAGE / 2 && offset / PAGE == (end - 1) / PAGE {
            let start = offset / PAGE * PAGE;
            let page = self.pages.page(&Pages(self), start, PAGE.min(self.size - start) as usize)?;
            let part = usize::try_from(offset - start).ok().and_then(|at| page.get(at..at + buf.len()));
            buf.copy_from_slice(
                part.ok_or_else(|| Error::contract("a page is shorter than it was asked for"))?,
            );
            return Ok(());
        }
        pieces::read(offset, buf, self.asking.piece.min(MAX_PIECE), &|at, part| self.read_piece(at, part))
    }

    fn read_piece(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let last = offset + buf.len() as u64 - 1;
        let request =
            Request { headers: self.asking.headers.clone(), ..Request::get(self.asking.url.clone()) };
        let mut request = request.header("range", format!("bytes={offset}-{last}"));
        if let Some(etag) = self.pin.strong() {
            request = request.header(self.asking.condition, etag);
        }
        let mut take = |head: &Head, body: &mut Incoming<'_>| {
            self.check(head, ContentRange { first: offset, last, total: self.size })?;
            body.fill(buf)
        };
        match self.client.exchange(&request, self.asking.signer.as_ref(), &mut take) {
            Ok(()) => Ok(()),
            Err(Failure::Refused(refusal)) if matches!(refusal.status, 404 | 410 | 412 | 416) => {
                Err(self.changed(&format!("status {} now", refusal.status)))
            }
            Err(failure) => Err(Error::from(failure).at(offset)),
        }
    }

    /// Whether an answer holds what was asked for, of the object that was opened.
    fn check(&self, head: &Head, wanted: ContentRange) -> Result<()> {
        let url = &self.asking.url;
        let wrong = |why: String| Err(Error::new(ErrorKind::Io, format!("{url}: {why}")).at(wanted.first));
        if !self.pin.fits(head) {
            return Err(self.changed("another ETag or time of modification"));
        }
        if head.status == 200 && head.length().is_some_and(|len| len != self.size) {
            return Err(self.changed("another size"));
        }
        if head.status != 206 {
            return wrong(format!("a range was asked for, and the answer has status {}", head.status));
        }
        match head.get("content-range").map(ContentRange::parse) {
            Some(Some(got)) if got == wanted => {}
            Some(Some(got)) if got.total != wanted.total => return Err(self.changed("another size")),
            Some(Some(got)) => {
                return wrong(format!(
                    "bytes {:#x} to {:#x} were asked for, {:#x} to {:#x} came",
                    wanted.first, wanted.last, got.first, got.last
                ));
            }
            _ => return wrong("an answer says of no range which it is".into()),
        }
        let len = wanted.last - wanted.first + 1;
        if head.length().is_some_and(|said| said != len) {
            return wrong(format!("{len} bytes were asked for, and the answer has another length"));
        }
        plain(url, head)
    }

    pub(crate) fn changed(&self, how: &str) -> Error {
        let message = format!("{} is not what it was when it was opened: {how}", self.asking.url);
        Error::new(ErrorKind::Temporary, message).with_code(&codes::SOURCE_CHANGED)
    }
}

/// The object as the storage of its own pages.
struct Pages<'a>(&'a Object);

impl format_core::Storage for Pages<'_> {
    fn size(&self) -> u64 {
        self.0.size
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.0.read_piece(offset, buf)
    }
}

fn plain(url: &Url, head: &Head) -> Result<()> {
    if head.is_plain() {
        return Ok(());
    }
    Err(Error::unsupported(format!(
        "{url} is sent compressed (Content-Encoding), and ranges would be of the compressed bytes"
    ))
    .hint("store it without Content-Encoding"))
}

/// What the answer to the first question says of the object.
fn first_range(url: &Url, head: &Head) -> Result<ContentRange> {
    plain(url, head)?;
    if head.status != 206 {
        return Err(Error::unsupported(format!(
            "the server of {url} gives no ranges (status {}), only the whole object",
            head.status
        ))
        .hint("download it first (curl -fLo FILE URL), then name the file"));
    }
    let range = head.get("content-range").and_then(ContentRange::parse);
    let whole = |range: &ContentRange| range.first == 0 && range.last + 1 == FIRST.min(range.total);
    let Some(range) = range.filter(whole) else {
        return Err(Error::new(
            ErrorKind::Io,
            format!("{url}: the first {FIRST} bytes were asked for, and the answer says another range"),
        ));
    };
    if head.length().is_some_and(|len| len != range.last + 1) {
        return Err(Error::new(
            ErrorKind::Io,
            format!("{url}: range and length of the answer contradict each other"),
        ));
    }
    Ok(range)
}
