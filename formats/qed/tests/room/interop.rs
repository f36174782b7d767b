//! qemu-img makes the images, reads them, and judges them.

use crate::maker::{Maker, check, read_all};
use format_core::{FileStorage, Format, OpenOptions, OpenedImage, open_image};
use format_qed::FORMAT;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

static FORMATS: &[&Format] = &[&FORMAT, &RAW];

/// Raw disks as parents.
static RAW: Format = Format {
    name: "raw",
    extensions: &["raw"],
    probe: |_, _| format_core::Score::Possible,
    open_layer: Some(raw),
    ..Format::NONE
};

struct Raw(Arc<dyn format_core::Storage>);

fn raw(
    storage: Arc<dyn format_core::Storage>,
    _: &format_core::LayerContext,
) -> format_core::Result<Box<dyn format_core::Layer>> {
    Ok(Box::new(Raw(storage)))
}

impl format_core::Layer for Raw {
    fn format(&self) -> &'static str {
        "raw"
    }
    fn virtual_size(&self) -> u64 {
        self.0.size()
    }
    fn chunk_size(&self) -> u64 {
        1
    }
    fn extent_at(&self, offset: u64) -> format_core::Result<format_core::Extent> {
        self.0.data_at(offset)
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> format_core::Result<()> {
        self.0.read_exact_at(offset, buf)
    }
}

/// Runs `program` in `folder`; its exit code and what it prints.
fn status(folder: &Path, program: &str, args: &[&str]) -> (i32, String) {
    let output = Command::new("timeout")
        .args(["60", program])
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap_or_else(|e| panic!("cannot run timeout (package coreutils): {e}"));
    let code = output.status.code().unwrap();
    assert!(code != 127 && code != 124, "{program} (package qemu-utils): exit {code}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (code, text + &String::from_utf8_lossy(&output.stderr))
}

fn run(folder: &Path, program: &str, args: &[&str]) -> String {
    let (code, text) = status(folder, program, args);
    assert_eq!(code, 0, "{program} {args:?}: {text}");
    text
}

/// Runs of zeros and of bytes that differ everywhere.
fn mixed(size: usize) -> Vec<u8> {
    let (mut bytes, mut state, mut at) = (vec![0; size], 1u64, 0);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    while at < size {
        let end = size.min(at + 1 + next() % 150_000);
        if next() % 2 == 0 {
            bytes[at..end].iter_mut().for_each(|byte| *byte = next() as u8);
        }
        at = end;
    }
    bytes
}

fn opened(path: &Path) -> OpenedImage {
    open_image(path, &OpenOptions::new(FORMATS, None)).unwrap()
}

/// Our reading is qemu-img's, and so are the numbers of our check.
fn agrees(folder: &Path, name: &str) -> OpenedImage {
    run(folder, "qemu-img", &["convert", "-f", "qed", "-O", "raw", name, "theirs.out"]);
    let image = opened(&folder.join(name));
    let (ours, theirs) = (read_all(&image.disk).unwrap(), std::fs::read(folder.join("theirs.out")).unwrap());
    assert_eq!(ours.len(), theirs.len(), "{name}: size");
    assert_eq!(ours.iter().zip(&theirs).position(|(a, b)| a != b), None, "{name}: first differing byte");
    check_agrees(folder, name);
    image
}

fn check_agrees(folder: &Path, name: &str) {
    let report = check(Arc::new(FileStorage::open(&folder.join(name)).unwrap())).unwrap();
    let (code, text) = status(folder, "qemu-img", &["check", "-f", "qed", "--output=json", name]);
    let number = |key: &str| -> u64 {
        let rest = text.split(&format!("\"{key}\": ")).nth(1).unwrap_or("0");
        rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
    };
    assert_eq!((report.errors, report.leaks), (number("corruptions"), number("leaks")), "{name}: {text}");
    assert_eq!(report.total_chunks, number("total-clusters"), "{name}");
    // QEMU counts a damaged entry as a cluster.
    if report.errors == 0 {
        let theirs = (number("allocated-clusters"), number("fragmented-clusters"));
        assert_eq!((report.allocated_chunks, report.fragmented_chunks), theirs, "{name}: {text}");
    }
    assert_eq!(
        code,
        if report.errors > 0 {
            2
        } else if report.leaks > 0 {
            3
        } else {
            0
        },
        "{name}"
    );
}

#[test]
fn reads_what_qemu_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for (number, options) in [
        "cluster_size=4k,table_size=2",
        "cluster_size=4k,table_size=16",
        "cluster_size=64k",
        "cluster_size=1M,table_size=2",
        "cluster_size=2M,table_size=4",
    ]
    .iter()
    .enumerate()
    {
        std::fs::write(path.join("in.raw"), mixed((5 << 20) + 512 * (number + 1))).unwrap();
        run(path, "qemu-img", &["convert", "-f", "raw", "-O", "qed", "-o", options, "in.raw", "a.qed"]);
        let image = agrees(path, "a.qed");
        assert!(image.warnings.is_empty());
        assert!(read_all(&image.disk).unwrap() == std::fs::read(path.join("in.raw")).unwrap(), "{options}");
    }
}

/// Guest writes and zeroes in a chain of a raw disk and three images, each larger than its parent.
#[test]
fn reads_a_chain_that_a_guest_wrote_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("base.raw"), mixed((3 << 20) + 1536)).unwrap();
    let mut parent = ("base.raw", "raw");
    for (number, (child, size)) in [("a.qed", "4M"), ("b.qed", "5M"), ("c.qed", "6M")].into_iter().enumerate()
    {
        let options = ["cluster_size=4k,table_size=2", "cluster_size=16k", "cluster_size=64k"][number];
        let create =
            ["create", "-q", "-f", "qed", "-o", options, "-F", parent.1, "-b", parent.0, child, size];
        run(path, "qemu-img", &create);
        let mut args = vec!["-f".to_owned(), "qed".to_owned()];
        let mut at = 77 + number as u64;
        for round in 0..30 {
            at = (at * 48_271) % 0x7fff_ffff;
            let how = ["write -P 0x5a", "write -P 0x11", "write -z"][round % 3];
            args.extend(["-c".to_owned(), format!("{how} {} {}", at % 6000 * 512, (1 + at % 90) * 512)]);
        }
        args.push(child.to_owned());
        run(path, "qemu-io", &args.iter().map(String::as_str).collect::<Vec<_>>());
        let image = agrees(path, child);
        assert_eq!(image.chain.len(), number + 2);
        parent = (child, "qed");
    }
}

/// QEMU ends without closing the image.
#[test]
fn reads_an_image_that_was_not_closed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    // With a backing file QEMU orders its writes and sets no flag.
    run(path, "qemu-img", &["create", "-q", "-f", "qed", "a.qed", "2M"]);
    let crash = "ulimit -c 0; qemu-io -f qed -c 'write -P 6 0 64k' -c 'write -P 7 1M 100k' -c flush -c abort a.qed; true";
    run(path, "bash", &["-c", crash]);
    let image = agrees(path, "a.qed");
    assert_eq!(image.warnings.iter().map(|w| w.code).collect::<Vec<_>>(), ["qed-needs-check"]);
    let mut bytes = [0; 2];
    image.disk.read_exact_at((1 << 20) - 1, &mut bytes).unwrap();
    assert_eq!(bytes[1], 7);
}

#[test]
fn the_check_counts_as_qemu_does() {
    let folder = tempfile::tempdir().unwrap();
    let mut good = Maker::new(8 << 20);
    for cluster in [0, 1, 5, 700, 1500] {
        good.data(cluster, &[9; 4096]);
    }
    let mut images = vec![good.clone()];
    let mut image = |change: &dyn Fn(&mut Maker)| {
        let mut maker = good.clone();
        change(&mut maker);
        images.push(maker);
    };
    image(&|i| {
        i.entry(0, 0);
    });
    image(&|i| {
        i.append(&[1]);
        i.append(&[1]);
    });
    image(&|i| {
        i.entry(7, 0x1234);
    });
    image(&|i| {
        let host = i.number(i.entry_place(1));
        i.entry(7, host);
    });
    image(&|i| {
        i.entry(7, 1 << 40);
    });
    for (number, maker) in images.iter().enumerate() {
        let name = format!("{number}.qed");
        std::fs::write(folder.path().join(&name), &maker.bytes).unwrap();
        check_agrees(folder.path(), &name);
    }
}
