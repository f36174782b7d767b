//! Whole-disk hashes: the same that coreutils and b3sum give for the raw disk.

use crate::bench::{Bench, MIB, appears, signal};
use std::process::Stdio;

const KINDS: [(&str, &str, &str); 3] =
    [("blake3", "b3sum", "b3sum"), ("md5", "coreutils", "md5sum"), ("sha256", "coreutils", "sha256sum")];

/// What the other tools say of a raw disk.
fn judged(bench: &Bench, raw: &str) -> serde_json::Value {
    let hash = |(kind, package, program): (&str, &str, &str)| {
        let text = bench.tool(package, program, &[raw]);
        (kind.to_owned(), text.split_whitespace().next().unwrap().into())
    };
    serde_json::Value::Object(KINDS.into_iter().map(hash).collect())
}

#[test]
fn raw_disks_of_every_kind_of_size_hash_as_other_tools_say_with_any_number_of_threads() {
    let bench = Bench::new();
    let kib = 1 << 10;
    let sizes = [
        0,
        1,
        kib - 1,
        kib,
        kib + 1,
        64 * kib - 1,
        64 * kib,
        64 * kib + 1,
        4 * MIB - 1,
        4 * MIB,
        4 * MIB + 1,
        8 * MIB + 513,
        28 * MIB,
    ];
    for (index, size) in sizes.into_iter().enumerate() {
        // Every other disk is mostly holes.
        let pieces = if index % 2 == 0 { vec![(0, size)] } else { vec![(size / 2, size.min(300) / 2)] };
        bench.disk("disk.raw", size, &pieces);
        let wanted = judged(&bench, "disk.raw");
        for threads in ["1", "2", "5"] {
            let args = ["digest", "-f", "raw", "disk.raw", "--also", "blake3,sha256", "--also", "md5"];
            let run = bench.rehome(&[&args[..], &["--threads", threads, "--output", "json"]].concat());
            assert_eq!(run.ends(0).json()["hashes"], wanted, "{size} bytes, {threads} threads");
        }
    }
}

#[test]
fn holes_between_data_are_hashed_in_their_place() {
    let bench = Bench::new();
    let size = 220 * MIB + 5;
    bench.disk("disk.raw", size, &[(9 * MIB, 5 * MIB), (150 * MIB - 3, 6), (size - 1, 1)]);
    let wanted = judged(&bench, "disk.raw");
    for threads in ["1", "3"] {
        let args = ["digest", "disk.raw", "--also", "blake3,sha256,md5", "--threads", threads];
        let run = bench.rehome(&[&args[..], &["--output", "json"]].concat()).ends(0);
        assert_eq!(run.json()["hashes"], wanted, "{threads} threads");
    }
}

#[test]
fn the_hashes_of_a_conversion_are_those_of_the_disk_that_was_written_and_are_kept() {
    let bench = Bench::new();
    // No whole number of sectors: the targets round it up.
    bench.disk("disk.raw", 21 * MIB + 100, &[(0, 70_000), (8 * MIB - 1, 5 * MIB)]);
    let also = ["--also", "blake3,sha256,md5"];
    for target in ["copy.raw", "copy.qcow2", "copy.vhdx", "copy.vmdk"] {
        let args = ["convert", "disk.raw", target, "--verify", "--output", "json"];
        let outcome = bench.rehome(&[&args[..], &also].concat()).ends(0).json();
        let format = target.split('.').next_back().unwrap();
        let raw = if format == "raw" { target } else { "back.raw" };
        if format != "raw" {
            bench.qemu_img(&["convert", "-f", format, "-O", "raw", target, raw]);
        }
        let wanted = judged(&bench, raw);
        assert_eq!(outcome["hashes"], wanted, "{target}");
        assert_eq!(bench.json_of(&format!("{target}.rehome.json"))["hashes"], wanted, "{target}");
        bench.rehome(&["verify", target]).ends(0);
        let run = bench.rehome(&[&["verify", target][..], &also].concat()).ends(0);
        assert!(run.stdout.contains(wanted["sha256"].as_str().unwrap()), "{run:?}");
    }
    let plain = bench.rehome(&["convert", "copy.qcow2", "out.raw", "--also", "md5"]).ends(0);
    assert!(plain.stdout.contains(judged(&bench, "out.raw")["md5"].as_str().unwrap()), "{plain:?}");
}

#[test]
fn pipes_and_differences_are_hashed_whole() {
    let bench = Bench::new();
    bench.disk("base.raw", 30 * MIB, &[(0, 9 * MIB)]);
    bench.disk("top.raw", 30 * MIB, &[(4 * MIB, 9 * MIB), (29 * MIB, 100)]);
    let wanted = judged(&bench, "top.raw");
    let also = ["--also", "blake3,sha256,md5", "--output", "json"];
    let outcome = bench.rehome(&[&["delta", "base.raw", "top.raw", "child.qcow2"][..], &also].concat());
    assert_eq!(outcome.ends(0).json()["hashes"], wanted);
    bench.qemu_img(&[
        "convert",
        "-f",
        "raw",
        "-O",
        "vmdk",
        "-o",
        "subformat=streamOptimized",
        "top.raw",
        "top.vmdk",
    ]);
    for (source, format) in [("top.vmdk", "vmdk"), ("top.raw", "raw")] {
        let stdin = Stdio::from(std::fs::File::open(bench.path(source)).unwrap());
        let args = ["convert", "--force", "-f", format, "-", "piped.qcow2"];
        let child = bench.spawn_reading(&[&args[..], &also].concat(), stdin);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let outcome: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(outcome["hashes"], wanted, "{source}");
    }
}

#[test]
fn a_hash_that_nobody_knows_is_wrong_usage() {
    let bench = Bench::new();
    bench.disk("disk.raw", MIB, &[]);
    let run = bench.rehome(&["convert", "disk.raw", "copy.raw", "--also", "sha256,crc32"]).ends(2);
    assert!(run.stderr.contains("blake3, sha256, md5"), "{run:?}");
    assert_eq!(bench.names(), ["disk.raw"]);
}

#[test]
fn verify_takes_the_hashes_that_the_manifest_has() {
    let bench = Bench::new();
    bench.disk("disk.raw", 5 * MIB, &[(0, 2 * MIB)]);
    bench.rehome(&["convert", "disk.raw", "copy.raw", "--also", "sha256"]).ends(0);
    bench.rehome(&["verify", "copy.raw", "--also", "md5"]).ends(2);
    let manifest = String::from_utf8(bench.read("copy.raw.rehome.json")).unwrap();
    let hash = bench.json_of("copy.raw.rehome.json")["hashes"]["sha256"].as_str().unwrap().to_owned();
    bench.write("copy.raw.rehome.json", manifest.replace(&hash, &"0".repeat(64)));
    let run = bench.rehome(&["verify", "copy.raw"]).ends(65);
    assert!(run.stderr.contains("it was changed after it was written"), "{run:?}");
    // As an older program wrote it, without a seal.
    let mut older = bench.json_of("copy.raw.rehome.json");
    older["version"] = 1.into();
    older.as_object_mut().unwrap().remove("seal");
    bench.write("copy.raw.rehome.json", older.to_string());
    bench.rehome(&["verify", "copy.raw"]).ends(0);
    let run = bench.rehome(&["verify", "copy.raw", "--also", "sha256"]).ends(1);
    assert!(run.stdout.contains("sha256"), "{run:?}");
}

/// 8 TiB of holes take longer than any test may.
#[test]
fn hashing_holes_can_be_interrupted() {
    let bench = Bench::new();
    bench.disk("disk.raw", 8 << 40, &[]);
    let mut child = bench.spawn(&["convert", "disk.raw", "disk.qcow2", "--also", "sha256,blake3"]);
    assert!(appears(&bench.path("disk.qcow2.partial"), &mut child), "it ended early");
    signal(&child, "TERM");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(75), "{output:?}");
    assert_eq!(bench.names(), ["disk.raw"]);
}
