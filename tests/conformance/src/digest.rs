//! Line 10: the digest speaks of the content alone.

use crate::{Outcome, broken, require};
use convert_engine::{Control, Silent, digest_disk, digest_of_bytes};
use format_core::Disk;
use std::sync::atomic::AtomicBool;

/// Digests the disk with 1, 2 and 7 threads and compares with the digest of `content`.
///
/// # Errors
/// The violation of line 10.
pub fn check_digests(disk: &Disk, content: &[u8]) -> Outcome {
    let expected = digest_of_bytes(content);
    let interrupted = AtomicBool::new(false);
    for threads in [1, 2, 7] {
        let control = Control { observer: &Silent, interrupted: &interrupted, threads };
        let found = digest_disk(disk, "digest", control)
            .and_then(|outcome| outcome.blocks.digest())
            .map_err(|e| broken(10, e.to_string()))?;
        require(10, found == expected, || {
            format!("{found} with {threads} threads, the content's is {expected}")
        })?;
    }
    Ok(())
}
