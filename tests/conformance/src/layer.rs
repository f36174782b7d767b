//! Lines 1, 2, 3 and the argument part of line 9, for one layer.

use crate::{Noise, Outcome, broken, first_difference, require};
use format_core::{ExtentKind, Layer, is_zero};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

const THREADS: u64 = 4;
const READS: usize = 60;

/// Checks a layer that has no parent and must read as `expected`.
///
/// # Errors
/// The first line of the contract that the layer breaks.
pub fn check_layer(layer: &dyn Layer, expected: &[u8]) -> Outcome {
    let size = layer.virtual_size();
    require(2, size == expected.len() as u64, || {
        format!("the disk has {size:#x} bytes, written were {:#x}", expected.len())
    })?;
    check_arguments(layer)?;
    check_extents(layer, expected)?;
    check_reads(layer, expected)
}

/// Walks the extents from the start and asks again in the middle of each.
fn check_extents(layer: &dyn Layer, expected: &[u8]) -> Outcome {
    let size = layer.virtual_size();
    let (mut at, mut noise) = (0, Noise(11));
    while at < size {
        let extent = extent_at(layer, at)?;
        let content = &expected[at as usize..extent.end() as usize];
        require(2, extent.kind == ExtentKind::Data || is_zero(content), || {
            format!("{:?} at {at:#x}+{:#x}, where there is data", extent.kind, extent.len)
        })?;
        let inside = at + noise.below(extent.len);
        let again = extent_at(layer, inside)?;
        require(1, again.kind == extent.kind, || {
            format!(
                "{inside:#x} is {:?} when asked at {at:#x}, {:?} when asked there",
                extent.kind, again.kind
            )
        })?;
        at = extent.end();
    }
    Ok(())
}

fn extent_at(layer: &dyn Layer, at: u64) -> Outcome<format_core::Extent> {
    let size = layer.virtual_size();
    let extent = layer.extent_at(at).map_err(|e| broken(1, format!("no extent at {at:#x}: {e}")))?;
    let end = extent.offset.checked_add(extent.len);
    require(1, extent.offset == at && extent.len > 0 && end.is_some_and(|end| end <= size), || {
        format!("asked at {at:#x} of {size:#x}, answered {:#x}+{:#x}", extent.offset, extent.len)
    })?;
    Ok(extent)
}

/// Whole, in pieces of any length, and from many threads at once.
fn check_reads(layer: &dyn Layer, expected: &[u8]) -> Outcome {
    check_read(layer, 0, expected)?;
    check_read(layer, layer.virtual_size(), &[])?;
    thread::scope(|scope| {
        let start = |seed| {
            scope.spawn(move || {
                let mut noise = Noise(seed);
                (0..READS).try_for_each(|_| {
                    let from = noise.below(expected.len() as u64) as usize;
                    // Short and long reads, of odd lengths.
                    let limit = [7, 4097, 300_001][noise.below(3) as usize];
                    let len = noise.below(limit).min((expected.len() - from) as u64) as usize;
                    check_read(layer, from as u64, &expected[from..from + len])
                })
            })
        };
        let threads: Vec<_> = (0..THREADS).map(start).collect();
        let ends =
            threads.into_iter().map(|t| t.join().unwrap_or_else(|_| Err(broken(9, "a read panicked"))));
        ends.collect()
    })
}

fn check_read(layer: &dyn Layer, at: u64, expected: &[u8]) -> Outcome {
    // A buffer of a byte that the content does not promise: what is not filled shows.
    let mut buf: Vec<u8> = expected.iter().map(|byte| !byte).collect();
    let len = buf.len();
    layer.read_exact_at(at, &mut buf).map_err(|e| broken(3, format!("{len:#x} bytes at {at:#x}: {e}")))?;
    match first_difference(&buf, expected) {
        None => Ok(()),
        Some(place) => Err(broken(3, format!("{len:#x} bytes at {at:#x} differ from byte {place:#x} on"))),
    }
}

/// What lies outside is an error, whatever the numbers.
fn check_arguments(layer: &dyn Layer) -> Outcome {
    let size = layer.virtual_size();
    for at in [size, size.saturating_add(1), 1 << 63, u64::MAX - 1, u64::MAX] {
        let extent = catch_unwind(AssertUnwindSafe(|| layer.extent_at(at)))
            .map_err(|_| broken(9, format!("extent_at({at:#x}) panicked")))?;
        require(1, extent.is_err(), || format!("an extent at {at:#x} of {size:#x} bytes"))?;
    }
    for (at, len) in
        [(size, 1), (size.saturating_sub(1), 2), (u64::MAX, 1), (u64::MAX - 1, 4), (1 << 63, 512)]
    {
        let read = catch_unwind(AssertUnwindSafe(|| layer.read_exact_at(at, &mut vec![0; len])))
            .map_err(|_| broken(9, format!("reading {len} bytes at {at:#x} panicked")))?;
        require(3, read.is_err(), || format!("{len} bytes were read at {at:#x} of {size:#x}"))?;
    }
    catch_unwind(AssertUnwindSafe(|| layer.host_range(u64::MAX)))
        .map_err(|_| broken(9, "host_range(u64::MAX) panicked"))?;
    Ok(())
}
