//! What can be named: snapshots, groups, datastores, namespaces.

use crate::builder::*;
use format_core::{Access, Container, ErrorKind, Score, Severity, SourceFolder};
use format_pbs::FORMAT;
use std::path::Path;
use std::sync::Arc;

fn add(store: &Store, path: &str, content: &[u8]) {
    let mut snapshot = store.snapshot(path);
    snapshot.disk("drive-scsi0.img.fidx", content, &[Wrap::Packed]);
    snapshot.write();
}

fn at(path: &Path, at: &str) -> Vec<u8> {
    let access = Access { at: Some(at.into()), ..Access::default() };
    read(&open_with(path, access).unwrap()).unwrap()
}

fn probe(path: &Path) -> Score {
    (FORMAT.probe_folder)(&SourceFolder::open(path).unwrap())
}

#[test]
fn snapshots_of_a_group_are_its_points_in_time() {
    let store = Store::new();
    let contents: Vec<_> = (0..3).map(|seed| sample(3 * CHUNK, seed + 1)).collect();
    for (day, content) in (20..).zip(&contents) {
        add(&store, &format!("vm/100/2026-11-{day}T02:00:00Z"), content);
    }
    for path in ["", "vm", "vm/100"] {
        let path = store.root().join(path);
        assert_eq!(probe(&path), Score::Magic, "{path:?}");
        let container = open(&path).unwrap();
        assert_eq!(container.points().len(), 3);
        assert!(container.points()[2].is_chosen && container.points()[0].time < container.points()[1].time);
        assert!(read(&container).unwrap() == contents[2]);
        assert!(at(&path, "0") == contents[0]);
        assert!(at(&path, "2026-11-21") == contents[1]);
        assert!(at(&path, "2026-11-20T02:00:00Z") == contents[0]);
    }
    let snapshot = store.root().join("vm/100/2026-11-20T02:00:00Z");
    assert_eq!(probe(&snapshot), Score::Magic);
    assert!(open(&snapshot).unwrap().points().is_empty());
}

#[test]
fn a_datastore_with_several_groups_lists_them() {
    let store = Store::new();
    let content = sample(CHUNK, 1);
    add(&store, &format!("vm/100/{TIME}"), &content);
    add(&store, &format!("ns/a/ns/b/vm/7/{TIME}"), &content);
    let error = open(store.root()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Usage);
    let hint = error.hint_text().unwrap();
    assert!(hint.contains("vm/100") && hint.contains("ns/a/ns/b/vm/7"), "{hint}");
    for path in ["ns", "ns/a", "ns/a/ns/b", "ns/a/ns/b/vm/7"] {
        let path = store.root().join(path);
        if !path.ends_with("ns") {
            assert_eq!(probe(&path), Score::Magic, "{path:?}");
            assert!(read(&open(&path).unwrap()).unwrap() == content, "{path:?}");
        }
    }
}

#[test]
fn an_unfinished_snapshot_is_passed_over_or_warned_about() {
    let store = Store::new();
    let (old, new) = (sample(2 * CHUNK, 1), sample(2 * CHUNK, 2));
    add(&store, "vm/100/2026-11-20T02:00:00Z", &old);
    let mut unfinished = store.snapshot("vm/100/2026-11-21T02:00:00Z");
    unfinished.disk("drive-scsi0.img.fidx", &new, &[Wrap::Packed]);
    let container = open(&store.root().join("vm/100")).unwrap();
    assert!(read(&container).unwrap() == old);
    assert_eq!(container.warnings()[0].code, "pbs-unfinished-snapshot");
    let container = open(&store.root().join("vm/100/2026-11-21T02:00:00Z")).unwrap();
    assert!(read(&container).unwrap() == new);
    assert_eq!(container.warnings()[0].code, "pbs-no-manifest");
}

#[test]
fn a_disk_that_only_the_configuration_names_is_missing() {
    let wanted = sample(2 * CHUNK, 5);
    let store = Store::new();
    let mut snapshot = store.snapshot(&format!("vm/100/{TIME}"));
    for name in ["drive-scsi0", "drive-scsi1"] {
        snapshot.disk(&format!("{name}.img.fidx"), &wanted, &[Wrap::Packed]);
    }
    let config = b"name: x\nscsi0: a:100/0.raw\nscsi1: a:100/1.raw\nide2: none,media=cdrom\n";
    snapshot.blob("qemu-server.conf.blob", config, Wrap::Packed);
    let container = open(&snapshot.folder()).unwrap();
    let is_clean = |container: &Arc<dyn Container>| {
        let findings = container.completeness().unwrap();
        let report = container.check(&|_| Ok(())).unwrap();
        (findings.iter().all(|finding| finding.severity != Severity::Error), report.is_clean())
    };
    assert_eq!(is_clean(&container), (true, true));
    assert!(container.completeness().unwrap()[0].message.contains("no manifest"));
    std::fs::remove_file(snapshot.folder().join("drive-scsi0.img.fidx")).unwrap();
    let container = open(&snapshot.folder()).unwrap();
    assert_eq!(is_clean(&container), (false, false));
    assert!(container.warnings().iter().any(|warning| warning.code == "pbs-disk-missing"));
    // Who names an index wants that one.
    let container = open(&snapshot.folder().join("drive-scsi1.img.fidx")).unwrap();
    assert_eq!(is_clean(&container), (true, true));
}

#[test]
fn a_part_that_was_copied_without_its_chunks_says_so() {
    let wanted = sample(2 * CHUNK, 6);
    for with_manifest in [true, false] {
        let store = Store::simple(Wrap::Packed, &wanted);
        if !with_manifest {
            std::fs::remove_file(store.simple_path().join("index.json.blob")).unwrap();
        }
        let chunks = store.root().join(".chunks");
        let elsewhere = tempfile::tempdir().unwrap();
        std::fs::rename(&chunks, elsewhere.path().join("chunks")).unwrap();
        let check = |kind: ErrorKind, text: &str| {
            for path in ["", "vm", "vm/100", &format!("vm/100/{TIME}")] {
                let path = store.root().join(path);
                assert_eq!(probe(&path), Score::Magic, "{path:?}");
                let error = read(&open(&path).unwrap()).unwrap_err();
                assert!(error.kind() == kind && error.to_string().contains(text), "{error}");
            }
        };
        check(ErrorKind::SourceMissing, "there is no folder .chunks");
        std::os::unix::fs::symlink(elsewhere.path().join("chunks"), &chunks).unwrap();
        check(ErrorKind::Denied, &chunks.display().to_string());
    }
}

#[test]
fn archives_of_files_are_told_apart() {
    let store = Store::new();
    let mut snapshot = store.snapshot(&format!("ct/101/{TIME}"));
    let mut bytes = index(&[], 0, 4096);
    bytes[..8].copy_from_slice(&[0x1c, 0x91, 0x4e, 0xa5, 0x19, 0xba, 0xb3, 0xcd]);
    std::fs::write(snapshot.folder().join("root.pxar.didx"), &bytes).unwrap();
    snapshot.list("root.pxar.didx", 0, [0; 32], Wrap::Plain);
    snapshot.write();
    let error = open(&snapshot.folder()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.hint_text().unwrap().contains("pct restore"));
    std::fs::write(snapshot.folder().join("x.fidx"), &bytes).unwrap();
    let error = open(&snapshot.folder().join("x.fidx")).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
}

#[test]
fn other_folders_are_not_claimed() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("vm/100")).unwrap();
    std::fs::create_dir_all(folder.path().join("2026-11-22T02:00:00Z")).unwrap();
    std::fs::write(folder.path().join("disk.fidx"), b"x").unwrap();
    assert_eq!(probe(folder.path()), Score::No);
    let store = Store::new();
    std::fs::create_dir(store.root().join("empty")).unwrap();
    assert_eq!(probe(&store.root().join("empty")), Score::No);
    assert!(open(&store.root().join("empty")).is_err());
}

#[test]
fn files_that_the_manifest_does_not_list_are_told() {
    let wanted = sample(2 * CHUNK, 3);
    let store = Store::simple(Wrap::Packed, &wanted);
    let other = store.simple_path().join("drive-scsi1.img.fidx");
    std::fs::copy(store.simple_path().join("drive-scsi0.img.fidx"), &other).unwrap();
    let container = open(&store.simple_path()).unwrap();
    assert_eq!((container.disks().len(), container.warnings()[0].code), (1, "pbs-unlisted-file"));
    let container = open(&other).unwrap();
    assert!(read(&container).unwrap() == wanted);
    assert_eq!(
        (container.disks()[0].name.as_str(), container.warnings()[0].code),
        ("drive-scsi1", "pbs-unlisted-file")
    );
}
