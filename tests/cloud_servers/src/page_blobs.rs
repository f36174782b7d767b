//! An account of Azure Storage with page blobs, as the Azure Storage REST API describes them (version 2020-10-02).

use crate::stub::{Ask, Reply, Stub, decode, part, reply};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// The key of the account `account`.
pub const KEY: &[u8] = b"a key of an account";
/// The most that Put Page takes, in bytes.
const MAX_WRITE: u64 = 4 << 20;

/// Judges a request by its shared key ("Authorize with Shared Key"), worked out from what came.
///
/// # Panics
/// Where it is not signed with [`KEY`].
pub fn verify(ask: &Ask) {
    let get = |name: &str| ask.header(name).unwrap_or_default().to_owned();
    let len = if ask.body.is_empty() { String::new() } else { ask.body.len().to_string() };
    let mut text = format!(
        "{}\n\n\n{len}\n\n{}\n\n\n{}\n{}\n\n{}\n",
        ask.method,
        get("content-type"),
        get("if-match"),
        get("if-none-match"),
        get("range")
    );
    for (name, value) in ask.headers.iter().filter(|(name, _)| name.starts_with("x-ms-")) {
        text.push_str(&format!("{name}:{value}\n"));
    }
    text.push_str(&format!("/account{}", ask.path()));
    let (_, query) = ask.target.split_once('?').unwrap_or_default();
    let mut query: Vec<_> =
        query.split('&').filter(|part| !part.is_empty()).map(|part| part.split_once('=').unwrap()).collect();
    query.sort_unstable();
    query
        .iter()
        .for_each(|(name, value)| text.push_str(&format!("\n{}:{}", name.to_lowercase(), decode(value))));
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY).unwrap();
    mac.update(text.as_bytes());
    let wanted = format!("SharedKey account:{}", STANDARD.encode(mac.finalize().into_bytes()));
    assert_eq!(get("authorization"), wanted, "{text}");
}

/// A blob.
#[derive(Clone, Default)]
pub struct Blob {
    /// All pages.
    pub bytes: Vec<u8>,
    /// Names in lower case.
    pub metadata: BTreeMap<String, String>,
    /// The id of the lease that is held.
    pub lease: Option<String>,
}

/// What an account holds.
#[derive(Default)]
pub struct State {
    /// By container and name.
    pub blobs: BTreeMap<String, Blob>,
    /// Ranges that were written, in their order.
    pub written: Vec<(u64, u64)>,
    /// Answers of this status to the next requests, before anything is done.
    pub refused: Vec<u16>,
}

/// The account, in memory.
pub struct Account {
    state: Arc<Mutex<State>>,
    stub: Stub,
}

impl Default for Account {
    fn default() -> Self {
        Self::new()
    }
}

impl Account {
    /// One whose requests are signed with [`KEY`].
    #[must_use]
    pub fn new() -> Self {
        Self::judged_by(verify)
    }

    /// One whose requests are judged by `judge`, such as for addresses that are signed themselves.
    pub fn judged_by(judge: fn(&Ask)) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let inner = Arc::clone(&state);
        let answer = move |ask: &Ask| {
            let mut state = inner.lock().unwrap();
            judge(ask);
            state.answer(ask)
        };
        Self { state, stub: Stub::new(answer) }
    }

    /// The endpoint.
    #[must_use]
    pub fn url(&self) -> String {
        self.stub.url("")
    }

    /// As `AZURE_STORAGE_CONNECTION_STRING` has it.
    #[must_use]
    pub fn connection(&self) -> String {
        format!("AccountName=account;AccountKey={};BlobEndpoint={}", STANDARD.encode(KEY), self.url())
    }

    /// What it holds.
    ///
    /// # Panics
    /// Where a request was not as the documents want it.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// A blob, by container and name.
    #[must_use]
    pub fn blob(&self, place: &str) -> Option<Blob> {
        self.state().blobs.get(place).cloned()
    }

    /// Ends all leases, as their time does.
    pub fn end_leases(&self) {
        self.state().blobs.values_mut().for_each(|blob| blob.lease = None);
    }
}

fn refuse(status: u16, code: &'static str) -> Reply {
    reply(status, &[("x-ms-error-code", code)], "<Error><Message>secret words</Message></Error>")
}

impl State {
    fn answer(&mut self, ask: &Ask) -> Reply {
        assert_eq!(ask.header("x-ms-version"), Some("2020-10-02"));
        if let Some(status) = self.refused.pop() {
            return refuse(status, "ServerBusy");
        }
        let place = decode(ask.path().trim_start_matches('/'));
        assert!(place.contains('/'), "a blob lies in a container");
        let comp = ask.query("comp");
        if (ask.method.as_str(), comp.as_deref()) == ("PUT", None) {
            return self.create(ask, &place);
        }
        let Some(blob) = self.blobs.get_mut(&place) else { return refuse(404, "BlobNotFound") };
        match (ask.method.as_str(), comp.as_deref()) {
            ("PUT", Some("lease")) => lease(ask, blob),
            ("PUT", Some("page")) => {
                if let Some(refusal) = unmet(ask, blob) {
                    return refusal;
                }
                self.written.push(write(ask, blob));
                reply(201, &[("etag", "\"0x1\"")], "")
            }
            ("PUT", Some("metadata")) => {
                if let Some(refusal) = unmet(ask, blob) {
                    return refusal;
                }
                blob.metadata = metadata(ask);
                reply(200, &[], "")
            }
            ("DELETE", None) => match unmet(ask, blob) {
                Some(refusal) => refusal,
                None => {
                    self.blobs.remove(&place);
                    reply(202, &[], "")
                }
            },
            ("HEAD", None) => {
                let len = blob.bytes.len().to_string();
                let mut headers = vec![
                    ("x-ms-blob-type", "PageBlob".to_owned()),
                    ("content-length", len),
                    ("etag", "\"0x1\"".into()),
                ];
                if blob.metadata.contains_key("rehome_unfinished") {
                    headers.push(("x-ms-meta-rehome_unfinished", blob.metadata["rehome_unfinished"].clone()));
                }
                Reply::Plain(200, headers, Vec::new())
            }
            ("GET", None) => {
                let Reply::Plain(status, mut headers, body) = part(ask, &blob.bytes, "\"0x1\"") else {
                    panic!()
                };
                headers.push(("x-ms-blob-type", "PageBlob".into()));
                Reply::Plain(status, headers, body)
            }
            ("GET", Some("pagelist")) => {
                let all =
                    format!("<PageRange><Start>0</Start><End>{}</End></PageRange>", blob.bytes.len() - 1);
                reply(200, &[], format!("<PageList>{all}</PageList>"))
            }
            other => panic!("{other:?}"),
        }
    }

    /// Put Blob, of a page blob: all of it is zeros then, and a lease stays.
    fn create(&mut self, ask: &Ask, place: &str) -> Reply {
        assert_eq!(ask.header("x-ms-blob-type"), Some("PageBlob"));
        let size: u64 = ask.header("x-ms-blob-content-length").unwrap().parse().unwrap();
        assert!(size.is_multiple_of(512) && ask.body.is_empty());
        let there = self.blobs.get(place);
        match (there, ask.header("if-none-match")) {
            (Some(_), Some("*")) => return refuse(409, "BlobAlreadyExists"),
            (Some(blob), None) => {
                if let Some(refusal) = unmet(ask, blob) {
                    return refusal;
                }
            }
            (None, None | Some("*")) => {}
            (_, other) => panic!("{other:?}"),
        }
        let lease = there.and_then(|blob| blob.lease.clone());
        self.blobs
            .insert(place.into(), Blob { bytes: vec![0; size as usize], metadata: metadata(ask), lease });
        reply(201, &[("etag", "\"0x1\"")], "")
    }
}

fn metadata(ask: &Ask) -> BTreeMap<String, String> {
    let named =
        ask.headers.iter().filter_map(|(name, value)| Some((name.strip_prefix("x-ms-meta-")?, value)));
    named.map(|(name, value)| (name.to_owned(), value.clone())).collect()
}

/// The refusal where the lease of the request is not that of the blob.
fn unmet(ask: &Ask, blob: &Blob) -> Option<Reply> {
    match (&blob.lease, ask.header("x-ms-lease-id")) {
        (None, None) => None,
        (None, Some(_)) => Some(refuse(412, "LeaseNotPresentWithBlobOperation")),
        (Some(_), None) => Some(refuse(412, "LeaseIdMissing")),
        (Some(held), Some(own)) if held != own => Some(refuse(412, "LeaseIdMismatchWithBlobOperation")),
        _ => None,
    }
}

/// Lease Blob.
fn lease(ask: &Ask, blob: &mut Blob) -> Reply {
    assert!(ask.body.is_empty());
    let own = ask.header("x-ms-lease-id").map(str::to_owned);
    match ask.header("x-ms-lease-action").unwrap() {
        "acquire" => {
            let seconds: i32 = ask.header("x-ms-lease-duration").unwrap().parse().unwrap();
            assert!(seconds == -1 || (15..=60).contains(&seconds));
            let proposed = ask.header("x-ms-proposed-lease-id").unwrap().to_owned();
            if blob.lease.as_ref().is_some_and(|held| *held != proposed) {
                return refuse(409, "LeaseAlreadyPresent");
            }
            blob.lease = Some(proposed.clone());
            reply(201, &[("x-ms-lease-id", &proposed)], "")
        }
        action @ ("renew" | "release") => {
            if own.is_none() || blob.lease != own {
                return refuse(409, "LeaseIdMismatchWithLeaseOperation");
            }
            if action == "release" {
                blob.lease = None;
            }
            reply(200, &[("x-ms-lease-id", &own.unwrap())], "")
        }
        other => panic!("{other}"),
    }
}

/// Put Page, and where it wrote.
fn write(ask: &Ask, blob: &mut Blob) -> (u64, u64) {
    assert_eq!(ask.header("x-ms-page-write"), Some("update"));
    let (first, last) = ask.range().unwrap();
    let len = last + 1 - first;
    assert!(first.is_multiple_of(512) && len.is_multiple_of(512) && len <= MAX_WRITE, "{first} {last}");
    assert!(last < blob.bytes.len() as u64 && ask.body.len() as u64 == len);
    assert!(ask.body.iter().any(|byte| *byte != 0), "zeros are there already");
    blob.bytes[first as usize..=last as usize].copy_from_slice(&ask.body);
    (first, len)
}
