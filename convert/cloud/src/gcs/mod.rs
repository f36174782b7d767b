//! Objects of Google Cloud Storage (XML API), as sources.

mod token;

use crate::http::Client;
use crate::object::{Asking, MAX_PIECE, Object};
use crate::url::{Url, encode, encode_path};
use crate::{CloudOptions, Identity};
use format_core::{Error, Result, Storage};
use std::sync::Arc;

/// An object of Google Cloud Storage, pinned to its generation.
pub struct GcsObject(Object);

impl GcsObject {
    /// Opens an object, or one `generation` of it. The bearer token comes from the file of [`CloudOptions::credentials`], which is read again for each
    /// request, so that a new one can be put there; else from the metadata service of a machine of Google; else the object has to be public.
    ///
    /// # Errors
    /// As [`crate::HttpStorage::open`].
    pub fn open(
        bucket: &str,
        object: &str,
        generation: Option<&str>,
        options: &CloudOptions,
    ) -> Result<Self> {
        if object.is_empty() || object.split('/').any(|part| matches!(part, "." | "..")) {
            return Err(Error::usage("that is no name of an object of Google"));
        }
        let emulator = options.environment.get("STORAGE_EMULATOR_HOST");
        let base = match emulator {
            Some(address) if address.contains("://") => Url::parse(&address)?,
            Some(address) => Url::parse(&format!("http://{address}"))?,
            None => Url::parse("https://storage.googleapis.com")?,
        };
        let mut url = base.below(&format!("/{}/{}", encode(bucket), encode_path(object)));
        let mut learned = Some(("x-goog-generation", "generation"));
        if let Some(generation) = generation {
            url = url.asking(&[("generation", generation)]);
            learned = None;
        }
        let signer = Arc::new(token::Bearer::new(options)?);
        let asking = Asking {
            url,
            signer,
            headers: Vec::new(),
            piece: MAX_PIECE,
            condition: "if-match",
            version: learned,
        };
        Ok(Self(Object::open(Arc::new(Client::new(options)?), asking)?))
    }

    /// The generation, or the ETag.
    #[must_use]
    pub fn identity(&self) -> Option<Identity> {
        let identity = self.0.identity()?;
        Some(if identity.kind == "version" { Identity { kind: "generation", ..identity } } else { identity })
    }
}

impl Storage for GcsObject {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.0.read_exact_at(offset, buf)
    }
}
