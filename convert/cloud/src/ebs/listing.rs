//! The lists of blocks, as the service writes them.

use crate::http::Refusal;
use format_core::units::GIB;
use format_core::{Error, ErrorKind, Result};
use serde::Deserialize;

/// The largest volume that AWS sells, in GiB.
const MAX_VOLUME: u64 = 65_536;
/// More than any token has, in bytes.
const MAX_TOKEN: usize = 4096;
/// More than an answer with so many blocks as are asked for.
pub(super) const MAX_BLOCKS: usize = 10_000;

/// A block that a list names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its number from the volume's start.
    pub index: u64,
    /// What it is read with; `None` in a list of changes for a block that is no longer there.
    pub token: Option<String>,
}

/// A checked answer of ListSnapshotBlocks or ListChangedBlocks.
#[derive(Clone, Debug)]
pub struct Page {
    /// Bytes in a block.
    pub block_size: u64,
    /// Bytes of the volume.
    pub volume_size: u64,
    /// Ascending.
    pub blocks: Vec<Block>,
    /// Where more follow.
    pub next: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawPage {
    block_size: u64,
    volume_size: u64,
    #[serde(default)]
    blocks: Option<Vec<RawBlock>>,
    #[serde(default)]
    changed_blocks: Option<Vec<RawChange>>,
    #[serde(default)]
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawBlock {
    block_index: u64,
    block_token: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawChange {
    block_index: u64,
    #[serde(default)]
    second_block_token: Option<String>,
}

impl Page {
    /// Reads an answer and checks it: sizes that there are, and indexes that lie between `first` and the volume's end, each once. They are sorted.
    /// An empty list with a token is one (a page says how far the service has looked, not what it found).
    ///
    /// # Errors
    /// `Io` for an answer that breaks these rules.
    pub fn parse(body: &[u8], first: u64) -> Result<Self> {
        let raw: RawPage =
            serde_json::from_slice(body).map_err(|_| wrong("is no JSON as the service describes it"))?;
        let is_size = raw.block_size.is_power_of_two() && (512..=64 << 20).contains(&raw.block_size);
        if !is_size {
            return Err(wrong(&format!(
                "says blocks of {} bytes, 512 to 64 MiB and a power of two are possible",
                raw.block_size
            )));
        }
        if raw.volume_size == 0 || raw.volume_size > MAX_VOLUME {
            return Err(wrong(&format!(
                "says a volume of {} GiB, 1 to {MAX_VOLUME} are possible",
                raw.volume_size
            )));
        }
        let volume_size = raw.volume_size * GIB;
        let plain = raw.blocks.unwrap_or_default().into_iter();
        let plain = plain.map(|block| Block { index: block.block_index, token: Some(block.block_token) });
        let changed = raw.changed_blocks.unwrap_or_default().into_iter();
        let changed =
            changed.map(|block| Block { index: block.block_index, token: block.second_block_token });
        let mut blocks: Vec<Block> = plain.chain(changed).collect();
        if blocks.len() > MAX_BLOCKS {
            return Err(wrong(&format!("has {} blocks, at most {MAX_BLOCKS} were asked for", blocks.len())));
        }
        // The service sorts them; one that only looks like it (moto) tells them as they were written.
        blocks.sort_by_key(|block| block.index);
        let mut least = first;
        for block in &blocks {
            if block.index < least {
                return Err(wrong(&format!(
                    "has block {} where {least} or a later one belongs: it is there twice, or was told before",
                    block.index
                )));
            }
            if block.index >= volume_size / raw.block_size {
                return Err(wrong(&format!(
                    "has block {}, the volume has {}",
                    block.index,
                    volume_size / raw.block_size
                )));
            }
            if block.token.as_deref().is_some_and(|token| !is_token(token)) {
                return Err(wrong(&format!("has a token for block {} that is none", block.index)));
            }
            least = block.index + 1;
        }
        let next = raw.next_token.filter(|token| !token.is_empty());
        if next.as_deref().is_some_and(|token| !is_token(token)) {
            return Err(wrong("has a token for its next page that is none"));
        }
        Ok(Self { block_size: raw.block_size, volume_size, blocks, next })
    }
}

fn is_token(token: &str) -> bool {
    !token.is_empty() && token.len() <= MAX_TOKEN && token.bytes().all(|byte| byte.is_ascii_graphic())
}

pub(super) fn wrong(how: &str) -> Error {
    Error::new(ErrorKind::Io, format!("an answer of EBS {how}"))
}

/// Throttling comes with status 400 as well as 429 and 503.
pub(super) fn is_later(refusal: &Refusal) -> bool {
    ["RequestThrottledException", "ThrottlingException", "Throttling", "InternalServerException"]
        .iter()
        .any(|code| refusal.is(code))
        || refusal.is("REQUEST_THROTTLED")
        || refusal.is("REQUEST_LIMIT_EXCEEDED")
}

/// Whether a token has had its time: 60 minutes for pages, 7 days for blocks.
pub(super) fn is_expired(refusal: &Refusal) -> bool {
    ["INVALID_PAGE_TOKEN", "INVALID_BLOCK_TOKEN"].iter().any(|reason| refusal.is(reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &str) -> Result<Page> {
        Page::parse(text.as_bytes(), 5)
    }

    #[test]
    fn lists_are_read_and_checked() {
        let one = page(r#"{"BlockSize":524288,"VolumeSize":1,"Blocks":[{"BlockIndex":5,"BlockToken":"a"},{"BlockIndex":2047,"BlockToken":"b"}],"ExpiryTime":1.5}"#).unwrap();
        assert_eq!((one.block_size, one.volume_size, one.blocks.len(), one.next), (512 << 10, GIB, 2, None));
        let empty = page(r#"{"BlockSize":512,"VolumeSize":1,"Blocks":[],"NextToken":"t"}"#).unwrap();
        assert_eq!((empty.blocks.len(), empty.next.as_deref()), (0, Some("t")));
        let changes = page(r#"{"BlockSize":524288,"VolumeSize":1,"ChangedBlocks":[{"BlockIndex":6,"FirstBlockToken":"x"},{"BlockIndex":7,"SecondBlockToken":"y"}],"NextToken":null}"#).unwrap();
        assert_eq!(changes.blocks[0], Block { index: 6, token: None });
        let mixed = page(r#"{"BlockSize":524288,"VolumeSize":1,"Blocks":[{"BlockIndex":9,"BlockToken":"b"},{"BlockIndex":6,"BlockToken":"a"}]}"#).unwrap();
        assert_eq!(mixed.blocks.iter().map(|block| block.index).collect::<Vec<_>>(), [6, 9]);
        assert_eq!(changes.blocks[1].token.as_deref(), Some("y"));
    }

    #[test]
    fn lists_that_break_the_rules_are_none() {
        let with = |blocks: &str| format!(r#"{{"BlockSize":524288,"VolumeSize":1,"Blocks":[{blocks}]}}"#);
        for text in [
            "",
            "[]",
            "{}",
            r#"{"BlockSize":524287,"VolumeSize":1}"#,
            r#"{"BlockSize":0,"VolumeSize":1}"#,
            r#"{"BlockSize":256,"VolumeSize":1}"#,
            r#"{"BlockSize":524288,"VolumeSize":0}"#,
            r#"{"BlockSize":524288,"VolumeSize":18446744073709551615}"#,
            r#"{"BlockSize":524288,"VolumeSize":-1}"#,
            r#"{"BlockSize":524288,"VolumeSize":1,"NextToken":"a b"}"#,
            &with(r#"{"BlockIndex":4,"BlockToken":"a"}"#),
            &with(r#"{"BlockIndex":6,"BlockToken":"a"},{"BlockIndex":6,"BlockToken":"a"}"#),
            &with(r#"{"BlockIndex":2048,"BlockToken":"a"}"#),
            &with(r#"{"BlockIndex":6,"BlockToken":""}"#),
            &with(r#"{"BlockIndex":6}"#),
        ] {
            assert_eq!(page(text).unwrap_err().kind(), ErrorKind::Io, "{text}");
        }
    }
}
