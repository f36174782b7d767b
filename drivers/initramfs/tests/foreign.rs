//! Judged by other people's programs: cpio, the compressors, lsinitramfs, unmkinitramfs, depmod and modprobe.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod synthetic;

use std::path::Path;

use driver_initramfs::{Compression, Limits, Listing, Maker, Outcome, Plan, Request, plan};
use synthetic::*;

const WANTED: [&str; 3] = ["hv_vmbus", "hv-storvsc", "sd_mod"];

fn request() -> Request<'static> {
    Request { version: VERSION, wanted: &WANTED, load_early: &["hv_storvsc"], files: &[] }
}

fn list(image: &[u8]) -> Listing {
    Listing::from_image(image, &Limits::default()).unwrap()
}

fn planned(image: &[u8], guest: &Path) -> Outcome {
    plan(image, &list(image), &Folder(guest), &request()).unwrap()
}

/// Unpacks archives one after the other with the real cpio, as the kernel would.
fn unpack(target: &Path, archives: &[&[u8]]) {
    for archive in archives {
        tool("cpio", target, &["cpio", "--quiet", "-idmu", "--no-absolute-filenames"], archive);
    }
}

fn show_depends(root: &Path, module: &str) -> String {
    let root = root.to_str().unwrap();
    let argv = ["modprobe", "-C", "/dev/null", "-d", root, "-S", VERSION, "--show-depends", module];
    text(tool("kmod", Path::new("/"), &argv, b""))
}

fn loads_hyperv(root: &Path, suffix: &str) {
    let shown = show_depends(root, "hv_storvsc");
    let order: Vec<_> = shown.lines().map(|line| line.trim().rsplit('/').next().unwrap()).collect();
    assert_eq!(order.last().unwrap(), &format!("hv_storvsc.ko{suffix}"), "{shown}");
    assert_eq!(order.len(), 4, "{shown}");
    for line in shown.lines() {
        let path = line.trim().strip_prefix("insmod ").unwrap();
        assert!(Path::new(path).is_file(), "{path} is not in the image");
    }
    // By the alias of the device, the way udev asks.
    assert_eq!(shown, show_depends(root, "vmbus:d96361baa104294db60572e2ffb1dc7f"));
    assert!(show_depends(root, "sd_mod").contains("crct10dif-pclmul"));
    // What was in the image can still be found.
    assert!(show_depends(root, "virtio_blk").contains("virtio_blk.ko"));
}

#[test]
fn every_compression_is_read_and_extended() {
    let (guest_dir, tree) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    guest(guest_dir.path(), &[], "");
    image_tree(tree.path(), "");
    let archive = cpio(tree.path());
    let names = text(tool("cpio", Path::new("/"), &["cpio", "--quiet", "-it"], &archive));
    for compressor in COMPRESSORS {
        let image = compress(compressor, &archive);
        let listing = list(&image);
        let mut listed: Vec<_> = listing.entries().map(|(path, _)| path).collect();
        let mut expected: Vec<_> = names.lines().filter(|n| *n != ".").collect();
        listed.sort_unstable();
        expected.sort_unstable();
        assert_eq!(listed, expected, "{compressor:?}");
        assert_eq!(listing.segments().len(), 1);
        // The zeros behind a plain archive are no part of it.
        let unpacked = listing.segments()[0].unpacked;
        assert!(
            unpacked == archive.len() as u64 || compressor.1 == ["cat"] && unpacked < archive.len() as u64
        );
        assert_eq!(listing.builder().maker, Maker::InitramfsTools);
        assert!(listing.lib_is_link());

        let outcome = planned(&image, guest_dir.path());
        let target = tempfile::tempdir().unwrap();
        match outcome.plan.clone() {
            Plan::Append(bytes) => {
                assert_ne!(listing.segments()[0].compression, Compression::Lz4);
                let zeros = bytes.iter().take_while(|b| **b == 0).count();
                assert!((image.len() + zeros).is_multiple_of(512) && zeros >= 4);
                unpack(target.path(), &[&archive, &bytes[zeros..]]);
            }
            Plan::Replace(bytes) => {
                assert_eq!(listing.segments()[0].compression, Compression::Lz4);
                let plain = tool("lz4", Path::new("/"), &["lz4", "-dc"], &bytes);
                // Without -u: the new files must win by their time alone, as in unmkinitramfs.
                tool("cpio", target.path(), &["cpio", "--quiet", "-idm"], &plain);
            }
            Plan::Nothing => panic!("nothing planned"),
        }
        assert!(target.path().join("lib").is_symlink());
        assert!(target.path().join("init").is_file());
        loads_hyperv(target.path(), "");
        let early = std::fs::read_to_string(target.path().join("conf/modules")).unwrap();
        assert_eq!(early, "# from the guest\nvirtio_blk\nhv_storvsc\n");

        let changed = outcome.plan.into_image(image);
        let again = planned(&changed, guest_dir.path());
        assert_eq!((again.plan, again.modules.len(), again.files.len()), (Plan::Nothing, 0, 0));
        assert!(again.present.contains(&"hv_storvsc".to_owned()));
    }
}

#[test]
fn lsinitramfs_and_unmkinitramfs_see_the_added_modules() {
    let (guest_dir, tree) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    guest(guest_dir.path(), &[], "");
    image_tree(tree.path(), "");
    let archive = cpio(tree.path());
    let scratch = tempfile::tempdir().unwrap();
    for (compressor, below) in [(COMPRESSORS[4], ""), (COMPRESSORS[3], "main")] {
        let mut image = compress(compressor, &archive);
        if !below.is_empty() {
            // An early microcode archive in front of an image that ends in lz4.
            let early = tempfile::tempdir().unwrap();
            std::fs::create_dir_all(early.path().join("kernel/x86/microcode")).unwrap();
            std::fs::write(early.path().join("kernel/x86/microcode/AuthenticAMD.bin"), [1; 100]).unwrap();
            image = [cpio(early.path()), compress(COMPRESSORS[4], &archive)].concat();
            assert_eq!(list(&image).segments().len(), 2);
        }
        let changed = planned(&image, guest_dir.path()).plan.into_image(image);
        let file = scratch.path().join("initrd.img");
        std::fs::write(&file, &changed).unwrap();
        let file = file.to_str().unwrap();
        let names = text(tool("initramfs-tools-core", scratch.path(), &["lsinitramfs", file], b""));
        for module in ["hv_vmbus", "hv_storvsc", "sd_mod", "scsi_transport_fc", "virtio_blk"] {
            assert!(names.lines().any(|name| name.ends_with(&format!("/{module}.ko"))), "{module}: {names}");
        }
        let target = tempfile::tempdir().unwrap();
        let root = target.path().join("root");
        tool("initramfs-tools-core", scratch.path(), &["unmkinitramfs", file, root.to_str().unwrap()], b"");
        loads_hyperv(&root.join(below), "");
    }
}

#[test]
fn module_compression_follows_the_image() {
    // Debian builds kmod without gzip, so its depmod does not see .ko.gz files.
    for suffix in [".xz", ".zst"] {
        // The image holds the same form: copied as they are. The image holds plain modules: unpacked, and the index adapted.
        for (in_image, expected) in [(suffix, suffix), ("", "")] {
            let (guest_dir, tree) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            guest(guest_dir.path(), &[], suffix);
            image_tree(tree.path(), in_image);
            let archive = cpio(tree.path());
            let outcome = planned(&archive, guest_dir.path());
            assert!(outcome.modules.iter().all(|m| m.path.ends_with(&format!(".ko{expected}"))));
            let Plan::Append(bytes) = outcome.plan.clone() else { panic!() };
            let target = tempfile::tempdir().unwrap();
            let zeros = bytes.iter().take_while(|b| **b == 0).count();
            unpack(target.path(), &[&archive, &bytes[zeros..]]);
            loads_hyperv(target.path(), expected);
            assert_eq!(planned(&outcome.plan.into_image(archive), guest_dir.path()).plan, Plan::Nothing);
        }
    }
}

#[test]
fn segments_of_a_mixed_image_are_found() {
    let tree = tempfile::tempdir().unwrap();
    std::fs::write(tree.path().join("a"), [7; 1001]).unwrap();
    let archive = cpio(tree.path());
    let mut image = Vec::new();
    let mut expected = Vec::new();
    for (compressor, zeros) in COMPRESSORS.into_iter().zip([0, 3, 0, 700, 8, 1, 4]) {
        let packed = compress(compressor, &archive);
        expected.push(image.len() as u64);
        image.extend_from_slice(&packed);
        image.resize(image.len() + zeros, 0);
    }
    // The lz4 segment is followed by zeros here, which end it.
    let listing = list(&image);
    let offsets: Vec<_> = listing.segments().iter().map(|s| s.offset).collect();
    assert_eq!(offsets, expected);
}

#[test]
fn cpio_reads_what_the_writer_writes() {
    let mut writer = driver_initramfs::cpio::Writer::new(1_700_000_000);
    writer.directory("d").unwrap();
    writer.file("d/file", b"content\n").unwrap();
    writer.symlink("link", "d/file").unwrap();
    let archive = writer.finish().unwrap();
    let target = tempfile::tempdir().unwrap();
    unpack(target.path(), &[&archive]);
    assert_eq!(std::fs::read(target.path().join("link")).unwrap(), b"content\n");
    let names = text(tool("cpio", Path::new("/"), &["cpio", "--quiet", "-itv"], &archive));
    assert!(names.contains("-rw-r--r--   1 root     root            8 Nov 14  2023 d/file"), "{names}");
    assert!(names.contains("drwxr-xr-x   2 root     root"), "{names}");
}
