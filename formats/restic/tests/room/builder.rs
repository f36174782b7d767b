//! Writes repositories as the design document tells them, for what restic itself does not make.

use aes::{Aes128, Aes256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cipher::{BlockCipherEncrypt, KeyInit, KeyIvInit, StreamCipher};
use poly1305::Poly1305;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// Keys of all repositories here.
const ENCRYPT: [u8; 32] = [0x11; 32];
const MAC_K: [u8; 16] = [0x22; 16];
const MAC_R: [u8; 16] = [0xff; 16];

pub(crate) struct Repo {
    pub(crate) folder: PathBuf,
    version: u32,
    packs: Vec<Value>,
    counter: u8,
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn seal(keys: (&[u8; 32], &[u8; 16], &[u8; 16]), iv: [u8; 16], plain: &[u8]) -> Vec<u8> {
    let (encrypt, k, r) = keys;
    let mut text = plain.to_vec();
    ctr::Ctr128BE::<Aes256>::new(encrypt.into(), &iv.into()).apply_keystream(&mut text);
    let mut pad = iv.into();
    Aes128::new(k.into()).encrypt_block(&mut pad);
    let mut key = [0; 32];
    key[..16].copy_from_slice(r);
    // Poly1305 clears these bits of its r itself.
    key[16..].copy_from_slice(&pad);
    let tag = Poly1305::new(&key.into()).compute_unpadded(&text);
    [iv.as_slice(), &text, &tag].concat()
}

impl Repo {
    /// An empty repository with the password `pw`.
    pub(crate) fn new(folder: &Path, version: u32) -> Self {
        let mut repo = Self { folder: folder.to_owned(), version, packs: Vec::new(), counter: 0 };
        for name in ["keys", "index", "snapshots", "data"] {
            std::fs::create_dir_all(folder.join(name)).unwrap();
        }
        repo.key("pw", json!({"kdf": "scrypt", "N": 2, "r": 1, "p": 1}));
        let config =
            json!({"version": version, "id": "ab".repeat(32), "chunker_polynomial": "2b8a54029d1a2d"});
        let sealed = repo.sealed(config.to_string().as_bytes());
        std::fs::write(folder.join("config"), sealed).unwrap();
        repo
    }

    /// Adds a key; what `numbers` says about scrypt is written, whatever it is.
    pub(crate) fn key(&mut self, password: &str, numbers: Value) -> String {
        let salt = [7; 64];
        let mut made = [0; 64];
        scrypt::scrypt(password.as_bytes(), &salt, &scrypt::Params::new(1, 1, 1).unwrap(), &mut made)
            .unwrap();
        let b64 = |bytes: &[u8]| STANDARD.encode(bytes);
        let master = json!({"mac": {"k": b64(&MAC_K), "r": b64(&MAC_R)}, "encrypt": b64(&ENCRYPT)});
        let (e, m) = made.split_at(32);
        let keys = (e.try_into().unwrap(), m[..16].try_into().unwrap(), m[16..].try_into().unwrap());
        let sealed = seal(keys, [3; 16], master.to_string().as_bytes());
        let mut file = json!({"created": "2024-01-01T00:00:00Z", "username": "u", "hostname": "h"});
        for (key, value) in numbers.as_object().unwrap() {
            file[key] = value.clone();
        }
        file["salt"] = b64(&salt).into();
        file["data"] = b64(&sealed).into();
        self.put("keys", file.to_string().as_bytes())
    }

    /// `plain`, encrypted with the repository's key.
    pub(crate) fn sealed(&mut self, plain: &[u8]) -> Vec<u8> {
        self.counter = self.counter.wrapping_add(1);
        seal((&ENCRYPT, &MAC_K, &MAC_R), [self.counter; 16], plain)
    }

    fn put(&self, kind: &str, bytes: &[u8]) -> String {
        let id = digest(bytes);
        std::fs::write(self.folder.join(kind).join(&id), bytes).unwrap();
        id
    }

    /// A file of JSON, packed in version 2.
    pub(crate) fn json(&mut self, kind: &str, text: &str) -> String {
        let plain = match self.version {
            1 => text.as_bytes().to_vec(),
            _ => [vec![2], zstd::bulk::compress(text.as_bytes(), 1).unwrap()].concat(),
        };
        self.plain_file(kind, &plain)
    }

    /// A file whose content decrypted is `plain`.
    pub(crate) fn plain_file(&mut self, kind: &str, plain: &[u8]) -> String {
        let sealed = self.sealed(plain);
        self.put(kind, &sealed)
    }

    /// A pack with these blobs; their IDs. It is in the next index.
    pub(crate) fn pack(&mut self, kind: &str, blobs: &[&[u8]]) -> Vec<String> {
        let (mut pack, mut entries, mut ids) = (Vec::new(), Vec::new(), Vec::new());
        for blob in blobs {
            let packed = match self.version {
                1 => blob.to_vec(),
                _ => zstd::bulk::compress(blob, 1).unwrap(),
            };
            let sealed = self.sealed(&packed);
            let mut entry =
                json!({"id": digest(blob), "type": kind, "offset": pack.len(), "length": sealed.len()});
            if self.version > 1 {
                entry["uncompressed_length"] = blob.len().into();
            }
            entries.push(entry);
            ids.push(digest(blob));
            pack.extend_from_slice(&sealed);
        }
        let id = self.raw_pack(&pack);
        self.packs.push(json!({"id": id, "blobs": entries}));
        ids
    }

    /// A file in `data`, which no index knows.
    pub(crate) fn raw_pack(&self, bytes: &[u8]) -> String {
        let id = digest(bytes);
        std::fs::create_dir_all(self.folder.join("data").join(&id[..2])).unwrap();
        self.put(&format!("data/{}", &id[..2]), bytes);
        id
    }

    /// A folder's list as a blob; its ID.
    pub(crate) fn tree(&mut self, nodes: Value) -> String {
        let text = json!({ "nodes": nodes }).to_string();
        self.pack("tree", &[text.as_bytes()]).remove(0)
    }

    /// Writes the index of all packs since the last one; `change` may spoil it.
    pub(crate) fn index(&mut self, change: impl FnOnce(&mut Value)) -> String {
        let mut index = json!({"packs": std::mem::take(&mut self.packs)});
        change(&mut index);
        self.json("index", &index.to_string())
    }

    pub(crate) fn snapshot(&mut self, tree: &str, time: &str) -> String {
        let text =
            json!({"time": time, "tree": tree, "paths": ["/x"], "hostname": "h", "tags": null}).to_string();
        self.json("snapshots", &text)
    }

    /// A snapshot of files in the root folder, each of some blobs; the snapshot's ID.
    pub(crate) fn files(&mut self, files: &[(&str, &[&[u8]])], time: &str) -> String {
        let mut nodes = Vec::new();
        for (name, blobs) in files {
            let ids = self.pack("data", blobs);
            let size: usize = blobs.iter().map(|blob| blob.len()).sum();
            nodes.push(json!({"name": name, "type": "file", "size": size, "content": ids}));
        }
        let tree = self.tree(nodes.into());
        self.index(|_| {});
        self.snapshot(&tree, time)
    }
}

/// The only file in the folder `kind` of a repository.
pub(crate) fn only(folder: &Path, kind: &str) -> PathBuf {
    let mut all: Vec<_> = std::fs::read_dir(folder.join(kind)).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(all.len(), 1, "{kind}");
    all.remove(0)
}
