//! Reading volumes of many geometries and makers, judged by ntfs-3g.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod images;

use driver_core::{FileKind, GuestFs};
use driver_fs_ntfs::{NtfsFs, open, probe};
use format_core::ErrorKind;
use images::{Image, foreign, link_data, must, noise, pattern, set_attributes, set_reparse};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A file read by pieces that fit no block, from its end to its start.
fn in_pieces(fs: &dyn GuestFs, path: &str) -> Vec<u8> {
    let file = fs.open_file(path).unwrap();
    assert!(file.read_at(file.size(), &mut [0]).is_err(), "{path}");
    let mut content = vec![1; file.size() as usize];
    for (number, piece) in content.chunks_mut(7919).enumerate().collect::<Vec<_>>().into_iter().rev() {
        file.read_at(number as u64 * 7919, piece).unwrap();
    }
    content
}

const GEOMETRIES: [(&str, &[&str], u64); 9] = [
    ("512", &["-c", "512"], 40 << 20),
    ("1K", &["-c", "1024"], 40 << 20),
    ("4K", &[], 40 << 20),
    ("4K and a bit", &[], (40 << 20) + 1536),
    ("8K", &["-c", "8192"], 40 << 20),
    ("64K", &["-c", "65536"], 80 << 20),
    ("2M", &["-c", "2097152"], 600 << 20),
    ("4Kn", &["-s", "4096"], 40 << 20),
    ("4Kn 64K", &["-s", "4096", "-c", "65536"], 80 << 20),
];

fn fill(root: &Path) {
    let at = |name: &str| root.join(name);
    std::fs::create_dir_all(at("Windows/System32/drivers/etc")).unwrap();
    std::fs::create_dir_all(at("Windows/System32/config")).unwrap();
    std::fs::create_dir_all(at("Users/Jürgen")).unwrap();
    std::fs::write(at("Windows/System32/drivers/etc/hosts"), "127.0.0.1 localhost\r\n").unwrap();
    std::fs::write(at("Windows/System32/Boot.exe"), pattern(300_001, 1)).unwrap();
    std::fs::write(at("empty"), "").unwrap();
    std::fs::write(at("💾 ünïcode"), "x").unwrap();
    std::fs::hard_link(at("Windows/System32/Boot.exe"), at("second name")).unwrap();
    std::fs::create_dir(at("many")).unwrap();
    (0..700).for_each(|i| std::fs::write(at(&format!("many/file-with-a-longer-name-{i}")), "").unwrap());
    // Half of the names go again, so that blocks of the index are half empty.
    (0..700)
        .step_by(3)
        .for_each(|i| std::fs::remove_file(at(&format!("many/file-with-a-longer-name-{i}"))).unwrap());
    let sparse = std::fs::File::create(at("sparse")).unwrap();
    sparse.set_len(3_000_000).unwrap();
    sparse.write_all_at(b"middle", 1_500_000).unwrap();
    // So many pieces that the list of them leaves the record.
    let (a, b) =
        (std::fs::File::create(at("pieces a")).unwrap(), std::fs::File::create(at("pieces b")).unwrap());
    for i in 0..400 {
        let bytes = noise(3000, i);
        a.write_all_at(&bytes, i * 12_000).unwrap();
        b.write_all_at(&bytes, i * 9_000).unwrap();
    }
    std::fs::create_dir(at("packed")).unwrap();
    set_attributes(&at("packed"), 0x800);
    std::fs::write(at("packed/text"), pattern(500_000, 9)).unwrap();
    std::fs::write(at("packed/noise"), noise(200_000, 9)).unwrap();
    std::fs::write(
        at("packed/mixed"),
        [pattern(70_000, 1), noise(70_000, 3), vec![0; 200_000], pattern(99, 2)].concat(),
    )
    .unwrap();
    std::fs::write(at("packed/small"), "small").unwrap();
}

/// Compares everything below the root with what ntfs-3g mounts.
fn compare(fs: &NtfsFs, image: &Image, what: &str) -> usize {
    let mounted = image.mount("ro,streams_interface=none");
    let (mut folders, mut seen, mut unknown) = (vec![String::new()], 0, 0);
    while let Some(folder) = folders.pop() {
        let there = mounted.root.join(folder.trim_start_matches('/'));
        let mut theirs: Vec<String> = std::fs::read_dir(&there)
            .unwrap_or_else(|e| panic!("{what}: {folder}: {e}"))
            .map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned())
            .collect();
        let mut ours = fs.read_dir(if folder.is_empty() { "/" } else { &folder }).unwrap();
        ours.sort_by(|a, b| a.name.cmp(&b.name));
        theirs.sort();
        assert_eq!(ours.iter().map(|e| e.name.clone()).collect::<Vec<_>>(), theirs, "{what}: {folder}");
        for entry in ours {
            let path = format!("{folder}/{}", entry.name);
            let meta = fs.metadata(&path).unwrap().unwrap();
            let there = mounted.root.join(path.trim_start_matches('/'));
            let theirs = std::fs::symlink_metadata(&there).unwrap();
            assert_eq!(meta.kind, entry.kind, "{what}: {path}");
            seen += 1;
            // ntfs-3g shows whatever has a reparse point that it does not know as a link that leads nowhere.
            if std::fs::read_link(&there)
                .is_ok_and(|to| to.to_string_lossy().starts_with("unsupported reparse"))
            {
                unknown += 1;
                continue;
            }
            match meta.kind {
                FileKind::Folder => {
                    assert!(theirs.is_dir(), "{what}: {path}");
                    folders.push(path);
                }
                FileKind::File => {
                    if theirs.file_type().is_symlink() {
                        // Interix kept links as content; nobody but ntfs-3g and Interix sees them so.
                        assert!(
                            fs.read_file(&path, 1 << 20).unwrap().starts_with(b"IntxLNK\x01"),
                            "{what}: {path}"
                        );
                        continue;
                    }
                    assert!(theirs.is_file(), "{what}: {path}");
                    assert_eq!(meta.size, theirs.len(), "{what}: {path}");
                    let content = fs.read_file(&path, 1 << 30).unwrap();
                    assert!(content == std::fs::read(&there).unwrap(), "{what}: {path} differs");
                    assert!(content == in_pieces(fs, &path), "{what}: {path} differs by pieces");
                }
                // How ntfs-3g shows links depends on where it is mounted.
                FileKind::Link => assert!(theirs.file_type().is_symlink(), "{what}: {path}"),
                FileKind::Other => {}
            }
        }
    }
    drop(mounted);
    image.settle();
    eprintln!("{what}: {seen} names, {unknown} with reparse points that ntfs-3g does not know");
    seen
}

#[test]
fn every_geometry_reads_as_ntfs_3g_reads_it() {
    for (what, options, size) in GEOMETRIES {
        let image = Image::make(options, size, fill);
        let fs = open(image.volume()).unwrap();
        fs.editable().unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(fs.facts().label, "guest", "{what}");
        assert_eq!(fs.facts().version, (3, 1), "{what}");
        let seen = compare(&fs, &image, what);
        assert!(seen > 480, "{what}: {seen}");
        let facts = probe(&(image.volume() as _)).unwrap().unwrap();
        let shown = must("blkid", &["-p", "-o", "value", "-s", "UUID", image.file()]);
        assert_eq!(facts.uuid.as_deref(), Some(shown.trim()), "{what}");
        assert_eq!((facts.kind.as_str(), facts.not_editable), ("ntfs", None), "{what}");
        assert_eq!((facts.label.as_deref(), facts.state.as_deref()), (Some("guest"), Some("clean")));
    }
}

#[test]
fn names_are_found_as_windows_finds_them() {
    let image = Image::make(&[], 40 << 20, |root| {
        fill(root);
        let value = [
            "-h",
            "-n",
            "system.ntfs_dos_name",
            "-v",
            "JRGEN~1",
            root.join("Users/Jürgen").to_str().unwrap(),
        ]
        .map(str::to_owned);
        must("setfattr", &value.each_ref().map(String::as_str));
        // Names that differ in case only.
        std::fs::write(root.join("Case"), "first").unwrap();
        std::fs::write(root.join("case"), "second").unwrap();
        std::fs::write(root.join("CASE"), "third").unwrap();
    });
    let fs = open(image.volume()).unwrap();
    let inode = |path: &str| fs.metadata(path).unwrap().map(|meta| meta.inode);
    let hosts = inode("/Windows/System32/drivers/etc/hosts");
    assert!(hosts.is_some());
    assert_eq!(inode("/WINDOWS/system32/DRIVERS/Etc/HOSTS"), hosts);
    assert_eq!(inode("/users/jÜRGEN"), inode("/Users/Jürgen"));
    assert_eq!(inode("/Users/JRGEN~1"), inode("/Users/Jürgen"));
    assert_eq!(inode("/users/jrgen~1"), inode("/Users/Jürgen"));
    let users: Vec<_> = fs.read_dir("/users").unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(users, ["Jürgen"]);
    for (name, content) in [("Case", "first"), ("case", "second"), ("CASE", "third")] {
        assert_eq!(fs.read_file(&format!("/{name}"), 99).unwrap(), content.as_bytes());
    }
    assert!(fs.metadata("/cAsE").unwrap().is_some());
    assert_eq!(inode("/second name"), inode("/Windows/System32/Boot.exe"));
    for hidden in ["/$MFT", "/$Extend", "/$Extend/$Reparse", "/.", "/$Boot", "/$bitmap"] {
        assert!(fs.metadata(hidden).is_ok_and(|meta| meta.is_none()) || hidden == "/.", "{hidden}");
    }
    assert!(fs.read_dir("/").unwrap().iter().all(|entry| !entry.name.starts_with('$')));
    assert_eq!(inode("/empty/x"), None);
    assert_eq!(inode(&format!("/{}", "x".repeat(256))), None);
    assert_eq!(fs.read_file("/sparse", 100).unwrap_err().kind(), ErrorKind::Limit);
    assert_eq!(fs.read_file("/many", 100).unwrap_err().kind(), ErrorKind::Usage);
    assert_eq!(fs.read_dir("/empty").unwrap_err().kind(), ErrorKind::Usage);
}

#[test]
fn links_lead_into_the_volume_where_they_can() {
    let image = Image::make(&[], 40 << 20, |root| {
        fill(root);
        let link = |name: &str, folder: bool, tag: u32, data: Vec<u8>| {
            let path = root.join(name);
            if folder {
                std::fs::create_dir(&path).unwrap()
            } else {
                std::fs::write(&path, "").unwrap()
            }
            set_reparse(&path, tag, &data);
        };
        link("Documents and Settings", true, 0xa000_0003, link_data(r"\??\C:\users", None));
        link("elsewhere", true, 0xa000_0003, link_data(r"\??\D:\Users", None));
        link(
            "mounted",
            true,
            0xa000_0003,
            link_data(r"\??\Volume{01234567-89ab-cdef-0123-456789abcdef}\", None),
        );
        link("relative", false, 0xa000_000c, link_data(r"Windows\System32\Boot.exe", Some(1)));
        link("rooted", false, 0xa000_000c, link_data(r"\windows\system32\boot.exe", Some(1)));
        link("absolute", false, 0xa000_000c, link_data(r"\??\C:\Windows\System32\Boot.exe", Some(0)));
        link("app", false, 0x8000_001b, vec![3, 0, 0, 0]);
        link("cloud", false, 0x9000_601a, vec![1, 0, 0, 0]);
    });
    let mut fs = open(image.volume()).unwrap();
    let expected = [
        ("/Documents and Settings", "/Users"),
        ("/elsewhere", "D:/Users"),
        ("/mounted", "Volume{01234567-89ab-cdef-0123-456789abcdef}/"),
        ("/relative", "Windows/System32/Boot.exe"),
        ("/rooted", "/Windows/System32/Boot.exe"),
        ("/absolute", "/Windows/System32/Boot.exe"),
    ];
    for (path, target) in expected {
        assert_eq!(fs.metadata(path).unwrap().unwrap().kind, FileKind::Link, "{path}");
        assert_eq!(fs.read_link(path).unwrap(), target, "{path}");
    }
    let root = fs.read_dir("/").unwrap();
    assert_eq!(root.iter().filter(|entry| entry.kind == FileKind::Link).count(), expected.len());
    // No link in the middle is followed here.
    assert_eq!(fs.metadata("/Documents and Settings/Jürgen").unwrap(), None);
    for (path, word) in [("/app", "installed app"), ("/cloud", "OneDrive")] {
        let error = fs.read_file(path, 1 << 20).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains(word), "{error}");
        assert_eq!(fs.replace_file(path, b"x").unwrap_err().kind(), ErrorKind::Unsupported);
    }
    fs.set_drive_letter('D');
    assert_eq!(fs.read_link("/elsewhere").unwrap(), "/Users");
    assert_eq!(fs.read_link("/absolute").unwrap(), "C:/Windows/System32/Boot.exe");
    assert_eq!(fs.create_link("/new", "empty").unwrap_err().kind(), ErrorKind::NeedsPerson);
}

/// Volumes that Windows and others made.
#[test]
fn foreign_volumes_read_as_ntfs_3g_reads_them() {
    for (file, least) in
        [("dfvfs/ntfs.raw.gz", 3), ("dissect.ntfs/ntfs.bin.gz", 100), ("dissect.ntfs/ntfs-cloud.bin.gz", 10)]
    {
        let Some(image) = foreign(file) else { return };
        let fs = open(image.volume()).unwrap();
        let seen = compare(&fs, &image, file);
        assert!(seen >= least, "{file}: {seen}");
        eprintln!("{file}: {seen} names, {:?}", fs.editable().err().map(|error| error.to_string()));
    }
}
