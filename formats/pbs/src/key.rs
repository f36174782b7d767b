//! Encryption keys: the file that holds one, and what is made of it.

use crate::digest::{Digest, digest_of, fingerprint_text, parse_hex};
use crate::error::PbsError;
use crate::layout::SEAL_PART;
use aes_gcm::aead::consts::U16;
use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{AesGcm, aes::Aes256};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use format_core::Access;
use hmac::{Hmac, Mac};
use serde::Deserialize;
use sha2::Sha256;
use zeroize::Zeroizing;

/// AES-256-GCM; Proxmox takes start values of 16 bytes.
type Cipher = AesGcm<Aes256, U16>;

/// The most memory that a passphrase may cost, in bytes; the client's own keys take half of it.
const MAX_COST: u128 = 128 << 20;
/// The most rounds over that memory, and the most iterations of PBKDF2.
const MAX_LANES: u32 = 16;
const MAX_ITERATIONS: u32 = 50_000_000;
/// A key in bytes.
const KEY: usize = 32;
/// What the fingerprint of a key is made of, besides the key: a digest of fixed words.
const FINGERPRINT_WORDS: &[u8] = b"Proxmox Backup Encryption Key Fingerprint";

/// The key of a backup, ready to be used.
pub(crate) struct BackupKey {
    cipher: Cipher,
    id_key: Zeroizing<[u8; KEY]>,
    /// Names the key without telling it.
    pub(crate) fingerprint: Digest,
}

/// A key file of Proxmox' client.
#[derive(Deserialize)]
struct KeyFile {
    kdf: Option<Kdf>,
    data: String,
    fingerprint: Option<String>,
    hint: Option<String>,
}

#[derive(Deserialize)]
enum Kdf {
    Scrypt {
        n: u64,
        r: u32,
        p: u32,
        salt: String,
    },
    #[serde(rename = "PBKDF2")]
    Pbkdf2 {
        iter: u32,
        salt: String,
    },
}

impl BackupKey {
    /// The key that the operator gave, if any: a key file, and its passphrase where it needs one.
    pub(crate) fn given(access: &Access) -> Result<Option<Self>, PbsError> {
        let keys: Vec<_> = access.key.iter().chain(&access.more_keys).map(|key| key.bytes()).collect();
        if keys.is_empty() {
            return Ok(None);
        }
        let mut reason = None;
        for (number, text) in keys.iter().enumerate() {
            match serde_json::from_slice::<KeyFile>(text) {
                Ok(file) => {
                    let others = keys.iter().enumerate().filter(|(other, _)| *other != number);
                    let passphrases: Vec<_> = others.map(|(_, key)| *key).collect();
                    return file.open(&passphrases).map(Some);
                }
                // What a passphrase that looks like JSON says is of no use to anyone.
                Err(e) => reason = reason.or(Some(format!("{:?} error in line {}", e.classify(), e.line()))),
            }
        }
        Err(PbsError::KeyFile { reason: reason.unwrap_or_default() })
    }

    pub(crate) fn new(key: &[u8; KEY]) -> Self {
        let mut id_key = Zeroizing::new([0; KEY]);
        pbkdf2::pbkdf2_hmac::<Sha256>(key, b"_id_key", 10, &mut *id_key);
        let fingerprint = digest_of(&[&digest_of(&[FINGERPRINT_WORDS]), &*id_key]);
        Self { cipher: Cipher::new(key.into()), id_key, fingerprint }
    }

    /// The part of a digest that only who has the key can make; it follows the content.
    pub(crate) fn suffix(&self) -> &[u8] {
        &*self.id_key
    }

    /// What only who has the key can say about `data`.
    pub(crate) fn sign(&self, data: &[u8]) -> Digest {
        // A key of any length will do.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&*self.id_key) else { return Digest::default() };
        mac.update(data);
        mac.finalize().into_bytes().into()
    }

    /// Decrypts `data` in its place.
    pub(crate) fn decrypt(
        &self,
        start: &[u8; SEAL_PART],
        tag: &[u8; SEAL_PART],
        data: &mut [u8],
    ) -> Result<(), PbsError> {
        self.cipher
            .decrypt_inout_detached(start.into(), b"", data.into(), tag.into())
            .map_err(|_| PbsError::Tag)
    }
}

impl KeyFile {
    fn open(mut self, passphrases: &[&[u8]]) -> Result<BackupKey, PbsError> {
        let data = decoded(&Zeroizing::new(std::mem::take(&mut self.data)), "data")?;
        let key = match &self.kdf {
            None => Zeroizing::new(data.as_slice().try_into().map_err(|_| length(data.len()))?),
            Some(kdf) => self.unlock(kdf, &data, passphrases)?,
        };
        let made = BackupKey::new(&key);
        match self.fingerprint.as_deref().map(|text| parse_hex(text).ok_or(text)) {
            Some(Err(text)) => Err(PbsError::KeyFile { reason: format!("its fingerprint is {text:?}") }),
            Some(Ok(wanted)) if wanted != made.fingerprint => Err(PbsError::KeyFingerprint {
                found: fingerprint_text(&made.fingerprint),
                wanted: fingerprint_text(&wanted),
            }),
            _ => Ok(made),
        }
    }

    /// The key is encrypted with one that is made of the passphrase; a line's end after that is no part of it.
    fn unlock(
        &self,
        kdf: &Kdf,
        data: &[u8],
        passphrases: &[&[u8]],
    ) -> Result<Zeroizing<[u8; KEY]>, PbsError> {
        if passphrases.is_empty() {
            return Err(PbsError::NoPassphrase);
        }
        let parts = data.split_first_chunk::<SEAL_PART>();
        let parts = parts.and_then(|(start, rest)| Some((start, rest.split_first_chunk::<SEAL_PART>()?)));
        let Some((start, (tag, sealed))) = parts else { return Err(length(data.len())) };
        let sealed: &[u8; KEY] = sealed.try_into().map_err(|_| length(data.len()))?;
        for passphrase in passphrases {
            let line = passphrase.strip_suffix(b"\n").unwrap_or(passphrase);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let tries = [Some(*passphrase), Some(line).filter(|line| line.len() < passphrase.len())];
            for text in tries.into_iter().flatten() {
                let derived = kdf.derive(text)?;
                let mut key = Zeroizing::new(*sealed);
                if Cipher::new((&*derived).into())
                    .decrypt_inout_detached(start.into(), b"", (&mut key[..]).into(), tag.into())
                    .is_ok()
                {
                    return Ok(key);
                }
            }
        }
        let hint = self.hint.as_ref().map(|hint| format!(", whose hint is {hint:?}")).unwrap_or_default();
        Err(PbsError::Passphrase { hint })
    }
}

impl Kdf {
    fn derive(&self, passphrase: &[u8]) -> Result<Zeroizing<[u8; KEY]>, PbsError> {
        let mut key = Zeroizing::new([0; KEY]);
        let odd = |what: String| PbsError::KeyFile { reason: what };
        match self {
            Self::Scrypt { n, r, p, salt } => {
                let bytes = u128::from(*n) * u128::from(*r) * 128;
                if bytes > MAX_COST {
                    return Err(PbsError::KeyCost { bytes });
                }
                let text = || odd(format!("it wants scrypt with n {n}, r {r}, p {p}"));
                if !n.is_power_of_two() || *p > MAX_LANES {
                    return Err(text());
                }
                let params = scrypt::Params::new(n.ilog2() as u8, *r, *p).map_err(|_| text())?;
                scrypt::scrypt(passphrase, &decoded(salt, "salt")?, &params, &mut *key)
                    .map_err(|_| text())?;
            }
            Self::Pbkdf2 { iter, salt } => {
                if !(1..=MAX_ITERATIONS).contains(iter) {
                    return Err(odd(format!("it wants {iter} iterations of PBKDF2")));
                }
                pbkdf2::pbkdf2_hmac::<Sha256>(passphrase, &decoded(salt, "salt")?, *iter, &mut *key);
            }
        }
        Ok(key)
    }
}

fn decoded(text: &str, what: &str) -> Result<Zeroizing<Vec<u8>>, PbsError> {
    let failed = |e| PbsError::KeyFile { reason: format!("its {what} is no base64: {e}") };
    BASE64_STANDARD.decode(text).map(Zeroizing::new).map_err(failed)
}

fn length(found: usize) -> PbsError {
    PbsError::KeyFile { reason: format!("its data has {found} bytes") }
}
