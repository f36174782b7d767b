//! qemu-img makes the images, reads them, and judges them.

use crate::maker::{check, open_with, read_all};
use format_core::{Disk, ErrorKind, FileStorage, Format, Key, OpenOptions, OpenedImage, open_image};
use format_qcow1::FORMAT;
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

fn opened(path: &Path, key: Option<&[u8]>) -> OpenedImage {
    let mut options = OpenOptions::new(FORMATS, None);
    options.access.key = key.map(|key| Key::new(key.to_vec()));
    open_image(path, &options).unwrap()
}

fn same(ours: &Disk, theirs: &Path, what: &str) {
    let (ours, theirs) = (read_all(ours).unwrap(), std::fs::read(theirs).unwrap());
    assert_eq!(ours.len(), theirs.len(), "{what}: size");
    assert_eq!(ours.iter().zip(&theirs).position(|(a, b)| a != b), None, "{what}: first differing byte");
}

/// Our reading is qemu-img's, in large pieces and in small ones, and our check finds nothing.
fn agrees(folder: &Path, name: &str) -> OpenedImage {
    run(folder, "qemu-img", &["convert", "-f", "qcow", "-O", "raw", name, "theirs.out"]);
    let image = opened(&folder.join(name), None);
    same(&image.disk, &folder.join("theirs.out"), name);
    in_pieces(&image.disk);
    let report = check(Arc::new(FileStorage::open(&folder.join(name)).unwrap())).unwrap();
    // A guest that writes over a compressed cluster leaves the old one in the file.
    assert!(report.errors == 0 && (report.leaks == 0 || report.compressed_chunks > 0), "{name}: {report:?}");
    image
}

fn in_pieces(disk: &Disk) {
    let whole = read_all(disk).unwrap();
    for (number, part) in whole.chunks(7_777).enumerate() {
        let mut found = vec![0xee; part.len()];
        disk.read_exact_at(number as u64 * 7_777, &mut found).unwrap();
        assert!(found == part, "the piece at {}", number * 7_777);
    }
}

#[test]
fn reads_what_qemu_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for size in [5 << 20, 512, (40 << 20) + 1536] {
        std::fs::write(path.join("in.raw"), mixed(size)).unwrap();
        run(path, "qemu-img", &["convert", "-f", "raw", "-O", "qcow", "in.raw", "a.qcow"]);
        let image = agrees(path, "a.qcow");
        assert!(image.warnings.is_empty());
        same(&image.disk, &path.join("in.raw"), "what was written");
    }
}

#[test]
fn reads_clusters_that_qemu_compressed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let text: String = (0..20_000).map(|line| format!("{}\n", line * line)).collect();
    run(path, "qemu-img", &["create", "-q", "-f", "qcow", "a.qcow", "1M"]);
    let mut args = vec!["-f".to_owned(), "qcow".to_owned()];
    // QEMU compresses one cluster with each write.
    for (number, piece) in text.as_bytes().chunks_exact(4096).take(16).enumerate() {
        std::fs::write(path.join(format!("text{number}")), piece).unwrap();
        args.extend(["-c".to_owned(), format!("write -c -s text{number} {}k 4k", number * 8)]);
    }
    args.extend(["-c", "write -P 9 68k 4k", "-c", "write -P 8 200k 1k", "a.qcow"].map(str::to_owned));
    run(path, "qemu-io", &args.iter().map(String::as_str).collect::<Vec<_>>());
    let image = agrees(path, "a.qcow");
    let mut start = [0; 8];
    image.disk.read_exact_at(120 << 10, &mut start).unwrap();
    assert_eq!(start, text.as_bytes()[15 << 12..][..8]);
    let storage = Arc::new(FileStorage::open(&path.join("a.qcow")).unwrap());
    assert_eq!(check(storage).unwrap().compressed_chunks, 16);
}

/// Compressed and plain clusters that a guest wrote, in a chain of a raw disk and three images, each larger than its
/// parent.
#[test]
fn reads_a_chain_that_a_guest_wrote_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("base.raw"), mixed((3 << 20) + 1536)).unwrap();
    let mut parent = ("base.raw", "raw");
    for (number, (child, size)) in
        [("a.qcow", "4M"), ("b.qcow", "5M"), ("c.qcow", "6M")].into_iter().enumerate()
    {
        let create = ["create", "-q", "-f", "qcow", "-F", parent.1, "-b", parent.0, child, size];
        run(path, "qemu-img", &create);
        let mut args = vec!["-f".to_owned(), "qcow".to_owned()];
        let mut at = 77 + number as u64;
        for round in 0..30 {
            at = (at * 48_271) % 0x7fff_ffff;
            // A compressed write is one of whole clusters.
            let how = ["write -P 0x5a", "write -P 0x11", "write -c -P 0x33"][round % 3];
            let (place, len) =
                if round % 3 == 2 { (at % 6000 * 512, 512) } else { (at % 6000 * 512, (1 + at % 90) * 512) };
            args.extend(["-c".to_owned(), format!("{how} {place} {len}")]);
        }
        args.push(child.to_owned());
        run(path, "qemu-io", &args.iter().map(String::as_str).collect::<Vec<_>>());
        let image = agrees(path, child);
        assert_eq!(image.chain.len(), number + 2);
        parent = (child, "qcow");
    }
}

#[test]
fn reads_encrypted_images_with_their_passphrase() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("in.raw"), mixed((3 << 20) + 512)).unwrap();
    for password in ["passw", "exactly-sixteen!", "more than sixteen bytes of it"] {
        let secret = format!("secret,id=s,data={password}");
        let options = ["-o", "encrypt.format=aes,encrypt.key-secret=s", "--object", &secret];
        let mut args = vec!["convert", "-f", "raw", "-O", "qcow"];
        args.extend(options);
        args.extend(["in.raw", "e.qcow"]);
        run(path, "qemu-img", &args);
        let image = opened(&path.join("e.qcow"), Some(password.as_bytes()));
        assert_eq!(image.warnings.iter().map(|w| w.code).collect::<Vec<_>>(), ["qcow1-aes-key"]);
        same(&image.disk, &path.join("in.raw"), password);
        in_pieces(&image.disk);
        let storage = Arc::new(FileStorage::open(&path.join("e.qcow")).unwrap());
        assert_eq!(crate::maker::open(storage.clone()).err().unwrap().kind(), ErrorKind::NeedsPerson);
        let wrong = Disk::new(vec![open_with(storage, b"wrong").unwrap()]).unwrap();
        assert!(read_all(&wrong).unwrap() != std::fs::read(path.join("in.raw")).unwrap());
    }
}
