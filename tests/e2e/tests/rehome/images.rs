//! info, map, measure, check and create say what qemu-img says.

use crate::bench::{Bench, MIB};
use serde_json::Value;

const PIECES: [(u64, u64); 3] = [(0, 70_000), (3 * MIB + 123, MIB), (8 * MIB, 4096)];

/// An image with a parent, two formats deep.
fn chain() -> Bench {
    let bench = Bench::new();
    bench.disk("base.raw", 9 * MIB, &PIECES);
    bench.qemu_img(&["create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", "top.qcow2", "12M"]);
    bench.tool("qemu-utils", "qemu-io", &["-c", "write -P 7 6M 200k", "-c", "write -z 0 64k", "top.qcow2"]);
    bench
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn info_has_the_keys_of_qemu_for_every_image_of_the_chain() {
    let bench = chain();
    let ours = bench.rehome(&["info", "--output", "json", "top.qcow2"]).ends(0).json();
    let theirs = json(&bench.qemu_img(&["info", "--output", "json", "--backing-chain", "top.qcow2"]));
    assert_eq!(ours["chain"].as_array().unwrap().len(), 2);
    for (depth, theirs) in theirs.as_array().unwrap().iter().enumerate() {
        let ours = &ours["chain"][depth];
        for key in ["format", "virtual-size", "actual-size", "cluster-size", "backing-filename"] {
            assert_eq!(ours[key], theirs[key], "{depth} {key}");
        }
    }
    for (key, value) in theirs[0]["format-specific"]["data"].as_object().unwrap() {
        assert_eq!(&ours["format-specific"]["data"][key], value, "{key}");
    }
    let text = bench.rehome(&["info", "top.qcow2"]).ends(0).stdout;
    assert!(text.contains("virtual size: 12 MiB (12582912 bytes)\n"), "{text}");
    assert!(text.contains("image: ./base.raw\nfile format: raw\n"), "{text}");
}

#[test]
fn snapshots_are_listed_and_each_can_be_read() {
    let bench = Bench::new();
    bench.disk("old.raw", 4 * MIB, &[(0, 70_000)]);
    bench.qemu_img(&["convert", "-O", "qcow2", "old.raw", "disk.qcow2"]);
    bench.qemu_img(&["snapshot", "-c", "before", "disk.qcow2"]);
    bench.tool("qemu-utils", "qemu-io", &["-c", "write -P 9 0 1M", "disk.qcow2"]);
    let info = bench.rehome(&["info", "--output", "json", "disk.qcow2"]).ends(0).json();
    let theirs = json(&bench.qemu_img(&["info", "--output", "json", "disk.qcow2"]));
    assert_eq!(info["snapshots"][0]["name"], "before");
    for (key, value) in theirs["snapshots"][0].as_object().unwrap() {
        assert_eq!(&info["snapshots"][0][key], value, "{key}");
    }
    bench.rehome(&["convert", "-l", "before", "disk.qcow2", "before.raw"]).ends(0);
    assert_eq!(bench.read("before.raw"), bench.read("old.raw"));
    bench.rehome(&["compare", "disk.qcow2", "old.raw"]).ends(1);
    let wrong = bench.rehome(&["convert", "-l", "after", "disk.qcow2", "x.raw"]).ends(2).stderr;
    assert!(wrong.contains("before"), "the names that there are: {wrong}");
    bench.rehome(&["convert", "-l", "before", "old.raw", "x.raw"]).ends(2);
}

#[test]
fn a_map_is_the_map_of_qemu() {
    let bench = chain();
    bench.qemu_img(&["convert", "-c", "-O", "qcow2", "top.qcow2", "packed.qcow2"]);
    for image in ["top.qcow2", "packed.qcow2"] {
        let ours = bench.rehome(&["map", "--output", "json", image]).ends(0).json();
        let theirs = json(&bench.qemu_img(&["map", "--output", "json", image]));
        let runs = |map: &Value| -> Vec<(u64, u64, bool, bool, Option<u64>)> {
            let runs = map.as_array().unwrap().iter();
            let run = |run: &Value| {
                let (start, length) = (run["start"].as_u64().unwrap(), run["length"].as_u64().unwrap());
                (start, length, run["data"] == true, run["compressed"] == true, run["offset"].as_u64())
            };
            runs.map(run).filter(|run| run.2).collect()
        };
        assert_eq!(runs(&ours), runs(&theirs), "{image}");
        let covered: u64 = ours.as_array().unwrap().iter().map(|run| run["length"].as_u64().unwrap()).sum();
        assert_eq!(covered, 12 * MIB);
    }
    let text = bench.rehome(&["map", "top.qcow2"]).ends(0).stdout;
    assert!(text.lines().any(|line| line.starts_with("0x600000 ") && line.ends_with("top.qcow2")), "{text}");
    assert!(text.lines().any(|line| line.ends_with("./base.raw")), "{text}");
}

#[test]
fn what_was_measured_is_what_is_written() {
    let bench = Bench::new();
    bench.disk("disk.raw", 33 * MIB + 1536, &PIECES);
    for (format, option) in [
        ("raw", None),
        ("qcow2", None),
        ("qcow2", Some("compressed")),
        ("qcow2", Some("cluster_size=4k")),
        ("vhdx", None),
        ("vhd", None),
        ("vmdk", Some("subformat=monolithicSparse")),
        ("vmdk", Some("subformat=streamOptimized")),
        ("vdi", None),
    ] {
        let option: Vec<&str> = option.iter().flat_map(|option| ["-o", option]).collect();
        let args = [&["measure", "--output", "json", "-O", format][..], &option, &["disk.raw"]].concat();
        let measured = bench.rehome(&args).ends(0).json();
        bench
            .rehome(&[&["convert", "--force", "-O", format][..], &option, &["disk.raw", "out"]].concat())
            .ends(0);
        let written = std::fs::metadata(bench.path("out")).unwrap().len();
        assert_eq!(measured["required"], written, "{format} {option:?}");
        assert!(measured["fully-allocated"].as_u64().unwrap() >= written, "{format} {option:?}");
    }
    let theirs = json(&bench.qemu_img(&["measure", "--output", "json", "-O", "qcow2", "--size", "10G"]));
    let ours = bench.rehome(&["measure", "--output", "json", "-O", "qcow2", "--size", "10G"]).ends(0).json();
    let [ours, theirs] = [ours, theirs].map(|found| found["fully-allocated"].as_u64().unwrap());
    assert!(ours <= theirs, "{ours} {theirs}");
}

#[test]
fn a_check_finds_what_qemu_finds_and_repairs_into_a_new_file() {
    let bench = Bench::new();
    bench.disk("disk.raw", 8 * MIB, &PIECES[..2]);
    bench.qemu_img(&["convert", "-O", "qcow2", "disk.raw", "disk.qcow2"]);
    let clean = bench.rehome(&["check", "--output", "json", "disk.qcow2"]).ends(0).json();
    let theirs = json(&bench.qemu_img(&["check", "--output", "json", "disk.qcow2"]));
    for key in ["total-clusters", "allocated-clusters", "image-end-offset"] {
        assert_eq!(clean[key], theirs[key], "{key}");
    }
    // The second cluster of data is named a second time: two L2 entries share it.
    let bytes = bench.read("disk.qcow2");
    let word = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
    let l2 = (word(word(40) as usize) & 0x00ff_ffff_ffff_fe00) as usize;
    let mut damaged = bytes.clone();
    damaged.copy_within(l2..l2 + 8, l2 + 8 * 100);
    bench.write("shared.qcow2", &damaged);
    damaged[l2 + 8 * 100..][..8].copy_from_slice(&(1u64 << 62 | 0x4_0000_0000).to_be_bytes());
    bench.write("outside.qcow2", &damaged);
    for (image, lost) in [("shared.qcow2", false), ("outside.qcow2", true)] {
        let before = bench.fingerprint(image);
        let found = bench.rehome(&["check", "--output", "json", image]).ends(1).json();
        assert!(found["corruptions"].as_u64().unwrap() > 0, "{image}: {found}");
        assert_ne!(bench.try_tool("qemu-utils", "qemu-img", &["check", image]).code, Some(0));
        let repaired =
            bench.rehome(&["check", "--output", "json", image, "--repair", "new.qcow2", "--force"]);
        let repaired = repaired.ends(i32::from(lost)).json();
        assert_eq!(repaired["repair"]["lost"].as_array().unwrap().is_empty(), !lost, "{image}: {repaired}");
        bench.qemu_img(&["check", "new.qcow2"]);
        bench.rehome(&["check", "new.qcow2"]).ends(0);
        assert_eq!(bench.fingerprint(image), before, "{image} was only read");
    }
}

#[test]
fn created_images_are_empty_or_read_like_their_base() {
    let bench = Bench::new();
    bench.disk("base.raw", 3 * MIB, &PIECES[..1]);
    for (name, format) in [("a.qcow2", "qcow2"), ("a.vmdk", "vmdk"), ("a.vhdx", "vhdx"), ("a.vdi", "vdi")] {
        bench.rehome(&["create", name, "40M"]).ends(0);
        let info = json(&bench.qemu_img(&["info", "--output", "json", "-f", format, name]));
        assert_eq!(info["virtual-size"], 40 * MIB, "{name}");
        bench.qemu_img(&["check", "-f", format, name]);
    }
    bench.rehome(&["create", "child.qcow2", "-b", "base.raw"]).ends(0);
    bench.qemu_img(&["compare", "child.qcow2", "base.raw"]);
    bench.rehome(&["create", "none.qcow2"]).ends(2);
    bench.rehome(&["create", "a.qcow2", "1M"]).ends(73);
    bench.rehome(&["create", "child.vdi", "-b", "base.raw"]).ends(69);
}
