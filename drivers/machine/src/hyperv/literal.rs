//! PowerShell literals and names that Windows can take.

use crate::validate::is_refused;

/// A PowerShell single-quoted literal whose value is exactly `text`.
///
/// Inside such a literal nothing is expanded; only a quotation mark ends it, and two of them stand for one. PowerShell
/// takes the typographic marks U+2018 to U+201B for the same character (about_Quoting_Rules), so each is doubled as
/// well; the doubled pair yields the character as written. `text` holds no control characters: the model refuses them.
pub(super) fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('\'');
    for c in text.chars() {
        out.push(c);
        if matches!(c, '\'' | '\u{2018}'..='\u{201b}') {
            out.push(c);
        }
    }
    out.push('\'');
    out
}

/// Characters that Windows refuses in file names, and the ones PowerShell takes for wildcards or their escape.
const REFUSED: &[char] = &['\\', '/', ':', '*', '?', '"', '<', '>', '|', '[', ']', '`'];

/// Longest name used, in characters: Hyper-V's limit for the name of a virtual machine.
const MAX_NAME: usize = 100;

/// Longest name used, in bytes: leaves room for `-00.vhdx.rehome.json.partial` in a Linux file name of 255 bytes.
const MAX_NAME_BYTES: usize = 220;

/// `text` as a name that Windows takes for a file or folder, at most 100 characters and 220 bytes of UTF-8: Hyper-V
/// makes a folder with the name of the machine, and a file is found by it. Text that is fine already is returned
/// unchanged. Pure.
///
/// Callers use it for the stem of the disk files, so that [`super::script`] accepts them.
pub fn windows_name(text: &str) -> String {
    let cleaned: String =
        text.chars().map(|c| if is_refused(c) || REFUSED.contains(&c) { '_' } else { c }).collect();
    let trimmed = shortened(cleaned.trim_start()).trim_end_matches([' ', '.']);
    if trimmed.is_empty() {
        return "machine".into();
    }
    let stem = trimmed.split('.').next().unwrap_or_default().trim_end();
    if is_device(stem) {
        return shortened(&format!("_{trimmed}")).trim_end_matches([' ', '.']).to_owned();
    }
    trimmed.to_owned()
}

fn shortened(text: &str) -> &str {
    let end = text
        .char_indices()
        .take(MAX_NAME)
        .map(|(start, c)| start + c.len_utf8())
        .take_while(|end| *end <= MAX_NAME_BYTES)
        .last();
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// Names that Windows keeps for devices, with any extension.
fn is_device(stem: &str) -> bool {
    let upper = stem.to_uppercase();
    let numbered = |prefix: &str| {
        upper.strip_prefix(prefix).is_some_and(|rest| {
            matches!(rest, "0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³")
        })
    };
    matches!(upper.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$")
        || numbered("COM")
        || numbered("LPT")
}

/// What keeps `name` from being the name of a file beside the script.
pub(super) fn file_fault(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("is empty".into());
    }
    if name.len() > 255 {
        return Some("has more than 255 bytes".into());
    }
    if let Some(bad) = name.chars().find(|c| is_refused(*c) || REFUSED.contains(c)) {
        return Some(format!(
            "holds '{}', which a file name beside the script cannot have",
            bad.escape_debug()
        ));
    }
    if name.starts_with(' ') || name.ends_with([' ', '.']) {
        return Some("starts with a space or ends with a space or a dot".into());
    }
    let stem = name.split('.').next().unwrap_or_default().trim_end();
    is_device(stem).then(|| "is the name of a Windows device".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_double_every_mark_that_ends_one() {
        assert_eq!(literal("web"), "'web'");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("‘’‚‛“”„"), "'‘‘’’‚‚‛‛“”„'");
        assert_eq!(literal("$(x) `n \"y\" #>"), "'$(x) `n \"y\" #>'");
    }

    #[test]
    fn windows_names_are_fixed_only_where_needed() {
        assert_eq!(windows_name("Web server (prod) $1 & 'x'"), "Web server (prod) $1 & 'x'");
        for (from, to) in [
            ("../../etc", ".._.._etc"),
            ("a:b", "a_b"),
            ("web[1]*", "web_1__"),
            ("name. . ", "name"),
            ("...", "machine"),
            ("con", "_con"),
            ("COM1.vhdx", "_COM1.vhdx"),
            ("com10", "com10"),
            ("  ", "machine"),
            ("nul .x", "_nul .x"),
        ] {
            assert_eq!(windows_name(from), to, "{from}");
            assert_eq!(windows_name(to), to, "{to}");
            assert_eq!(file_fault(to), None, "{to}");
        }
        assert_eq!(windows_name(&"é".repeat(300)), "é".repeat(100));
        assert_eq!(windows_name(&"🖥".repeat(300)), "🖥".repeat(55));
        assert_eq!(windows_name(&format!("{} tail", "x".repeat(99))), "x".repeat(99));
    }

    #[test]
    fn file_names_stay_beside_the_script() {
        for name in [
            "",
            "..",
            "../x.vhdx",
            "a\\b.vhdx",
            "C:x.vhdx",
            "a[1].vhdx",
            "x.vhdx ",
            "NUL",
            "aux.vhdx",
            "a\nb",
        ] {
            assert!(file_fault(name).is_some(), "{name:?}");
        }
        assert!(file_fault(&"é".repeat(128)).is_some());
        for name in ["web.vhdx", "it's $(calc).vhdx", "ü.vhdx", "..a"] {
            assert_eq!(file_fault(name), None, "{name:?}");
        }
    }
}
