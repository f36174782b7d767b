//! An image and the manifest that was written with it.

use crate::bench::{Bench, MIB};

fn converted() -> Bench {
    let bench = Bench::new();
    bench.disk("disk.raw", 10 * MIB, &[(0, 5 * MIB), (9 * MIB, 100)]);
    bench.rehome(&["convert", "disk.raw", "copy.raw"]).ends(0);
    bench
}

#[test]
fn an_untouched_image_is_verified_under_any_format() {
    let bench = converted();
    let run = bench.rehome(&["verify", "copy.raw"]).ends(0);
    assert!(run.stdout.starts_with("verified: "), "{run:?}");
    bench.qemu_img(&["convert", "-f", "raw", "-O", "qcow2", "copy.raw", "other.qcow2"]);
    bench.rehome(&["verify", "other.qcow2"]).ends(66);
    let found =
        bench.rehome(&["verify", "other.qcow2", "--manifest", "copy.raw.rehome.json", "--output=json"]);
    let found = found.ends(0).json();
    assert_eq!(found["ok"], true);
    assert_eq!(found["expected"], found["found"]);
}

#[test]
fn the_digest_is_that_of_the_disk_not_of_the_file() {
    let bench = converted();
    let digest = |name: &str| {
        let run = bench.rehome(&["digest", name, "--output", "json"]).ends(0);
        let json = run.json();
        assert_eq!(json["algorithm"], "rehome-disk-digest-v1");
        json["digest"].as_str().unwrap().to_owned()
    };
    let wanted = digest("disk.raw");
    assert_eq!(bench.json_of("copy.raw.rehome.json")["digest"], wanted);
    for (format, options) in
        [("qcow2", "cluster_size=2M"), ("vmdk", "subformat=streamOptimized"), ("vhdx", "subformat=fixed")]
    {
        let name = format!("theirs.{format}");
        bench.qemu_img(&["convert", "-f", "raw", "-O", format, "-o", options, "disk.raw", &name]);
        assert_eq!(digest(&name), wanted, "{name}");
    }
    bench.flip("disk.raw", 7 * MIB);
    assert_ne!(digest("disk.raw"), wanted);
}

#[test]
fn one_changed_byte_is_found() {
    let bench = converted();
    bench.flip("copy.raw", 6 * MIB + 5);
    let run = bench.rehome(&["verify", "copy.raw"]).ends(1);
    assert!(run.stdout.contains("the first at 0x400000"), "{run:?}");
    let found = bench.rehome(&["verify", "copy.raw", "--output", "json"]).ends(1).json();
    assert_eq!((&found["ok"], &found["first_difference"]), (&false.into(), &(4 * MIB).into()));
    std::fs::File::options().write(true).open(bench.path("copy.raw")).unwrap().set_len(9 * MIB).unwrap();
    let run = bench.rehome(&["verify", "copy.raw"]).ends(1);
    assert!(run.stdout.contains("size 9437184 instead of 10485760 bytes"), "{run:?}");
}

#[test]
fn a_manifest_that_was_tampered_with_is_refused() {
    let bench = converted();
    let manifest = String::from_utf8(bench.read("copy.raw.rehome.json")).unwrap();
    let digest = bench.json_of("copy.raw.rehome.json")["digest"].as_str().unwrap().to_owned();
    let other = if digest.starts_with('0') { "1" } else { "0" };
    for (what, tampered) in [
        ("digest", manifest.replace(&digest, &format!("{other}{}", &digest[1..]))),
        ("digest that is none", manifest.replace(&digest, "zz")),
        ("size", manifest.replace("\"virtual_size\": 10485760", "\"virtual_size\": 10485761")),
        (
            "absurd size",
            manifest.replace("\"virtual_size\": 10485760", "\"virtual_size\": 18446744073709551615"),
        ),
        ("list elsewhere", manifest.replace("copy.raw.rehome.blocks", "../copy.raw.rehome.blocks")),
        ("cut", manifest[..manifest.len() / 2].to_owned()),
        ("empty", String::new()),
    ] {
        assert_ne!(tampered, manifest, "{what}");
        bench.write("copy.raw.rehome.json", tampered);
        let run = bench.rehome(&["verify", "copy.raw"]);
        assert!(matches!(run.code, Some(65 | 69)), "{what}: {run:?}");
    }
    bench.write("copy.raw.rehome.json", &manifest);
    bench.flip("copy.raw.rehome.blocks", 40);
    bench.rehome(&["verify", "copy.raw"]).ends(65);
    std::fs::remove_file(bench.path("copy.raw.rehome.blocks")).unwrap();
    bench.rehome(&["verify", "copy.raw"]).ends(66);
}
