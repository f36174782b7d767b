//! Every attack under 512 MiB of memory and 5 seconds of a processor: the answer is the documented one, and nothing but the target is written.
#![allow(clippy::expect_used, clippy::panic)]

use hostile::{Case, names, rehome};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Seconds that a run may take.
const LIMIT: &str = "30";

/// What is in a folder, below it and beside: names and lengths, without what rehome wrote.
fn listing(folder: &Path, written: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    let mut todo = vec![folder.to_owned()];
    while let Some(next) = todo.pop() {
        for entry in std::fs::read_dir(&next).expect("a folder").flatten() {
            let path = entry.path();
            if next == written && entry.file_name().as_encoded_bytes().starts_with(b"out") {
                continue;
            }
            let meta = path.symlink_metadata().expect("metadata");
            if meta.is_dir() {
                todo.push(path.clone());
            }
            found.push((path, if meta.is_dir() { 0 } else { meta.len() }));
        }
    }
    found.sort();
    found
}

/// The files that rehome wrote, by path.
fn written(folder: &Path) -> Vec<PathBuf> {
    let is_out =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"out"));
    let mut todo: Vec<_> = std::fs::read_dir(folder)
        .expect("a folder")
        .flatten()
        .map(|entry| entry.path())
        .filter(is_out)
        .collect();
    let mut found = Vec::new();
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            todo.extend(std::fs::read_dir(&path).expect("a folder").flatten().map(|entry| entry.path()));
        } else {
            found.push(path);
        }
    }
    found
}

/// What a stranger must not read: what the canary holds, and every host's list of users.
const SECRETS: [&[u8]; 2] = [b"kanarienvogel", b"root:x:0:0:"];

fn tells_secrets(bytes: &[u8]) -> bool {
    SECRETS.iter().any(|secret| names::find(bytes, secret).is_some())
}

/// Looks through the data of a file and passes by its holes.
fn holds_secrets(path: &Path) -> std::io::Result<bool> {
    use rustix::fs::{SeekFrom, seek};
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::open(path)?;
    let len = file.metadata()?.len();
    let mut at = 0;
    while at < len {
        let Ok(data) = seek(&file, SeekFrom::Data(at)) else { break };
        let end = seek(&file, SeekFrom::Hole(data)).unwrap_or(len);
        let mut from = data;
        while from < end {
            let mut bytes = vec![0; (end - from).min(8 << 20) as usize];
            file.read_exact_at(&mut bytes, from)?;
            if tells_secrets(&bytes) {
                return Ok(true);
            }
            from += bytes.len() as u64;
        }
        at = end;
    }
    Ok(false)
}

/// What is wrong with the answers to a case.
fn faults(case: &Case, rehome: &Path) -> Vec<String> {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path().join("case");
    case.write(&folder).expect("the case's files");
    let mut faults = Vec::new();
    let before = listing(place.path(), &folder);
    for run in &case.runs {
        let took = std::time::Instant::now();
        // Threads reserve address space that they never touch: data is what counts.
        let mut command = Command::new("prlimit");
        command.args(["--data=536870912", "--cpu=5", "--core=0", "timeout", "-s", "KILL", LIMIT]).arg(rehome);
        let output = command
            .args(run.args.iter().map(|arg| names::os(arg)))
            .current_dir(&folder)
            .stdin(Stdio::null())
            .output();
        let output = output.expect("prlimit and timeout are there");
        let took = took.elapsed();
        let said = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&said);
        let mut fault = |what: String| {
            faults.push(format!("{}: {:?}: {what} after {took:?}: {text:.600}", case.name, run.args))
        };
        let code = output.status.code().and_then(|code| u8::try_from(code).ok());
        if code.is_none_or(|code| !run.codes.contains(&code)) {
            fault(format!("ended with {code:?}, not with {:?}", run.codes));
        }
        if let Some(says) = run.says.filter(|says| !text.contains(says)) {
            fault(format!("does not say {says:?}"));
        }
        if steers(&text) || said.iter().any(|byte| *byte < b' ' && *byte != b'\n' && *byte != b'\t') {
            fault("steers the terminal".into());
        }
        if text.contains("panicked") {
            fault("panics".into());
        }
        let after = listing(place.path(), &folder);
        if before != after {
            let new: Vec<_> = after.iter().filter(|file| !before.contains(file)).collect();
            fault(format!("files changed, now: {new:?}"));
        }
        let files = written(&folder);
        if tells_secrets(&said)
            || files.iter().any(|path| holds_secrets(path).expect("what was written is read"))
        {
            fault("tells what a file of the host holds".into());
        }
        // What is not finished is called so. Of several disks, those that are well are.
        let finished = |path: &&PathBuf| {
            path.parent() == Some(folder.as_path())
                && path.extension().is_none_or(|e| e != "partial" && e != "journal")
        };
        if let Some(left) = files.iter().find(finished).filter(|_| !matches!(code, Some(0 | 1))) {
            fault(format!("leaves {left:?} as if it were finished"));
        }
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            if entry.file_name().as_encoded_bytes().starts_with(b"out") {
                let path = entry.path();
                let gone =
                    if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
                gone.expect("what was written can be removed");
            }
        }
    }
    faults
}

/// Characters that change what a terminal shows of others.
fn steers(text: &str) -> bool {
    text.chars().any(|letter| matches!(letter, '\u{7f}'..='\u{9f}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
}

/// Runs the cases of a family, two at a time.
fn judge(family: &str) {
    let rehome = rehome();
    let cases = hostile::of(family);
    assert!(!cases.is_empty(), "no case of {family}");
    let next = std::sync::atomic::AtomicUsize::new(0);
    let found = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    found.lock().expect("no panic").extend(faults(case, &rehome));
                }
            });
        }
    });
    let found = found.into_inner().expect("no panic");
    let runs: usize = cases.iter().map(|case| case.runs.len()).sum();
    assert!(
        found.is_empty(),
        "{} faults in {runs} runs of {} cases:\n{}",
        found.len(),
        cases.len(),
        found.join("\n")
    );
}

/// A test for each family, so that they run beside each other.
macro_rules! families {
    ($($name:ident)*) => {
        const FAMILIES: &[&str] = &[$(stringify!($name)),*];
        $(#[test]
        fn $name() {
            judge(stringify!($name));
        })*
    };
}

families! {
    clonezilla compressed ewf manifests mrimgx names ova parallels partitions pbs pieces qcow1 qcow2 qed raw restic tar vdi vhd vhdx vma
    vmdk wsb xva
}

/// The judge sees what it looks for.
#[test]
fn the_judge_sees_faults() {
    let faults_of = |case: Case| faults(&case, &rehome());
    let case = || Case::new("judge/case", "none").file("a.raw", vec![7; 4096]);
    assert_eq!(faults_of(case().run(&["inspect", "a.raw"], &[0])), Vec::<String>::new());
    let told = |case: Case, what: &str| {
        let faults = faults_of(case);
        assert!(faults.len() == 1 && faults[0].contains(what), "{what}: {faults:?}");
    };
    told(case().run(&["inspect", "a.raw"], &[65]), "ended with Some(0), not with [65]");
    told(case().run_saying(&["inspect", "a.raw"], &[0], "a cat"), "does not say");
    told(
        case().run(&["convert", "-f", "raw", names::NEAR, "out.raw"], &[0]),
        "tells what a file of the host holds",
    );
    told(case().run(&["convert", "a.raw", "../b.raw"], &[0]), "files changed");
    told(case().run(&["convert", "a.raw", "b.raw"], &[0]), "files changed");
    assert!(steers("a\u{9b}31m") && steers("\u{202e}") && !steers("é ✓"));
}

fn named_and_run(cases: &[Case]) {
    for pair in cases.windows(2) {
        assert_ne!(pair[0].name, pair[1].name);
    }
    for case in cases {
        assert!(!case.runs.is_empty() && !case.about.is_empty(), "{}", case.name);
        let is_plain = |part: &str| part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        assert!(case.name.split('/').count() == 2 && case.name.split('/').all(is_plain), "{}", case.name);
    }
}

/// One test: making all cases takes its time.
#[test]
fn every_case_has_a_name_runs_and_a_family_and_is_written() {
    let mut cases = hostile::images::all();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    named_and_run(&cases);
    // Every family of containers has a test here; those of disks are in `guests.rs`.
    let family = |case: &Case| case.name.split('/').next().expect("a name").to_owned();
    let all: std::collections::BTreeSet<String> = cases.iter().map(family).collect();
    assert_eq!(all, FAMILIES.iter().map(|family| (*family).to_owned()).collect());
    let place = tempfile::tempdir().expect("a folder");
    hostile::write(&cases, place.path()).expect("all files");
    let index = std::fs::read_to_string(place.path().join("INDEX.txt")).expect("the index");
    assert!(
        index.contains("qcow2/l1-outside\n    the L1 table lies behind the end\n    exit 65 "),
        "{index:.2000}"
    );
    let canary = std::fs::read_to_string(place.path().join("qcow2/canary")).expect("the canary");
    assert!(canary.starts_with(names::SECRET));
    let image = std::fs::read(place.path().join("qcow2/data-file-absolute/a.qcow2")).expect("an image");
    let path = place.path().canonicalize().expect("a path").join("qcow2");
    assert!(names::find(&image, path.to_str().expect("text").as_bytes()).is_some());
    assert!(names::find(&image, b"{canary}").is_none());
}
