//! What restic itself wrote (Debian package restic).

use crate::{bytes, container, names, noise, open};
use format_core::{ErrorKind, ExtentKind};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs restic on `repo`; `input` is its standard input.
fn restic(repo: &Path, password: &str, args: &[&str], input: Option<&[u8]>) {
    let mut child = Command::new("restic")
        .arg("--repo")
        .arg(repo)
        .args(["--no-cache", "--quiet"])
        .args(args)
        .env("RESTIC_PASSWORD", password)
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .spawn()
        .expect("restic is needed: install the Debian package restic (tests/packages.sh)");
    if let Some(input) = input {
        child.stdin.take().unwrap().write_all(input).unwrap();
    }
    assert!(child.wait().unwrap().success(), "restic {args:?}");
}

/// 20 MiB with long runs of zeros, text and noise.
fn disk(seed: u64) -> Vec<u8> {
    let mut disk = vec![0; 20 << 20];
    disk[..5 << 20].copy_from_slice(&noise(5 << 20, seed));
    disk[12 << 20..13 << 20].fill(b'x');
    let end = disk.len() - 77;
    disk[end..].fill(1);
    disk
}

#[test]
fn both_versions_read_as_they_were_backed_up() {
    for (version, compression) in [("1", "auto"), ("2", "max")] {
        let root = tempfile::tempdir().unwrap();
        let (repo, images) = (root.path().join("repo"), root.path().join("im äges"));
        std::fs::create_dir(&images).unwrap();
        restic(&repo, "pässword", &["init", "--repository-version", version], None);
        let (old, new, tail) = (disk(1), disk(2), [disk(1), vec![5; 3]].concat());
        let with = |name: &str, bytes: &[u8]| std::fs::write(images.join(name), bytes).unwrap();
        with("vm \"1\".raw", &old);
        with("note.txt", b"no disk");
        with("vm.xml", b"<domain/>");
        let path = images.to_str().unwrap();
        let backup = ["backup", "--compression", compression, "--tag", "t", path];
        let backup: Vec<_> =
            if version == "1" { [&backup[..1], &backup[3..]].concat() } else { backup.to_vec() };
        restic(&repo, "pässword", &backup, None);
        with("vm \"1\".raw", &new);
        with("second.img", &tail);
        restic(&repo, "pässword", &backup, None);

        let opened = container(&repo, "pässword\n");
        let first = format!("{path}/vm \"1\".raw");
        assert_eq!(names(&*opened), [format!("{path}/second.img"), first.clone()]);
        assert_eq!(opened.points().len(), 2);
        assert!(opened.points()[1].is_chosen && opened.points()[0].time <= opened.points()[1].time);
        assert_eq!(opened.machine_files().unwrap()[0].bytes, b"<domain/>");
        assert_eq!(opened.details()["repository-version"].to_string(), version);
        assert!(bytes(&opened.open_disk(0).unwrap().disk) == tail);
        let disk = opened.open_disk(1).unwrap().disk;
        assert!(bytes(&disk) == new);
        let zeros =
            disk.extents(0, new.len() as u64).map(Result::unwrap).filter(|e| e.kind == ExtentKind::Zero);
        assert!(
            zeros.map(|extent| extent.len).sum::<u64>() > 10 << 20,
            "restic keeps runs of zeros as one blob"
        );
        let earlier = open(&repo, "pässword", None, Some("0")).unwrap();
        assert_eq!(earlier.name_inside(), Some(first.as_str()));
        assert!(bytes(&earlier.disk) == old);
        let by_id = open(&repo, "pässword", Some("0"), Some(&opened.points()[0].id[..8])).unwrap();
        assert_eq!(by_id.disk.virtual_size(), old.len() as u64);
        assert!(opened.completeness().unwrap().is_empty());
        let report = opened.check(&|_| Ok(())).unwrap();
        assert!(report.is_clean(), "{report:?}");
        assert!(report.total_chunks > report.allocated_chunks && report.allocated_chunks > 0);
        assert_eq!(report.compressed_chunks > 0, version == "2");
    }
}

#[test]
fn a_pipe_and_several_keys() {
    let root = tempfile::tempdir().unwrap();
    let repo = root.path().join("repo");
    restic(&repo, "one", &["init"], None);
    let disk = disk(3);
    restic(&repo, "one", &["backup", "--stdin", "--stdin-filename", "vm-100-disk-0"], Some(&disk));
    let second = root.path().join("second");
    std::fs::write(&second, "two\n").unwrap();
    restic(&repo, "one", &["key", "add", "--new-password-file", second.to_str().unwrap()], None);
    for password in ["one", "two\n"] {
        assert!(bytes(&open(&repo, password, None, None).unwrap().disk) == disk);
    }
    let error = open(&repo, "three", None, None).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NeedsPerson);
    assert!(error.to_string().contains("does not fit: none of 2 keys"), "{error}");
}

#[test]
fn prune_repacks_and_the_rest_still_reads() {
    let root = tempfile::tempdir().unwrap();
    let (repo, image) = (root.path().join("repo"), root.path().join("a.raw"));
    restic(&repo, "pw", &["init"], None);
    for seed in 4..7 {
        let mut bytes = disk(seed);
        bytes[(5 << 20)..(6 << 20)].copy_from_slice(&noise(1 << 20, 99));
        std::fs::write(&image, &bytes).unwrap();
        restic(&repo, "pw", &["backup", image.to_str().unwrap()], None);
    }
    restic(&repo, "pw", &["forget", "--keep-last", "1", "--prune"], None);
    let opened = open(&repo, "pw", None, None).unwrap();
    assert!(bytes(&opened.disk) == std::fs::read(&image).unwrap());
    let report = opened.inside.unwrap().container.check(&|_| Ok(())).unwrap();
    assert!(report.is_clean(), "{report:?}");
}
