//! Where a changed initramfs goes when its file cannot grow: XFS is edited in place only.
//!
//! Facts: what an image unpacks to is what counts, so it may be packed with anything that the kernel can unpack. The kernel's
//! configuration tells (`CONFIG_RD_XZ`, `CONFIG_RD_ZSTD`; distributions keep it in /boot/config-VERSION or in the module folder),
//! and so does the old image, which it unpacks at every start.

use crate::kernel_config::{has, kernel_config};
use driver_core::{Change, Draft, KernelFacts};
use driver_initramfs::{Limits, Listing, Packing, Plan, shrink};
use format_core::{ErrorKind, Result};

/// Plans `plan` for the file `path`, which holds `image`. The inner error says why it cannot be done.
pub(super) fn place(
    draft: &mut Draft<'_>,
    kernel: &KernelFacts,
    path: &str,
    listing: &Listing,
    image: Vec<u8>,
    plan: Plan,
    reason: &str,
) -> Result<Result<(), String>> {
    let change = match &plan {
        Plan::Nothing => return Ok(Ok(())),
        Plan::Append(bytes) => Change::Append { bytes: bytes.len() as u64 },
        Plan::Replace(new) => Change::Content { size: new.len() as u64 },
    };
    let refusal = match (draft.allows(path, change), plan) {
        (Ok(()), Plan::Append(bytes)) => return draft.append(path, bytes, reason).map(Ok),
        (Ok(()), Plan::Replace(new)) => return draft.replace(path, image, new, reason).map(Ok),
        (Err(e), plan) if e.kind() == ErrorKind::NeedsPerson => (e, plan),
        (other, _) => return other.map(Ok),
    };
    let (error, plan) = refusal;
    let packings = packings(draft, kernel, listing)?;
    if packings.is_empty() || draft.allows(path, Change::Content { size: 1 }).is_err() {
        return Ok(Err(error.to_string()));
    }
    let limits = Limits::default();
    let segments = match plan.segments(listing, image.len() as u64, &limits) {
        Ok(segments) => segments,
        Err(e) => return Ok(Err(e.to_string())),
    };
    let new = plan.into_image(image.clone());
    for packing in packings {
        let small = match shrink(&new, &segments, &limits, packing) {
            Ok(small) => small,
            Err(e) => return Ok(Err(e.to_string())),
        };
        if draft.allows(path, Change::Content { size: small.len() as u64 }).is_ok() {
            let name = packing.compression();
            let reason = format!("{reason}; packed again with {name} to fit the blocks that the file has");
            return draft.replace(path, image, small, &reason).map(Ok);
        }
    }
    Ok(Err(format!("{error}; packed again it does not fit either")))
}

/// The same for an overview of what a plan that adds `bytes` and more means. The edit is without content.
pub(super) fn outline(
    draft: &mut Draft<'_>,
    kernel: &KernelFacts,
    path: &str,
    listing: &Listing,
    bytes: u64,
) -> Result<Result<(), String>> {
    let reason = "drivers";
    let error = match draft.allows(path, Change::Append { bytes }) {
        Ok(()) => return draft.append(path, Vec::new(), reason).map(Ok),
        Err(e) if e.kind() == ErrorKind::NeedsPerson => e,
        Err(e) => return Err(e),
    };
    if packings(draft, kernel, listing)?.is_empty()
        || draft.allows(path, Change::Content { size: 1 }).is_err()
    {
        return Ok(Err(error.to_string()));
    }
    draft.note(format!(
        "{path} has to be packed again, smaller; whether it fits then is known when it is done"
    ));
    draft.replace(path, Vec::new(), Vec::new(), reason).map(Ok)
}

/// What the kernel can certainly unpack.
fn packings(draft: &Draft<'_>, kernel: &KernelFacts, listing: &Listing) -> Result<Vec<Packing>> {
    let config = kernel_config(draft, &kernel.version)?;
    let used = |packing: &Packing| {
        let compression = packing.compression();
        listing.segments().iter().any(|s| s.compression == compression)
    };
    let configured = |packing: &Packing| has(&config, packing.kernel_option());
    Ok(Packing::ALL.into_iter().filter(|packing| configured(packing) || used(packing)).collect())
}
