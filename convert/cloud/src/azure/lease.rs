//! The lease of a blob ("Lease Blob"): while it is held, nobody else writes.

use crate::CloudOptions;
use crate::http::{Client, Failure, Head, Method, Refusal, Request, Sign};
use crate::url::Url;
use format_core::{Error, ErrorKind, Renewal, Result, codes};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a lease lives that is not renewed, in seconds: the longest that has an end.
const LIFE: u64 = 60;
/// How often it is renewed.
const RENEWAL: Duration = Duration::from_secs(15);
/// More than any answer here has, in bytes.
const MAX_ANSWER: u64 = 64 << 10;

/// A blob that is asked for with one identity.
pub(super) struct Blob {
    pub(super) client: Client,
    pub(super) signer: Box<dyn Sign>,
    pub(super) url: Url,
}

impl Blob {
    pub(super) fn new(url: Url, signer: Box<dyn Sign>, options: &CloudOptions) -> Result<Self> {
        Ok(Self { client: Client::new(options)?, signer, url })
    }

    /// A request to write; `comp` says what.
    pub(super) fn put(&self, comp: Option<&str>) -> Request<'static> {
        let url = match comp {
            Some(comp) => self.url.asking(&[("comp", comp)]),
            None => self.url.clone(),
        };
        Request::new(Method::Put, url)
    }

    pub(super) fn send(&self, request: Request<'_>) -> Result<Head, Failure> {
        Ok(self.client.send(&request.longest(MAX_ANSWER), self.signer.as_ref())?.head)
    }
}

/// A lease that is held, and renewed by a thread of its own.
pub(super) struct BlobLease {
    inner: Arc<Inner>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

struct Inner {
    blob: Arc<Blob>,
    id: String,
    is_lost: AtomicBool,
    renewal: Renewal,
}

impl BlobLease {
    /// Takes the lease of a blob.
    ///
    /// # Errors
    /// `Temporary` where somebody else has it.
    pub(super) fn take(blob: &Arc<Blob>) -> Result<Self> {
        let id = uuid::Uuid::new_v4().to_string();
        let request = blob
            .put(Some("lease"))
            .header("x-ms-lease-action", "acquire")
            .header("x-ms-lease-duration", LIFE.to_string())
            // The same again is the same lease: an answer may be lost.
            .header("x-ms-proposed-lease-id", &id);
        match blob.send(request) {
            Ok(_) => {}
            Err(Failure::Refused(refusal)) if refusal.is("LeaseAlreadyPresent") => {
                return Err(Error::new(ErrorKind::Temporary, format!("another run writes {}", blob.url))
                    .with_code(&codes::LEASE_HELD)
                    .hint(format!("the lease of a run that was killed ends {LIFE} s after that")));
            }
            Err(failure) => return Err(failure.into()),
        }
        let (is_lost, renewal) = (AtomicBool::new(false), Renewal::default());
        let inner = Arc::new(Inner { blob: Arc::clone(blob), id, is_lost, renewal });
        let own = Arc::clone(&inner);
        let thread = std::thread::Builder::new().name("blob lease".into()).spawn(move || own.keep());
        let thread = thread.map_err(|e| Error::io("cannot start a thread that renews a lease", e))?;
        Ok(Self { inner, thread: Mutex::new(Some(thread)) })
    }

    /// For the header `x-ms-lease-id`.
    pub(super) fn id(&self) -> &str {
        &self.inner.id
    }

    /// Whether nobody has taken it since, as far as that was seen.
    ///
    /// # Errors
    /// `Temporary` where somebody has.
    pub(super) fn look(&self) -> Result<()> {
        if self.inner.is_lost.load(Ordering::Relaxed) { Err(lost(&self.inner.blob.url)) } else { Ok(()) }
    }

    /// Renews it now.
    ///
    /// # Errors
    /// `Temporary` where it is somebody else's, as any request otherwise.
    pub(super) fn check(&self) -> Result<()> {
        self.inner.act("renew")
    }

    /// Gives it back. Where that does not work, it ends by itself.
    pub(super) fn release(&self) {
        self.inner.renewal.end();
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
            let _ = self.inner.act("release");
        }
    }
}

impl Drop for BlobLease {
    fn drop(&mut self) {
        self.release();
    }
}

impl Inner {
    fn act(&self, action: &str) -> Result<()> {
        let request = self.blob.put(Some("lease"));
        let request = request.header("x-ms-lease-action", action).header("x-ms-lease-id", &self.id);
        self.blob.send(request).map(drop).map_err(|failure| refused(&self.blob.url, failure))
    }

    fn keep(&self) {
        self.renewal.every(RENEWAL, || {
            // What cannot be reached now may be reached the next time; each write is refused where the lease has ended.
            let is_lost = self.act("renew").is_err_and(|error| error.code().id == codes::LEASE_LOST.id);
            if is_lost {
                self.is_lost.store(true, Ordering::Relaxed);
            }
            !is_lost
        });
    }
}

/// What a refusal of a write under a lease means.
pub(super) fn refused(url: &Url, failure: Failure) -> Error {
    match failure {
        Failure::Refused(refusal) if is_lost(&refusal) => lost(url),
        failure => failure.into(),
    }
}

fn is_lost(refusal: &Refusal) -> bool {
    let codes = [
        "LeaseLost",
        "LeaseIdMismatchWithBlobOperation",
        "LeaseIdMismatchWithLeaseOperation",
        "LeaseNotPresentWithBlobOperation",
        "LeaseNotPresentWithLeaseOperation",
        "LeaseIsBrokenAndCannotBeRenewed",
        "BlobNotFound",
    ];
    codes.iter().any(|code| refusal.is(code))
}

fn lost(url: &Url) -> Error {
    Error::new(ErrorKind::Temporary, format!("another run has taken over {url}"))
        .with_code(&codes::LEASE_LOST)
}
