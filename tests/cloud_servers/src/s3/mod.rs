//! A bucket of S3, as the Amazon S3 API Reference (version 2006-03-01) describes it: objects, conditions, uploads in parts.

mod uploads;

use crate::signed;
use crate::stub::{Ask, Reply, Stub, decode, part, reply};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// The least that a part has which is not the last one, in bytes.
const LEAST_PART: usize = 5 << 20;
/// Parts that are told at once: few, so that there are several pages.
const PER_PAGE: usize = 2;

/// For which method, and what is answered in the place of what would be.
pub type Broken = (&'static str, fn() -> Reply);

/// An object.
#[derive(Clone)]
struct Object {
    bytes: Arc<Vec<u8>>,
    tag: String,
}

/// An upload that was begun.
#[derive(Clone, Default)]
struct Upload {
    key: String,
    /// Bytes and ETags by number.
    parts: BTreeMap<u32, Object>,
}

/// What a bucket holds.
#[derive(Default)]
pub struct State {
    objects: BTreeMap<String, Object>,
    uploads: BTreeMap<String, Upload>,
    begun: u32,
    /// How often an upload was given up.
    pub aborted: u32,
    /// Parts that came, counted each time.
    pub parts_put: u32,
    /// Instead of the right answers, which are worked out all the same, to the next requests of these methods.
    pub broken: Vec<Broken>,
    /// What is not there is answered with 403, as without the right to list.
    pub hides_missing: bool,
}

/// The bucket `bucket`, in memory.
pub struct Bucket {
    state: Arc<Mutex<State>>,
    stub: Stub,
}

impl Default for Bucket {
    fn default() -> Self {
        Self::new()
    }
}

impl Bucket {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let inner = Arc::clone(&state);
        Self { state, stub: Stub::new(move |ask| inner.lock().unwrap().answer(ask)) }
    }

    /// The endpoint.
    #[must_use]
    pub fn url(&self) -> String {
        self.stub.url("")
    }

    /// What it holds.
    ///
    /// # Panics
    /// Where a request was not as the documents want it.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The bytes of an object.
    #[must_use]
    pub fn object(&self, key: &str) -> Option<Vec<u8>> {
        self.state().objects.get(key).map(|object| object.bytes.to_vec())
    }

    /// Puts an object there, whatever there is.
    pub fn put(&self, key: &str, bytes: &[u8]) {
        self.state().keep(key, bytes.to_vec());
    }

    /// The keys of all objects.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        self.state().objects.keys().cloned().collect()
    }

    /// Ids of the uploads that are open.
    #[must_use]
    pub fn uploads(&self) -> Vec<String> {
        self.state().uploads.keys().cloned().collect()
    }

    /// All that was asked so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Ask> {
        self.stub.asked()
    }
}

fn tag(bytes: &[u8]) -> String {
    let sum: String = Sha256::digest(bytes).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{sum}\"")
}

fn refuse(status: u16, code: &str) -> Reply {
    reply(status, &[], format!("<Error><Code>{code}</Code><Message>secret words</Message></Error>"))
}

impl State {
    fn keep(&mut self, key: &str, bytes: Vec<u8>) -> String {
        let tag = tag(&bytes);
        self.objects.insert(key.into(), Object { bytes: Arc::new(bytes), tag: tag.clone() });
        tag
    }

    /// Puts an object there, whatever there is.
    pub fn put(&mut self, key: &str, bytes: &[u8]) {
        self.keep(key, bytes.to_vec());
    }

    /// Ends all uploads, as a rule of the bucket does.
    pub fn give_up_all(&mut self) {
        self.uploads.clear();
    }

    /// Replaces a part of an open upload, as another process does.
    pub fn put_part(&mut self, id: &str, number: u32, bytes: &[u8]) {
        let part = Object { bytes: Arc::new(bytes.to_vec()), tag: tag(bytes) };
        self.uploads.get_mut(id).unwrap().parts.insert(number, part);
    }

    fn answer(&mut self, ask: &Ask) -> Reply {
        signed::verify(ask, "s3");
        let key = decode(ask.path().strip_prefix("/bucket/").unwrap());
        assert!(!key.is_empty() && key.len() <= 1024);
        let lost = self.broken.iter().position(|(method, _)| *method == ask.method);
        let lost = lost.map(|at| self.broken.remove(at).1);
        let answer = self.right(ask, &key);
        lost.map_or(answer, |lost| lost())
    }

    fn right(&mut self, ask: &Ask, key: &str) -> Reply {
        let there = self.objects.get(key).cloned();
        if let Some(refusal) = self.unmet(ask, there.as_ref()) {
            return refusal;
        }
        match (ask.method.as_str(), ask.query("uploads"), ask.query("uploadId")) {
            ("POST", Some(_), None) => self.begin(key),
            ("PUT", None, Some(id)) => self.take_part(ask, key, &id),
            ("GET", None, Some(id)) => self.list_parts(ask, key, &id),
            ("POST", None, Some(id)) => self.complete(ask, key, &id),
            ("DELETE", None, Some(id)) => self.abort(key, &id),
            ("PUT", None, None) => {
                let tag = self.keep(key, ask.body.clone());
                reply(200, &[("etag", &tag)], "")
            }
            ("DELETE", None, None) => {
                self.objects.remove(key);
                reply(204, &[], "")
            }
            ("GET" | "HEAD", None, None) => match there {
                None if self.hides_missing => refuse(403, "AccessDenied"),
                None => refuse(404, "NoSuchKey"),
                Some(there) if ask.method == "HEAD" => {
                    let headers =
                        [("etag", there.tag.as_str()), ("content-length", &there.bytes.len().to_string())];
                    reply(200, &headers, "")
                }
                Some(there) => part(ask, &there.bytes, &there.tag),
            },
            other => panic!("{other:?}"),
        }
    }

    /// The refusal where a condition of the request is not met.
    fn unmet(&self, ask: &Ask, there: Option<&Object>) -> Option<Reply> {
        let is_write = matches!(ask.method.as_str(), "PUT" | "POST" | "DELETE");
        match (ask.header("if-none-match"), ask.header("if-match")) {
            (None, None) => None,
            (Some(any), None) => {
                assert!(any == "*" && is_write, "writing knows no other condition of this kind");
                there.map(|_| refuse(412, "PreconditionFailed"))
            }
            (None, Some(wanted)) => match there {
                // Writing says so of what is gone; deleting what is gone is done.
                None if ask.method == "DELETE" => None,
                None => Some(refuse(404, "NoSuchKey")),
                Some(there) if there.tag != wanted => Some(refuse(412, "PreconditionFailed")),
                Some(_) => None,
            },
            both => panic!("{both:?}"),
        }
    }
}
