//! Conversions between all formats, judged by qemu-img.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

use conformance::{Content, qemu_name, writer_options};
use convert_engine::{Control, Silent, compare_disks, digest_of_bytes};
use format_core::Format;
use interop::judge::{for_qemu, sources, targets};
use interop::{convert_image, format_named, open, qemu_img, run, sha256};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

const MIB: usize = 1 << 20;

/// The images that qemu-img makes of a disk, by format: options of `qemu-img convert`.
const MADE_BY_QEMU: &[(&str, &[&[&str]])] = &[
    ("raw", &[&[]]),
    (
        "qcow2",
        &[
            &[],
            &["-o", "compat=0.10"],
            &["-o", "cluster_size=512"],
            &["-o", "cluster_size=2M"],
            &["-o", "extended_l2=on,cluster_size=64k"],
            &["-o", "refcount_bits=1"],
            &["-o", "preallocation=metadata"],
            &["-c"],
            &["-c", "-o", "compression_type=zstd"],
            &["-c", "-o", "cluster_size=4k"],
        ],
    ),
    (
        "vmdk",
        &[
            &[],
            &["-o", "subformat=streamOptimized"],
            &["-o", "zeroed_grain=on"],
            &["-o", "adapter_type=lsilogic,hwversion=7"],
            &["-o", "compat6=on"],
        ],
    ),
    ("vhdx", &[&[], &["-o", "subformat=fixed"], &["-o", "block_size=1M"], &["-o", "block_state_zero=off"]]),
    // Without force_size the disk would be rounded up to cylinders.
    ("vhd", &[&["-o", "force_size=on"], &["-o", "subformat=fixed,force_size=on"]]),
    ("vdi", &[&[], &["-o", "static=on"]]),
    ("parallels", &[&[], &["-o", "cluster_size=4k"]]),
    ("qed", &[&[], &["-o", "cluster_size=4k,table_size=2"]]),
    ("qcow1", &[&[]]),
];

fn made_by_qemu(format: &Format) -> &'static [&'static [&'static str]] {
    let made = MADE_BY_QEMU.iter().find(|(name, _)| *name == format.name);
    made.unwrap_or_else(|| panic!("{} is missing in the table", format.name)).1
}

/// A disk with a GPT and an ext4 file system, 16 MiB and three sectors.
fn gpt_disk(folder: &Path) -> PathBuf {
    let path = folder.join("disk.raw");
    let name = path.to_str().unwrap();
    std::fs::write(&path, Content::mixed(16 * MIB + 3 * 512, 300_000, 51).bytes).unwrap();
    let table = folder.join("table");
    std::fs::write(&table, "label: gpt\nstart=2048,size=2048,type=U\nstart=8192,size=16384,name=\"root\"\n")
        .unwrap();
    run(
        "fdisk",
        30,
        "sh",
        &["-c", "PATH=$PATH:/sbin:/usr/sbin; sfdisk -q \"$1\" <\"$2\"", "sh", name, table.to_str().unwrap()],
    );
    let offset = format!("offset={}", 8192 * 512);
    run(
        "e2fsprogs",
        30,
        "sh",
        &["-c", "PATH=$PATH:/sbin:/usr/sbin; mkfs.ext4 -q -F -E \"$1\" \"$2\" 8M", "sh", &offset, name],
    );
    path
}

fn check_and_compare(raw: &Path, image: &Path, format: &Format) {
    let (image, name) = for_qemu(image, format);
    let (raw, image) = (raw.to_str().unwrap(), image.to_str().unwrap());
    // qemu-img has no check for raw and vpc.
    if !["raw", "vpc"].contains(&name) {
        let said = qemu_img(&["check", "-f", name, image]);
        assert!(said.contains("No errors were found"), "{image}: {said}");
    }
    // Not strict, which would also compare where the holes are; so the sizes are compared here.
    let said = qemu_img(&["compare", "-f", "raw", "-F", name, raw, image]);
    assert!(said.contains("Images are identical"), "{image}: {said}");
    let said = qemu_img(&["info", "--output=json", "-f", name, image]);
    let size = std::fs::metadata(raw).unwrap().len();
    assert!(said.contains(&format!("\"virtual-size\": {size},")), "{image}: {said}");
}

#[test]
fn every_option_of_our_writers_passes_check_and_compare() {
    let folder = tempfile::tempdir().unwrap();
    let raw = gpt_disk(folder.path());
    let content = std::fs::read(&raw).unwrap();
    let source = open(&raw, "raw").unwrap();
    for format in targets() {
        for options in writer_options(format) {
            // A disk of 4 KiB sectors ends with a whole one, one for Azure with a whole MiB.
            if options.contains(&("logical_sector_size", "4096")) || options.contains(&("azure", "on")) {
                continue;
            }
            let target = folder.path().join(format!("ours.{}", format.name));
            let outcome = convert_image(&source, &target, format, options)
                .unwrap_or_else(|e| panic!("{} {options:?}: {e}", format.name));
            assert_eq!(outcome.manifest.unwrap().digest, digest_of_bytes(&content).to_hex().as_str());
            check_and_compare(&raw, &target, format);
        }
    }
}

#[test]
fn a_vhdx_with_large_sectors_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("disk.raw");
    std::fs::write(&raw, Content::mixed(9 * MIB + 4096, 100_000, 52).bytes).unwrap();
    let target = folder.path().join("disk.vhdx");
    let vhdx = format_named("vhdx").unwrap();
    let source = open(&raw, "raw").unwrap();
    convert_image(&source, &target, vhdx, &[("logical_sector_size", "4096")]).unwrap();
    assert_eq!(sha256(&open(&target, "vhdx").unwrap().disk).unwrap(), sha256(&source.disk).unwrap());
    // QEMU knows no such VHDX and says so; with a version that does, this test wants a comparison.
    let output = std::process::Command::new("timeout")
        .args(["60", "qemu-img", "info", "-f", "vhdx"])
        .arg(&target)
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("Operation not supported"), "{output:?}");
}

#[test]
fn what_qemu_img_makes_reads_as_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let raw = gpt_disk(folder.path());
    let wanted = sha256(&open(&raw, "raw").unwrap().disk).unwrap();
    let image = folder.path().join("theirs");
    for format in sources() {
        for options in made_by_qemu(format) {
            let mut args = vec!["convert", "-f", "raw", "-O", qemu_name(format)];
            args.extend(*options);
            args.extend([raw.to_str().unwrap(), image.to_str().unwrap()]);
            qemu_img(&args);
            let opened =
                open(&image, format.name).unwrap_or_else(|e| panic!("{} {options:?}: {e}", format.name));
            assert_eq!(sha256(&opened.disk).unwrap(), wanted, "{} {options:?}", format.name);
        }
    }
}

#[test]
fn every_format_becomes_every_other() {
    let folder = tempfile::tempdir().unwrap();
    let raw = gpt_disk(folder.path());
    let interrupted = AtomicBool::new(false);
    let reference = open(&raw, "raw").unwrap();
    for from in sources() {
        let source = folder.path().join(format!("from.{}", from.name));
        let mut args = vec!["convert", "-f", "raw", "-O", qemu_name(from)];
        args.extend(made_by_qemu(from)[0]);
        args.extend([raw.to_str().unwrap(), source.to_str().unwrap()]);
        qemu_img(&args);
        for to in targets() {
            let target = folder.path().join(format!("to.{}", to.name));
            let source = open(&source, from.name).unwrap();
            convert_image(&source, &target, to, &[])
                .unwrap_or_else(|e| panic!("{} to {}: {e}", from.name, to.name));
            check_and_compare(&raw, &target, to);
            let control = Control { observer: &Silent, interrupted: &interrupted, threads: 2 };
            let written = open(&target, to.name).unwrap();
            let compared = compare_disks(&reference.disk, &written.disk, true, control).unwrap();
            assert!(compared.same, "{} to {}: {compared:?}", from.name, to.name);
        }
    }
}

#[test]
fn a_tail_that_is_no_sector_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("disk.raw");
    std::fs::write(&raw, Content::dense(3 * MIB + 777).bytes).unwrap();
    let source = open(&raw, "raw").unwrap();
    for to in targets() {
        let target = folder.path().join(format!("to.{}", to.name));
        convert_image(&source, &target, to, &[]).unwrap();
        let (image, name) = for_qemu(&target, to);
        let (raw, image) = (raw.to_str().unwrap(), image.to_str().unwrap());
        let said = qemu_img(&["compare", "-f", "raw", "-F", name, raw, image]);
        assert!(said.contains("Images are identical"), "{}: {said}", to.name);
    }
}

#[test]
fn a_backing_chain_reads_as_qemu_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let raw = gpt_disk(folder.path());
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    qemu_img(&["convert", "-f", "raw", "-O", "qcow2", raw.to_str().unwrap(), &path("base.qcow2")]);
    qemu_img(&["create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", &path("middle.qcow2")]);
    // The top is larger than what lies below it.
    qemu_img(&[
        "create",
        "-q",
        "-f",
        "qcow2",
        "-b",
        "middle.qcow2",
        "-F",
        "qcow2",
        &path("top.qcow2"),
        "20M",
    ]);
    run("qemu-utils", 60, "qemu-io", &["-c", "write -P 3 70000 90000", &path("middle.qcow2")]);
    run(
        "qemu-utils",
        60,
        "qemu-io",
        &["-c", "write -z 0 64k", "-c", "write -P 4 19M 4k", &path("top.qcow2")],
    );
    qemu_img(&["convert", "-O", "raw", &path("top.qcow2"), &path("flat.raw")]);
    let opened = open(Path::new(&path("top.qcow2")), "qcow2").unwrap();
    assert_eq!(opened.chain.len(), 3);
    let flat = open(Path::new(&path("flat.raw")), "raw").unwrap();
    assert_eq!(sha256(&opened.disk).unwrap(), sha256(&flat.disk).unwrap());
}
