//! Several disks of one machine in one run.

use crate::bench::{Bench, MIB};

fn bench() -> Bench {
    let bench = Bench::new();
    bench.disk("root.raw", 21 * MIB, &[(0, 9 * MIB), (20 * MIB, MIB)]);
    bench.disk("data.raw", 9 * MIB, &[(MIB, 300_000)]);
    bench.disk("swap.raw", 2 * MIB, &[(0, 4096)]);
    bench.rehome(&["convert", "data.raw", "data.vmdk"]).ends(0);
    bench
}

#[test]
fn all_disks_are_converted_under_their_own_names() {
    let bench = bench();
    for threads in ["1", "2", "64"] {
        let args = ["--threads", threads, "--output", "json", "convert", "--force", "--verify"];
        let images = ["root.raw", "data.vmdk", "swap.raw", "-O", "vhdx", "--out", "vm"];
        let json = bench.rehome(&[&args[..], &images].concat()).ends(0).json();
        let all = json.as_array().unwrap();
        let targets: Vec<_> = all.iter().map(|one| one["target"].as_str().unwrap()).collect();
        assert_eq!(targets, ["vm/root.vhdx", "vm/data.vhdx", "vm/swap.vhdx"]);
        for (name, one) in ["root", "data", "swap"].iter().zip(all) {
            let (raw, image) = (format!("{name}.raw"), format!("vm/{name}.vhdx"));
            bench.qemu_img(&["compare", "-f", "raw", "-F", "vhdx", &raw, &image]);
            bench.rehome(&["verify", &image]).ends(0);
            let digest = bench.rehome(&["digest", &raw]).ends(0).stdout;
            assert!(digest.starts_with(one["digest"].as_str().unwrap()));
        }
    }
    let run = bench.rehome(&["convert", "swap.raw", "--out", "alone", "-O", "qcow2"]).ends(0);
    assert!(run.stdout.starts_with("alone/swap.qcow2 (qcow2"), "{run:?}");
}

#[test]
fn one_progress_shows_all_of_them() {
    let bench = bench();
    let args = ["--progress", "json", "convert", "root.raw", "data.vmdk", "--out", "vm", "-O", "qcow2"];
    let run = bench.rehome(&args).ends(0);
    let events: Vec<serde_json::Value> =
        run.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_kind = |kind: &str| events.iter().filter(|event| event["event"] == kind).collect::<Vec<_>>();
    assert_eq!((of_kind("begin").len(), of_kind("end").len()), (1, 1), "{events:?}");
    let end = of_kind("end")[0];
    assert_eq!(end["bytes"], end["total"]);
    assert!(end["total"].as_u64().unwrap() >= 10 * MIB + 300_000, "{end}");
}

#[test]
fn a_disk_that_fails_lets_the_others_finish() {
    let bench = bench();
    bench.write("broken.qcow2", "no image at all");
    let args =
        ["convert", "missing.raw", "root.raw", "broken.qcow2", "data.vmdk", "--out", "vm", "-O", "raw"];
    let run = bench.rehome(&args).ends(66);
    assert!(run.stderr.contains("error: convert missing.raw: "), "{run:?}");
    assert!(run.stderr.contains("error: convert broken.qcow2: "), "{run:?}");
    for name in ["root.raw", "data.raw"] {
        assert_eq!(bench.read(name), bench.read(&format!("vm/{name}")));
    }
    let json = bench.rehome(&[&["--output", "json"], &args[..]].concat()).ends(66).json();
    let errors: Vec<_> =
        json.as_array().unwrap().iter().map(|one| one["error"]["exit_code"].clone()).collect();
    assert_eq!(errors.len(), 4);
    assert_eq!(
        (&errors[0], &errors[1]),
        (&66.into(), &73.into()),
        "the second run finds the first one's image"
    );
}

#[test]
fn what_several_disks_cannot_have_is_refused_before_anything_is_written() {
    let bench = bench();
    let refused = |args: &str, why: &str| {
        let run = bench.bash(&format!("\"$REHOME\" convert {args}")).ends(2);
        assert!(run.stderr.contains(why), "{run:?}");
        assert!(!bench.path("vm").exists(), "{args}");
    };
    refused("data.raw data.vmdk --out vm -O vhdx", "would both become vm/data.vhdx");
    refused("data.raw root.raw --out vm", "--target-format");
    refused("data.raw root.raw swap.raw", "--out");
    refused("data.raw", "<TARGET>");
    refused("- root.raw --out vm -O vhdx < data.raw", "has no name");
    refused("data.raw root.raw --out vm -O vhdx --tar x", "--tar");
    refused("data.raw root.raw --out vm -O vhdx --size 1G", "--size");
    refused("swap.raw data.vmdk --out . -O raw --force", "is a file of the source");
    // The target of one would be the parent of the other.
    bench.rehome(&["convert", "swap.raw", "base.qcow2"]).ends(0);
    bench.qemu_img(&["create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "top.qcow2"]);
    bench.disk("base.raw", MIB, &[(0, 4096)]);
    refused("base.raw top.qcow2 --out . -O qcow2 --force", "is a file of the source");
}

#[test]
fn no_disk_takes_a_file_of_another() {
    let bench = Bench::new();
    bench.disk("a.raw", 2 * MIB, &[(0, 4096)]);
    bench.disk("a-flat.raw", MIB, &[(0, 4096)]);
    let both = ["convert", "a.raw", "a-flat.raw", "-O", "vmdk", "--out", "vm"];
    bench.rehome(&[&both[..], &["-o", "subformat=monolithicFlat", "--force"]].concat()).ends(2);
    assert!(!bench.path("vm").exists());
    bench.rehome(&both).ends(0);
}
