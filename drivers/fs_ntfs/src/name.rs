//! Names that Windows can open.

use format_core::{Error, Result};

/// UTF-16 units of a name at most.
pub(crate) const MAX_UNITS: usize = 255;
const DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];

/// The UTF-16 of a name to look up; `None` when nothing can have that name.
pub(crate) fn lookup(name: &str) -> Option<Vec<u16>> {
    let units: Vec<u16> = name.encode_utf16().collect();
    (units.len() <= MAX_UNITS).then_some(units)
}

/// The UTF-16 of a name for something new.
///
/// # Errors
/// `Usage` for one that no program of Windows could open.
pub(crate) fn new(name: &str) -> Result<Vec<u16>> {
    let no = |why: &str| Err(Error::usage(format!("{name:?} is no name for Windows: {why}")));
    let Some(units) = lookup(name) else { return no("it is longer than 255 characters") };
    if name.chars().any(|c| c < ' ' || r#"<>:"/\|?*"#.contains(c)) {
        return no("it holds a character that stands for something else");
    }
    if name.ends_with(['.', ' ']) {
        return no("it ends in a dot or space");
    }
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    let port = stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT"));
    if DEVICES.contains(&stem.as_str())
        || port.is_some_and(|rest| rest.len() == 1 && rest.starts_with(|c: char| c.is_ascii_digit()))
    {
        return no("it is that of a device");
    }
    Ok(units)
}

/// A name for people and paths. One that could not be opened is shown so that it cannot be mistaken for one that can.
pub(crate) fn shown(units: &[u16]) -> String {
    String::from_utf16_lossy(units).replace(['/', '\0'], "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in
            ["a", "viostor.sys", "Ärger mit 💾", "COM", "COM10", "con1", ".x", "LPT.x1", &"x".repeat(255)]
        {
            assert!(new(good).is_ok(), "{good}");
        }
        for bad in
            ["a.", "a ", "a:b", "a\\b", "nul", "NUL.txt", "com1", "lpt9.x", "a\u{1}", "a?", &"x".repeat(256)]
        {
            assert!(new(bad).is_err(), "{bad}");
        }
    }
}
