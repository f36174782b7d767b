//! XFS.
#![no_main]

use fuzz::{Bases, Patched, fuzz_volume};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static BASES: LazyLock<Bases> = LazyLock::new(|| Bases::load("xfs"));

/// Where the checksum of a block with this magic is, and over how many bytes it goes: the superblock says.
fn sealed(magic: &[u8], block: usize, folder: usize, inode: usize) -> Option<(usize, usize)> {
    Some(match magic {
        b"XFSB" => (512, 224),
        b"XAGF" => (512, 216),
        b"XAGI" => (512, 312),
        b"AB3B" | b"AB3C" | b"IAB3" | b"RMB3" | b"R3FC" => (block, 52),
        b"BMA3" => (block, 64),
        b"XDB3" | b"XDD3" => (folder, 4),
        b"XSLM" => (block, 12),
        [b'I', b'N', ..] => (inode, 100),
        _ => return None,
    })
}

/// Puts the checksums of the patched metadata right, so that what was patched gets past them.
fn seal(image: &mut Patched) {
    let number =
        |at, len| image.bytes(at, len).iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
    let (block, inode) = (number(4, 4).min(65536), number(104, 2));
    let folder = block << number(192, 1).min(4);
    for place in image.places() {
        for size in [512, inode, block, folder].into_iter().filter(|size| *size > 0) {
            let at = place / size as u64 * size as u64;
            let mut bytes = image.bytes(at, size);
            let Some((len, crc)) = sealed(&bytes[..4.min(size)], block, folder, inode) else { continue };
            if len == size && crc + 4 <= size {
                bytes[crc..crc + 4].fill(0);
                image.patch(at + crc as u64, &crc32c::crc32c(&bytes).to_le_bytes());
            }
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let image = Patched::from_input(&BASES, input, seal);
    fuzz_volume(image, |window| driver_fs_xfs::open(window));
});
