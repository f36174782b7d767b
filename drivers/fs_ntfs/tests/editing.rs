//! Edits, judged by ntfs-3g's view of the whole tree before and after, ntfsfix, and ntfsresize's count of clusters.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod images;

use driver_core::{Change, GuestFs, Ownership};
use driver_fs_ntfs::{NtfsFs, open};
use format_core::ErrorKind;
use images::{Image, dissect, foreign, noise, pattern, set_attributes, sha256};
use std::collections::BTreeMap;
use std::path::Path;

const OWNER: Ownership = Ownership::ROOT_FILE;

const GEOMETRIES: [(&str, &[&str], u64); 7] = [
    ("512", &["-c", "512"], 60 << 20),
    ("4K", &[], 60 << 20),
    ("8K", &["-c", "8192"], 60 << 20),
    ("64K", &["-c", "65536"], 120 << 20),
    ("2M", &["-c", "2097152"], 1000 << 20),
    ("4Kn", &["-s", "4096"], 60 << 20),
    ("4Kn 64K", &["-s", "4096", "-c", "65536"], 120 << 20),
];

fn fill(root: &Path) {
    let at = |name: &str| root.join(name);
    std::fs::create_dir_all(at("Windows/System32/drivers")).unwrap();
    std::fs::create_dir_all(at("Windows/System32/config")).unwrap();
    std::fs::write(at("Windows/System32/config/SYSTEM"), noise(2_000_000, 1)).unwrap();
    std::fs::write(at("small"), "small").unwrap();
    std::fs::write(at("long"), pattern(600_000, 1)).unwrap();
    std::fs::write(at("gone"), noise(100_000, 5)).unwrap();
    std::fs::write(at("stays"), noise(100_000, 6)).unwrap();
    std::fs::hard_link(at("stays"), at("stays too")).unwrap();
    std::fs::create_dir(at("many")).unwrap();
    (0..300).for_each(|i| std::fs::write(at(&format!("many/file-with-a-longer-name-{i}")), "x").unwrap());
    std::fs::create_dir(at("packed")).unwrap();
    set_attributes(&at("packed"), 0x800);
    std::fs::write(at("packed/replaced"), pattern(500_000, 9)).unwrap();
    std::fs::write(at("packed/extended"), pattern(300_000, 8)).unwrap();
    std::fs::write(at("packed/stays"), pattern(300_000, 7)).unwrap();
    std::fs::File::create(at("sparse")).unwrap().set_len(2_000_000).unwrap();
    std::fs::File::create(at("sparse too")).unwrap().set_len(2_000_000).unwrap();
}

/// What the edits leave.
fn expected() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("/Windows/System32/config/SYSTEM", noise(2_100_000, 2)),
        ("/Windows/System32/drivers/viostor.sys", noise(90_000, 3)),
        ("/Windows/System32/drivers/empty.sys", Vec::new()),
        ("/new folder/deep/file", pattern(1_000_000, 4)),
        ("/small", noise(300_000, 7)),
        ("/long", b"short and more".to_vec()),
        ("/moved/file", b"x".to_vec()),
        ("/packed/replaced", pattern(400_000, 5)),
        ("/packed/extended", [pattern(300_000, 8), b"more".to_vec()].concat()),
        ("/packed/new", pattern(200_000, 6)),
        ("/sparse", noise(50_000, 8)),
        ("/sparse too", [vec![0; 2_000_000], b"end".to_vec()].concat()),
    ]
}

fn edit(fs: &mut NtfsFs) {
    let content: BTreeMap<_, _> = expected().into_iter().collect();
    fs.replace_file("/windows/system32/CONFIG/system", &content["/Windows/System32/config/SYSTEM"]).unwrap();
    for path in ["/Windows/System32/drivers/viostor.sys", "/Windows/System32/drivers/empty.sys"] {
        fs.create_file(path, &content[path], OWNER).unwrap();
    }
    fs.create_folder("/new folder", Ownership::ROOT_FOLDER).unwrap();
    fs.create_folder("/New Folder/deep", Ownership::ROOT_FOLDER).unwrap();
    fs.create_file("/new folder/deep/file", &content["/new folder/deep/file"], OWNER).unwrap();
    fs.replace_file("/small", &content["/small"]).unwrap();
    fs.replace_file("/long", b"short").unwrap();
    fs.append_file("/LONG", b" and more").unwrap();
    fs.create_folder("/moved", Ownership::ROOT_FOLDER).unwrap();
    fs.rename("/many/file-with-a-longer-name-7", "/moved/file").unwrap();
    for i in (0..300).step_by(2) {
        fs.remove(&format!("/many/FILE-with-a-longer-name-{i}")).unwrap();
    }
    fs.create_folder("/moved/folder", Ownership::ROOT_FOLDER).unwrap();
    fs.create_file("/moved/folder/inside", b"inside", OWNER).unwrap();
    fs.rename("/moved/folder", "/many/folder").unwrap();
    fs.remove("/gone").unwrap();
    fs.remove("/stays too").unwrap();
    fs.replace_file("/packed/replaced", &content["/packed/replaced"]).unwrap();
    fs.append_file("/packed/extended", b"more").unwrap();
    fs.create_file("/packed/new", &content["/packed/new"], OWNER).unwrap();
    fs.replace_file("/sparse", &content["/sparse"]).unwrap();
    fs.append_file("/sparse too", b"end").unwrap();
    for i in 0..200 {
        let path = format!("/Windows/System32/drivers/a driver with a long name {i}.sys");
        fs.create_file(&path, &noise(5000 + i, i as u64), OWNER).unwrap();
    }
    fs.finish().unwrap();
}

fn is_edited(path: &str, contents: &[(&str, Vec<u8>)]) -> bool {
    let folders = ["/Windows/System32/drivers/", "/new folder", "/moved", "/packed/new", "/many/folder"];
    let number = path.strip_prefix("/many/file-with-a-longer-name-").and_then(|n| n.parse::<u32>().ok());
    folders.iter().any(|folder| path.starts_with(folder))
        || contents.iter().any(|(edited, _)| *edited == path)
        || matches!(path, "/gone" | "/stays too")
        || number.is_some_and(|n| n % 2 == 0 || n == 7)
}

/// Folders whose names changed: their time of change moves and nothing else.
const TOUCHED: [&str; 4] = ["/", "/many", "/packed", "/Windows/System32/drivers"];

fn without(facts: &str, words: &[&str]) -> String {
    facts
        .split(' ')
        .filter(|fact| !words.iter().any(|word| fact.starts_with(word)))
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn edits_change_what_they_say_and_leave_the_volume_clean() {
    let contents = expected();
    for (what, options, size) in GEOMETRIES {
        let image = Image::make(options, size, fill);
        let before = image.tree();
        let mut fs = open(image.volume()).unwrap();
        fs.editable().unwrap_or_else(|e| panic!("{what}: {e}"));
        let start = std::time::Instant::now();
        edit(&mut fs);
        eprintln!("{what}: {:?} for 380 edits", start.elapsed());
        for (path, content) in &contents {
            assert!(fs.read_file(path, 1 << 30).unwrap() == *content, "{what}: {path}");
        }
        drop(fs);
        image.assert_clean(what);
        let after = image.tree();
        for (path, content) in &contents {
            let wanted = format!("f {} {}", content.len(), sha256(content));
            assert!(after[*path].starts_with(&wanted), "{what}: {path}: {}", after[*path]);
        }
        for (path, facts) in &before {
            if is_edited(path, &contents) {
                continue;
            }
            let found = after.get(path).unwrap_or_else(|| panic!("{what}: {path} is gone"));
            let dropped: &[&str] = match path.as_str() {
                "/stays" => &["links="],
                path if TOUCHED.contains(&path) => &["mtime=", "links="],
                _ => &[],
            };
            assert_eq!(without(found, dropped), without(facts, dropped), "{what}: {path}");
        }
        let new: Vec<_> =
            after.keys().filter(|path| !before.contains_key(*path) && !is_edited(path, &contents)).collect();
        assert!(new.is_empty(), "{what}: {new:?}");
        assert!(
            !after.contains_key("/gone") && after["/stays"].contains("links=1"),
            "{what}: {}",
            after["/stays"]
        );
        assert!(after["/many/folder/inside"].starts_with("f 6 "), "{what}");
        // Neither compressed nor sparse any more.
        for path in ["/packed/replaced", "/packed/extended", "/packed/new", "/sparse"] {
            let attributes = after[path].split("system.ntfs_attrib=").nth(1).unwrap();
            assert_eq!((&attributes[2..4], &attributes[..2]), ("00", "20"), "{what}: {path} {attributes}");
        }
    }
}

/// The same edit again changes nothing but times.
#[test]
fn an_edit_repeated_changes_no_content() {
    let image = Image::make(&[], 60 << 20, fill);
    let mut fs = open(image.volume()).unwrap();
    fs.replace_file("/long", &noise(123_456, 1)).unwrap();
    fs.finish().unwrap();
    drop(fs);
    let before = image.tree();
    let mut fs = open(image.volume()).unwrap();
    fs.replace_file("/long", &noise(123_456, 1)).unwrap();
    fs.finish().unwrap();
    drop(fs);
    let after = image.tree();
    for (path, facts) in &before {
        let dropped = if path == "/long" { &["mtime="][..] } else { &[] };
        assert_eq!(without(&after[path], dropped), without(facts, dropped), "{path}");
    }
    assert_eq!(before.len(), after.len());
    image.assert_clean("twice");
}

#[test]
fn opening_and_reading_leave_no_trace() {
    let image = Image::make(&[], 60 << 20, fill);
    let good = image.bytes();
    let volume = images::PatchedVolume::new(&good, []);
    let mut fs = open(volume.clone()).unwrap();
    fs.editable().unwrap();
    fs.read_dir("/many").unwrap();
    fs.read_file("/packed/replaced", 1 << 20).unwrap();
    fs.finish().unwrap();
    drop(fs);
    assert_eq!(volume.writes(), 0);
}

#[test]
fn what_cannot_be_done_is_refused_before_anything_is_written() {
    let image = Image::make(&[], 60 << 20, |root| {
        fill(root);
        std::fs::write(root.join("secret"), noise(5000, 1)).unwrap();
    });
    let good = image.bytes();
    let volume = images::PatchedVolume::new(&good, []);
    let mut fs = open(volume.clone()).unwrap();
    use ErrorKind::{NeedsPerson, Usage};
    let refusals = [
        (fs.create_file("/small", b"", OWNER), Usage),
        (fs.create_file("/SMALL", b"", OWNER), Usage),
        (fs.create_file("/a:b", b"", OWNER), Usage),
        (fs.create_file("/nul.txt", b"", OWNER), Usage),
        (fs.create_file("/dot.", b"", OWNER), Usage),
        (fs.create_file("/$MFT", b"", OWNER), Usage),
        (fs.create_file("/no/file", b"", OWNER), Usage),
        (fs.create_file("/small/file", b"", OWNER), Usage),
        (fs.replace_file("/none", b""), Usage),
        (fs.replace_file("/many", b""), Usage),
        (fs.replace_file("/$Bitmap", b""), Usage),
        (fs.remove("/many"), Usage),
        (fs.remove("/none"), Usage),
        (fs.remove("/"), Usage),
        (fs.rename("/many", "/many/inside"), Usage),
        (fs.rename("/many", "/small"), Usage),
        (fs.rename("/none", "/new"), Usage),
        (fs.create_link("/link", "small"), NeedsPerson),
        (fs.replace_file("/small", &vec![1; 70 << 20]), NeedsPerson),
        (fs.create_file("/large", &vec![1; 70 << 20], OWNER), NeedsPerson),
        (fs.append_file("/small", &vec![1; 70 << 20]), NeedsPerson),
    ];
    for (number, (result, kind)) in refusals.into_iter().enumerate() {
        assert_eq!(result.unwrap_err().kind(), kind, "{number}");
    }
    fs.allows("/small", Change::Content { size: 9 }).unwrap();
    fs.allows("/new", Change::Create).unwrap();
    fs.finish().unwrap();
    assert_eq!(volume.writes(), 0);
}

/// An encrypted file is neither read nor written; nothing new comes into an encrypted folder.
#[test]
fn encrypted_files_need_a_person() {
    let image = Image::make(&[], 60 << 20, |root| {
        std::fs::write(root.join("secret"), noise(5000, 1)).unwrap();
        std::fs::create_dir(root.join("vault")).unwrap();
    });
    let mut bytes = image.bytes().as_ref().clone();
    // The attributes in both records: no tool here encrypts.
    for name in ["secret", "vault"] {
        let units: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let record = (0..bytes.len() - 1024).step_by(1024).find(|at| {
            bytes[*at..*at + 4] == *b"FILE"
                && bytes[*at..*at + 1024].windows(units.len()).any(|window| window == units)
                && u64::from_le_bytes(*bytes[at + 0x2c..].first_chunk().unwrap()) as u32 >= 24
        });
        let record = record.unwrap();
        let first = record + usize::from(u16::from_le_bytes(*bytes[record + 0x14..].first_chunk().unwrap()));
        bytes[first + 24 + 32 + 1] |= 0x40;
        let mut at = first;
        while bytes[at..at + 4] != [0xff; 4] {
            if bytes[at] == 0x80 {
                bytes[at + 13] |= 0x40;
            }
            at += u32::from_le_bytes(*bytes[at + 4..].first_chunk().unwrap()) as usize;
        }
    }
    let volume = images::PatchedVolume::new(&std::sync::Arc::new(bytes), []);
    let mut fs = open(volume.clone()).unwrap();
    fs.editable().unwrap();
    let errors = [
        fs.read_file("/secret", 1 << 20).map(|_| ()),
        fs.replace_file("/secret", b"x"),
        fs.append_file("/secret", b"x"),
        fs.create_file("/vault/new", b"x", OWNER),
        fs.create_folder("/vault/new", OWNER),
        fs.allows("/secret", Change::Content { size: 1 }),
        fs.allows("/vault/new", Change::Create),
    ];
    for error in errors {
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NeedsPerson);
        assert!(error.to_string().contains("EFS"), "{error}");
    }
    assert_eq!(volume.writes(), 0);
}

/// A volume that Windows made.
#[test]
fn a_volume_of_windows_is_clean_after_edits() {
    let Some(image) = foreign("dissect.ntfs/ntfs.bin.gz") else { return };
    let before = image.tree();
    let mut fs = open(image.volume()).unwrap();
    fs.editable().unwrap();
    fs.create_file("/new.sys", &noise(3000, 1), OWNER).unwrap();
    fs.create_folder("/Directory/new", OWNER).unwrap();
    fs.replace_file("/File.txt", b"replaced").unwrap();
    let names = fs.read_dir("/Large Directory").unwrap();
    for entry in names.iter().take(20) {
        fs.remove(&format!("/Large Directory/{}", entry.name)).unwrap();
    }
    fs.finish().unwrap();
    drop(fs);
    // The image ends before the copy of the boot sector, which ntfsfix misses before and after.
    image.assert_counted("of Windows");
    image.assert_descriptors("of Windows");
    let after = image.tree();
    assert_eq!(after.len() + 18, before.len());
    for (path, facts) in &after {
        let edited = ["/", "/new.sys", "/Directory", "/Directory/new", "/File.txt", "/Large Directory"];
        assert!(edited.contains(&path.as_str()) || before.get(path) == Some(facts), "{path}");
    }
    let script = "import sys; from dissect.ntfs import NTFS; sys.stdout.write(NTFS(open(sys.argv[1], 'rb')).mft.get('File.txt').open().read().decode())";
    if let Some(found) = dissect(script, &[image.file()]) {
        assert_eq!(found, "replaced");
    }
}
