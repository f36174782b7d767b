//! Files packed by the overlay filter (CompactOS): read, and written as plain ones.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod images;
mod packed;

use driver_core::{FileKind, GuestFs};
use driver_fs_ntfs::open;
use format_core::ErrorKind;
use images::{Image, must};
use packed::{ALGORITHMS, add, contents, pack};
use std::time::{Duration, Instant};

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

#[test]
fn every_algorithm_unpacks_what_wimlib_packed() {
    for (number, algorithm, chunk) in ALGORITHMS {
        let image = Image::empty(&[], 60 << 20);
        let files: Vec<_> = contents()
            .into_iter()
            .map(|(name, content)| {
                let packed = pack(&content, algorithm, chunk);
                (name, content, number, packed)
            })
            .collect();
        add(&image, "packed", &files);
        let fs = open(image.volume()).unwrap();
        for (name, content, ..) in &files {
            let path = format!("/packed/{name}");
            let meta = fs.metadata(&path).unwrap().unwrap();
            assert_eq!((meta.kind, meta.size), (FileKind::File, content.len() as u64));
            let start = Instant::now();
            let found = fs.read_file(&path, 1 << 20).unwrap();
            eprintln!("{algorithm} {chunk} {name}: {} bytes in {:?}", content.len(), start.elapsed());
            let differs = found.iter().zip(content).position(|(a, b)| a != b);
            assert_eq!((found.len(), differs), (content.len(), None), "{algorithm} {chunk} {name}");
            assert!(in_pieces(&fs, &path) == *content, "{algorithm} {chunk} {name}");
            assert_eq!(fs.read_file(&path, 99).unwrap_err().kind(), ErrorKind::Limit);
        }
        assert!(fs.read_dir("/packed").unwrap().iter().all(|entry| entry.kind == FileKind::File));
    }
}

#[test]
fn packed_files_are_written_as_plain_ones() {
    let image = Image::empty(&[], 60 << 20);
    let files: Vec<_> = contents()
        .into_iter()
        .zip(ALGORITHMS.iter().cycle())
        .map(|((name, content), (number, algorithm, chunk))| {
            let packed = pack(&content, algorithm, *chunk);
            (name, content, *number, packed)
        })
        .collect();
    add(&image, "packed", &files);
    assert_eq!(indexed(&image), files.len());
    let before = image.tree();
    let mut fs = open(image.volume()).unwrap();
    fs.replace_file("/packed/program.exe", b"a small program").unwrap();
    fs.replace_file("/packed/text.txt", &images::noise(500_000, 1)).unwrap();
    fs.append_file("/packed/mixed", b" and more").unwrap();
    fs.remove("/packed/zeros").unwrap();
    fs.rename("/packed/exact", "/moved").unwrap();
    fs.finish().unwrap();
    assert!(fs.read_file("/packed/program.exe", 99).unwrap() == b"a small program");
    assert!(fs.read_file("/moved", 1 << 20).unwrap() == files[3].1);
    drop(fs);
    image.assert_clean("packed files");
    let after = image.tree();
    for (path, facts) in &before {
        let edited = path.starts_with("/packed") && !path.ends_with("one chunk");
        assert!(
            edited || after.get(path) == Some(facts) || path == "/",
            "{path}: {facts}\n{:?}",
            after.get(path)
        );
    }
    let whole = [&files[4].1[..], b" and more"].concat();
    let mounted = image.mount("ro,streams_interface=windows");
    for (path, content) in [
        ("program.exe", &b"a small program"[..]),
        ("text.txt", &images::noise(500_000, 1)),
        ("mixed", &whole),
    ] {
        let there = mounted.root.join("packed").join(path);
        assert!(std::fs::read(&there).unwrap() == content, "{path}");
        assert!(
            std::fs::read(format!("{}:WofCompressedData", there.display())).is_err(),
            "{path} keeps its stream"
        );
        // Neither sparse, compressed, nor a reparse point.
        let found =
            must("getfattr", &["-h", "--only-values", "-n", "system.ntfs_attrib", there.to_str().unwrap()]);
        assert_eq!(u32::from(found.as_bytes()[1]) & 0x0e, 0, "{path}");
    }
    drop(mounted);
    image.settle();
    assert_eq!(
        indexed(&image),
        2,
        "the volume's index of reparse points has those that were not written, and no other"
    );
}

/// Entries of `$Extend\$Reparse`, as ntfsinfo lists them.
fn indexed(image: &Image) -> usize {
    must("ntfsinfo", &["-v", "-F", "$Extend/$Reparse", image.file()]).matches("Key reparse tag").count()
}

/// Packed bytes that lie: an error, quickly, and never a panic.
#[test]
fn damaged_packed_bytes_end_in_errors() {
    for (number, algorithm, chunk) in ALGORITHMS {
        let content = contents().swap_remove(1).1[..120_000].to_vec();
        let packed = pack(&content, algorithm, chunk);
        let image = Image::empty(&[], 30 << 20);
        add(&image, "packed", &[("file", content.clone(), number, packed.clone())]);
        let good = image.bytes();
        let at = good.windows(64).position(|window| window == &packed[..64]).unwrap();
        let mut wrong = 0;
        for round in 0..600_usize {
            let place = (at + round * 131 % packed.len()) as u64;
            let changes = [(place, good[place as usize] ^ (1 << (round % 8)))];
            let start = Instant::now();
            let fs = open(images::PatchedVolume::new(&good, changes)).unwrap();
            match fs.read_file("/packed/file", 1 << 20) {
                Ok(found) => assert_eq!(found.len(), content.len()),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                    wrong += 1;
                }
            }
            assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        }
        assert!(wrong > 0, "{algorithm} {chunk}");
    }
}
