//! Manifests: the JSON, and after the first NUL byte its block list.
#![no_main]

use convert_engine::{BlockList, Manifest, SourceFacts, manifest_path};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a temporary folder"));

/// Manifests of disks of zeros.
fn seeds() -> Vec<(String, Vec<u8>)> {
    let image = FOLDER.path().join("disk.vhdx");
    std::fs::write(&image, b"vhdxfile").expect("writable");
    let seed = |size: u64| {
        let blocks = BlockList::new(size).expect("small");
        let source = SourceFacts { files: Vec::new(), identity: None, digest: None, offset: None, device: None };
        let manifest = Manifest::new(&image, "vhdx", &blocks, source).expect("the image exists");
        let path = manifest.save(&image, &blocks).expect("writable");
        let mut bytes = std::fs::read(path).expect("readable");
        bytes.push(0);
        bytes.extend(std::fs::read(FOLDER.path().join("disk.vhdx.rehome.blocks")).expect("readable"));
        (format!("zeros-{size}"), bytes)
    };
    [0, 1, 4 << 20, (9 << 20) + 5].map(seed).into()
}

fuzz_target!(init: fuzz::write_seeds(seeds), |input: &[u8]| {
    let split = input.iter().position(|&byte| byte == 0).unwrap_or(input.len());
    let (json, blocks) = input.split_at(split);
    let image = FOLDER.path().join("disk.vhdx");
    let path = manifest_path(&image);
    std::fs::write(&path, json).expect("writable");
    std::fs::write(FOLDER.path().join("disk.vhdx.rehome.blocks"), blocks.get(1..).unwrap_or(&[])).expect("writable");
    let Ok((manifest, blocks)) = Manifest::load(&path) else { return };
    assert_eq!(manifest.digest_value().expect("checked"), blocks.digest().expect("checked"));
    if manifest.blocks == "disk.vhdx.rehome.blocks" {
        let saved = manifest.save(&image, &blocks).expect("writable");
        assert_eq!(Manifest::load(&saved).expect("our own").0, manifest, "saved and loaded");
    }
});
