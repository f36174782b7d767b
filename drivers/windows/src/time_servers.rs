//! Time servers that Windows asks: `NtpServer` of the service W32Time.
//!
//! Source: Microsoft, "Windows Time service tools and settings": entries `host,flags` with blanks between them;
//! time.windows.com,0x9 is what Windows comes with.

use crate::services::{service_key, text};
use driver_core::Draft;
use driver_registry::Value;
use format_core::Result;

const NAME: &str = "NtpServer";
const USUAL: &str = "time.windows.com,0x9";

/// Whether one of `hosts` is asked.
///
/// # Errors
/// What the guest's registry reports.
pub(crate) fn is_asked(draft: &Draft<'_>, set: &str, hosts: &[&str]) -> Result<bool> {
    let servers = text(draft, &parameters(set), NAME)?.unwrap_or_default();
    Ok(servers.split_whitespace().any(|entry| is_one_of(entry, hosts)))
}

/// Plans that none of `hosts` is asked any more; where no other is left, the one that Windows comes with.
///
/// # Errors
/// What the guest's registry reports.
pub(crate) fn forget(draft: &mut Draft<'_>, set: &str, hosts: &[&str], reason: &str) -> Result<()> {
    if !is_asked(draft, set, hosts)? {
        return Ok(());
    }
    let key = parameters(set);
    let servers = text(draft, &key, NAME)?.unwrap_or_default();
    let kept: Vec<&str> = servers.split_whitespace().filter(|entry| !is_one_of(entry, hosts)).collect();
    let servers = if kept.is_empty() { USUAL.to_owned() } else { kept.join(" ") };
    draft.set_value(&key, NAME, Value::string(&servers), reason)
}

fn parameters(set: &str) -> String {
    format!(r"{}\Parameters", service_key(set, "W32Time"))
}

fn is_one_of(entry: &str, hosts: &[&str]) -> bool {
    let host = entry.split(',').next().unwrap_or_default();
    hosts.iter().any(|other| other.eq_ignore_ascii_case(host))
}
