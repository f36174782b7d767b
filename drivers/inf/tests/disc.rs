//! Disc images: those of xorriso with every kind of names, judged by libarchive, and damaged ones made by hand.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "maker/iso.rs"]
mod iso;
mod maker;

use driver_inf::{Arch, Disc, packages};
use format_core::{ErrorKind, FileStorage, MemStorage, Result};
use iso::{FOLDER, GOES_ON, ROOT, folder, record, rooted};
use maker::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use tempfile::TempDir;

/// Files of a disc by their paths.
type Files = BTreeMap<String, Vec<u8>>;

fn read(disc: &Disc) -> Result<Files> {
    disc.files()?.iter().map(|file| Ok((file.path.clone(), disc.read(file, 1 << 20)?))).collect()
}

fn open(image: Vec<u8>) -> Result<Option<Disc>> {
    Disc::open(Arc::new(MemStorage(image)))
}

/// What libarchive finds in an image.
fn judged(image: &Path) -> Files {
    let folder = TempDir::new().unwrap();
    let output = Command::new("bsdtar").arg("-xf").arg(image).arg("-C").arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "bsdtar: {}", String::from_utf8_lossy(&output.stderr));
    let listed =
        Command::new("find").arg(folder.path()).args(["-type", "f", "-printf", "%P\\n"]).output().unwrap();
    let paths = String::from_utf8(listed.stdout).unwrap();
    paths.lines().map(|path| (path.to_owned(), std::fs::read(folder.path().join(path)).unwrap())).collect()
}

#[test]
fn every_kind_of_names_is_read_as_others_read_it() {
    let root = TempDir::new().unwrap();
    let disc = root.path().join("disc");
    let long = format!("{} long name ü €.inf", "a".repeat(30));
    let endless = format!("{}.sys", "n".repeat(240));
    put(
        &disc,
        &[
            ("NetKVM/2k12R2/amd64/netkvm.sys", &[7; 5000][..]),
            (&format!("deep/er/and/deeper/{long}"), b"text"),
            ("empty", b""),
            ("UPPER.TXT", b"upper"),
            ("no.extension.but.dots", b"dots"),
        ],
    );
    for n in 0..90 {
        put(&disc, &[(&format!("many/a file with a rather long name {n}"), format!("{n}").as_bytes())]);
    }
    std::os::unix::fs::symlink("UPPER.TXT", disc.join("link")).unwrap();
    let with_names: &[(&[&str], bool)] = &[
        (&["-J", "-joliet-long", "-R"], true),
        (&["-J", "-joliet-long", "--norock"], true),
        (&["-R"], true),
        (&["--norock"], false),
        (&["--norock", "-iso-level", "3"], false),
    ];
    for (options, keeps_names) in with_names {
        // Names that need a continuation area; Joliet has none of more than 103 characters.
        if options[0] == "-R" {
            put(&disc, &[(&endless, b"endless")]);
        }
        let image = image(&disc, options);
        let storage = FileStorage::open(&image).unwrap();
        let files = read(&Disc::open(Arc::new(storage)).unwrap().unwrap()).unwrap();
        assert_eq!(files, judged(&image), "{options:?}");
        assert!(files.len() >= 95);
        assert_eq!(files.contains_key(&format!("deep/er/and/deeper/{long}")), *keeps_names, "{options:?}");
        assert_eq!(files.contains_key(&endless), options[0] == "-R");
        assert!(files.contains_key("UPPER.TXT"));
        if options[0] == "-R" {
            std::fs::remove_file(disc.join(&endless)).unwrap();
        }
    }
}

#[test]
fn packages_of_a_disc_are_those_of_its_folder() {
    let root = TempDir::new().unwrap();
    let disc = root.path().join("virtio-win");
    for os in ["2k16", "2k19", "2k22", "w10"] {
        put_viostor(&disc, &format!("viostor/{os}/amd64"), "NTamd64", "01/01/2023,1.0.0.0");
    }
    let expected = packages(&disc, &SERVER_2019, Arch::Amd64).unwrap();
    for options in [&["-J", "-R"][..], &["-R"], &["-J", "--norock"]] {
        let image = image(&disc, options);
        assert_eq!(packages(&image, &SERVER_2019, Arch::Amd64).unwrap(), expected, "{options:?}");
    }
    // By names in upper case, in which the standard alone keeps them.
    let plain = packages(&image(&disc, &["--norock"]), &SERVER_2019, Arch::Amd64).unwrap();
    assert_eq!(plain[0].source, "VIOSTOR/2K19/AMD64");
    assert_eq!(plain[0].file("viostor.sys"), plain[0].files.iter().find(|file| file.name == "VIOSTOR.SYS"));
    assert_eq!(*plain[0].file("viostor.sys").unwrap().content, *b"binary of viostor/2k19/amd64");
}

#[test]
fn an_image_that_was_cut_says_so() {
    let root = TempDir::new().unwrap();
    let disc = root.path().join("disc");
    put_viostor(&disc, "w10", "NTamd64", "01/01/2023,1.0.0.0");
    put(&disc, &[("zz/filler", &vec![1; 1 << 20])]);
    let image = image(&disc, &["-J", "-R"]);
    let whole = std::fs::read(&image).unwrap();
    let mut says = 0;
    for len in (0..whole.len()).step_by(50 * 1024 + 17) {
        std::fs::write(&image, &whole[..len]).unwrap();
        if let Err(error) = packages(&image, &WINDOWS_10, Arch::Amd64) {
            assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Usage), "{len} {error:?}");
            says += usize::from(error.hint_text().is_some_and(|hint| hint.contains("may not be all there")));
        }
    }
    assert!(says > 0);
}

#[test]
fn a_file_in_several_extents_is_one() {
    let parts = [
        record(b"BIG.SYS;1", 30, 2048, GOES_ON, &[]),
        record(b"BIG.SYS;1", 40, 5, 0, &[]),
        record(b"NEXT.;1", 41, 1, 0, &[]),
    ];
    let mut image = rooted(&parts);
    image[30 * 2048..31 * 2048].fill(b'a');
    image[40 * 2048..40 * 2048 + 5].fill(b'b');
    image[41 * 2048] = b'c';
    let files = read(&open(image).unwrap().unwrap()).unwrap();
    assert_eq!(files["BIG.SYS"], [vec![b'a'; 2048], vec![b'b'; 5]].concat());
    assert_eq!(files["NEXT"], b"c");
    assert_eq!(files.len(), 2);
    for bad in [&parts[..1], &[parts[0].clone(), parts[2].clone()]] {
        let error = read(&open(rooted(bad)).unwrap().unwrap()).unwrap_err();
        assert!(error.to_string().contains("last extent of BIG.SYS"), "{error}");
    }
}

#[test]
fn loops_and_things_outside_are_refused() {
    let sub = |records: &[Vec<u8>]| {
        let root = folder(ROOT, &[record(b"SUB", 21, 2048, FOLDER, &[])]);
        iso::image(&[(ROOT, root), (21, folder(21, records))])
    };
    let mut interleaved = record(b"A", 30, 10, 0, &[]);
    interleaved[26] = 1;
    let mut long_name = record(b"A", 30, 10, 0, &[]);
    long_name[32] = 60;
    let mut short = vec![20];
    short.resize(34, 0);
    let crossing = vec![record(b"ABCDEFGH", 30, 1, 0, &[]); 48];
    let mut blocks = rooted(&[]);
    blocks[16 * 2048 + 128] = 1;
    let mut no_root = rooted(&[]);
    no_root[16 * 2048 + 156 + 25] = 0;
    for (what, image, kind, says) in [
        (
            "a loop to the root",
            sub(&[record(b"UP", ROOT, 2048, FOLDER, &[])]),
            ErrorKind::Corrupt,
            "SUB/UP lies where",
        ),
        (
            "a loop to itself",
            sub(&[record(b"ME", 21, 2048, FOLDER, &[])]),
            ErrorKind::Corrupt,
            "lies where another",
        ),
        (
            "a file outside",
            rooted(&[record(b"A", 63, 2049, 0, &[])]),
            ErrorKind::Corrupt,
            "A: iso9660: 2049 bytes wanted",
        ),
        (
            "a file far outside",
            rooted(&[record(b"A", u32::MAX, 9, 0, &[])]),
            ErrorKind::Corrupt,
            "9 bytes wanted",
        ),
        ("a folder outside", rooted(&[record(b"A", 64, 2048, FOLDER, &[])]), ErrorKind::Corrupt, "wanted"),
        ("a huge folder", rooted(&[record(b"A", 21, u32::MAX, FOLDER, &[])]), ErrorKind::Limit, "folder"),
        ("a huge file", rooted(&[record(b"A", 21, u32::MAX, 0, &[])]), ErrorKind::Limit, "4294967295 bytes"),
        ("interleaved", rooted(&[interleaved]), ErrorKind::Unsupported, "interleaved"),
        ("a name beyond its record", rooted(&[long_name]), ErrorKind::Corrupt, "shorter than its name"),
        ("a short record", rooted(&[short]), ErrorKind::Corrupt, "20 bytes is too short"),
        ("a record over the end", rooted(&crossing), ErrorKind::Corrupt, "crosses the end"),
        ("a path as name", rooted(&[record(b"../A", 30, 1, 0, &[])]), ErrorKind::Corrupt, "\"../A\""),
        ("a dot as name", rooted(&[record(b"..;1", 30, 1, 0, &[])]), ErrorKind::Corrupt, "a file is called"),
        ("no name", rooted(&[record(b"", 30, 1, 0, &[])]), ErrorKind::Corrupt, "a file is called"),
        ("strange blocks", blocks, ErrorKind::Corrupt, "possible are 512, 1024 and 2048"),
        ("no root", no_root, ErrorKind::Corrupt, "root directory record"),
    ] {
        let Err(error) = open(image).and_then(|disc| read(&disc.unwrap())) else { panic!("{what} was read") };
        assert_eq!(error.kind(), kind, "{what}: {error}");
        assert!(error.to_string().contains(says), "{what}: {error}");
    }
}

#[test]
fn very_deep_and_very_wide_trees_end_in_time() {
    // Each folder is in the sector behind its parent's.
    let chain =
        (0..30).map(|n| (ROOT + n, folder(ROOT + n, &[record(b"D", ROOT + n + 1, 2048, FOLDER, &[])])));
    let error = read(&open(iso::image(&chain.collect::<Vec<_>>())).unwrap().unwrap()).unwrap_err();
    assert!(error.to_string().contains("nested more than 16 deep"), "{error}");
    // Folders that overlap: each begins a sector later and takes the rest of the image.
    let size = 40 * 2048;
    let records: Vec<_> =
        (0..30).map(|n| record(&[b'A' + n as u8], ROOT + 1 + n, size - n * 2048, FOLDER, &[])).collect();
    let sectors = (0..31).map(|n| (ROOT + n, records.concat())).collect::<Vec<_>>();
    let start = std::time::Instant::now();
    assert!(read(&open(iso::image(&sectors)).unwrap().unwrap()).is_err());
    assert!(start.elapsed().as_secs() < 2);
}

#[test]
fn what_is_no_disc_is_none() {
    assert!(open(Vec::new()).unwrap().is_none());
    assert!(open(vec![0; 1 << 20]).unwrap().is_none());
    let mut only_joliet = iso::descriptor(2);
    only_joliet[88..91].copy_from_slice(b"%/E");
    assert!(open([vec![0; 16 * 2048], only_joliet].concat()).unwrap().is_none());
}
