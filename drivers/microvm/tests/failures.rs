//! What goes wrong: damaged file systems, a kernel that ends or hangs, a qemu that is killed. Needs root, qemu and a kernel.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod support;

use driver_core::{GuestCommand, GuestFs, Ownership};
use driver_microvm::{DiskAddress, Vm};
use format_core::{Error, ErrorKind};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use support::{guest, host, image, mounted, run, serve, start, text};

/// Longer than anything here may take but a start.
const SOON: Duration = Duration::from_secs(25);

fn damage(image: &Path, at: u64, length: usize) {
    File::options().write(true).open(image).unwrap().write_all_at(&vec![0xa5; length], at).unwrap();
}

fn made(folder: &Path, kind: &str, mib: u64) -> PathBuf {
    let path = image(folder, kind, mib);
    run(&format!("mkfs.{kind}"), &["-q", text(&path)]);
    path
}

/// Where debugfs says that a block of ext4 is.
fn block_of(image: &Path, path: &str) -> u64 {
    let found = run("debugfs", &["-R", &format!("blocks {path}"), text(image)]);
    found.split_whitespace().find_map(|word| word.parse::<u64>().ok()).unwrap() * 4096
}

#[test]
fn damage_is_an_error_of_its_own_kind() {
    let folder = tempfile::tempdir().unwrap();
    let xfs = made(folder.path(), "xfs", 320);
    let btrfs = made(folder.path(), "btrfs", 120);
    let ext4 = image(folder.path(), "ext4", 64);
    run("mkfs.ext4", &["-q", "-b", "4096", text(&ext4)]);
    mounted(&ext4, "rw", |root| {
        std::fs::create_dir(root.join("folder")).unwrap();
        std::fs::write(root.join("folder/file"), "x").unwrap();
    });
    // The first inodes of XFS, both copies of the trees of btrfs behind its superblock, a folder of ext4.
    damage(&xfs, 32 << 10, 256 << 10);
    damage(&btrfs, 1 << 20, 60 << 20);
    damage(&ext4, block_of(&ext4, "/folder"), 4096);
    let served = serve(folder.path(), "s", &[&xfs, &btrfs, &ext4]);
    let vm = start(&host(), &served);
    for (number, kind, mib) in [(0, "xfs", 320), (1, "btrfs", 120), (1, "xfs", 120)] {
        let device = vm.part(number, 0, mib << 20).unwrap();
        let began = Instant::now();
        let error = vm.mount(&device, kind, "").map(|_| ()).unwrap_err();
        eprintln!("{kind}: {error} in {:?}", began.elapsed());
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
    let device = vm.part(2, 0, 64 << 20).unwrap();
    let mut fs = vm.mount(&device, "ext4", "").unwrap();
    let error = fs.read_dir("/folder").unwrap_err();
    eprintln!("ext4: {error}");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains("EXT4-fs error"), "{error}");
    assert!(fs.create_file("/new", b"x", Ownership::ROOT_FILE).is_err(), "it is read-only by now");
    let error = vm.stop().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(vm.mount(&device, "zfs", "").is_err());
}

/// A VM with a guest's root mounted.
fn with_guest(folder: &Path) -> (support::Served, Vm, driver_microvm::VmFs) {
    let root = image(folder, "root", 120);
    run("mkfs.ext4", &["-q", text(&root)]);
    mounted(&root, "rw", guest);
    let other = made(folder, "xfs", 320);
    let served = serve(folder, "s", &[&root, &other]);
    let vm = start(&host().with_patience(Duration::from_secs(5)), &served);
    let fs = vm.mount(&vm.part(0, 0, 120 << 20).unwrap(), "ext4", "").unwrap();
    (served, vm, fs)
}

fn fails_at_once(vm: &Vm, fs: &driver_microvm::VmFs, why: &Error) {
    let began = Instant::now();
    assert_eq!(fs.metadata("/etc").unwrap_err().kind(), why.kind());
    assert_eq!(vm.stop().unwrap_err().kind(), why.kind());
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[test]
fn a_kernel_that_panics_is_an_error_with_its_last_words() {
    let folder = tempfile::tempdir().unwrap();
    let (_served, vm, fs) = with_guest(folder.path());
    let runner = vm.runner(vec![("/".into(), fs.clone())]);
    let arguments = vec!["-c".into(), "echo c > /proc/sysrq-trigger".into()];
    let command = GuestCommand { program: "/bin/dash".into(), arguments, limit: SOON };
    let began = Instant::now();
    let error = runner.run(&command).unwrap_err();
    eprintln!("{error} in {:?}", began.elapsed());
    assert!(began.elapsed() < SOON);
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("sysrq triggered crash"), "{error}");
    fails_at_once(&vm, &fs, &error);
}

#[test]
fn a_qemu_that_is_killed_is_an_error_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (_served, vm, fs) = with_guest(folder.path());
    let own = vm.clone();
    let killer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(500));
        run("kill", &["-9", &own.process().to_string()]);
    });
    let began = Instant::now();
    let error = loop {
        if let Err(error) = fs.read_file("/etc/hostname", 99) {
            break error;
        }
        assert!(began.elapsed() < SOON);
    };
    killer.join().unwrap();
    eprintln!("{error} in {:?}", began.elapsed());
    assert_eq!(error.kind(), ErrorKind::Temporary, "{error}");
    assert!(error.to_string().contains("signal: 9"), "{error}");
    fails_at_once(&vm, &fs, &error);
}

#[test]
fn a_mount_that_does_not_end_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let (served, vm, fs) = with_guest(folder.path());
    let device = vm.part(1, 0, 320 << 20).unwrap();
    served.stall.store(true, Ordering::Relaxed);
    let began = Instant::now();
    let error = vm.mount(&device, "xfs", "").map(|_| ()).unwrap_err();
    eprintln!("{error} in {:?}", began.elapsed());
    assert!(began.elapsed() < SOON);
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains("did not answer within 5 s"), "{error}");
    fails_at_once(&vm, &fs, &error);
    served.stall.store(false, Ordering::Relaxed);
    let process = PathBuf::from(format!("/proc/{}", vm.process()));
    assert!(!process.exists(), "qemu is gone");
}

#[test]
fn a_host_without_room_is_an_error_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (served, vm, mut fs) = with_guest(folder.path());
    served.full.store(true, Ordering::Relaxed);
    let began = Instant::now();
    let written = fs.create_file("/new", b"x", Ownership::ROOT_FILE).and_then(|()| fs.finish());
    let error = written.unwrap_err();
    eprintln!("{error} in {:?}", began.elapsed());
    assert_eq!(error.kind(), ErrorKind::Io, "the guest's file system is not to blame: {error}");
    assert!(began.elapsed() < Duration::from_secs(4), "before its patience ends");
    assert_eq!(vm.stop().unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn a_disk_that_is_not_served_is_said_when_the_vm_starts() {
    let folder = tempfile::tempdir().unwrap();
    let disk = DiskAddress { socket: folder.path().join("none"), export: "x".into(), read_only: true };
    let began = Instant::now();
    let error = Vm::start(&host(), &[disk]).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("Failed to connect") && began.elapsed() < SOON, "{error}");
}
