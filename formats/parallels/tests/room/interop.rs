//! Judged by qemu-img: its images read by us, ours made by hand read by it, and what both find broken.

use crate::builder::{Plan, SECTOR, at, check, content, open_path};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Output};

const MIB: usize = 1 << 20;

fn run(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new("timeout").args(["60", program]).args(arguments).output();
    output.expect("timeout is missing: install coreutils")
}

fn good(program: &str, arguments: &[&str]) {
    let output = run(program, arguments);
    assert!(output.status.success(), "{program} (package qemu-utils) {arguments:?}: {output:?}");
}

/// The disk that qemu-img reads in an image.
fn theirs(image: &Path) -> Vec<u8> {
    let raw = image.with_extension("converted");
    let [from, to] = [image, &raw].map(|path| path.to_str().unwrap());
    good("qemu-img", &["convert", "-f", "parallels", "-O", "raw", from, to]);
    std::fs::read(raw).unwrap()
}

#[test]
fn images_of_qemu_img_read_as_it_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    let [raw, image] = ["a.raw", "a.hds"].map(|name| folder.path().join(name));
    let [raw_text, image_text] = [&raw, &image].map(|path| path.to_str().unwrap());
    for (size, cluster) in [(7 * MIB, "1M"), (5 * MIB + 3 * SECTOR, "64k"), (3 * MIB + SECTOR, "4k")] {
        let file = File::create(&raw).unwrap();
        file.set_len(size as u64).unwrap();
        for (at, len) in [(0, 1), (MIB - 700, 1400), (2 * MIB + 5, 300_000), (size - 512, 512)] {
            file.write_all_at(&vec![at as u8 | 3; len], at as u64).unwrap();
        }
        let option = format!("cluster_size={cluster}");
        good("qemu-img", &["convert", "-f", "raw", "-O", "parallels", "-o", &option, raw_text, image_text]);
        let expected = std::fs::read(&raw).unwrap();
        assert!(content(&open_path(&image, None).unwrap()).unwrap() == expected, "{cluster}");
        assert!(check(&std::fs::read(&image).unwrap()).unwrap().is_clean());
        // Written on, in no order.
        for (format, path) in [("raw", raw_text), ("parallels", image_text)] {
            let writes = ["-f", format, "-c", "write -P 7 2M 64k", "-c", "write -P 8 1M 100k", path];
            good("qemu-io", &writes);
        }
        let expected = std::fs::read(&raw).unwrap();
        assert!(content(&open_path(&image, None).unwrap()).unwrap() == expected, "{cluster}, written on");
    }
}

#[test]
fn both_forms_are_read_alike() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.hds");
    for ext in [false, true] {
        for tracks in [1, 3, 8, 63] {
            let plan = Plan { tracks, sectors: tracks * 9 + tracks.div_ceil(2), ..Plan::sample(ext) };
            let image = plan.build();
            std::fs::write(&path, &image.bytes).unwrap();
            assert!(theirs(&path) == image.content, "{plan:?}");
            assert!(content(&open_path(&path, None).unwrap()).unwrap() == image.content, "{plan:?}");
        }
    }
}

/// Our check and QEMU's count the same.
#[test]
fn both_checks_agree_on_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.hds");
    let plan = Plan { tracks: 8, sectors: 80, map: vec![2, 3, 0, 1, 0, 0, 4, 6, 0, 5], ..Plan::sample(true) };
    let image = plan.build();
    // A cluster outside the file is left out: qemu-img 10 aborts on it.
    let damages: [(&[(usize, u32)], usize); 5] = [
        (&[], 0),
        (&[(at::BAT, 3)], 0),
        (&[(at::IN_USE, 0x746f_6e59)], 0),
        (&[], 4096 * 3),
        (&[(at::BAT, 3), (at::BAT + 6 * 4, 3)], 4096),
    ];
    for (damage, more) in damages {
        let mut image = image.clone();
        for &(at, value) in damage {
            image.put(at, value);
        }
        image.bytes.resize(image.bytes.len() + more, 0);
        std::fs::write(&path, &image.bytes).unwrap();
        let output = run("qemu-img", &["check", "-f", "parallels", "--output=json", path.to_str().unwrap()]);
        let said: serde_json::Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
        let count = |key: &str| said.get(key).and_then(serde_json::Value::as_u64).unwrap_or(0);
        let report = check(&image.bytes).unwrap();
        let told = format!("{damage:?} {more}: {report:?} {said}");
        assert_eq!(report.errors, count("corruptions"), "{told}");
        assert_eq!(report.total_chunks, count("total-clusters"), "{told}");
        assert_eq!(report.allocated_chunks, count("allocated-clusters"), "{told}");
        assert_eq!(report.fragmented_chunks, count("fragmented-clusters"), "{told}");
        // It looks for leaks at the end of the file only, and what two clusters share leaves a place free.
        let shared = damage.iter().filter(|(at, _)| *at != at::IN_USE).count() as u64;
        assert_eq!(report.leaks, count("leaks") + shared, "{told}");
    }
}
