//! Encrypted images: LUKS, and the older AES.
//!
//! Clusters are encrypted in sectors of 512 bytes; tables are not. LUKS numbers a sector by its place in the file,
//! AES by its place on the disk.

mod derive;
mod error;
mod luks;
mod sectors;

pub(crate) use error::CryptoError;
pub(crate) use luks::{HeaderPlace, LuksHeader};
pub(crate) use sectors::SECTOR;

use format_core::{Key, Result, Storage, Warning};
use sectors::{CipherName, Mode, SectorCipher, StartValue};
use zeroize::Zeroizing;

/// How the clusters are encrypted.
#[derive(Debug)]
pub(crate) enum Method {
    Aes,
    Luks(Box<LuksHeader>),
}

/// Decrypts the clusters of an image.
pub(crate) struct Decryption {
    cipher: SectorCipher,
    by_host_offset: bool,
}

impl Method {
    /// Reads what `crypt_method` names; `None` for an image that is not encrypted.
    pub(crate) fn load(
        storage: &dyn Storage,
        crypt_method: u32,
        header: Option<HeaderPlace>,
    ) -> Result<Option<Self>> {
        match crypt_method {
            0 => Ok(None),
            1 => Ok(Some(Self::Aes)),
            2 => {
                let place = header.ok_or(CryptoError::NoHeader)?;
                Ok(Some(Self::Luks(Box::new(luks::load(storage, place)?))))
            }
            other => Err(CryptoError::Method(other).into()),
        }
    }

    /// # Errors
    /// `NeedsPerson` without a key, or when it is the wrong one.
    pub(crate) fn unlock(&self, storage: &dyn Storage, key: Option<&Key>) -> Result<Decryption> {
        let method = match self {
            Self::Aes => "AES",
            Self::Luks(_) => "LUKS",
        };
        let key = key.ok_or(CryptoError::NoKey { method })?;
        match self {
            Self::Aes => Ok(Decryption { cipher: legacy_cipher(key)?, by_host_offset: false }),
            Self::Luks(header) => {
                Ok(Decryption { cipher: header.unlock(storage, key)?, by_host_offset: true })
            }
        }
    }

    /// What nobody can notice but the operator.
    pub(crate) fn warning(&self, key: Option<&Key>) -> Option<Warning> {
        let Self::Aes = self else { return None };
        let newline = key.is_some_and(|key| key.bytes().iter().take(KEY).any(|&byte| byte == b'\n'));
        let text = if newline {
            "the image's AES encryption cannot tell a wrong key, and the key has a newline, which counts: look at the result"
        } else {
            "the image's AES encryption cannot tell a wrong key: look at the result"
        };
        Some(Warning::new("qcow2-aes-key", text))
    }
}

/// Bytes of the key of the older AES.
const KEY: usize = 16;

/// The passphrase is the key: cut to 16 bytes, or filled up with zeros.
fn legacy_cipher(key: &Key) -> Result<SectorCipher, CryptoError> {
    let mut padded = Zeroizing::new([0; KEY]);
    padded.iter_mut().zip(key.bytes()).for_each(|(to, from)| *to = *from);
    SectorCipher::new(CipherName::Aes, Mode::Cbc, StartValue::Plain64, padded.as_slice())
        .ok_or(CryptoError::Cipher { cipher: "aes-cbc-plain64".into(), key_bytes: KEY as u32 })
}

impl Decryption {
    /// Decrypts whole sectors in place.
    pub(crate) fn decrypt(&self, host: u64, guest: u64, sectors: &mut [u8]) {
        let offset = if self.by_host_offset { host } else { guest };
        self.cipher.decrypt(offset / SECTOR as u64, sectors);
    }
}
