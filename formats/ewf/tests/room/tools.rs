//! libewf's tools make images in every variety that they know, and read what we read.

use crate::files::{check, content, open, prove};
use format_core::ErrorKind;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn run(program: &str, arguments: &[&str], folder: &Path, input: Option<&[u8]>) -> String {
    let mut command = Command::new("timeout");
    command.arg("120").arg(program).args(arguments).current_dir(folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("timeout of coreutils");
    let mut stdin = child.stdin.take().unwrap();
    let input = input.unwrap_or_default().to_vec();
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{program} {arguments:?} (package ewf-tools): {text}");
    text
}

/// Text, bytes that do not compress, zeros, a tail within a chunk.
fn disk() -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..60_000u32).flat_map(|number| format!("{number}\n").into_bytes()).collect();
    let mut state = 1u64;
    bytes.extend((0..1_500_000).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as u8
    }));
    bytes.resize(3 << 20, 0);
    bytes.extend(b"the end");
    bytes.resize((3 << 20) + 7 * 512, 0);
    bytes
}

fn first_segment(folder: &Path, stem: &str) -> PathBuf {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_stem().is_some_and(|found| found == stem))
        .collect();
    names.sort();
    names.into_iter().next().unwrap()
}

#[test]
fn all_formats_and_compressions_of_ewfacquire_read_as_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let disk = disk();
    std::fs::write(folder.path().join("disk.raw"), &disk).unwrap();
    let formats = [
        "ewf", "smart", "ftk", "encase1", "encase2", "encase3", "encase4", "encase5", "encase6", "encase7",
        "linen5", "linen6", "linen7", "ewfx",
    ];
    for format in formats {
        let all = ["none", "empty-block", "fast", "best"];
        let is_one_of_a_kind = matches!(format, "smart" | "ftk" | "encase6");
        for compression in if is_one_of_a_kind { &all[..] } else { &all[1..3] }.iter().copied() {
            let stem = format!("{format}-{compression}");
            let arguments = [
                "-u",
                "-q",
                "-f",
                format,
                "-c",
                compression,
                "-S",
                "1500000",
                "-d",
                "sha1",
                "-C",
                "case 1",
                "-D",
                "desc",
                "-e",
                "Jane",
                "-E",
                "ev 1",
                "-N",
                "note",
                "-m",
                "fixed",
                "-M",
                "physical",
                "-t",
                &stem,
                "disk.raw",
            ];
            run("ewfacquire", &arguments, folder.path(), None);
            let path = first_segment(folder.path(), &stem);
            let image = open(&path).unwrap();
            assert!(content(&image).unwrap() == disk, "{stem}");
            assert!(image.warnings.is_empty(), "{stem}: {:?}", image.warnings);
            prove(&image).unwrap();
            let report = check(&path);
            assert!(report.is_clean() && report.findings.is_empty(), "{stem}: {report:?}");
            let chunks = disk.len().div_ceil(32 << 10) as u64;
            assert_eq!((report.total_chunks, report.allocated_chunks), (chunks, chunks));
            let details = image.inside.as_ref().unwrap().container.details();
            for (key, value) in [
                ("case-number", "case 1"),
                ("examiner", "Jane"),
                ("evidence-number", "ev 1"),
                ("notes", "note"),
            ] {
                assert_eq!(details[key], value, "{stem}");
            }
            assert_eq!(image.chain[0].parts.len() + 1, details["segments"].as_u64().unwrap() as usize);
            assert!(details.contains_key("md5") && details["segments"].as_u64().unwrap() > 1, "{stem}");
            assert!(details["acquired-at"].as_str().unwrap().starts_with("20"), "{stem}");
        }
    }
}

#[test]
fn chunks_and_sectors_of_other_sizes_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let disk = disk();
    std::fs::write(folder.path().join("disk.raw"), &disk).unwrap();
    for (sectors, sector_size) in [("16", "512"), ("2048", "512"), ("32768", "512"), ("64", "256")] {
        let stem = format!("a{sectors}-{sector_size}");
        let arguments = ["-u", "-q", "-b", sectors, "-P", sector_size, "-c", "fast", "-t", &stem, "disk.raw"];
        run("ewfacquire", &arguments, folder.path(), None);
        let path = folder.path().join(format!("{stem}.E01"));
        let image = open(&path).unwrap();
        assert!(content(&image).unwrap() == disk, "{stem}");
        let mut piece = vec![0; 70_000];
        for at in [1, 32_767, 65_536, 1_000_001, disk.len() - piece.len()] {
            image.disk.read_exact_at(at as u64, &mut piece).unwrap();
            assert!(piece == disk[at..at + piece.len()], "{stem} at {at}");
        }
        assert!(check(&path).is_clean());
    }
}

#[test]
fn a_stream_of_unknown_length_reads_as_ewfexport_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let disk = disk();
    for (format, compression) in [("encase6", "fast"), ("ftk", "none"), ("ewfx", "best")] {
        let arguments = ["-q", "-f", format, "-c", compression, "-S", "1500000", "-t", format];
        run("ewfacquirestream", &arguments, folder.path(), Some(&disk));
        let path = first_segment(folder.path(), format);
        let image = open(&path).unwrap();
        prove(&image).unwrap();
        assert!(check(&path).is_clean(), "{format}");
        let name = path.file_name().unwrap().to_str().unwrap();
        let raw = format!("{format}-export");
        run("ewfexport", &["-u", "-q", "-f", "raw", "-t", &raw, name], folder.path(), None);
        let exported = std::fs::read(folder.path().join(format!("{raw}.raw"))).unwrap();
        assert!(content(&image).unwrap() == exported, "{format}");
        assert!(exported.starts_with(&disk), "{format}");
    }
}

#[test]
fn segments_that_are_missing_or_of_another_image_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let disk = disk();
    std::fs::write(folder.path().join("disk.raw"), &disk).unwrap();
    std::fs::write(folder.path().join("other.raw"), &disk[512..]).unwrap();
    for stem in ["disk", "other"] {
        let raw = format!("{stem}.raw");
        run(
            "ewfacquire",
            &["-u", "-q", "-c", "none", "-S", "1048576", "-t", stem, &raw],
            folder.path(),
            None,
        );
    }
    let at = |name: &str| folder.path().join(name);
    let fails = |kind: ErrorKind, text: &str| {
        let error = open(&at("disk.E01")).err().unwrap();
        assert!(error.kind() == kind && error.to_string().contains(text), "{error:?}");
    };
    // Another case of letters is no other name.
    std::fs::rename(at("disk.E02"), at("disk.e02")).unwrap();
    assert!(content(&open(&at("disk.E01")).unwrap()).unwrap() == disk);
    std::fs::rename(at("disk.e02"), at("kept")).unwrap();
    std::fs::rename(at("disk.E03"), at("kept3")).unwrap();
    fails(
        ErrorKind::SourceMissing,
        "segment 2 (\"disk.E02\") is missing, and 1 more before segment 4: disk.E03",
    );
    std::fs::copy(at("kept3"), at("disk.E02")).unwrap();
    fails(ErrorKind::Corrupt, "\"disk.E02\" should be segment 2, but says that it is segment 3");
    std::fs::copy(at("other.E02"), at("disk.E02")).unwrap();
    fails(ErrorKind::Corrupt, "segment 2 belongs to another image");
    std::fs::copy(at("kept"), at("disk.E02")).unwrap();
    fails(ErrorKind::SourceMissing, "segment 3 (\"disk.E03\") is missing");
    std::fs::copy(at("kept3"), at("disk.E03")).unwrap();
    assert!(content(&open(&at("disk.E01")).unwrap()).unwrap() == disk);
    let error = open(&at("disk.E02")).err().unwrap();
    assert!(error.to_string().contains("is segment 2 of an image, not the first"), "{error}");
    std::fs::copy(at("disk.E01"), at("renamed.e01x")).unwrap();
    let options = format_core::OpenOptions::new(crate::files::FORMATS, Some(&format_ewf::FORMAT));
    let error = format_core::open_image(&at("renamed.e01x"), &options).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::SourceMissing, "{error}");
}

/// More segments than two digits number, and than files are kept open.
#[test]
fn hundreds_of_segments_are_one_disk() {
    let folder = tempfile::tempdir().unwrap();
    let mut builder = crate::builder::Plan::sample();
    builder.split = 1;
    builder.data = (0..300 * 1024u32).map(|at| (at / 7) as u8 ^ (at >> 9) as u8).collect();
    let segments = builder.build();
    assert!(segments.len() >= 300);
    for (number, bytes) in (1..).zip(&segments) {
        std::fs::write(folder.path().join(crate::builder::name(number)), bytes).unwrap();
    }
    let image = open(&folder.path().join("a.E01")).unwrap();
    assert!(content(&image).unwrap() == builder.data);
    assert!(check(&folder.path().join("a.E01")).is_clean());
}
