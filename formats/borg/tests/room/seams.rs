//! A borg that is not there, lies, or dies: a program of the test's own in its place, in a process of its own.

use crate::{FORMATS, bytes};
use format_core::{ErrorKind, OpenOptions, open_image};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// Tells the test that it is the process with the other borg.
const INSIDE: &str = "REHOME_TEST_FAKE_BORG";

const LIST: &str = r#"{"archives":[{"name":"a","id":"1","start":"2024-01-01T00:00:00.000000"}],"encryption":{"mode":"none"},"repository":{"id":"1"}}"#;
const FILES: &str = r#"{"type":"-","path":"a.raw","size":100000,"healthy":true,"source":""}"#;

/// What happens with a borg that is this shell script; `None` is no borg at all.
fn outcome(script: Option<&str>) -> String {
    let root = tempfile::tempdir().unwrap();
    let (bin, repo) = (root.path().join("bin"), root.path().join("repo"));
    std::fs::create_dir_all(repo.join("data")).unwrap();
    std::fs::create_dir(&bin).unwrap();
    std::fs::write(repo.join("config"), "[repository]\nversion = 1\n").unwrap();
    if let Some(script) = script {
        let text = format!(
            "#!/bin/sh\ncase \"$*\" in\n*--json-lines*) lines=1;;\n*extract*) extract=1;;\n*) echo '{LIST}'; exit 0;;\nesac\n{script}\n"
        );
        std::fs::write(bin.join("borg"), text).unwrap();
        std::fs::set_permissions(bin.join("borg"), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path =
        if script.is_some() { format!("{}:/usr/bin:/bin", bin.display()) } else { bin.display().to_string() };
    let done = Command::new(std::env::current_exe().unwrap())
        .args(["seams::inside", "--exact", "--nocapture"])
        .env(INSIDE, &repo)
        .env("PATH", path)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&done.stdout);
    text.lines().find_map(|line| line.split_once("outcome: ")).expect("an outcome").1.to_owned()
}

#[test]
fn inside() {
    let Some(repo) = std::env::var_os(INSIDE) else { return };
    match open_image(Path::new(&repo), &OpenOptions::new(FORMATS, None)) {
        Ok(image) => println!("\noutcome: {} bytes", bytes(&image).len()),
        Err(error) => println!("\noutcome: {:?} {}", error.kind(), format!("{error}").replace('\n', " ")),
    }
}

#[test]
fn every_end_of_borg_is_noticed() {
    let kind = |kind: ErrorKind| format!("{kind:?}");
    let listed = format!("[ $lines ] && {{ echo '{FILES}'; exit 0; }}; ");
    let data = "head -c 100000 /dev/zero";
    let cases = [
        (None, kind(ErrorKind::Unsupported), "not installed"),
        (Some(format!("{listed}{data}")), "100000 bytes".into(), ""),
        (Some(format!("{listed}{data}; echo odd >&2; exit 1")), kind(ErrorKind::Corrupt), "odd"),
        (Some(format!("{listed}{data}; exit 2")), kind(ErrorKind::Corrupt), "it said nothing"),
        (Some(format!("{listed}{data}; kill -9 $$")), kind(ErrorKind::Io), "ended by a signal"),
        (Some(format!("{listed}head -c 99999 /dev/zero")), kind(ErrorKind::Corrupt), "gave 99999 bytes"),
        (Some(format!("{listed}head -c 100001 /dev/zero")), kind(ErrorKind::Corrupt), "which has 100000"),
        (Some(format!("{listed}cat /dev/zero")), kind(ErrorKind::Corrupt), "which has 100000"),
        (Some(format!("{listed}cat /dev/zero | head -c 9000000 >&2; {data}")), "100000 bytes".into(), ""),
        (Some("echo '{'".into()), kind(ErrorKind::Corrupt), "cannot be understood"),
        (Some("cat /dev/zero".into()), kind(ErrorKind::Limit), "bytes"),
        (Some("exit 0".into()), kind(ErrorKind::Unsupported), "holds no disk"),
    ];
    for (script, start, told) in cases {
        let found = outcome(script.as_deref());
        assert!(found.starts_with(&start) && found.contains(told), "{script:?}: {found}");
    }
}
