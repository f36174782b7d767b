//! stdout is data, stderr is everything else, and both can be read by programs.

use crate::bench::{Bench, MIB};

const COMMANDS: [&str; 15] = [
    "inspect",
    "convert",
    "migrate",
    "flatten",
    "delta",
    "create",
    "info",
    "map",
    "measure",
    "check",
    "verify",
    "compare",
    "digest",
    "formats",
    "completions",
];

fn bench() -> Bench {
    let bench = Bench::new();
    bench.disk("disk.raw", 9 * MIB, &[(0, MIB)]);
    bench
}

#[test]
fn every_command_speaks_json() {
    let bench = bench();
    for (args, key) in [
        (&["convert", "disk.raw", "disk.vhdx"][..], "digest"),
        (&["inspect", "disk.raw"], "readiness"),
        (&["verify", "disk.vhdx"], "ok"),
        (&["compare", "disk.raw", "disk.vhdx"], "same"),
        (&["digest", "disk.vhdx"], "digest"),
        (&["flatten", "disk.vhdx", "flat.qcow2"], "digest"),
        (&["delta", "flat.qcow2", "disk.raw", "delta.qcow2"], "differing_bytes"),
        (&["create", "new.qcow2", "1M"], "virtual_size"),
        (&["info", "delta.qcow2"], "chain"),
        (&["measure", "disk.raw", "-O", "vmdk"], "required"),
        (&["check", "delta.qcow2"], "corruptions"),
    ] {
        let run = bench.rehome(&[args, &["--output", "json"]].concat()).ends(0);
        assert!(run.json().get(key).is_some(), "{key}: {run:?}");
        assert_eq!(run.stderr, "");
    }
    let formats = bench.rehome(&["formats", "--output", "json"]).ends(0).json();
    let names: Vec<_> = formats.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    for name in ["raw", "qcow2", "vmdk", "vhdx"] {
        assert!(names.contains(&name), "{names:?}");
    }
}

#[test]
fn progress_lines_are_json_on_stderr_and_bars_are_for_terminals() {
    let bench = bench();
    let args = ["--progress", "json", "convert", "--verify", "disk.raw", "disk.qcow2"];
    let run = bench.rehome(&args).ends(0);
    let events: Vec<serde_json::Value> =
        run.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |stage: &str, event: &str| events.iter().find(|e| e["stage"] == stage && e["event"] == event);
    assert_eq!(of("copy", "begin").unwrap()["total"], MIB);
    assert_eq!(of("copy", "end").unwrap()["bytes"], MIB);
    assert!(of("verify", "end").is_some(), "{events:?}");
    let run = bench.rehome(&["convert", "disk.raw", "quiet.qcow2"]).ends(0);
    assert_eq!(run.stderr, "", "no bar where nobody looks");
}

#[test]
fn a_warning_goes_to_stderr_or_into_the_json() {
    let bench = bench();
    bench.disk("tiny.raw", 1000, &[(0, 10)]);
    let run = bench.rehome(&["convert", "tiny.raw", "a.qcow2"]).ends(0);
    assert!(run.stderr.starts_with("warning: qcow2 cannot hold a disk of 1000 bytes"), "{run:?}");
    let run = bench.rehome(&["convert", "tiny.raw", "b.qcow2", "--output", "json"]).ends(0);
    assert_eq!(run.json()["warnings"][0]["code"], "disk-size-rounded");
    assert_eq!(run.stderr, "");
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let bench = bench();
    for args in [
        "formats",
        "inspect disk.raw",
        "completions bash",
        "digest disk.raw",
        "--help",
        "formats --output json",
    ] {
        let run = bench.bash(&format!("\"$REHOME\" {args} | head -c 0; echo ${{PIPESTATUS[0]}}")).ends(0);
        assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("0\n", ""), "{args}");
        let run = bench.bash(&format!("\"$REHOME\" {args} >&-"));
        assert!(!run.stderr.contains("panicked"), "{run:?}");
        let run = bench.bash(&format!("\"$REHOME\" {args} 2>&- >/dev/null"));
        assert_eq!(run.code, Some(0), "{args}: {run:?}");
    }
    let run = bench.bash("\"$REHOME\" formats >/dev/full");
    assert_eq!(run.code, Some(74), "no space: {run:?}");
    let run = bench.bash("\"$REHOME\" inspect nope 2>/dev/full");
    assert_eq!(run.code, Some(66), "{run:?}");
    let run = bench.bash("\"$REHOME\" --progress json convert disk.raw x.qcow2 2>/dev/full");
    assert_eq!(run.code, Some(0), "{run:?}");
}

#[test]
fn completions_are_scripts_of_their_shells() {
    let bench = bench();
    for shell in ["bash", "zsh", "fish"] {
        let script = bench.rehome(&["completions", shell]).ends(0).stdout;
        for command in COMMANDS {
            assert!(script.contains(command), "{shell} lacks {command}");
        }
        bench.write(shell, script);
    }
    bench.tool("bash", "bash", &["-n", "bash"]);
    bench.rehome(&["completions", "tcsh"]).ends(2);
}

#[test]
fn help_explains_every_command() {
    let bench = bench();
    let all = bench.rehome(&["--help"]).ends(0).stdout;
    assert!(all.contains("Examples:") && all.contains("Exit codes:"));
    for command in COMMANDS {
        assert!(all.contains(command), "{command}");
        let help = bench.rehome(&[command, "--help"]).ends(0).stdout;
        let explained = help.lines().next().unwrap();
        assert!(explained.len() > 20 && !explained.starts_with("Usage"), "{command}: {explained}");
        let (options, _) = help.split_once("\nExamples:").unwrap_or((&help, ""));
        for line in options.lines().filter(|line| line.trim_start().starts_with("--")) {
            let described = line.split_whitespace().count() > 2 || help.contains(&format!("{line}\n    "));
            assert!(described, "{command}: {line}");
        }
    }
    assert!(bench.rehome(&["--version"]).ends(0).stdout.starts_with("rehome "));
}
