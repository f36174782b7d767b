//! Edits of file systems in one VM, judged by this machine's kernel and by the checkers of each file system. Needs root, qemu and a kernel.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod support;

use driver_core::{FileKind, GuestFs, Ownership};
use driver_microvm::{Vm, VmFs};
use format_core::ErrorKind;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::Instant;
use support::{host, image, mounted, run, serve, start, text};

/// What a guest has before it is edited.
fn populate(root: &Path) {
    fs::create_dir_all(root.join("etc/deep")).unwrap();
    fs::write(root.join("etc/fstab"), "old\n").unwrap();
    fs::set_permissions(root.join("etc/fstab"), fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::chown(root.join("etc/fstab"), Some(12), Some(34)).unwrap();
    fs::hard_link(root.join("etc/fstab"), root.join("etc/fstab.hard")).unwrap();
    symlink("fstab", root.join("etc/link")).unwrap();
    symlink("etc", root.join("way")).unwrap();
    fs::write(root.join("etc/gone"), "x").unwrap();
    run("setfattr", &["-n", "user.kept", "-v", "yes", text(&root.join("etc/fstab"))]);
    for name in ["etc", "etc/fstab"] {
        let label = format!("system_u:object_r:{}_t:s0", name.replace('/', "_"));
        run("setfattr", &["-n", "security.selinux", "-v", &label, text(&root.join(name))]);
    }
}

fn big() -> Vec<u8> {
    (0..9_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn edit(vm_fs: &mut VmFs) {
    let usage = |error: format_core::Error| assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    let meta = vm_fs.metadata("/etc/fstab").unwrap().unwrap();
    assert_eq!((meta.kind, meta.size, meta.mode, meta.uid, meta.gid), (FileKind::File, 4, 0o640, 12, 34));
    let mut names: Vec<_> = vm_fs.read_dir("/etc").unwrap().into_iter().map(|entry| entry.name).collect();
    names.sort();
    assert_eq!(names, ["deep", "fstab", "fstab.hard", "gone", "link"]);
    assert_eq!(vm_fs.metadata("/etc/fstab").unwrap(), Some(meta), "the listing says the same");
    assert_eq!(vm_fs.metadata("/etc/none").unwrap(), None);
    // Links are not followed, neither at the end nor in the middle.
    assert_eq!(vm_fs.read_link("/etc/link").unwrap(), "fstab");
    assert_eq!(vm_fs.metadata("/way/fstab").unwrap(), None);
    usage(vm_fs.read_file("/way/fstab", 99).unwrap_err());
    usage(vm_fs.read_file("/etc/link", 99).unwrap_err());
    usage(vm_fs.read_file("/etc", 99).unwrap_err());
    usage(vm_fs.read_dir("/etc/fstab").unwrap_err());
    usage(vm_fs.replace_file("/etc/none", b"").unwrap_err());
    usage(vm_fs.metadata("/../etc").unwrap_err());
    assert_eq!(vm_fs.read_file("/etc/fstab", 3).unwrap_err().kind(), ErrorKind::Limit);
    assert_eq!(vm_fs.read_file("/etc/fstab", 4).unwrap(), b"old\n");

    vm_fs.replace_file("/etc/fstab", b"a new and longer one\n").unwrap();
    assert_eq!(vm_fs.metadata("/etc/fstab").unwrap().unwrap().size, 21);
    vm_fs.append_file("/etc/fstab", b"more\n").unwrap();
    vm_fs.create_file("/etc/new", b"", Ownership { mode: 0o4711, uid: 5, gid: 6 }).unwrap();
    usage(vm_fs.create_file("/etc/new", b"", Ownership::ROOT_FILE).unwrap_err());
    vm_fs.create_folder("/etc/folder", Ownership { mode: 0o750, uid: 7, gid: 8 }).unwrap();
    vm_fs.create_link("/etc/folder/link", "../new").unwrap();
    vm_fs.rename("/etc/link", "/etc/folder/moved").unwrap();
    usage(vm_fs.rename("/etc/new", "/etc/fstab").unwrap_err());
    usage(vm_fs.remove("/etc/folder").unwrap_err());
    vm_fs.remove("/etc/gone").unwrap();
    vm_fs.remove("/etc/deep").unwrap();

    let before = Instant::now();
    vm_fs.create_file("/etc/big", &big(), Ownership::ROOT_FILE).unwrap();
    let wrote = before.elapsed();
    let before = Instant::now();
    assert!(vm_fs.read_file("/etc/big", u64::MAX).unwrap() == big());
    eprintln!("{}: 9 MB written in {wrote:?}, read in {:?}", vm_fs.kind(), before.elapsed());
    vm_fs.replace_file("/etc/big", &big()[..5_000_000]).unwrap();
    let error = vm_fs.create_file("/etc/huge", &vec![1; 410 << 20], Ownership::ROOT_FILE).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NeedsPerson, "{error}");
    assert_eq!(vm_fs.metadata("/etc/huge").unwrap(), None);
    vm_fs.finish().unwrap();
}

fn judge(root: &Path) {
    assert_eq!(fs::read_to_string(root.join("etc/fstab")).unwrap(), "a new and longer one\nmore\n");
    let meta = root.join("etc/fstab").metadata().unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.uid(), meta.gid(), meta.nlink()), (0o640, 12, 34, 2));
    assert_eq!(meta.ino(), root.join("etc/fstab.hard").metadata().unwrap().ino());
    let kept = run("getfattr", &["--only-values", "-n", "user.kept", text(&root.join("etc/fstab"))]);
    assert!(kept.starts_with("yes"), "{kept}");
    let new = root.join("etc/new").metadata().unwrap();
    assert_eq!((new.mode() & 0o7777, new.uid(), new.gid(), new.len()), (0o4711, 5, 6, 0));
    let folder = root.join("etc/folder").metadata().unwrap();
    assert_eq!((folder.mode() & 0o7777, folder.uid(), folder.gid()), (0o750, 7, 8));
    assert_eq!(fs::read_link(root.join("etc/folder/link")).unwrap(), Path::new("../new"));
    assert_eq!(fs::read_link(root.join("etc/folder/moved")).unwrap(), Path::new("fstab"));
    assert!(!root.join("etc/gone").exists() && !root.join("etc/deep").exists());
    assert!(fs::read(root.join("etc/big")).unwrap() == big()[..5_000_000]);
    for (name, label) in [("etc/fstab", "etc_fstab"), ("etc/new", "etc"), ("etc/folder/link", "etc")] {
        let attribute = ["-h", "--only-values", "-n", "security.selinux"];
        let found = run("getfattr", &[&attribute[..], &[text(&root.join(name))]].concat());
        assert!(found.contains(&format!(":{label}_t:")), "{name}: {found}");
    }
}

fn firmware(vm: &Vm) {
    let device = vm.part(3, 0, 40 << 20).unwrap();
    let mut vfat = vm.mount(&device, "vfat", "").unwrap();
    vfat.create_folder("/EFI", Ownership::ROOT_FOLDER).unwrap();
    vfat.create_file("/EFI/Ä long name.conf", b"x", Ownership::ROOT_FILE).unwrap();
    vfat.replace_file("/EFI/Ä long name.conf", b"firmware").unwrap();
    assert_eq!(vfat.read_dir("/EFI").unwrap()[0].name, "Ä long name.conf");
}

fn locked_disk(vm: &Vm) {
    let device = vm.part(4, 0, 8 << 20).unwrap();
    let mut locked = vm.mount(&device, "ext2", "").unwrap();
    assert_eq!(locked.read_dir("/").unwrap()[0].name, "lost+found");
    let error = locked.create_folder("/new", Ownership::ROOT_FOLDER).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NeedsPerson, "{error}");
    assert!(vm.trim(&locked).is_err());
}

#[test]
fn each_file_system_is_edited_as_the_kernel_does() {
    let folder = tempfile::tempdir().unwrap();
    let xfs = image(folder.path(), "xfs", 400);
    run("mkfs.xfs", &["-q", text(&xfs)]);
    let btrfs = image(folder.path(), "btrfs", 400);
    run("mkfs.btrfs", &["-q", text(&btrfs)]);
    let ext4 = image(folder.path(), "ext4", 100);
    run("mkfs.ext4", &["-q", text(&ext4)]);
    let images = [(&xfs, "xfs", "nouuid"), (&btrfs, "btrfs", "rw"), (&ext4, "ext4", "rw")];
    for (image, _, options) in &images {
        mounted(image, options, populate);
    }
    let vfat = image(folder.path(), "vfat", 40);
    run("mkfs.vfat", &[text(&vfat)]);
    let locked = image(folder.path(), "locked", 8);
    run("mkfs.ext2", &["-q", text(&locked)]);
    let before = fs::read(&locked).unwrap();
    let mut served = serve(folder.path(), "s", &[&xfs, &btrfs, &ext4, &vfat, &locked]);
    served.disks[4].read_only = true;
    let began = Instant::now();
    let vm = start(&host(), &served);
    for (number, (image, kind, _)) in images.iter().enumerate() {
        let size = image.metadata().unwrap().len();
        let before = Instant::now();
        let device = vm.part(number, 0, size).unwrap();
        let mut vm_fs = vm.mount(&device, kind, "").unwrap();
        eprintln!("{kind}: mounted in {:?}", before.elapsed());
        edit(&mut vm_fs);
    }
    firmware(&vm);
    locked_disk(&vm);
    let began_stop = Instant::now();
    vm.stop().unwrap();
    eprintln!("stopped in {:?}, all in {:?}", began_stop.elapsed(), began.elapsed());
    assert_eq!(vm.part(0, 0, 1).unwrap_err().kind(), ErrorKind::Usage);
    drop(served);
    assert!(fs::read(&locked).unwrap() == before, "a disk for reading was written");
    run("fsck.vfat", &["-n", text(&vfat)]);
    assert_eq!(run("mtype", &["-i", text(&vfat), "::EFI/Ä long name.conf"]), "firmware");
    run("xfs_repair", &["-n", text(&xfs)]);
    run("btrfs", &["check", "--readonly", text(&btrfs)]);
    run("e2fsck", &["-fn", text(&ext4)]);
    for (image, _, options) in &images {
        mounted(image, options, judge);
    }
}
