//! Split disks: which files belong together, and that together they are the disk.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

use format_core::{
    DenyAll, Disk, Error, ErrorKind, Extent, ExtentKind, FileStorage, FolderGate, Format, Gate, Layer,
    LayerContext, OpenOptions, OpenedImage, Referenced, Result, Storage, open_image,
};
use format_raw::FORMAT;
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

static FORMATS: [&Format; 1] = [&FORMAT];

fn folder_with(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

fn open_guessed(path: &Path) -> Result<OpenedImage> {
    open_image(path, &OpenOptions::new(&FORMATS, None))
}

fn bytes_of(disk: &Disk) -> Vec<u8> {
    let mut bytes = vec![0xee; disk.virtual_size() as usize];
    disk.read_exact_at(0, &mut bytes).unwrap();
    bytes
}

fn open_with(path: PathBuf, gate: Arc<dyn Gate>) -> Result<Box<dyn Layer>> {
    let context = LayerContext {
        name: path.file_name().and_then(|name| name.to_str()).map(str::to_owned),
        ..LayerContext::new(gate)
    };
    FORMAT.open_layer.unwrap()(Arc::new(FileStorage::open(&path)?), &context)
}

fn kind(result: Result<OpenedImage>) -> ErrorKind {
    result.err().expect("must fail").kind()
}

#[test]
fn parts_are_one_disk_and_it_is_said() {
    for names in [
        ["d.000", "d.001", "d.002"],
        ["d.001", "d.002", "d.003"],
        ["d.img.00", "d.img.01", "d.img.02"],
        ["d.aa", "d.ab", "d.ac"],
        ["d.aaa", "d.aab", "d.aac"],
        ["d.0000", "d.0001", "d.0002"],
        ["d.AA", "d.AB", "d.AC"],
    ] {
        let folder = folder_with(&[(names[0], b"abc"), (names[1], b"def"), (names[2], b"g")]);
        let opened = open_guessed(&folder.path().join(names[0])).unwrap();
        assert_eq!(bytes_of(&opened.disk), b"abcdefg", "{names:?}");
        assert_eq!(opened.chain[0].parts.len(), 2);
        let warning = &opened.warnings[0];
        assert_eq!(warning.code, "raw-parts-joined");
        assert!(warning.message.contains("the 2 parts after it"), "{}", warning.message);
    }
}

#[test]
fn what_the_tool_split_makes_is_read_whole() {
    let folder = tempfile::tempdir().unwrap();
    let disk: Vec<u8> = (0..700_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    std::fs::write(folder.path().join("disk.raw"), &disk).unwrap();
    // Without a length split widens its numbers after 89 and its letters after yz, the 650th part.
    for (options, first) in [
        (vec!["-b", "1000"], "s.aa"),
        (vec!["-b", "5000", "-d"], "s.00"),
        (vec!["-b", "9000", "-d", "-a", "3"], "s.000"),
        (vec!["-b", "100000", "--numeric-suffixes=1", "-a", "3"], "s.001"),
        (vec!["-b", "50000", "-a", "3"], "s.aaa"),
    ] {
        let inner = folder.path().join("parts");
        std::fs::create_dir(&inner).unwrap();
        let status =
            Command::new("split").args(&options).args(["../disk.raw", "s."]).current_dir(&inner).status();
        assert!(status.expect("split starts (package coreutils)").success());
        let opened = open_guessed(&inner.join(first)).unwrap_or_else(|e| panic!("{options:?}: {e}"));
        assert!(bytes_of(&opened.disk) == disk, "{options:?}");
        std::fs::remove_dir_all(inner).unwrap();
    }
}

#[test]
fn a_missing_part_is_never_a_short_disk() {
    for (files, first, missing) in [
        (["d.001", "d.003"], "d.001", "d.002"),
        (["d.000", "d.003"], "d.000", "d.001"),
        (["d.aa", "d.ac"], "d.aa", "d.ab"),
    ] {
        let folder = folder_with(&[(files[0], b"a"), (files[1], b"c")]);
        let error = open_guessed(&folder.path().join(first)).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::SourceMissing);
        assert!(error.to_string().contains(missing), "{error}");
    }
}

#[test]
fn a_part_that_lost_its_end_moves_nothing() {
    for (parts, uneven) in [
        (["abc", "de", "fgh"], true),
        (["abc", "defg", "h"], true),
        (["abc", "def", ""], true),
        (["abc", "", "def"], true),
        (["abc", "def", "ghij"], true),
        (["abc", "def", "ghi"], false),
        (["abc", "def", "g"], false),
    ] {
        let folder = folder_with(&[
            ("d.000", parts[0].as_bytes()),
            ("d.001", parts[1].as_bytes()),
            ("d.002", parts[2].as_bytes()),
        ]);
        let opened = open_guessed(&folder.path().join("d.000"));
        assert_eq!(opened.err().map(|e| e.kind()), uneven.then_some(ErrorKind::Corrupt), "{parts:?}");
    }
}

#[test]
fn a_later_part_is_sent_to_the_first() {
    let folder = folder_with(&[("d.000", b"a"), ("d.001", b"b"), ("d.002", b"c"), ("d.1000", b"x")]);
    for later in ["d.001", "d.002", "d.1000"] {
        let error = open_guessed(&folder.path().join(later)).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Usage, "{later}");
        assert!(error.to_string().contains("d.000"), "{error}");
    }
    let folder = folder_with(&[("d.aa", b"a"), ("d.ab", b"b"), ("d.img", b"ab")]);
    assert_eq!(kind(open_guessed(&folder.path().join("d.ab"))), ErrorKind::Usage);
    assert_eq!(bytes_of(&open_guessed(&folder.path().join("d.img")).unwrap().disk), b"ab");
}

#[test]
fn a_file_without_companions_is_a_disk_of_its_own() {
    for (name, warned) in
        [("d.001", false), ("d.aa", false), ("d.007", true), ("vm.2024", false), ("d.iso", false)]
    {
        let folder = folder_with(&[(name, b"abc")]);
        let opened = open_guessed(&folder.path().join(name)).unwrap();
        assert_eq!(bytes_of(&opened.disk), b"abc");
        assert_eq!(opened.warnings.iter().any(|w| w.code == "raw-lone-part"), warned, "{name}");
        assert!(opened.disk.layers().first().is_none_or(|layer| layer.details().is_empty()));
    }
}

#[test]
fn a_gate_that_denies_is_an_error_not_the_first_part_alone() {
    let folder = folder_with(&[("d.001", b"a"), ("d.002", b"b"), ("d.img", b"ab")]);
    for name in ["d.001", "d.002"] {
        let error = open_with(folder.path().join(name), Arc::new(DenyAll)).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(error.to_string().contains("split disk"), "{error}");
    }
    assert!(open_with(folder.path().join("d.img"), Arc::new(DenyAll)).is_ok());
    // A part that leads out of the folder is none to leave out either.
    let other = folder_with(&[("elsewhere", b"b")]);
    std::fs::remove_file(folder.path().join("d.002")).unwrap();
    std::os::unix::fs::symlink(other.path().join("elsewhere"), folder.path().join("d.002")).unwrap();
    assert_eq!(kind(open_guessed(&folder.path().join("d.001"))), ErrorKind::Denied);
}

/// Neither waits for somebody to write into a pipe, nor takes bytes from a device that the operator has not chosen.
#[test]
fn only_plain_files_are_parts() {
    let folder = folder_with(&[("d.001", b"a"), ("D.002", b"other"), ("d.img", b"ab")]);
    let (first, second) = (folder.path().join("d.001"), folder.path().join("d.002"));
    assert_eq!(bytes_of(&open_guessed(&first).unwrap().disk), b"a", "another case is another name");
    for (tool, more, kinds) in [
        ("mkfifo", &[][..], [ErrorKind::Unsupported; 2]),
        ("mkdir", &[], [ErrorKind::Unsupported; 2]),
        // Where no driver is behind the device, it cannot be opened in the first place.
        ("mknod", &["b", "7", "0"], [ErrorKind::Denied, ErrorKind::Io]),
    ] {
        let made = Command::new(tool).arg(&second).args(more).output().unwrap();
        if !made.status.success() {
            continue; // only root makes devices
        }
        let found = kind(open_guessed(&first));
        assert!(kinds.contains(&found), "{tool}: {found:?}");
        Command::new("rm").arg("-rf").arg(&second).status().unwrap();
    }
}

#[test]
fn other_formats_named_like_a_first_part_are_asked_about() {
    static OTHER: Format = Format {
        name: "other",
        probe: |head, _| {
            if head.starts_with(b"MAGIC") { format_core::Score::Magic } else { format_core::Score::No }
        },
        ..Format::NONE
    };
    static BOTH: [&Format; 2] = [&FORMAT, &OTHER];
    for name in ["d.001", "d.000", "d.00", "d.aa", "d.aaa"] {
        let folder = folder_with(&[(name, b"MAGIC")]);
        let error = open_image(&folder.path().join(name), &OpenOptions::new(&BOTH, None)).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Usage, "{name}");
        assert!(error.hint_text().unwrap().contains("-f"));
    }
}

/// Has the same file under every name.
struct Endless(PathBuf, Arc<dyn Gate>);

impl Gate for Endless {
    fn open(&self, name: &str) -> Result<Referenced> {
        if name.ends_with(".000") {
            return Err(Error::new(ErrorKind::SourceMissing, "not this one"));
        }
        Ok(Referenced { storage: FileStorage::open(&self.0)?, gate: Arc::clone(&self.1) })
    }
}

#[test]
fn a_set_without_end_meets_a_limit() {
    let folder = folder_with(&[("d.001", b"a")]);
    let path = folder.path().join("d.001");
    let error = open_with(path.clone(), Arc::new(Endless(path, Arc::new(DenyAll)))).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    assert!(error.hint_text().is_some());
}

/// A first part larger than any file can be.
struct Huge;

impl Storage for Huge {
    fn size(&self) -> u64 {
        u64::MAX - 1
    }
    fn read_exact_at(&self, _: u64, _: &mut [u8]) -> Result<()> {
        Err(Error::contract("nobody reads this"))
    }
}

#[test]
fn sizes_that_no_disk_has_are_refused() {
    let folder = folder_with(&[("d.001", b"ab")]);
    let gate = Arc::new(FolderGate::new(folder.path().to_owned(), Arc::new([])));
    let context = LayerContext { name: Some("d.000".into()), ..LayerContext::new(gate) };
    let error = FORMAT.open_layer.unwrap()(Arc::new(Huge), &context).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[test]
fn holes_host_ranges_and_the_check_know_the_parts() {
    let folder = folder_with(&[("d.000", b""), ("d.001", &[7; 8192])]);
    std::fs::File::options().write(true).open(folder.path().join("d.000")).unwrap().set_len(1 << 20).unwrap();
    let gate: Arc<dyn Gate> = Arc::new(FolderGate::new(folder.path().to_owned(), Arc::new([])));
    let layer = open_with(folder.path().join("d.000"), Arc::clone(&gate)).unwrap();
    let extent = |offset, len, kind| Extent { offset, len, kind };
    assert_eq!(layer.extent_at(0).unwrap(), extent(0, 1 << 20, ExtentKind::Zero));
    assert_eq!(layer.extent_at((1 << 20) + 5).unwrap(), extent((1 << 20) + 5, 8187, ExtentKind::Data));
    assert_eq!(layer.extent_at((1 << 20) + 8192).unwrap_err().kind(), ErrorKind::Usage);
    let range = layer.host_range((1 << 20) + 5).unwrap();
    assert_eq!((range.offset, range.len, range.storage.size()), (5, 8187, 8192));
    assert!(layer.host_range((1 << 20) + 8192).is_none());
    assert_eq!(layer.read_exact_at(1 << 20, &mut [0; 8193]).unwrap_err().kind(), ErrorKind::Usage);
    assert_eq!(layer.details().get("parts"), Some(&2.into()));
    let storage = Arc::new(FileStorage::open(&folder.path().join("d.000")).unwrap());
    let context = LayerContext { name: Some("d.000".into()), ..LayerContext::new(gate) };
    let report = FORMAT.check.unwrap()(storage, &context).unwrap();
    assert!(report.is_clean());
    assert_eq!((report.image_end, report.findings.len()), ((1 << 20) + 8192, 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn reads_are_those_of_the_joined_bytes(
        (each, last) in (1usize..5000).prop_flat_map(|each| (Just(each), 1..each + 1)),
        count in 0usize..11,
        reads in prop::collection::vec((0usize..40_000, 0usize..20_000), 20),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut whole = Vec::new();
        let sizes = std::iter::repeat_n(each, count).chain([last]);
        for (number, size) in sizes.enumerate() {
            let part: Vec<u8> = (0..size).map(|at| (at * 7 + number * 31 + 1) as u8).collect();
            std::fs::write(folder.path().join(format!("d.{number:03}")), &part).unwrap();
            whole.extend(part);
        }
        let opened = open_guessed(&folder.path().join("d.000")).unwrap();
        prop_assert_eq!(&bytes_of(&opened.disk), &whole);
        for (from, len) in reads {
            let mut found = vec![0xee; len];
            match opened.disk.read_exact_at(from as u64, &mut found) {
                Ok(()) => prop_assert_eq!(&found[..], &whole[from..from + len]),
                Err(error) => {
                    prop_assert!(from + len > whole.len());
                    prop_assert_eq!(error.kind(), ErrorKind::Usage);
                }
            }
        }
        let covered: u64 = opened.disk.extents(0, whole.len() as u64).map(|extent| extent.unwrap().len).sum();
        prop_assert_eq!(covered, whole.len() as u64);
    }
}
