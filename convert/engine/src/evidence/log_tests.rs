#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use super::*;
use crate::evidence::{Host, Moment, fingerprint, without_secrets};

fn write_run(folder: &Path, source: &Path) -> String {
    let mut log = EvidenceLog::open(folder).unwrap();
    let command = without_secrets(&["rehome".into(), "digest".into(), "x".into()], &[]);
    log.append(Event::Begin { host: Host::here("rehome 0.1.0").unwrap(), command }).unwrap();
    for moment in [Moment::Before, Moment::After] {
        let fingerprint = fingerprint(source, &|_| Ok(())).unwrap();
        log.append(Event::Source { moment, fingerprint }).unwrap();
    }
    let digests = [("disk".to_owned(), "ab".to_owned())].into();
    log.append(Event::Result { path: "out".into(), size: 7, digests }).unwrap();
    log.append(Event::Note { text: "two\nlines, \"quoted\"".into() }).unwrap();
    log.append(Event::End { is_ok: true, text: String::new() }).unwrap();
    log.head()
}

#[test]
fn runs_are_appended_to_one_chain() {
    let folder = tempfile::tempdir().unwrap();
    let (case, source) = (folder.path().join("case"), folder.path().join("source"));
    std::fs::write(&source, b"EMiL and more").unwrap();
    let first = write_run(&case, &source);
    let before = std::fs::read(case.join(LOG_NAME)).unwrap();
    let second = write_run(&case, &source);
    let path = case.join(LOG_NAME);
    assert!(std::fs::read(&path).unwrap().starts_with(&before));
    let state = verify_log(&path, Some(&first)).unwrap();
    assert_eq!((state.lines, state.head.as_str(), state.is_closed), (12, second.as_str(), true));
    assert!(state.failed.is_empty());
    assert_eq!(verify_log(&path, Some(&"0".repeat(64))).unwrap_err().kind(), ErrorKind::Mismatch);
    // Each line stands for itself, for other programs.
    for (number, line) in std::fs::read_to_string(&path).unwrap().lines().enumerate() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["number"], number);
        assert!(line["time"].as_str().unwrap().ends_with('Z'));
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let source: serde_json::Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
    assert_eq!(
        (&source["event"], &source["moment"], &source["content"]),
        (&"source".into(), &"before".into(), &"lime".into())
    );
}

#[test]
fn every_change_of_a_log_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    std::fs::write(&source, b"bytes").unwrap();
    let head = write_run(folder.path(), &source);
    let path = folder.path().join(LOG_NAME);
    let good = std::fs::read(&path).unwrap();
    let last = good.len() - 2 - good[..good.len() - 1].iter().rev().position(|byte| *byte == b'\n').unwrap();
    let copy = folder.path().join("copy");
    // The last line is covered by the head alone.
    for at in (0..good.len()).step_by(7) {
        let mut bytes = good.clone();
        bytes[at] ^= 4;
        std::fs::write(&copy, &bytes).unwrap();
        assert!(verify_log(&copy, Some(&head)).is_err(), "byte {at}");
        assert!(at > last || verify_log(&copy, None).is_err(), "byte {at}");
    }
    for len in (0..good.len()).step_by(3) {
        std::fs::write(&copy, &good[..len]).unwrap();
        assert!(verify_log(&copy, Some(&head)).is_err(), "{len} bytes");
        let state = verify_log(&copy, None);
        assert!(len == 0 || state.is_err() || !state.unwrap().is_closed, "{len} bytes");
    }
    let lines: Vec<_> = good.split_inclusive(|byte| *byte == b'\n').collect();
    for missing in 0..lines.len() - 1 {
        let kept: Vec<_> =
            lines.iter().enumerate().filter(|(at, _)| *at != missing).map(|(_, line)| *line).collect();
        std::fs::write(&copy, kept.concat()).unwrap();
        assert_eq!(verify_log(&copy, None).unwrap_err().kind(), ErrorKind::Mismatch, "line {missing}");
    }
}

#[test]
fn a_log_that_is_broken_or_written_is_not_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let log = EvidenceLog::open(folder.path()).unwrap();
    assert_eq!(EvidenceLog::open(folder.path()).unwrap_err().kind(), ErrorKind::Temporary);
    drop(log);
    let mut log = EvidenceLog::open(folder.path()).unwrap();
    log.append(Event::Note { text: "x".into() }).unwrap();
    drop(log);
    let path = folder.path().join(LOG_NAME);
    assert!(!verify_log(&path, None).unwrap().is_closed);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(EvidenceLog::open(folder.path()).unwrap_err().kind(), ErrorKind::Mismatch);
    assert_eq!(std::fs::read(&path).unwrap(), bytes[..bytes.len() - 1]);
}
