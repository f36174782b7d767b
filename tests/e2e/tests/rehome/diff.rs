//! Where two disks differ, judged by `cmp` for the ranges and by `debugfs` for the files.

use crate::bench::{Bench, MIB, noise};
use serde_json::Value;
use std::collections::BTreeSet;

/// Where the partition with the file system begins.
const START: u64 = MIB;

/// A GPT disk with an ext4 of these options and an EFI partition.
fn guest(bench: &Bench, options: &[&str]) {
    for folder in ["root/etc", "root/var/lib/deep"] {
        std::fs::create_dir_all(bench.path(folder)).unwrap();
    }
    bench.write("root/etc/hosts", "127.0.0.1 localhost\n");
    bench.write("root/etc/large", noise(3, 3_000_000));
    bench.write("root/var/lib/deep/file", noise(4, 100_000));
    std::fs::hard_link(bench.path("root/etc/hosts"), bench.path("root/etc/hosts.too")).unwrap();
    bench.disk("part", 32 * MIB, &[]);
    bench.tool("e2fsprogs", "mke2fs", &[&["-q", "-d", "root"][..], options, &["part"]].concat());
    bench.disk("a.raw", 48 * MIB, &[]);
    bench.write(
        "table",
        "label: gpt\nstart=2048, size=65536, type=linux\nstart=67584, size=16384, type=uefi\n",
    );
    bench.bash("sfdisk -q a.raw <table").ends(0);
    put_back(bench, "a.raw");
    bench.bash("cp a.raw b.raw").ends(0);
}

/// Writes the file system into its partition of the disk.
fn put_back(bench: &Bench, disk: &str) {
    bench.bash(&format!("dd if=part of={disk} bs=1M seek=1 conv=notrunc status=none")).ends(0);
}

fn debugfs(bench: &Bench, request: &str) -> String {
    bench.tool("e2fsprogs", "debugfs", &["-w", "-R", request, "part"])
}

/// The blocks of a file, in file order.
fn blocks(bench: &Bench, path: &str) -> Vec<u64> {
    debugfs(bench, &format!("blocks {path}")).split_whitespace().map(|word| word.parse().unwrap()).collect()
}

fn block_size(bench: &Bench) -> u64 {
    let stats = debugfs(bench, "stats");
    let line = stats.lines().find(|line| line.starts_with("Block size:")).unwrap();
    line.split_whitespace().next_back().unwrap().parse().unwrap()
}

/// The sectors in which `cmp` finds the disks different.
fn judged_sectors(bench: &Bench, a: &str, b: &str) -> BTreeSet<u64> {
    let run = bench.try_tool("diffutils", "cmp", &["-l", a, b]);
    let byte = |line: &str| line.split_whitespace().next().unwrap().parse::<u64>().unwrap() - 1;
    run.stdout.lines().map(|line| byte(line) / 512).collect()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn sectors(ranges: &Value) -> BTreeSet<u64> {
    let ranges = ranges.as_array().unwrap();
    ranges
        .iter()
        .flat_map(|r| number(&r["offset"]) / 512..(number(&r["offset"]) + number(&r["len"])) / 512)
        .collect()
}

/// The place in which a byte of the disk lies.
fn place_of(places: &Value, offset: u64) -> &Value {
    let holds =
        |p: &&Value| (number(&p["offset"])..number(&p["offset"]) + number(&p["len"])).contains(&offset);
    places["places"].as_array().unwrap().iter().find(holds).unwrap_or(&Value::Null)
}

#[test]
fn changed_files_are_found_by_their_blocks_in_every_kind_of_ext() {
    for options in [&["-t", "ext4"][..], &["-t", "ext4", "-b", "4096"], &["-t", "ext3"], &["-t", "ext2"]] {
        let bench = Bench::new();
        guest(&bench, options);
        let size = block_size(&bench);
        // Far inside, where ext2 and ext3 map by double indirect blocks.
        let changes: Vec<(&str, u64)> = vec![
            ("/etc/large", blocks(&bench, "/etc/large")[2_000_000 / size as usize]),
            ("/var/lib/deep/file", blocks(&bench, "/var/lib/deep/file")[3]),
        ];
        for (_, block) in &changes {
            bench.flip("b.raw", START + block * size + 700);
        }
        bench.flip("b.raw", 40 * MIB);
        let found = bench.rehome(&["diff", "a.raw", "b.raw", "--output", "json"]).ends(1).json();
        assert_eq!(sectors(&found["differing"]["ranges"]), judged_sectors(&bench, "a.raw", "b.raw"));
        assert_eq!(found["differing"]["count"], 3, "{found:#}");
        for (path, block) in changes {
            let place = place_of(&found["places_a"], START + block * size + 700);
            assert_eq!(
                (&place["partition"], &place["paths"]),
                (&1.into(), &serde_json::json!([path])),
                "{options:?}"
            );
            let owner = debugfs(&bench, &format!("icheck {block}"));
            let inode = owner.split_whitespace().next_back().unwrap();
            assert_eq!(place["inode"].to_string(), inode, "{options:?} {path}");
            assert_eq!(place, place_of(&found["places_b"], START + block * size + 700));
        }
        assert_eq!(place_of(&found["places_a"], 40 * MIB)["partition"], 2);
        assert_eq!(found["places_a"]["gaps"], serde_json::json!([]));
        let text = bench.rehome(&["diff", "a.raw", "b.raw"]).ends(1).stdout;
        assert!(text.contains("/etc/large") && text.contains("/var/lib/deep/file"), "{text}");
    }
}

#[test]
fn a_new_file_is_told_with_the_metadata_that_it_needed() {
    let bench = Bench::new();
    guest(&bench, &["-t", "ext4", "-b", "4096"]);
    bench.write("new", noise(9, 9000));
    debugfs(&bench, "write new /etc/new");
    put_back(&bench, "b.raw");
    let found = bench.rehome(&["diff", "a.raw", "b.raw", "--output", "json"]).ends(1).json();
    assert_eq!(sectors(&found["differing"]["ranges"]), judged_sectors(&bench, "a.raw", "b.raw"));
    let at = START + blocks(&bench, "/etc/new")[0] * 4096;
    assert_eq!(place_of(&found["places_a"], at)["kind"], "free");
    assert_eq!(place_of(&found["places_b"], at)["paths"], serde_json::json!(["/etc/new"]));
    let parts: BTreeSet<_> =
        found["places_b"]["places"].as_array().unwrap().iter().filter_map(|p| p["part"].as_str()).collect();
    for part in ["superblock", "block bitmap", "inode bitmap"] {
        assert!(parts.contains(format!("{part} of group 0").as_str()), "{part}: {parts:?}");
    }
    // Two inodes of 256 bytes share a sector: the new file's, with an odd or an even number.
    let place = place_of(&found["places_b"], at);
    let first = (number(&place["inode"]) - 1) / 2 * 2 + 1;
    let inodes = format!("inode table of group 0, inodes {first} to {}", first + 1);
    assert!(parts.contains(inodes.as_str()), "{inodes}: {parts:?}");
    let text = bench.rehome(&["diff", "a.raw", "b.raw"]).ends(1).stdout;
    let line = text.lines().find(|line| line.contains("/etc/new")).unwrap();
    assert!(line.ends_with("only in B"), "{text}");
    let folder = START + blocks(&bench, "/etc")[0] * 4096;
    assert_eq!(place_of(&found["places_a"], folder)["paths"], serde_json::json!(["/etc"]));
}

#[test]
fn all_names_of_a_file_and_the_journal_and_the_table_are_told() {
    let bench = Bench::new();
    guest(&bench, &["-t", "ext4", "-b", "1024", "-O", "^inline_data"]);
    let hosts = START + blocks(&bench, "/etc/hosts")[0] * 1024;
    // The journal's first block is its superblock, which must stay as it is; it is clean, so others do not matter.
    let journal = START + blocks(&bench, "<8>")[9] * 1024;
    for offset in [hosts, journal, 1024 + 16] {
        bench.flip("b.raw", offset);
    }
    let found = bench.rehome(&["diff", "a.raw", "b.raw", "--output", "json"]).ends(1).json();
    assert_eq!(
        place_of(&found["places_a"], hosts)["paths"],
        serde_json::json!(["/etc/hosts", "/etc/hosts.too"])
    );
    assert_eq!(place_of(&found["places_a"], journal)["part"], "journal");
    assert_eq!(place_of(&found["places_a"], 1024)["kind"], "partition table");
}

#[test]
fn other_formats_and_sizes_are_compared_as_the_guest_sees_them() {
    let bench = Bench::new();
    bench.disk("a.raw", 20 * MIB, &[(0, 3 * MIB), (15 * MIB, 1000)]);
    bench.rehome(&["convert", "a.raw", "b.qcow2"]).ends(0);
    let run = bench.rehome(&["diff", "a.raw", "b.qcow2"]).ends(0);
    assert_eq!(run.stdout, "the disks are the same\n");
    bench.bash("cp a.raw c.raw && truncate -s 30M c.raw").ends(0);
    let run = bench.rehome(&["diff", "b.qcow2", "c.raw"]).ends(1);
    assert!(run.stdout.starts_with("the sizes differ: 20971520 and 31457280 bytes"), "{run:?}");
    bench.flip("c.raw", 15 * MIB + 5);
    bench.flip("c.raw", 25 * MIB);
    let found = bench.rehome(&["diff", "c.raw", "b.qcow2", "--output", "json"]).ends(1).json();
    assert_eq!(found["differing"]["ranges"], serde_json::json!([{ "offset": 15 * MIB, "len": 512 }]));
    assert_eq!((&found["same"], &found["compared"]), (&false.into(), &(20 * MIB).into()));
}

#[test]
fn against_a_manifest_blocks_are_told() {
    let bench = Bench::new();
    guest(&bench, &["-t", "ext4", "-b", "4096"]);
    bench.rehome(&["convert", "a.raw", "copy.vhdx"]).ends(0);
    let manifest = "copy.vhdx.rehome.json";
    bench.rehome(&["diff", "a.raw", manifest]).ends(0);
    let at = START + blocks(&bench, "/etc/large")[100] * 4096;
    bench.flip("b.raw", at);
    bench.flip("b.raw", 40 * MIB);
    let found = bench.rehome(&["diff", "b.raw", manifest, "--output", "json"]).ends(1).json();
    let block = |at: u64| serde_json::json!({ "offset": at / (4 * MIB) * 4 * MIB, "len": 4 * MIB });
    assert_eq!(found["differing"]["ranges"], serde_json::json!([block(at), block(40 * MIB)]));
    assert_eq!(place_of(&found["places_a"], at)["paths"], serde_json::json!(["/etc/large"]));
    assert_eq!(found["places_b"], Value::Null);
    bench.rehome(&["diff", manifest, "a.raw"]).ends(2);
    bench.rehome(&["diff", "a.raw", "other.rehome.json"]).ends(66);
    bench.bash("truncate -s 50M b.raw").ends(0);
    let found = bench.rehome(&["diff", "b.raw", manifest, "--output", "json"]).ends(1).json();
    assert_eq!((&found["size_b"], &found["compared"]), (&(48 * MIB).into(), &(48 * MIB).into()));
}

#[test]
fn long_listings_are_cut_for_people_and_whole_in_json() {
    let bench = Bench::new();
    bench.disk("a.raw", 2 * MIB, &[(0, 2 * MIB)]);
    bench.bash("cp a.raw b.raw").ends(0);
    (0..50).for_each(|index| bench.flip("b.raw", index * 2048));
    let text = bench.rehome(&["diff", "-f", "raw", "-F", "raw", "a.raw", "b.raw"]).ends(1).stdout;
    assert!(text.contains("… and 30 more"), "{text}");
    let found =
        bench.rehome(&["diff", "-f", "raw", "-F", "raw", "a.raw", "b.raw", "--output=json"]).ends(1).json();
    assert_eq!(found["differing"]["ranges"].as_array().unwrap().len(), 50);
}

#[test]
fn damaged_file_systems_are_a_gap_and_no_hang() {
    let bench = Bench::new();
    guest(&bench, &["-t", "ext4", "-b", "1024", "-O", "^metadata_csum"]);
    bench.flip("b.raw", START + blocks(&bench, "/etc/large")[5] * 1024);
    // A folder that holds itself, and group descriptors of noise.
    debugfs(&bench, "link /etc /etc/again");
    put_back(&bench, "a.raw");
    let found = bench.rehome(&["diff", "a.raw", "b.raw", "--output", "json"]).ends(1).json();
    let at = START + blocks(&bench, "/etc/large")[5] * 1024;
    assert_eq!(place_of(&found["places_a"], at)["paths"], serde_json::json!(["/etc/large"]));
    bench.write("noise", noise(5, 1024));
    bench.bash("dd if=noise of=a.raw bs=1k seek=1026 conv=notrunc status=none").ends(0);
    let found = bench.rehome(&["diff", "a.raw", "b.raw", "--output", "json"]).ends(1).json();
    assert_ne!(found["places_a"]["gaps"], serde_json::json!([]), "{found:#}");
    assert_eq!(found["places_b"]["gaps"], serde_json::json!([]));
}
