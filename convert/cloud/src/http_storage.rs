//! A file on a web server.

use crate::http::{Client, Request, Sign, Unsigned};
use crate::object::{Asking, MAX_PIECE, Object};
use crate::url::Url;
use crate::{CloudOptions, Identity, secret};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use format_core::{Error, Result, Storage};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;
use zeroize::Zeroizing;

/// A file that a web server gives by ranges; so does the datastore of an ESXi host (`/folder/…?dcPath=…&dsName=…`).
pub struct HttpStorage(Object);

impl HttpStorage {
    /// Opens what `address` names, an address with `https://` or `http://`. User and password come from the file that
    /// [`CloudOptions::credentials`] names.
    ///
    /// # Errors
    /// `Usage` for an address that is none or holds a password, `Denied` for plain http to another host and for a refusal, `SourceMissing`,
    /// `Unsupported` for a server without ranges, `Temporary` when nothing comes, `Io` for a server that breaks the rules.
    pub fn open(address: &str, options: &CloudOptions) -> Result<Self> {
        Self::open_url(Url::parse(address)?, options)
    }

    pub(crate) fn open_url(url: Url, options: &CloudOptions) -> Result<Self> {
        let signer: Arc<dyn Sign> = match &options.credentials {
            Some(path) => Arc::new(Basic::read(path)?),
            None => Arc::new(Unsigned),
        };
        let asking = Asking {
            url,
            signer,
            headers: Vec::new(),
            piece: MAX_PIECE,
            condition: "if-range",
            version: None,
        };
        Ok(Self(Object::open(Arc::new(Client::new(options)?), asking)?))
    }

    /// What tells this file from a later one of the same name.
    #[must_use]
    pub fn identity(&self) -> Option<Identity> {
        self.0.identity()
    }
}

impl Storage for HttpStorage {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.0.read_exact_at(offset, buf)
    }
}

/// User and password (RFC 7617).
struct Basic(Zeroizing<String>);

impl Basic {
    fn read(path: &Path) -> Result<Self> {
        let line = secret::read_line(path)?;
        if !line.contains(':') {
            return Err(Error::usage(format!("{} is not of the form user:password", path.display())));
        }
        Ok(Self(Zeroizing::new(format!("Basic {}", STANDARD.encode(line.as_bytes())))))
    }
}

impl Sign for Basic {
    fn sign(&self, _: &Request<'_>, headers: &mut Vec<(String, String)>, _: SystemTime) -> Result<()> {
        headers.push(("authorization".into(), self.0.to_string()));
        Ok(())
    }
}
