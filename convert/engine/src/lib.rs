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

mod archive;
mod blocks;
mod budget;
mod chain;
mod checkpoints;
mod chunks;
mod clock;
mod compare;
mod consolidate;
mod device;
mod diff;
mod digest;
mod earlier;
pub mod evidence;
mod far_end;
mod hashes;
mod journal;
mod losses;
mod manifest;
mod mapfile;
mod measure;
mod observer;
mod pipeline;
mod planner;
mod ranges;
mod rate;
mod reading;
mod rescue;
mod resume;
mod run;
mod salvage;
mod sample;
mod seal;
mod source_proof;
mod sources;
mod stream;
mod sync;
mod turns;
mod verify;
mod watch;

pub use archive::{Archive, Member};
pub use budget::{threads_beside, threads_within};
pub use chain::{
    Chain, ChainImage, FolderChains, ImageState, ParentFacts, TreeImage, chain_of, chains_in_folder,
};
pub use compare::{Comparison, compare_disks};
pub use consolidate::{
    ConsolidateOutcome, ConsolidatePlan, ConsolidateRequest, KeptPoint, PlannedFile, consolidate,
    plan_consolidation,
};
pub use device::refuse_device_of_sources;
pub use diff::{Differences, diff_disks, diff_manifest};
pub use digest::{BLOCK_SIZE, BlockList, Digest, LEAF_SIZE, block_hash, digest_of_bytes, leaf_hash};
pub use earlier::{continued, is_copy};
pub use far_end::hashing_side;
pub use hashes::{HashKind, Hashes};
pub use losses::{Losses, LostRange};
pub use manifest::{
    BLOCKS_SUFFIX, ChangedRange, DeviceFacts, ImageFacts, MANIFEST_SUFFIX, Manifest, SourceFacts,
    manifest_path,
};
pub use mapfile::{Mapfile, RangeStatus};
pub use measure::{Measurement, measure};
pub use observer::{Control, Observer, Silent};
pub use pipeline::{CopyOutcome, Proof, copy_difference, copy_disk, copy_stream, digest_disk, hash_disk};
pub use ranges::RangeList;
pub use rate::RateLimit;
pub use rescue::{Patience, Rescue};
pub use resume::{Resumption, Through, convert_or_go_on, convert_through};
pub use run::{
    ConvertOutcome, ConvertRequest, Destination, StreamRequest, convert, convert_stream, create_image,
    size_in,
};
pub use salvage::salvaged;
pub use sample::{Sample, SampleFacts};
pub use sources::{SourceFile, refuse_source_file, refuse_source_files, refuse_sources};
pub use sync::{Changes, SyncOutcome, SyncTarget, SyncTotals, lag, source_blocks, sync};
pub use verify::{HashCheck, Verification, verify_image, verify_sample};
