//! Checksums of a source that nobody compares while its disk is read: compared beside the copy.

use crate::observer::{Control, interrupted};
use format_core::{Error, OpenedImage, Result};
use std::sync::atomic::{AtomicBool, Ordering};

/// Does the `work` of copying the image and compares its container's checksums of the disk meanwhile. A source that is not
/// what they say is an error also when the work is done, so that the target does not get its name.
pub(crate) fn with_source_proof<T>(
    image: &OpenedImage,
    control: Control<'_>,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let proof = image.inside.as_ref().and_then(|inside| inside.container.proof(inside.index));
    let Some(proof) = proof else { return work() };
    let is_over = AtomicBool::new(false);
    // The work is alone with the observer: the same bytes are not told twice.
    let tick = |_: u64| match is_over.load(Ordering::Relaxed) {
        true => Err(interrupted()),
        false => control.check(),
    };
    std::thread::scope(|scope| {
        let proof = scope.spawn(|| proof(&tick));
        let done = work();
        if done.is_err() {
            is_over.store(true, Ordering::Relaxed);
        }
        let proven =
            proof.join().unwrap_or_else(|_| Err(Error::contract("comparing the source's checksums failed")));
        let done = done?;
        proven.map_err(|e| e.context("the source's own checksums"))?;
        Ok(done)
    })
}
