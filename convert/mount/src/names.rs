//! Names of a guest as names of the host.

/// The longest name that the kernel takes from a FUSE file system, in bytes (`FUSE_NAME_MAX`).
const MAX_NAME: usize = 1024;

/// Whether `name` can be that of a file in a folder.
#[must_use]
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && name.len() <= MAX_NAME && !name.contains(['/', '\0'])
}

/// The name as it is listed: one that cannot be a name is made one, under which nothing is found.
pub(crate) fn shown(name: &str) -> String {
    if is_name(name) {
        return name.to_owned();
    }
    let mut shown: String = name.replace(['/', '\0'], "\u{fffd}");
    let end = (0..=shown.len().min(MAX_NAME - 3)).rev().find(|end| shown.is_char_boundary(*end));
    shown.truncate(end.unwrap_or(0));
    shown + "\u{fffd}"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_a_name() {
        for good in ["a", "...", "Ä b", "a\u{fffd}", "\n"] {
            assert!(is_name(good) && shown(good) == good, "{good:?}");
        }
        let long = "ä".repeat(600);
        for bad in ["", ".", "..", "a/b", "/", "../../etc", "a\0b", &long] {
            assert!(!is_name(bad) && is_name(&shown(bad)), "{bad:?}");
        }
    }
}
