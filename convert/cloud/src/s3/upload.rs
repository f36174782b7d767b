//! An upload in parts, as S3 knows it.

use super::parts::{self, Listed};
use super::store::is_later;
use super::{Bucket, MAX_ANSWER};
use crate::http::{Answer, Failure, Method, Request};
use crate::url::Url;
use format_core::{Error, ErrorKind, Result};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Pages of a list of parts that are followed: with a thousand parts each, more than an upload can have.
const MAX_PAGES: u32 = 100;

/// An upload that was begun, of one object.
pub(super) struct Upload {
    bucket: Arc<Bucket>,
    url: Url,
    pub(super) id: String,
}

impl Upload {
    /// CreateMultipartUpload.
    pub(super) fn begin(bucket: &Arc<Bucket>, url: &Url) -> Result<Self> {
        let begin = Request::new(Method::Post, url.asking(&[("uploads", "")]))
            .header("content-type", "application/octet-stream");
        let answer = bucket.service.send(&begin.longest(MAX_ANSWER))?;
        Ok(Self::of(bucket, url, parts::upload_id(&answer.body)?))
    }

    /// One that another run began.
    pub(super) fn of(bucket: &Arc<Bucket>, url: &Url, id: String) -> Self {
        Self { bucket: Arc::clone(bucket), url: url.clone(), id }
    }

    fn asking(&self, more: &[(&str, &str)]) -> Url {
        self.url.asking(&[more, &[("uploadId", self.id.as_str())]].concat())
    }

    /// UploadPart; gives the ETag. A part that is there already is replaced.
    pub(super) fn put(&self, number: u64, body: &[u8]) -> Result<String> {
        let url = self.asking(&[("partNumber", &number.to_string())]);
        let request = Request::new(Method::Put, url).with_body(body).longest(MAX_ANSWER);
        let answer = match self.bucket.service.send(&request) {
            Err(Failure::Refused(refusal)) if refusal.status == 404 => return Err(self.gone()),
            answer => answer?,
        };
        let etag = answer.head.get("etag").map(str::to_owned);
        etag.ok_or_else(|| Error::new(ErrorKind::Io, format!("S3 tells no ETag of part {number}")))
    }

    /// ListParts: ETag and size by number; `None` where there is no such upload any more.
    pub(super) fn parts(&self) -> Result<Option<BTreeMap<u64, (String, u64)>>> {
        let (mut found, mut after) = (BTreeMap::new(), 0u64);
        for _ in 0..MAX_PAGES {
            let url = self.asking(&[("max-parts", "1000"), ("part-number-marker", &after.to_string())]);
            let answer = match self.bucket.service.send(&Request::get(url).longest(4 * MAX_ANSWER)) {
                Err(Failure::Refused(refusal)) if refusal.status == 404 => return Ok(None),
                answer => answer?,
            };
            let Listed { parts, next } = parts::listed(&answer.body, after)?;
            found.extend(parts);
            match next {
                Some(next) => after = next,
                None => return Ok(Some(found)),
            }
        }
        Err(Error::new(ErrorKind::Io, "S3 tells of more parts than an upload can have"))
    }

    /// CompleteMultipartUpload, where there is no object of that name.
    pub(super) fn complete(&self, etags: &[&str]) -> Result<Answer, Failure> {
        let body = parts::list(etags);
        let request = Request::new(Method::Post, self.asking(&[]))
            .header("content-type", "application/xml")
            .header("if-none-match", "*")
            .with_body(body.as_bytes())
            .longest(MAX_ANSWER);
        self.bucket.service.send(&Request { is_later, ..request })
    }

    /// AbortMultipartUpload. One that is not there any more is given up already.
    pub(super) fn abort(&self) -> Result<()> {
        match self.bucket.service.send(&Request::new(Method::Delete, self.asking(&[])).longest(MAX_ANSWER)) {
            Ok(_) => Ok(()),
            Err(Failure::Refused(refusal)) if refusal.status == 404 => Ok(()),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Somebody gave it up: another run that took over, or a rule of the bucket.
    pub(super) fn gone(&self) -> Error {
        Error::new(ErrorKind::Temporary, format!("the upload of {} is not there any more", self.url))
            .hint("another run or a rule of the bucket gave it up; run the same command again")
    }
}
