//! delta and flatten: differing images and back.

use crate::bench::{Bench, MIB, noise};

const SIZE: u64 = 9 * MIB;

/// A base and a disk that differs from it: new data, data that became zeros, zeros that became data.
fn disks() -> Bench {
    let bench = Bench::new();
    bench.disk("base.raw", SIZE, &[(0, 300_000), (4 * MIB, 2 * MIB)]);
    let mut bytes = bench.read("base.raw");
    bytes[10_000..10_100].copy_from_slice(&noise(7, 100));
    bytes[5 * MIB as usize..][..600_000].fill(0);
    bytes[8 * MIB as usize..].copy_from_slice(&noise(9, MIB as usize));
    bench.write("top.raw", bytes);
    bench
}

#[test]
fn a_difference_reads_like_the_top_in_every_format_that_has_parents() {
    let bench = disks();
    for format in ["qcow2", "vmdk", "vhdx", "vhd"] {
        let (base, child, flat) =
            (format!("base.{format}"), format!("child.{format}"), format!("{format}.raw"));
        let sparse: &[&str] = if format == "vmdk" { &["-o", "subformat=monolithicSparse"] } else { &[] };
        bench.rehome(&[&["convert", "base.raw", &base][..], sparse].concat()).ends(0);
        let before = bench.fingerprint(&base);
        let delta =
            bench.rehome(&["delta", "--output", "json", "--verify", &base, "top.raw", &child]).ends(0).json();
        let differing = delta["differing_bytes"].as_u64().unwrap();
        assert!((MIB..4 * MIB).contains(&differing), "{format}: {differing}");
        bench.rehome(&["compare", &child, "top.raw"]).ends(0);
        bench.rehome(&["verify", &child]).ends(0);
        bench.rehome(&["check", &child]).ends(0);
        let info = bench.rehome(&["info", "--output", "json", &child]).ends(0).json();
        assert_eq!(info["backing-filename"].as_str().map(|name| name.trim_start_matches("./")), Some(&*base));
        bench.rehome(&["flatten", &child, &flat]).ends(0);
        assert_eq!(bench.read(&flat), bench.read("top.raw"), "{format}");
        assert_eq!(bench.fingerprint(&base), before, "{base} was only read");
        // The base is there, or there is no disk.
        std::fs::rename(bench.path(&base), bench.path("away")).unwrap();
        bench.rehome(&["digest", &child]).ends(66);
        let alone = bench.rehome(&["convert", "--ignore-parent", &child, "alone.raw", "--force"]).ends(0);
        assert!(alone.stderr.contains("[parent-ignored]"), "{}", alone.stderr);
        let (alone, top) = (bench.read("alone.raw"), bench.read("top.raw"));
        assert!(
            alone[8 * MIB as usize..] == top[8 * MIB as usize..],
            "{format}: what the child holds is there"
        );
        assert!(alone[MIB as usize..4 * MIB as usize].iter().all(|byte| *byte == 0), "{format}");
        std::fs::rename(bench.path("away"), bench.path(&base)).unwrap();
    }
    // QEMU takes no part in VHD and VHDX children: it ignores or refuses their parents.
    for child in ["child.qcow2", "child.vmdk"] {
        bench.qemu_img(&["compare", child, "top.raw"]);
    }
}

#[test]
fn a_base_is_never_read_without_its_parents() {
    let bench = disks();
    bench.rehome(&["convert", "base.raw", "below.qcow2"]).ends(0);
    bench.rehome(&["delta", "below.qcow2", "top.raw", "base.qcow2"]).ends(0);
    bench.disk("other.raw", SIZE, &[(2 * MIB, 1000)]);
    bench.rehome(&["delta", "--ignore-parent", "--verify", "base.qcow2", "other.raw", "child.qcow2"]).ends(0);
    bench.rehome(&["compare", "child.qcow2", "other.raw"]).ends(0);
    bench.qemu_img(&["compare", "child.qcow2", "other.raw"]);
    bench.rehome(&["migrate", "--ignore-parent", "base.qcow2", "--to", "hyperv", "--out", "vm"]).ends(2);
    assert!(!bench.path("vm").exists());
}

#[test]
fn a_changed_base_is_noticed() {
    let bench = disks();
    for format in ["vhdx", "vhd", "vmdk"] {
        let (base, child) = (format!("base.{format}"), format!("child.{format}"));
        let sparse: &[&str] = if format == "vmdk" { &["-o", "subformat=monolithicSparse"] } else { &[] };
        let convert = [&["convert", "--force", "base.raw", &base][..], sparse].concat();
        bench.rehome(&convert).ends(0);
        bench.rehome(&["delta", &base, "top.raw", &child]).ends(0);
        bench.rehome(&convert).ends(0);
        let error = bench.rehome(&["digest", &child]).ends(65).stderr;
        assert!(error.contains("the child wants the parent"), "{error}");
    }
}

#[test]
fn what_cannot_have_that_base_is_refused() {
    let bench = disks();
    for (target, code) in [("x.vhdx", 69), ("x.vhd", 69), ("x.vmdk", 69), ("x.vdi", 69), ("x.raw", 69)] {
        bench.rehome(&["delta", "base.raw", "top.raw", target]).ends(code);
    }
    bench.rehome(&["delta", "base.raw", "top.raw", "base.raw", "-O", "qcow2", "--force"]).ends(2);
    bench.rehome(&["delta", "base.raw", "top.raw", "top.raw", "-O", "qcow2", "--force"]).ends(2);
    assert_eq!(bench.names(), ["base.raw", "top.raw"]);
}

#[test]
fn a_base_that_qemu_reads_otherwise_is_refused() {
    let bench = disks();
    bench.bash("split -b 3M --numeric-suffixes=1 -a 3 base.raw part.").ends(0);
    for format in ["vhd", "vhdx"] {
        let (base, child) = (format!("base.{format}"), format!("child.{format}"));
        bench.rehome(&["convert", "base.raw", &base]).ends(0);
        bench.rehome(&["delta", &base, "top.raw", &child]).ends(0);
    }
    for base in ["part.001", "child.vhd", "child.vhdx"] {
        let refused = bench.rehome(&["delta", base, "top.raw", "new.qcow2"]).ends(69);
        assert!(refused.stderr.contains("flatten the base"), "{refused:?}");
        bench.rehome(&["create", "-b", base, "new.qcow2"]).ends(69);
    }
    assert!(!bench.names().iter().any(|name| name.starts_with("new")));
    // Hyper-V knows its own differences.
    bench.rehome(&["delta", "child.vhdx", "base.raw", "grandchild.vhdx", "--verify"]).ends(0);
}

#[test]
fn a_base_in_another_folder_is_found_by_its_relative_name() {
    let bench = disks();
    std::fs::create_dir(bench.path("children")).unwrap();
    bench.rehome(&["convert", "base.raw", "base.qcow2"]).ends(0);
    bench.rehome(&["delta", "--verify", "base.qcow2", "top.raw", "children/child.qcow2"]).ends(0);
    bench.qemu_img(&["compare", "children/child.qcow2", "top.raw"]);
    bench.rehome(&["digest", "children/child.qcow2"]).ends(77);
    bench.rehome(&["compare", "--allow-parent", ".", "children/child.qcow2", "top.raw"]).ends(0);
}
