//! One way to everything that has an address.

use crate::address::{CloudAddress, Place};
use crate::{
    AzureBlob, CloudOptions, EbsSnapshot, EbsTarget, GcsObject, HttpStorage, Identity, S3Object, S3Target,
};
use format_core::units::GIB;
use format_core::{Error, ErrorKind, Result, Storage, TargetStorage};

/// A source that was opened.
pub struct CloudSource {
    /// Its bytes.
    pub storage: Box<dyn Storage>,
    /// What tells it from a later one of the same name, for manifests and journals; `None` where the server says nothing of
    /// that kind, and a change shows by size alone.
    pub identity: Option<Identity>,
}

/// A target that was begun.
pub struct CloudTarget {
    /// Where its bytes go.
    pub storage: Box<dyn TargetStorage>,
    /// What the cloud calls it, where that is not in the address: a new snapshot's id.
    pub id: Option<String>,
}

/// Opens what an address names.
///
/// # Errors
/// `Usage` for an address that is a target only, `NeedsPerson` without credentials, `SourceMissing`, `Denied`, `Unsupported` for a
/// server that gives no ranges, `Temporary` when nothing comes in time, `Io` for a server that breaks the rules.
pub fn open(address: &CloudAddress, options: &CloudOptions) -> Result<CloudSource> {
    fn source(storage: impl Storage + 'static, identity: Option<Identity>) -> CloudSource {
        CloudSource { storage: Box::new(storage), identity }
    }
    let opened = match &address.0 {
        Place::Http(address) => HttpStorage::open(address, options).map(|file| {
            let identity = file.identity();
            source(file, identity)
        }),
        Place::AzureSigned(address) => AzureBlob::open_signed(address, options).map(|blob| {
            let identity = blob.identity();
            source(blob, identity)
        }),
        Place::Azure { account, container, blob, snapshot } => {
            AzureBlob::open(account, container, blob, snapshot.as_deref(), options).map(|blob| {
                let identity = blob.identity();
                source(blob, identity)
            })
        }
        Place::Ebs { id, region } => EbsSnapshot::open(id, region.as_deref(), options).map(|snapshot| {
            let identity = snapshot.identity();
            source(snapshot, Some(identity))
        }),
        Place::S3 { bucket, key, region, version } => {
            S3Object::open(bucket, key, version.as_deref(), region.as_deref(), options).map(|object| {
                let identity = object.identity();
                source(object, identity)
            })
        }
        Place::Gcs { bucket, object, generation } => {
            GcsObject::open(bucket, object, generation.as_deref(), options).map(|object| {
                let identity = object.identity();
                source(object, identity)
            })
        }
        Place::NewEbs { .. } => Err(Error::usage("ebs://new is a target: name a snapshot by its id")),
    };
    opened.map_err(|error| error.context(format!("open {address}")))
}

/// Begins a target at an address, for an image of at most `size` bytes.
///
/// # Errors
/// `Unsupported` where targets are not written, `Destination` where something is there already or has too little room, else as
/// [`open`].
pub fn create(address: &CloudAddress, options: &CloudOptions, size: u64) -> Result<CloudTarget> {
    let created = match &address.0 {
        Place::NewEbs { gib, region, parent } => {
            if gib.saturating_mul(GIB) < size {
                let message = format!("the new volume is to have {gib} GiB, and the disk has {size} bytes");
                Err(Error::new(ErrorKind::Destination, message).hint(format!("ebs://new?size={}", size.div_ceil(GIB))))
            } else {
                EbsTarget::start(*gib, parent.as_deref(), region.as_deref(), options)
                    .map(|target| CloudTarget { id: Some(target.id().to_owned()), storage: Box::new(target) })
            }
        }
        Place::S3 { bucket, key, region, version: None } => S3Target::create(bucket, key, region.as_deref(), size, options)
            .map(|target| CloudTarget { id: None, storage: Box::new(target) }),
        _ => Err(Error::unsupported("images are written to S3 (s3://BUCKET/KEY) and as snapshots of EBS (ebs://new?size=GIB), not here")
            .hint("write it to a file, then upload that with the cloud's own program")),
    };
    created.map_err(|error| error.context(format!("create {address}")))
}
