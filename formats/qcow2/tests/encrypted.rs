//! Encrypted images, as QEMU writes and reads them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod disks;

use disks::{mixed, read_all, run};
use format_core::{Access, Error, ErrorKind, Format, Key, OpenOptions, OpenedImage, open_image};
use format_qcow2::FORMAT;
use std::path::Path;

const SIZE: usize = (3 << 19) + 5 * 512;

static FORMATS: &[&Format] = &[&FORMAT];

fn open(path: &Path, key: Option<&[u8]>) -> Result<OpenedImage, Error> {
    let key = key.map(|key| Key::new(key.to_vec()));
    let access = Access { key, ..Access::default() };
    open_image(path, &OpenOptions { access, ..OpenOptions::new(FORMATS, Some(&FORMAT)) })
}

fn refused(path: &Path, key: Option<&[u8]>) -> Error {
    open(path, key).map(|_| ()).expect_err("it opened")
}

/// An empty encrypted `a.qcow2` in `folder` with these options; the key is in `key`.
///
/// QEMU measures the machine for seconds before it makes a LUKS header, so what it made is kept below `target/`.
fn create(folder: &Path, key: &[u8], options: &str) {
    std::fs::write(folder.join("key"), key).unwrap();
    let name: String = options.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("qcow2-encrypted");
    std::fs::create_dir_all(&kept).unwrap();
    let kept = kept.join(format!("{SIZE}-{name}-{}", String::from_utf8_lossy(key).escape_debug()));
    if !kept.exists() {
        let options = format!("encrypt.key-secret=s,{options}");
        let (secret, size) = ("secret,id=s,file=key", SIZE.to_string());
        let file = ["-u", "-f", "qcow2", "-o", &options, "a.qcow2", &size];
        run(folder, "qemu-img", &[&["create", "-q", "--object", secret][..], &file].concat());
        let new = kept.with_extension(std::process::id().to_string());
        std::fs::copy(folder.join("a.qcow2"), &new).unwrap();
        std::fs::rename(new, &kept).unwrap();
    }
    std::fs::copy(kept, folder.join("a.qcow2")).unwrap();
}

const SECRET: [&str; 2] = ["--object", "secret,id=s,file=key"];
const IMAGE: &str = "driver=qcow2,file.filename=a.qcow2,encrypt.key-secret=s";

/// As [`create`], with a disk in it, which is returned.
fn encrypt(folder: &Path, key: &[u8], options: &str) -> Vec<u8> {
    let disk = mixed(SIZE, 100_000, 11);
    std::fs::write(folder.join("in.raw"), &disk).unwrap();
    create(folder, key, options);
    let target = ["-n", "-f", "raw", "--target-image-opts", "in.raw", IMAGE];
    run(folder, "qemu-img", &[&["convert"][..], &SECRET, &target].concat());
    disk
}

fn assert_reads(path: &Path, key: &[u8], disk: &[u8], what: &str) {
    let image = open(path, Some(key)).unwrap();
    let found = read_all(&image.disk).unwrap();
    assert_eq!(found.len(), disk.len());
    assert_eq!(found.iter().zip(disk).position(|(a, b)| a != b), None, "{what}: first differing byte");
    // In odd pieces: a sector is decrypted whole, whatever part of it is wanted.
    let (mut at, mut len) = (0, 1);
    while at < disk.len() {
        len = (len * 3 + 7) % 70_001;
        let mut part = vec![0xee; (len + 1).min(disk.len() - at)];
        image.disk.read_exact_at(at as u64, &mut part).unwrap();
        assert_eq!(part, disk[at..at + part.len()], "{what}: {len:#x} bytes at {at:#x}");
        at += part.len();
    }
    for at in (0..SIZE as u64).step_by(1 << 16) {
        assert!(image.disk.host_range(at).unwrap().is_none(), "ciphertext must not be handed out");
    }
}

const LUKS: &str = "encrypt.format=luks,encrypt.iter-time=10";

fn luks_images_are_read(all: &[&str]) {
    for options in all {
        let folder = tempfile::tempdir().unwrap();
        let disk = encrypt(folder.path(), b"secret words", &format!("{LUKS},{options}"));
        assert_reads(&folder.path().join("a.qcow2"), b"secret words", &disk, options);
    }
}

#[test]
fn luks_with_xts_is_read() {
    luks_images_are_read(&[
        "cluster_size=64k",
        "cluster_size=2M,encrypt.cipher-alg=aes-128,encrypt.hash-alg=sha224",
        "cluster_size=512,encrypt.cipher-alg=aes-192,encrypt.hash-alg=sha1",
        "extended_l2=on,encrypt.hash-alg=sha512",
        "encrypt.cipher-alg=serpent-256",
        "encrypt.cipher-alg=twofish-256",
    ]);
}

#[test]
fn luks_with_cbc_is_read() {
    let essiv = "encrypt.cipher-mode=cbc,encrypt.ivgen-alg=essiv,encrypt.ivgen-hash-alg=sha256";
    luks_images_are_read(&[
        &format!("encrypt.cipher-alg=aes-128,{essiv}"),
        &format!("encrypt.cipher-alg=aes-256,{essiv}"),
        "encrypt.cipher-mode=cbc,encrypt.ivgen-alg=plain64,encrypt.hash-alg=ripemd160",
        "encrypt.cipher-mode=cbc,encrypt.ivgen-alg=plain,encrypt.cipher-alg=serpent-128",
        "encrypt.cipher-mode=cbc,encrypt.cipher-alg=twofish-128,encrypt.hash-alg=sha384",
    ]);
}

#[test]
fn what_only_qemu_decrypts_is_refused() {
    for (options, text) in [
        (
            "encrypt.cipher-alg=cast5-128,encrypt.cipher-mode=cbc",
            "LUKS cipher cast5-cbc-plain64 with a key of 16 bytes",
        ),
        ("encrypt.cipher-mode=ctr", "LUKS cipher aes-ctr-plain64 with a key of 32 bytes"),
        ("encrypt.cipher-mode=ecb", "LUKS cipher aes-ecb-plain64"),
        ("encrypt.hash-alg=md5", "LUKS hash \"md5\""),
    ] {
        let folder = tempfile::tempdir().unwrap();
        encrypt(folder.path(), b"k", &format!("{LUKS},{options}"));
        let error = refused(&folder.path().join("a.qcow2"), Some(b"k"));
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[test]
fn without_the_right_key_nothing_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.qcow2");
    encrypt(folder.path(), b"secret", LUKS);
    let error = refused(&path, None);
    assert_eq!(error.kind(), ErrorKind::NeedsPerson);
    assert!(error.to_string().contains("encrypted with LUKS, and there is no key"), "{error}");
    assert!(error.hint_text().unwrap().contains("--key-file"));
    for (key, hint) in [(&b"secreT"[..], "another passphrase"), (b"secret\n", "newline"), (b"", "another")] {
        let error = refused(&path, Some(key));
        assert_eq!(error.kind(), ErrorKind::NeedsPerson);
        assert!(error.to_string().contains("opens none of the 1 active LUKS key slots"), "{error}");
        assert!(error.hint_text().unwrap().contains(hint), "{:?}", error.hint_text());
    }
}

/// QEMU takes a key file as it is, newline and all; a NUL it refuses.
#[test]
fn key_files_are_taken_as_qemu_takes_them() {
    for format in [LUKS, "encrypt.format=aes"] {
        for key in [&b"secret\n"[..], b"\xc3\xa9t\xc3\xa9, longer than sixteen bytes"] {
            let folder = tempfile::tempdir().unwrap();
            let disk = encrypt(folder.path(), key, format);
            assert_reads(&folder.path().join("a.qcow2"), key, &disk, &format!("{format} {key:?}"));
        }
    }
}

#[test]
fn every_key_slot_is_tried() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let disk = encrypt(path, b"first", LUKS);
    std::fs::write(path.join("second"), "second").unwrap();
    let amend = ["amend", "--object", "secret,id=s,file=key", "--object", "secret,id=t,file=second"];
    for (slot, options) in [
        (5, "encrypt.state=active,encrypt.new-secret=t,encrypt.keyslot=5,encrypt.iter-time=10"),
        (0, "encrypt.state=inactive,encrypt.keyslot=0"),
    ] {
        run(path, "qemu-img", &[&amend[..], &["--image-opts", "-o", options, IMAGE]].concat());
        assert_reads(&path.join("a.qcow2"), b"second", &disk, &format!("slot {slot}"));
    }
    assert_eq!(refused(&path.join("a.qcow2"), Some(b"first")).kind(), ErrorKind::NeedsPerson);
}

#[test]
fn aes_images_are_read_with_a_warning() {
    for options in ["compat=1.1", "compat=0.10,cluster_size=512", "cluster_size=2M"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.qcow2");
        let disk = encrypt(folder.path(), b"sixteen or fewer", &format!("encrypt.format=aes,{options}"));
        assert_reads(&path, b"sixteen or fewer", &disk, options);
        let image = open(&path, Some(b"sixteen or fewer")).unwrap();
        assert_eq!(image.warnings.iter().map(|w| w.code).collect::<Vec<_>>(), ["qcow2-aes-key"]);
        let error = refused(&path, None);
        assert_eq!(error.kind(), ErrorKind::NeedsPerson);
        assert!(error.to_string().contains("encrypted with AES"), "{error}");
    }
}

/// An encrypted difference to a plain image: written in parts, with zeros and holes.
#[test]
fn an_encrypted_image_over_a_plain_one() {
    for format in [LUKS, "encrypt.format=aes", "encrypt.format=luks,encrypt.iter-time=10,extended_l2=on"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        std::fs::write(path.join("base.raw"), mixed(SIZE - 70_000 / 512 * 512, 100_000, 12)).unwrap();
        run(path, "qemu-img", &["convert", "-f", "raw", "-O", "qcow2", "base.raw", "base.qcow2"]);
        create(path, b"pass", &format!("backing_file=base.qcow2,backing_fmt=qcow2,{format}"));
        let mut args = [&SECRET[..], &["--image-opts"]].concat();
        for command in
            ["write -P 0x11 5k 512", "write -P 0x22 1M 300k", "write -z 1200k 64k", "write -P 3 1464k 72k"]
        {
            args.extend(["-c", command]);
        }
        args.push(IMAGE);
        run(path, "qemu-io", &args);
        let to_raw = ["--image-opts", "-O", "raw", IMAGE, "out.raw"];
        run(path, "qemu-img", &[&["convert"][..], &SECRET, &to_raw].concat());
        let wanted = std::fs::read(path.join("out.raw")).unwrap();
        assert_eq!((wanted[5 << 10], wanted[1 << 20], wanted.len()), (0x11, 0x22, SIZE));
        let found = read_all(&open(&path.join("a.qcow2"), Some(b"pass")).unwrap().disk).unwrap();
        assert_eq!(found.iter().zip(&wanted).position(|(a, b)| a != b), None, "{format}");
    }
}

/// Whatever is in the LUKS header: an error, soon, or the right disk.
#[test]
fn broken_luks_headers_end_well() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.qcow2");
    let disk = encrypt(folder.path(), b"k", LUKS);
    let good = std::fs::read(&path).unwrap();
    let luks = good.windows(6).position(|window| window == b"LUKS\xba\xbe").unwrap();
    let extension = good.windows(4).position(|window| window == [0x05, 0x37, 0xbe, 0x77]).unwrap();
    let with = |at: usize, bytes: &[u8]| {
        let mut image = good.clone();
        image[at..at + bytes.len()].copy_from_slice(bytes);
        std::fs::write(&path, image).unwrap();
        match open(&path, Some(b"k")) {
            Ok(image) => {
                assert!(read_all(&image.disk).unwrap() == disk, "another disk");
                "read".to_owned()
            }
            Err(error) => {
                format!("{:?} {}", error.kind(), error.to_string().split_once("a.qcow2: ").unwrap().1)
            }
        }
    };
    let slot = luks + 208;
    for (at, bytes, wanted) in [
        (luks, &b"LUKT"[..], "Corrupt qcow2: the encryption header starts with [4c"),
        (luks + 6, &[0, 2], "Unsupported qcow2: version 2 of LUKS"),
        (luks + 8, b"aes\xff", "Corrupt qcow2: the LUKS cipher name is no text"),
        (luks + 8, b"des\0", "Unsupported qcow2: the LUKS cipher des-xts-plain64"),
        (luks + 108, &[0, 0, 0, 15], "Corrupt qcow2: the LUKS master key has 15 bytes"),
        (luks + 108, &[0xff; 4], "Corrupt qcow2: the LUKS master key has 4294967295 bytes"),
        (
            luks + 164,
            &[0; 4],
            "Corrupt qcow2: the LUKS key derivation wants no iteration in the master key's digest",
        ),
        (luks + 164, &[0xff; 4], "Limit qcow2: the LUKS key slots want"),
        (slot, &[1; 4], "Corrupt qcow2: LUKS key slot 0 is marked 0x1010101"),
        (slot + 4, &[0; 4], "Corrupt qcow2: the LUKS key derivation wants no iteration in key slot 0"),
        (slot + 4, &[0xff; 4], "Limit qcow2: the LUKS key slots want 85899"),
        // 40 million iterations of SHA-256 for 64 bytes: longer than ten seconds.
        (slot + 4, &40_000_000u32.to_be_bytes(), "Limit qcow2: the LUKS key slots want 800"),
        (
            slot + 40,
            &[0xff; 4],
            "Corrupt qcow2: LUKS key slot 0 has 4000 stripes of 64 bytes at sector 0xffffffff",
        ),
        (slot + 44, &[0xff; 4], "Corrupt qcow2: LUKS key slot 0 has 4294967295 stripes"),
        (slot + 44, &[0; 4], "Corrupt qcow2: LUKS key slot 0 has 0 stripes"),
        (extension, &[9], "Corrupt qcow2: crypt_method is LUKS, but there is no encryption header"),
        (extension + 4, &[0, 0, 0, 8], "Corrupt qcow2: the header extension 0x537be77 has 0x8 bytes"),
        (extension + 8, &[0xff; 8], "Corrupt qcow2: the encryption header of"),
        (extension + 16, &[0xff; 8], "Corrupt qcow2: the encryption header of"),
        (extension + 16, &[0; 8], "Corrupt qcow2: the encryption header has 0x0 bytes"),
        (32, &[0, 0, 0, 9], "NeedsPerson qcow2: the image is encrypted with the unknown method 9"),
    ] {
        let found = with(at, bytes);
        assert!(found.contains(wanted), "wanted {wanted:?} in {found:?}");
    }
}

/// The check needs no key: the encryption header counts as used, data are not looked at.
#[test]
fn encrypted_images_are_checked_as_by_qemu() {
    for format in [LUKS, "encrypt.format=aes"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        encrypt(path, b"secret", format);
        let args = [&["check", "--output=json"][..], &SECRET, &["--image-opts", IMAGE]].concat();
        let theirs: serde_json::Value = serde_json::from_str(&run(path, "qemu-img", &args)).unwrap();
        let storage = std::sync::Arc::new(format_core::FileStorage::open(&path.join("a.qcow2")).unwrap());
        let context = format_core::LayerContext::new(std::sync::Arc::new(format_core::DenyAll));
        let ours = FORMAT.check.unwrap()(storage, &context).unwrap();
        assert!(ours.is_clean(), "{ours:?}");
        assert_eq!(Some(ours.image_end), theirs["image-end-offset"].as_u64());
        assert_eq!(Some(ours.allocated_chunks), theirs["allocated-clusters"].as_u64());
    }
}

/// What `info` tells about the encryption is what QEMU tells.
#[test]
fn details_of_luks_are_those_of_qemu() {
    for options in
        ["cluster_size=64k", "encrypt.cipher-mode=cbc,encrypt.cipher-alg=twofish-128,encrypt.hash-alg=sha384"]
    {
        let folder = tempfile::tempdir().unwrap();
        create(folder.path(), b"secret words", &format!("{LUKS},{options}"));
        let theirs = run(folder.path(), "qemu-img", &["info", "--output=json", "a.qcow2"]);
        let theirs: serde_json::Value = serde_json::from_str(&theirs).unwrap();
        let context = {
            let mut context = format_core::LayerContext::new(std::sync::Arc::new(format_core::DenyAll));
            context.access.key = Some(Key::new(b"secret words".to_vec()));
            context
        };
        let storage =
            std::sync::Arc::new(format_core::FileStorage::open(&folder.path().join("a.qcow2")).unwrap());
        let layer = FORMAT.open_layer.unwrap()(storage, &context).unwrap();
        assert_eq!(layer.details()["encrypt"], theirs["format-specific"]["data"]["encrypt"]);
    }
}
