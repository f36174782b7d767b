//! Small objects that several runs agree by: leases and journals.

use super::{Bucket, MAX_ANSWER};
use crate::CloudOptions;
use crate::http::{Failure, Method, Refusal, Request};
use format_core::{ConditionalStore, Error, ErrorKind, Result};
use std::sync::Arc;

/// The largest object that is kept like this, in bytes.
const MAX_SMALL: u64 = 16 << 20;

/// A bucket in which small objects are put on a condition.
pub struct S3Store(pub(super) Arc<Bucket>);

impl S3Store {
    /// The bucket `name`.
    ///
    /// # Errors
    /// `Usage` for names that are none.
    pub fn open(name: &str, region: Option<&str>, options: &CloudOptions) -> Result<Self> {
        if !super::is_bucket(name) {
            return Err(Error::usage("that is no name of a bucket"));
        }
        Ok(Self(Arc::new(Bucket::open(name, region, options)?)))
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

impl ConditionalStore for S3Store {
    fn get(&self, key: &str) -> Result<Option<(Vec<u8>, String)>> {
        match self.0.service.send(&Request::get(self.0.object(key)?).longest(MAX_SMALL)) {
            Ok(answer) => {
                let etag = answer.head.get("etag").map(str::to_owned).ok_or_else(no_etag)?;
                Ok(Some((answer.body, etag)))
            }
            Err(Failure::Refused(refusal)) if is_missing(&refusal) => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    }

    fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<Option<String>> {
        self.put(key, "if-none-match", "*", bytes)
    }

    fn put_if_match(&self, key: &str, tag: &str, bytes: &[u8]) -> Result<Option<String>> {
        self.put(key, "if-match", tag, bytes)
    }

    fn remove_if_match(&self, key: &str, tag: &str) -> Result<()> {
        let request = Request::new(Method::Delete, self.0.object(key)?).longest(MAX_ANSWER);
        match self.0.service.send(&Request { is_later, ..request.header("if-match", tag) }) {
            Ok(_) => Ok(()),
            Err(Failure::Refused(refusal)) if matches!(refusal.status, 404 | 412) => Ok(()),
            // Conditions of deletions are young (2025), and other stores have none. Who asks holds the claim on the object.
            Err(Failure::Refused(refusal)) if refusal.status == 501 => {
                let request = Request::new(Method::Delete, self.0.object(key)?).longest(MAX_ANSWER);
                self.0.service.send(&request).map(drop).map_err(Error::from)
            }
            Err(failure) => Err(failure.into()),
        }
    }
}

/// Whether an object is not there. Without the right to list, S3 says "forbidden" of that; who may not do more is told so when putting.
pub(super) fn is_missing(refusal: &Refusal) -> bool {
    refusal.status == 404
        || (refusal.status == 403 && refusal.code.as_deref().is_none_or(|code| code == "AccessDenied"))
}

/// Two that put at the same time: one is told to come again.
pub(super) fn is_later(refusal: &Refusal) -> bool {
    refusal.status == 409 && refusal.is("ConditionalRequestConflict")
}

fn no_etag() -> Error {
    Error::new(ErrorKind::Io, "S3 tells no ETag of an object")
}
