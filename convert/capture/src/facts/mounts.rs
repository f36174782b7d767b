//! What is mounted from which device (`proc(5)`, `/proc/PID/mountinfo` and `/proc/swaps`).

use super::Roots;
use serde::{Deserialize, Serialize};

/// A place where a device's content is in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// The mount point; `[swap]` for swap.
    pub place: String,
    /// Kind of the file system.
    pub kind: String,
    /// Whether it is mounted read-only.
    pub read_only: bool,
}

/// Mounts with the number of their device, `MAJOR:MINOR`, or its path for swap.
pub(crate) struct Mounts(Vec<(String, Mount)>);

impl Mounts {
    /// What is in use of the device with this number and path.
    pub(crate) fn of<'a>(&'a self, number: &'a str, path: &'a str) -> impl Iterator<Item = &'a Mount> {
        self.0.iter().filter(move |(device, _)| device == number || device == path).map(|(_, mount)| mount)
    }
}

pub(crate) fn read(roots: &Roots) -> Mounts {
    let mut found: Vec<(String, Mount)> = Vec::new();
    for line in roots.text("proc/self/mountinfo").unwrap_or_default().lines() {
        let Some((number, mount)) = parse_mount(line) else { continue };
        if !found.iter().any(|(device, known)| *device == number && known.place == mount.place) {
            found.push((number, mount));
        }
    }
    for line in roots.text("proc/swaps").unwrap_or_default().lines().skip(1) {
        let Some(device) = line.split_whitespace().next() else { continue };
        let mount = Mount { place: "[swap]".into(), kind: "swap".into(), read_only: false };
        found.push((unescape(device), mount));
    }
    Mounts(found)
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
fn parse_mount(line: &str) -> Option<(String, Mount)> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ');
    let (number, place, options) = (left.nth(2)?, left.nth(1)?, left.next()?);
    let mut right = right.split(' ');
    let (kind, super_options) = (right.next()?, right.nth(1).unwrap_or_default());
    let is_read_only = |options: &str| options.split(',').any(|option| option == "ro");
    // The file system may be written through another mount.
    let read_only = is_read_only(super_options) || super_options.is_empty() && is_read_only(options);
    Some((number.to_owned(), Mount { place: unescape(place), kind: kind.to_owned(), read_only }))
}

/// Octal escapes of blanks, as `\040`.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        let escaped = more.get(..3).filter(|_| *first == b'\\').and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 8).ok()
        });
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = more.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_known_by_number_place_and_state() {
        let line = r"36 35 98:0 /sub /mnt\040a rw,noatime master:1 - ext3 /dev/root ro,errors=continue";
        let (number, mount) = parse_mount(line).unwrap();
        assert_eq!(number, "98:0");
        assert_eq!(mount, Mount { place: "/mnt a".into(), kind: "ext3".into(), read_only: true });
        let (_, mount) = parse_mount("36 35 98:0 / / ro shared:1 shared:2 - xfs /dev/sda1 rw").unwrap();
        assert!(!mount.read_only, "another mount may write");
        assert!(parse_mount("nonsense").is_none());
    }
}
