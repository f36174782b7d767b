//! Members that other people's kernels made.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod maker;

use driver_core::Volume;
use driver_md::{Array, assemble, probe};
use maker::Memory;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// Files of the image collection beside the repository, or where `REHOME_CORPUS` says. Without it: loud, and under CI an
/// error.
fn foreign(files: &[&str]) -> Option<Vec<Arc<Memory>>> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let corpus = std::env::var_os("REHOME_CORPUS").map_or(beside, PathBuf::from);
    let archive = corpus.join("third-party.tar.zst");
    if !archive.is_file() {
        let message = format!("the image collection is not in {}: set REHOME_CORPUS", corpus.display());
        assert!(std::env::var_os("CI").is_none(), "{message}");
        eprintln!("NOT RUN: {message}");
        return None;
    }
    let script = "zstd -dcq --long=31 \"$1\" | tar -xOf - \"third-party/$2\" | gzip -dc";
    let unpack = |file: &&str| {
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", script, "bash", archive.to_str().unwrap(), file])
            .output()
            .unwrap();
        assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
        Memory::new(output.stdout)
    };
    Some(files.iter().map(unpack).collect())
}

fn array_of(devices: &[Arc<dyn Volume>]) -> Array {
    let found: Vec<_> =
        devices.iter().map(|device| (probe(device.as_ref()).unwrap().unwrap(), Arc::clone(device))).collect();
    let mut arrays = assemble(&found);
    assert_eq!(arrays.len(), 1);
    arrays.remove(0)
}

#[test]
fn arrays_of_other_kernels_are_put_together() {
    let Some(devices) = foreign(&[
        "dissect.volume/md/md-raid1-1.bin.gz",
        "dissect.volume/md/md-raid1-2.bin.gz",
        "dissect.volume/md/md-90-1.bin.gz",
        "dissect.target/volumes/md-nested.bin.gz",
    ]) else {
        return;
    };
    let devices: Vec<Arc<dyn Volume>> = devices.into_iter().map(|device| device as Arc<dyn Volume>).collect();
    let array = array_of(&devices[..2]);
    assert_eq!(
        (array.name.as_str(), array.level.as_str(), array.size),
        ("fedora:raid1", "raid1", 2048 << 10)
    );
    assert_eq!(array.devices[0], "/dev/md/raid1");
    assert!(array.content.is_ok() && array.warnings.is_empty() && array.read_only.is_none());

    let array = array_of(&devices[2..3]);
    assert_eq!((array.name.as_str(), array.metadata, array.size), ("md10", "0.90", 5056 << 10));
    assert_eq!(array.uuid, "7b53af09:6ca96ee5:3699e86a:17e98710");
    assert!(array.content.is_ok() && array.warnings[0].contains("1 of 2"), "{:?}", array.warnings);

    let outer = array_of(&devices[3..]);
    assert_eq!((outer.level.as_str(), outer.size), ("raid0", 16384 * 512));
    // It holds a physical volume of LVM.
    let mut label = [0; 8];
    outer.content.unwrap().read_exact_at(512, &mut label).unwrap();
    assert_eq!(&label, b"LABELONE");
}
