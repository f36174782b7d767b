//! Line 9: files that lie.

use crate::{Noise, Outcome, broken, open_bytes, require};
use format_core::{Disk, Format, Layer};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long one hostile file may take, from open to the last extent.
pub const TIME_LIMIT: Duration = Duration::from_secs(1);

/// Where headers and tables of small images lie.
const HEAD: usize = 4096;
/// More extents than a small image can have.
const EXTENTS: usize = 100_000;

/// Cuts `image` at many lengths and changes its head in many ways; each must end soon, without a panic.
///
/// # Errors
/// The violation of line 9.
pub fn check_hostile(format: &Format, image: &[u8]) -> Outcome {
    let mut noise = Noise(17);
    let short = (0..HEAD.min(image.len())).step_by(37);
    let long = (0..40).map(|_| noise.below(image.len() as u64) as usize).collect::<Vec<_>>();
    for len in short.chain(long) {
        try_one(format, image[..len].to_vec(), || format!("cut at {len:#x}"))?;
    }
    let head = HEAD.min(image.len());
    for round in 0..250 {
        let mut changed = image.to_vec();
        // The first part most often: that is where the numbers are.
        let within = if round % 2 == 0 { head.min(128) } else { head };
        let at = noise.below(within as u64) as usize;
        let value = [0, 0xff, 0x80, 1, noise.number() as u8][round % 5];
        changed[at..(at + 1 + round % 3).min(image.len())].fill(value);
        try_one(format, changed, || format!("{value:#x} from {at:#x}"))?;
    }
    Ok(())
}

fn try_one(format: &Format, image: Vec<u8>, what: impl Fn() -> String) -> Outcome {
    let mut took = time_of(format, image.clone(), &what)?;
    if took >= TIME_LIMIT {
        // A busy machine is slow once, a loop always.
        took = took.min(time_of(format, image, &what)?);
    }
    require(9, took < TIME_LIMIT, || format!("{} takes {took:?} on an image {}", format.name, what()))
}

fn time_of(format: &Format, image: Vec<u8>, what: &impl Fn() -> String) -> Outcome<Duration> {
    let started = Instant::now();
    catch_unwind(AssertUnwindSafe(|| {
        if let Ok(layer) = open_bytes(format, image) {
            walk(&layer);
        }
    }))
    .map_err(|_| broken(9, format!("{} panics on an image {}", format.name, what())))?;
    Ok(started.elapsed())
}

/// Reads what can be read of the first and last extents; errors are fine.
fn walk(layer: &Arc<dyn Layer>) {
    let Ok(disk) = Disk::new(vec![Arc::clone(layer)]) else { return };
    let size = disk.virtual_size();
    let mut buf = vec![0; 4096];
    for start in [0, size.saturating_sub(1 << 20)] {
        for extent in disk.extents(start, start.saturating_add(1 << 20)).take(EXTENTS) {
            let Ok(extent) = extent else { break };
            let len = extent.len.min(buf.len() as u64) as usize;
            if disk.read_exact_at(extent.offset, &mut buf[..len]).is_err() {
                break;
            }
        }
    }
}
