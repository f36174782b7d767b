//! Numbers at their ends: an error or the right bytes, at once.

use crate::builder::{Plan, check, open, read, stream};
use std::time::{Duration, Instant};

#[test]
fn no_number_of_the_header_makes_it_slow_or_large() {
    let good = Plan::sample().build();
    let started = Instant::now();
    for (at, len) in
        [(52, 8), (60, 8), (68, 8), (76, 8), (84, 4), (88, 4), (96, 2), (98, 2), (100, 4), (104, 1), (105, 1)]
    {
        for value in [
            0u64,
            1,
            7,
            8,
            0x7f,
            0x80,
            0xff,
            0x7fff_ffff,
            0x8000_0000,
            u64::MAX / 2,
            u64::MAX / 512,
            u64::MAX,
        ] {
            let mut built = good.clone();
            built.put(at, &value.to_le_bytes()[..len]);
            if let Ok(layer) = open(&built.bytes) {
                let size = layer.virtual_size();
                let extent = size.checked_sub(1).map(|last| layer.extent_at(last).unwrap());
                assert!(extent.is_none_or(|extent| extent.len == 1));
                if size < 1 << 20 {
                    let _ = read(&built.bytes);
                    let _ = stream(&built.bytes);
                }
            }
            let _ = check(&built.bytes);
        }
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn a_pipe_that_promises_a_huge_map_ends_in_an_error() {
    let mut built = Plan::sample().build();
    built.put(60, &(1u64 << 50).to_le_bytes());
    let error = stream(&built.bytes).err().unwrap();
    assert!(error.to_string().contains("ends within the map of blocks"), "{error}");
}

#[test]
fn nothing_outside_of_the_partition_is_read() {
    let layer = open(&Plan::sample().build().bytes).unwrap();
    let size = layer.virtual_size();
    assert!(layer.read_exact_at(size - 1, &mut [0; 2]).is_err());
    assert!(layer.extent_at(size).is_err() && layer.host_range(u64::MAX).is_none());
    layer.read_exact_at(size, &mut []).unwrap();
}
