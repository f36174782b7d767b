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
    // One byte, wherever it is: refused, or the manifest says what it said.
    let wanted: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    for at in (0..manifest.len()).step_by(7) {
        let mut bytes = manifest.clone().into_bytes();
        bytes[at] ^= 1;
        let same = serde_json::from_slice::<serde_json::Value>(&bytes).is_ok_and(|found| found == wanted);
        bench.write("copy.raw.rehome.json", bytes);
        let code = bench.rehome(&["verify", "copy.raw"]).code;
        assert_eq!(code, Some(if same { 0 } else { 65 }), "byte {at}");
    }
    bench.write("copy.raw.rehome.json", &manifest);
    bench.flip("copy.raw.rehome.blocks", 40);
    bench.rehome(&["verify", "copy.raw"]).ends(65);
    std::fs::remove_file(bench.path("copy.raw.rehome.blocks")).unwrap();
    bench.rehome(&["verify", "copy.raw"]).ends(66);
}

#[test]
fn differing_ranges_are_joined_and_listed() {
    let bench = Bench::new();
    bench.disk("disk.raw", 150 * MIB + 100, &[(0, 150 * MIB + 100)]);
    bench.rehome(&["convert", "disk.raw", "copy.raw"]).ends(0);
    for at in [4 * MIB, 8 * MIB, 20 * MIB, 150 * MIB + 99] {
        bench.flip("copy.raw", at);
    }
    let found = bench.rehome(&["verify", "copy.raw", "--output", "json"]).ends(1).json();
    let range = |offset: u64, len: u64| serde_json::json!({ "offset": offset, "len": len });
    let wanted = [range(4 * MIB, 8 * MIB), range(20 * MIB, 4 * MIB), range(148 * MIB, 2 * MIB + 100)];
    assert_eq!(found["differing"]["ranges"], serde_json::Value::from(wanted.to_vec()));
    assert_eq!((&found["differing_blocks"], &found["differing"]["count"]), (&4.into(), &3.into()));
    (0..12).for_each(|index| bench.flip("copy.raw", (28 + index * 8) * MIB));
    let text = bench.rehome(&["verify", "copy.raw"]).ends(1).stdout;
    assert!(text.contains("16 differing blocks") && text.contains("… and 5 more"), "{text}");
}

#[test]
fn a_sample_checks_the_wanted_share_and_its_seed_chooses_the_same_again() {
    let bench = Bench::new();
    // 20 blocks of data and 30 of holes.
    bench.disk("disk.raw", 200 * MIB, &[(0, 80 * MIB)]);
    bench.rehome(&["convert", "disk.raw", "copy.raw"]).ends(0);
    let sample = |args: &[&str], code| {
        let args = [&["verify", "copy.raw", "--output", "json", "--sample"][..], args].concat();
        bench.rehome(&args).ends(code).json()
    };
    let found = sample(&["10%"], 0);
    assert_eq!(
        (&found["sample"]["checked_blocks"], &found["sample"]["data_blocks"]),
        (&2.into(), &20.into())
    );
    assert_eq!((&found["found"], &found["data_bytes"]), (&serde_json::Value::Null, &(8 * MIB).into()));
    assert_eq!(sample(&["0.001%"], 0)["sample"]["checked_blocks"], 1);
    assert_eq!(sample(&["100"], 0)["sample"]["checked_blocks"], 20);
    let text = bench.rehome(&["verify", "copy.raw", "--sample", "5%", "--seed", "17"]).ends(0).stdout;
    assert!(text.contains("seed 17") && text.contains("unproven"), "{text}");
    // One damaged block of twenty: some seeds of a sample of one find it, most do not, each always the same.
    bench.flip("copy.raw", 30 * MIB);
    let finds = |seed: &str| {
        let run =
            bench.rehome(&["verify", "copy.raw", "--sample", "25%", "--seed", seed, "--output", "json"]);
        (run.code, run.json()["first_difference"].as_u64())
    };
    let seeds: Vec<String> = (0..24).map(|seed| seed.to_string()).collect();
    let first: Vec<_> = seeds.iter().map(|seed| finds(seed)).collect();
    assert!(first.contains(&(Some(1), Some(28 * MIB))) && first.contains(&(Some(0), None)), "{first:?}");
    assert_eq!(first, seeds.iter().map(|seed| finds(seed)).collect::<Vec<_>>());
    for wrong in ["0%", "101%", "x", "-1"] {
        bench.rehome(&["verify", "copy.raw", &format!("--sample={wrong}")]).ends(2);
    }
    bench.rehome(&["verify", "copy.raw", "--seed", "1"]).ends(2);
}

#[test]
fn a_sample_sees_data_that_came_and_data_that_went() {
    let bench = Bench::new();
    bench.disk("disk.raw", 40 * MIB, &[(0, 4 * MIB)]);
    bench.rehome(&["convert", "disk.raw", "copy.raw"]).ends(0);
    bench.disk("copy.raw", 40 * MIB, &[(20 * MIB, 100)]);
    let found = bench.rehome(&["verify", "copy.raw", "--sample", "100%", "--output", "json"]).ends(1).json();
    assert_eq!((&found["differing_blocks"], &found["sample"]["data_blocks"]), (&2.into(), &2.into()));
    bench.bash("truncate -s 39M copy.raw").ends(0);
    bench.rehome(&["verify", "copy.raw", "--sample", "100%"]).ends(1);
}

/// A workbench's runs end after a minute: reading the holes would not.
#[test]
fn a_terabyte_of_holes_is_verified_without_reading_it() {
    let bench = Bench::new();
    let tib = 1 << 40;
    bench.disk("disk.raw", tib, &[(0, 100), (tib / 2, 100), (tib - 10, 10)]);
    bench.rehome(&["convert", "disk.raw", "copy.qcow2"]).ends(0);
    for image in ["copy.qcow2", "disk.raw"] {
        let manifest = ["--manifest", "copy.qcow2.rehome.json", "--output", "json"];
        let found = bench.rehome(&[&["verify", image][..], &manifest].concat()).ends(0).json();
        assert!(found["data_bytes"].as_u64().unwrap() <= 12 * MIB, "{found:#}");
        bench.rehome(&[&["verify", image, "--sample", "1%"][..], &manifest].concat()).ends(0);
    }
    bench.flip("disk.raw", tib / 2 + 50);
    let found = bench.rehome(&["diff", "disk.raw", "copy.qcow2", "--output", "json"]).ends(1).json();
    assert_eq!(found["differing"]["bytes"], 512);
}
