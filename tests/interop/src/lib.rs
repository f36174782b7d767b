//! rehome's writers judged by qemu-img, its readers by images other tools made.
//!
//! `tests/qemu.rs` tries every option of the writers, `tests/pairs.rs` every pair of formats; `tests/corpus.rs` reads a
//! collection of images of other products, `tests/flips.rs` damaged ones.

pub mod corpus;
pub mod judge;

use convert_engine::{Control, ConvertOutcome, ConvertRequest, Destination, Proof, Silent, convert};
use format_all::FORMATS;
use format_core::{Disk, Error, Format, OpenOptions, OpenedImage, Result, open_image};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;

/// Runs a program that must succeed within `seconds`, and gives what it prints.
///
/// # Panics
/// When the program is missing or fails: `package` is what to install.
#[allow(clippy::panic, reason = "a test that cannot run has to say so")]
pub fn run(package: &str, seconds: u32, program: &str, args: &[&str]) -> String {
    let output = Command::new("timeout")
        .arg(seconds.to_string())
        .arg(program)
        .args(args)
        .output()
        .unwrap_or_else(|e| panic!("timeout is missing, install coreutils: {e}"));
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success(),
        "{program} {args:?} (package {package}): {}\n{stdout}{stderr}",
        output.status
    );
    stdout.into_owned()
}

/// `qemu-img` with these arguments.
pub fn qemu_img(args: &[&str]) -> String {
    run("qemu-utils", 120, "qemu-img", args)
}

/// The format of this name.
///
/// # Errors
/// `Usage` when there is none.
pub fn format_named(name: &str) -> Result<&'static Format> {
    let found = FORMATS.iter().find(|format| format.is_called(name)).copied();
    found.ok_or_else(|| Error::usage(format!("no format is called {name}")))
}

/// Opens an image and its chain as the command line does when the format is named.
///
/// # Errors
/// As [`open_image`].
pub fn open(path: &Path, format: &str) -> Result<OpenedImage> {
    let format = Some(format_named(format)?);
    open_image(path, &OpenOptions::new(FORMATS, format))
}

/// Converts `source` into `target`.
///
/// # Errors
/// As [`convert`].
pub fn convert_image(
    source: &OpenedImage,
    target: &Path,
    format: &'static Format,
    options: &[(&str, &str)],
) -> Result<ConvertOutcome> {
    let options = options.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    let request = ConvertRequest {
        source,
        disk: &source.disk,
        target: Destination::File { path: target, replace: true },
        format,
        options,
        base: None,
        proof: Proof::DIGEST,
    };
    let interrupted = AtomicBool::new(false);
    convert(request, Control { observer: &Silent, interrupted: &interrupted, threads: 3 })
}

/// The SHA-256 of the disk's bytes as `sha256sum` computes it; holes are read like data.
///
/// # Errors
/// What the disk reports.
///
/// # Panics
/// When `sha256sum` (package coreutils) cannot be run.
#[allow(clippy::expect_used, reason = "a test that cannot run has to say so")]
pub fn sha256(disk: &Disk) -> Result<String> {
    let mut child = Command::new("sha256sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("sha256sum starts (package coreutils)");
    let mut pipe = child.stdin.take().expect("a pipe was asked for");
    let mut buf = vec![0; 1 << 20];
    let (size, mut at) = (disk.virtual_size(), 0);
    while at < size {
        let part = &mut buf[..(size - at).min(1 << 20) as usize];
        if let Err(error) = disk.read_exact_at(at, part) {
            drop(pipe);
            child.wait().expect("sha256sum ends");
            return Err(error);
        }
        pipe.write_all(part).expect("sha256sum takes it all");
        at += part.len() as u64;
    }
    drop(pipe);
    let output = child.wait_with_output().expect("sha256sum ends");
    Ok(String::from_utf8_lossy(&output.stdout).split_whitespace().next().unwrap_or_default().to_owned())
}
