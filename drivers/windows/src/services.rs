//! Services and drivers: keys below `Services` of a control set.

use driver_core::Draft;
use driver_registry::Value;
use format_core::Result;

/// Start: by the boot loader.
pub(crate) const BOOT: u32 = 0;
/// Start: when a device asks for it.
pub(crate) const DEMAND: u32 = 3;
/// Start: never.
pub(crate) const DISABLED: u32 = 4;
/// Type: a driver.
pub(crate) const KERNEL_DRIVER: u32 = 1;
/// Type: a driver of a file system, or one that filters it.
pub(crate) const FILE_SYSTEM_DRIVER: u32 = 2;

/// Key of the service `name` in the control set `set`.
pub(crate) fn service_key(set: &str, name: &str) -> String {
    format!(r"SYSTEM\{set}\Services\{name}")
}

/// The value `name` of a key, when it is a number.
pub(crate) fn number(draft: &Draft<'_>, key: &str, name: &str) -> Result<Option<u32>> {
    Ok(draft.value(key, name)?.as_ref().and_then(Value::as_u32))
}

/// The value `name` of a key, when it is a text.
pub(crate) fn text(draft: &Draft<'_>, key: &str, name: &str) -> Result<Option<String>> {
    Ok(draft.value(key, name)?.as_ref().and_then(Value::as_str))
}

/// Plans that a service is never started. One that is not there stays so.
pub(crate) fn disable(draft: &mut Draft<'_>, set: &str, name: &str, reason: &str) -> Result<()> {
    let key = service_key(set, name);
    if draft.has_key(&key)? && number(draft, &key, "Start")? != Some(DISABLED) {
        draft.set_value(&key, "Start", Value::dword(DISABLED), reason)?;
    }
    Ok(())
}

/// The file of a driver in the guest's tree, from its ImagePath; a driver without one has its own name (MSDN, "HKLM\SYSTEM\
/// CurrentControlSet\Services Registry Tree").
pub(crate) fn driver_file(system_root: &str, name: &str, image_path: Option<&str>) -> Option<String> {
    let Some(image) = image_path.map(str::trim).filter(|path| !path.is_empty()) else {
        return Some(format!("{system_root}/System32/drivers/{name}.sys"));
    };
    let path = image.replace('\\', "/");
    let lower = path.to_ascii_lowercase();
    let below = ["/systemroot/", "%systemroot%/", "/??/%systemroot%/"]
        .into_iter()
        .find_map(|prefix| lower.starts_with(prefix).then(|| path.get(prefix.len()..))?);
    if let Some(below) = below {
        return Some(format!("{system_root}/{below}"));
    }
    let path = path.strip_prefix("/??/").unwrap_or(&path);
    match path.as_bytes() {
        // The system's volume is the only one whose letter is known.
        [b'c' | b'C', b':', b'/', ..] => path.get(2..).map(str::to_owned),
        [_, b':', ..] | [b'/', ..] => None,
        _ => Some(format!("{system_root}/{path}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_a_driver_is_found_by_any_spelling_of_its_path() {
        for (image, file) in [
            (None, Some("/Windows/System32/drivers/x.sys")),
            (Some(""), Some("/Windows/System32/drivers/x.sys")),
            (Some(r"system32\drivers\a.sys"), Some("/Windows/system32/drivers/a.sys")),
            (Some(r"\SystemRoot\System32\drivers\a.sys"), Some("/Windows/System32/drivers/a.sys")),
            (Some(r"%SystemRoot%\a.exe"), Some("/Windows/a.exe")),
            (Some(r"\??\C:\Windows\a.sys"), Some("/Windows/a.sys")),
            (Some(r"\??\D:\a.sys"), None),
            (Some(r"\Device\a.sys"), None),
        ] {
            assert_eq!(driver_file("/Windows", "x", image).as_deref(), file, "{image:?}");
        }
    }
}
