//! Virus scanners: their filters know the disk stack of the machine they were installed on.
//!
//! Source: Microsoft, "Load order groups and altitudes for minifilter drivers": group "FSFilter Anti-Virus". virt-v2v warns of scanners
//! for the same reason: some make the first start on other hardware fail.

use crate::services::FILE_SYSTEM_DRIVER;
use driver_core::GuestTree;
use driver_registry::Value;
use format_core::Result;

/// A guest that has more is one that was made up.
const MOST: usize = 64;
/// Windows Defender's filter: part of the system, and never in the way.
const IN_BOX: &str = "WdFilter";

/// Names of the filters.
pub(crate) fn antivirus(tree: &GuestTree, set: &str) -> Result<Vec<String>> {
    let services = format!(r"SYSTEM\{set}\Services");
    let Some(key) = tree.registry_key(&services)? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for service in key.subkeys()? {
        let is_filter = service.value("Type")?.as_ref().and_then(Value::as_u32) == Some(FILE_SYSTEM_DRIVER);
        if !is_filter || service.name().is(IN_BOX) {
            continue;
        }
        let group = service.value("Group")?.as_ref().and_then(Value::as_str).unwrap_or_default();
        if group.eq_ignore_ascii_case("FSFilter Anti-Virus") && found.len() < MOST {
            found.push(service.name().to_string());
        }
    }
    Ok(found)
}
