//! Names and folders of disks on a host.

use crate::error::shown;
use crate::validate::plain_text_fault;

/// What keeps `folder` from being the folder of the disks on a host.
pub(crate) fn folder_fault(folder: &str) -> Option<String> {
    if !folder.starts_with('/') {
        return Some(format!("the folder {} is no absolute path", shown(folder)));
    }
    plain_text_fault(folder).map(|fault| format!("the folder {fault}"))
}

/// The `index`-th name of a disk, as kernels and hypervisors count: `sda` to `sdz`, then `sdaa`.
pub(crate) fn letters(prefix: &str, index: usize) -> String {
    let mut tail = Vec::new();
    let mut rest = index + 1;
    while rest > 0 {
        rest -= 1;
        tail.push(char::from(b"abcdefghijklmnopqrstuvwxyz".get(rest % 26).copied().unwrap_or(b'a')));
        rest /= 26;
    }
    tail.iter().rev().fold(prefix.to_owned(), |mut name, letter| {
        name.push(*letter);
        name
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_count_like_the_kernel() {
        for (index, name) in
            [(0, "sda"), (25, "sdz"), (26, "sdaa"), (27, "sdab"), (701, "sdzz"), (702, "sdaaa")]
        {
            assert_eq!(letters("sd", index), name);
        }
    }

    #[test]
    fn folders_are_absolute_and_one_line() {
        assert_eq!(folder_fault("/var/lib"), None);
        assert!(folder_fault("images").is_some() && folder_fault("/a\nb").is_some());
    }
}
