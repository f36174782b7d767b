//! initramfs images: what is in them, and how to add kernel modules without rebuilding them.
//!
//! ```text
//!  image bytes ──segment::walk──▶ cpio entries ──▶ Listing ─────────┐
//!                 (gzip xz zstd lz4 bzip2 lzma, streamed)           ├─▶ append::plan ──▶ Plan::Append(bytes)
//!  /lib/modules/VERSION ──ModuleSource──▶ ModuleIndex ──closure─────┘                    Plan::Replace(bytes)
//! ```
//!
//! The crate knows nothing of disks or file systems: an image is a byte stream, and the guest's module folder is a
//! [`ModuleSource`]. Every number from an image is checked, and [`Limits`] bound what a hostile image can cost.
//!
//! The rules of the container are those of the kernel's own unpacker (`init/initramfs.c` and
//! `Documentation/driver-api/early-userspace/buffer-format.rst`): any number of cpio archives in the "newc" form, each
//! plain or compressed on its own, with zero bytes between them; a plain archive starts at a multiple of 4.
//!
//! | | |
//! |---|---|
//! | containers | newc 070701 and 070702; several archives; early microcode in front |
//! | compression | none, gzip, xz, zstd, lz4 (legacy frame, the only one the kernel reads), bzip2, lzma (alone) |
//! | made by | initramfs-tools, dracut, mkinitcpio, mkinitfs are told apart by files each of them leaves behind |
//! | added | modules with their dependencies and soft dependencies, the guest's full set of module indexes, a list of modules to load early |
//! | not supported | lzo, LZ4 frame format, unified kernel images (PE files): [`Error::UnsupportedCompression`], [`Error::UnifiedKernelImage`] |
//! | not done | firmware files are not added; the drivers of paravirtual disks and networks need none |
//!
//! Added content goes into a plain archive behind the existing ones, so no byte of the old image changes. The exception is
//! an image that ends in lz4: its legacy frame has no end mark, the kernel takes whatever follows for another block and
//! reports "Decoding failed" (Launchpad bug 1835660), so that segment is unpacked and packed again with the new files in it.
//!
//! The kernel reads such an image whole; programs that only list images may not. unmkinitramfs(8) of Debian 12 stops at the
//! end of a compressed segment, so it does not show what was appended behind one, until the guest builds its next image.

mod addition;
pub mod append;
mod archive;
mod collect;
pub mod cpio;
mod early;
mod error;
mod index_files;
mod input;
mod kmod_index;
pub mod listing;
mod lz4_legacy;
pub mod modules;
mod nash;
pub mod segment;
pub mod shrink;

pub use append::{Added, Outcome, Plan, Request, plan};
pub use error::{Error, ErrorKind, Result};
pub use listing::{Builder, FileKind, Listing, Maker, ModuleFile, ModuleForm};
pub use modules::{Closure, INDEX_FILES, ModuleIndex, ModuleSource, ModuleState};
pub use segment::{Compression, Limits, Segment};
pub use shrink::{Packing, shrink};
