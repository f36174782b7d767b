//! Manifests that were written, damaged and read.

use super::*;
use crate::digest::block_hash;

fn saved(folder: &Path) -> PathBuf {
    let image = folder.join("disk.raw");
    std::fs::write(&image, b"hello").unwrap();
    let blocks = BlockList::new(5).unwrap();
    blocks.set(0, &block_hash(b"hello")).unwrap();
    let source = SourceFacts { files: vec![], identity: None, digest: None, offset: None, device: None };
    Manifest::new(&image, "raw", &blocks, source).unwrap().save(&image, &blocks).unwrap()
}

#[test]
fn a_saved_manifest_loads_and_every_flipped_byte_of_the_list_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = saved(folder.path());
    let (manifest, _) = Manifest::load(&path).unwrap();
    assert_eq!(manifest.digest_value().unwrap(), crate::digest_of_bytes(b"hello"));
    let list = folder.path().join("disk.raw.rehome.blocks");
    let good = std::fs::read(&list).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        std::fs::write(&list, bad).unwrap();
        assert!(Manifest::load(&path).is_err(), "byte {at}");
    }
    std::fs::write(&list, &good[1..]).unwrap();
    assert!(Manifest::load(&path).is_err());
}

/// Whatever one byte of the manifest becomes, it is refused, or says what it said.
#[test]
fn no_byte_of_a_manifest_changes_unnoticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = saved(folder.path());
    let (wanted, good) = (Manifest::load(&path).unwrap().0, std::fs::read(&path).unwrap());
    let mut harmless = 0;
    for at in 0..good.len() {
        for flip in [1, 2, 3, 4, 8, 0x10, 0x20, 0x40, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[at] ^= flip;
            std::fs::write(&path, &bad).unwrap();
            match Manifest::load(&path) {
                Ok((found, _)) => {
                    assert_eq!(found, wanted, "byte {at} ^ {flip:#x}");
                    assert!(good[at].is_ascii_whitespace(), "byte {at} ^ {flip:#x}");
                    harmless += 1;
                }
                Err(error) => assert!(matches!(error.kind().exit_code(), 65 | 69), "{error}"),
            }
        }
        let mut cut = good.clone();
        cut.remove(at);
        std::fs::write(&path, &cut).unwrap();
        assert!(Manifest::load(&path).map_or(true, |(found, _)| found == wanted), "without byte {at}");
    }
    assert!(harmless > 0, "a line feed becomes a tab");
}

#[test]
fn a_seal_is_missed_and_layout_is_nobodys_business() {
    let folder = tempfile::tempdir().unwrap();
    let path = saved(folder.path());
    let text = std::fs::read_to_string(&path).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let without = |version: u32| {
        let mut value = value.clone();
        value["version"] = version.into();
        value.as_object_mut().unwrap().remove("seal");
        std::fs::write(&path, value.to_string()).unwrap();
        Manifest::load(&path)
    };
    assert_eq!(without(1).unwrap().0.version, 1, "older programs wrote none");
    assert!(without(2).unwrap_err().to_string().contains("lost its seal"));
    std::fs::write(&path, value.to_string()).unwrap();
    Manifest::load(&path).unwrap();
    std::fs::write(&path, text.replace("\"file_size\": 5", "\"file_size\": 6")).unwrap();
    assert!(Manifest::load(&path).unwrap_err().to_string().contains("was changed after it was written"));
    std::fs::write(&path, text.replace("\"version\": 2", "\"version\": 1")).unwrap();
    assert!(Manifest::load(&path).is_err(), "an older version with a seal");
}

#[test]
fn a_list_of_zeros_is_a_hole_and_loads() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("disk.raw");
    std::fs::write(&image, b"").unwrap();
    // 5 TiB: beyond what lists in memory hold.
    let blocks = BlockList::new(5 << 40).unwrap();
    blocks.set((1 << 20) + 7, &block_hash(b"x")).unwrap();
    let source = SourceFacts { files: vec![], identity: None, digest: None, offset: None, device: None };
    let manifest = Manifest::new(&image, "raw", &blocks, source).unwrap();
    let path = manifest.save(&image, &blocks).unwrap();
    assert_eq!(Manifest::load(&path).unwrap().0, manifest);
    let list = std::fs::metadata(blocks_path(&image)).unwrap();
    assert_eq!(list.len(), (5 << 40) / BLOCK_SIZE * 32);
    assert!(std::os::unix::fs::MetadataExt::blocks(&list) * 512 <= 2 << 20);
}

#[test]
fn pipes_are_refused_instead_of_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = saved(folder.path());
    let list = blocks_path(&folder.path().join("disk.raw"));
    for name in [list, path.clone()] {
        std::fs::remove_file(&name).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&name).status().unwrap();
        assert!(made.success());
        assert!(Manifest::load(&path).unwrap_err().to_string().contains("no regular file"));
    }
}

#[test]
fn a_list_outside_the_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = saved(folder.path());
    let text = std::fs::read_to_string(&path).unwrap();
    for name in ["../x", "/etc/passwd", "", "."] {
        std::fs::write(&path, text.replace("disk.raw.rehome.blocks", name)).unwrap();
        assert!(Manifest::load(&path).is_err(), "{name:?}");
    }
}
