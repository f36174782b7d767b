//! One image, two readers.

use crate::known::{Difference, KNOWN, Known, Proof};
use crate::readers::Reader;
use format_core::{Disk, OpenedImage};
use interop::{open, qemu_img, sha256};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

/// How long another reader may take for one image.
const TIME: Duration = Duration::from_secs(40);
/// Larger disks are not read.
const LIMIT: u64 = 256 << 20;

/// An image to compare.
pub struct Case {
    /// As the table of known differences calls it.
    pub name: String,
    pub path: PathBuf,
    pub format: &'static str,
    /// SHA-256 of the disk, where it is recorded.
    pub recorded: Option<String>,
}

/// What became of it.
#[derive(Debug)]
#[allow(dead_code, reason = "what is inside is printed")]
enum Outcome {
    Same,
    /// The other reader cannot read it, which is no difference of bytes.
    TheyRefuse(String),
    TooLarge(u64),
    Differs(Difference, String),
}

/// Compares all cases and fails with each difference that is not known, and each known one of `group` that is gone.
pub fn compare_all(group: impl Fn(&str) -> bool, cases: &[Case]) {
    let (mut wrong, mut same) = (Vec::new(), 0);
    for known in KNOWN.iter().filter(|known| group(known.file)) {
        if cases.iter().all(|case| case.name != known.file) {
            wrong.push(format!("{} is not compared: {known:?}", known.file));
        }
    }
    for case in cases {
        for &reader in Reader::of(case.format) {
            let known = KNOWN.iter().find(|known| known.file == case.name && known.reader == reader);
            let outcome = compare(case, reader);
            println!("{} {reader:?}: {outcome:?}", case.name);
            same += usize::from(matches!(outcome, Outcome::Same));
            match (outcome, known) {
                (Outcome::Differs(found, _), Some(known)) if found == known.difference => {
                    if let Err(said) = prove(case, known) {
                        wrong.push(format!(
                            "{} {reader:?}: {} is not proved: {said}",
                            case.name, known.reason
                        ));
                    }
                }
                (Outcome::Differs(found, said), _) => {
                    wrong.push(format!("{} {reader:?}: {found:?}: {said}", case.name));
                }
                (outcome, Some(known)) => {
                    wrong.push(format!("{} {reader:?}: {known:?} is gone: {outcome:?}", case.name));
                }
                (_, None) => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        same > cases.len() / 3,
        "only {same} comparisons of {} images: do the readers work?",
        cases.len()
    );
}

fn compare(case: &Case, reader: Reader) -> Outcome {
    let ours = open(&case.path, case.format);
    let (sender, receiver) = mpsc::channel();
    let (path, ours) = (case.path.clone(), ours.map_err(|e| e.to_string()));
    // A thread that does not end lives as long as this process.
    std::thread::spawn(move || {
        let outcome = catch_unwind(AssertUnwindSafe(|| match &ours {
            Ok(image) => both(&path, reader, image),
            Err(error) => theirs_alone(&path, reader, error),
        }));
        let outcome = outcome.unwrap_or_else(|_| Outcome::Differs(Difference::Panics, "a panic".into()));
        sender.send(outcome).ok();
    });
    let late = |_| Outcome::Differs(Difference::Endless, format!("not read after {TIME:?}"));
    receiver.recv_timeout(TIME).unwrap_or_else(late)
}

/// Reads both disks piece by piece until they differ.
fn both(path: &Path, reader: Reader, image: &OpenedImage) -> Outcome {
    let (size, mut at, mut outcome) = (image.disk.virtual_size(), 0, Outcome::Same);
    let mut sizes = None;
    let mut buf = Vec::new();
    let read = reader.stream(
        path,
        |found| {
            sizes = Some(found);
            found == size && size <= LIMIT
        },
        |theirs| {
            buf.resize(theirs.len(), 0);
            // What we cannot read is a failure, not a difference.
            image.disk.read_exact_at(at, &mut buf).expect("our reader reads what it opened");
            if let Some(place) = buf.iter().zip(theirs).position(|(a, b)| a != b) {
                let said = format!(
                    "at {:#x} we read {:#x}, they {:#x}",
                    at + place as u64,
                    buf[place],
                    theirs[place]
                );
                outcome = Outcome::Differs(Difference::Bytes, said);
                return false;
            }
            at += theirs.len() as u64;
            true
        },
    );
    match (read, sizes) {
        (Err(error), _) => Outcome::TheyRefuse(error.to_string()),
        (Ok(()), Some(found)) if found != size => {
            Outcome::Differs(Difference::Size, format!("we say {size:#x} bytes, they {found:#x}"))
        }
        (Ok(()), Some(_)) if size > LIMIT => Outcome::TooLarge(size),
        _ => outcome,
    }
}

/// We refuse the image. The other reader should, too.
fn theirs_alone(path: &Path, reader: Reader, error: &str) -> Outcome {
    let mut read_bytes = false;
    let read = reader.stream(
        path,
        |_| true,
        |_| {
            read_bytes = true;
            false
        },
    );
    match read {
        Ok(()) if read_bytes => Outcome::Differs(Difference::Refused, format!("we say: {error}")),
        Ok(()) => Outcome::TheyRefuse("an empty disk".into()),
        Err(said) => Outcome::TheyRefuse(said.to_string()),
    }
}

fn prove(case: &Case, known: &Known) -> Result<(), String> {
    let ours = || open(&case.path, case.format).map_err(|e| e.to_string());
    let scratch = tempfile::tempdir().unwrap();
    let raw = scratch.path().join("theirs.raw");
    let qemu_format = if case.format == "vhd" { "vpc" } else { case.format };
    match known.proof {
        Proof::Qemu => {
            let (path, raw) = (case.path.to_str().unwrap(), raw.to_str().unwrap());
            qemu_img(&["convert", "-f", qemu_format, "-O", "raw", path, raw]);
            same_bytes(&ours()?.disk, Path::new(raw))
        }
        Proof::QemuReplayed => {
            let copy = scratch.path().join("copy");
            std::fs::copy(&case.path, &copy).unwrap();
            let mut check = Command::new("timeout");
            check.args(["60", "qemu-img", "check", "-q", "-r", "all", "-f", qemu_format]).arg(&copy);
            // Exit code 3 and less is a repair.
            assert!(check.status().unwrap().code().is_some_and(|code| code <= 3));
            qemu_img(&[
                "convert",
                "-f",
                qemu_format,
                "-O",
                "raw",
                copy.to_str().unwrap(),
                raw.to_str().unwrap(),
            ]);
            same_bytes(&ours()?.disk, &raw)
        }
        Proof::Recorded => {
            let found = sha256(&ours()?.disk).map_err(|e| e.to_string())?;
            match &case.recorded {
                Some(recorded) if *recorded == found => Ok(()),
                recorded => Err(format!("we read {found}, recorded is {recorded:?}")),
            }
        }
        Proof::QemuRefuses => {
            let mut convert = Command::new("timeout");
            convert
                .args(["60", "qemu-img", "convert", "-f", qemu_format, "-O", "raw"])
                .arg(&case.path)
                .arg(&raw);
            let output = convert.output().unwrap();
            if output.status.success() { Err("qemu-img reads it".into()) } else { Ok(()) }
        }
    }
}

fn same_bytes(ours: &Disk, theirs: &Path) -> Result<(), String> {
    let theirs = std::fs::read(theirs).unwrap();
    let mut bytes = vec![0xee; ours.virtual_size() as usize];
    ours.read_exact_at(0, &mut bytes).map_err(|e| e.to_string())?;
    if bytes == theirs { Ok(()) } else { Err("qemu-img reads something else".into()) }
}
