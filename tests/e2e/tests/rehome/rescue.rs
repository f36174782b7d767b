//! Sources on failing disks, and the mapfiles that rehome and ddrescue exchange.

use crate::bench::{Bench, MIB, Run, is_root, noise};

const SIZE: u64 = 12 * MIB + 512;
const BAD: [(u64, u64); 3] = [(5 * MIB + 512, 1024), (8 * MIB - 512, 1024), (SIZE - 512, 512)];

/// A bench with a dense disk and the library that lets it fail.
fn bench() -> Bench {
    let bench = Bench::new();
    bench.disk("disk.raw", SIZE, &[(0, SIZE)]);
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/preload/bad_sectors.c");
    bench.tool("gcc", "cc", &["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", "bad.so", source, "-ldl"]);
    bench
}

/// Runs the program while reads of `disk.raw` that touch `bad` fail.
fn failing(bench: &Bench, bad: &[(u64, u64)], args: &str) -> Run {
    let ranges: Vec<_> = bad.iter().map(|(offset, len)| format!("{offset}+{len}")).collect();
    let ranges = ranges.join(" ");
    bench.bash(&format!("LD_PRELOAD=./bad.so BAD_FILE=disk.raw BAD_RANGES='{ranges}' \"$REHOME\" {args}"))
}

/// The disk with zeros in those ranges.
fn holed(bench: &Bench, bad: &[(u64, u64)]) -> Vec<u8> {
    let mut bytes = bench.read("disk.raw");
    bad.iter().for_each(|&(offset, len)| bytes[offset as usize..(offset + len) as usize].fill(0));
    bytes
}

fn ranges(value: &serde_json::Value) -> Vec<(u64, u64)> {
    let number = |range: &serde_json::Value, key: &str| range[key].as_u64().unwrap();
    value.as_array().unwrap().iter().map(|r| (number(r, "offset"), number(r, "len"))).collect()
}

/// What ddrescuelog counts: lines of block numbers, blocks of 512 bytes, with that status.
fn blocks(bench: &Bench, mapfile: &str, status: &str) -> Vec<u64> {
    let text = bench.tool("gddrescue", "ddrescuelog", &["-b", "512", "-l", status, mapfile]);
    text.lines().map(|line| line.parse().unwrap()).collect()
}

#[test]
fn bad_sectors_end_the_run_unless_zeros_were_asked_for() {
    let bench = bench();
    let run = failing(&bench, &BAD, "convert -f raw disk.raw out.qcow2").ends(74);
    assert!(run.stderr.contains("Input/output error"), "{run:?}");
    assert!(!bench.path("out.qcow2").exists());
    // Its last sector is looked at to recognise the format.
    let run = failing(&bench, &BAD, "convert --on-read-error zero disk.raw out.qcow2").ends(74);
    assert!(run.stderr.contains("hint: name the format"), "{run:?}");
    let run = failing(&bench, &BAD, "convert -f raw --on-read-error zero disk.raw out.qcow2").ends(1);
    assert!(run.stderr.contains("[source-unreadable]"), "{run:?}");
    assert!(run.stdout.contains("0x400 bytes at 0x500200: "), "{run:?}");
    bench.write("expected", holed(&bench, &BAD));
    bench.qemu_img(&["compare", "-f", "raw", "-F", "qcow2", "expected", "out.qcow2"]);
    let args = "--output json convert -f raw --on-read-error retry=2 disk.raw out.raw";
    let json = failing(&bench, &BAD, args).ends(1).json();
    assert_eq!(ranges(&json["unreadable"]), BAD);
    assert_eq!(json["warnings"][0]["code"], "source-unreadable");
    assert_eq!(ranges(&bench.json_of("out.raw.rehome.json")["unreadable"]), BAD);
    assert_eq!(bench.read("out.raw"), bench.read("expected"));
    let run = bench.rehome(&["verify", "out.raw"]).ends(0);
    assert!(run.stdout.contains("2.5 KiB of it are zeros"), "{run:?}");
    bench.rehome(&["convert", "--on-read-error", "zero", "disk.raw", "whole.raw"]).ends(0);
    assert_eq!(bench.read("whole.raw"), bench.read("disk.raw"));
    assert!(bench.json_of("whole.raw.rehome.json").get("unreadable").is_none());
    for wrong in ["retry=", "retry=101", "retry=-1", "zeros"] {
        bench.rehome(&["convert", "--on-read-error", wrong, "disk.raw", "x.raw"]).ends(2);
    }
}

#[test]
fn damage_is_never_zeroed() {
    let bench = bench();
    bench.rehome(&["convert", "disk.raw", "disk.qcow2"]).ends(0);
    // The first entry of the active L1 table points outside of the file.
    bench.flip("disk.qcow2", 0x3_0001);
    let info = bench.try_tool("qemu-utils", "qemu-img", &["check", "disk.qcow2"]);
    assert_ne!(info.code, Some(0), "the image is damaged: {info:?}");
    bench.rehome(&["convert", "--on-read-error", "zero", "disk.qcow2", "out.raw"]).ends(65);
}

#[test]
fn an_image_on_a_failing_disk_loses_what_lies_there() {
    let bench = bench();
    std::fs::rename(bench.path("disk.raw"), bench.path("content")).unwrap();
    let small = ["-O", "qcow2", "-o", "cluster_size=4096", "content", "disk.raw"];
    bench.qemu_img(&[&["convert", "-f", "raw"], &small[..]].concat());
    let map = bench.qemu_img(&["map", "-f", "qcow2", "--output", "json", "disk.raw"]);
    let map: serde_json::Value = serde_json::from_str(&map).unwrap();
    let run = map.as_array().unwrap().iter().find(|run| {
        let start = run["start"].as_u64().unwrap();
        (start..start + run["length"].as_u64().unwrap()).contains(&(5 * MIB))
    });
    let run = run.unwrap();
    let host = run["offset"].as_u64().unwrap() + 5 * MIB - run["start"].as_u64().unwrap() + 1024;
    let args = "--output json convert -f qcow2 --on-read-error zero disk.raw out.raw --force";
    let json = failing(&bench, &[(host, 512)], args).ends(1).json();
    assert_eq!(ranges(&json["unreadable"]), [(5 * MIB + 1024, 512)]);
    let mut expected = bench.read("content");
    expected[(5 * MIB + 1024) as usize..][..512].fill(0);
    assert_eq!(bench.read("out.raw")[..SIZE as usize], expected);
    // The table of a part of the disk: its data are lost too, wherever they lie.
    let image = bench.read("disk.raw");
    let number = |at: u64| u64::from_be_bytes(image[at as usize..][..8].try_into().unwrap());
    let table = number(number(40) + 5 * 8) & 0xff_ffff_ffff_fe00;
    assert!(table > 2 * MIB, "the beginning of an image has to be readable");
    let json = failing(&bench, &[(table, 4096)], args).ends(1).json();
    assert_eq!(ranges(&json["unreadable"]), [(10 * MIB, 2 * MIB)]);
    let mut expected = bench.read("content");
    expected[10 * MIB as usize..12 * MIB as usize].fill(0);
    assert_eq!(bench.read("out.raw")[..SIZE as usize], expected);
}

#[test]
fn a_disk_that_is_gone_ends_the_run_with_74_at_once() {
    let bench = bench();
    std::fs::File::options()
        .write(true)
        .open(bench.path("disk.raw"))
        .and_then(|file| {
            file.set_len(2 << 40)?;
            // Not a hole, so that it is read.
            std::os::unix::fs::FileExt::write_all_at(&file, &noise(1, 512), (2 << 40) - 512)
        })
        .unwrap();
    let run = failing(&bench, &[(0, 4 << 40)], "convert -f raw --on-read-error retry=3 disk.raw out.qcow2")
        .ends(74);
    assert!(run.stderr.contains("does not answer any more"), "{run:?}");
    assert!(!bench.path("out.qcow2").exists());
}

#[test]
fn what_is_missing_is_tried_again_by_the_mapfile() {
    let bench = bench();
    for format in ["raw", "vhdx"] {
        let (map, target) = (format!("{format}.map"), format!("out.{format}"));
        let args = format!("convert -f raw --on-read-error zero --mapfile {map} disk.raw {target}");
        failing(&bench, &BAD, &args).ends(1);
        let bad: Vec<u64> = BAD.iter().flat_map(|(offset, len)| offset / 512..(offset + len) / 512).collect();
        assert_eq!(blocks(&bench, &map, "-"), bad, "ddrescue reads it");
        assert_eq!(blocks(&bench, &map, "+").len() as u64, SIZE / 512 - bad.len() as u64);
        assert_eq!(blocks(&bench, &map, "?*/"), [0u64; 0]);
        // One of the ranges can be read now; what was read already cannot any more, and is not asked for.
        let now = [(0, 5 * MIB), (6 * MIB, 2 * MIB + 512)];
        failing(&bench, &now, &args).ends(1);
        assert_eq!(blocks(&bench, &map, "-"), [16_383, 16_384]);
        bench.rehome(&["verify", &target]).ends(0);
        failing(&bench, &[(0, 5 * MIB)], &args).ends(0);
        bench.rehome(&["compare", "--strict", "disk.raw", &target]).ends(0);
        bench.qemu_img(&["compare", "-f", "raw", "-F", format, "disk.raw", &target]);
        assert!(bench.json_of(&format!("{target}.rehome.json")).get("unreadable").is_none());
        assert_eq!(bench.tool("gddrescue", "ddrescuelog", &["-D", &map]), "", "-D: is it done");
        failing(&bench, &[], &args).ends(73);
        failing(&bench, &[], &format!("{args} --force")).ends(0);
    }
}

#[test]
fn a_mapfile_of_something_else_is_refused() {
    let bench = bench();
    let convert = |map: &str, target: &str| {
        failing(
            &bench,
            &BAD,
            &format!("convert -f raw --on-read-error zero --mapfile {map} disk.raw {target}"),
        )
    };
    convert("a.map", "a.raw").ends(1);
    failing(&bench, &BAD[..1], "convert -f raw --on-read-error zero --mapfile b.map disk.raw b.raw").ends(1);
    let before = bench.read("b.raw");
    convert("a.map", "b.raw").ends(2);
    assert_eq!(bench.read("b.raw"), before);
    bench.disk("other.raw", SIZE, &[(0, SIZE / 2)]);
    let other = bench.rehome(&["convert", "--mapfile", "a.map", "other.raw", "a.raw"]).ends(2);
    assert!(other.stderr.contains("no copy of this source"), "{other:?}");
    for name in ["c.raw", "./c.raw", "c.raw.rehome.json", "c.raw.partial"] {
        convert(name, "c.raw").ends(2);
    }
    bench.write("theirs.map", "# Mapfile. Created by GNU ddrescue version 1.27\n0 + 1\n0 512 +\n");
    let run = convert("theirs.map", "c.raw").ends(2);
    assert!(run.stderr.contains("--source-mapfile"), "{run:?}");
    convert("disk.raw", "c.raw").ends(65);
    bench.bash("\"$REHOME\" convert -f raw --on-read-error zero - c.raw < disk.raw").ends(2);
    bench.bash("\"$REHOME\" convert --mapfile c.map disk.raw - -O raw > c.raw").ends(2);
    assert!(!bench.names().iter().any(|name| name == "c.map"));
}

#[test]
fn what_ddrescue_could_not_read_is_told() {
    let bench = bench();
    // The judge of both directions: ddrescue makes image and mapfile from a disk that fails by a mapfile of tests.
    bench.write(
        "domain.map",
        format!("# x\n0 + 1\n0 {} +\n{} 4096 -\n{} {} +\n", MIB, MIB, MIB + 4096, SIZE - MIB - 4096),
    );
    bench.tool("gddrescue", "ddrescue", &["-q", "-m", "domain.map", "disk.raw", "rescue.img", "rescue.map"]);
    let args = ["--output", "json", "convert", "rescue.img", "disk.qcow2", "--source-mapfile", "rescue.map"];
    let json = bench.rehome(&args).ends(1).json();
    assert_eq!(ranges(&json["unreadable"]), [(MIB, 4096)]);
    assert_eq!(ranges(&bench.json_of("disk.qcow2.rehome.json")["unreadable"]), [(MIB, 4096)]);
    bench.write("expected", holed(&bench, &[(MIB, 4096)]));
    bench.qemu_img(&["compare", "-f", "raw", "-F", "qcow2", "expected", "disk.qcow2"]);
    // What lies there is not what the disk held, and does not come through.
    let map = format!("0 ? 1\n0 {MIB} +\n{MIB} 512 -\n{} 512 /\n{} 512 *\n", MIB + 512, MIB + 1024);
    bench.write("short.map", map);
    let args = ["--output", "json", "convert", "disk.raw", "out.raw", "--source-mapfile", "short.map"];
    let json = bench.rehome(&args).ends(1).json();
    assert_eq!(ranges(&json["unreadable"]), [(MIB, 512), (MIB + 512, SIZE - MIB - 512)]);
    assert_eq!(bench.read("out.raw"), holed(&bench, &[(MIB, SIZE - MIB)]));
    let run = bench.rehome(&["convert", "disk.qcow2", "x.raw", "--source-mapfile", "rescue.map"]).ends(2);
    assert!(run.stderr.contains("raw image"), "{run:?}");
}

#[test]
fn a_copy_onto_a_device_that_ended_early_goes_on_where_it_ended() {
    if !is_root() {
        return;
    }
    let bench = bench();
    bench.write("device.img", vec![0xee; 13 * MIB as usize]);
    let attached = bench.tool("mount", "losetup", &["-f", "--show", "device.img"]);
    let device = attached.trim();
    let args = format!("--threads 1 convert -f raw --mapfile d.map -n --overwrite-device disk.raw {device}");
    let ended = failing(&bench, &BAD, &args);
    let [done, left] = ["+", "?"].map(|status| blocks(&bench, "d.map", status).len() as u64 * 512);
    bench.disk("other.raw", SIZE, &[(1, SIZE / 2)]);
    let onto = ["convert", "--mapfile", "d.map", "-n", "--overwrite-device", "other.raw", device];
    let other = bench.rehome(&onto);
    let again = failing(&bench, &[(0, 3 * MIB)], &args);
    let written = bench.bash(&format!("cat {device} > written"));
    bench.tool("mount", "losetup", &["-d", device]);
    ended.ends(74);
    other.ends(2);
    again.ends(0);
    written.ends(0);
    assert_eq!((done, left), (4 * MIB, SIZE - 4 * MIB), "the second block cannot be read");
    let written = bench.read("written");
    assert!(written[..SIZE as usize] == bench.read("disk.raw"));
    assert!(written[SIZE as usize..].iter().all(|byte| *byte == 0xee));
    assert_eq!(bench.tool("gddrescue", "ddrescuelog", &["-D", "d.map"]), "");
}
