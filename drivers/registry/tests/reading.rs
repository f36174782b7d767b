//! Hives of the collection, read by us, by hivexregedit and by libregf.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod judges;
mod maker;

use driver_registry::{FileTime, Hive, Kind, Value};
use format_core::ErrorKind;
use judges::{first_difference, foreign, hivex_export, libregf, like_libregf, our_content, parse_export};

/// What must end in an error, and where: in opening, or in walking.
const BROKEN: [(&str, &str); 7] = [
    ("dfwinreg/SYSTEM.DAT", "starts with CREG"),
    ("plaso/regf/corrupt_sub_key_list.hiv", "is no allocated cell"),
    ("regipy/corrupted_system_hive", "hive bin at 0x19000"),
    ("yarp/BadBaseBlockHive/BadBaseBlockHive", "checksum of the base block"),
    ("yarp/BadListHive", "is used twice"),
    ("yarp/TruncatedHive", "the file at 0x3000"),
    ("yarp/TruncatedNameHive", "22 bytes wanted"),
];

fn is_log(name: &str) -> bool {
    name.contains(".LOG")
}

#[test]
fn every_hive_is_read_as_hivex_and_libregf_read_it() {
    let Some(files) = foreign() else { return };
    let (mut read, mut broken) = (0, 0);
    for (name, bytes) in files.into_iter().filter(|(name, _)| !is_log(name)) {
        let hive = Hive::open(bytes.clone()).and_then(|hive| hive.check().map(|census| (hive, census)));
        if let Some((_, message)) = BROKEN.iter().find(|(path, _)| *path == name) {
            let error = hive.map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(message), "{name}: {error}");
            broken += 1;
            continue;
        }
        let (hive, census) = hive.unwrap_or_else(|error| panic!("{name}: {error}"));
        let ours = our_content(&hive);
        let theirs = parse_export(&hivex_export(&bytes).unwrap_or_else(|error| panic!("{name}: {error}")));
        // Keys with the same name, and hivex goes up by the parents that keys name to make its paths.
        if !["yarp/DuplicateSubkeysHive", "yarp/InvalidParentHive"].contains(&name.as_str()) {
            assert_eq!(ours.len() as u64, census.keys, "{name}");
            assert!(ours == theirs, "{name}: {:?}", first_difference(&ours, &theirs));
        }
        // It takes half a minute for the largest ones, and ends names at a zero.
        if bytes.len() < 10 << 20 && name != "hivex/special" {
            let (ours, theirs) =
                (like_libregf(&hive), libregf(&bytes).unwrap_or_else(|error| panic!("{name}: {error}")));
            let differing = ours.lines().zip(theirs.lines()).find(|(a, b)| a != b);
            assert!(ours == theirs, "{name}: {differing:?}");
        }
        read += 1;
    }
    assert_eq!((read, broken), (32, 7));
}

#[test]
fn every_key_has_a_security_descriptor() {
    let Some(files) = foreign() else { return };
    for name in ["regipy/SYSTEM", "notatin/win7_ntuser.dat", "dfwinreg/SYSTEM", "plaso/regf/SAM"] {
        let hive = Hive::open(files[name].clone()).unwrap();
        for visit in hive.walk() {
            let descriptor = visit.unwrap().key.security().unwrap();
            // Revision 1, and self-relative.
            assert!(descriptor.len() >= 20 && descriptor[0] == 1 && descriptor[3] & 0x80 != 0, "{name}");
        }
    }
}

#[test]
fn keys_and_values_are_found_by_any_spelling() {
    let Some(files) = foreign() else { return };
    let hive = Hive::open(files["regipy/SYSTEM"].clone()).unwrap();
    assert_eq!((hive.version(), hive.is_dirty(), hive.has_transactions()), ((1, 5), false, true));
    let set = hive.key("select").unwrap().unwrap().value("CURRENT").unwrap().unwrap().as_u32().unwrap();
    let services = format!("\\controlset{set:03}\\SERVICES");
    let disk = hive.key(&format!("{services}\\Disk")).unwrap().unwrap();
    assert_eq!(disk.value("start").unwrap().unwrap().as_u32(), Some(0));
    let path = disk.value("ImagePath").unwrap().unwrap();
    assert_eq!(
        (path.kind, path.as_str().unwrap().to_lowercase()),
        (Kind::EXPAND_STRING, "system32\\drivers\\disk.sys".into())
    );
    assert!(hive.key(&format!("{services}\\no such service\\Parameters")).unwrap().is_none());
    assert!(disk.value("no such value").unwrap().is_none());

    let hive = Hive::open(files["yarp/UnicodeHive"].clone()).unwrap();
    assert_eq!(hive.key("ПРИВЕТ\\кЛЮЧ").unwrap().unwrap().name().to_string(), "Ключ");
    let hive = Hive::open(files["yarp/UpcaseHive"].clone()).unwrap();
    // The upper case of ß is ß, not SS.
    let names: Vec<_> =
        hive.root().unwrap().subkeys().unwrap().iter().map(|key| key.name().to_string()).collect();
    assert_eq!(names, ["ss1", "SS3", "ß2"]);
    assert!(hive.key("SS2").unwrap().is_none() && hive.key("ß2").unwrap().is_some());
}

#[test]
fn big_data_and_strings_of_the_collection() {
    let Some(files) = foreign() else { return };
    let hive = Hive::open(files["yarp/BigDataHive"].clone()).unwrap();
    let key = hive.root().unwrap().subkeys().unwrap()[0];
    let sizes: Vec<_> =
        key.values().unwrap().iter().map(|value| (value.size(), value.read().unwrap().data.len())).collect();
    assert!(sizes.iter().all(|(size, len)| *size as usize == *len && *len > 16344), "{sizes:?}");

    let hive = Hive::open(files["yarp/StringValuesHive"].clone()).unwrap();
    let key = hive.key("key").unwrap().unwrap();
    let text = |name: &str| key.value(name).unwrap().unwrap().as_str();
    assert_eq!((text("").unwrap(), text("2").unwrap()), ("test тест".into(), "test тест".into()));
    assert_eq!(text("1"), None);
}

/// The collection has none: this one is made, and its flag set by hand.
#[test]
fn symbolic_links_are_shown_and_not_followed() {
    let mut hive = Hive::open(maker::empty(5)).unwrap();
    let target = "\\REGISTRY\\MACHINE\\SYSTEM\\ControlSet001";
    let data: Vec<u8> = target.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut edit = hive.edit(FileTime(1)).unwrap();
    edit.create_key("CurrentControlSet", None).unwrap();
    edit.create_key("ControlSet001\\Services", None).unwrap();
    edit.set_value("CurrentControlSet", "SymbolicLinkValue", &Value::raw(Kind::LINK, data)).unwrap();
    let mut bytes = hive.into_bytes().unwrap();
    let at = bytes.windows(17).position(|bytes| bytes == b"CurrentControlSet").unwrap() - 76;
    bytes[at + 2] |= 0x10;

    let mut hive = Hive::open(bytes).unwrap();
    let key = hive.key("currentcontrolset").unwrap().unwrap();
    assert!(key.is_link() && !hive.root().unwrap().is_link());
    assert_eq!(key.link_target().unwrap().unwrap().to_string(), target);
    assert!(hive.key("CurrentControlSet\\Services").unwrap().is_none());
    let mut edit = hive.edit(FileTime(2)).unwrap();
    for result in [
        edit.create_key("CurrentControlSet\\Services", None),
        edit.set_value("CurrentControlSet", "a", &Value::dword(1)),
        edit.delete_value("CurrentControlSet", "SymbolicLinkValue"),
    ] {
        let error = result.unwrap_err();
        assert!(
            error.kind() == ErrorKind::Unsupported && error.to_string().contains("symbolic link"),
            "{error}"
        );
    }
    // The link itself can go.
    assert!(edit.delete_key("CurrentControlSet").unwrap());
    assert!(edit.hive().key("ControlSet001\\Services").unwrap().is_some());
}

/// mkntfs writes the table that Windows keeps since Vista.
#[test]
fn upper_case_is_that_of_windows() {
    let folder = tempfile::tempdir().unwrap();
    let script = "cd \"$1\"; truncate -s 4M image; timeout 60 mkntfs -qFf image >/dev/null; timeout 60 ntfscat -f -i 10 image";
    let output = std::process::Command::new("bash")
        .args(["-euc", script, "bash"])
        .arg(folder.path())
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .output()
        .unwrap();
    assert_eq!(output.stdout.len(), 1 << 17, "{}", String::from_utf8_lossy(&output.stderr));
    let mut differing = 0;
    for (unit, upper) in (0..=u16::MAX).zip(output.stdout.chunks_exact(2)) {
        let upper = u16::from_le_bytes([upper[0], upper[1]]);
        let (Some(unit), Some(upper)) = (char::from_u32(unit.into()), char::from_u32(upper.into())) else {
            continue;
        };
        let name = driver_registry::Name::from(unit.to_string().as_str());
        assert!(name.is(&upper.to_string()), "{unit:?} {upper:?}");
        differing += usize::from(unit != upper);
    }
    assert_eq!(differing, 973);
}

#[test]
fn the_recipe_makes_a_hive_that_others_read() {
    for minor in 3..=6 {
        let bytes = maker::empty(minor);
        let hive = Hive::open(bytes.clone()).unwrap();
        assert_eq!(hive.check().unwrap().keys, 1);
        assert_eq!(hive.root().unwrap().security().unwrap(), maker::DESCRIPTOR);
        assert_eq!(hivex_export(&bytes).unwrap().lines().nth(2).unwrap(), "[\\]");
        assert_eq!(like_libregf(&hive), libregf(&bytes).unwrap());
    }
}
