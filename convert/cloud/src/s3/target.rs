//! A new object of S3 as a target.

use super::store::is_later;
use super::{Bucket, MAX_ANSWER, parts};
use crate::CloudOptions;
use crate::http::{Failure, Method, Request};
use crate::url::Url;
use format_core::{Error, ErrorKind, Result, TargetStorage, codes};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

const MIB: u64 = 1 << 20;
/// The smallest and the largest part, in bytes. Parts are in memory until they are sent.
const PART: (u64, u64) = (16 * MIB, 64 * MIB);
/// How many parts an object may have.
const MAX_PARTS: u64 = 10_000;
/// Bytes that are on their way at a time, besides the part that is being filled.
const UNDER_WAY: u64 = 64 * MIB;

/// A new object that is uploaded in parts, from its start to its end. It has its name only after [`TargetStorage::commit`], and replaces
/// nothing.
pub struct S3Target {
    bucket: Arc<Bucket>,
    url: Url,
    key: String,
    upload: String,
    part: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    buffer: Vec<u8>,
    /// Bytes before the buffer.
    sent: u64,
    /// How long the object is to be.
    len: u64,
    etags: Vec<String>,
    under_way: VecDeque<JoinHandle<Result<String>>>,
    is_over: bool,
}

impl S3Target {
    /// Begins the upload of an object that has at most `size` bytes.
    ///
    /// # Errors
    /// `Destination` where there is an object of that name; `Unsupported` for more than 618 GiB; else as any request.
    pub fn create(
        bucket: &str,
        key: &str,
        region: Option<&str>,
        size: u64,
        options: &CloudOptions,
    ) -> Result<Self> {
        // What a format adds to a disk is little; a raw one has its size exactly.
        let part = (size.div_ceil(MAX_PARTS - 100)).next_multiple_of(MIB).max(PART.0);
        if part > PART.1 {
            let most = (MAX_PARTS - 100) * PART.1 / (1 << 30);
            return Err(Error::unsupported(format!(
                "an object of {size} bytes was asked for, up to {most} GiB can be uploaded"
            )));
        }
        let bucket = Arc::new(Bucket::open(bucket, region, options)?);
        let url = bucket.object(key)?;
        match bucket.service.send(&Request::new(Method::Head, url.clone())) {
            Ok(_) => return Err(exists(&url)),
            Err(Failure::Refused(refusal)) if refusal.status == 404 => {}
            // Without the right to list, S3 says "forbidden" of what is not there: the condition at the end decides.
            Err(Failure::Refused(refusal)) if refusal.status == 403 => {}
            Err(failure) => return Err(failure.into()),
        }
        let begin = Request::new(Method::Post, url.asking(&[("uploads", "")]))
            .header("content-type", "application/octet-stream");
        let answer = bucket.service.send(&begin.longest(MAX_ANSWER))?;
        let upload = parts::upload_id(&answer.body)?;
        Ok(Self { bucket, url, key: key.to_owned(), upload, part, state: Mutex::default() })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, state: &mut State, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let room = (self.part as usize).saturating_sub(state.buffer.len());
            let (now, rest) = bytes.split_at(room.min(bytes.len()));
            if state.buffer.capacity() == 0 {
                state.buffer.reserve_exact(self.part as usize);
            }
            state.buffer.extend_from_slice(now);
            bytes = rest;
            if state.buffer.len() as u64 == self.part {
                self.send(state)?;
            }
        }
        Ok(())
    }

    fn add_zeros(&self, state: &mut State, mut len: u64) -> Result<()> {
        let zeros = vec![0; MIB.min(len) as usize];
        while len > 0 {
            let now = len.min(MIB);
            self.add(state, zeros.get(..now as usize).unwrap_or_default())?;
            len -= now;
        }
        Ok(())
    }

    /// Sends the buffer as the next part, and waits for earlier ones where many are under way.
    fn send(&self, state: &mut State) -> Result<()> {
        while (state.under_way.len() as u64 + 1) * self.part > UNDER_WAY {
            match state.under_way.pop_front() {
                Some(oldest) => state.etags.push(ended(oldest)?),
                None => break,
            }
        }
        let number = (state.etags.len() + state.under_way.len() + 1) as u64;
        if number > MAX_PARTS {
            return Err(Error::new(
                ErrorKind::Destination,
                "the image is longer than was said when its upload began",
            ));
        }
        let body = std::mem::take(&mut state.buffer);
        state.sent += body.len() as u64;
        let (bucket, url) = (Arc::clone(&self.bucket), self.url.clone());
        let upload = self.upload.clone();
        let work = move || put_part(&bucket, &url, &upload, number, &body);
        let thread = std::thread::Builder::new().name("s3 part".into()).spawn(work);
        state.under_way.push_back(thread.map_err(|e| Error::io("cannot start a thread for an upload", e))?);
        Ok(())
    }

    fn complete(&self, state: &mut State) -> Result<()> {
        let at = state.sent + state.buffer.len() as u64;
        self.add_zeros(state, state.len.saturating_sub(at))?;
        if !state.buffer.is_empty() || state.sent == 0 {
            self.send(state)?;
        }
        while let Some(oldest) = state.under_way.pop_front() {
            state.etags.push(ended(oldest)?);
        }
        let body = parts::list(&state.etags);
        let request = Request::new(Method::Post, self.url.asking(&[("uploadId", &self.upload)]))
            .header("content-type", "application/xml")
            .header("if-none-match", "*")
            .with_body(body.as_bytes())
            .longest(MAX_ANSWER);
        match self.bucket.service.send(&Request { is_later, ..request }) {
            Ok(answer) => parts::completed(&answer.body).map(drop),
            Err(Failure::Refused(refusal)) if refusal.status == 412 || refusal.status == 404 => {
                // The answer to an earlier attempt may have been lost. Its ETag ends in the number of parts.
                if refusal.attempts > 1 && self.is_there(state)? { Ok(()) } else { Err(exists(&self.url)) }
            }
            Err(failure) => Err(failure.into()),
        }
    }

    fn is_there(&self, state: &State) -> Result<bool> {
        let answer = self.bucket.service.send(&Request::new(Method::Head, self.url.clone()))?;
        let ending = format!("-{}\"", state.etags.len());
        let is_as_long = answer.head.length() == Some(state.sent);
        Ok(is_as_long && answer.head.get("etag").is_some_and(|etag| etag.ends_with(&ending)))
    }
}

fn put_part(bucket: &Bucket, url: &Url, upload: &str, number: u64, body: &[u8]) -> Result<String> {
    let url = url.asking(&[("partNumber", &number.to_string()), ("uploadId", upload)]);
    let answer = bucket.service.send(&Request::new(Method::Put, url).with_body(body).longest(MAX_ANSWER))?;
    let etag = answer.head.get("etag").map(str::to_owned);
    etag.ok_or_else(|| Error::new(ErrorKind::Io, format!("S3 tells no ETag of part {number}")))
}

fn ended(thread: JoinHandle<Result<String>>) -> Result<String> {
    thread.join().unwrap_or_else(|_| Err(Error::contract("the upload of a part ended without saying how")))
}

fn exists(url: &Url) -> Error {
    Error::new(ErrorKind::Destination, format!("{url} is there already, and nothing is replaced"))
        .with_code(&codes::DESTINATION_EXISTS)
        .hint("choose another name, or delete the object first")
}

impl TargetStorage for S3Target {
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut state = self.lock();
        let at = state.sent + state.buffer.len() as u64;
        let gap = offset.checked_sub(at).ok_or_else(|| {
            Error::contract(format!(
                "bytes are written at {offset:#x} of an upload that is at {at:#x} already"
            ))
        })?;
        self.add_zeros(&mut state, gap)?;
        self.add(&mut state, bytes)
    }

    fn set_len(&self, len: u64) -> Result<()> {
        let mut state = self.lock();
        let at = state.sent + state.buffer.len() as u64;
        if len < at {
            return Err(Error::contract(format!("an upload of {at:#x} bytes is to have only {len:#x}")));
        }
        state.len = len;
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        // What is under way is waited for at the end; nothing of an upload is there before that.
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<()> {
        let mut state = self.lock();
        self.complete(&mut state)?;
        state.is_over = true;
        Ok(())
    }

    fn is_sequential(&self) -> bool {
        true
    }

    fn name(&self) -> Option<&str> {
        self.key.rsplit('/').next()
    }
}

impl Drop for S3Target {
    fn drop(&mut self) {
        let (under_way, is_over) = {
            let mut state = self.lock();
            (std::mem::take(&mut state.under_way), state.is_over)
        };
        // A part that arrives after the upload was given up would be kept, and paid for.
        for thread in under_way {
            let _ = thread.join();
        }
        if !is_over {
            let url = self.url.asking(&[("uploadId", &self.upload)]);
            let _ = self.bucket.service.send(&Request::new(Method::Delete, url).longest(MAX_ANSWER));
        }
    }
}
