//! Running other people's programs.

use std::path::Path;
use std::process::{Command, Output};

/// The packages that have them.
const PACKAGES: &str =
    "dosfstools, fdisk, fuse3, libwin-hivex-perl, mtools, ntfs-3g, python3-libregf, util-linux and wimtools";

/// Runs a tool for two minutes at most.
///
/// # Panics
///
/// When it cannot be started.
pub(crate) fn run(name: &str, arguments: &[&str]) -> Output {
    Command::new("timeout")
        .args(["120", name])
        .args(arguments)
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap_or_else(|e| panic!("cannot run {name} (packages {PACKAGES}): {e}"))
}

/// What a tool said, both streams.
pub(crate) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Runs a tool that has to succeed, and gives its output.
///
/// # Panics
///
/// When it fails, with what it said.
pub(crate) fn must(name: &str, arguments: &[&str]) -> String {
    let output = run(name, arguments);
    assert!(
        output.status.success(),
        "{name} {arguments:?} (packages {PACKAGES}): {} {}",
        output.status,
        text(&output)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A path as an argument.
pub(crate) fn arg(path: &Path) -> &str {
    path.to_str().unwrap()
}
