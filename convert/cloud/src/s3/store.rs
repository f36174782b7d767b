//! Small objects that several runs agree by: leases and journals.

use super::{Bucket, MAX_ANSWER};
use crate::CloudOptions;
use crate::http::{Failure, Method, Refusal, Request};
use format_core::{Error, ErrorKind, Result};

/// The largest object that is kept like this, in bytes.
const MAX_SMALL: u64 = 16 << 20;

/// A bucket in which small objects are put on a condition.
pub struct S3Store(Bucket);

impl S3Store {
    /// The bucket `name`.
    ///
    /// # Errors
    /// `Usage` for names that are none.
    pub fn open(name: &str, region: Option<&str>, options: &CloudOptions) -> Result<Self> {
        if !super::is_bucket(name) {
            return Err(Error::usage("that is no name of a bucket"));
        }
        Bucket::open(name, region, options).map(Self)
    }

    /// The object's bytes and ETag; `None` where there is none.
    ///
    /// # Errors
    /// `Denied`, `Temporary`, `Io`, as any request.
    pub fn get(&self, key: &str) -> Result<Option<(Vec<u8>, String)>> {
        match self.0.service.send(&Request::get(self.0.object(key)?).longest(MAX_SMALL)) {
            Ok(answer) => {
                let etag = answer.head.get("etag").map(str::to_owned).ok_or_else(no_etag)?;
                Ok(Some((answer.body, etag)))
            }
            Err(Failure::Refused(refusal)) if refusal.status == 404 => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Puts the object where there is none yet, and gives its ETag; `None` where there is one.
    ///
    /// # Errors
    /// As [`S3Store::get`].
    pub fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<Option<String>> {
        self.put(key, "if-none-match", "*", bytes)
    }

    /// Puts the object in the place of the one with `etag`, and gives the new ETag; `None` where it is not that one any more.
    ///
    /// # Errors
    /// As [`S3Store::get`].
    pub fn put_if_match(&self, key: &str, etag: &str, bytes: &[u8]) -> Result<Option<String>> {
        self.put(key, "if-match", etag, bytes)
    }

    fn put(&self, key: &str, condition: &'static str, value: &str, bytes: &[u8]) -> Result<Option<String>> {
        if bytes.len() as u64 > MAX_SMALL {
            return Err(Error::usage(format!("an object of {} bytes is no small one", bytes.len())));
        }
        let request = Request::new(Method::Put, self.0.object(key)?)
            .header(condition, value)
            .with_body(bytes)
            .longest(MAX_ANSWER);
        match self.0.service.send(&Request { is_later, ..request }) {
            Ok(answer) => Ok(Some(answer.head.get("etag").map(str::to_owned).ok_or_else(no_etag)?)),
            // The answer to an earlier attempt may have been lost: then what is there is what was sent.
            Err(Failure::Refused(refusal)) if refusal.status == 412 && refusal.attempts > 1 => {
                Ok(self.get(key)?.filter(|(there, _)| there == bytes).map(|(_, etag)| etag))
            }
            Err(Failure::Refused(refusal)) if matches!(refusal.status, 412 | 404) => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    }
}

/// Two that put at the same time: one is told to come again.
pub(super) fn is_later(refusal: &Refusal) -> bool {
    refusal.status == 409 && refusal.is("ConditionalRequestConflict")
}

fn no_etag() -> Error {
    Error::new(ErrorKind::Io, "S3 tells no ETag of an object")
}
