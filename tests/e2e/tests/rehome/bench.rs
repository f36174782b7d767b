//! The workbench: a folder of its own for each test, disks to put there, and the programs that are run on them.

use std::ffi::OsStr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

pub const MIB: u64 = 1 << 20;

/// The program under test.
fn binary() -> PathBuf {
    let path = match std::env::var_os("REHOME") {
        Some(path) => PathBuf::from(path),
        None => {
            // .../target/PROFILE/deps/rehome-HASH
            let own = std::env::current_exe().unwrap();
            own.parent().and_then(Path::parent).unwrap().join("rehome")
        }
    };
    assert!(
        path.is_file(),
        "{} is missing: build it with 'cargo build -p rehome', or name another in REHOME",
        path.display()
    );
    path
}

/// What a run said and how it ended.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    pub fn new(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("output is UTF-8");
        Self { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// Checks the exit code, and that nothing ended in a panic.
    #[track_caller]
    pub fn ends(self, code: i32) -> Self {
        assert!(!self.stderr.contains("panicked"), "{self:#?}");
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// stdout as one JSON document.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:#?}"))
    }
}

/// A folder for one test; it is gone when the test ends.
pub struct Bench {
    folder: tempfile::TempDir,
    /// Temporary files of programs lie elsewhere: what the program may write there, it may not write here.
    temporary: tempfile::TempDir,
}

impl Bench {
    pub fn new() -> Self {
        let folder = |prefix| tempfile::Builder::new().prefix(prefix).tempdir().unwrap();
        Self { folder: folder("rehome-e2e-"), temporary: folder("rehome-tmp-") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program in this folder, with a limit on its time.
    pub fn command<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, args: I) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--foreground", "-k", "5", "60"]).arg(binary()).args(args);
        command.current_dir(self.folder.path()).env("TMPDIR", self.temporary.path()).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// The program itself, for tests that send it signals.
    pub fn spawn(&self, args: &[&str]) -> std::process::Child {
        self.spawn_reading(args, Stdio::null())
    }

    /// The same before it is started.
    pub fn program(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(args).current_dir(self.folder.path()).env("TMPDIR", self.temporary.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// The same, with this on its stdin.
    pub fn spawn_reading(&self, args: &[&str], stdin: Stdio) -> std::process::Child {
        self.program(args).stdin(stdin).spawn().unwrap()
    }

    /// The program itself, with `folder` for its temporary files.
    pub fn spawn_with_temp(&self, folder: &str, args: &[&str]) -> std::process::Child {
        let mut command = Command::new(binary());
        command
            .args(args)
            .current_dir(self.folder.path())
            .env("TMPDIR", self.path(folder))
            .stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Runs the program with these arguments.
    pub fn rehome(&self, args: &[&str]) -> Run {
        Run::new(&self.command(args).output().expect("timeout is missing, install coreutils"))
    }

    /// Runs a line of bash; the program is `"$REHOME"`.
    pub fn bash(&self, line: &str) -> Run {
        let mut command = Command::new("timeout");
        command.args(["60", "bash", "-c", line]).env("REHOME", binary()).env("TMPDIR", self.temporary.path());
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        Run::new(&command.output().expect("timeout is missing, install coreutils"))
    }

    /// Runs a foreign program of `package` here, and gives its exit code and output.
    pub fn try_tool(&self, package: &str, program: &str, args: &[&str]) -> Run {
        let mut command = Command::new("timeout");
        command.args(["60", program]).args(args).current_dir(self.folder.path()).stdin(Stdio::null());
        let run = Run::new(&command.output().expect("timeout is missing, install coreutils"));
        assert_ne!(run.code, Some(127), "{program} is missing, install {package}");
        run
    }

    /// Runs a foreign program that must succeed.
    #[track_caller]
    pub fn tool(&self, package: &str, program: &str, args: &[&str]) -> String {
        self.try_tool(package, program, args).ends(0).stdout
    }

    #[track_caller]
    pub fn qemu_img(&self, args: &[&str]) -> String {
        self.tool("qemu-utils", "qemu-img", args)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    pub fn json_of(&self, name: &str) -> serde_json::Value {
        serde_json::from_slice(&self.read(name)).unwrap()
    }

    /// A sparse file of `size` bytes with these pieces of noise in it: offset and length.
    pub fn disk(&self, name: &str, size: u64, pieces: &[(u64, u64)]) {
        let file = std::fs::File::create(self.path(name)).unwrap();
        file.set_len(size).unwrap();
        for &(offset, len) in pieces {
            file.write_all_at(&noise(offset + 1, len as usize), offset).unwrap();
        }
    }

    /// Changes one byte of a file.
    pub fn flip(&self, name: &str, offset: u64) {
        let file = std::fs::OpenOptions::new().read(true).write(true).open(self.path(name)).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset).unwrap();
        file.write_all_at(&[byte[0] ^ 0x40], offset).unwrap();
    }

    /// The names of all files and folders here, sorted.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// What must not change about a source: content, times, mode.
    pub fn fingerprint(&self, name: &str) -> (String, i64, i64, u32, u64) {
        use std::os::unix::fs::MetadataExt;
        let sum = self.tool("coreutils", "sha256sum", &[name]);
        let meta = std::fs::metadata(self.path(name)).unwrap();
        (sum, meta.mtime_nsec(), meta.ctime_nsec(), meta.mode(), meta.ino())
    }
}

/// Bytes that no compressor makes smaller, the same for the same seed.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Sends a signal, as `kill` does.
pub fn signal(child: &std::process::Child, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
    assert!(status.expect("kill is missing, install procps").success());
}

/// Waits until `path` is there or `child` ended; tells whether it is there.
pub fn appears(path: &Path, child: &mut std::process::Child) -> bool {
    loop {
        if path.exists() {
            return true;
        }
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Loop devices need root, which CI has.
pub fn is_root() -> bool {
    if rustix_uid_is_root() {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "this test has to run as root");
    eprintln!("NOT RUN: loop devices need root");
    false
}

fn rustix_uid_is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// Unmounts also when the test fails.
pub(crate) struct Mounted(pub(crate) PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}
