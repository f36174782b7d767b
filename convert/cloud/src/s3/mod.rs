//! Objects of Amazon S3 and of stores that speak as it does (Amazon S3 API Reference, version 2006-03-01).

mod journal;
mod parts;
mod source;
mod store;
mod target;
mod upload;

pub use parts::{Listed, completed, listed, upload_id};
pub use source::S3Object;
pub use store::S3Store;
pub use target::S3Target;

use crate::CloudOptions;
use crate::aws::{Service, Services};
use crate::url::{Url, encode, encode_path};
use format_core::{Error, Result};

/// More than an answer has that is no object, in bytes.
const MAX_ANSWER: u64 = 256 << 10;

/// A bucket, and the service that has it.
pub(crate) struct Bucket {
    service: Service,
    base: Url,
}

impl Bucket {
    pub(crate) fn open(name: &str, region: Option<&str>, options: &CloudOptions) -> Result<Self> {
        let services = Services::new(options, region)?;
        let service = services.service("s3")?;
        let (address, is_named) = services.endpoint("s3");
        // A bucket's name with dots fits no certificate, and other stores often know nothing of names of hosts for buckets.
        let base = if is_named || name.contains('.') {
            service.base.below(&format!("/{}", encode(name)))
        } else {
            Url::parse(&address.replacen("https://", &format!("https://{name}."), 1))?
        };
        Ok(Self { service, base })
    }

    /// The address of an object. Its key stands there as it is, also where it holds what a path cannot.
    fn object(&self, key: &str) -> Result<Url> {
        let is_odd = key.split('/').any(|part| matches!(part, "." | ".."));
        if key.is_empty() || key.len() > 1024 || is_odd {
            return Err(Error::usage(
                "the key of an object has 1 to 1024 bytes, and no part of it is . or ..",
            ));
        }
        Ok(self.base.below(&format!("/{}", encode_path(key))))
    }
}

/// Whether it can be the name of a bucket (Amazon S3 User Guide, "General purpose bucket naming rules").
pub(crate) fn is_bucket(name: &str) -> bool {
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.' | b'_');
    (3..=63).contains(&name.len())
        && name.bytes().all(plain)
        && !name.contains("..")
        && !name.starts_with(['.', '-'])
}
