//! Partition tables: what is reported lies on the disk, and does not change when read again.
#![no_main]

use driver_partitions::{Window, identify, needed_size, read_table};
use fuzz::{Bases, Patched, overlay_of};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static BASES: LazyLock<Bases> = LazyLock::new(|| Bases::load("partitions"));

/// The CRC-32 of the GPT's entries and header (UEFI 5.3.2), primary only: the backup stays as it was.
fn seal(image: &mut Patched) {
    let header = image.bytes(512, 512);
    let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let (count, size) = (number(80) as usize, number(84) as usize);
    let table = image.bytes(u64::from(number(72)) * 512, count.saturating_mul(size).min(1 << 16));
    image.patch(512 + 88, &crc32fast::hash(&table).to_le_bytes());
    let mut header = image.bytes(512, (number(12) as usize).min(512));
    if let Some(field) = header.get_mut(16..20) {
        field.fill(0);
        image.patch(512 + 16, &crc32fast::hash(&header).to_le_bytes());
    }
}

fuzz_target!(|input: &[u8]| {
    let overlay = overlay_of(Patched::from_input(&BASES, input, seal));
    let Ok((facts, obstacles)) = read_table(&overlay) else { return };
    for partition in &facts.partitions {
        let window = Window::of_partition(&overlay, partition).expect("what is reported lies on the disk");
        let _ = identify(&window);
        for kind in ["ntfs", "btrfs"] {
            let _ = needed_size(&window, kind);
        }
    }
    let again = read_table(&overlay).expect("it was read before");
    assert_eq!(format!("{again:?}"), format!("{:?}", (facts, obstacles)));
});
