//! Guest facts, edits and fixups: the vocabulary of the driver stage.
//!
//! ```text
//!  Volume ─▶ GuestFs ─┐
//!  Volume ─▶ GuestFs ─┴▶ GuestTree ─inspect─▶ Guest (facts)
//!                            │                   │
//!                            ▼                   ▼
//!                          Draft ◀──plan── Fixup × Target ─▶ Plan (edits as data) ─▶ apply
//! ```
//!
//! Nothing in here knows a distribution or a hypervisor. A fixup never writes: it plans edits in a
//! [`Draft`], and [`apply`] carries them out over an overlay.

pub mod block;
mod cached_volume;
pub mod device;
mod draft;
mod draft_registry;
mod driver_package;
mod edit;
mod fixup;
mod free_ranges;
mod group;
mod guest;
mod guest_command;
mod guest_file;
mod guest_fs;
pub mod guest_path;
mod hives;
#[cfg(test)]
#[path = "../../registry/tests/maker/mod.rs"]
mod maker;
mod mapping;
mod mem_fs;
mod memo;
mod plan;
mod planned_keys;
mod read_only;
mod registry_text;
mod remember;
mod source;
mod target;
mod tree;
mod tree_registry;
mod volume;
mod windows;
mod wishes;

pub use cached_volume::CachedVolume;
pub use draft::{Draft, TEXT_LIMIT};
pub use driver_package::{
    DriverDate, DriverDevice, DriverPackage, DriverService, FileTarget, PackageFile, ServiceData,
    ServiceValue, WriteMode,
};
pub use edit::{Action, Edit};
pub use fixup::{Applies, Context, Fixup, PlannedFixup, Status};
pub use format_core::printable;
pub use free_ranges::{FreeRanges, zero_runs};
pub use group::{GroupFacts, GroupKind, GroupPart, VolumeFacts, VolumeId};
pub use guest::{
    BootFacts, DiskFacts, DriverFacts, DriverState, FsFacts, Guest, HybridEntry, KernelFacts, MappingFacts,
    MountFacts, OsFacts, PartitionFacts, PartitionId, PartitionRole, TableKind,
};
pub use guest_command::{CommandOutcome, CommandRun, GuestCommand, GuestRunner};
pub use guest_file::{GuestFile, check_range};
pub use guest_fs::{Change, DirEntry, FileKind, FileMeta, GuestFs, Ownership};
pub use mapping::{Mapping, MappingArgument, MappingLine, SECTOR};
pub use mem_fs::MemFs;
pub use plan::{Plan, apply, make_plan, outline};
pub use read_only::ReadOnlyFs;
pub use registry_text::value_text;
pub use source::{PlatformSign, SourceFacts, Strength};
pub use target::{Addresses, Clock, DefinitionKind, Firmware, Platform, Target};
pub use tree::GuestTree;
pub use volume::Volume;
pub use windows::{InterfaceFacts, WindowsFacts};
pub use wishes::{Adapter, IdentityWishes, Mac, NetworkWishes, StaticAddress, Wishes};
