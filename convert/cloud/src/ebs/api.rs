//! The six calls of the service.

use super::BLOCK;
use super::listing::{Page, is_later, wrong};
use crate::aws::Service;
use crate::http::{Answer, Failure, Fault, Method, Request};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use format_core::{Error, Result, codes};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};

/// More than a list with [`PER_PAGE`] blocks has, in bytes.
const MAX_LIST: u64 = 8 << 20;
/// How many blocks are asked for in a list: a GiB of the disk, where all are written.
const PER_PAGE: &str = "2000";
/// More than any other answer has, in bytes.
const MAX_ANSWER: u64 = 64 << 10;

/// The SHA-256 of a block.
pub(super) type Sum = [u8; 32];

/// What a new or finished snapshot is told to be.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Started {
    pub(super) snapshot_id: String,
    pub(super) block_size: u64,
    pub(super) volume_size: u64,
}

/// The service, as it is asked.
pub(super) struct Api(pub(super) Service);

impl Api {
    fn request(&self, method: Method, path: &str) -> Request<'static> {
        Request { is_later, ..Request::new(method, self.0.base.below(path)) }
    }

    /// ListSnapshotBlocks, or ListChangedBlocks where there is an `older` one; from block `first` or from a token on.
    pub(super) fn list(
        &self,
        id: &str,
        older: Option<&str>,
        first: u64,
        token: Option<&str>,
    ) -> Result<Page, Failure> {
        let path = if older.is_some() { "changedblocks" } else { "blocks" };
        let mut request = self.request(Method::Get, &format!("/snapshots/{id}/{path}")).longest(MAX_LIST);
        let first_text = first.to_string();
        let mut questions = vec![("maxResults", PER_PAGE)];
        questions.extend(older.map(|older| ("firstSnapshotId", older)));
        match token {
            Some(token) => questions.push(("pageToken", token)),
            None => questions.push(("startingBlockIndex", &first_text)),
        }
        request.url = request.url.asking(&questions);
        Ok(Page::parse(&self.0.send(&request)?.body, first)?)
    }

    /// GetSnapshotBlock: fills `block`, and compares it with its checksum.
    pub(super) fn block(&self, id: &str, index: u64, token: &str, block: &mut [u8]) -> Result<(), Failure> {
        let request = self.request(Method::Get, &format!("/snapshots/{id}/blocks/{index}"));
        let request = Request { url: request.url.asking(&[("blockToken", token)]), ..request };
        self.0.client.exchange(&request, self.0.signer.as_ref(), &mut |head, body| {
            let len = block.len() as u64;
            let said = head.get("x-amz-data-length").and_then(crate::http::number);
            if said != Some(len) || head.length().is_some_and(|said| said != len) || !head.is_plain() {
                return Err(Fault::Final(wrong(&format!(
                    "has another length than the {len} bytes of block {index}"
                ))));
            }
            let sum = match (head.get("x-amz-checksum-algorithm"), head.get("x-amz-checksum")) {
                (Some("SHA256"), Some(sum)) => {
                    STANDARD.decode(sum).ok().and_then(|sum| Sum::try_from(sum).ok())
                }
                _ => None,
            };
            let sum = sum.ok_or_else(|| wrong(&format!("has no SHA-256 for block {index}")))?;
            body.fill(block)?;
            if Sum::from(Sha256::digest(&*block)) == sum {
                return Ok(());
            }
            // What was garbled on its way may come well the next time.
            let message = format!("block {index} of {id} is not what its checksum says");
            Err(Fault::Again(Error::corrupt(message).with_code(&codes::SOURCE_CHECKSUM)))
        })
    }

    /// StartSnapshot for a volume of so many GiB. `once` names this attempt: the same again makes no second snapshot.
    pub(super) fn start(
        &self,
        gib: u64,
        parent: Option<&str>,
        description: &str,
        once: &str,
    ) -> Result<Started> {
        let mut body =
            json!({"VolumeSize": gib, "Description": description, "ClientToken": once, "Timeout": 4320});
        if let (Some(parent), Some(fields)) = (parent, body.as_object_mut()) {
            fields.insert("ParentSnapshotId".into(), parent.into());
        }
        let body = body.to_string();
        let request = self.request(Method::Post, "/snapshots").header("content-type", "application/json");
        let answer = self.0.send(&request.with_body(body.as_bytes()).longest(MAX_ANSWER))?;
        let started: Started = serde_json::from_slice(&answer.body)
            .map_err(|_| wrong("does not tell of the snapshot that was to be begun"))?;
        if !is_snapshot(&started.snapshot_id) {
            return Err(wrong("names a snapshot by what is no id"));
        }
        Ok(started)
    }

    /// PutSnapshotBlock, of exactly one block.
    pub(super) fn put(&self, id: &str, index: u64, block: &[u8]) -> Result<Sum> {
        debug_assert_eq!(block.len() as u64, BLOCK);
        let sum = Sum::from(Sha256::digest(block));
        let request = self
            .request(Method::Put, &format!("/snapshots/{id}/blocks/{index}"))
            .header("content-type", "application/octet-stream")
            .header("x-amz-data-length", block.len().to_string())
            .header("x-amz-checksum", STANDARD.encode(sum))
            .header("x-amz-checksum-algorithm", "SHA256");
        let answer = self.0.send(&request.with_body(block).longest(MAX_ANSWER))?;
        match answer.head.get("x-amz-checksum") {
            Some(told) if told != STANDARD.encode(sum) => {
                Err(wrong(&format!("tells another checksum for block {index} than was sent")))
            }
            _ => Ok(sum),
        }
    }

    /// CompleteSnapshot; gives the status.
    pub(super) fn complete(&self, id: &str, changed: u64, sum: Option<Sum>) -> Result<String> {
        let mut request = self
            .request(Method::Post, &format!("/snapshots/completion/{id}"))
            .header("x-amz-changedblockscount", changed.to_string());
        if let Some(sum) = sum {
            request = request
                .header("x-amz-checksum", STANDARD.encode(sum))
                .header("x-amz-checksum-algorithm", "SHA256")
                .header("x-amz-checksum-aggregation-method", "LINEAR");
        }
        status(&self.0.send(&request.longest(MAX_ANSWER))?)
    }
}

fn status(answer: &Answer) -> Result<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Completed {
        status: String,
    }
    let completed: Completed = serde_json::from_slice(&answer.body).map_err(|_| wrong("tells no status"))?;
    Ok(completed.status)
}

/// Whether it has the form of a snapshot's id.
pub(crate) fn is_snapshot(id: &str) -> bool {
    let digits = id.strip_prefix("snap-").unwrap_or_default();
    (8..=32).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase())
}
