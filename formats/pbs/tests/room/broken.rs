//! Good snapshots with one thing broken: each is told, none is read as another disk.

use crate::builder::*;
use format_core::ErrorKind::{self, Corrupt, NeedsPerson, SourceMissing};
use format_core::{Access, Container, Error, Key, Result};
use std::path::Path;
use std::sync::Arc;

fn store(how: Wrap) -> (Store, Vec<u8>) {
    let content = sample(6 * CHUNK + 100, 2);
    (Store::simple(how, &content), content)
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

/// Opening or reading fails like this, and the check tells it, too.
fn fails(opened: Result<Arc<dyn Container>>, kind: ErrorKind, reason: &str) {
    let error: Error = match opened {
        Err(error) => error,
        Ok(container) => {
            let report = container.check(&|_| Ok(()));
            assert!(report.is_err() || report.is_ok_and(|report| report.errors > 0), "{reason}: checked");
            read(&container).err().unwrap_or_else(|| panic!("{reason}: read"))
        }
    };
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(reason), "{error}");
}

#[test]
fn broken_chunks() {
    type Change = fn(&mut Vec<u8>);
    let changes: [(Wrap, Change, &str); 9] = [
        (Wrap::Plain, |b| b[0] ^= 1, "which is no kind of blob"),
        (Wrap::Plain, |b| b[8] ^= 1, "the CRC-32 is"),
        (Wrap::Packed, |b| b[40] ^= 1, "the CRC-32 is"),
        (Wrap::Plain, |b| b.truncate(11), "its header needs 0xc"),
        (Wrap::Sealed, |b| b.truncate(43), "its header needs 0x2c"),
        (Wrap::Sealed, |b| b[12] ^= 1, "its authentication tag differs"),
        (Wrap::SealedPacked, |b| b[28] ^= 1, "its authentication tag differs"),
        (Wrap::Plain, |b| b.resize(3 * CHUNK, 0), "it has more than 0x2000 bytes"),
        (Wrap::Plain, |b| *b = wrap(&[1; CHUNK], Wrap::Plain, &[0; 32]), "its content has the digest"),
    ];
    for (how, edit, reason) in changes {
        let (store, wanted) = store(how);
        let sealed = matches!(how, Wrap::Sealed | Wrap::SealedPacked);
        let digest = store.put_chunk(&wanted[CHUNK..2 * CHUNK], how);
        change(&store.chunk_path(&digest), edit);
        let container = open_keyed(&store, &store.simple_path()).unwrap();
        // The other chunks do not suffer.
        let mut first = vec![0; CHUNK];
        disk(&container, 0).unwrap().read_exact_at(0, &mut first).unwrap();
        assert!(first == wanted[..CHUNK], "{sealed}");
        fails(Ok(container), Corrupt, reason);
    }
    for (length, how) in [(CHUNK - 1, Wrap::Plain), (CHUNK - 1, Wrap::Packed), (CHUNK + 1, Wrap::Packed)] {
        let (store, wanted) = store(how);
        let digest = store.put_chunk(&wanted[CHUNK..2 * CHUNK], how);
        std::fs::write(store.chunk_path(&digest), wrap(&vec![3; length], how, &store.key)).unwrap();
        let reason = if length > CHUNK { "it cannot be unpacked" } else { "it has 0xfff bytes, 0x1000" };
        fails(open_keyed(&store, &store.simple_path()), Corrupt, reason);
    }
}

#[test]
fn missing_chunks_are_named() {
    let (store, wanted) = store(Wrap::Packed);
    let digest = store.put_chunk(&wanted[CHUNK..2 * CHUNK], Wrap::Packed);
    let path = store.chunk_path(&digest);
    std::fs::rename(&path, path.with_extension("0.bad")).unwrap();
    let container = open(&store.simple_path()).unwrap();
    let findings = container.completeness().unwrap();
    assert_eq!(findings.len(), 1);
    assert!(
        findings[0].message.contains(&format!("1 chunks are missing in the datastore: {}", hex(&digest)))
    );
    fails(Ok(container), SourceMissing, "a verification on the server found it damaged");
    std::fs::remove_dir_all(store.root().join(".chunks")).unwrap();
    let container = open(&store.simple_path()).unwrap();
    assert!(container.completeness().unwrap()[0].message.contains("there is no folder .chunks"));
    fails(Ok(container), SourceMissing, "there is no folder .chunks");
}

#[test]
fn chunks_that_are_not_wrapped_as_the_manifest_says() {
    let (store, wanted) = store(Wrap::Sealed);
    let digest = store.put_chunk(&wanted[CHUNK..2 * CHUNK], Wrap::Sealed);
    std::fs::write(store.chunk_path(&digest), wrap(&wanted[CHUNK..2 * CHUNK], Wrap::Plain, &store.key))
        .unwrap();
    fails(open_keyed(&store, &store.simple_path()), Corrupt, "it is not encrypted, the manifest says");
}

#[test]
fn broken_indexes() {
    type Change = fn(&mut Vec<u8>);
    let changes: [(Change, &str); 10] = [
        (|b| b.truncate(4000), "the index has 0xfa0 bytes"),
        (|b| b.truncate(0), "the index has 0x0 bytes"),
        (|b| b[0] = 0, "the index begins with 00"),
        (|b| b[72] = 1, "a chunk has 0x1001 bytes"),
        (|b| b[72..80].fill(0), "a chunk has 0x0 bytes"),
        (|b| b[64..72].fill(0), "the disk has no bytes"),
        (|b| b.truncate(b.len() - 1), "need 0x10e0"),
        (|b| b[64..72].fill(0xff), "a disk of 0xffffffffffffffff bytes"),
        (|b| b[4096] ^= 1, "the digests in the index have the checksum"),
        (|b| b[64] ^= 1, "the manifest says that drive-scsi0.img.fidx has"),
    ];
    for (edit, reason) in changes {
        let (store, _) = store(Wrap::Packed);
        change(&store.simple_path().join("drive-scsi0.img.fidx"), edit);
        fails(open(&store.simple_path()), Corrupt, reason);
    }
    // A whole index of another time.
    let (store, wanted) = store(Wrap::Packed);
    let digests: Vec<_> =
        wanted.chunks(CHUNK).rev().map(|chunk| store.put_chunk(chunk, Wrap::Plain)).collect();
    let other = index(&digests, wanted.len() as u64, CHUNK as u64);
    std::fs::write(store.simple_path().join("drive-scsi0.img.fidx"), other).unwrap();
    fails(
        open(&store.simple_path()),
        Corrupt,
        "the manifest says that drive-scsi0.img.fidx has the checksum",
    );
    std::fs::remove_file(store.simple_path().join("drive-scsi0.img.fidx")).unwrap();
    let container = open(&store.simple_path()).unwrap();
    assert!(container.completeness().unwrap()[0].message.contains("drive-scsi0.img.fidx is missing"));
    fails(Ok(container), SourceMissing, "drive-scsi0.img.fidx is missing");
}

#[test]
fn broken_blobs() {
    let (good, _) = store(Wrap::Packed);
    for name in ["index.json.blob", "qemu-server.conf.blob"] {
        let length = std::fs::metadata(good.simple_path().join(name)).unwrap().len() as usize;
        for at in (0..length).step_by(7) {
            let (store, _) = store(Wrap::Packed);
            change(&store.simple_path().join(name), |bytes| bytes[at] ^= 0x10);
            let opened = open(&store.simple_path());
            let told = opened.and_then(|container| container.machine_files());
            assert_eq!(told.unwrap_err().kind(), Corrupt, "{name} {at}");
        }
    }
    let (store, _) = store(Wrap::Packed);
    std::fs::remove_file(store.simple_path().join("qemu-server.conf.blob")).unwrap();
    let container = open(&store.simple_path()).unwrap();
    assert_eq!(container.machine_files().unwrap_err().kind(), SourceMissing);
    assert!(container.completeness().unwrap()[0].message.contains("qemu-server.conf.blob is missing"));
    assert_eq!(container.check(&|_| Ok(())).unwrap().errors, 1);
    assert_eq!(container.warnings()[0].code, "pbs-no-configuration");
}

#[test]
fn keys_that_are_missing_or_wrong() {
    let (store, wanted) = store(Wrap::SealedPacked);
    let path = store.simple_path();
    let tell = |keys: &[Key]| open_with(&path, with_keys(keys)).and_then(|container| read(&container));
    let error = tell(&[]).unwrap_err();
    assert_eq!(error.kind(), NeedsPerson);
    assert!(error.to_string().contains("the snapshot is encrypted (fingerprint"), "{error}");
    assert!(error.hint_text().unwrap().contains("--key-file"));
    let other = Store { key: [1; 32], ..Store::new() };
    let error = tell(&[other.key_file()]).unwrap_err();
    assert_eq!(error.kind(), NeedsPerson);
    assert!(error.to_string().contains("it does not fit"), "{error}");
    let error = tell(&[Key::new(b"secret".to_vec())]).unwrap_err();
    assert_eq!(error.kind(), NeedsPerson);
    assert!(error.to_string().contains("the key file cannot be read"), "{error}");
    // A passphrase for something inside of the disk may go before.
    assert!(tell(&[Key::new(b"secret".to_vec()), store.key_file()]).unwrap() == wanted);
    let container = open(&path).unwrap();
    assert_eq!(container.disks()[0].virtual_size, Some(wanted.len() as u64));
    assert_eq!(container.check(&|_| Ok(())).unwrap_err().kind(), NeedsPerson);
    assert_eq!(container.machine_files().unwrap_err().kind(), NeedsPerson);
    assert!(container.warnings().iter().any(|warning| warning.code == "pbs-signature-unchecked"));
}

#[test]
fn a_changed_manifest_does_not_carry_its_signature() {
    let (store, _) = store(Wrap::Sealed);
    let mut snapshot = store.snapshot(&format!("vm/100/{TIME}"));
    snapshot.disk("drive-scsi0.img.fidx", &sample(CHUNK, 77), &[Wrap::Sealed]);
    snapshot.write();
    let path = snapshot.folder().join("index.json.blob");
    let bytes = std::fs::read(&path).unwrap();
    let text = String::from_utf8(zstd::decode_all(&bytes[12..]).unwrap()).unwrap();
    std::fs::write(&path, wrap(text.replace("\"100\"", "\"101\"").as_bytes(), Wrap::Plain, &store.key))
        .unwrap();
    fails(open_keyed(&store, &snapshot.folder()), Corrupt, "the signature of the manifest is");
}

#[test]
fn a_key_for_something_else_does_not_hurt_an_open_backup() {
    let (store, wanted) = store(Wrap::Packed);
    let access = Access { key: Some(Key::new(b"of the guest's volume".to_vec())), ..Access::default() };
    assert!(read(&open_with(&store.simple_path(), access).unwrap()).unwrap() == wanted);
    // Without a manifest nobody knows.
    std::fs::remove_file(store.simple_path().join("index.json.blob")).unwrap();
    assert!(read(&open_keyed(&store, &store.simple_path()).unwrap()).unwrap() == wanted);
}

#[test]
fn a_failing_tick_ends_the_check() {
    let (store, _) = store(Wrap::Packed);
    let container = open(&store.simple_path()).unwrap();
    let stop = container.check(&|_| Err(Error::new(ErrorKind::Temporary, "interrupted"))).unwrap_err();
    assert_eq!(stop.kind(), ErrorKind::Temporary);
}
