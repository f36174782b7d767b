//! One thing broken at a time: an error that says what, or the same bytes.

use crate::builder::{Repo, digest, only};
use crate::{bytes, container, names, noise, open};
use format_core::ErrorKind::{self, Corrupt, Limit, NeedsPerson, SourceMissing, Unsupported, Usage};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const TIME: &str = "2024-02-29T12:00:00.5+01:00";

/// A repository with one disk of three blobs.
fn good(folder: &Path, version: u32) -> (Repo, Vec<u8>) {
    let mut repo = Repo::new(folder, version);
    let disk = noise(200_000, 1);
    let parts: Vec<&[u8]> = disk.chunks(70_000).collect();
    repo.files(&[("a.raw", &parts)], TIME);
    (repo, disk)
}

fn all_files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { all.extend(all_files(&path)) } else { all.push(path) }
    }
    all.sort();
    all
}

/// What reading the whole disk ends in.
fn outcome(folder: &Path) -> Result<Vec<u8>, format_core::Error> {
    let opened = open(folder, "pw", None, None)?;
    let mut all = vec![0; opened.disk.virtual_size() as usize];
    opened.disk.read_exact_at(0, &mut all)?;
    Ok(all)
}

fn fails(folder: &Path, kind: ErrorKind, text: &str) {
    let error = outcome(folder).expect_err(text);
    assert!(
        error.kind() == kind && error.to_string().contains(text),
        "{:?} {error}, not {text}",
        error.kind()
    );
}

#[test]
fn what_the_builder_writes_reads() {
    for version in [1, 2] {
        let root = tempfile::tempdir().unwrap();
        let (_, disk) = good(root.path(), version);
        let opened = open(root.path(), "pw", None, None).unwrap();
        assert!(bytes(&opened.disk) == disk);
        assert_eq!(opened.inside.unwrap().container.points()[0].time, Some(1_709_208_000 - 3600));
        assert!(container(root.path(), "pw").check(&|_| Ok(())).unwrap().is_clean());
    }
}

#[test]
fn no_flipped_bit_and_no_lost_end_goes_unnoticed() {
    for version in [1, 2] {
        let root = tempfile::tempdir().unwrap();
        let (_, disk) = good(root.path(), version);
        for path in all_files(root.path()) {
            let whole = std::fs::read(&path).unwrap();
            let is_key = path.parent().unwrap().ends_with("keys");
            let steps = (whole.len() / 40).max(1);
            for at in (0..whole.len()).step_by(steps) {
                let mut broken = whole.clone();
                broken[at] ^= 1 << (at % 8);
                std::fs::write(&path, &broken).unwrap();
                match outcome(root.path()) {
                    // A key's remarks are not covered.
                    Ok(found) => assert!(is_key && found == disk, "{} at {at}", path.display()),
                    Err(error) => {
                        let damage = matches!(error.kind(), Corrupt | NeedsPerson | Limit | Unsupported);
                        assert!(damage && (is_key || error.kind() == Corrupt), "{error:?}");
                    }
                }
                std::fs::write(&path, &whole[..at]).unwrap();
                let error = outcome(root.path()).expect_err("a lost end");
                assert_eq!(error.kind(), Corrupt, "{} cut to {at}: {error}", path.display());
            }
            std::fs::write(&path, &whole).unwrap();
        }
        assert!(outcome(root.path()).unwrap() == disk);
    }
}

#[test]
fn what_is_missing_is_named() {
    let root = tempfile::tempdir().unwrap();
    good(root.path(), 2);
    let check = |folder: &Path, text: &str| {
        let opened = format_core::check_image(folder, &crate::options("pw"), &|_| Ok(())).unwrap();
        let report = &opened[0].report;
        assert!(report.errors > 0 && report.findings[0].message.contains(text), "{report:?}");
    };
    // The largest pack is the one with data.
    let packs = all_files(&root.path().join("data"));
    let pack = packs.iter().max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let kept = std::fs::read(pack).unwrap();
    std::fs::remove_file(pack).unwrap();
    fails(root.path(), SourceMissing, "which is missing");
    check(root.path(), pack.file_name().unwrap().to_str().unwrap());
    std::fs::write(pack, &kept[..kept.len() - 1]).unwrap();
    fails(root.path(), Corrupt, "which has");
    check(root.path(), "which has");
    let mut bad = kept.clone();
    bad[20] ^= 1;
    std::fs::write(pack, &bad).unwrap();
    fails(root.path(), Corrupt, "authentication code");
    check(root.path(), "authentication code");
    for (kind, error, text) in [
        ("index", Corrupt, "is in no index"),
        ("snapshots", Corrupt, "no snapshot"),
        ("keys", Corrupt, "no key"),
    ] {
        let root = tempfile::tempdir().unwrap();
        good(root.path(), 2);
        std::fs::remove_file(only(root.path(), kind)).unwrap();
        fails(root.path(), error, text);
    }
}

#[test]
fn passwords_and_keys() {
    let root = tempfile::tempdir().unwrap();
    let (mut repo, disk) = good(root.path(), 1);
    let error = open(root.path(), "no", None, None).err().unwrap();
    assert!(error.kind() == NeedsPerson && error.hint_text().unwrap().contains("--key-file"));
    let none = format_core::OpenOptions::new(crate::FORMATS, None);
    let error = format_core::open_image(root.path(), &none).err().unwrap();
    assert!(error.kind() == NeedsPerson && error.hint_text().unwrap().contains("--key-file"));
    // Keys that cannot be used do not stand in the way of one that can.
    repo.key("x", json!({"kdf": "argon2", "N": 2, "r": 1, "p": 1}));
    repo.key("y", json!({"kdf": "scrypt", "N": 1u64 << 40, "r": 8, "p": 1}));
    assert!(outcome(root.path()).unwrap() == disk);
    let error = open(root.path(), "no", None, None).err().unwrap();
    assert!(matches!(error.kind(), Unsupported | Limit), "{error:?}");
    for number in 0..70 {
        repo.key(&number.to_string(), json!({"kdf": "scrypt", "N": 2, "r": 1, "p": 1, "number": number}));
    }
    fails(root.path(), Limit, "keys lie in the repository");
}

#[test]
fn files_that_say_something_else() {
    type Spoil = fn(&mut Repo);
    let cases: [(Spoil, ErrorKind, &str); 9] = [
        (|repo| drop(repo.plain_file("index", b"\x03abc")), Unsupported, "begins with the byte 0x03"),
        (|repo| drop(repo.plain_file("index", b"")), Unsupported, "begins with the byte 0x00"),
        (|repo| drop(repo.plain_file("index", b"\x02abc")), Corrupt, "cannot be unpacked"),
        (|repo| drop(repo.plain_file("index", b"{\"packs\": 7}")), Corrupt, "cannot be understood"),
        (|repo| drop(repo.plain_file("index", b"[{}]")), Corrupt, "cannot be understood"),
        (|repo| drop(repo.json("snapshots", "{}")), Corrupt, "cannot be understood"),
        (
            |repo| drop(repo.json("index", &json!({"packs": [{"id": "zz", "blobs": []}]}).to_string())),
            Corrupt,
            "no ID of 64",
        ),
        (
            |repo| {
                let config = json!({"version": 3, "id": "x"}).to_string();
                let sealed = repo.sealed(config.as_bytes());
                std::fs::write(repo.folder.join("config"), sealed).unwrap();
            },
            Unsupported,
            "version 3",
        ),
        (|repo| std::fs::write(repo.folder.join("config"), [0; 31]).unwrap(), Corrupt, "31 bytes"),
    ];
    for (spoil, kind, text) in cases {
        let root = tempfile::tempdir().unwrap();
        let (mut repo, _) = good(root.path(), 2);
        spoil(&mut repo);
        fails(root.path(), kind, text);
    }
}

/// A repository with one disk whose index entry of the data is changed.
fn with_index(version: u32, change: fn(&mut Value)) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let mut repo = Repo::new(root.path(), version);
    let data = noise(100_000, 5);
    let ids = repo.pack("data", &[&data]);
    let tree = repo.tree(json!([{"name": "a.raw", "type": "file", "size": data.len(), "content": ids}]));
    repo.index(|index| change(&mut index["packs"][0]["blobs"][0]));
    repo.snapshot(&tree, TIME);
    root
}

#[test]
fn an_index_that_lies_gives_no_wrong_disk() {
    type Case = (u32, fn(&mut Value), ErrorKind, &'static str);
    let cases: [Case; 7] = [
        (1, |blob| blob["offset"] = 1.into(), Corrupt, "which has"),
        (1, |blob| blob["offset"] = u32::MAX.into(), Corrupt, "which has"),
        (1, |blob| blob["length"] = 31.into(), Corrupt, "31 bytes"),
        (1, |blob| blob["length"] = 1000.into(), Corrupt, "together, the file"),
        (2, |blob| blob["uncompressed_length"] = 100_001.into(), Corrupt, "together, the file"),
        (2, |blob| blob["uncompressed_length"] = u32::MAX.into(), Corrupt, "together, the file"),
        (1, |blob| blob["type"] = "tree".into(), Corrupt, "is in no index"),
    ];
    for (version, change, kind, text) in cases {
        fails(with_index(version, change).path(), kind, text);
    }
}

#[test]
fn a_second_place_of_a_blob_is_taken_where_the_first_is_damaged() {
    let root = tempfile::tempdir().unwrap();
    let mut repo = Repo::new(root.path(), 1);
    let data = noise(100_000, 6);
    let ids = repo.pack("data", &[&data]);
    repo.pack("data", &[b"something before", &data]);
    let tree = repo.tree(json!([{"name": "a.raw", "type": "file", "size": data.len(), "content": ids}]));
    repo.index(|_| {});
    repo.snapshot(&tree, TIME);
    let packs = all_files(&root.path().join("data"));
    for pack in packs.iter().filter(|path| path.metadata().unwrap().len() > 90_000) {
        let whole = std::fs::read(pack).unwrap();
        let mut broken = whole.clone();
        broken[5_000] ^= 1;
        std::fs::write(pack, &broken).unwrap();
        assert!(outcome(root.path()).unwrap() == data);
        std::fs::remove_file(pack).unwrap();
        assert!(outcome(root.path()).unwrap() == data);
        std::fs::write(pack, &whole).unwrap();
    }
}

#[test]
fn a_damaged_snapshot_stops_only_who_wants_the_newest() {
    let root = tempfile::tempdir().unwrap();
    let (mut repo, disk) = good(root.path(), 2);
    let id = std::fs::read_dir(root.path().join("snapshots")).unwrap().next().unwrap().unwrap().file_name();
    let bad = repo.json("snapshots", "{}");
    fails(root.path(), Corrupt, &bad);
    let opened = open(root.path(), "pw", None, Some(&id.to_str().unwrap()[..9])).unwrap();
    assert!(bytes(&opened.disk) == disk);
    assert_eq!(opened.warnings[0].code, "snapshot-damaged");
    // It is not known which number or time it had.
    for at in ["0", "1", "latest", "2030-01-01"] {
        let error = open(root.path(), "pw", None, Some(at)).err().unwrap();
        assert_eq!(error.kind(), Corrupt, "{at}");
        assert!(error.hint_text().unwrap().contains(id.to_str().unwrap()), "{at}");
    }
    let container = opened.inside.unwrap().container;
    for findings in [container.check(&|_| Ok(())).unwrap().findings, container.completeness().unwrap()] {
        assert!(findings.len() == 1 && findings[0].message.contains(&bad), "{findings:?}");
    }
}

#[test]
fn which_files_are_disks() {
    let root = tempfile::tempdir().unwrap();
    let mut repo = Repo::new(root.path(), 2);
    let (big, small) = (noise(1 << 20, 7), noise(70_000, 8));
    let boxed = [b"BOXED   ".as_slice(), &small].concat();
    let child = [b"BOXEDwp.".as_slice(), &small].concat();
    let earlier = [("stdin", &[big.as_slice()] as &[&[u8]]), ("b.txt", &[&small])];
    repo.files(&earlier, "2020-01-01T00:00:00Z");
    repo.files(
        &[
            ("big.bin", &[&big]),
            ("a.qcow2", &[&boxed]),
            ("c-flat.vmdk", &[&small]),
            ("d.qcow2", &[&child]),
            ("e.img", &[&small[..1000]]),
            ("f.vmx", &[b"x = \"1\""]),
        ],
        TIME,
    );
    // What is not called like an image is none where others are.
    let opened = container(root.path(), "pw");
    assert_eq!(names(&*opened), ["/a.qcow2", "/c-flat.vmdk", "/d.qcow2"]);
    let inner = opened.open_disk(0).unwrap();
    assert!(bytes(&inner.disk) == small && inner.format.unwrap().name == "boxed");
    assert!(bytes(&opened.open_disk(1).unwrap().disk) == small);
    let error = crate::inner(&*opened, 2).err().unwrap();
    assert!(error.kind() == Unsupported && error.to_string().contains("parent.raw"), "{error}");
    assert_eq!(opened.machine_files().unwrap()[0].bytes, b"x = \"1\"");
    assert_eq!((opened.disks()[0].virtual_size, opened.disks()[1].virtual_size), (None, Some(70_000)));
    assert_eq!(open(root.path(), "pw", None, None).err().unwrap().kind(), Usage);
    let earlier = open(root.path(), "pw", None, Some("2020-06-01")).unwrap();
    assert_eq!(earlier.name_inside(), Some("/stdin"));
    assert!(bytes(&earlier.disk) == big);
}

#[test]
fn flat_repositories_of_old_servers() {
    let root = tempfile::tempdir().unwrap();
    let (_, disk) = good(root.path(), 1);
    for path in all_files(&root.path().join("data")) {
        std::fs::rename(&path, root.path().join("data").join(path.file_name().unwrap())).unwrap();
    }
    assert!(outcome(root.path()).unwrap() == disk);
}

#[test]
fn an_empty_file_is_no_pack_and_a_name_is_an_id() {
    let root = tempfile::tempdir().unwrap();
    let (_, disk) = good(root.path(), 2);
    // What is called otherwise is left alone.
    std::fs::write(root.path().join("index/tmp-123"), b"x").unwrap();
    std::fs::write(root.path().join("snapshots").join(digest(b"x").to_uppercase()), b"x").unwrap();
    assert!(outcome(root.path()).unwrap() == disk);
    std::fs::write(root.path().join("index").join(digest(b"y")), b"x").unwrap();
    fails(root.path(), Corrupt, "is not what its name says");
}
