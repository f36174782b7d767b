//! Backups that Proxmox's own tool wrote, in the collection of foreign images.

use crate::builder::{context, drain};
use format_core::{FileStorage, Origin, Storage, StorageReader};
use format_vma::FORMAT;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

/// By disk: its size, and the SHA-256 that the collection records for what went in.
const DISKS: [(&str, u64, &str); 2] = [
    ("drive-scsi0", 100_663_296, "2b66ce4528748714d4da038901a34f90d6915be5c71ba3730e36a01869194b15"),
    ("drive-scsi1", 34_604_544, "21ed0c16a08b96b37ae4d12613e7930e6dffe44ae0058958651d968d6929daed"),
];
const MEMBERS: [&str; 2] = ["./vma/vzdump-qemu-100.vma", "./vma/vzdump-qemu-100.vma.zst"];

/// The backups, unpacked into `folder`. Without the collection nothing can be tested: loud, and under CI an error.
fn unpacked(folder: &Path) -> Option<()> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let corpus = std::env::var_os("REHOME_CORPUS").map_or(beside, PathBuf::from).join("made.tar.zst");
    if !corpus.is_file() {
        let message = format!("the image collection is not at {}: set REHOME_CORPUS", corpus.display());
        assert!(std::env::var_os("CI").is_none(), "{message}");
        eprintln!("NOT RUN: {message}");
        return None;
    }
    let script = "set -o pipefail; zstd -dcq --long=31 \"$1\" | tar -xf - -C \"$2\" \"$3\" \"$4\"";
    let status =
        Command::new("bash").args(["-c", script, "bash"]).arg(corpus).arg(folder).args(MEMBERS).status();
    assert!(status.expect("bash, tar and the Debian package zstd").success());
    Some(())
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn proxmox_backups_are_read_at_any_place_and_as_streams() {
    let folder = tempfile::tempdir().unwrap();
    let Some(()) = unpacked(folder.path()) else { return };
    let storage: Arc<dyn Storage> = Arc::new(FileStorage::open(&folder.path().join(MEMBERS[0])).unwrap());
    let container =
        (FORMAT.open_container.unwrap())(Origin::File(Arc::clone(&storage)), &context(None)).unwrap();
    assert_eq!(container.disks().len(), 2);
    assert!(container.check(&|_| Ok(())).unwrap().is_clean());
    assert!(container.machine_files().unwrap()[0].bytes.starts_with(b"bootdisk: scsi0"));
    for (index, (name, size, wanted)) in DISKS.into_iter().enumerate() {
        let entry = &container.disks()[index];
        assert_eq!((entry.name.as_str(), entry.virtual_size), (name, Some(size)));
        let disk = container.open_disk(index).unwrap().disk;
        let (mut digest, mut at, mut piece) = (Sha256::new(), 0, vec![0; 1_000_003]);
        while at < size {
            let len = (size - at).min(piece.len() as u64) as usize;
            disk.read_exact_at(at, &mut piece[..len]).unwrap();
            digest.update(&piece[..len]);
            at += len as u64;
        }
        assert_eq!(hex(&digest.finalize()), wanted, "{name}");
        let from = Box::new(StorageReader::new(Arc::clone(&storage)));
        let stream = (FORMAT.open_stream.unwrap())(from, &context(Some(name))).unwrap();
        assert_eq!(hex(&Sha256::digest(drain(stream).unwrap())), wanted, "{name} as a stream");
        let mut zstd = Command::new("zstd")
            .arg("-dcq")
            .arg(folder.path().join(MEMBERS[1]))
            .stdout(Stdio::piped())
            .spawn();
        let zstd = zstd.as_mut().expect("the Debian package zstd");
        let from = Box::new(zstd.stdout.take().unwrap());
        let stream = (FORMAT.open_stream.unwrap())(from, &context(Some(name))).unwrap();
        assert_eq!(hex(&Sha256::digest(drain(stream).unwrap())), wanted, "{name} out of a pipe");
        assert!(zstd.wait().unwrap().success());
    }
}
