//! What each hypervisor needs from a guest, as data: a file per platform.

mod hyperv;

use driver_core::Target;

pub use hyperv::{GENERATION_1, GENERATION_2};

/// Every target that `inspect` judges a guest against.
pub static TARGETS: &[&Target] = &[&GENERATION_1, &GENERATION_2];
