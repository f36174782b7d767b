//! Devices that Windows has met: keys below `Enum` of a control set.
//!
//! Source: Microsoft, "HKLM\SYSTEM\CurrentControlSet\Enum Registry Tree": bus, device, instance.

use driver_core::GuestTree;
use driver_registry::Key;
use format_core::Result;

/// Calls `each` with the path and the key of every device instance of the buses that `is_wanted` names.
///
/// # Errors
/// What the hive or `each` reports.
pub(crate) fn devices<'a>(
    tree: &'a GuestTree,
    set: &str,
    is_wanted: impl Fn(&str) -> bool,
    mut each: impl FnMut(&str, &Key<'a>) -> Result<()>,
) -> Result<()> {
    let all = format!(r"SYSTEM\{set}\Enum");
    let Some(key) = tree.registry_key(&all)? else { return Ok(()) };
    for bus in key.subkeys()? {
        let bus_name = bus.name().to_string();
        if !is_wanted(&bus_name) {
            continue;
        }
        for device in bus.subkeys()? {
            for instance in device.subkeys()? {
                each(&format!(r"{all}\{bus_name}\{}\{}", device.name(), instance.name()), &instance)?;
            }
        }
    }
    Ok(())
}
