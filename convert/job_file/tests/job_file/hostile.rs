//! Files that are small and mean much, deep or large: an error within a second, whatever they hold.

use crate::{parse, text};
use convert_job_file::{JobFile, MOST_BYTES, Notation, Text};
use proptest::prelude::*;
use std::fmt::Write;
use std::time::{Duration, Instant};

/// On a quiet machine it is a second; tests share theirs with many others.
const BOUND: Duration = Duration::from_secs(10);

fn refused(notation: Notation, content: &str) -> String {
    let begun = Instant::now();
    let fault = parse(notation, content).map(|_| ()).expect_err("refused");
    let took = begun.elapsed();
    println!(
        "{} bytes of {notation:?}: {took:?}: {}",
        content.len(),
        fault.to_string().chars().take(90).collect::<String>()
    );
    assert!(took < BOUND, "{took:?}: {fault}");
    fault.to_string()
}

#[test]
fn aliases_do_not_multiply_without_bound() {
    let mut yaml = String::from("version: 1\nx0: &x0 [a, a, a, a, a, a, a, a, a]\n");
    for level in 1..12 {
        let last = format!("*x{}, ", level - 1).repeat(9);
        writeln!(yaml, "x{level}: &x{level} [{}]", last.trim_end_matches(", ")).unwrap();
    }
    assert!(refused(Notation::Yaml, &yaml).contains("500,000 values"));
    // The same in breadth.
    let wide = format!("version: 1\na: &a [{}]\nb: [{}]\n", "1, ".repeat(50_000), "*a, ".repeat(100_000));
    assert!(refused(Notation::Yaml, &wide).contains("500,000 values"));
}

#[test]
fn nesting_has_an_end() {
    for (notation, content) in [
        (Notation::Yaml, format!("version: 1\njob: {}", "[".repeat(200_000))),
        (Notation::Yaml, format!("version: 1\njob: {}", "{a: ".repeat(200_000))),
        (Notation::Yaml, format!("version: 1\njob:\n {}", "- ".repeat(200_000))),
        (Notation::Yaml, format!("version: 1\njob: {}", "? ".repeat(200_000))),
        (Notation::Toml, format!("version = 1\njob = {}", "[".repeat(200_000))),
        (Notation::Toml, format!("version = 1\njob = {}", "{a=".repeat(200_000))),
        (Notation::Toml, format!("version = 1\n{} = 1", "a.".repeat(200_000) + "a")),
        (Notation::Toml, format!("version = 1\n[{}]", "a.".repeat(200_000) + "a")),
        (Notation::Toml, format!("version = 1\n{}", "[[job.job]]\n".repeat(100_000))),
    ] {
        refused(notation, &content);
    }
}

#[test]
fn what_is_too_large_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.yaml");
    // A file of 100 MB, nearly all of it a hole.
    std::fs::File::create(&path).unwrap().set_len(100 << 20).unwrap();
    let begun = Instant::now();
    let error = Text::read(&path, None).unwrap_err();
    assert_eq!(error.kind(), format_core::ErrorKind::Limit);
    assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
}

#[test]
fn the_largest_files_are_read_in_bounded_time() {
    let size = MOST_BYTES as usize - 64;
    for (notation, unit) in [
        (Notation::Toml, "[[job]]\n"),
        (Notation::Yaml, "a: 1\n"),
        (Notation::Yaml, "- a\n"),
        (Notation::Yaml, "\"\\u00e9"),
        (Notation::Toml, "#\n"),
        (Notation::Yaml, "#\n"),
        (Notation::Yaml, "\t"),
        (Notation::Yaml, "%"),
        (Notation::Toml, "a"),
        (Notation::Toml, "\u{1d11e}"),
    ] {
        refused(notation, &unit.repeat(size / unit.len()));
    }
}

#[test]
fn ten_thousand_jobs_are_resolved_soon() {
    let mut content = String::from("version = 1\n[defaults]\nto = \"kvm\"\nkey_file = \"key\"\n");
    for job in 0..10_000 {
        writeln!(
            content,
            "[[job]]\nid = \"vm-{job}\"\nsource = \"/backups/{}/vm-{job}.vmdk\"\nwave = {}",
            job % 50,
            job % 3
        )
        .unwrap();
    }
    let begun = Instant::now();
    let resolved = parse(Notation::Toml, &content).unwrap().resolve().unwrap();
    println!("10,000 jobs in {:?}", begun.elapsed());
    assert_eq!(resolved.jobs.len(), 10_000);
    assert!(begun.elapsed() < Duration::from_secs(20));
}

fn check(content: &[u8]) {
    let Ok(content) = std::str::from_utf8(content) else { return };
    for notation in [Notation::Toml, Notation::Yaml] {
        match JobFile::parse(text(notation, content), &|name| Some(name.to_owned())) {
            Ok(file) => {
                if let Ok(resolved) = file.resolve() {
                    for job in &resolved.jobs {
                        assert!(job.command().len() > 2 && job.fingerprint().len() == 64);
                    }
                }
            }
            Err(fault) => {
                let line = fault.to_string();
                assert!(!line.is_empty());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_text_makes_it_panic(content in "[a-z\\[\\]{}:=\"'\n \\-&*!|>#$~?%,.0-9é\t]{0,200}") {
        check(content.as_bytes());
    }

    #[test]
    fn no_changed_file_makes_it_panic(at in 0usize..1000, with in "\\PC{0,4}", cut in 0usize..8) {
        for content in [super::notations::TOML, super::notations::YAML] {
            let at = content.floor_char_boundary(at % content.len());
            let end = content.floor_char_boundary((at + cut).min(content.len()));
            check(format!("{}{with}{}", &content[..at], &content[end..]).as_bytes());
        }
    }
}
