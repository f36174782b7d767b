//! Which run writes to an address, where several could.

use crate::output::{safe, to_stderr};
use convert_batch::{HeldLease, Leases, ObjectLeases, Owner};
use convert_cloud::{CloudAddress, CloudOptions};
use convert_engine::Control;
use format_core::{Claim, Fence, Result};

/// The lease beside an object, and that of the batch whose job this process is.
struct Both {
    held: HeldLease<ObjectLeases>,
    fence: Option<&'static Fence>,
}

impl Claim for Both {
    fn check(&self) -> Result<()> {
        if let Some(fence) = self.fence {
            fence.check()?;
        }
        self.held.check()
    }

    fn is_fresh(&self) -> bool {
        self.held.is_fresh() || self.fence.is_some_and(Fence::is_fresh)
    }

    fn release(&self, is_done: bool) {
        self.held.release(is_done);
    }
}

/// Takes the lease of what is written at `address`, where that has one. An owner of which nothing is known is waited for.
///
/// # Errors
/// `Temporary` where another run is at work there, or this one is told to stop while it waits; what the store says.
pub(crate) fn take(
    address: &CloudAddress,
    options: &CloudOptions,
    control: Control<'_>,
) -> Result<Option<Box<dyn Claim>>> {
    let Some((store, key)) = address.agreement(options)? else { return Ok(None) };
    let leases = Leases::new(ObjectLeases::new(store), Owner::this()?, Leases::<ObjectLeases>::TTL);
    let waits = |owner: &str, silence: std::time::Duration| {
        to_stderr(&format!(
            "note: {} has the lease of {address}; it is waited for up to {} s to see whether that run is alive",
            safe(owner),
            silence.as_secs()
        ));
    };
    let held = HeldLease::take(leases, &key, &|| control.check(), &waits)?;
    Ok(Some(Box::new(Both { held, fence: Fence::of_process()? })))
}
