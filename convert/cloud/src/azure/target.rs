//! A new page blob as a target: a fixed VHD, as Azure makes disks of ("Prepare a Windows VHD or VHDX to upload to Azure").

use super::key::Access;
use super::lease::{Blob, BlobLease, refused};
use crate::http::{Failure, Method, Request};
use crate::url::Url;
use crate::{CloudOptions, pieces};
use format_core::units::{MIB, TIB, align_up};
use format_core::{Error, ErrorKind, Result, TargetStorage, codes};
use std::sync::{Arc, Mutex, PoisonError};

/// The least that is written, in bytes ("Put Page").
const PAGE: u64 = 512;
/// The most that is written at once, in bytes.
const MAX_WRITE: u64 = 4 << 20;
/// The largest page blob.
const MAX_BLOB: u64 = 8 * TIB;
/// Zeros are left out at this granularity, in bytes.
const STEP: usize = 4096;
/// Fewer zeros than this between data are written: a request costs more.
const MIN_GAP: usize = 64 << 10;
/// The metadata that a blob has until it is complete.
const MARK: &str = "x-ms-meta-rehome_unfinished";

/// A new page blob, under its lease. Until [`TargetStorage::commit`] it bears a mark in its metadata and has no footer, so that nothing
/// takes it for a disk; one that is dropped before is deleted.
pub struct AzureTarget {
    blob: Arc<Blob>,
    lease: BlobLease,
    size: u64,
    name: String,
    /// The last page, which is written last.
    footer: Mutex<Option<Vec<u8>>>,
    is_over: Mutex<bool>,
}

impl AzureTarget {
    /// Begins a blob for a disk of at most `size` bytes.
    ///
    /// # Errors
    /// `Destination` where there is a blob of that name, `Temporary` where another run writes it, `Unsupported` beyond 8 TiB, else as any
    /// request.
    pub fn create(
        account: &str,
        container: &str,
        blob: &str,
        size: u64,
        options: &CloudOptions,
    ) -> Result<Self> {
        let (url, access) = Access::locate(account, container, blob, None, options)?;
        Self::begin(url, access, size, options)
    }

    /// The same at an address with a shared access signature.
    ///
    /// # Errors
    /// As [`AzureTarget::create`].
    pub fn create_signed(address: &str, size: u64, options: &CloudOptions) -> Result<Self> {
        Self::begin(Url::parse(address)?, Access::Public, size, options)
    }

    fn begin(url: Url, access: Access, size: u64, options: &CloudOptions) -> Result<Self> {
        let size = align_up(size.max(1), MIB).and_then(|size| size.checked_add(PAGE));
        let size = size.filter(|size| *size <= MAX_BLOB).ok_or_else(|| {
            Error::unsupported("a page blob of Azure has at most 8 TiB, with the footer of its VHD")
        })?;
        let name = url.path().rsplit('/').next().unwrap_or_default();
        let name = crate::url::decode(name).unwrap_or_else(|| name.to_owned());
        let blob = Arc::new(Blob::new(url, Box::new(access), options)?);
        let new = |request: Request<'static>| {
            request
                .header("x-ms-blob-type", "PageBlob")
                .header("x-ms-blob-content-length", size.to_string())
                .header("content-type", "application/octet-stream")
                .header(MARK, "written by rehome")
        };
        let lease = match blob.send(new(blob.put(None)).header("if-none-match", "*")) {
            Ok(_) => BlobLease::take(&blob)?,
            Err(Failure::Refused(refusal)) if matches!(refusal.status, 409 | 412) => {
                // Only what an earlier run left unfinished is written over, and only where that run is over.
                if !is_unfinished(&blob)? {
                    return Err(exists(&blob.url));
                }
                let lease = BlobLease::take(&blob)?;
                if !is_unfinished(&blob)? {
                    return Err(exists(&blob.url));
                }
                let again = new(blob.put(None)).header("x-ms-lease-id", lease.id());
                blob.send(again).map_err(|failure| refused(&blob.url, failure))?;
                lease
            }
            Err(failure) => return Err(failure.into()),
        };
        Ok(Self { blob, lease, size, name, footer: Mutex::default(), is_over: Mutex::new(false) })
    }

    fn check(&self, offset: u64, len: u64) -> Result<()> {
        let end = offset.checked_add(len).filter(|end| *end <= self.size);
        match end {
            None => Err(Error::new(
                ErrorKind::Destination,
                format!("{len:#x} bytes at {offset:#x} leave the blob of {:#x} bytes", self.size),
            )),
            Some(end) if !offset.is_multiple_of(PAGE) || !end.is_multiple_of(PAGE) => {
                Err(Error::unsupported(format!("{len:#x} bytes at {offset:#x} are no pages of {PAGE} bytes"))
                    .hint("a page blob holds a fixed VHD: -O vhd -o azure=on"))
            }
            Some(_) => Ok(()),
        }
    }

    /// Put Page, of at most [`MAX_WRITE`] bytes.
    fn put(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.lease.look()?;
        let last = offset + bytes.len() as u64 - 1;
        let request = self
            .blob
            .put(Some("page"))
            .header("x-ms-page-write", "update")
            .header("x-ms-range", format!("bytes={offset}-{last}"))
            .header("x-ms-lease-id", self.lease.id())
            .header("content-type", "application/octet-stream");
        let sent = self.blob.send(request.with_body(bytes));
        sent.map(drop).map_err(|failure| refused(&self.blob.url, failure).at(offset))
    }

    /// Of a new blob all is zeros: what is zeros stays unwritten.
    fn put_data(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        for (start, end) in runs(bytes) {
            self.put(offset + start as u64, bytes.get(start..end).unwrap_or_default())?;
        }
        Ok(())
    }
}

/// Where `bytes` hold something, in steps and with small gaps filled.
fn runs(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    for (index, step) in bytes.chunks(STEP).enumerate().filter(|(_, step)| step.iter().any(|byte| *byte != 0))
    {
        let (start, end) = (index * STEP, index * STEP + step.len());
        match found.last_mut() {
            Some(last) if start - last.1 < MIN_GAP => last.1 = end,
            _ => found.push((start, end)),
        }
    }
    found
}

/// Whether a blob bears the mark of a run that did not come to its end.
fn is_unfinished(blob: &Blob) -> Result<bool> {
    match blob.send(Request::new(Method::Head, blob.url.clone())) {
        Ok(head) => Ok(head.get(MARK).is_some() && head.get("x-ms-blob-type") == Some("PageBlob")),
        Err(failure) => Err(failure.into()),
    }
}

/// Whether the last page is the footer of a fixed VHD for all that is before it (Virtual Hard Disk Image Format Specification, "Hard Disk
/// Footer Format").
fn is_footer(footer: &[u8], size: u64) -> bool {
    let be64 = |at: usize| {
        footer.get(at..at + 8).and_then(|field| <[u8; 8]>::try_from(field).ok()).map(u64::from_be_bytes)
    };
    footer.starts_with(b"conectix")
        && footer.get(60..64) == Some(&[0, 0, 0, 2])
        && be64(48) == Some(size - PAGE)
}

fn exists(url: &Url) -> Error {
    Error::new(ErrorKind::Destination, format!("{url} is there already, and nothing is replaced"))
        .with_code(&codes::DESTINATION_EXISTS)
        .hint("choose another name, or delete the blob first")
}

impl TargetStorage for AzureTarget {
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.check(offset, bytes.len() as u64)?;
        let data = usize::try_from((self.size - PAGE).saturating_sub(offset)).unwrap_or(usize::MAX);
        let (data, footer) = bytes.split_at(data.min(bytes.len()));
        if !footer.is_empty() {
            *self.footer.lock().unwrap_or_else(PoisonError::into_inner) = Some(footer.to_vec());
        }
        pieces::write(offset, data, MAX_WRITE, &|at, piece| self.put_data(at, piece))
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.check(len, 0)
    }

    fn sync(&self) -> Result<()> {
        // A page that was answered for is stored.
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<()> {
        let footer = self.footer.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
        if !is_footer(&footer, self.size) {
            return Err(Error::unsupported(
                "a page blob of Azure becomes a disk only as a fixed VHD of whole MiB",
            )
            .hint("-O vhd -o azure=on"));
        }
        self.lease.check()?;
        self.put(self.size - PAGE, &footer)?;
        // Metadata is replaced as a whole: none is left.
        let unmark = self.blob.put(Some("metadata")).header("x-ms-lease-id", self.lease.id());
        self.blob.send(unmark).map_err(|failure| refused(&self.blob.url, failure))?;
        *self.is_over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.lease.release();
        Ok(())
    }

    fn name(&self) -> Option<&str> {
        Some(&self.name)
    }
}

impl Drop for AzureTarget {
    fn drop(&mut self) {
        if !*self.is_over.lock().unwrap_or_else(PoisonError::into_inner) {
            let request = Request::new(Method::Delete, self.blob.url.clone());
            let _ = self.blob.send(request.header("x-ms-lease-id", self.lease.id()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_left_out_and_small_gaps_are_not() {
        let mut bytes = vec![0; 1 << 20];
        assert!(runs(&bytes).is_empty());
        bytes[4096 * 3] = 1;
        bytes[4096 * 10 + 4095] = 1;
        bytes[4096 * 100] = 1;
        assert_eq!(runs(&bytes), [(4096 * 3, 4096 * 11), (4096 * 100, 4096 * 101)]);
        assert_eq!(runs(&[1; 512]), [(0, 512)]);
        assert_eq!(runs(&[1; 4608]), [(0, 4608)]);
    }
}
