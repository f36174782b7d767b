//! restic repositories: what restic itself made, what is broken, what is hostile.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod broken;
mod builder;
mod golden;
mod hostile;
mod plain;

use format_core::{
    Container, Format, InnerImage, Key, OpenOptions, OpenedImage, Result, open_image, open_images,
};
use std::path::Path;
use std::sync::Arc;

/// What is opened inside of repositories here.
static FORMATS: &[&Format] = &[&format_restic::FORMAT, &plain::RAW, &plain::BOXED];

fn options(password: &str) -> OpenOptions {
    let mut options = OpenOptions::new(FORMATS, None);
    options.access.key = Some(Key::new(password.as_bytes().to_vec()));
    options
}

/// The only disk, or the one that `pick` says.
fn open(folder: &Path, password: &str, pick: Option<&str>, at: Option<&str>) -> Result<OpenedImage> {
    let mut options = options(password);
    options.access.pick = pick.map(str::to_owned);
    options.access.at = at.map(str::to_owned);
    open_image(folder, &options)
}

/// The container, for a repository that has a disk at least.
fn container(folder: &Path, password: &str) -> Arc<dyn Container> {
    let mut options = options(password);
    options.access.pick = Some("0".into());
    let opened = open_images(folder, &options).unwrap();
    Arc::clone(&opened[0].inside.as_ref().unwrap().container)
}

/// All bytes of a disk, read in pieces of different lengths.
fn bytes(disk: &format_core::Disk) -> Vec<u8> {
    let mut all = vec![9; usize::try_from(disk.virtual_size()).unwrap()];
    let (mut at, mut step) = (0, 1);
    while at < all.len() {
        let end = all.len().min(at + step);
        disk.read_exact_at(at as u64, &mut all[at..end]).unwrap();
        (at, step) = (end, (step * 7 + 13) % 3_000_001);
    }
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

fn names(container: &dyn Container) -> Vec<&str> {
    container.disks().iter().map(|disk| disk.name.as_str()).collect()
}

fn inner(container: &dyn Container, index: usize) -> Result<InnerImage> {
    container.open_disk(index)
}
