//! A Windows that sleeps in the volume: refused, or given up when asked to; ntfs-3g as judge.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod images;
mod refused;

use driver_core::{GuestFs, Ownership};
use driver_fs_ntfs::{Discarded, Opening, Options, open, open_with};
use format_core::ErrorKind;
use images::{Image, PatchedVolume, noise, set_attributes, tool, volume_flags_at};
use refused::assert_read_only;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

const DISCARD: Options = Options { discard_hibernation: true };

/// A sleeping Windows' file: a header and noise.
fn sleeping(signature: &[u8], size: usize) -> Vec<u8> {
    [signature, &noise(size - signature.len(), 5)].concat()
}

fn image_with(options: &[&str], fill: impl FnOnce(&Path)) -> Image {
    Image::make(options, 30 << 20, |root| {
        std::fs::write(root.join("file"), "content").unwrap();
        fill(root);
    })
}

fn image(name: &str, content: &[u8]) -> Image {
    image_with(&[], |root| std::fs::write(root.join(name), content).unwrap())
}

/// What ntfs-3g says of writing: 0 for "yes", 14 for "hibernated".
fn probed(image: &Image) -> Option<i32> {
    tool("ntfs-3g.probe", &["--readwrite", image.file()]).status.code()
}

/// Also with the wish to give up a hibernation nothing changes, and every edit is refused with a reason that holds both
/// words.
fn assert_undiscardable(volume: &Arc<PatchedVolume>, word: &str, other: &str) {
    let before = volume.bytes();
    let mut fs = open_with(volume.clone(), DISCARD).unwrap();
    let error = fs.editable().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NeedsPerson, "{error}");
    let said = error.to_string();
    assert!(said.contains(word) && said.contains(other), "{word}, {other}: {said}");
    assert!(error.hint_text().is_some_and(|hint| !hint.contains("--discard-hibernation")), "{said}");
    assert_eq!(fs.opening(), Opening::default(), "{said}");
    fs.replace_file("/file", b"x").unwrap_err();
    fs.finish().unwrap();
    drop(fs);
    assert!(volume.writes() == 0 && volume.bytes() == before, "{said}");
}

#[test]
fn live_headers_are_told_from_others() {
    let signatures: [(&[u8], bool); 8] = [
        (b"hibr", true),
        (b"HIBR", true),
        (b"HORM", true),
        (b"brkp", true),
        (b"wake", false),
        (b"WAKE", false),
        (b"RSTR", false),
        (b"\0\0\0\0", false),
    ];
    for (signature, live) in signatures {
        let image = image("hiberfil.sys", &sleeping(signature, 9000));
        let volume = PatchedVolume::new(&image.bytes(), []);
        if live {
            assert_read_only(&volume, "hibernated", "powercfg /h off");
            assert_read_only(&volume, "hibernated", "--discard-hibernation");
        } else {
            let fs = open_with(volume.clone(), DISCARD).unwrap();
            fs.editable().unwrap_or_else(|e| panic!("{signature:?}: {e}"));
            assert_eq!((fs.opening(), volume.writes()), (Opening::default(), 0), "{signature:?}");
        }
    }
    let short = image("HIBERFIL.SYS", &[0; 100]);
    assert_read_only(&PatchedVolume::new(&short.bytes(), []), "hibernated", "powercfg /h off");
}

/// Only the header changes, and the volume is as good as any other.
#[test]
fn a_header_is_zeroed_when_asked_for() {
    // In one piece; in eight, since only every other cluster is free for it.
    let whole = image("hiberfil.sys", &sleeping(b"HIBR", 300_000));
    let pieces = image_with(&["-c", "512"], |root| {
        let file = std::fs::File::create(root.join("hiberfil.sys")).unwrap();
        let other = std::fs::File::create(root.join("other")).unwrap();
        for (number, piece) in sleeping(b"hibr", 60_000).chunks(512).enumerate() {
            file.write_all_at(piece, number as u64 * 512).unwrap();
            file.sync_all().unwrap();
            other.write_all_at(&[7; 512], number as u64 * 512).unwrap();
            other.sync_all().unwrap();
        }
    });
    for (what, image, size) in [("whole", whole, 300_000), ("pieces", pieces, 60_000)] {
        assert_eq!(probed(&image), Some(14), "{what}");
        let (before, mut fs) = (image.bytes(), open(image.volume()).unwrap());
        fs.editable().unwrap_err();
        let content = fs.read_file("/hiberfil.sys", 1 << 20).unwrap();
        fs.finish().unwrap();
        drop(fs);
        assert!(image.bytes() == before, "{what}: opening without being asked changed something");
        let fs = open_with(image.volume(), DISCARD).unwrap();
        fs.editable().unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(fs.opening().hibernation, Some(Discarded::Header { size }), "{what}");
        let told = fs.opening().hibernation.unwrap().to_string();
        assert!(told.contains("/hiberfil.sys") && told.contains("4096"), "{told}");
        let now = fs.read_file("/hiberfil.sys", 1 << 20).unwrap();
        assert!(now[..4096] == [0; 4096] && now[4096..] == content[4096..], "{what}");
        drop(fs);
        let after = image.bytes();
        let changed = before.iter().zip(after.iter()).filter(|(a, b)| a != b).count();
        let held = content[..4096].iter().filter(|byte| **byte != 0).count();
        assert_eq!(changed, held, "{what}: other bytes changed");
        assert_eq!(probed(&image), Some(0), "{what}");
        image.assert_clean(what);
        // A second time there is nothing to give up.
        let mut fs = open_with(image.volume(), DISCARD).unwrap();
        assert_eq!(fs.opening(), Opening::default());
        fs.create_file("/new", b"new", Ownership::ROOT_FILE).unwrap();
        fs.finish().unwrap();
        drop(fs);
        image.assert_clean(what);
    }
}

#[test]
fn a_short_file_is_removed_when_asked_for() {
    for size in [0, 100, 4095] {
        let image = image("Hiberfil.sys", &noise(size, 3));
        let before = image.tree();
        let fs = open_with(image.volume(), DISCARD).unwrap();
        fs.editable().unwrap_or_else(|e| panic!("{size}: {e}"));
        assert_eq!(fs.opening().hibernation, Some(Discarded::ShortFile { size: size as u64 }));
        assert_eq!(fs.metadata("/hiberfil.sys").unwrap(), None);
        drop(fs);
        assert_eq!(probed(&image), Some(0), "{size}");
        image.assert_clean("short");
        let after = image.tree();
        for (path, facts) in before.iter().filter(|(path, _)| !matches!(path.as_str(), "/" | "/Hiberfil.sys"))
        {
            assert_eq!(after.get(path), Some(facts), "{path}");
        }
        assert_eq!(after.len() + 1, before.len());
    }
}

/// Whatever else stands in the way still does, and nothing is changed then.
#[test]
fn other_obstacles_are_none_the_less() {
    let live = image("hiberfil.sys", &sleeping(b"hibr", 9000));
    let good = live.bytes();
    let volume = |changes: Vec<(u64, u8)>| PatchedVolume::new(&good, changes);
    assert_undiscardable(&volume(vec![(volume_flags_at(&good), 1)]), "hibernated", "marked dirty");
    let log = images::must("ntfscluster", &["-I", "2", live.file()]);
    let last = log.lines().rfind(|line| !line.trim().is_empty()).unwrap();
    let at = last.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096;
    // A page of the log that is neither empty nor one that can be read.
    let spoiled: Vec<_> = [at, at + 4096].iter().flat_map(|at| (*at..).zip(*b"XXXX")).collect();
    assert_undiscardable(&volume(spoiled), "hibernated", "no restart page");
    let mirror = u64::from_le_bytes(*good[0x38..].first_chunk().unwrap()) * 4096;
    assert_undiscardable(&volume(vec![(mirror + 0x100, 0x77)]), "$MFTMirr", "$MFTMirr");
}

#[test]
fn a_file_that_windows_would_not_make_is_left_alone() {
    let packed = image_with(&[], |root| {
        set_attributes(root, 0x800);
        std::fs::write(root.join("hiberfil.sys"), [b"hibr".to_vec(), vec![7; 200_000]].concat()).unwrap();
    });
    assert_undiscardable(&PatchedVolume::new(&packed.bytes(), []), "compressed", "compressed");
    // Its clusters are marked free.
    let live = image("hiberfil.sys", &sleeping(b"hibr", 9000));
    let found = images::must("ntfscluster", &["-F", "/hiberfil.sys", live.file()]);
    let cluster = last_cluster(&found);
    let map = last_cluster(&images::must("ntfscluster", &["-I", "6", live.file()]));
    let at = map * 4096 + cluster / 8;
    let bits = live.bytes()[at as usize];
    let volume = PatchedVolume::new(&live.bytes(), [(at, bits & !(1 << (cluster % 8)))]);
    assert_undiscardable(&volume, "marked free", "marked free");
}

/// Place of the last run that ntfscluster lists: "VCN LCN Length".
fn last_cluster(listed: &str) -> u64 {
    let last = listed.lines().rfind(|line| !line.trim().is_empty());
    let last = last.unwrap_or_else(|| panic!("{listed}"));
    last.split_whitespace().nth(1).unwrap().parse().unwrap_or_else(|_| panic!("{listed}"))
}

/// No room for the trial file: what sleeps is not given up for nothing.
#[test]
fn a_full_volume_keeps_what_sleeps() {
    let image = image_with(&[], |root| {
        std::fs::write(root.join("hiberfil.sys"), sleeping(b"hibr", 9000)).unwrap();
        // What is left after each file is less than its size. Twice: ntfs-3g may give back what a removed file had only later.
        for (round, size) in (0..26).map(|number| (number / 13, 4096_usize << (12 - number % 13))) {
            let path = root.join(format!("filler {round} {size}"));
            if std::fs::write(&path, vec![1; size]).is_err() {
                std::fs::remove_file(&path).unwrap();
            }
        }
    });
    let volume = PatchedVolume::new(&image.bytes(), []);
    assert_undiscardable(&volume, "no space", "no space");
}
