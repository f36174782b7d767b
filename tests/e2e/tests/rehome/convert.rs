//! Images become other images and stay the same disk.

use crate::bench::{Bench, MIB};

/// Names that rehome and qemu-img both know.
const FORMATS: [&str; 6] = ["raw", "qcow2", "vhdx", "vmdk", "vpc", "vdi"];
/// 33 MiB and 3 sectors: neither whole blocks of the digest nor whole chunks of any format.
const ODD: u64 = 33 * MIB + 3 * 512;
const ODD_PIECES: [(u64, u64); 4] =
    [(0, 70_000), (9 * MIB + 123, 5 * MIB), (20 * MIB - 1, 2), (ODD - 700, 700)];

/// rehome and qemu-img are asked whether two images hold the same disk, and must agree.
fn same(bench: &Bench, a: (&str, &str), b: (&str, &str)) -> bool {
    let ours = bench.rehome(&["compare", "-f", a.1, "-F", b.1, a.0, b.0]);
    let qemu = bench.try_tool("qemu-utils", "qemu-img", &["compare", "-f", a.1, "-F", b.1, a.0, b.0]);
    assert_eq!(ours.code, qemu.code, "{ours:?} {qemu:?}");
    ours.code == Some(0)
}

#[test]
fn every_format_becomes_every_other_and_comes_back() {
    let bench = Bench::new();
    bench.disk("disk.raw", ODD, &ODD_PIECES);
    let before = bench.fingerprint("disk.raw");
    let digest = bench.rehome(&["digest", "disk.raw"]).ends(0).stdout;
    let digest = digest.split_whitespace().next().unwrap();
    for from in FORMATS {
        let first = format!("first.{from}");
        bench.rehome(&["convert", "disk.raw", &first]).ends(0);
        let first_before = bench.fingerprint(&first);
        for to in FORMATS {
            let second = format!("{from}-to.{to}");
            bench.rehome(&["convert", "--verify", &first, &second]).ends(0);
            assert!(same(&bench, ("disk.raw", "raw"), (&second, to)), "{second}");
            assert!(bench.rehome(&["digest", &second]).ends(0).stdout.starts_with(digest), "{second}");
            if matches!(to, "qcow2" | "vhdx") {
                bench.qemu_img(&["check", "-f", to, &second]);
            }
        }
        assert_eq!(bench.fingerprint(&first), first_before, "{first} was only read");
    }
    assert_eq!(bench.fingerprint("disk.raw"), before);
    assert!(!bench.names().iter().any(|name| name.ends_with(".partial")));
}

#[test]
fn what_qemu_wrote_is_read() {
    let bench = Bench::new();
    bench.disk("disk.raw", 9 * MIB, &[(MIB, 300_000), (8 * MIB, 4096)]);
    for (name, format, options) in [
        ("v2.qcow2", "qcow2", "compat=0.10"),
        ("small.qcow2", "qcow2", "cluster_size=512"),
        ("zstd.qcow2", "qcow2", "compression_type=zstd"),
        ("sparse.vmdk", "vmdk", "subformat=monolithicSparse"),
        ("stream.vmdk", "vmdk", "subformat=streamOptimized"),
        ("dynamic.vhdx", "vhdx", "subformat=dynamic"),
        ("fixed.vhdx", "vhdx", "subformat=fixed"),
        ("dynamic.vhd", "vpc", "subformat=dynamic,force_size=on"),
        ("fixed.vhd", "vpc", "subformat=fixed,force_size=on"),
    ] {
        let mut args = vec!["convert", "-f", "raw", "-O", format, "-o", options, "disk.raw", name];
        if name == "zstd.qcow2" {
            args.insert(1, "-c");
        }
        bench.qemu_img(&args);
        let before = bench.fingerprint(name);
        assert!(same(&bench, ("disk.raw", "raw"), (name, format)), "{name}");
        let target = format!("{name}.raw");
        bench.rehome(&["convert", name, &target]).ends(0);
        assert_eq!(bench.read(&target), bench.read("disk.raw"), "{name}");
        assert_eq!(bench.fingerprint(name), before, "{name} was only read");
    }
}

#[test]
fn a_disk_that_is_no_whole_number_of_sectors_is_rounded_up_and_said_so() {
    let bench = Bench::new();
    bench.disk("tiny.raw", 1000, &[(0, 1000)]);
    for format in ["qcow2", "vhdx", "vmdk"] {
        let target = format!("tiny.{format}");
        let run = bench.rehome(&["convert", "tiny.raw", &target]).ends(0);
        assert!(run.stderr.contains("[disk-size-rounded]"), "{run:?}");
        assert!(same(&bench, ("tiny.raw", "raw"), (&target, format)), "lax: the rest is zeros");
        bench.rehome(&["compare", "--strict", "tiny.raw", &target]).ends(1);
        let back = format!("tiny-{format}.raw");
        bench.rehome(&["convert", &target, &back]).ends(0);
        assert_eq!(bench.read(&back)[..1000], bench.read("tiny.raw"));
    }
    bench.rehome(&["convert", "tiny.raw", "copy.raw"]).ends(0);
    assert_eq!(bench.read("copy.raw"), bench.read("tiny.raw"), "raw holds any number of bytes");
}

#[test]
fn holes_stay_holes() {
    use std::os::unix::fs::MetadataExt;
    let bench = Bench::new();
    bench.disk("disk.raw", 3 << 40, &[(5 << 30, 4096), ((3 << 40) - 512, 512)]);
    let started = std::time::Instant::now();
    bench.rehome(&["convert", "disk.raw", "disk.qcow2"]).ends(0);
    bench.rehome(&["convert", "disk.qcow2", "copy.raw"]).ends(0);
    bench.rehome(&["compare", "--strict", "disk.raw", "copy.raw"]).ends(0);
    assert!(started.elapsed().as_secs() < 30, "{:?} for 5 KiB of data in 3 TiB", started.elapsed());
    for name in ["disk.qcow2", "copy.raw"] {
        let blocks = std::fs::metadata(bench.path(name)).unwrap().blocks();
        assert!(blocks * 512 < 16 * MIB, "{name} takes {blocks} sectors");
    }
}

#[test]
fn a_read_only_source_is_enough() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new();
    bench.disk("disk.raw", MIB, &[(0, MIB)]);
    std::fs::set_permissions(bench.path("disk.raw"), std::fs::Permissions::from_mode(0o444)).unwrap();
    let before = bench.fingerprint("disk.raw");
    bench.rehome(&["inspect", "disk.raw"]).ends(0);
    bench.rehome(&["digest", "disk.raw"]).ends(0);
    bench.rehome(&["convert", "disk.raw", "disk.vhdx"]).ends(0);
    bench.rehome(&["compare", "disk.raw", "disk.vhdx"]).ends(0);
    bench.rehome(&["migrate", "disk.raw", "--to", "hyperv", "--out", "vm"]).ends(78);
    assert_eq!(bench.fingerprint("disk.raw"), before);
}

#[test]
fn an_existing_target_is_kept_unless_force_is_given() {
    let bench = Bench::new();
    bench.disk("disk.raw", MIB, &[(0, 4096)]);
    bench.write("disk.qcow2", "precious");
    bench.rehome(&["convert", "disk.raw", "disk.qcow2"]).ends(73);
    assert_eq!(bench.read("disk.qcow2"), b"precious");
    bench.rehome(&["convert", "--force", "disk.raw", "disk.qcow2"]).ends(0);
    assert!(same(&bench, ("disk.raw", "raw"), ("disk.qcow2", "qcow2")));
}

#[test]
fn options_reach_the_writer() {
    let bench = Bench::new();
    bench.disk("disk.raw", MIB, &[(0, 4096)]);
    let args = ["convert", "-o", "cluster_size=4096,compat=0.10", "disk.raw", "disk.qcow2"];
    bench.rehome(&args).ends(0);
    let info = bench.qemu_img(&["info", "--output=json", "disk.qcow2"]);
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    assert_eq!(info["cluster-size"], 4096);
    assert_eq!(info["format-specific"]["data"]["compat"], "0.10");
}

#[test]
fn any_number_of_threads_writes_the_same_bytes() {
    let bench = Bench::new();
    bench.disk("disk.raw", ODD, &ODD_PIECES);
    for format in ["vmdk", "raw"] {
        for threads in ["1", "2", "64"] {
            let target = format!("{threads}.{format}");
            bench.rehome(&["--threads", threads, "convert", "disk.raw", &target]).ends(0);
        }
    }
    assert_eq!(bench.read("1.raw"), bench.read("64.raw"));
    for threads in ["2", "64"] {
        assert!(same(&bench, ("disk.raw", "raw"), (&format!("{threads}.vmdk"), "vmdk")));
    }
}

#[test]
fn without_a_digest_there_is_no_manifest_that_could_be_wrong() {
    let bench = Bench::new();
    bench.disk("disk.raw", 9 * MIB, &[(0, 70_000), (5 * MIB, MIB)]);
    bench.disk("older.raw", 9 * MIB, &[(MIB, MIB)]);
    bench.rehome(&["convert", "older.raw", "copy.qcow2"]).ends(0);
    let run = bench.rehome(&["convert", "disk.raw", "copy.qcow2", "--no-digest", "--force", "--output=json"]);
    let outcome = run.ends(0).json();
    assert!(outcome["digest"].is_null() && outcome["manifest"].is_null(), "{outcome}");
    let qcow2: Vec<_> = bench.names().into_iter().filter(|name| name.starts_with("copy")).collect();
    assert_eq!(qcow2, ["copy.qcow2"], "the manifest of the older image is gone");
    bench.qemu_img(&["compare", "-f", "raw", "disk.raw", "copy.qcow2"]);
    bench.rehome(&["verify", "copy.qcow2"]).ends(66);
    for more in [["--verify", ""], ["--also", "md5"], ["--on-read-error", "zero"]] {
        let more: Vec<_> = more.into_iter().filter(|word| !word.is_empty()).collect();
        let args = [&["convert", "disk.raw", "other.qcow2", "--no-digest"][..], &more].concat();
        bench.rehome(&args).ends(2);
    }
}
