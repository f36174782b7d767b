//! Whole bundles: secrets and content of a guest are planted everywhere, and none may be inside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use convert_support::{Listing, Request, bundle, list};
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// In every secret.
const SECRET: &str = "hunter2-swordfish";
/// In every place of a guest's disk.
const GUEST: &[u8] = b"PAYROLL-of-the-guest";

fn tool(program: &str, args: &[&str], folder: &Path) {
    let output = Command::new(program).args(args).current_dir(folder).output();
    let output = output.unwrap_or_else(|e| panic!("{program} is missing (qemu-utils, tar): {e}"));
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A raw disk that is full of the guest's content, boot code included, and has a partition table.
fn disk(path: &Path) {
    let mut bytes: Vec<u8> = GUEST.iter().copied().cycle().take(8 << 20).collect();
    bytes[440..512].fill(0);
    bytes[446..462].copy_from_slice(&[0x80, 0, 2, 0, 0x83, 0, 0, 0, 1, 0, 0, 0, 0xff, 0x3f, 0, 0]);
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    fs::write(path, bytes).unwrap();
}

/// Instead of the program: what it says of an image has a secret in it.
fn fake_program(folder: &Path) -> PathBuf {
    let path = folder.join("fake-rehome");
    let text = format!(
        "#!/bin/sh\necho '{{\"command\":\"'\"$5\"'\",\"parent\":\"https://u:{SECRET}@store/x\",\"size\":1}}'\n"
    );
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn state(folder: &Path) -> PathBuf {
    let state = folder.join("state");
    fs::create_dir_all(state.join("jobs")).unwrap();
    let write = |name: &str, text: String| fs::write(state.join(name), text).unwrap();
    write("batch.json", format!(r#"{{"id":"b1","job_file":"jobs.toml","password":"{SECRET}"}}"#));
    write(
        "events.ndjson",
        format!("{{\"event\":\"begun\",\"token\":\"{SECRET}\"}}\n{{\"event\":\"ended\"}}\n"),
    );
    write("metrics.prom", "rehome_jobs 2\n".into());
    for (id, is) in [("good", "done"), ("bad", "failed")] {
        write(
            &format!("jobs/{id}.json"),
            format!(
                r#"{{"state":"{is}","command":["convert","--password","{SECRET}","a.qcow2"],"env":{{"AWS_SECRET_ACCESS_KEY":"{SECRET}"}}}}"#
            ),
        );
        let guest = String::from_utf8_lossy(GUEST);
        write(
            &format!("jobs/{id}.outcome.json"),
            format!(
                r#"{{"error":{{"message":"cannot fetch https://me:{SECRET}@host/","code":"RH-IO"}},"edits":[{{"path":"/etc/fstab","detail":"+ {guest}"}}]}}"#
            ),
        );
        let noise = "{\"event\":\"progress\",\"bytes\":1}\n".repeat(30_000);
        write(
            &format!("jobs/{id}.log"),
            format!(
                "Authorization: Bearer {SECRET}\n{noise}-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----\nlast line\n"
            ),
        );
    }
    // What is no file of ours, or leads elsewhere.
    fs::write(folder.join("outside"), SECRET).unwrap();
    std::os::unix::fs::symlink(folder.join("outside"), state.join("report.txt")).unwrap();
    state
}

fn request(folder: &Path) -> Request {
    Request {
        program: fake_program(folder),
        version: "0.0.0".into(),
        state: Some(state(folder)),
        job: None,
        files: Vec::new(),
        images: Vec::new(),
        host: serde_json::json!({"findings": [], "proxy": format!("http://u:{SECRET}@p:1")}),
        output: folder.join("bundle.tar.gz"),
        max_size: 20 << 20,
        split: None,
        force: false,
    }
}

/// All files of a bundle, by GNU tar.
fn unpacked(folder: &Path, bundle: &Path) -> Vec<(String, Vec<u8>)> {
    let to = folder.join("unpacked");
    fs::create_dir(&to).unwrap();
    tool("tar", &["-xzf", bundle.to_str().unwrap(), "-C", to.to_str().unwrap()], folder);
    let mut found = Vec::new();
    let mut folders = vec![to.clone()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push((
                    path.strip_prefix(to.join("rehome-support")).unwrap().display().to_string(),
                    fs::read(&path).unwrap(),
                )),
            }
        }
    }
    found.sort();
    found
}

fn has(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// No secret, and not even eight bytes of the guest.
fn is_clean(files: &[(String, Vec<u8>)]) {
    for (name, bytes) in files {
        assert!(!has(bytes, SECRET.as_bytes()), "{name} has a secret: {}", String::from_utf8_lossy(bytes));
        for at in 0..GUEST.len() {
            let piece: Vec<u8> = GUEST.iter().copied().cycle().skip(at).take(8).collect();
            assert!(!has(bytes, &piece), "{name} has content of the guest");
        }
    }
}

fn names(listing: &Listing) -> Vec<&str> {
    listing.files.iter().map(|file| file.name.as_str()).collect()
}

#[test]
fn a_batch_is_packed_without_secrets_and_the_failed_job_comes_first() {
    let folder = tempfile::tempdir().unwrap();
    let request = request(folder.path());
    let listing = bundle(&request).unwrap();
    let files = unpacked(folder.path(), &request.output);
    is_clean(&files);
    let place = |wanted: &str| names(&listing).iter().position(|name| *name == wanted).unwrap();
    assert!(place("batch/jobs/bad.json") < place("batch/jobs/good.json"));
    let text = |wanted: &str| {
        String::from_utf8(files.iter().find(|(name, _)| name == wanted).unwrap().1.clone()).unwrap()
    };
    let log = text("batch/jobs/bad.log");
    assert!(
        log.contains("Authorization: ***")
            && log.contains("bytes are left out")
            && log.ends_with("***\nlast line\n"),
        "{log}"
    );
    assert!(log.len() < 600 << 10);
    let outcome: serde_json::Value = serde_json::from_str(&text("batch/jobs/bad.outcome.json")).unwrap();
    assert_eq!(outcome["error"]["message"], "cannot fetch https://***@host/");
    assert_eq!(outcome["edits"][0]["path"], "/etc/fstab");
    let first =
        String::from_utf8(Command::new("tar").arg("-tzf").arg(&request.output).output().unwrap().stdout)
            .unwrap();
    assert!(first.starts_with("rehome-support/LISTING.txt\n"));
    assert!(text("LISTING.txt").contains("batch/report.txt"), "a link is not followed, and that is told");
    assert_eq!(fs::metadata(&request.output).unwrap().permissions().mode() & 0o777, 0o600);
    // Nothing is replaced unasked.
    assert_eq!(bundle(&request).unwrap_err().kind(), format_core::ErrorKind::Destination);
    bundle(&Request { force: true, ..request }).unwrap();
}

#[test]
fn of_images_only_what_the_format_is_made_of() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    disk(&at.join("disk.raw"));
    let mut images = vec![at.join("disk.raw")];
    for (format, name) in
        [("qcow2", "a.qcow2"), ("vmdk", "a.vmdk"), ("vpc", "a.vhd"), ("vdi", "a.vdi"), ("vhdx", "a.vhdx")]
    {
        tool("qemu-img", &["convert", "-f", "raw", "-O", format, "disk.raw", name], at);
        images.push(at.join(name));
    }
    tool(
        "qemu-img",
        &["convert", "-f", "raw", "-O", "vpc", "-o", "subformat=fixed", "disk.raw", "fixed.vhd"],
        at,
    );
    images.push(at.join("fixed.vhd"));
    // Headers that point to the guest's data instead of a table.
    for (name, from, place) in [("bad.qcow2", "a.qcow2", 40), ("bad.vhd", "a.vhd", 512 + 16)] {
        fs::copy(at.join(from), at.join(name)).unwrap();
        let file = fs::OpenOptions::new().write(true).open(at.join(name)).unwrap();
        file.write_all_at(&(6u64 << 20).to_be_bytes(), place).unwrap();
        images.push(at.join(name));
    }
    let bad = fs::read(at.join("a.vdi")).unwrap();
    fs::write(at.join("bad.vdi"), [&bad[..0x154], &(6u32 << 20).to_le_bytes(), &bad[0x158..]].concat())
        .unwrap();
    fs::write(at.join("text.vmdk"), [b"# Disk DescriptorFile\nversion=1\n", GUEST].concat()).unwrap();
    images.extend([at.join("bad.vdi"), at.join("text.vmdk"), at.join("missing.raw")]);
    let request = Request { images, ..request(at) };
    let listing = bundle(&request).unwrap();
    let files = unpacked(at, &request.output);
    is_clean(&files);
    let names = names(&listing);
    for wanted in [
        "images/0-disk.raw/mbr-table-at-0x1b8.bin",
        "images/0-disk.raw/info.json",
        "images/0-disk.raw/map.json",
        "images/1-a.qcow2/header-at-0x0.bin",
        "images/2-a.vmdk/descriptor.txt",
        "images/4-a.vdi/header-at-0x40.bin",
        "images/5-a.vhdx/header-1-at-0x10000.bin",
    ] {
        assert!(names.contains(&wanted), "{wanted}: {names:#?}");
    }
    let has_start = |start: &str| names.iter().any(|name| name.starts_with(start));
    for (start, is) in [
        ("images/1-a.qcow2/l1-table", true),
        ("images/3-a.vhd/bat", true),
        ("images/4-a.vdi/block-map", true),
        ("images/5-a.vhdx/metadata-table", true),
        ("images/6-fixed.vhd/footer", true),
        ("images/7-bad.qcow2/l1-table", false),
        ("images/8-bad.vhd/bat", false),
        ("images/9-bad.vdi/block-map", false),
        ("images/10-text.vmdk/descriptor", false),
    ] {
        assert_eq!(has_start(start), is, "{start}: {listing:#?}");
    }
    let told = listing.text("0");
    for name in ["7-bad.qcow2", "8-bad.vhd", "9-bad.vdi", "10-text.vmdk", "11-missing.raw"] {
        assert!(told.split("Left out:").nth(1).unwrap().contains(name), "{name}: {told}");
    }
}

#[test]
fn size_and_parts_are_kept_and_a_list_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let whole = request(folder.path());
    let listing = list(&whole).unwrap();
    assert!(!whole.output.exists() && listing.written.is_empty());
    let small = Request { max_size: 100 << 10, ..whole.clone() };
    let listing = list(&small).unwrap();
    let sum: u64 = listing.files.iter().map(|file| file.size).sum();
    assert!(
        sum <= 100 << 10 && listing.left_out.iter().any(|one| one.name == "batch/jobs/bad.log"),
        "{listing:#?}"
    );
    assert!(names(&listing).contains(&"batch/jobs/good.json"), "what is small still fits");
    let cut = Request { split: Some(1000), ..whole };
    let listing = bundle(&cut).unwrap();
    assert!(listing.written.len() > 1 && !cut.output.exists());
    let mut all = Vec::new();
    for part in &listing.written {
        let bytes = fs::read(part).unwrap();
        assert!(bytes.len() <= 1000);
        all.extend(bytes);
    }
    fs::write(folder.path().join("whole.tar.gz"), all).unwrap();
    is_clean(&unpacked(folder.path(), &folder.path().join("whole.tar.gz")));
}

#[test]
fn a_job_or_a_state_that_is_not_there_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let request = request(folder.path());
    let only = Request { job: Some("bad".into()), ..request.clone() };
    let listing = list(&only).unwrap();
    assert!(
        names(&listing).contains(&"batch/jobs/bad.log") && !names(&listing).contains(&"batch/jobs/good.log")
    );
    for wrong in [
        Request { job: Some("../bad".into()), ..request.clone() },
        Request { state: Some(folder.path().join("none")), ..request },
    ] {
        assert_eq!(list(&wrong).unwrap_err().kind(), format_core::ErrorKind::SourceMissing);
    }
}
