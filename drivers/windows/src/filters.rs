//! Filter drivers: services that Windows puts above or below the driver of a device.
//!
//! Source: Microsoft, "Device filter driver ordering": `UpperFilters` and `LowerFilters` are lists of services, of a class
//! below `Control\Class`, of a device below `Enum`. A device does not start when one of its filters cannot be loaded, and a
//! class has the disks: so a filter goes from all lists before its service is disabled. In Windows before 8 devices that are
//! met for the first time also get the lists of `Control\CriticalDeviceDatabase` (seen in a hive of Windows 7).

use crate::devices::devices;
use crate::services::disable;
use driver_core::Draft;
use driver_registry::{Key, Value};
use format_core::Result;

const LISTS: [&str; 2] = ["UpperFilters", "LowerFilters"];

/// Plans that none of the drivers `names` is ever started, nor asked for as a filter.
///
/// # Errors
/// What the guest's registry reports.
pub(crate) fn retire_drivers(draft: &mut Draft<'_>, set: &str, names: &[&str], reason: &str) -> Result<()> {
    for key in filtered(draft, set, names)? {
        for list in LISTS {
            remove_filters(draft, &key, list, names, reason)?;
        }
    }
    names.iter().try_for_each(|name| disable(draft, set, name, reason))
}

/// Whether a class has one of the drivers `names` as a filter.
///
/// # Errors
/// What the guest's registry reports.
pub(crate) fn is_class_filter(draft: &Draft<'_>, set: &str, names: &[&str]) -> Result<bool> {
    Ok(!filtered_below(draft, &format!(r"SYSTEM\{set}\Control\Class"), names)?.is_empty())
}

/// The keys with a list that names one of the drivers.
fn filtered(draft: &Draft<'_>, set: &str, names: &[&str]) -> Result<Vec<String>> {
    let mut found = filtered_below(draft, &format!(r"SYSTEM\{set}\Control\Class"), names)?;
    let critical = format!(r"SYSTEM\{set}\Control\CriticalDeviceDatabase");
    found.extend(filtered_below(draft, &critical, names)?);
    devices(
        draft.tree(),
        set,
        |_| true,
        |path, key| {
            found.extend(has_filter(key, names)?.then(|| path.to_owned()));
            Ok(())
        },
    )?;
    Ok(found)
}

fn filtered_below(draft: &Draft<'_>, parent: &str, names: &[&str]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let Some(parent_key) = draft.tree().registry_key(parent)? else { return Ok(found) };
    for key in parent_key.subkeys()? {
        found.extend(has_filter(&key, names)?.then(|| format!(r"{parent}\{}", key.name())));
    }
    Ok(found)
}

fn has_filter(key: &Key<'_>, names: &[&str]) -> Result<bool> {
    for list in LISTS {
        if let Some(value) = key.value(list)?
            && entries(&value).iter().any(|entry| is_one_of(entry, names))
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Plans a list without the drivers `names`; one that becomes empty goes, as an empty one means nothing.
fn remove_filters(draft: &mut Draft<'_>, key: &str, list: &str, names: &[&str], reason: &str) -> Result<()> {
    let Some(value) = draft.value(key, list)? else { return Ok(()) };
    let before = entries(&value);
    let kept: Vec<&String> = before.iter().filter(|entry| !is_one_of(entry, names)).collect();
    if kept.len() == before.len() {
        Ok(())
    } else if kept.is_empty() {
        draft.delete_value(key, list, reason)
    } else {
        draft.set_value(key, list, Value::multi_string(&kept), reason)
    }
}

/// A list is of type REG_MULTI_SZ; a single text is taken, too.
fn entries(value: &Value) -> Vec<String> {
    value.as_multi_str().or_else(|| value.as_str().map(|text| vec![text])).unwrap_or_default()
}

fn is_one_of(entry: &str, names: &[&str]) -> bool {
    names.iter().any(|name| name.eq_ignore_ascii_case(entry))
}
