//! One way to everything that has an address.

use crate::address::{CloudAddress, Place};
use crate::{
    AzureBlob, AzureTarget, CloudOptions, EbsSnapshot, EbsTarget, GcsObject, HttpStorage, Identity, S3Object,
    S3Target,
};
use format_core::units::{GIB, format_size};
use format_core::{Claim, Error, ErrorKind, Result, Storage, TargetStorage};

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
    /// What the operator is to know: the id of a new snapshot, what an earlier run left.
    pub note: Option<String>,
}

/// What is to be written, and how.
#[derive(Default)]
pub struct Writing {
    /// The image has at most so many bytes.
    pub size: u64,
    /// That this run is the only one which writes there, where that was agreed on in [`CloudAddress::agreement`].
    pub claim: Option<Box<dyn Claim>>,
    /// What an earlier run left is not gone on with.
    pub restart: bool,
}

impl Writing {
    /// An image of at most `size` bytes; nobody else writes there.
    #[must_use]
    pub fn alone(size: u64) -> Self {
        Self { size, ..Self::default() }
    }
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

/// Begins a target at an address.
///
/// # Errors
/// `Unsupported` where targets are not written, `Destination` where something is there already or has too little room, `Temporary`
/// where another run is at work, else as [`open`].
pub fn create(address: &CloudAddress, options: &CloudOptions, writing: Writing) -> Result<CloudTarget> {
    fn target(storage: impl TargetStorage + 'static, note: Option<String>) -> CloudTarget {
        CloudTarget { storage: Box::new(storage), note }
    }
    let size = writing.size;
    let created = match &address.0 {
        Place::NewEbs { gib, region, parent } => {
            if gib.saturating_mul(GIB) < size {
                let message = format!("the new volume is to have {gib} GiB, and the disk has {size} bytes");
                Err(Error::new(ErrorKind::Destination, message).hint(format!("ebs://new?size={}", size.div_ceil(GIB))))
            } else {
                EbsTarget::start(*gib, parent.as_deref(), region.as_deref(), options).map(|snapshot| {
                    let note = format!("the new snapshot is {}", snapshot.id());
                    target(snapshot, Some(note))
                })
            }
        }
        Place::S3 { bucket, key, region, version: None } => {
            S3Target::create(bucket, key, region.as_deref(), writing, options).map(|object| {
                let (parts, len) = object.found();
                let note = format!("of an earlier run {parts} parts of {} are there: what is the same is not sent again", format_size(len));
                target(object, (parts > 0).then_some(note))
            })
        }
        Place::Azure { account, container, blob, snapshot: None } => {
            AzureTarget::create(account, container, blob, size, options).map(|blob| target(blob, None))
        }
        Place::AzureSigned(address) => {
            AzureTarget::create_signed(address, size, options).map(|blob| target(blob, None))
        }
        _ => Err(Error::unsupported(
            "images are written to S3 (s3://BUCKET/KEY), page blobs of Azure (azblob://…) and new snapshots of EBS (ebs://new?size=GIB), not here",
        )
            .hint("write it to a file, then upload that with the cloud's own program")),
    };
    created.map_err(|error| error.context(format!("create {address}")))
}
