//! The control sets: SYSTEM has several, and `Select` says which Windows starts with.

use driver_core::GuestTree;
use driver_registry::Value;
use format_core::{Error, Result};

/// Values of `Select` that name a control set which may be started; "Failed" is one that was not.
const NAMED: [&str; 3] = ["Default", "Current", "LastKnownGood"];

/// The control sets that Windows may start with, by their names in SYSTEM, the default first.
///
/// Source: Windows Internals, "The registry", on HKLM\SYSTEM\Select: the boot loader starts with the set that `Default` names, or
/// `LastKnownGood` when the user asks for it; `Current` is the one of the last start.
///
/// # Errors
/// `NeedsPerson` when none is there.
pub(crate) fn control_sets(tree: &GuestTree) -> Result<Vec<String>> {
    let mut sets = Vec::new();
    for name in NAMED {
        let number = tree.registry_value(r"SYSTEM\Select", name)?.as_ref().and_then(Value::as_u32);
        let Some(number) = number.filter(|number| *number > 0) else { continue };
        let set = format!("ControlSet{number:03}");
        if !sets.contains(&set) && tree.registry_key(&format!(r"SYSTEM\{set}"))?.is_some() {
            sets.push(set);
        }
    }
    if sets.is_empty() {
        return Err(Error::needs_person("SYSTEM\\Select names no control set that is there")
            .hint("start the guest where it is, shut it down cleanly, and export it again"));
    }
    Ok(sets)
}
