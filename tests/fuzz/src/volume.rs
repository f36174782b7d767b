//! What every file system must bear.

use crate::Patched;
use driver_core::{FileKind, GuestFs, PartitionFacts};
use driver_partitions::Window;
use format_core::{DenyAll, Disk, LayerContext, Overlay};
use std::sync::Arc;

/// Entries that are looked at.
const ENTRIES: usize = 300;
const FILE_LIMIT: u64 = 1 << 20;

/// An overlay over the patched base as a raw disk.
///
/// # Panics
/// Never for a storage in memory.
#[must_use]
pub fn overlay_of(image: Patched) -> Arc<Overlay> {
    let open = format_raw::FORMAT.open_layer.expect("raw has a reader");
    let layer = open(Arc::new(image), &LayerContext::new(Arc::new(DenyAll))).expect("raw opens anything");
    Overlay::new(Disk::new(vec![layer.into()]).expect("one layer"))
}

/// Opens the patched base as a file system, reads all of it, edits a file, and opens it again.
///
/// # Panics
/// When an edit that was reported as done is not there afterwards.
pub fn fuzz_volume<F: GuestFs>(image: Patched, open: impl Fn(Arc<Window>) -> format_core::Result<F>) {
    let overlay = overlay_of(image);
    let size = overlay.base().virtual_size();
    let whole = PartitionFacts { size, ..PartitionFacts::default() };
    let window = || Arc::new(Window::of_partition(&overlay, &whole).expect("the whole disk"));
    let Ok(mut fs) = open(window()) else { return };
    check_free(&fs, size);
    let files = walk(&fs);
    let content = b"written by the fuzzer\n".repeat(300);
    let edited = files.iter().find(|path| fs.replace_file(path, &content).is_ok());
    let Some(path) = edited else { return };
    if fs.finish().is_err() {
        return;
    }
    assert!(fs.read_file(path, FILE_LIMIT).ok().as_ref() == Some(&content), "{path} is not as written");
    drop(fs);
    let again = open(window()).expect("it opened before the edit");
    assert!(
        again.read_file(path, FILE_LIMIT).ok().as_ref() == Some(&content),
        "{path} is not as it was left"
    );
}

/// What is free lies in the volume, in order.
fn check_free(fs: &dyn GuestFs, size: u64) {
    let Ok(Some(ranges)) = fs.free_ranges() else { return };
    let mut end = 0;
    for range in ranges {
        assert!(range.start >= end && range.start < range.end && range.end <= size, "{range:x?} behind {end:#x}");
        end = range.end;
    }
}

/// All regular files up to a bound; everything is read once.
fn walk(fs: &dyn GuestFs) -> Vec<String> {
    let (mut folders, mut files, mut seen) = (vec![String::new()], Vec::new(), 0);
    while let Some(folder) = folders.pop() {
        let path = if folder.is_empty() { "/" } else { &folder };
        let Ok(entries) = fs.read_dir(path) else { continue };
        for entry in entries {
            seen += 1;
            if seen > ENTRIES {
                return files;
            }
            let path = format!("{folder}/{}", entry.name);
            let _ = fs.metadata(&path);
            match entry.kind {
                FileKind::Folder => folders.push(path),
                FileKind::Link => drop(fs.read_link(&path)),
                FileKind::File => {
                    if fs.read_file(&path, FILE_LIMIT).is_ok() {
                        files.push(path);
                    }
                }
                _ => {}
            }
        }
    }
    files
}
