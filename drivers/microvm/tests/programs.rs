//! Programs of a guest, mappings, arrays and subvolumes, in one VM. Needs root, qemu and a kernel.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod support;

use driver_core::{GuestCommand, GuestFs, GuestRunner, Mapping, MappingArgument, MappingLine, Ownership};
use driver_microvm::{Device, Vm};
use format_core::ErrorKind;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{guest, host, image, mounted, run, serve, start, text};

fn linear(name: &str, uuid: &str, lines: Vec<(u64, u64, MappingArgument)>) -> Mapping {
    let mut start = 0;
    let lines = lines.into_iter().map(|(sectors, from, device)| {
        let arguments = vec![device, MappingArgument::Text(from.to_string())];
        let line = MappingLine { start, sectors, target: "linear".into(), arguments };
        start += sectors;
        line
    });
    Mapping { name: name.into(), uuid: uuid.into(), lines: lines.collect(), read_only: false }
}

fn shell(script: &str, limit: u64) -> GuestCommand {
    GuestCommand {
        program: "/bin/dash".into(),
        arguments: vec!["-c".into(), script.into()],
        limit: Duration::from_secs(limit),
    }
}

/// A disk with a partition table: a small ext4, and the rest.
fn partitioned(folder: &Path) -> std::path::PathBuf {
    let disk = image(folder, "parts", 96);
    let script = folder.join("table");
    fs::write(&script, "label: gpt\nstart=2048, size=65536\nstart=67584, size=65536\n").unwrap();
    run("sh", &["-c", &format!("sfdisk -q {} < {}", text(&disk), text(&script))]);
    disk
}

#[test]
fn programs_of_the_guest_run_over_its_tree() {
    let folder = tempfile::tempdir().unwrap();
    let root = image(folder.path(), "root", 200);
    run("mkfs.ext4", &["-q", "-L", "the root", "-U", "11111111-2222-3333-4444-555555555555", text(&root)]);
    mounted(&root, "rw", guest);
    let boot = image(folder.path(), "boot", 320);
    run("mkfs.xfs", &["-q", text(&boot)]);
    let crypt = image(folder.path(), "crypt", 16);
    let served = serve(folder.path(), "s", &[&root, &boot, &crypt]);
    let vm = start(&host(), &served);
    let root_device = vm.part(0, 0, 200 << 20).unwrap();
    let boot_device = vm.part(1, 0, 320 << 20).unwrap();
    let root_fs = vm.mount(&root_device, "ext4", "").unwrap();
    let boot_fs = vm.mount(&boot_device, "xfs", "").unwrap();
    let tree = vec![("/".to_owned(), root_fs.clone()), ("/boot".to_owned(), boot_fs.clone())];
    let before = boot_fs.read_dir("/").unwrap().len();
    let runner = vm.runner(tree.clone());

    let outcome = runner
        .run(&shell("echo out; echo err >&2; cat /etc/hostname; echo made > /boot/by-guest; exit 7", 60));
    let outcome = outcome.unwrap();
    assert_eq!((outcome.status, outcome.timed_out), (Some(7), false), "{}", outcome.log);
    assert_eq!(outcome.log, "out\nerr\nguest\n");
    assert_eq!(boot_fs.read_dir("/").unwrap().len(), before + 1, "what was known is forgotten");
    assert_eq!(boot_fs.read_file("/by-guest", 99).unwrap(), b"made\n");

    let script = "ls /dev/disk/by-uuid /dev/disk/by-label; readlink /dev/disk/by-uuid/1111*; stat -f -c %T /tmp; \
                  cat /proc/self/mounts | cat >/dev/null && echo procs; echo > /dev/null && cat < /dev/fd/0";
    let outcome = runner.run(&shell(script, 60)).unwrap();
    let has = |part: &str| outcome.log.contains(part);
    assert!(
        has("11111111-2222-3333-4444-555555555555") && has("the\\x20root") && has("../../vda"),
        "{}",
        outcome.log
    );
    assert!(has("tmpfs") && has("procs"), "{}", outcome.log);

    let began = Instant::now();
    let outcome = runner.run(&shell("echo begun; sleep 100 & sleep 100", 2)).unwrap();
    assert_eq!((outcome.status, outcome.timed_out), (None, true));
    assert!(outcome.log.contains("begun") && began.elapsed() < Duration::from_secs(20));
    // What goes to the background does not outlive the program, and keeps nobody waiting.
    let began = Instant::now();
    let outcome = runner.run(&shell("sleep 100 & echo done", 60)).unwrap();
    assert_eq!(outcome.status, Some(0));
    assert!(began.elapsed() < Duration::from_secs(20));
    let outcome = runner.run(&shell("cat /dev/zero | cat | (i=0; while [ $i -lt 9000 ]; do echo 0123456789012345678901234567890123456789$i; i=$((i+1)); done)", 60));
    let outcome = outcome.unwrap();
    assert!(outcome.log.ends_with("8999\n") && outcome.log.len() <= 256 << 10, "{}", outcome.log.len());
    let missing =
        GuestCommand { program: "/bin/none".into(), arguments: vec![], limit: Duration::from_secs(5) };
    assert!(runner.run(&missing).is_err());
    drop(runner);

    assert_eq!(vm.relabel(tree.clone(), &["/etc/hostname".into()]).unwrap(), 1);
    secret(&vm, &*vm.runner(tree.clone()));
    check_all(&vm, &tree, &[(&root_device, "ext4"), (&boot_device, "xfs")]);
    // What was unmounted is not there any more, and what is mounted again is as it was left.
    assert_eq!(boot_fs.read_file("/by-guest", 99).unwrap_err().kind(), ErrorKind::Usage);
    let again = vm.mount(&boot_device, "xfs", "ro").unwrap();
    assert_eq!(again.read_file("/by-guest", 99).unwrap(), b"made\n");
    let mut read_only = again.clone();
    assert_eq!(read_only.remove("/by-guest").unwrap_err().kind(), ErrorKind::NeedsPerson);
    vm.stop().unwrap();
    drop(served);
    run("xfs_repair", &["-n", text(&boot)]);
    run("e2fsck", &["-fn", text(&root)]);
    let cipher = fs::read(&crypt).unwrap();
    assert!(cipher.iter().any(|byte| *byte != 0) && !cipher.windows(16).any(|window| window == [b's'; 16]));
    mounted(&root, "ro", |root| {
        let file = root.join("etc/hostname");
        let label = run("getfattr", &["--only-values", "-n", "security.selinux", text(&file)]);
        assert!(label.starts_with("system_u:object_r:hostname_etc_t:s0"), "{label}");
    });
    mounted(&boot, "nouuid", |root| assert_eq!(fs::read_to_string(root.join("by-guest")).unwrap(), "made\n"));
}

/// An encrypted device, on which the guest's own program makes a file system.
fn secret(vm: &Vm, runner: &dyn GuestRunner) {
    let disk = vm.part(2, 0, 16 << 20).unwrap();
    let arguments = vec![
        MappingArgument::Text("aes-xts-plain64".into()),
        MappingArgument::Secret("0123456789abcdef".repeat(8)),
        MappingArgument::Text("0".into()),
        MappingArgument::Member(0),
        MappingArgument::Text("4096".into()),
    ];
    let line = MappingLine { start: 0, sectors: (16 << 11) - 4096, target: "crypt".into(), arguments };
    let uuid = "CRYPT-LUKS2-0-secret".into();
    let mapping = Mapping { name: "secret".into(), uuid, lines: vec![line], read_only: false };
    let device = vm.map(&mapping, &[disk]).unwrap();
    let arguments = vec!["-q".into(), "/dev/mapper/secret".into()];
    let command = GuestCommand { program: "/sbin/mke2fs".into(), arguments, limit: Duration::from_secs(60) };
    let outcome = runner.run(&command).unwrap();
    assert_eq!(outcome.status, Some(0), "{}", outcome.log);
    let mut fs = vm.mount(&device, "ext2", "").unwrap();
    fs.create_file("/s", &[b's'; 100_000], Ownership::ROOT_FILE).unwrap();
    vm.unmount(&fs).unwrap();
    let fs = vm.mount(&device, "ext2", "ro").unwrap();
    assert_eq!(fs.read_file("/s", 1 << 20).unwrap(), [b's'; 100_000]);
}

/// The guest's checkers, over what is unmounted.
fn check_all(vm: &Vm, tree: &[(String, driver_microvm::VmFs)], devices: &[(&Device, &str)]) {
    let checkers: Vec<_> =
        devices.iter().map(|(_, kind)| vm.prepare_checker(tree, kind).unwrap().unwrap()).collect();
    for (_, fs) in tree.iter().rev() {
        vm.unmount(fs).unwrap();
    }
    for (checker, (device, kind)) in checkers.iter().zip(devices) {
        let began = Instant::now();
        let check = checker.run(device).unwrap();
        eprintln!("{} in {:?}", check.tool, began.elapsed());
        assert_eq!(check.clean, Some(true), "{kind}: {}", check.log);
    }
    let error = checkers[0].run(&Device { path: "/dev/none".into(), size: 0, read_only: true }).unwrap();
    assert_eq!(error.clean, None, "{}", error.log);
}

#[test]
fn volumes_arrays_and_subvolumes_come_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let parts = partitioned(folder.path());
    let btrfs = image(folder.path(), "btrfs", 300);
    run("mkfs.btrfs", &["-q", text(&btrfs)]);
    mounted(&btrfs, "rw", |root| {
        for path in ["@", "@/snapshots", "home"] {
            run("btrfs", &["subvolume", "create", text(&root.join(path))]);
        }
        fs::create_dir(root.join("@/snapshots/1")).unwrap();
        run("btrfs", &["subvolume", "create", text(&root.join("@/snapshots/1/snapshot"))]);
        fs::write(root.join("@/in-root"), "@").unwrap();
    });
    // More disks than one slot of the bus takes.
    let small: Vec<_> =
        (0..10).map(|number| image(folder.path(), &format!("small{number}"), number + 1)).collect();
    let mut images = vec![parts.as_path(), btrfs.as_path()];
    images.extend(small.iter().map(PathBuf::as_path));
    let served = serve(folder.path(), "s", &images);
    let vm = start(&host(), &served);
    for number in 0..10_u64 {
        let device = vm.part(2 + number as usize, 0, (number + 1) << 20).unwrap();
        assert_eq!(device.size, (number + 1) << 20);
    }
    volumes(&vm);
    subvolumes(&vm);
    vm.stop().unwrap();
    drop(served);
    run("btrfs", &["check", "--readonly", text(&btrfs)]);
    mounted(&btrfs, "subvol=@/snapshots/1/snapshot", |root| {
        assert_eq!(fs::read_to_string(root.join("new")).unwrap(), "deep");
    });
}

/// A partition, a range that is none, and a volume over both.
fn volumes(vm: &Vm) {
    let first = vm.part(0, 2048 * 512, 65536 * 512).unwrap();
    assert_eq!((first.path.as_str(), first.size), ("/dev/vda1", 65536 * 512));
    assert_eq!(vm.part(0, 0, 96 << 20).unwrap().path, "/dev/vda");
    let range = vm.part(0, 150000 * 512, 1000 * 512).unwrap();
    assert!(range.path == "/dev/vda129" && range.size == 1000 * 512, "{range:?}");
    assert_eq!(vm.part(0, 150000 * 512, 1000 * 512).unwrap(), range, "made once");
    assert_eq!(vm.part(0, 1, 512).unwrap_err().kind(), ErrorKind::Usage);
    assert_eq!(vm.part(0, 96 << 20, 512).unwrap_err().kind(), ErrorKind::Usage);
    let second = vm.part(0, 67584 * 512, 65536 * 512).unwrap();

    let uuid = format!("LVM-{}", "a".repeat(64));
    let below = linear("below", "", vec![(30000, 2048, MappingArgument::Member(1))]);
    let lines =
        vec![(20000, 2048, MappingArgument::Member(0)), (20000, 0, MappingArgument::Mapped(Arc::new(below)))];
    let volume = linear("my--vg-root", &uuid, lines);
    let device = vm.map(&volume, &[first.clone(), second.clone()]).unwrap();
    assert_eq!(device.size, 40000 * 512);
    assert_eq!(vm.map(&volume, &[first.clone(), second]).unwrap(), device);
    let other = linear("my--vg-root", &uuid, vec![(8, 0, MappingArgument::Member(0))]);
    assert_eq!(vm.map(&other, std::slice::from_ref(&first)).unwrap_err().kind(), ErrorKind::Usage);
    let mut unknown = linear("unknown", "", vec![(8, 0, MappingArgument::Member(0))]);
    unknown.lines[0].target = "none".into();
    assert!(vm.map(&unknown, &[first]).is_err());
    let bytes = vm.volume(&device);
    let mut sector = [1; 512];
    bytes.read_exact_at(19999 * 512, &mut sector).unwrap();
    assert_eq!(sector, [0; 512]);
    assert_eq!(bytes.write_all_at(0, &sector).unwrap_err().kind(), ErrorKind::Contract);
    assert_eq!(bytes.read_exact_at(40000 * 512, &mut sector).unwrap_err().kind(), ErrorKind::Usage);
}

fn subvolumes(vm: &Vm) {
    let device = vm.part(1, 0, 300 << 20).unwrap();
    let top = vm.mount(&device, "btrfs", "").unwrap();
    let mut found = top.subvolumes().unwrap();
    found.sort();
    assert_eq!(found, ["@", "@/snapshots", "@/snapshots/1/snapshot", "home"]);
    let root = top.open_subvolume("@").unwrap().unwrap();
    assert_eq!(root.read_file("/in-root", 9).unwrap(), b"@");
    assert!(top.open_subvolume("none").unwrap().is_none());
    assert!(top.open_subvolume("").unwrap().unwrap().metadata("/@/in-root").unwrap().is_some());
    let mut deep = top.open_subvolume("@/snapshots/1/snapshot").unwrap().unwrap();
    deep.create_file("/new", b"deep", Ownership::ROOT_FILE).unwrap();
    eprintln!("trimmed {} bytes", vm.trim(&top).unwrap());
}

#[test]
fn what_lies_on_fat_gets_no_label_and_that_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let (root, boot) = (image(folder.path(), "root", 120), image(folder.path(), "boot", 64));
    run("mkfs.ext4", &["-q", text(&root)]);
    run("mkfs.vfat", &[text(&boot)]);
    mounted(&root, "rw", guest);
    let served = serve(folder.path(), "s", &[&root, &boot]);
    let vm = start(&host(), &served);
    let fs = vm.mount(&vm.part(0, 0, 120 << 20).unwrap(), "ext4", "").unwrap();
    let mut boot_fs = vm.mount(&vm.part(1, 0, 64 << 20).unwrap(), "vfat", "").unwrap();
    boot_fs.create_file("/loader", b"x", Ownership::ROOT_FILE).unwrap();
    let tree = vec![("/".to_owned(), fs), ("/boot".to_owned(), boot_fs)];
    let arguments = ["-F", "/etc/selinux/test/contexts/files/file_contexts", "/boot/loader"];
    let setfiles = GuestCommand {
        program: "/usr/sbin/setfiles".into(),
        arguments: arguments.map(str::to_owned).to_vec(),
        limit: std::time::Duration::from_secs(30),
    };
    let outcome = vm.runner(tree.clone()).run(&setfiles).unwrap();
    assert!(outcome.status != Some(0), "why it is left out: {}", outcome.log);
    assert_eq!(vm.relabel(tree.clone(), &["/boot/loader".into(), "/etc/hostname".into()]).unwrap(), 1);
    assert_eq!(vm.relabel(tree, &["/boot/loader".into()]).unwrap(), 0);
    vm.stop().unwrap();
}
