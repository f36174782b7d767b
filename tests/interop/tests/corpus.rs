//! Every file of the image collection either reads as recorded, or ends in an error that is listed here.
//!
//! The collection lies in `shared/corpus` beside the repository, or where `REHOME_CORPUS` says. It is unpacked below
//! `target/` once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

use convert_engine::{Control, Silent, compare_disks};
use format_all::FORMATS;
use format_core::ErrorKind::{self, Corrupt, NeedsPerson, SourceMissing, Unsupported};
use format_core::units::GIB;
use format_core::{DenyAll, LayerContext, OpenOptions, OpenedImage, Result, is_zero, open_image};
use interop::corpus::corpus;
use interop::{format_named, open, qemu_img, run, sha256};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

/// Formats of the lists that this program reads.
const IN_SCOPE: [&str; 13] =
    ["raw", "qcow2", "vmdk", "vhdx", "vhd", "qed", "qcow1", "vdi", "parallels", "dmg", "cloop", "wim", "vbk"];

/// Valid images that this program refuses, with the error's kind.
const REFUSED: &[(&str, ErrorKind)] = &[
    // Its data file has an absolute name.
    ("qcow2/datafile.qcow2", ErrorKind::Denied),
    ("qcow2/luks.qcow2", NeedsPerson),
    // Only recognised.
    ("dissect.archive/test9.vbk.gz", Unsupported),
];

/// Extents of ESXi whose descriptor is not in the collection: refused, unless the operator wants them without a parent.
const LONE: &[&str] = &["dissect.hypervisor/disk/vmdk/sesparse.vmdk.gz"];

/// Lines of the lists that are no disk on their own, and why.
const NOT_ALONE: &[(&str, &str)] = &[
    ("dfvfs/ext2.splitraw.000.gz", "the recorded hash is of the first part alone"),
    ("dfvfs/ext2.splitraw.001.gz", "the second part of the one above"),
    ("ntfs-forensic/SampleTinyNtfsVolume.zip", "the recorded hash is of the archive's member"),
    ("osv-scalibr/ova/testdata/invalid.ova", "no disk image format is called ova"),
];

/// Images that do not name their parents, and where these lie.
const PARENTS: &[(&str, &[&str])] = &[
    (
        "virtualbox/vms/win/Snapshots/{05ab93ca-aa61-41be-87cc-409624d133db}.vdi.gz",
        &["virtualbox/vms/win/w.vdi.gz"],
    ),
    (
        "virtualbox/vms/win/Snapshots/{d241ac2b-e5b9-429d-b332-76d776916b14}.vdi.gz",
        &[
            "virtualbox/vms/win/w.vdi.gz",
            "virtualbox/vms/win/Snapshots/{05ab93ca-aa61-41be-87cc-409624d133db}.vdi.gz",
        ],
    ),
];

/// Files that are listed as raw because they are nothing else; their names say what they pretend to be.
const PRETENDERS: &[(&str, &str)] = &[
    ("osv-scalibr/qcow2/testdata/invalid.qcow2", "qcow2"),
    ("osv-scalibr/vmdk/testdata/invalid.vmdk", "vmdk"),
];

/// Disks larger than this are not hashed: sha256sum would read holes for minutes. They are compared with
/// qemu-img's conversion instead.
const HASH_LIMIT: u64 = GIB + (64 << 20);

/// One line of a list.
#[derive(Clone, Debug)]
struct Entry {
    path: String,
    format: String,
    size: u64,
    /// SHA-256, `reject`, `aux` or `see-note`.
    wanted: String,
}

fn entries(list: &Path, hash_column: usize) -> Vec<Entry> {
    let text = std::fs::read_to_string(list).unwrap();
    let mut lines = text.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let head = lines.next().unwrap();
    assert!(head[hash_column].starts_with("raw_sha256"), "{head:?}");
    let all = lines.map(|fields| Entry {
        path: fields[0].into(),
        // A split disk is opened like any other, by its first part.
        format: if fields[1] == "split-raw" { "raw" } else { fields[1] }.into(),
        size: fields[hash_column - 1].parse().unwrap_or(0),
        wanted: fields[hash_column].into(),
    });
    all.filter(|entry| IN_SCOPE.contains(&entry.format.as_str())).collect()
}

fn unpacked(corpus: &Path, name: &str) -> PathBuf {
    interop::corpus::unpacked(corpus, name, env!("CARGO_TARGET_TMPDIR"))
}

/// The file of an entry, decompressed beside its archive.
fn plain_file(folder: &Path, path: &str) -> PathBuf {
    let packed = folder.join(path);
    let program = match packed.extension().and_then(|e| e.to_str()) {
        Some("gz") => "gzip",
        Some("bz2") => "bzip2",
        Some("xz") => "xz",
        Some("zst") => "zstd",
        _ => return packed,
    };
    let plain = packed.with_extension("");
    if !plain.exists() {
        let script = "\"$1\" -dcq \"$2\" >\"$3.part\"; cp --sparse=always \"$3.part\" \"$3.new\"; rm \"$3.part\"; mv \"$3.new\" \"$3\"";
        let (from, to) = (packed.to_str().unwrap(), plain.to_str().unwrap());
        run(program, 120, "bash", &["-euc", script, "bash", program, from, to]);
    }
    plain
}

/// What became of an entry, or what is wrong with it.
fn check(folder: &Path, entry: &Entry) -> Result<String, String> {
    let file = plain_file(folder, &entry.path);
    let pretended = PRETENDERS.iter().find(|(path, _)| *path == entry.path).map(|(_, format)| *format);
    let parents = PARENTS.iter().filter(|(path, _)| *path == entry.path).flat_map(|(_, parents)| *parents);
    let parents = parents.map(|path| plain_file(folder, path)).collect();
    let opened = format_named(pretended.unwrap_or(&entry.format)).and_then(|format| {
        let mut options = OpenOptions { parents, ..OpenOptions::new(FORMATS, Some(format)) };
        if LONE.contains(&entry.path.as_str()) {
            let refused = open_image(&file, &options).err().expect("the parent is not known");
            assert_eq!(refused.kind(), Unsupported, "{refused}");
            options.access.ignore_parents = true;
        }
        open_image(&file, &options)
    });
    let refused = REFUSED.iter().find(|(path, _)| *path == entry.path).map(|(_, kind)| *kind);
    let outcome = opened.and_then(|image| content(&image, &file, entry));
    match (entry.wanted.as_str(), outcome, refused) {
        ("reject", Err(error), _) if matches!(error.kind(), Corrupt | Unsupported | SourceMissing) => {
            Ok(format!("rejected: {error}"))
        }
        ("reject", Err(error), _) => Err(format!("rejected with {:?}: {error}", error.kind())),
        ("reject", Ok(found), _) => Err(format!("was read ({found}), must be rejected")),
        (_, Err(error), Some(kind)) if error.kind() == kind => Ok(format!("refused as listed: {error}")),
        (_, Err(error), _) => Err(format!("{:?}: {error}", error.kind())),
        (_, Ok(found), Some(_)) => Err(format!("listed as refused, but was read ({found})")),
        (wanted, Ok(found), None) if found == wanted || found == QEMU_AGREES => Ok(found),
        (wanted, Ok(found), None) => Err(format!("reads as {found}, recorded is {wanted}")),
    }
}

const QEMU_AGREES: &str = "compared with qemu-img";

fn content(image: &OpenedImage, file: &Path, entry: &Entry) -> Result<String> {
    let size = image.disk.virtual_size();
    if entry.wanted != "reject" && entry.size > 0 {
        assert_eq!(size, entry.size, "{}: size", entry.path);
    }
    if size <= HASH_LIMIT {
        compare_with_pipe(image, file, &entry.path)?;
        return sha256(&image.disk);
    }
    let scratch = tempfile::tempdir().unwrap();
    let path = |name: &str| scratch.path().join(name).to_str().unwrap().to_owned();
    let (copy, raw) = (path("copy"), path("theirs.raw"));
    std::fs::copy(file, &copy).unwrap();
    if entry.format == "vhdx" {
        // QEMU replays a log only where it may write. Exit code 3 and less is a repair.
        let mut check = Command::new("timeout");
        check.args(["60", "qemu-img", "check", "-q", "-r", "all", "-f", "vhdx", &copy]);
        let status = check.status().expect("timeout starts (package coreutils)");
        assert!(status.code().is_some_and(|code| code <= 3), "{}: {status}", entry.path);
    }
    let theirs = if entry.format == "vhd" { "vpc" } else { &entry.format };
    qemu_img(&["convert", "-f", theirs, "-O", "raw", &copy, &raw]);
    let theirs = open(Path::new(&raw), "raw")?;
    let interrupted = AtomicBool::new(false);
    let control = Control { observer: &Silent, interrupted: &interrupted, threads: 2 };
    let compared = compare_disks(&image.disk, &theirs.disk, true, control)?;
    assert!(compared.same, "{}: qemu-img reads something else: {compared:?}", entry.path);
    Ok(QEMU_AGREES.into())
}

/// What also reads from a pipe must give the same disk there.
fn compare_with_pipe(image: &OpenedImage, file: &Path, name: &str) -> Result<()> {
    let Some(open_stream) = image.chain[0].format.open_stream.filter(|_| image.chain.len() == 1) else {
        return Ok(());
    };
    let reader = std::fs::File::open(file).unwrap();
    let mut stream = match open_stream(Box::new(reader), &LayerContext::new(Arc::new(DenyAll))) {
        Err(error) if error.kind() == Unsupported => return Ok(()),
        opened => opened?,
    };
    let (size, mut at) = (image.disk.virtual_size(), 0);
    assert_eq!(stream.virtual_size(), size, "{name}: size through a pipe");
    let mut ended = false;
    while !ended {
        let chunk = match stream.next_chunk() {
            // Its chunks lie out of order: that is only seen when they come.
            Err(error) if error.kind() == Unsupported => return Ok(()),
            chunk => chunk?,
        };
        let (next, data) = chunk.map_or((size, Vec::new()), |chunk| (chunk.offset, chunk.data));
        ended = data.is_empty();
        while at < next {
            let mut gap = vec![1; (next - at).min(4 << 20) as usize];
            image.disk.read_exact_at(at, &mut gap)?;
            assert!(is_zero(&gap), "{name}: the pipe gives nothing at {at:#x}");
            at += gap.len() as u64;
        }
        let mut expected = vec![0; data.len()];
        image.disk.read_exact_at(at, &mut expected)?;
        assert!(expected == data, "{name}: the pipe gives something else at {at:#x}");
        at += data.len() as u64;
    }
    println!("{name}: the same through a pipe");
    Ok(())
}

/// Checks all entries, two at a time, and fails with all that is wrong.
fn check_all(folder: &Path, entries: &[Entry]) {
    let alone: Vec<&Entry> = entries
        .iter()
        .filter(|entry| entry.wanted != "aux" && NOT_ALONE.iter().all(|(path, _)| *path != entry.path))
        .collect();
    // Parents and extent files have to be there before anything is opened.
    for entry in entries.iter().filter(|entry| NOT_ALONE.iter().all(|(path, _)| *path != entry.path)) {
        plain_file(folder, &entry.path);
    }
    let (left, wrong) = (Mutex::new(alone.iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(entry) = left.lock().unwrap().next() else { return };
                    match check(folder, entry) {
                        Ok(said) => println!("{}: {said}", entry.path),
                        Err(said) => wrong.lock().unwrap().push(format!("{}: {said}", entry.path)),
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), alone.len(), wrong.join("\n"));
    assert!(alone.len() > 15, "only {} entries: is the list complete?", alone.len());
}

#[test]
fn images_made_for_testing_read_as_recorded() {
    let Some(corpus) = corpus() else { return };
    let folder = unpacked(&corpus, "made");
    let mut entries = entries(&corpus.join("made.tsv"), 3);
    let (noted, hashed): (Vec<_>, Vec<_>) = entries.drain(..).partition(|entry| entry.wanted == "see-note");
    check_all(&folder, &hashed);
    let noted: BTreeSet<_> = noted.iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(
        noted,
        BTreeSet::from(["vhd/vu-parent.vhd", "vhdx/dirty-log-12.vhdx", "vhdx/dirty-log-43.vhdx"])
    );
    let marks: [(u64, u8); 3] = [(1, 0x11), (9, 0x22), (33, 0x33)];
    for (path, expected) in [("vhdx/dirty-log-12.vhdx", &marks[..1]), ("vhdx/dirty-log-43.vhdx", &marks)] {
        let disk = open(&folder.join(path), "vhdx").unwrap().disk;
        for &(mib, value) in expected {
            let mut found = [0; 4096];
            disk.read_exact_at(mib << 20, &mut found).unwrap();
            assert!(found.iter().all(|&byte| byte == value), "{path}: {:#x} at {mib} MiB", found[0]);
        }
    }
}

/// A split disk of which the list has the hash of each part.
fn check_split(folder: &Path) {
    let parts = ["dfvfs/ext2.splitraw.000.gz", "dfvfs/ext2.splitraw.001.gz"];
    let parts = parts.map(|path| plain_file(folder, path));
    let joined = open(&parts[0], "raw").unwrap();
    // As recorded for the same disk in ext2.E01.
    let wanted = "a6c2f0e39afe6c6ab432ca5465349fcefe8dc944398e97b2d957d3f89dbb5d80";
    assert_eq!(sha256(&joined.disk).unwrap(), wanted);
    assert_eq!(open(&parts[1], "raw").err().unwrap().kind(), ErrorKind::Usage);
}

/// Formats that are only recognised are so under any name.
fn check_closed(folder: &Path, entries: &[Entry]) {
    let scratch = tempfile::tempdir().unwrap();
    let renamed = scratch.path().join("something");
    let mut tried = 0;
    for entry in entries {
        let format = format_named(&entry.format).unwrap();
        if format.is_readable() {
            continue;
        }
        std::fs::copy(plain_file(folder, &entry.path), &renamed).unwrap();
        let error = open_image(&renamed, &OpenOptions::new(FORMATS, None)).err().unwrap();
        assert_eq!(error.kind(), Unsupported, "{}: {error}", entry.path);
        assert!(error.to_string().contains(format.description), "{}: {error}", entry.path);
        assert_eq!(error.hint_text(), format.way_out);
        tried += 1;
    }
    assert_eq!(tried, 6, "dmg, cloop, vbk and three WIM files");
}

#[test]
fn images_of_other_projects_read_as_recorded() {
    let Some(corpus) = corpus() else { return };
    let folder = unpacked(&corpus, "third-party").join("third-party");
    let entries = entries(&corpus.join("third-party.tsv"), 4);
    check_all(&folder, &entries);
    check_split(&folder);
    check_closed(&folder, &entries);
}

#[test]
fn an_encrypted_image_reads_with_its_key() {
    let Some(corpus) = corpus() else { return };
    let folder = unpacked(&corpus, "made");
    let entries = entries(&corpus.join("made.tsv"), 3);
    let entry = entries.iter().find(|entry| entry.path == "qcow2/luks.qcow2").unwrap();
    let mut options = OpenOptions::new(FORMATS, Some(format_named(&entry.format).unwrap()));
    options.access.key = Some(format_core::Key::new(b"passw".to_vec()));
    let image = open_image(&folder.join(&entry.path), &options).unwrap();
    assert_eq!(sha256(&image.disk).unwrap(), entry.wanted);
}
