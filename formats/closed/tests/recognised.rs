//! Each format is recognised by its bytes under any name, and by its name where the bytes say nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

use format_closed::{AIV, BOCHS, BORG2, BUP, CLOOP, DMG, GHO, MRIMG, SPF, TIB, VBK, WIM};
use format_core::{
    Error, ErrorKind, Format, MemStorage, OpenOptions, Score, Storage, open_image, probe_formats,
};
use proptest::prelude::*;

/// Stands for the raw format, which takes anything.
static RAW: Format = Format {
    name: "raw",
    extensions: &["raw", "img"],
    probe: |_, _| Score::Possible,
    open_layer: Some(|_, _| Err(Error::contract("taken for a raw disk"))),
    ..Format::NONE
};

static FORMATS: [&Format; 13] =
    [&RAW, &DMG, &BOCHS, &CLOOP, &TIB, &VBK, &AIV, &SPF, &MRIMG, &GHO, &WIM, &BUP, &BORG2];

fn opened(name: &str, bytes: &[u8], format: Option<&'static Format>) -> Error {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    open_image(&path, &OpenOptions::new(&FORMATS, format)).err().expect("nothing here can be opened")
}

/// 200 KiB as of a disk, with `head` at its start and `end` at its end.
fn file(head: &[u8], end: &[u8]) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..200_000u32).map(|at| ((at * 7) >> 3) as u8).collect();
    bytes[..head.len()].copy_from_slice(head);
    let start = bytes.len() - end.len();
    bytes[start..].copy_from_slice(end);
    bytes
}

fn by_magic() -> Vec<(&'static Format, Vec<u8>)> {
    let mut koly = vec![0; 512];
    koly[..12].copy_from_slice(b"koly\0\0\0\x04\0\0\x02\0");
    // 14 bytes that point to the index, then 40 of trailer.
    let mut reflect = vec![b'1'; 54];
    reflect[14..35].copy_from_slice(b"__79241006_2651_11D4_");
    vec![
        (&DMG, file(b"", &koly)),
        (&BOCHS, file(b"Bochs Virtual HD Image\0\0\0\0\0\0\0\0\0\0Redolog\0", b"")),
        (&CLOOP, file(b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0", b"")),
        (&CLOOP, file(b"#!/bin/sh\n#L3.0 Format\nm=geom_uzip\n", b"")),
        (&TIB, file(b"\xb4\x6e\x68\x44\x01\0\0\0", b"")),
        (&TIB, file(b"\xce\x24\xb9\xa2\x20\0\0\0", b"")),
        (&TIB, file(b"\xce\x24\xb9\xa2\x24\0\x01\0", b"")),
        (&VBK, file(b"\x09\0\0\0\x01\0\0\0\x03\0\0\0md5\0\0\0\0", b"")),
        (&MRIMG, file(b"", &reflect)),
        (&GHO, file(b"\xfe\xef\x01\x02", b"")),
        (&GHO, file(b"\xfe\xef\x09\x02", b"")),
        (&WIM, file(b"MSWIM\0\0\0\xd0\0\0\0", b"")),
        (&WIM, file(b"WLPWM\0\0\0\xd0\0\0\0", b"")),
    ]
}

fn assert_refused(error: &Error, format: &Format, name: &str) {
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{} as {name}: {error}", format.name);
    assert!(error.to_string().contains(format.description), "{error}");
    assert_eq!(error.hint_text(), format.way_out);
    assert_eq!(error.kind().exit_code(), 69);
}

#[test]
fn bytes_tell_the_format_under_any_name() {
    for (format, bytes) in by_magic() {
        for name in ["backup", "backup.old", &format!("backup.{}", format.name)] {
            assert_refused(&opened(name, &bytes, None), format, name);
        }
        assert_refused(&opened("backup.raw", &bytes, Some(format)), format, "named with -f");
        let found = probe_formats(&MemStorage(bytes), &FORMATS).unwrap();
        let magic: Vec<_> = found.iter().filter(|(_, score)| *score == Score::Magic).collect();
        assert_eq!(magic.len(), 1, "{}", format.name);
    }
}

#[test]
fn a_name_that_says_raw_is_asked_about() {
    for (format, bytes) in by_magic() {
        let error = opened("disk.img", &bytes, None);
        assert_eq!(error.kind(), ErrorKind::Usage, "{}: {error}", format.name);
        assert!(error.hint_text().unwrap().contains("-f raw"));
        // Whoever says that it is raw gets it.
        assert_eq!(opened("disk.img", &bytes, Some(&RAW)).kind(), ErrorKind::Contract);
    }
}

#[test]
fn names_tell_the_format_where_bytes_say_nothing() {
    let bytes = file(b"", b"");
    for format in FORMATS.iter().skip(1) {
        assert!(format.way_out.is_some() && format.open_layer.is_none() && format.create.is_none());
        for extension in format.extensions {
            for name in [format!("backup.{extension}"), format!("BACKUP.{}", extension.to_uppercase())] {
                assert_refused(&opened(&name, &bytes, None), format, &name);
            }
        }
    }
}

#[test]
fn disks_are_not_claimed() {
    let mut boot = vec![0; 4096];
    boot[..3].copy_from_slice(b"\xeb\x58\x90");
    boot[510..512].copy_from_slice(b"\x55\xaa");
    let mut iso = vec![0; 70_000];
    iso[32_768..32_774].copy_from_slice(b"\x01CD001");
    for bytes in [vec![], vec![0; 5], vec![0; 200_000], vec![0xff; 4096], boot, iso, file(b"", b"")] {
        let found = probe_formats(&MemStorage(bytes.clone()), &FORMATS).unwrap();
        assert_eq!(found.len(), 1, "claimed by {:?}", found.last());
        for name in ["disk.img", "disk", "disk.iso"] {
            assert_eq!(opened(name, &bytes, None).kind(), ErrorKind::Contract, "must be taken for raw");
        }
    }
}

proptest! {
    #[test]
    fn cut_and_changed_files_are_probed_without_a_panic(
        which in 0usize..13,
        keep in 0usize..200_000,
        from_end in any::<bool>(),
        place in 0usize..200_000,
        value in any::<u8>(),
    ) {
        let (format, mut bytes) = by_magic().swap_remove(which);
        bytes[place] = value;
        let bytes = if from_end { bytes[keep..].to_vec() } else { bytes[..keep].to_vec() };
        let storage = MemStorage(bytes);
        for (found, score) in probe_formats(&storage, &FORMATS).unwrap() {
            prop_assert!(score == Score::Possible || found.name == format.name, "{} of {} bytes", found.name, storage.size());
        }
    }
}

/// A folder with these files, which are made with their folders.
fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = root.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    root
}

#[test]
fn folders_are_recognised_by_what_is_in_them() {
    let git: [(&str, &[u8]); 2] = [("objects/pack/pack-1.pack", b"PACK"), ("refs/heads/x", b"1")];
    type Files<'a> = Vec<(&'a str, &'a [u8])>;
    let cases: [(&Format, Files<'_>); 3] = [
        (&BUP, [&git[..], &[("objects/pack/bup.bloom", b"BLOM")]].concat()),
        (&BUP, [&git[..], &[("objects/pack/midx-1.midx", b"MIDX")]].concat()),
        (
            &BORG2,
            vec![
                ("config/readme", b"This is a Borg Backup repository."),
                ("config/version", b"3"),
                ("config/id", b"1"),
            ],
        ),
    ];
    let open = |root: &tempfile::TempDir| {
        open_image(root.path(), &OpenOptions::new(&FORMATS, None)).err().expect("no folder can be opened")
    };
    for (format, files) in cases {
        let error = open(&folder(&files));
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains(format.description), "{error}");
        assert_eq!(error.hint_text(), format.way_out);
    }
    let error = open(&folder(&git));
    assert!(error.to_string().contains("no backup or image that is known"), "{error}");
}
