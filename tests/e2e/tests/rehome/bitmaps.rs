//! `convert --sync --bitmap`: what a qcow2 file itself says has changed.

use crate::bench::{Bench, MIB};
use serde_json::Value;

const KIB: u64 = 1 << 10;

fn io(bench: &Bench, image: &str, commands: &[&str]) {
    let commands = commands.iter().flat_map(|line| ["-c", line]);
    let args: Vec<_> = ["-f", "qcow2"].into_iter().chain(commands).chain([image]).collect();
    bench.tool("qemu-utils", "qemu-io", &args);
}

/// A machine's disk, and a copy of it that is as old as its bitmap.
fn bench(target: &str) -> Bench {
    let bench = Bench::new();
    bench.qemu_img(&["create", "-q", "-f", "qcow2", "vm.qcow2", "256M"]);
    io(&bench, "vm.qcow2", &["write -P 7 0 30M", "write -P 8 100M 5M"]);
    bench.rehome(&["convert", "vm.qcow2", target]).ends(0);
    bench.qemu_img(&["bitmap", "--add", "-g", "4k", "vm.qcow2", "since"]);
    bench
}

fn sync(bench: &Bench, target: &str) -> Value {
    let args = ["--output", "json", "convert", "--sync", "--verify", "--bitmap", "since", "vm.qcow2", target];
    bench.rehome(&args).ends(0).json()
}

fn same(bench: &Bench, target: &str, format: &str) {
    bench.qemu_img(&["compare", "-f", "qcow2", "-F", format, "vm.qcow2", target]);
    bench.rehome(&["verify", target]).ends(0);
}

fn codes(json: &Value) -> Vec<&str> {
    json["warnings"].as_array().unwrap().iter().map(|one| one["code"].as_str().unwrap()).collect()
}

#[test]
fn a_file_tells_what_changed_in_three_cycles() {
    for (target, format) in [("copy.qcow2", "qcow2"), ("copy.raw", "raw"), ("copy.vhdx", "vhdx")] {
        let bench = bench(target);
        for cycle in 1..=3 {
            let at = |mib: u64| mib + 3 * cycle;
            let lines = [
                format!("write -P {cycle} {}M 128k", at(5)),
                format!("write -P 3 {}k 4k", at(50) * KIB + 4),
                format!("write -z {}M 64k", at(1)),
                format!("discard {}M 256k", 100 + cycle),
            ];
            let changed = (128 + 4 + 64 + 256) * KIB;
            io(&bench, "vm.qcow2", &lines.iter().map(String::as_str).collect::<Vec<_>>());
            let json = sync(&bench, target);
            let number = |key: &str| json[key].as_u64().unwrap();
            assert_eq!(number("bytes_tracked"), changed, "{json}");
            // Zeros are not read.
            assert!(
                number("source_bytes_read") >= 132 * KIB && number("source_bytes_read") <= changed,
                "{json}"
            );
            assert!(number("bytes_rewritten") <= 2 * changed, "{json}");
            assert!(!codes(&json).contains(&"sync-on-trust"), "{json}");
            same(&bench, target, format);
            // Between the run and the next start of the machine.
            bench.qemu_img(&["bitmap", "--clear", "vm.qcow2", "since"]);
        }
        let json = sync(&bench, target);
        assert_eq!((&json["bytes_tracked"], &json["blocks_rewritten"]), (&0.into(), &0.into()), "{json}");
        // A bitmap that is older than the copy says more than is needed.
        io(&bench, "vm.qcow2", &["write -P 9 7M 64k"]);
        sync(&bench, target);
        io(&bench, "vm.qcow2", &["write -P 10 8M 64k"]);
        let human = bench.rehome(&["convert", "--sync", "--bitmap", "since", "vm.qcow2", target]).ends(0);
        assert!(human.stdout.contains("of the source, of which 128 KiB changed"), "{human:?}");
        same(&bench, target, format);
    }
}

#[test]
fn a_target_that_somebody_wrote_to_is_put_right() {
    let bench = bench("copy.qcow2");
    // A test of the copy: in a block that did not change, in one that did, in a hole, and a hole where data were.
    io(
        &bench,
        "copy.qcow2",
        &["write -P 1 12M 4k", "write -P 1 21M 4k", "write -P 1 200M 4k", "discard 100M 4M"],
    );
    io(&bench, "vm.qcow2", &["write -P 2 20M 4k"]);
    let json = sync(&bench, "copy.qcow2");
    assert!(codes(&json).contains(&"sync-target-changed"), "{json}");
    // Four blocks of 4 MiB as a whole, of which one is a hole.
    assert!(json["source_bytes_read"].as_u64().unwrap() <= 12 * MIB, "{json}");
    same(&bench, "copy.qcow2", "qcow2");
    // A hole in all of a window of 256 MiB.
    io(&bench, "copy.qcow2", &["write -z 0 256M", "discard 0 256M"]);
    sync(&bench, "copy.qcow2");
    same(&bench, "copy.qcow2", "qcow2");
    // Without its manifest there is nothing to go by but the operator's word.
    std::fs::remove_file(bench.path("copy.qcow2.rehome.json")).unwrap();
    assert!(codes(&sync(&bench, "copy.qcow2")).contains(&"sync-on-trust"));
    same(&bench, "copy.qcow2", "qcow2");
}

#[test]
fn what_could_not_be_read_before_is_read_now() {
    let bench = bench("first.raw");
    bench.write(
        "bad.map",
        "0x0 ? 1\n0x00000000 0x00100000 +\n0x00100000 0x00010000 -\n0x00110000 0x0fef0000 +\n",
    );
    let args = ["convert", "-f", "raw", "--source-mapfile", "bad.map", "first.raw", "copy.qcow2"];
    bench.rehome(&args).ends(1);
    let json = sync(&bench, "copy.qcow2");
    assert_eq!(json["source_bytes_read"], 64 * KIB, "{json}");
    same(&bench, "copy.qcow2", "qcow2");
}

#[test]
fn inspect_lists_bitmaps_and_bad_ones_are_refused() {
    let bench = bench("copy.raw");
    bench.qemu_img(&["bitmap", "--add", "--disable", "vm.qcow2", "old"]);
    let json = bench.rehome(&["--output", "json", "inspect", "vm.qcow2"]).ends(0).json();
    let wanted = serde_json::json!([
        { "name": "since", "granularity": 4096, "in_use": false, "enabled": true },
        { "name": "old", "granularity": 65536, "in_use": false, "enabled": false },
    ]);
    assert_eq!(json["bitmaps"], wanted, "{json}");
    let human = bench.rehome(&["inspect", "vm.qcow2"]).ends(0).stdout;
    assert!(human.contains("bitmap since: granularity 4 KiB, enabled"), "{human}");
    let before = bench.fingerprint("copy.raw");
    let refused = |name: &str, image: &str, code: i32, text: &str| {
        let run = bench.rehome(&["convert", "--sync", "--bitmap", name, image, "copy.raw"]).ends(code);
        assert!(run.stderr.contains(text), "{run:?}");
    };
    refused("none", "vm.qcow2", 66, "it has \"since\", \"old\"");
    refused("old", "vm.qcow2", 69, "disabled");
    bench.qemu_img(&["convert", "-O", "vmdk", "vm.qcow2", "vm.vmdk"]);
    refused("since", "vm.vmdk", 69, "vmdk images keep no bitmaps");
    bench.qemu_img(&["snapshot", "-c", "then", "vm.qcow2"]);
    let args = ["convert", "--sync", "--bitmap", "since", "-l", "then", "vm.qcow2", "copy.raw"];
    bench.rehome(&args).ends(2);
    // A machine that was killed.
    let killed = ["-f", "qcow2", "-c", "write 0 4k", "-c", "sigraise 9", "vm.qcow2"];
    assert_ne!(bench.try_tool("qemu-utils", "qemu-io", &killed).code, Some(0));
    refused("since", "vm.qcow2", 69, "in use");
    let json = bench.rehome(&["--output", "json", "inspect", "vm.qcow2"]).ends(0).json();
    assert_eq!(json["bitmaps"][0]["in_use"], true, "{json}");
    assert_eq!(bench.fingerprint("copy.raw"), before);
}
