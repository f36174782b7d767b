//! The copy and its proof.
//!
//! ```text
//!  Disk ─▶ Planner ─▶ worker × n: read · zero test · hash leaves · pack ─▶ Sink ─▶ target image
//!           4 MiB blocks                                 │
//!                                                        └─▶ BlockList ─▶ digest ─▶ manifest
//! ```
//!
//! [`convert`] runs the stages; read `run.rs` first. [`digest_disk`], [`verify_image`] and [`compare_disks`] use the
//! same planner and workers without a sink.

mod chunks;
mod compare;
mod device;
mod digest;
mod manifest;
mod measure;
mod observer;
mod pipeline;
mod planner;
mod run;
mod salvage;
mod sources;
mod stream;
mod sync;
mod turns;
mod verify;

pub use compare::{Comparison, compare_disks};
pub use device::refuse_device_of_sources;
pub use digest::{BLOCK_SIZE, BlockList, Digest, LEAF_SIZE, block_hash, digest_of_bytes};
pub use manifest::{
    BLOCKS_SUFFIX, ChangedRange, ImageFacts, MANIFEST_SUFFIX, Manifest, SourceFacts, manifest_path,
};
pub use measure::{Measurement, measure};
pub use observer::{Control, Observer, Silent};
pub use pipeline::{CopyOutcome, copy_difference, copy_disk, copy_stream, digest_disk};
pub use run::{ConvertOutcome, ConvertRequest, Destination, convert, convert_stream, create_image, size_in};
pub use salvage::{Losses, salvaged};
pub use sources::{SourceFile, refuse_source_file, refuse_source_files, refuse_sources};
pub use sync::{SyncOutcome, SyncTarget, SyncTotals, sync};
pub use verify::{Verification, verify_image};
