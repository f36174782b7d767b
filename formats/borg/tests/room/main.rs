//! Borg repositories that Borg itself made (Debian package borgbackup), whole and broken.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod broken;
mod golden;
mod plain;
mod seams;

use format_core::{Format, Key, OpenOptions, OpenedImage, Result, open_image};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What is opened inside of repositories here.
static FORMATS: &[&Format] = &[&format_borg::FORMAT, &plain::RAW];

fn options(passphrase: Option<&str>) -> OpenOptions {
    let mut options = OpenOptions::new(FORMATS, None);
    options.access.key = passphrase.map(|text| Key::new(text.as_bytes().to_vec()));
    options
}

fn open(
    folder: &Path,
    passphrase: Option<&str>,
    pick: Option<&str>,
    at: Option<&str>,
) -> Result<OpenedImage> {
    let mut options = options(passphrase);
    options.access.pick = pick.map(str::to_owned);
    options.access.at = at.map(str::to_owned);
    open_image(folder, &options)
}

fn bytes(image: &OpenedImage) -> Vec<u8> {
    let mut all = vec![9; usize::try_from(image.disk.virtual_size()).unwrap()];
    image.disk.read_exact_at(0, &mut all).unwrap();
    all
}

/// Bytes that do not repeat.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// A folder with a repository, and the home of a borg that made it.
struct Made {
    root: tempfile::TempDir,
}

impl Made {
    fn new(encryption: &str) -> Self {
        let made = Self { root: tempfile::tempdir().unwrap() };
        std::fs::create_dir(made.root.path().join("in")).unwrap();
        made.borg(&["init", "-e", encryption], None);
        made
    }

    fn repo(&self) -> PathBuf {
        // What borg makes of names must not matter.
        self.root.path().join("re po {now}")
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        let path = self.root.path().join("in").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Runs borg in the folder `in`; for it, the repository always lies at the same place, which has a plain name.
    fn borg(&self, args: &[&str], input: Option<&[u8]>) {
        let plain = self.root.path().join("repo");
        if self.repo().exists() {
            std::fs::rename(self.repo(), &plain).unwrap();
        }
        let mut child = Command::new("borg")
            .args(args)
            .current_dir(self.root.path().join("in"))
            .env("BORG_REPO", "../repo")
            .env("BORG_BASE_DIR", self.root.path().join("home"))
            .env("BORG_PASSPHRASE", "pässword")
            .env("BORG_CHECK_I_KNOW_WHAT_I_AM_DOING", "YES")
            .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stderr(Stdio::piped())
            .spawn()
            .expect("borg is needed: install the Debian package borgbackup (tests/packages.sh)");
        if let Some(input) = input {
            child.stdin.take().unwrap().write_all(input).unwrap();
        }
        let done = child.wait_with_output().unwrap();
        assert!(done.status.success(), "borg {args:?}: {}", String::from_utf8_lossy(&done.stderr));
        std::fs::rename(&plain, self.repo()).unwrap();
    }

    /// All files of the repository with their content.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let (mut all, mut folders) = (BTreeMap::new(), vec![self.repo()]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    all.insert(path.clone(), std::fs::read(path).unwrap());
                }
            }
        }
        all
    }
}
