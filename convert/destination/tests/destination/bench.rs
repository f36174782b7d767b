//! The workbench: namespaces, volumes, and the isolator on them.

use convert_destination::{Entered, Host, Isolation, Isolator, Left};
use format_core::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Says which test runs inside of its namespaces, and in which folder.
const INSIDE: &str = "REHOME_TEST_INSIDE";
const FOLDER: &str = "REHOME_TEST_FOLDER";
const ROLE: &str = "REHOME_TEST_ROLE";

/// Runs `body` in namespaces of its own. `name` is that of the test, with its module.
pub fn inside(name: &str, body: impl FnOnce(&Bench)) {
    if std::env::var(INSIDE).as_deref() == Ok(name) {
        body(&Bench { folder: std::env::var_os(FOLDER).unwrap().into() });
        return;
    }
    if !is_root() {
        return;
    }
    let folder = tempfile::Builder::new().prefix("rehome-destination-").tempdir().unwrap();
    let folder = Outside(folder);
    let mut command = Command::new("timeout");
    command.args(["-k", "5", "180", "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"]);
    command.args(["--mount-proc", "--propagation", "private"]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--test-threads", "1"]);
    command.env(INSIDE, name).env(FOLDER, folder.0.path().canonicalize().unwrap()).stdin(Stdio::null());
    let output = command.output().expect("timeout and unshare are missing, install coreutils and util-linux");
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    // A name that is misspelt runs nothing.
    assert!(output.status.success() && stdout.contains("1 passed"), "{name}: {stdout}\n{stderr}");
}

/// Namespaces and loop devices need root, which CI has.
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    if std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "this test has to run as root");
    eprintln!("NOT RUN: namespaces and loop devices need root");
    false
}

/// The folder outside of the namespaces. What loop devices are left when the mounts are gone is detached.
struct Outside(tempfile::TempDir);

impl Drop for Outside {
    fn drop(&mut self) {
        let listed = Command::new("losetup").args(["-n", "-O", "NAME,BACK-FILE"]).output();
        let listed = listed.map(|output| text(&output.stdout)).unwrap_or_default();
        let folder = self.0.path().canonicalize().unwrap_or_default();
        for (name, file) in listed.lines().filter_map(|line| line.split_once(char::is_whitespace)) {
            if Path::new(file.trim()).starts_with(&folder) {
                let _ = Command::new("losetup").args(["-d", name]).status();
            }
        }
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A foreign program that must succeed; its output without the end of the last line.
#[track_caller]
pub fn tool(line: &[&str]) -> String {
    let output = try_tool(line);
    assert!(output.status.success(), "{line:?}: {} {}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout).trim_end_matches('\n').to_owned()
}

pub fn try_tool(line: &[&str]) -> Output {
    let mut command = Command::new("timeout");
    let output = command.arg("60").args(line).stdin(Stdio::null()).output().unwrap();
    assert_ne!(output.status.code(), Some(127), "{} is missing: run tests/packages.sh test", line[0]);
    output
}

pub struct Bench {
    pub folder: PathBuf,
}

impl Bench {
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn dir(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    /// A new file with a file system, as a loop device that stays when it is unmounted. XFS takes no less than 300 MiB.
    pub fn volume(&self, name: &str, fs: &str) -> String {
        let image = self.path(name);
        std::fs::File::create_new(&image).unwrap().set_len(320 << 20).unwrap();
        tool(&[&format!("mkfs.{fs}"), "-q", image.to_str().unwrap()]);
        self.attach(name)
    }

    pub fn attach(&self, name: &str) -> String {
        tool(&["losetup", "--find", "--show", self.path(name).to_str().unwrap()])
    }

    /// Mounts `device` at a new folder.
    pub fn mount(&self, device: &str, name: &str, options: &str) -> PathBuf {
        let point = self.dir(name);
        tool(&["mount", "-o", options, device, point.to_str().unwrap()]);
        point
    }

    /// A mounted volume with the folder `vms` on it, in which there is a file.
    pub fn destination(&self, name: &str, fs: &str, options: &str) -> (PathBuf, PathBuf) {
        let device = self.volume(&format!("{name}.img"), fs);
        let point = self.mount(&device, name, options);
        std::fs::create_dir(point.join("vms")).unwrap();
        std::fs::write(point.join("vms/web.raw"), "content").unwrap();
        (point.clone(), point.join("vms"))
    }

    pub fn leave(&self, folder: &Path, isolation: &Isolation) -> Result<Left> {
        self.leave_keeping(folder, isolation, &[])
    }

    pub fn leave_keeping(&self, folder: &Path, isolation: &Isolation, keep: &[PathBuf]) -> Result<Left> {
        with(&Host::system(), &self.path("state"), keep, |isolator| isolator.leave(folder, isolation))
    }

    pub fn enter(&self, folder: &Path) -> Result<Entered> {
        with(&Host::system(), &self.path("state"), &[], |isolator| isolator.enter(folder))
    }

    /// What is remembered of isolated destinations.
    pub fn records(&self) -> usize {
        let entries = std::fs::read_dir(self.path("state")).into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("isolated-")).count()
    }

    /// This test again, in the same namespaces, in another role.
    pub fn in_role(&self, role: &str) -> Child {
        let name = std::env::var(INSIDE).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", &name, "--test-threads", "1"]).env(ROLE, role);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }
}

/// The role in which this process was started by [`Bench::in_role`].
pub fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// An isolator that is patient for a second.
pub fn with<T>(host: &Host, state: &Path, keep: &[PathBuf], act: impl FnOnce(&Isolator<'_>) -> T) -> T {
    let interrupted = AtomicBool::new(false);
    let (patience, reach) = (Duration::from_secs(1), Duration::from_secs(10));
    act(&Isolator { host, state, keep, patience, reach, interrupted: &interrupted })
}

/// Everything that the oracle knows about the mount at `point`.
pub fn findmnt(point: &Path) -> String {
    let columns = "TARGET,FSTYPE,OPTIONS,VFS-OPTIONS,FS-OPTIONS,UUID,FSROOT";
    tool(&["findmnt", "-n", "-P", "-o", columns, "--mountpoint", point.to_str().unwrap()])
}

pub fn is_mounted(point: &Path) -> bool {
    try_tool(&["findmnt", "-n", "--mountpoint", point.to_str().unwrap()]).status.success()
}

/// That it ends with this exit code and says these.
#[track_caller]
pub fn fails<T: std::fmt::Debug>(result: Result<T>, code: u8, says: &[&str]) -> Error {
    let error = result.expect_err("it should have failed");
    let whole = format!("{error} / {}", error.hint_text().unwrap_or_default());
    assert_eq!(error.kind().exit_code(), code, "{whole}");
    says.iter().for_each(|part| assert!(whole.contains(part), "{part:?} is not in: {whole}"));
    error
}

/// A program that runs until this is dropped.
pub struct Holding(Child);

impl Holding {
    pub fn start(line: &[&str], folder: &Path) -> Self {
        let mut command = Command::new(line[0]);
        let child = command.args(&line[1..]).current_dir(folder).stdin(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(300));
        Self(child)
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
