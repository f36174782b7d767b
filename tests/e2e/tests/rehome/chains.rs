//! chain: what it shows of whole and of broken chains.

use crate::bench::{Bench, MIB, noise};

/// Formats of which we write differences.
const FORMATS: [&str; 4] = ["qcow2", "vhdx", "vhd", "vmdk"];

/// A base and `count` differences in a row, `0.EXT` the base, with the raw disk of each as `N.raw`.
pub fn chain_of(bench: &Bench, format: &str, count: u32, size: u64) {
    bench.disk("0.raw", size, &[(0, size / 4), (size / 2, size / 8)]);
    bench.rehome(&["convert", "0.raw", &format!("0.{format}")]).ends(0);
    let mut bytes = bench.read("0.raw");
    for point in 1..=count {
        // New data in a place of its own, data over data, and data that become zeros.
        let (own, shared) = (size / 2 + u64::from(point) * size / 32, u64::from(point % 3) * 70_000);
        bytes[own as usize..][..300_000].copy_from_slice(&noise(u64::from(point), 300_000));
        bytes[shared as usize..][..9000].copy_from_slice(&noise(u64::from(point) + 77, 9000));
        let zeros = (u64::from(point) * 200_000) as usize;
        bytes[zeros..][..65_536].fill(0);
        bench.write(&format!("{point}.raw"), bytes.clone());
        let (base, top, child) =
            (format!("{}.{format}", point - 1), format!("{point}.raw"), format!("{point}.{format}"));
        bench.rehome(&["delta", &base, &top, &child]).ends(0);
    }
}

fn states(json: &serde_json::Value) -> Vec<&str> {
    json["chain"].as_array().unwrap().iter().map(|image| image["state"].as_str().unwrap()).collect()
}

#[test]
fn a_chain_is_shown_from_the_top_to_its_base() {
    for format in FORMATS {
        let bench = Bench::new();
        chain_of(&bench, format, 3, 8 * MIB);
        let json = bench.rehome(&["chain", "--output", "json", &format!("3.{format}")]).ends(0).json();
        assert_eq!(states(&json), ["ok", "ok", "ok", "base"], "{format}");
        assert_eq!(json["total"]["images"], 4);
        let images = json["chain"].as_array().unwrap();
        for (child, parent) in images.iter().zip(&images[1..]) {
            assert_eq!(child["parent"]["identity"], parent["identity"], "{format}");
            // 300,000 bytes of its own and little more, in chunks.
            let held = child["held_bytes"].as_u64().unwrap();
            assert!((300_000..MIB).contains(&held), "{format}: {held}");
        }
        let text = bench.rehome(&["chain", &format!("3.{format}")]).ends(0).stdout;
        assert!(text.contains(&format!("0.{format}")) && text.contains("4 images:"), "{text}");
        assert!(json["error"].is_null());
    }
}

#[test]
fn a_broken_chain_is_shown_as_far_as_it_goes() {
    for format in FORMATS {
        let bench = Bench::new();
        chain_of(&bench, format, 3, 8 * MIB);
        let name = |point: u32| format!("{point}.{format}");
        std::fs::rename(bench.path(&name(1)), bench.path(&format!("moved.{format}"))).unwrap();
        let run = bench.rehome(&["chain", "--output", "json", &name(3)]).ends(66);
        assert_eq!(states(&run.json()), ["ok", "parent-missing"], "{format}");
        let hint = run.json()["error"]["hint"].as_str().unwrap().to_owned();
        if format == "qcow2" {
            assert!(hint.contains("put it back there"), "{hint}");
        } else {
            // The right file is there, under another name.
            assert!(hint.contains(&format!("--parent ./moved.{format}")), "{hint}");
            let parent = format!("moved.{format}");
            let json =
                bench.rehome(&["chain", "--output", "json", &name(3), "--parent", &parent]).ends(0).json();
            assert_eq!(states(&json), ["ok", "ok", "ok", "base"], "{format}");
        }
        std::fs::rename(bench.path(&format!("moved.{format}")), bench.path(&name(1))).unwrap();

        // Another disk under the parent's name: an identity tells, and for qcow2 the time.
        bench.rehome(&["convert", "--force", "0.raw", &name(0)]).ends(0);
        if format == "qcow2" {
            let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
            std::fs::File::open(bench.path(&name(0))).unwrap().set_modified(later).unwrap();
            let run = bench.rehome(&["chain", &name(3)]).ends(0);
            assert!(run.stderr.contains("[parent-newer]"), "{run:?}");
        } else {
            let json = bench.rehome(&["chain", "--output", "json", &name(3)]).ends(65).json();
            assert_eq!(states(&json), ["ok", "ok", "parent-changed", "base"], "{format}");
        }
    }
}

#[test]
fn a_folder_shows_its_trees_and_forks() {
    let bench = Bench::new();
    chain_of(&bench, "qcow2", 2, 8 * MIB);
    bench.rehome(&["delta", "0.qcow2", "2.raw", "fork.qcow2"]).ends(0);
    bench.write("note.txt", b"no image");
    let json = bench.rehome(&["chain", "--output", "json", "."]).ends(0).json();
    let images = json["images"].as_array().unwrap();
    let name =
        |at: &serde_json::Value| images[at.as_u64().unwrap() as usize]["path"].as_str().unwrap().to_owned();
    let tops: Vec<_> = json["tops"].as_array().unwrap().iter().map(name).collect();
    assert_eq!(tops, ["./2.qcow2", "./fork.qcow2"]);
    let children: Vec<_> = images[0]["children"].as_array().unwrap().iter().map(name).collect();
    assert_eq!(children, ["./1.qcow2", "./fork.qcow2"]);
    let text = bench.rehome(&["chain", "."]).ends(0).stdout;
    assert_eq!(text.lines().filter(|line| line.contains("qcow2")).count(), 4, "{text}");

    // Circles end, and are shown.
    bench.qemu_img(&["rebase", "-u", "-b", "2.qcow2", "-F", "qcow2", "0.qcow2"]);
    let run = bench.rehome(&["chain", "."]).ends(65);
    assert!(run.stderr.contains("its own ancestor") && run.stdout.contains("0.qcow2"), "{run:?}");
    bench.rehome(&["chain", "2.qcow2"]).ends(65);
}
