//! An export that xva-img packed, in the collection of foreign images.

use crate::builder::{context, drain};
use format_core::{FileStorage, Origin, Storage, StorageReader};
use format_xva::FORMAT;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

const MEMBER: &str = "./xva/xva-img.xva";
const SIZE: u64 = 100_663_296;
/// What the collection records for the disk that went in.
const WANTED: &str = "2b66ce4528748714d4da038901a34f90d6915be5c71ba3730e36a01869194b15";

/// The export, unpacked into `folder`. Without the collection nothing can be tested: loud, and under CI an error.
fn unpacked(folder: &Path) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let corpus = std::env::var_os("REHOME_CORPUS").map_or(beside, PathBuf::from).join("made.tar.zst");
    if !corpus.is_file() {
        let message = format!("the image collection is not at {}: set REHOME_CORPUS", corpus.display());
        assert!(std::env::var_os("CI").is_none(), "{message}");
        eprintln!("NOT RUN: {message}");
        return None;
    }
    let script = "set -o pipefail; zstd -dcq --long=31 \"$1\" | tar -xf - -C \"$2\" \"$3\"";
    let status =
        Command::new("bash").args(["-c", script, "bash"]).arg(corpus).arg(folder).arg(MEMBER).status();
    assert!(status.expect("bash, tar and the Debian package zstd").success());
    Some(folder.join(MEMBER))
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn an_export_of_xva_img_is_read_at_any_place_and_as_a_stream() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = unpacked(folder.path()) else { return };
    let storage: Arc<dyn Storage> = Arc::new(FileStorage::open(&path).unwrap());
    let container =
        (FORMAT.open_container.unwrap())(Origin::File(Arc::clone(&storage)), &context(None)).unwrap();
    assert_eq!(container.disks().len(), 1);
    assert_eq!(
        (container.disks()[0].name.as_str(), container.disks()[0].virtual_size),
        ("Ref:1", Some(SIZE))
    );
    assert!(container.check(&|_| Ok(())).unwrap().is_clean());
    (container.proof(0).unwrap())(&|_| Ok(())).unwrap();
    let disk = container.open_disk(0).unwrap().disk;
    let (mut digest, mut at, mut piece) = (Sha256::new(), 0, vec![0; 1_000_003]);
    while at < SIZE {
        let len = (SIZE - at).min(piece.len() as u64) as usize;
        disk.read_exact_at(at, &mut piece[..len]).unwrap();
        digest.update(&piece[..len]);
        at += len as u64;
    }
    assert_eq!(hex(&digest.finalize()), WANTED);
    let stream =
        (FORMAT.open_stream.unwrap())(Box::new(StorageReader::new(storage)), &context(None)).unwrap();
    assert_eq!(hex(&Sha256::digest(drain(stream).unwrap())), WANTED);
    let mut cat = Command::new("cat").arg(&path).stdout(Stdio::piped()).spawn().unwrap();
    let from = Box::new(cat.stdout.take().unwrap());
    let stream = (FORMAT.open_stream.unwrap())(from, &context(None)).unwrap();
    assert_eq!(hex(&Sha256::digest(drain(stream).unwrap())), WANTED);
    assert!(cat.wait().unwrap().success());
}
