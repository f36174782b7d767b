//! Text of a descriptor: its encoding, and what the file names in it mean here.

use encoding_rs::{BIG5, EUC_KR, Encoding, GBK, SHIFT_JIS, UTF_8};

/// What stands where bytes could not be decoded.
const REPLACEMENT: char = '\u{fffd}';
/// Paths that are devices wherever they are opened.
const DEVICE_FOLDERS: [&str; 4] = ["//./", "//?/", "/dev/", "/vmfs/devices/"];

/// The text, and the name of the encoding that it was decoded from.
pub(crate) fn decode(bytes: &[u8]) -> (String, String) {
    // Keys are ASCII in every encoding that products write, so the keys can be found first.
    let raw = String::from_utf8_lossy(bytes);
    let value_of = |wanted: &str| {
        raw.split(['\n', '\r']).find_map(|line| {
            let (key, value) = line.split_once('=')?;
            key.trim().eq_ignore_ascii_case(wanted).then(|| value.trim().trim_matches('"').to_owned())
        })
    };
    let label = value_of("encoding").or_else(|| value_of("ddb.encoding"));
    let label = label.unwrap_or_else(|| UTF_8.name().to_owned());
    let (text, _) = encoding_of(&label).unwrap_or(UTF_8).decode_with_bom_removal(bytes);
    (text.into_owned(), label)
}

/// Windows names its code pages by number, which the web's list of labels does not know for all.
fn encoding_of(label: &str) -> Option<&'static Encoding> {
    Encoding::for_label(label.as_bytes()).or_else(|| {
        match label.to_ascii_lowercase().trim_start_matches(|c: char| !c.is_ascii_digit()) {
            "932" => Some(SHIFT_JIS),
            "936" => Some(GBK),
            "949" => Some(EUC_KR),
            "950" => Some(BIG5),
            _ => None,
        }
    })
}

/// Whether all of a name could be decoded.
pub(crate) fn is_decoded(name: &str) -> bool {
    !name.contains(REPLACEMENT)
}

/// Whether a name means a device and no file.
pub(crate) fn is_device(name: &str) -> bool {
    let slashed = name.replace('\\', "/").to_ascii_lowercase();
    DEVICE_FOLDERS.iter().any(|folder| slashed.starts_with(folder))
}

/// The name as it is looked for here: a path of another machine says nothing, so of those only the last part counts.
pub(crate) fn host_name(name: &str) -> String {
    let (bytes, slashed) = (name.as_bytes(), name.replace('\\', "/"));
    let has_drive = bytes.first().is_some_and(u8::is_ascii_alphabetic) && bytes.get(1) == Some(&b':');
    if has_drive || slashed.starts_with("//") || slashed.starts_with("/vmfs/") {
        return slashed.rsplit(['/', ':']).next().unwrap_or_default().to_owned();
    }
    slashed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_key_decides() {
        let decoded = |label: &str, name: &[u8]| {
            let text = [b"encoding=\"", label.as_bytes(), b"\"\n", name].concat();
            decode(&text).0.rsplit('\n').next().unwrap().to_owned()
        };
        for (label, bytes, name) in [
            ("UTF-8", "Büro".as_bytes(), "Büro"),
            ("windows-1252", b"B\xfcro", "Büro"),
            ("GBK", b"\xd6\xd0", "中"),
            ("windows-936", b"\xd6\xd0", "中"),
            ("Shift_JIS", b"\x83\x5c", "ソ"),
            ("cp932", b"\x83\x5c", "ソ"),
            ("Big5", b"\xa4\xa4", "中"),
            ("windows-949", b"\xb0\xa1", "가"),
            ("never-heard-of", "Büro".as_bytes(), "Büro"),
        ] {
            assert_eq!(decoded(label, bytes), name, "{label}");
        }
        assert!(!is_decoded(&decoded("UTF-8", b"B\xfcro")));
        assert_eq!(decode(b"ddb.encoding = \"GBK\"\n\xd6\xd0").0, "ddb.encoding = \"GBK\"\n中");
    }

    #[test]
    fn devices_are_told_from_files() {
        for device in [r"\\.\PhysicalDrive0", "/dev/sda", "/vmfs/devices/disks/naa.1", "//./physicaldrive1"] {
            assert!(is_device(device), "{device}");
        }
        for file in ["a.vmdk", r"\\server\share\a.vmdk", "/vmfs/volumes/a/b.vmdk", "dev/sda"] {
            assert!(!is_device(file), "{file}");
        }
    }

    #[test]
    fn paths_of_other_machines_keep_their_last_part() {
        for foreign in [r"C:\VMs\a.vmdk", r"\\server\share\a.vmdk", "/vmfs/volumes/x/a.vmdk", "c:a.vmdk"] {
            assert_eq!(host_name(foreign), "a.vmdk");
        }
        assert_eq!(host_name(r"..\x\a.vmdk"), "../x/a.vmdk");
        assert_eq!(host_name("/etc/passwd"), "/etc/passwd");
    }
}
