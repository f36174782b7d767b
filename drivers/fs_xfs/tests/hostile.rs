//! Bytes that lie: an error in under a second, no panic, and no write after a refusal.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod images;

use driver_core::{FileKind, GuestFs, Volume};
use driver_fs_xfs::open;
use images::{Image, PatchedVolume, must, noise};
use std::fs::{File, create_dir_all, write};
use std::os::unix::fs::{FileExt, symlink};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Looks at everything and edits a file; how it ends does not matter, but that it ends.
fn visit(volume: Arc<PatchedVolume>) {
    let start = Instant::now();
    let Ok(mut fs) = open(volume) else { return };
    let mut folders = vec![String::new()];
    let mut seen = 0;
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
    for path in ["/etc/fstab", "/pieces"] {
        let _ = fs.replace_file(path, b"edited");
        let _ = fs.append_file(path, b"edited");
    }
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

fn image(options: &[&str]) -> (Image, Arc<Vec<u8>>) {
    let image = Image::make(options, "48M", |root| {
        create_dir_all(root.join("etc")).unwrap();
        write(root.join("etc/fstab"), "/dev/xvda1 / xfs defaults 0 0\n").unwrap();
        symlink("l".repeat(900), root.join("etc/link")).unwrap();
        create_dir_all(root.join("names")).unwrap();
        (0..300).for_each(|number| write(root.join(format!("names/{number:040}")), "").unwrap());
        let pieces = File::create(root.join("pieces")).unwrap();
        (0..400).for_each(|number| pieces.write_all_at(&noise(600, number), number * 9000).unwrap());
        let (from, to) = (root.join("etc/fstab"), root.join("etc/copy"));
        must("cp", &["--reflink=auto", from.to_str().unwrap(), to.to_str().unwrap()]);
    });
    let bytes = Arc::new(std::fs::read(&image.path).unwrap());
    (image, bytes)
}

#[test]
fn every_flipped_byte_of_the_first_blocks() {
    let (_image, good) = image(&["-m", "rmapbt=1"]);
    visit(PatchedVolume::new(&good, []));
    // Superblock, AGF, AGI; every third byte of what follows.
    for at in (0..1536).chain((1536..16384).step_by(3)) {
        let byte = good[at];
        if byte == 0 && at > 600 {
            continue;
        }
        for flip in [0xff, 1] {
            visit(PatchedVolume::new(&good, [(at as u64, byte ^ flip)]));
        }
    }
}

#[test]
fn every_prefix() {
    let (_image, good) = image(&[]);
    for size in (0..4096).step_by(61).chain((4096..good.len()).step_by(377_777)) {
        let volume = PatchedVolume::prefix(&good, size as u64);
        assert!(open(volume).is_err(), "{size}");
    }
}

/// Damage with its checksums put right, so that it gets past them.
#[test]
fn random_damage_of_metadata() {
    for options in [&["-m", "rmapbt=1"][..], &["-b", "size=1024"]] {
        let (_image, good) = image(options);
        let block = u32::from_be_bytes(*good[4..].first_chunk().unwrap()) as usize;
        let inode = usize::from(u16::from_be_bytes(*good[104..].first_chunk().unwrap()));
        // Where blocks with a magic begin, how long they are, and where their checksum is.
        let mut places = Vec::new();
        for at in (0..good.len()).step_by(512) {
            let place = match &good[at..at + 4] {
                b"XFSB" if at == 0 => (512, 224),
                b"XAGF" => (512, 216),
                b"XAGI" => (512, 312),
                b"AB3B" | b"IAB3" | b"RMB3" | b"R3FC" => (block, 52),
                b"BMA3" => (block, 64),
                b"XDB3" | b"XDD3" => (block, 4),
                b"XSLM" => (block, 12),
                [b'I', b'N', 0x41 | 0x81 | 0xa1, _] => (inode, 100),
                _ => continue,
            };
            places.push((at, place.0, place.1));
        }
        assert!(places.len() > 10, "{}", places.len());
        let dice = noise(1 << 16, 77);
        for round in 0..3000_usize {
            let roll = |n: usize| {
                usize::from(dice[(round * 7 + n * 2) % 65_000]) << 8
                    | usize::from(dice[(round * 7 + n * 2 + 1) % 65_000])
            };
            let (at, len, crc) = places[roll(0) % places.len()];
            let mut bytes = good[at..at + len].to_vec();
            for n in 0..1 + roll(1) % 3 {
                // Most of what matters is in front.
                let reach = if roll(2) % 2 == 0 { len.min(220) } else { len };
                let spot = roll(3 + n) % reach;
                bytes[spot] = match roll(4 + n) % 4 {
                    0 => 0xff,
                    1 => 0,
                    2 => bytes[spot] ^ (1 << (roll(5) % 8)),
                    _ => dice[(round + n) % 65_000],
                };
            }
            bytes[crc..crc + 4].fill(0);
            let sum = crc32c::crc32c(&bytes).to_le_bytes();
            bytes[crc..crc + 4].copy_from_slice(&sum);
            let volume = PatchedVolume::new(&good, (at as u64..).zip(bytes));
            assert_eq!(volume.size(), good.len() as u64);
            visit(volume);
        }
    }
}
