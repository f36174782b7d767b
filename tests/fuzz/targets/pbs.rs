//! Snapshots of Proxmox Backup Server: one file of an encrypted, signed one is patched. Whatever can be read is what it was.
#![no_main]

use format_core::{
    Access, Container, DenyAll, ErrorKind, Key, LayerContext, Origin, Result, SourceFolder, Storage,
};
use fuzz::{Bases, Patched};
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock};
use tempfile::TempDir;

/// The files that are patched: manifest, index, configuration, a chunk.
static BASES: LazyLock<Bases> = LazyLock::new(|| Bases::load("pbs"));
static STORE: LazyLock<Store> = LazyLock::new(Store::new);

struct Store {
    _folder: TempDir,
    snapshot: PathBuf,
    key: Key,
    /// The files as they are patched, in the order of the bases.
    files: Vec<PathBuf>,
    content: Vec<u8>,
}

impl Store {
    /// A copy of the datastore that run.sh made.
    fn new() -> Self {
        let corpus = std::env::var_os("REHOME_FUZZ_CORPUS")
            .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus")), PathBuf::from);
        let base = corpus.join("base");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let copied = Command::new("cp").arg("-r").arg(base.join("pbs-store")).arg(folder.path()).status();
        assert!(copied.expect("cp runs").success(), "run.sh makes the datastore");
        let root = folder.path().join("pbs-store");
        let snapshot = root.join("store/vm/100/2026-11-22T02:00:00Z");
        let key = Key::new(std::fs::read(root.join("key.json")).expect("readable"));
        let chunk = std::fs::read_to_string(root.join("chunk")).expect("readable");
        let mut files: Vec<_> = ["index.json.blob", "drive-scsi0.img.fidx", "qemu-server.conf.blob"]
            .iter()
            .map(|name| snapshot.join(name))
            .collect();
        files.push(root.join("store").join(chunk.trim()));
        let mut store = Self { _folder: folder, snapshot, key, files, content: Vec::new() };
        store.content = read(store.open().expect("good").as_ref()).expect("good");
        store
    }

    fn open(&self) -> Result<Box<dyn Container>> {
        let folder = Arc::new(SourceFolder::open(&self.snapshot)?);
        let access = Access { key: Some(self.key.clone()), ..Access::default() };
        let context = LayerContext { access, ..LayerContext::new(Arc::new(DenyAll)) };
        (format_pbs::FORMAT.open_container.expect("it is a container"))(Origin::Folder(folder), &context)
    }
}

fn read(container: &dyn Container) -> Result<Vec<u8>> {
    let disk = container.open_disk(0)?.disk;
    let mut bytes = vec![0; disk.virtual_size() as usize];
    disk.read_exact_at(0, &mut bytes)?;
    Ok(bytes)
}

/// Puts the checksum of a blob or an index right.
fn seal(file: &mut Patched) {
    let bytes = file.bytes(0, file.size() as usize);
    let start = match bytes.first() {
        Some(0x2f) if bytes.len() > 4096 => {
            let sum = Sha256::digest(&bytes[4096..]);
            return file.patch(32, &sum);
        }
        Some(0x7b | 0xe6) => 44,
        _ => 12,
    };
    if let Some(data) = bytes.get(start..) {
        file.patch(8, &crc32fast::hash(data).to_le_bytes());
    }
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).expect("writable");
}

fuzz_target!(|input: &[u8]| {
    let store = &*STORE;
    let patched = Patched::from_input(&BASES, input, seal);
    let number = usize::from(input.get(..2).map_or(0, |start| start[0])) % store.files.len();
    let path = &store.files[number];
    let good = std::fs::read(path).expect("readable");
    write(path, &patched.bytes(0, patched.size() as usize));
    let opened = store.open();
    let ends = opened.map(|container| {
        let checked = container.check(&|_| Ok(()));
        let missing = container.completeness();
        (read(container.as_ref()), checked.err(), missing.err(), container.machine_files().err())
    });
    write(path, &good);
    let ok = |error: &format_core::Error| assert_ne!(error.kind(), ErrorKind::Contract, "{error}");
    match ends {
        Err(error) => ok(&error),
        Ok((content, checked, missing, machine)) => {
            [checked, missing, machine].iter().flatten().for_each(ok);
            match content {
                Ok(content) => assert!(content == store.content, "another disk"),
                Err(error) => ok(&error),
            }
        }
    }
});
