//! The vocabulary of disk images. No format is in here; every format room speaks it.
//!
//! ```text
//!  Storage ──▶ Layer ──chain──▶ Disk ──▶ (Overlay) ──▶ pipeline ──▶ Sink ──▶ TargetStorage
//!  host bytes  one image        guest bytes, checked                 one format's writer
//! ```
//!
//! # The contract
//!
//! `tests/conformance` checks these lines for every entry of `FORMATS`, and checks on deliberately broken
//! fakes that it would notice a violation.
//!
//! 1. [`Layer::extent_at`]`(o)` with `o < virtual_size` starts at `o`, has `len > 0`, ends inside the disk and
//!    costs at most one table look-up; `o >= virtual_size` is an error.
//! 2. [`ExtentKind::Data`] gives bytes; [`ExtentKind::Zero`] reads as zeros *and hides the parent*;
//!    [`ExtentKind::Unallocated`] lets the parent show through, else reads as zeros.
//! 3. [`Layer::read_exact_at`] takes `&self`, is called from many threads, has no shared cursor and never
//!    returns short. It may span extents of any kind; what is not `Data` in this layer is filled with zeros.
//! 4. A shorter parent reads as zeros beyond its end.
//! 5. [`Disk`] (a concrete struct over a checked chain, the only type callers read from) flattens to Data and
//!    Zero, ascending, contiguous, coalesced. It checks every answer of a layer; a violation is
//!    [`ErrorKind::Contract`], never an endless loop.
//! 6. Chunks of one disk that reach a [`Sink`] never overlap; what is never mentioned is zero.
//! 7. After [`Sink::zero_at`] the range reads as zeros.
//! 8. A sink dropped without [`Sink::finish`] leaves nothing that opens under the final name.
//!    One that was opened again by [`Format::resume`] gives the same disk as one that was never interrupted, whatever
//!    was written between its last [`Sink::checkpoint`] and the interruption.
//! 9. No method panics, hangs or allocates without bound for any argument or any file content.
//! 10. Same content, same digest, whatever the format, layout, chunk size, order or thread count.
//!
//! # Containers and compression
//!
//! What holds several disks, or more than a disk, is a [`Container`]: a file or a folder from which each disk is opened, with
//! what it says about the machine and its points in time. A compressed file is unpacked before its format is looked for
//! ([`Format::unpack`]): at any place where the compression allows that, else into a temporary file ([`Spool`]), else, where the
//! format inside can be read from its start to its end, on the way.
//!
//! # Adding a format
//!
//! One folder with the furniture of the other rooms (`SPEC.md`, `layout`, `parse`, `read`, `write`, `error`)
//! that exports `pub static FORMAT: Format`, and one entry in `formats/all`.

mod append;
mod ascending;
mod boot_copy;
mod buffer;
mod bytes;
mod cache;
mod chain;
mod check;
mod checking;
mod claim;
mod claims;
pub mod codes;
mod container;
mod direct_device;
mod disk;
mod error;
mod extent;
mod fence;
mod flow;
mod folder;
mod format;
mod gate;
mod guess;
mod json_weight;
mod layer;
mod link;
mod masked;
mod names;
mod opener;
mod overlay;
mod pick;
mod points;
mod printable;
mod ranges;
mod read_ahead;
mod remote;
mod renewal;
mod runs;
mod same;
mod sink;
mod small_file;
mod source;
mod spool;
mod stamp;
mod state;
mod storage;
mod storage_reader;
mod stream;
mod target;
mod timed_open;
mod uncached;
pub mod units;
mod update;
mod warning;
mod words;
mod zero;

pub use append::open_at_end;
pub use ascending::AscendingRanges;
pub use boot_copy::BootCopy;
pub use buffer::{AlignedBuffer, DIRECT_ALIGNMENT};
pub use bytes::Bytes;
pub use cache::{Page, PageCache};
pub use chain::{Inside, MAX_CHAIN, OpenOptions, OpenedImage, open_image, open_images};
pub use check::{CheckReport, Finding, Severity};
pub use checking::{CheckedImage, check_image};
pub use claim::{Claim, ConditionalStore};
pub use claims::Claims;
pub use codes::{Code, Stage};
pub use container::{Container, DiskEntry, InnerImage, MachineFile, Origin, Point, SourceProof, Tick};
pub use direct_device::DirectDevice;
pub use disk::{Disk, Extents, MapEntry};
pub use error::{Error, ErrorKind, Result};
pub use extent::{Extent, ExtentKind};
pub use fence::{Fence, PublishedFile};
pub use flow::{Flow, Flowing, open_flow, open_pipe};
pub use folder::{FolderEntry, SourceFolder};
pub use format::{
    Access, CreateOption, CreateRequest, Format, Key, LayerContext, ParentImage, ResumeSink, Score,
};
pub use gate::{DenyAll, FolderGate, Gate, PartFile, Referenced};
pub use guess::probe_formats;
pub use json_weight::check_json_weight;
pub use layer::{ContentId, Details, HostRange, Layer, ParentRef};
pub use link::ChainLink;
pub use masked::{MASK_STEP, masked};
pub use names::{has_extension, image_name, is_image_name, is_raw_name};
pub use opener::Opener;
pub use overlay::Overlay;
pub use printable::{printable, printable_json, printable_lines, steers};
pub use ranges::RangeSet;
pub use remote::{HashLevel, Held, PlainRemote, Remote, RemoteSource, Remotes, UNREADABLE};
pub use renewal::Renewal;
pub use runs::{Run, bit_run_lsb, bit_run_msb, check_guest_range, read_runs};
pub use same::is_same_content;
pub use sink::{MAX_CHUNK, Needs, Order, Packed, Sink};
pub use small_file::read_small_file;
pub use spool::{Spool, SpoolEvent, SpoolObserver, stream_error};
pub use stamp::FileStamp;
pub use state::{StateReader, StateWriter};
pub use storage::{FileStorage, MemStorage, PIECE_STEP, Seen, Storage};
pub use storage_reader::{DiskStorage, StorageReader, WindowStorage};
pub use stream::{ChunkStream, StreamChunk};
pub use target::{
    CountingTarget, DeviceInPlace, DeviceTarget, FileInPlace, FileTarget, MemInPlace, MemTarget, PipeTarget,
    TargetStorage,
};
pub use timed_open::TimedOpen;
pub use update::{Update, UpdateStorage};
pub use warning::Warning;
pub use words::{WordEntry, WordTable};
pub use zero::is_zero;
