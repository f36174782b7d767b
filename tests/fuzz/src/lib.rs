//! What the fuzz targets share.
//!
//! ```text
//!  input = base number · patches        base images: made by run.sh with qemu-img, mkfs, sfdisk
//!     │
//!     └─▶ Patched (Storage) ─▶ checksums put right ─▶ open ─▶ walk ─▶ oracle
//! ```
//!
//! An image of some MiB is far too long for a mutating fuzzer, and most of it is zeros. So an input is a short list of
//! patches to the places of a base image that hold something, and the mutations always hit what matters.

mod archive;
mod device;
mod image;
mod patched;
mod seeds;
mod volume;

pub use archive::{raw_inside, seal_headers};
pub use device::{Device, walk_volume};
pub use image::{check_disk, fuzz_image, fuzz_stream};
pub use patched::{Bases, Patched};
pub use seeds::write_seeds;
pub use volume::{fuzz_volume, overlay_of};
