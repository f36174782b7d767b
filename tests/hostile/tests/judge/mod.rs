//! What is right when a hostile disk is looked at: the answer, the time and memory it takes, and what is left behind.

use hostile::guests::{CANARY, CANARY_PATH};
use hostile::{Case, Content, Run, rehome};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Seconds of a processor that a run has; a debug build is six times slower, and more where it unpacks.
const SECONDS: u32 = if cfg!(debug_assertions) { 30 } else { 5 };

/// Where a partition of the cases begins.
const START: u64 = 1 << 20;

/// What must not change of a file: its length, when it was written last, and its bytes.
type Print = (PathBuf, u64, (i64, i64), u64);

/// The files in a folder and below it, but not what rehome was told to write; bytes are those that the case put there.
fn prints(folder: &Path, case: &Case) -> Vec<Print> {
    let (mut found, mut todo) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = todo.pop() {
        for entry in std::fs::read_dir(&next).expect("a folder").flatten() {
            let (path, meta) = (entry.path(), entry.metadata().expect("metadata"));
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("out") {
                continue;
            }
            if meta.is_dir() {
                todo.push(path);
                continue;
            }
            let bytes = case
                .files
                .iter()
                .find(|(file, _)| *file == name)
                .map_or(0, |(_, content)| hash(&path, content));
            found.push((path, meta.len(), (meta.mtime(), meta.mtime_nsec()), bytes));
        }
    }
    found.sort();
    found
}

fn hash(path: &Path, content: &Content) -> u64 {
    let (Content::Sparse { parts, .. }, Ok(file)) = (content, std::fs::File::open(path)) else { return 0 };
    let mut hasher = DefaultHasher::new();
    for (offset, bytes) in parts {
        let mut found = vec![0; bytes.len()];
        let read = file.read_at(&mut found, *offset).unwrap_or(0);
        found[..read].hash(&mut hasher);
    }
    hasher.finish()
}

/// A case in its folder.
struct Judged<'a> {
    case: &'a Case,
    folder: PathBuf,
    faults: Vec<String>,
}

impl Judged<'_> {
    fn try_it(&mut self, run: &Run, rehome: &Path) {
        // Threads reserve address space that they never touch: data is what counts.
        let mut command = Command::new("prlimit");
        let cpu = format!("--cpu={SECONDS}");
        // Of the clock it has more: other tests run beside it.
        command.args(["--data=536870912", &cpu, "--core=0", "timeout", "-s", "KILL", "90"]).arg(rehome);
        let command = command.args(&run.args).current_dir(&self.folder).stdin(Stdio::null());
        let is_data = run.args.first().is_some_and(|verb| verb == "cat");
        if is_data {
            // It may be without end, and its bytes are the guest's own affair.
            command.stdout(Stdio::null());
        }
        let begun = Instant::now();
        let output = command.output().expect("prlimit and timeout are there");
        let took = begun.elapsed();
        let said = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&said);
        let mut fault = |what: String| {
            self.faults.push(format!("{}: {:?}: {what}: {text:.700}", self.case.name, run.args.join(" ")));
        };
        match output.status.code().and_then(|code| u8::try_from(code).ok()) {
            Some(code) if run.codes.contains(&code) => {}
            code => fault(format!("ended with {code:?}, not with {:?}, after {took:?}", run.codes)),
        }
        if let Some(says) = run.says.filter(|says| !text.contains(says)) {
            fault(format!("does not say {says:?}"));
        }
        // JSON carries names whole, but for what it has escapes for.
        let is_json = run.args.iter().any(|arg| arg == "json");
        if text.chars().any(|c| if is_json { c < ' ' && c != '\n' } else { steers(c) }) {
            fault("steers the terminal".into());
        }
        if text.contains(CANARY.trim_end()) {
            fault("shows a file of the host".into());
        }
        if text.contains("panicked") {
            fault("panics".into());
        }
        let is_written = |name: &str| run.args.iter().any(|arg| arg == name);
        if output.status.success() && is_written("migrate") && !is_written("--dry-run") {
            let out = run.args.iter().skip_while(|arg| *arg != "--out").nth(1);
            self.judge_result(&self.folder.join(out.expect("a folder to write into")));
        }
    }

    /// No file of the host is in what was written, and other people's checkers find no more faults than before.
    fn judge_result(&mut self, out: &Path) {
        let raw = self.folder.join("out-raw");
        let (before, has_links) =
            (checked(&self.folder.join("disk.raw")), self.case.name.starts_with("config/"));
        if before.is_none() {
            return;
        }
        for entry in std::fs::read_dir(out).expect("what was written").flatten() {
            let path = entry.path();
            let is_image = path.extension().is_some_and(|kind| kind == "vhdx" || kind == "qcow2");
            if !is_image {
                let bytes = std::fs::read(&path).unwrap_or_default();
                if String::from_utf8_lossy(&bytes).contains(CANARY.trim_end()) {
                    self.faults.push(format!(
                        "{}: a file of the host is in {}",
                        self.case.name,
                        path.display()
                    ));
                }
                continue;
            }
            let made = Command::new("timeout")
                .args(["60", "qemu-img", "convert", "-O", "raw"])
                .arg(&path)
                .arg(&raw)
                .output();
            assert!(
                made.as_ref().is_ok_and(|output| output.status.success()),
                "qemu-img (package qemu-utils): {made:?}"
            );
            if has_links && contains(&raw, CANARY.trim_end().as_bytes()) {
                self.faults.push(format!("{}: a file of the host is in {}", self.case.name, path.display()));
            }
            let after = checked(&raw);
            if after > before {
                self.faults.push(format!(
                    "{}: the checker ends with {after:?} on the result, with {before:?} on the source",
                    self.case.name
                ));
            }
        }
    }
}

/// Control characters other than line breaks, and those that turn text around.
fn steers(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn contains(path: &Path, wanted: &[u8]) -> bool {
    let file = std::fs::File::open(path).expect("a file");
    let (len, mut piece) = (file.metadata().expect("its length").len(), vec![0; (1 << 20) + wanted.len()]);
    (0..len).step_by(1 << 20).any(|at| {
        let read = file.read_at(&mut piece, at).expect("it is read");
        piece[..read].windows(wanted.len()).any(|window| window[0] == wanted[0] && window == wanted)
    })
}

/// What the checker of an ext file system in the first partition says, worse the higher; `None` without one.
fn checked(disk: &Path) -> Option<i32> {
    let mut magic = [0; 2];
    std::fs::File::open(disk).ok()?.read_exact_at(&mut magic, START + 1080).ok()?;
    if magic != [0x53, 0xef] {
        return None;
    }
    let place = format!("{}?offset={START}", disk.display());
    let output = Command::new("timeout")
        .args(["60", "e2fsck", "-fn", &place])
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .output();
    Some(output.expect("e2fsck (package e2fsprogs)").status.code().unwrap_or(i32::MAX))
}

fn faults(case: &Case, rehome: &Path) -> Vec<String> {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path().join("case");
    case.write(&folder).expect("the case's files");
    let before = prints(place.path(), case);
    let mut judged = Judged { case, folder, faults: Vec::new() };
    for run in &case.runs {
        judged.try_it(run, rehome);
    }
    let after = prints(place.path(), case);
    if before != after {
        judged.faults.push(format!("{}: files changed: {before:?} became {after:?}", case.name));
    }
    judged.faults
}

/// Runs the cases of a family, two at a time.
pub fn judge(family: &str) {
    std::fs::write(CANARY_PATH, CANARY).expect("a file for the guests to point to");
    let rehome = rehome();
    let cases = hostile::guests::family(family);
    assert!(cases.iter().all(|case| case.name.starts_with(family)), "names begin with their family");
    let (next, begun) = (AtomicUsize::new(0), Instant::now());
    let (found, slow) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let begun = Instant::now();
                    let faults = faults(case, &rehome);
                    found.lock().expect("no panic").extend(faults);
                    slow.lock().expect("no panic").push((begun.elapsed(), case.name.clone()));
                }
            });
        }
    });
    let (found, mut slow) = (found.into_inner().expect("no panic"), slow.into_inner().expect("no panic"));
    slow.sort();
    let slowest: Vec<&(Duration, String)> = slow.iter().rev().take(5).collect();
    let runs: usize = cases.iter().map(|case| case.runs.len()).sum();
    eprintln!(
        "{family}: {} cases, {runs} runs in {:?}; the slowest: {slowest:?}",
        cases.len(),
        begun.elapsed()
    );
    assert!(found.is_empty(), "{} faults in {} cases:\n{}", found.len(), cases.len(), found.join("\n"));
}
