//! Datastores in temporary folders, laid out by hand.

use aes_gcm::aead::consts::U16;
use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{AesGcm, aes::Aes256};
use format_core::{
    Access, Container, Disk, FolderGate, Format, Key, LayerContext, Origin, Result, SourceFolder,
};
use format_pbs::FORMAT;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) const TIME: &str = "2026-11-22T02:00:00Z";
pub(crate) const CHUNK: usize = 4096;

/// How chunks and blobs are wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrap {
    Plain,
    Packed,
    Sealed,
    SealedPacked,
}

/// A datastore that is being written.
pub(crate) struct Store {
    pub(crate) folder: tempfile::TempDir,
    /// The key of everything that is sealed or signed.
    pub(crate) key: [u8; 32],
}

/// A snapshot that is being written; `write` writes its manifest.
pub(crate) struct Snapshot<'a> {
    pub(crate) store: &'a Store,
    /// Such as `vm/100/2026-11-22T02:00:00Z`.
    pub(crate) path: String,
    pub(crate) files: Vec<Value>,
    pub(crate) is_signed: bool,
}

/// `len` bytes that do not look alike, with a run of zeros in the middle.
pub(crate) fn sample(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes: Vec<u8> = (0..len)
        .map(|at| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            // Half of it packs well.
            if at / 700 % 2 == 0 { state as u8 } else { (at / 16) as u8 }
        })
        .collect();
    let (from, to) = (len / 3, len / 3 + len / 4);
    bytes[from..to].fill(0);
    bytes
}

pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize().into()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes as a blob or chunk.
pub(crate) fn wrap(content: &[u8], wrap: Wrap, key: &[u8; 32]) -> Vec<u8> {
    let (magic, packed, sealed): ([u8; 8], _, _) = match wrap {
        Wrap::Plain => ([66, 171, 56, 7, 190, 131, 112, 161], false, false),
        Wrap::Packed => ([49, 185, 88, 66, 111, 182, 163, 127], true, false),
        Wrap::Sealed => ([123, 103, 133, 190, 34, 45, 76, 240], false, true),
        Wrap::SealedPacked => ([230, 89, 27, 191, 11, 191, 216, 11], true, true),
    };
    let mut data = if packed { zstd::encode_all(content, 1).unwrap() } else { content.to_vec() };
    let mut bytes = magic.to_vec();
    let mut seal = Vec::new();
    if sealed {
        let start = [9_u8; 16];
        let cipher = AesGcm::<Aes256, U16>::new(key.into());
        let tag = cipher.encrypt_inout_detached((&start).into(), b"", (&mut data[..]).into()).unwrap();
        seal.extend_from_slice(&start);
        seal.extend_from_slice(&tag);
    }
    bytes.extend_from_slice(&crc32fast::hash(&data).to_le_bytes());
    bytes.extend_from_slice(&seal);
    bytes.extend_from_slice(&data);
    bytes
}

/// An index of chunks.
pub(crate) fn index(digests: &[[u8; 32]], size: u64, chunk_size: u64) -> Vec<u8> {
    let list = digests.concat();
    let mut bytes = vec![47, 127, 65, 237, 145, 253, 15, 205];
    bytes.extend_from_slice(&[7; 16]);
    bytes.extend_from_slice(&1_795_312_800_u64.to_le_bytes());
    bytes.extend_from_slice(&sha256(&[&list]));
    bytes.extend_from_slice(&size.to_le_bytes());
    bytes.extend_from_slice(&chunk_size.to_le_bytes());
    bytes.resize(4096, 0);
    bytes.extend_from_slice(&list);
    bytes
}

impl Store {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(".chunks")).unwrap();
        Self { folder, key: [0x42; 32] }
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    fn id_key(&self) -> [u8; 32] {
        let mut key = [0; 32];
        pbkdf2::pbkdf2_hmac::<Sha256>(&self.key, b"_id_key", 10, &mut key);
        key
    }

    fn sign(&self, bytes: &[u8]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.id_key()).unwrap();
        mac.update(bytes);
        mac.finalize().into_bytes().into()
    }

    pub(crate) fn fingerprint(&self) -> String {
        let words = sha256(&[b"Proxmox Backup Encryption Key Fingerprint"]);
        let print = sha256(&[&words, &self.id_key()]);
        print.map(|byte| format!("{byte:02x}")).join(":")
    }

    /// A key file without a passphrase.
    pub(crate) fn key_file(&self) -> Key {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for group in self.key.chunks(3) {
            let bits =
                group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (24 - 8 * group.len());
            for place in 0..4 {
                let letter = alphabet[(bits >> (18 - 6 * place) & 63) as usize] as char;
                text.push(if place <= group.len() { letter } else { '=' });
            }
        }
        let file = json!({"kdf": null, "data": text, "fingerprint": self.fingerprint(), "created": "", "modified": ""});
        Key::new(file.to_string().into_bytes())
    }

    pub(crate) fn chunk_path(&self, digest: &[u8; 32]) -> PathBuf {
        let name = hex(digest);
        self.root().join(".chunks").join(&name[..4]).join(name)
    }

    pub(crate) fn put_chunk(&self, content: &[u8], how: Wrap) -> [u8; 32] {
        let sealed = matches!(how, Wrap::Sealed | Wrap::SealedPacked);
        let digest = if sealed { sha256(&[content, &self.id_key()]) } else { sha256(&[content]) };
        let path = self.chunk_path(&digest);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, wrap(content, how, &self.key)).unwrap();
        digest
    }

    pub(crate) fn snapshot(&self, path: &str) -> Snapshot<'_> {
        std::fs::create_dir_all(self.root().join(path)).unwrap();
        Snapshot { store: self, path: path.to_owned(), files: Vec::new(), is_signed: false }
    }

    /// A snapshot of one disk, wrapped one way, with a configuration.
    pub(crate) fn simple(how: Wrap, content: &[u8]) -> Self {
        let store = Self::new();
        let mut snapshot = store.snapshot(&format!("vm/100/{TIME}"));
        snapshot.disk("drive-scsi0.img.fidx", content, &[how]);
        snapshot.blob("qemu-server.conf.blob", b"name: test\nscsi0: local:100/disk.raw\n", how);
        snapshot.write();
        store
    }

    /// The folder of the snapshot that [`Store::simple`] writes.
    pub(crate) fn simple_path(&self) -> PathBuf {
        self.root().join("vm/100").join(TIME)
    }
}

impl Snapshot<'_> {
    pub(crate) fn folder(&self) -> PathBuf {
        self.store.root().join(&self.path)
    }

    /// A disk whose chunks are wrapped in turn.
    pub(crate) fn disk(&mut self, name: &str, content: &[u8], how: &[Wrap]) {
        let chunks = content.chunks(CHUNK).zip(how.iter().cycle());
        let digests: Vec<_> = chunks.map(|(chunk, how)| self.store.put_chunk(chunk, *how)).collect();
        let bytes = index(&digests, content.len() as u64, CHUNK as u64);
        std::fs::write(self.folder().join(name), bytes).unwrap();
        self.list(name, content.len(), sha256(&[&digests.concat()]), how[0]);
    }

    pub(crate) fn blob(&mut self, name: &str, content: &[u8], how: Wrap) {
        let bytes = wrap(content, how, &self.store.key);
        self.list(name, bytes.len(), sha256(&[&bytes]), how);
        std::fs::write(self.folder().join(name), bytes).unwrap();
    }

    pub(crate) fn list(&mut self, name: &str, size: usize, sum: [u8; 32], how: Wrap) {
        let sealed = matches!(how, Wrap::Sealed | Wrap::SealedPacked);
        self.is_signed |= sealed;
        let mode = if sealed { "encrypt" } else { "none" };
        self.files.push(json!({"crypt-mode": mode, "csum": hex(&sum), "filename": name, "size": size}));
    }

    /// Writes the manifest.
    pub(crate) fn write(&self) {
        let mut manifest = json!({
            "backup-id": "100", "backup-time": 1_795_312_800, "backup-type": "vm", "files": self.files,
            "unprotected": {"notes": "a note"},
        });
        if self.is_signed {
            let mut signed = manifest.clone();
            signed.as_object_mut().unwrap().remove("unprotected");
            // The keys are written in their order here.
            let signature = hex(&self.store.sign(signed.to_string().as_bytes()));
            manifest["signature"] = signature.into();
            manifest["unprotected"]["key-fingerprint"] = self.store.fingerprint().into();
        }
        let bytes = wrap(manifest.to_string().as_bytes(), Wrap::Packed, &self.store.key);
        std::fs::write(self.folder().join("index.json.blob"), bytes).unwrap();
    }
}

pub(crate) fn open_with(path: &Path, access: Access) -> Result<Arc<dyn Container>> {
    let open = FORMAT.open_container.unwrap();
    let parent = if path.is_dir() { path.to_owned() } else { path.parent().unwrap().to_owned() };
    let folder = Arc::new(SourceFolder::open(&parent)?);
    let gate = Arc::new(FolderGate::new(parent, Arc::new([])));
    let mut context = LayerContext { access, folder: Some(Arc::clone(&folder)), ..LayerContext::new(gate) };
    context.name = path.file_name().map(|name| name.to_str().unwrap().to_owned());
    let origin = if path.is_dir() {
        Origin::Folder(folder)
    } else {
        Origin::File(Arc::new(format_core::FileStorage::open(path)?))
    };
    open(origin, &context).map(Arc::from)
}

pub(crate) fn open(path: &Path) -> Result<Arc<dyn Container>> {
    open_with(path, Access::default())
}

pub(crate) fn with_keys(keys: &[Key]) -> Access {
    Access {
        key: keys.first().cloned(),
        more_keys: keys.iter().skip(1).cloned().collect(),
        ..Access::default()
    }
}

/// Opens with the store's own key.
pub(crate) fn open_keyed(store: &Store, path: &Path) -> Result<Arc<dyn Container>> {
    open_with(path, with_keys(&[store.key_file()]))
}

pub(crate) fn disk(container: &Arc<dyn Container>, index: usize) -> Result<Disk> {
    Ok(container.open_disk(index)?.disk)
}

pub(crate) fn content(disk: &Disk) -> Result<Vec<u8>> {
    let mut bytes = vec![0; disk.virtual_size() as usize];
    disk.read_exact_at(0, &mut bytes)?;
    Ok(bytes)
}

/// Opens, reads the first disk.
pub(crate) fn read(container: &Arc<dyn Container>) -> Result<Vec<u8>> {
    content(&disk(container, 0)?)
}

/// The list of formats for who opens by path.
pub(crate) static FORMATS: &[&Format] = &[&FORMAT];
