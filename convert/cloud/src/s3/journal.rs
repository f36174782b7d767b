//! What an upload has so far, as an object beside the one that is written: `KEY.rehome-journal`.
//!
//! It is put only on the condition that it is what this run saw last, so that a run that was taken over writes to it no more.

use super::S3Store;
use format_core::{ConditionalStore, Error, ErrorKind, Result, codes};
use serde::{Deserialize, Serialize};

/// What the name of a journal ends in.
const ENDING: &str = ".rehome-journal";
/// The form that is written and understood.
const VERSION: u32 = 1;

/// A part that S3 has.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Part {
    pub(super) etag: String,
    /// The SHA-256 of its bytes, in hexadecimal digits.
    pub(super) sha256: String,
}

/// What a journal says.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Told {
    version: u32,
    /// Random, so that no two runs write the same.
    by: String,
    pub(super) upload: String,
    /// Bytes of each part but the last.
    pub(super) part: u64,
    /// From the first on.
    pub(super) parts: Vec<Part>,
}

/// The journal of one object.
pub(super) struct Journal {
    store: S3Store,
    key: String,
    by: String,
    /// Of what was seen or written last; `None` where there is none.
    tag: Option<String>,
}

impl Journal {
    /// The journal beside `key`, and what an earlier run left in it; nothing where that cannot be understood.
    pub(super) fn find(store: S3Store, key: &str) -> Result<(Self, Option<Told>)> {
        let key = format!("{key}{ENDING}");
        let there = store.get(&key)?;
        let told = there.as_ref().and_then(|(bytes, _)| serde_json::from_slice::<Told>(bytes).ok());
        let (tag, by) = (there.map(|(_, tag)| tag), uuid::Uuid::new_v4().to_string());
        Ok((Self { store, key, by, tag }, told.filter(|told| told.version == VERSION)))
    }

    /// Whether there is one.
    pub(super) fn is_there(&self) -> bool {
        self.tag.is_some()
    }

    /// Says what there is now.
    ///
    /// # Errors
    /// `Temporary` where another run has written to it; as any request.
    pub(super) fn write(&mut self, upload: &str, part: u64, parts: &[Part]) -> Result<()> {
        let told = Told {
            version: VERSION,
            by: self.by.clone(),
            upload: upload.into(),
            part,
            parts: parts.to_vec(),
        };
        let bytes = serde_json::to_vec(&told)
            .map_err(|e| Error::contract("the journal of an upload as JSON").with_source(e))?;
        let put = match &self.tag {
            None => self.store.put_if_absent(&self.key, &bytes)?,
            Some(tag) => self.store.put_if_match(&self.key, tag, &bytes)?,
        };
        let lost = || {
            Error::new(ErrorKind::Temporary, format!("another run writes to {}", self.key))
                .with_code(&codes::LEASE_LOST)
        };
        self.tag = Some(put.ok_or_else(lost)?);
        Ok(())
    }

    /// Nothing is left to go on with.
    pub(super) fn remove(&mut self) -> Result<()> {
        let Some(tag) = &self.tag else { return Ok(()) };
        self.store.remove_if_match(&self.key, tag)?;
        self.tag = None;
        Ok(())
    }
}
