//! A source, a folder for the target, and the judges.

use crate::machine::{Failing, FailingSource, Fault, Machine};
use conformance::{Noise, qemu_name};
use convert_engine::{
    Control, ConvertOutcome, ConvertRequest, Destination, Digest, Proof, Resumption, Silent, convert_through,
    digest_disk,
};
use format_all::FORMATS;
use format_core::{Disk, Format, OpenOptions, OpenedImage, Result, TargetStorage, check_image, open_image};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

/// What is written.
#[derive(Debug)]
pub struct Case {
    pub name: &'static str,
    pub format: &'static str,
    pub options: &'static [(&'static str, &'static str)],
}

const fn case(
    name: &'static str,
    format: &'static str,
    options: &'static [(&'static str, &'static str)],
) -> Case {
    Case { name, format, options }
}

pub const CASES: &[Case] = &[
    case("raw", "raw", &[]),
    case("qcow2", "qcow2", &[]),
    case("qcow2_zlib", "qcow2", &[("compressed", "on")]),
    case("qcow2_zstd", "qcow2", &[("compressed", "on"), ("compression_type", "zstd")]),
    case("qcow2_extended", "qcow2", &[("extended_l2", "on")]),
    // Many tables and refcount blocks.
    case("qcow2_small", "qcow2", &[("cluster_size", "512")]),
    case("vmdk_sparse", "vmdk", &[]),
    case("vmdk_split", "vmdk", &[("subformat", "twoGbMaxExtentSparse")]),
    case("vmdk_stream", "vmdk", &[("subformat", "streamOptimized")]),
    case("vmdk_flat", "vmdk", &[("subformat", "monolithicFlat")]),
    case("vhd", "vhd", &[]),
    case("vhd_fixed", "vhd", &[("subformat", "fixed")]),
    case("vhdx", "vhdx", &[]),
    case("vhdx_fixed", "vhdx", &[("subformat", "fixed")]),
    case("vdi", "vdi", &[]),
    case("vdi_fixed", "vdi", &[("static", "on")]),
    case("gzip", "gzip", &[]),
    case("zstd", "zstd", &[("frame_size", "64K")]),
];

const SOURCE: &str = "source.raw";

pub const MIB: u64 = 1 << 20;

pub struct Bench {
    root: tempfile::TempDir,
    case: &'static Format,
    pub options: &'static [(&'static str, &'static str)],
    pub resumption: Resumption,
    /// What of the source reads as zeros.
    pub lost: Range<u64>,
    source: OpenedImage,
    digest: Digest,
    /// Reads of the source in a whole run.
    pub reads: u64,
}

/// Memory, where there is some: nothing here tests the host's disk, and it is slow.
fn fast_folder() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

impl Bench {
    pub fn new(case: &Case) -> Self {
        let root = tempfile::Builder::new().prefix("rehome-resume-").tempdir_in(fast_folder()).unwrap();
        std::fs::create_dir(root.path().join("target")).unwrap();
        let path = root.path().join(SOURCE);
        let file = std::fs::File::create(&path).unwrap();
        // Two extents, where there are extents.
        let size = if case.name == "vmdk_split" { 2060 * MIB } else { 24 * MIB } + 1536;
        file.set_len(size).unwrap();
        let mut noise = Noise(7);
        let near_the_end = [20, 15, 11, 6, 1].map(|back| size - back * MIB);
        for at in [0, MIB + 512].into_iter().chain(near_the_end) {
            let mut bytes = vec![0; 200_000];
            noise.fill(&mut bytes[..40_000]);
            bytes[130_000..].fill(7);
            file.write_all_at(&bytes, at).unwrap();
        }
        let source = open_source(&path);
        let digest = digest_of(&source.disk);
        let resumption =
            Resumption { restart: false, reading: String::new(), settles: false, interval: Duration::ZERO };
        let format = FORMATS.iter().find(|format| format.name == case.format).unwrap();
        Self { root, case: format, options: case.options, resumption, lost: 0..0, source, digest, reads: 7 }
    }

    pub fn source_path(&self) -> PathBuf {
        self.root.path().join(SOURCE)
    }

    /// Takes the source as it is now.
    pub fn open_source_again(&mut self) {
        self.source = open_source(&self.source_path());
        self.digest = digest_of(&self.source.disk);
    }

    pub fn size(&self) -> u64 {
        self.source.disk.virtual_size()
    }

    pub fn format(&self) -> &'static Format {
        self.case
    }

    pub fn folder(&self) -> PathBuf {
        self.root.path().join("target")
    }

    pub fn target(&self) -> PathBuf {
        self.folder().join(format!("disk.{}", self.case.extensions[0]))
    }

    pub fn clear(&self) {
        std::fs::remove_dir_all(self.folder()).unwrap();
        std::fs::create_dir(self.folder()).unwrap();
    }

    /// Converts on a machine that fails; `reads` of the source succeed where that is its fault.
    pub fn run(&self, machine: Option<&Arc<Machine>>, reads: u64) -> Result<ConvertOutcome> {
        let calm = AtomicBool::new(false);
        let interrupted = machine.map_or(&calm, |machine| &machine.interrupted);
        let inner = Arc::clone(&self.source.disk.layers()[0]);
        let is_source = machine.is_some_and(|machine| machine.fault() == Fault::SourceError);
        let left = AtomicU64::new(if is_source { reads } else { u64::MAX });
        let disk = Disk::new(vec![Arc::new(FailingSource { inner, left, lost: self.lost.clone() })])?;
        let through = |target: Box<dyn TargetStorage>| match machine {
            Some(machine) => Box::new(Failing::new(target, machine)) as Box<dyn TargetStorage>,
            None => target,
        };
        let path = self.target();
        let request = ConvertRequest {
            source: &self.source,
            disk: &disk,
            // A machine can end between the names of two files.
            target: Destination::File { path: &path, replace: true },
            format: self.case,
            options: self.options.iter().map(|&(key, value)| (key.into(), value.into())).collect(),
            base: None,
            proof: Proof::DIGEST,
        };
        convert_through(
            request,
            &self.resumption,
            &through,
            Control { observer: &Silent, interrupted, threads: 2 },
        )
    }

    pub fn steps_of_a_whole_run(&self) -> u64 {
        let machine = Machine::new(Fault::Kill, u64::MAX, self.folder());
        self.run(Some(&machine), 0).unwrap();
        self.check("uninterrupted");
        self.clear();
        machine.steps()
    }

    /// The image is whole, holds the source's disk, and nothing else is left.
    pub fn check(&self, what: &str) {
        assert_eq!(self.checked(what), self.digest, "{what}: reads otherwise");
    }

    /// The digest of the image, which is whole; nothing else is left.
    pub fn checked(&self, what: &str) -> Digest {
        let options = OpenOptions::new(FORMATS, Some(self.case));
        let image = open_image(&self.target(), &options).unwrap_or_else(|error| panic!("{what}: {error}"));
        for checked in check_image(&self.target(), &options, &|_| Ok(())).unwrap() {
            let report = checked.report;
            assert_eq!((report.errors, report.leaks), (0, 0), "{what}: {:?}", report.findings);
        }
        for entry in std::fs::read_dir(self.folder()).unwrap().flatten() {
            assert!(!entry.file_name().to_string_lossy().contains(".partial"), "{what}: {entry:?} is left");
        }
        digest_of(&image.disk)
    }

    pub fn check_by_qemu(&self, what: &str) {
        let name = qemu_name(self.case);
        let (source, target) = (self.source_path(), self.target());
        if ["gzip", "zstd"].contains(&name) {
            // These are judged by their own tools.
            let mut compare = Command::new("timeout");
            let script = format!("{name} -dcq <\"$1\" | cmp - \"$2\"");
            compare.args(["60", "sh", "-c", &script, "sh"]).arg(&target).arg(&source);
            let output = compare.output().expect("timeout is missing, install coreutils");
            assert!(output.status.success(), "{what}: {output:?}");
            return;
        }
        let mut compare = Command::new("timeout");
        compare.args(["60", "qemu-img", "compare", "-f", "raw", "-F", name]).arg(source).arg(&target);
        let mut runs = vec![compare];
        if ["qcow2", "vdi", "vhdx"].contains(&name) {
            let mut check = Command::new("timeout");
            check.args(["60", "qemu-img", "check", "-f", name]).arg(&target);
            runs.push(check);
        }
        for mut run in runs {
            let output = run.output().expect("timeout is missing, install coreutils");
            assert!(output.status.success(), "{what}: {output:?}");
        }
    }
}

fn open_source(path: &Path) -> OpenedImage {
    open_image(path, &OpenOptions::new(FORMATS, None)).unwrap()
}

fn digest_of(disk: &Disk) -> Digest {
    let control = Control { observer: &Silent, interrupted: &AtomicBool::new(false), threads: 1 };
    digest_disk(disk, "digest", control).unwrap().blocks.digest().unwrap()
}
