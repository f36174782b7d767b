//! ext2, ext3 and ext4 file systems.
#![no_main]

use driver_core::{PartitionFacts, Volume};
use driver_partitions::Window;
use fuzz::{Bases, Patched, fuzz_volume, overlay_of};
use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, LazyLock};

static BASES: LazyLock<Bases> = LazyLock::new(|| Bases::load("ext4"));

/// Asks who owns each byte: the answer has every byte once.
fn fuzz_owners(image: Patched) {
    let overlay = overlay_of(image);
    let facts = PartitionFacts { size: overlay.base().virtual_size(), ..PartitionFacts::default() };
    let window = Window::of_partition(&overlay, &facts).expect("the whole disk");
    let all = 0..window.size();
    let Ok(found) = driver_fs_ext::owners(Arc::new(window), std::slice::from_ref(&all)) else { return };
    let mut at = 0;
    for piece in found.pieces {
        assert!(piece.range.start == at && piece.range.end > at, "{:?} behind {at:#x}", piece.range);
        at = piece.range.end;
    }
    assert_eq!(at, all.end);
}

fuzz_target!(|input: &[u8]| {
    let image = || Patched::from_input(&BASES, input, |_| {});
    fuzz_volume(image(), |window| driver_fs_ext::open(window));
    fuzz_owners(image());
});
