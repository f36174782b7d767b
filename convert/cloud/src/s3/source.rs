//! An object of S3 as a source.

use super::Bucket;
use crate::object::{Asking, MAX_PIECE, Object};
use crate::{CloudOptions, Identity};
use format_core::{Result, Storage};
use std::sync::Arc;

/// An object of S3, pinned to its version where the bucket keeps versions, else to its ETag.
pub struct S3Object(Object);

impl S3Object {
    /// Opens an object, or one `version` of it.
    ///
    /// # Errors
    /// As [`crate::HttpStorage::open`]; `NeedsPerson` without credentials.
    pub fn open(
        bucket: &str,
        key: &str,
        version: Option<&str>,
        region: Option<&str>,
        options: &CloudOptions,
    ) -> Result<Self> {
        let bucket = Bucket::open(bucket, region, options)?;
        let mut url = bucket.object(key)?;
        let learned = match version {
            Some(version) => {
                url = url.asking(&[("versionId", version)]);
                None
            }
            None => Some(("x-amz-version-id", "versionId")),
        };
        let signer = Arc::clone(&bucket.service.signer);
        let asking = Asking {
            url,
            signer,
            headers: Vec::new(),
            piece: MAX_PIECE,
            condition: "if-match",
            version: learned,
        };
        Ok(Self(Object::open(Arc::clone(&bucket.service.client), asking)?))
    }

    /// Version or ETag.
    #[must_use]
    pub fn identity(&self) -> Option<Identity> {
        self.0.identity()
    }
}

impl Storage for S3Object {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.0.read_exact_at(offset, buf)
    }
}
