//! The links below `/dev/disk` that udev makes in a running system, and that programs of the guest look for.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::Path;

/// How much of a device is looked at: up to the superblock of a btrfs.
const LOOKED_AT: u64 = 0x1_1000;

/// What a superblock says.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    uuid: String,
    label: String,
}

/// Makes the links of all devices that are there now.
pub(crate) fn link_all() {
    let mut names: Vec<String> = fs::read_dir("/sys/class/block")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    // Members of mirrors look like what is on the mirror: what was made of devices goes first, and the first one has the link.
    names.sort_by_key(|name| (!name.starts_with("dm-"), !name.starts_with("md"), name.clone()));
    for name in names {
        for (file, prefix) in [("dm/name", "dm-name-"), ("dm/uuid", "dm-uuid-")] {
            let value = fs::read_to_string(format!("/sys/class/block/{name}/{file}")).unwrap_or_default();
            if !value.trim().is_empty() {
                link("by-id", &format!("{prefix}{}", value.trim()), &name);
            }
        }
        let Some(identity) = look(&format!("/dev/{name}")) else { continue };
        link("by-uuid", &identity.uuid, &name);
        link("by-label", &encoded(&identity.label), &name);
    }
}

fn link(folder: &str, link: &str, device: &str) {
    let folder = Path::new("/dev/disk").join(folder);
    if link.is_empty() || link.contains(['/', '\0']) || fs::create_dir_all(&folder).is_err() {
        return;
    }
    // One that is there stays: see the order above.
    let _ = symlink(format!("../../{device}"), folder.join(link));
}

/// As udev writes names: all but letters, digits and a few marks as `\x20`.
fn encoded(label: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "#+-.:=@_".contains(c);
    let mut out = String::new();
    for c in label.chars() {
        if plain(c) {
            out.push(c);
        } else {
            let mut bytes = [0; 4];
            out.extend(c.encode_utf8(&mut bytes).bytes().map(|byte| format!("\\x{byte:02x}")));
        }
    }
    out
}

fn look(device: &str) -> Option<Identity> {
    let mut start = Vec::new();
    File::open(device).ok()?.take(LOOKED_AT).read_to_end(&mut start).ok()?;
    identify(&start)
}

fn identify(start: &[u8]) -> Option<Identity> {
    let at = |offset: usize, length: usize| start.get(offset..offset + length);
    let text = |offset, length| {
        let bytes: &[u8] = at(offset, length).unwrap_or_default();
        let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(bytes).trim_end().to_owned()
    };
    let uuid = |offset| at(offset, 16).map(dashed);
    if at(0, 4) == Some(b"XFSB") {
        Some(Identity { uuid: uuid(32)?, label: text(108, 12) })
    } else if at(0x438, 2) == Some(&[0x53, 0xef]) {
        Some(Identity { uuid: uuid(0x468)?, label: text(0x478, 16) })
    } else if at(0x1_0040, 8) == Some(b"_BHRfS_M") {
        Some(Identity { uuid: uuid(0x1_0020)?, label: text(0x1_012b, 256) })
    } else if at(0xff6, 10) == Some(b"SWAPSPACE2") {
        Some(Identity { uuid: uuid(0x40c)?, label: text(0x41c, 16) })
    } else if at(0x52, 5) == Some(b"FAT32") {
        Some(fat(at(0x43, 4)?, text(0x47, 11)))
    } else if at(0x36, 3) == Some(b"FAT") {
        Some(fat(at(0x27, 4)?, text(0x2b, 11)))
    } else {
        None
    }
}

fn fat(id: &[u8], label: String) -> Identity {
    let hex: Vec<String> = id.iter().rev().map(|byte| format!("{byte:02X}")).collect();
    let (high, low) = hex.split_at(2);
    let label = if label == "NO NAME" { String::new() } else { label };
    Identity { uuid: format!("{}-{}", high.concat(), low.concat()), label }
}

fn dashed(bytes: &[u8]) -> String {
    let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut parts = Vec::new();
    let mut rest = hex.as_slice();
    for length in [4, 2, 2, 2, 6] {
        let (part, after) = rest.split_at(length.min(rest.len()));
        parts.push(part.concat());
        rest = after;
    }
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn superblocks_are_told_apart() {
        let mut xfs = vec![0; 512];
        xfs[..4].copy_from_slice(b"XFSB");
        xfs[32..48].copy_from_slice(&[0x11; 16]);
        xfs[108..112].copy_from_slice(b"root");
        let found = identify(&xfs).unwrap();
        assert_eq!(found.uuid, "11111111-1111-1111-1111-111111111111");
        assert_eq!(found.label, "root");
        let mut vfat = vec![0; 512];
        vfat[0x52..0x57].copy_from_slice(b"FAT32");
        vfat[0x43..0x47].copy_from_slice(&[0x78, 0x56, 0x34, 0x12]);
        vfat[0x47..0x52].copy_from_slice(b"NO NAME    ");
        assert_eq!(identify(&vfat), Some(Identity { uuid: "1234-5678".into(), label: String::new() }));
        assert_eq!(identify(&[0; 100]), None);
        assert_eq!(encoded("a b/ü"), "a\\x20b\\x2fü");
    }
}
