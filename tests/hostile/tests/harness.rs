//! Every attack under 512 MiB of memory and 5 seconds: the answer is the documented one, and nothing but the target is written.

use hostile::Case;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The binary, from `REHOME` or the target folder that this test was built into.
fn rehome() -> PathBuf {
    std::env::var_os("REHOME").map_or_else(
        || {
            let own = std::env::current_exe().expect("this test has a file");
            own.ancestors().nth(2).expect("target/debug").join("rehome")
        },
        PathBuf::from,
    )
}

/// What is in a folder, below it and beside: names and lengths, without what rehome wrote.
fn listing(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    let mut todo = vec![folder.to_owned()];
    while let Some(next) = todo.pop() {
        for entry in std::fs::read_dir(&next).expect("a folder").flatten() {
            let (path, meta) = (entry.path(), entry.metadata().expect("metadata"));
            if next == folder && entry.file_name().to_string_lossy().starts_with("out") {
                continue;
            }
            if meta.is_dir() {
                todo.push(path.clone());
            }
            found.push((path, if meta.is_dir() { 0 } else { meta.len() }));
        }
    }
    found.sort();
    found
}

/// What is wrong with the answers to a case.
fn faults(case: &Case, rehome: &Path) -> Vec<String> {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path().join("case");
    case.write(&folder).expect("the case's files");
    let mut faults = Vec::new();
    for run in &case.runs {
        let before = listing(place.path());
        // Threads reserve address space that they never touch: data is what counts.
        let mut command = Command::new("prlimit");
        command.args(["--data=536870912", "--cpu=5", "--core=0", "timeout", "-s", "KILL", "5"]).arg(rehome);
        let output = command.args(&run.args).current_dir(&folder).stdin(Stdio::null()).output();
        let output = output.expect("prlimit and timeout are there");
        let said = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&said);
        let mut fault = |what: String| faults.push(format!("{}: {:?}: {what}: {text:.600}", case.name, run.args));
        match output.status.code().and_then(|code| u8::try_from(code).ok()) {
            Some(code) if run.codes.contains(&code) => {}
            code => fault(format!("ended with {code:?}, not with {:?}", run.codes)),
        }
        if let Some(says) = run.says.filter(|says| !text.contains(says)) {
            fault(format!("does not say {says:?}"));
        }
        if said.iter().any(|&byte| byte < b' ' && byte != b'\n' && byte != b'\t') {
            fault("steers the terminal".into());
        }
        let after = listing(place.path());
        if before != after {
            fault(format!("files changed: {after:?}"));
        }
    }
    faults
}

/// Runs the cases whose names begin so, two at a time.
fn judge(family: &str) {
    let rehome = rehome();
    let cases: Vec<_> = hostile::all().into_iter().filter(|case| case.name.starts_with(family)).collect();
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
    assert!(found.is_empty(), "{} of {} cases:\n{}", found.len(), cases.len(), found.join("\n"));
}
