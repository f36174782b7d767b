//! Cut and flipped files: an error or the right bytes, soon.

use crate::builder::*;
use format_core::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

/// Opens, checks, reads; whatever the bytes, what is read is right.
fn walk(path: &Path, wanted: &[u8], what: &str) {
    let start = Instant::now();
    if let Ok(container) = open(path) {
        let _ = (container.check(&|_| Ok(())), container.completeness(), container.machine_files());
        for index in 0..container.disks().len() {
            match disk(&container, index).and_then(|disk| content(&disk)) {
                Ok(content) => assert!(content == wanted, "{what}"),
                Err(error) => assert_ne!(error.kind(), ErrorKind::Contract, "{what}: {error}"),
            }
        }
    }
    assert!(start.elapsed() < Duration::from_secs(1), "{what} took {:?}", start.elapsed());
}

#[test]
fn no_cut_or_flipped_file_gives_another_disk() {
    let wanted = sample(3 * CHUNK + 50, 4);
    let store = Store::simple(Wrap::Packed, &wanted);
    let folder = store.simple_path();
    let chunk = store.chunk_path(&store.put_chunk(&wanted[..CHUNK], Wrap::Packed));
    for path in [folder.join("index.json.blob"), folder.join("drive-scsi0.img.fidx"), chunk] {
        let good = std::fs::read(&path).unwrap();
        let places: Vec<_> =
            (0..good.len()).filter(|at| *at < 90 || at % 97 == 0 || *at + 40 > good.len()).collect();
        for at in places {
            std::fs::write(&path, &good[..at]).unwrap();
            walk(&folder, &wanted, &format!("{path:?} cut at {at:#x}"));
            for value in [good[at] ^ 1, 0xff] {
                let mut bytes = good.clone();
                bytes[at] = value;
                std::fs::write(&path, bytes).unwrap();
                walk(&folder, &wanted, &format!("{path:?} with {value:#x} at {at:#x}"));
            }
        }
        std::fs::write(&path, good).unwrap();
    }
}

#[test]
fn without_a_manifest_the_index_still_covers_itself() {
    let wanted = sample(3 * CHUNK + 50, 4);
    let store = Store::simple(Wrap::Plain, &wanted);
    let folder = store.simple_path();
    std::fs::remove_file(folder.join("index.json.blob")).unwrap();
    let path = folder.join("drive-scsi0.img.fidx");
    let good = std::fs::read(&path).unwrap();
    for at in (0..90).chain(4096..good.len()) {
        for bit in [0, 5] {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << bit;
            std::fs::write(&path, bytes).unwrap();
            walk(&folder, &wanted, &format!("bit {bit} of {at:#x}"));
        }
    }
}

#[test]
fn a_bomb_is_not_unpacked() {
    let wanted = sample(2 * CHUNK, 4);
    let store = Store::simple(Wrap::Packed, &wanted);
    let digest = store.put_chunk(&wanted[..CHUNK], Wrap::Packed);
    std::fs::write(store.chunk_path(&digest), wrap(&vec![0; 24 << 20], Wrap::Packed, &store.key)).unwrap();
    walk(&store.simple_path(), &wanted, "chunk");
    let manifest = store.simple_path().join("index.json.blob");
    std::fs::write(manifest, wrap(&vec![b' '; 64 << 20], Wrap::Packed, &store.key)).unwrap();
    let error = open(&store.simple_path()).err().unwrap();
    assert!(error.to_string().contains("it has more than 0x1000000 bytes"), "{error}");
}

#[test]
fn links_do_not_lead_out_of_the_datastore() {
    let wanted = sample(2 * CHUNK, 4);
    let store = Store::simple(Wrap::Packed, &wanted);
    let path = store.chunk_path(&store.put_chunk(&wanted[..CHUNK], Wrap::Packed));
    let outside = tempfile::tempdir().unwrap();
    std::fs::rename(&path, outside.path().join("chunk")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("chunk"), &path).unwrap();
    let error = read(&open(&store.simple_path()).unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
}
