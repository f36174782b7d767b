//! Images as files, served over NBD, and judged by other tools.

#![allow(dead_code, reason = "each test binary uses a part")]

use convert_nbd::{Address, Export, Exports, Limits, Listener, Server};
use driver_microvm::{Acceleration, DiskAddress, Host, Vm, Wanted};
use format_core::{Error, Extent, ExtentKind, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// A file as an export that can be written.
struct FileExport {
    file: File,
    size: u64,
    stall: Arc<AtomicBool>,
    full: Arc<AtomicBool>,
}

impl Export for FileExport {
    fn size(&self) -> u64 {
        self.size
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        Ok(Extent { offset, len: self.size - offset, kind: ExtentKind::Data })
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        // A server that does not answer, for a while.
        for _ in 0..300 {
            if self.stall.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        self.file.read_exact_at(buf, offset).map_err(|error| Error::io("read", error))
    }

    fn is_writable(&self) -> bool {
        true
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        if self.full.load(Ordering::Relaxed) {
            return Err(Error::io("write", std::io::ErrorKind::StorageFull.into()));
        }
        self.file.write_all_at(bytes, offset).map_err(|error| Error::io("write", error))
    }

    fn zero_at(&self, offset: u64, len: u64, _fast: bool) -> Result<()> {
        let zeros = vec![0; 1 << 20];
        let mut at = offset;
        while at < offset + len {
            let now = (offset + len - at).min(1 << 20);
            self.write_all_at(at, &zeros[..now as usize])?;
            at += now;
        }
        Ok(())
    }
}

/// A server of files, until it is dropped.
pub struct Served {
    pub disks: Vec<DiskAddress>,
    /// Whether reading takes 15 s.
    pub stall: Arc<AtomicBool>,
    /// Whether there is no room for what is written.
    pub full: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

pub fn serve(folder: &Path, name: &str, files: &[&Path]) -> Served {
    let mut exports = Exports::default();
    let socket = folder.join(format!("{name}.sock"));
    let mut disks = Vec::new();
    let (stall, full) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    for (number, path) in files.iter().enumerate() {
        let file = File::options().read(true).write(true).open(path).unwrap();
        let size = file.metadata().unwrap().len();
        let export = FileExport { file, size, stall: Arc::clone(&stall), full: Arc::clone(&full) };
        exports.add(&format!("d{number}"), "", Arc::new(export)).unwrap();
        disks.push(DiskAddress { socket: socket.clone(), export: format!("d{number}"), read_only: false });
    }
    let stop = Arc::new(AtomicBool::new(false));
    let stops = Arc::clone(&stop);
    let listener = Listener::bind(&Address::Unix(socket)).unwrap();
    let thread = std::thread::spawn(move || {
        let server = Server::new(exports, Limits::default(), |error| eprintln!("nbd: {error}"));
        server.run(&listener, &stops, false).unwrap();
    });
    Served { disks, stall, full, stop, thread: Some(thread) }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stall.store(false, Ordering::Relaxed);
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

pub fn host() -> Host {
    Host::find(&Wanted { acceleration: Acceleration::Emulation, ..Wanted::default() }).unwrap()
}

pub fn start(host: &Host, served: &Served) -> Vm {
    let vm = Vm::start(host, &served.disks).unwrap();
    eprintln!("{}: started in {:?}", vm.describe(), vm.started_in());
    vm
}

/// Runs a tool; what it wrote, and whether it succeeded.
pub fn try_run(program: &str, arguments: &[&str]) -> (bool, String) {
    let output = Command::new("timeout").arg("60").arg(program).args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

pub fn run(program: &str, arguments: &[&str]) -> String {
    let (done, text) = try_run(program, arguments);
    assert!(done, "{program} {arguments:?}: {text}");
    text
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// An empty image of so many MiB.
pub fn image(folder: &Path, name: &str, mib: u64) -> PathBuf {
    let path = folder.join(name);
    File::create(&path).unwrap().set_len(mib << 20).unwrap();
    path
}

/// The image mounted by this machine's kernel, while `look` looks.
pub fn mounted<T>(image: &Path, options: &str, look: impl FnOnce(&Path) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    run("mount", &["-o", &format!("loop,{options}"), text(image), text(folder.path())]);
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| look(folder.path())));
    run("umount", &[text(folder.path())]);
    found.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// A small guest made of this machine's own programs.
pub fn guest(root: &Path) {
    for folder in ["dev", "proc", "sys", "run", "tmp", "etc", "usr/bin", "usr/sbin", "boot"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    for (link, target) in
        [("bin", "usr/bin"), ("sbin", "usr/sbin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")]
    {
        std::os::unix::fs::symlink(target, root.join(link)).unwrap();
    }
    let programs = ["/bin/dash", "/bin/cat", "/bin/ls", "/bin/sleep", "/bin/readlink", "/bin/stat"];
    let tools = ["/sbin/e2fsck", "/sbin/xfs_repair", "/bin/btrfs", "/sbin/mke2fs", "/sbin/setfiles"];
    for program in programs.iter().chain(&tools) {
        copy(root, program);
        for word in run("ldd", &[program]).split_whitespace().filter(|word| word.starts_with('/')) {
            copy(root, word);
        }
    }
    let contexts = root.join("etc/selinux/test/contexts/files");
    std::fs::create_dir_all(&contexts).unwrap();
    std::fs::write(root.join("etc/selinux/config"), "SELINUX=enforcing\nSELINUXTYPE=test\n").unwrap();
    let text =
        "/.*\tsystem_u:object_r:default_t:s0\n/etc/hostname\t--\tsystem_u:object_r:hostname_etc_t:s0\n";
    std::fs::write(contexts.join("file_contexts"), text).unwrap();
    std::fs::write(root.join("etc/hostname"), "guest\n").unwrap();
}

fn copy(root: &Path, path: &str) {
    let inside = path.trim_start_matches('/');
    let inside = if inside.starts_with("usr/") { inside.to_owned() } else { format!("usr/{inside}") };
    let target = root.join(inside);
    std::fs::create_dir_all(target.parent().unwrap()).unwrap();
    std::fs::copy(path, target).unwrap();
}
