//! The manifest of a snapshot: its files with their checksums, perhaps signed.

use crate::digest::{Digest, fingerprint_text, hex, parse_hex};
use crate::error::PbsError;
use crate::key::BackupKey;
use serde::Deserialize;
use serde_json::Value;

/// More files than any snapshot has.
const MAX_FILES: usize = 4096;

/// A checked manifest.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    /// `vm`, `ct` or `host`.
    pub(crate) kind: String,
    /// The number or name of the machine.
    pub(crate) id: String,
    /// When the backup was made, in seconds since 1970.
    pub(crate) time: i64,
    pub(crate) files: Vec<FileEntry>,
    /// Which key the backup was made with. Not covered by the signature.
    pub(crate) fingerprint: Option<Digest>,
    /// What a person wrote about the backup.
    pub(crate) notes: Option<String>,
    /// What the server's last verification said.
    pub(crate) verified: Option<String>,
    signature: Option<Digest>,
    /// What the signature covers.
    signed: Vec<u8>,
}

/// A file of the snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileEntry {
    pub(crate) name: String,
    /// Of an index the size of the disk, of a blob that of the file, in bytes.
    pub(crate) size: u64,
    /// Of an index that of its digests, of a blob that of the file.
    pub(crate) sum: Digest,
    pub(crate) mode: Mode,
}

/// What was done with a file's content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mode {
    /// Neither encrypted nor signed.
    #[default]
    None,
    /// Only the manifest is signed.
    SignOnly,
    /// Chunks and blobs are encrypted.
    Encrypt,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Text {
    backup_type: String,
    backup_id: String,
    backup_time: i64,
    files: Vec<FileText>,
    #[serde(default)]
    unprotected: Value,
    signature: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct FileText {
    filename: String,
    #[serde(default)]
    crypt_mode: Mode,
    size: u64,
    csum: String,
}

impl Mode {
    /// As the manifest spells it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::SignOnly => "sign-only",
            Self::Encrypt => "encrypt",
        }
    }
}

impl Manifest {
    /// Reads the manifest in `bytes`.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, PbsError> {
        let failed = |reason: String| PbsError::Manifest { reason };
        let value: Value = serde_json::from_slice(bytes).map_err(|e| failed(e.to_string()))?;
        let signed = canonical(&value);
        let text: Text = serde_json::from_value(value).map_err(|e| failed(e.to_string()))?;
        if text.files.len() > MAX_FILES {
            return Err(failed(format!(
                "it lists {} files, {MAX_FILES} at most are taken",
                text.files.len()
            )));
        }
        let digest = |what: &str, text: &str| {
            parse_hex(text).ok_or_else(|| failed(format!("the {what} {text:?} is no SHA-256")))
        };
        let unprotected = |key: &str| text.unprotected.get(key).and_then(Value::as_str);
        let verified = text.unprotected.get("verify_state").and_then(|state| state.get("state"));
        let mut files = Vec::new();
        for file in &text.files {
            if !is_file_name(&file.filename) {
                return Err(PbsError::FileName { name: file.filename.clone() });
            }
            files.push(FileEntry {
                name: file.filename.clone(),
                size: file.size,
                sum: digest("checksum", &file.csum)?,
                mode: file.crypt_mode,
            });
        }
        Ok(Self {
            fingerprint: unprotected("key-fingerprint")
                .map(|text| digest("fingerprint", text))
                .transpose()?,
            notes: unprotected("notes").map(str::to_owned),
            verified: verified.and_then(Value::as_str).map(str::to_owned),
            signature: text.signature.as_deref().map(|text| digest("signature", text)).transpose()?,
            kind: text.backup_type,
            id: text.backup_id,
            time: text.backup_time,
            files,
            signed,
        })
    }

    /// What it says about the file `name`.
    pub(crate) fn file(&self, name: &str) -> Option<&FileEntry> {
        self.files.iter().find(|file| file.name == name)
    }

    /// Whether a key is of any use.
    pub(crate) fn is_protected(&self) -> bool {
        self.is_signed() || self.fingerprint.is_some() || self.is_encrypted()
    }

    /// Whether only who has the key could have written it.
    pub(crate) fn is_signed(&self) -> bool {
        self.signature.is_some()
    }

    /// Whether any file of the snapshot is encrypted.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.files.iter().any(|file| file.mode == Mode::Encrypt)
    }

    /// Whether the key is the one that the backup was made with, and the signature the one that it makes.
    pub(crate) fn verify(&self, key: &BackupKey) -> Result<(), PbsError> {
        if let Some(wanted) = self.fingerprint.filter(|wanted| *wanted != key.fingerprint) {
            let (found, wanted) = (fingerprint_text(&key.fingerprint), fingerprint_text(&wanted));
            return Err(PbsError::WrongKey { found, wanted });
        }
        let made = key.sign(&self.signed);
        match self.signature.filter(|found| *found != made) {
            Some(found) => Err(PbsError::Signature { found: hex(&found), wanted: hex(&made) }),
            None => Ok(()),
        }
    }
}

/// Names that the server gives: no folders, nothing hidden.
fn is_file_name(name: &str) -> bool {
    let known = [".fidx", ".didx", ".blob"].iter().any(|extension| name.ends_with(extension));
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    known && !name.starts_with('.') && name.len() <= 255 && name.bytes().all(allowed)
}

/// What the signature covers: all but itself and what is said to be unprotected, sorted by keys, without blanks.
fn canonical(value: &Value) -> Vec<u8> {
    let mut text = Vec::new();
    match value {
        Value::Object(object) => {
            let signed =
                object.iter().filter(|(key, _)| !matches!(key.as_str(), "unprotected" | "signature"));
            write_object(signed.collect(), &mut text);
        }
        other => write_canonical(other, &mut text),
    }
    text
}

fn write_canonical(value: &Value, text: &mut Vec<u8>) {
    match value {
        Value::Object(object) => write_object(object.iter().collect(), text),
        Value::Array(items) => {
            text.push(b'[');
            for (number, item) in items.iter().enumerate() {
                if number > 0 {
                    text.push(b',');
                }
                write_canonical(item, text);
            }
            text.push(b']');
        }
        scalar => text.extend_from_slice(scalar.to_string().as_bytes()),
    }
}

fn write_object(mut fields: Vec<(&String, &Value)>, text: &mut Vec<u8>) {
    fields.sort_by_key(|(key, _)| *key);
    text.push(b'{');
    for (number, (key, value)) in fields.into_iter().enumerate() {
        if number > 0 {
            text.push(b',');
        }
        text.extend_from_slice(Value::from(key.as_str()).to_string().as_bytes());
        text.push(b':');
        write_canonical(value, text);
    }
    text.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use format_core::{Access, Key};

    /// The manifest of the test `test_manifest_signature` of Proxmox' own sources, whose key is made of a passphrase.
    fn proxmox_sample() -> String {
        let files =
            [("test1.img.fidx", "01", "encrypt"), ("abc.blob", "02", "none")].map(|(name, byte, mode)| {
                let sum = byte.repeat(32);
                format!(r#"{{"size": 200, "filename": "{name}", "csum": "{sum}", "crypt-mode": "{mode}"}}"#)
            });
        format!(
            r#"{{"files": [{}], "backup-type": "host", "backup-id": "elsa", "backup-time": 1593179765,
                "unprotected": {{"note": "anything"}},
                "signature": "d7b446fb7db081662081d4b40fedd858a1d6307a5aff4ecff7d5bf4fd35679e9"}}"#,
            files.join(", ")
        )
    }

    fn proxmox_key() -> BackupKey {
        let params = scrypt::Params::new(16, 8, 1).unwrap();
        let mut key = [0; 32];
        scrypt::scrypt(b"test", &[], &params, &mut key).unwrap();
        BackupKey::new(&key)
    }

    #[test]
    fn the_signature_is_the_one_that_proxmox_makes() {
        let text = proxmox_sample();
        let key = proxmox_key();
        Manifest::parse(text.as_bytes()).unwrap().verify(&key).unwrap();
        let other = text.replace("anything", "something else");
        Manifest::parse(other.as_bytes()).unwrap().verify(&key).unwrap();
        for (from, to) in
            [("elsa", "else"), ("0101", "0102"), ("\"none\"", "\"sign-only\""), ("1593", "1594")]
        {
            let changed = text.replacen(from, to, 1);
            let error = Manifest::parse(changed.as_bytes()).unwrap().verify(&key).unwrap_err();
            assert!(matches!(error, PbsError::Signature { .. }), "{error}");
        }
    }

    #[test]
    fn another_key_is_told_by_its_fingerprint() {
        let key = proxmox_key();
        let print = |key: &BackupKey| hex(&key.fingerprint);
        let text = |print: &str| {
            proxmox_sample().replace(r#""note": "anything""#, &format!(r#""key-fingerprint": "{print}""#))
        };
        Manifest::parse(text(&print(&key)).as_bytes()).unwrap().verify(&key).unwrap();
        let other = BackupKey::new(&[7; 32]);
        let error = Manifest::parse(text(&print(&key)).as_bytes()).unwrap().verify(&other).unwrap_err();
        assert!(matches!(error, PbsError::WrongKey { .. }), "{error}");
    }

    #[test]
    fn what_is_no_manifest_is_refused() {
        let good = proxmox_sample();
        for (from, to) in [
            ("test1.img.fidx", "../x.fidx"),
            ("test1.img.fidx", ".chunks.fidx"),
            ("test1.img.fidx", "x.exe"),
            ("\"encrypt\"", "\"rot13\""),
            ("200", "-1"),
            ("0101", "01"),
            ("{", "["),
            ("\"d7b4", "\"x7b4"),
        ] {
            assert!(Manifest::parse(good.replacen(from, to, 1).as_bytes()).is_err(), "{from} → {to}");
        }
        let deep = "[".repeat(100_000);
        assert!(Manifest::parse(deep.as_bytes()).is_err());
        let access = Access { key: Some(Key::new(b"no key".to_vec())), ..Access::default() };
        assert!(BackupKey::given(&access).is_err());
    }
}
