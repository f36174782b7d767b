//! Images that are changed in place: random disks, guests in between, failing writes, kills and power cuts. Judged by
//! qemu-img: the disk is what was wanted, and no cluster is lost or used twice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use conformance::Noise;
use format_core::{
    DenyAll, Disk, Error, Format, LayerContext, MemInPlace, MemStorage, Result, Update, UpdateStorage,
    is_zero,
};
use interop::{format_named, qemu_img, run};
use std::path::Path;
use std::sync::Arc;

const SIZE: usize = (5 << 20) + 512 * 9;
const ROUNDS: u64 = 10;

/// What qemu-img makes the first image with: format, arguments.
const KINDS: [(&str, &[&str]); 12] = [
    ("raw", &[]),
    ("qcow2", &[]),
    ("qcow2", &["-c"]),
    ("qcow2", &["-c", "-o", "cluster_size=4k,compression_type=zstd"]),
    ("qcow2", &["-o", "cluster_size=512,refcount_bits=64"]),
    ("qcow2", &["-o", "cluster_size=2M"]),
    ("qcow2", &["-o", "compat=0.10,cluster_size=1k"]),
    ("qcow2", &["-o", "refcount_bits=1,cluster_size=4k"]),
    ("qcow2", &["-o", "preallocation=metadata,lazy_refcounts=on"]),
    ("vhdx", &[]),
    ("vhdx", &["-o", "block_size=1M"]),
    ("vhdx", &["-o", "subformat=fixed"]),
];

struct Bench {
    folder: tempfile::TempDir,
    format: &'static Format,
    noise: Noise,
    disk: Vec<u8>,
    image: Vec<u8>,
}

impl Bench {
    /// An image of QEMU's, and the disk that is in it.
    fn new(format: &str, options: &[&str], seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (format, disk) = (format_named(format).unwrap(), vec![0; SIZE]);
        let mut bench = Self { folder, format, noise: Noise(seed), disk, image: Vec::new() };
        for _ in 0..6 {
            bench.edit();
        }
        std::fs::write(bench.path("disk.raw"), &bench.disk).unwrap();
        let (raw, image) = (bench.name("disk.raw"), bench.name("image"));
        qemu_img(&[&["convert", "-f", "raw", "-O", format.name], options, &[&raw, &image]].concat());
        bench.image = std::fs::read(bench.path("image")).unwrap();
        bench
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn name(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn below(&mut self, bound: usize) -> usize {
        self.noise.below(bound as u64) as usize
    }

    /// Changes a range of the wanted disk.
    fn edit(&mut self) {
        let (start, kind) = (self.below(SIZE), self.below(4));
        let most = [700, 70_000, 1 << 20][self.below(3)];
        let end = SIZE.min(start + 1 + self.below(most));
        let range = &mut self.disk[start..end];
        match kind {
            0 => range.fill(0),
            1 => range.iter_mut().enumerate().for_each(|(i, byte)| *byte = (i / 9 % 50) as u8 + 1),
            _ => self.noise.fill(range),
        }
    }

    /// What a guest does that runs on the image.
    fn guest(&mut self) {
        std::fs::write(self.path("image"), &self.image).unwrap();
        let mut args = vec!["-f".to_owned(), self.format.name.to_owned()];
        for _ in 0..4 {
            let start = self.below(SIZE / 512) * 512;
            let len = (SIZE - start).min(512 * (1 + self.below(400)));
            let what = ["write -P 7", "write -z", "discard"][self.below(3)];
            args.extend(["-c".to_owned(), format!("{what} {start} {len}")]);
        }
        args.push(self.name("image"));
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        run("qemu-utils", 60, "qemu-io", &args);
        self.image = std::fs::read(self.path("image")).unwrap();
    }

    /// Makes `storage` hold the wanted disk, in an order of its own.
    fn bring(&mut self, storage: &MemInPlace) -> Result<()> {
        let update = (self.format.open_update.unwrap())(Arc::new(storage.clone()) as Arc<dyn UpdateStorage>)?;
        let old = read(self.format, storage.bytes())?;
        let chunk = update.chunk_size().max(64 << 10) as usize;
        let mut starts: Vec<_> = (0..SIZE).step_by(chunk).collect();
        for index in (1..starts.len()).rev() {
            starts.swap(index, self.below(index + 1));
        }
        for start in starts {
            let range = start..SIZE.min(start + chunk);
            if old[range.clone()] != self.disk[range.clone()] {
                put(update.as_ref(), start as u64, &self.disk[range])?;
            }
        }
        update.finish()
    }

    /// The image must hold the wanted disk, and have no errors and no leaks.
    fn judge(&self, what: &str) {
        assert!(read(self.format, self.image.clone()).unwrap() == self.disk, "{what}: wrong disk");
        let storage = Arc::new(MemStorage(self.image.clone()));
        let report = (self.format.check.unwrap())(storage, &context()).unwrap();
        assert!(report.errors == 0 && report.leaks == 0, "{what}: {:?}", report.findings);
    }

    fn judge_by_qemu(&self) {
        std::fs::write(self.path("image"), &self.image).unwrap();
        std::fs::write(self.path("disk.raw"), &self.disk).unwrap();
        let (image, raw) = (self.name("image"), self.name("disk.raw"));
        if self.format.name != "raw" {
            qemu_img(&["check", "-q", "-f", self.format.name, &image]);
        }
        qemu_img(&["compare", "-f", "raw", "-F", self.format.name, &raw, &image]);
    }
}

fn put(update: &dyn Update, at: u64, bytes: &[u8]) -> Result<()> {
    if is_zero(bytes) { update.zero_at(at, bytes.len() as u64) } else { update.write_at(at, bytes) }
}

fn context() -> LayerContext {
    LayerContext::new(Arc::new(DenyAll))
}

fn read(format: &Format, image: Vec<u8>) -> Result<Vec<u8>> {
    let layer = (format.open_layer.unwrap())(Arc::new(MemStorage(image)), &context())?;
    let disk = Disk::new(vec![layer.into()])?;
    let mut bytes = vec![0xee; disk.virtual_size() as usize];
    disk.read_exact_at(0, &mut bytes)?;
    Ok(bytes)
}

fn for_kinds(mut action: impl FnMut(&mut Bench, &str)) {
    for (seed, (format, options)) in (1..).zip(KINDS) {
        let what = format!("{format} {options:?}");
        action(&mut Bench::new(format, options, seed), &what);
    }
}

#[test]
fn every_round_ends_with_the_wanted_disk_in_a_whole_image() {
    for_kinds(|bench, what| {
        for round in 0..ROUNDS {
            for _ in 0..1 + bench.below(5) {
                bench.edit();
            }
            if round % 4 == 2 {
                bench.guest();
            }
            let storage = MemInPlace::new(bench.image.clone());
            bench.bring(&storage).unwrap_or_else(|e| panic!("{what} round {round}: {e}"));
            bench.image = storage.bytes();
            bench.judge(&format!("{what} round {round}"));
            if round % 4 == 3 {
                bench.judge_by_qemu();
            }
        }
    });
}

#[test]
fn an_update_that_fails_anywhere_is_completed_by_the_next() {
    for_kinds(|bench, what| {
        let mut moments = 0;
        for round in 0..4 {
            for _ in 0..3 {
                bench.edit();
            }
            let storage = MemInPlace::new(bench.image.clone());
            bench.bring(&storage).unwrap();
            let writes = storage.writes().max(1) as usize;
            // Kills leave what was written, power cuts only what was made durable and some of the rest.
            for moment in 0..8 {
                let at = bench.below(writes) as u64;
                let storage = MemInPlace::new(bench.image.clone()).failing_at(at);
                if bench.bring(&storage).is_ok() {
                    continue;
                }
                moments += 1;
                let mut survives = Noise(at + round);
                let left = match moment % 2 {
                    0 => storage.bytes(),
                    _ => storage.after_power_cut(|| survives.below(3) > 0),
                };
                let (before, again) = (bench.image.clone(), MemInPlace::new(left));
                bench.bring(&again).unwrap_or_else(|e| panic!("{what}, change {at} of {writes}: {e}"));
                bench.image = again.bytes();
                bench.judge(&format!("{what}, change {at} of {writes}"));
                if (moment + round).is_multiple_of(7) {
                    bench.judge_by_qemu();
                }
                bench.image = before;
            }
            bench.image = storage.bytes();
        }
        assert!(moments >= 20, "{what}: {moments} moments");
    });
}

#[test]
fn where_nothing_differs_nothing_is_written() {
    for_kinds(|bench, what| {
        let storage = MemInPlace::new(bench.image.clone());
        let update = (bench.format.open_update.unwrap())(Arc::new(storage.clone())).unwrap();
        assert_eq!(update.virtual_size(), SIZE as u64, "{what}");
        drop(update);
        assert_eq!(storage.writes(), 0, "{what}");
    });
}

/// An image that the writer of single clusters would harm.
fn refused(folder: &Path, format: &str, lines: &[&[&str]]) -> Error {
    let image = folder.join("image");
    let _ = std::fs::remove_file(&image);
    for args in lines {
        let args: Vec<_> = args.iter().map(|arg| arg.replace("IMAGE", image.to_str().unwrap())).collect();
        qemu_img(&args.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let storage = MemInPlace::new(std::fs::read(&image).unwrap());
    let open = format_named(format).unwrap().open_update.unwrap();
    let error = open(Arc::new(storage.clone())).err().expect("it was opened");
    assert_eq!(storage.writes(), 0);
    error
}

#[test]
fn images_that_are_not_simple_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let create = ["create", "-q", "-f", "qcow2"];
    let with = |args: &[&'static str]| [&create[..], args].concat();
    let plain = with(&["IMAGE", "4M"]);
    let base = folder.path().join("base.raw");
    std::fs::write(&base, vec![1; 1 << 20]).unwrap();
    let child = with(&["-u", "-b", "base.raw", "-F", "raw", "IMAGE", "4M"]);
    for (what, lines) in [
        ("backing file", vec![child]),
        ("snapshots", vec![plain.clone(), vec!["snapshot", "-c", "a", "IMAGE"]]),
        ("bitmaps", vec![plain.clone(), vec!["bitmap", "--add", "IMAGE", "b"]]),
        ("extended L2", vec![with(&["-o", "extended_l2=on", "IMAGE", "4M"])]),
        ("data file", vec![with(&["-o", "data_file=IMAGE.data", "IMAGE", "4M"])]),
    ] {
        let lines: Vec<_> = lines.iter().map(Vec::as_slice).collect();
        let error = refused(folder.path(), "qcow2", &lines);
        assert_eq!(error.kind().exit_code(), 69, "{what}: {error}");
        assert!(error.to_string().contains(what), "{what}: {error}");
        assert!(error.hint_text().unwrap().contains("--force"), "{error}");
    }
}

#[test]
fn autoclear_bits_that_nobody_here_knows_are_cleared() {
    let mut bench = Bench::new("qcow2", &[], 77);
    bench.image[88..96].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0x10, 0]);
    bench.edit();
    let storage = MemInPlace::new(bench.image.clone());
    bench.bring(&storage).unwrap();
    bench.image = storage.bytes();
    assert_eq!(bench.image[88..96], [0; 8]);
    bench.judge("autoclear");
    bench.judge_by_qemu();
}

#[test]
fn a_vhdx_gets_new_guids_and_one_with_errors_is_refused() {
    let mut bench = Bench::new("vhdx", &[], 78);
    let before = bench.image.clone();
    // FileWriteGuid and DataWriteGuid of both headers.
    let guids = |image: &[u8]| {
        [64 << 10, 128 << 10].map(|at| [16, 32].map(|field| image[at + field..][..16].to_vec()))
    };
    bench.edit();
    let storage = MemInPlace::new(before.clone());
    bench.bring(&storage).unwrap();
    let (old, new) = (guids(&before), guids(&storage.bytes()));
    assert_eq!(new[0], new[1]);
    for field in 0..2 {
        assert!(old.iter().all(|header| header[field] != new[0][field]), "{field}");
    }
    // Block 0 lies in the log.
    let entry = (1u64 << 20 | 6).to_le_bytes();
    let mut broken = before;
    broken[3 << 20..][..8].copy_from_slice(&entry);
    let refused = (bench.format.open_update.unwrap())(Arc::new(MemInPlace::new(broken)));
    assert_eq!(refused.err().expect("it was opened").kind().exit_code(), 65);
}
