//! Bytes that lie: an error in under a second, no panic, no crash of the library, and no write after a refusal.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod images;

use driver_core::{FileKind, GuestFs, Ownership};
use driver_fs_ntfs::open;
use images::{Image, PatchedVolume, fresh_seed, noise, pattern, set_attributes};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Looks at everything and edits; how it ends does not matter, but that it ends. Returns whether edits were allowed.
fn visit(volume: Arc<PatchedVolume>) -> bool {
    let start = Instant::now();
    let Ok(mut fs) = open(volume.clone()) else { return false };
    let (mut folders, mut seen) = (vec![String::new()], 0);
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs.read_dir(if folder.is_empty() { "/" } else { &folder }) else { continue };
        for entry in entries {
            seen += 1;
            if seen > 400 {
                break;
            }
            let path = format!("{folder}/{}", entry.name);
            let _ = fs.metadata(&path);
            match entry.kind {
                FileKind::Folder => folders.push(path),
                FileKind::Link => drop(fs.read_link(&path)),
                FileKind::File => drop(fs.read_file(&path, 1 << 20)),
                FileKind::Other => {}
            }
        }
    }
    let editable = fs.editable().is_ok();
    let before = volume.writes();
    let owner = Ownership::ROOT_FILE;
    let _ = fs.replace_file("/folder/file", &[0x5a; 9000]);
    let _ = fs.append_file("/pieces", b"edited");
    let _ = fs.replace_file("/packed/text", b"edited");
    let _ = fs.create_file("/names/new file", b"new", owner);
    let _ = fs.create_folder("/folder/new folder", owner);
    let _ = fs.rename("/folder/file", "/folder/new folder/moved");
    let _ = fs.remove("/names/a rather long name number 17");
    let _ = fs.finish();
    assert!(editable || volume.writes() == before, "a volume that cannot be edited was written");
    drop(fs);
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    editable
}

fn image(options: &[&str]) -> (Image, Arc<Vec<u8>>) {
    let image = Image::make(options, 24 << 20, |root| {
        std::fs::create_dir(root.join("folder")).unwrap();
        std::fs::write(root.join("folder/file"), "content").unwrap();
        std::fs::create_dir(root.join("names")).unwrap();
        (0..150).for_each(|i| {
            std::fs::write(root.join(format!("names/a rather long name number {i}")), "x").unwrap()
        });
        let (a, b) = (
            std::fs::File::create(root.join("pieces")).unwrap(),
            std::fs::File::create(root.join("other")).unwrap(),
        );
        for i in 0..200 {
            a.write_all_at(&noise(600, i), i * 9000).unwrap();
            b.write_all_at(&noise(600, i), i * 5000).unwrap();
        }
        std::fs::create_dir(root.join("packed")).unwrap();
        set_attributes(&root.join("packed"), 0x800);
        std::fs::write(root.join("packed/text"), pattern(200_000, 9)).unwrap();
    });
    let bytes = image.bytes();
    (image, bytes)
}

#[test]
fn every_byte_of_the_boot_sector_and_the_first_records() {
    let (_image, good) = image(&[]);
    assert!(visit(PatchedVolume::new(&good, [])));
    let records = 16384..16384 + 12 * 1024;
    for at in (0..0x54).chain(records.filter(|at| good[*at] != 0 && at % 3 != 2)) {
        let flip = if at % 2 == 0 { 0xff } else { 1 };
        visit(PatchedVolume::new(&good, [(at as u64, good[at] ^ flip)]));
    }
}

#[test]
fn every_prefix() {
    let (_image, good) = image(&[]);
    for size in (0..4096).step_by(61).chain((4096..good.len() - 512).step_by(377_777)) {
        assert!(open(PatchedVolume::of_size(&good, size as u64, [])).is_err(), "{size}");
    }
}

/// Damage in every structure that has a signature, put so that the update sequence does not give it away.
#[test]
fn random_damage_of_metadata() {
    let seed = fresh_seed();
    for options in [&[][..], &["-c", "512"], &["-s", "4096"]] {
        let (_image, good) = image(options);
        let record = if options.contains(&"-s") { 4096 } else { 1024 };
        let mut places: Vec<(usize, usize)> = Vec::new();
        for at in (0..good.len()).step_by(512) {
            match &good[at..at + 4] {
                b"FILE" => places.push((at, record)),
                b"INDX" => places.push((at, 4096)),
                _ => {}
            }
        }
        assert!(places.len() > 20, "{}", places.len());
        let dice = noise(1 << 16, seed);
        let mut editable = 0;
        for round in 0..300_usize {
            let roll = |n: usize| {
                usize::from(dice[(round * 7 + n * 2) % 65_000]) << 8
                    | usize::from(dice[(round * 7 + n * 2 + 1) % 65_000])
            };
            let (at, len) = places[roll(0) % places.len()];
            let mut changes = Vec::new();
            for n in 0..1 + roll(1) % 3 {
                // Most of what matters is in front; the last two bytes of each 512 are the update sequence's.
                let reach = if roll(2) % 3 == 0 { len } else { len.min(480) };
                let spot = at + roll(3 + n) % reach;
                if spot % 512 >= 510 {
                    continue;
                }
                let byte = match roll(4 + n) % 4 {
                    0 => 0xff,
                    1 => 0,
                    2 => good[spot] ^ (1 << (roll(5) % 8)),
                    _ => dice[(round + n) % 65_000],
                };
                changes.push((spot as u64, byte));
            }
            editable += usize::from(visit(PatchedVolume::new(&good, changes)));
        }
        eprintln!("{options:?}: {editable} of 300 were edited");
    }
}
