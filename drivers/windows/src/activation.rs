//! The server that activates Windows: `KeyManagementServiceName` of the software protection platform.
//!
//! Source: Microsoft, "Volume Activation Technical Reference Guide", registry settings of KMS clients: name and port below
//! SoftwareProtectionPlatform; since Windows 8 each application and each product of it can have its own, in subkeys by their
//! GUIDs. Without a name Windows asks the DNS for a server.

use crate::services::text;
use driver_core::Draft;
use format_core::Result;

const PLATFORM: &str = r"SOFTWARE\Microsoft\Windows NT\CurrentVersion\SoftwareProtectionPlatform";
const NAME: &str = "KeyManagementServiceName";
const PORT: &str = "KeyManagementServicePort";

/// The keys that name one of `hosts`.
///
/// # Errors
/// What the guest's registry reports.
pub(crate) fn keys_naming(draft: &Draft<'_>, hosts: &[&str]) -> Result<Vec<String>> {
    let mut keys = vec![PLATFORM.to_owned()];
    for application in guids(draft, PLATFORM)? {
        let products = guids(draft, &application)?;
        keys.push(application);
        keys.extend(products);
    }
    let mut found = Vec::new();
    for key in keys {
        let name = text(draft, &key, NAME)?.unwrap_or_default();
        found.extend(hosts.iter().any(|host| host.eq_ignore_ascii_case(&name)).then_some(key));
    }
    Ok(found)
}

/// Plans that none of `hosts` is asked any more.
///
/// # Errors
/// What the guest's registry reports.
pub(crate) fn forget(draft: &mut Draft<'_>, hosts: &[&str], reason: &str) -> Result<()> {
    for key in keys_naming(draft, hosts)? {
        draft.delete_value(&key, NAME, reason)?;
        draft.delete_value(&key, PORT, reason)?;
    }
    Ok(())
}

fn guids(draft: &Draft<'_>, key: &str) -> Result<Vec<String>> {
    let names = draft.subkeys(key)?.into_iter().filter(|name| looks_like_guid(name));
    Ok(names.map(|name| format!(r"{key}\{name}")).collect())
}

/// With braces or without.
fn looks_like_guid(name: &str) -> bool {
    let inner = name.trim_start_matches('{').trim_end_matches('}');
    inner.len() == 36 && inner.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}
