//! Block devices as source and target: loop devices, which root can make of files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

use format_core::{
    CreateRequest, DeviceTarget, Disk, ErrorKind, FileStorage, Format, OpenOptions, Packed, Storage,
    open_image,
};
use format_raw::FORMAT;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

static FORMATS: [&Format; 1] = [&FORMAT];

const MIB: usize = 1 << 20;

/// A loop device, detached in the end.
struct Loop(PathBuf);

impl Drop for Loop {
    fn drop(&mut self) {
        sbin("losetup", &["-d", self.0.to_str().unwrap()]);
    }
}

fn sbin(program: &str, args: &[&str]) -> Output {
    let script = "PATH=$PATH:/sbin:/usr/sbin; exec timeout 30 \"$@\"";
    Command::new("sh").args(["-c", script, "sh", program]).args(args).output().expect("sh starts")
}

/// The file as a loop device. Where there can be none the tests cannot run: loud, and under CI an error.
fn attach(file: &Path, options: &[&str]) -> Option<Loop> {
    let mut args = vec!["--find", "--show"];
    args.extend(options);
    args.push(file.to_str().unwrap());
    let output = sbin("losetup", &args);
    if output.status.success() {
        return Some(Loop(String::from_utf8(output.stdout).unwrap().trim().into()));
    }
    let message =
        format!("losetup needs root and a kernel with loop: {}", String::from_utf8_lossy(&output.stderr));
    assert!(std::env::var_os("CI").is_none(), "{message}");
    eprintln!("NOT RUN: {message}");
    None
}

fn noise(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|at| ((at * 31) >> 3) as u8 ^ seed).collect()
}

/// What the kernel has, not what is cached for the device.
fn backing(file: &Path) -> Vec<u8> {
    std::fs::read(file).unwrap()
}

fn bytes_of(disk: &Disk) -> Vec<u8> {
    let mut bytes = vec![0xee; disk.virtual_size() as usize];
    disk.read_exact_at(0, &mut bytes).unwrap();
    bytes
}

#[test]
fn a_device_is_read_whole_and_tells_its_sectors() {
    let folder = tempfile::tempdir().unwrap();
    // The name of a first part means nothing for a device.
    let file = folder.path().join("disk.001");
    std::fs::write(&file, noise(3 * MIB, 1)).unwrap();
    for sector in [512, 4096] {
        let size = sector.to_string();
        let Some(device) = attach(&file, &["--read-only", "--sector-size", &size]) else { return };
        assert_eq!(FileStorage::open(&device.0).unwrap().sector_size(), Some(sector));
        let opened = open_image(&device.0, &OpenOptions::new(&FORMATS, None)).unwrap();
        assert_eq!(bytes_of(&opened.disk), noise(3 * MIB, 1));
        assert_eq!(opened.disk.layers()[0].details().get("logical-sector-size"), Some(&sector.into()));
        assert_eq!(opened.warnings.iter().any(|w| w.code == "raw-sector-size"), sector == 4096);
    }
}

#[test]
fn a_device_becomes_the_disk_and_keeps_what_lies_behind() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backing");
    let stale = noise(4 * MIB, 0x5a);
    std::fs::write(&file, &stale).unwrap();
    let Some(device) = attach(&file, &[]) else { return };
    let target = Box::new(DeviceTarget::open(&device.0).unwrap());
    let size = 3 * MIB - 512;
    let request = CreateRequest { virtual_size: size as u64, ..CreateRequest::default() };
    let sink = FORMAT.create.unwrap()(target, &request).unwrap();
    let data = noise(8192, 3);
    sink.write_at(4096, Packed::Plain(&data)).unwrap();
    sink.zero_at(MIB as u64, MIB as u64).unwrap();
    sink.write_at(2 * MIB as u64, Packed::Plain(&data)).unwrap();
    sink.finish().unwrap();
    let mut wanted = vec![0; size];
    wanted[4096..][..8192].copy_from_slice(&data);
    wanted[2 * MIB..][..8192].copy_from_slice(&data);
    drop(device);
    let found = backing(&file);
    assert!(found[..size] == wanted, "what was not written must be zero");
    assert!(found[size..] == stale[size..], "behind the disk nothing may change");
}

#[test]
fn a_device_that_is_mounted_or_too_small_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backing");
    std::fs::File::create(&file).unwrap().set_len(8 * MIB as u64).unwrap();
    let Some(device) = attach(&file, &[]) else { return };
    let request = CreateRequest { virtual_size: 8 * MIB as u64 + 1, ..CreateRequest::default() };
    let target = Box::new(DeviceTarget::open(&device.0).unwrap());
    let error = FORMAT.create.unwrap()(target, &request).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Destination, "{error}");
    assert!(error.to_string().contains("8388608"), "{error}");
    assert!(
        backing(&file).iter().all(|&byte| byte == 0),
        "nothing is written before the size is known to fit"
    );

    let name = device.0.to_str().unwrap();
    let made = sbin("mkfs.ext4", &["-q", name]);
    assert!(made.status.success(), "mkfs.ext4 (package e2fsprogs): {made:?}");
    let point = folder.path().join("mounted");
    std::fs::create_dir(&point).unwrap();
    let mounted = sbin("mount", &[name, point.to_str().unwrap()]);
    if !mounted.status.success() {
        assert!(std::env::var_os("CI").is_none(), "cannot mount: {mounted:?}");
        eprintln!("NOT RUN: cannot mount: {}", String::from_utf8_lossy(&mounted.stderr));
        return;
    }
    let opened = DeviceTarget::open(&device.0);
    assert!(sbin("umount", &[point.to_str().unwrap()]).status.success());
    assert_eq!(opened.unwrap_err().kind(), ErrorKind::Temporary);
    assert!(DeviceTarget::open(&device.0).is_ok(), "free again");
}

#[test]
fn a_file_is_no_device() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, b"abc").unwrap();
    assert_eq!(DeviceTarget::open(&file).unwrap_err().kind(), ErrorKind::Destination);
    assert_eq!(DeviceTarget::open(&folder.path().join("none")).unwrap_err().kind(), ErrorKind::Destination);
}
