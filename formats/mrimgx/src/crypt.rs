//! Passwords, keys and the cipher.

use crate::error::MrimgxError;
use crate::json::{Aes, Description};
use aes::{Aes128, Aes192, Aes256};
use cipher::block_padding::NoPadding;
use cipher::{BlockCipherDecrypt, BlockCipherEncrypt, BlockModeDecrypt, KeyInit, KeyIvInit};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// A cipher's block in bytes.
const BLOCK: usize = 16;
/// Reflect takes 600,000.
const MAX_ITERATIONS: u32 = 50_000_000;

/// What decrypts a backup.
pub(crate) struct Cipher {
    aes: Aes,
    key: Zeroizing<[u8; 32]>,
    image_id: [u8; 8],
    /// Makes start values.
    starts: Aes256,
}

/// Which block a start value is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockName {
    pub(crate) disk: i32,
    pub(crate) partition: i32,
    /// From 0, counted apart for reserved sectors.
    pub(crate) block: u32,
}

impl Cipher {
    /// The cipher of an encrypted backup, from the password that fits.
    pub(crate) fn new(description: &Description, aes: Aes, passwords: &[&[u8]]) -> Result<Self, MrimgxError> {
        if passwords.is_empty() {
            return Err(MrimgxError::NoKey);
        }
        let iterations = description.encryption.key_iterations;
        if !(1..=MAX_ITERATIONS).contains(&iterations) {
            let found = iterations.to_string();
            return Err(MrimgxError::Value { what: "the count of iterations", found });
        }
        let image_id = description.image_id()?;
        let wanted = &description.encryption.hmac;
        for password in passwords {
            let line = password.strip_suffix(b"\n").unwrap_or(password);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            // Most files with a password end a line that is no part of it.
            for text in [Some(line), Some(*password).filter(|whole| whole.len() > line.len())] {
                let Some(text) = text else { continue };
                let key = derive(text, &image_id, iterations);
                if hmac_of(&key) == wanted.to_ascii_lowercase() {
                    let starts = Aes256::new(&Sha256::digest(*key));
                    return Ok(Self { aes, key, image_id, starts });
                }
            }
        }
        Err(MrimgxError::WrongKey)
    }

    /// Decrypts a data block in its place.
    pub(crate) fn decrypt_block(&self, name: BlockName, bytes: &mut [u8]) -> Result<(), MrimgxError> {
        let length = bytes.len() as u64;
        let failed = || MrimgxError::CipherLength { what: "an encrypted block".into(), length };
        let start = self.start_of(name);
        let key = &self.key[..];
        let done = match self.aes {
            Aes::Aes128 => cbc::Decryptor::<Aes128>::new_from_slices(&key[..16], &start)
                .map(|cipher| cipher.decrypt_padded::<NoPadding>(bytes).is_ok()),
            Aes::Aes192 => cbc::Decryptor::<Aes192>::new_from_slices(&key[..24], &start)
                .map(|cipher| cipher.decrypt_padded::<NoPadding>(bytes).is_ok()),
            Aes::Aes256 => cbc::Decryptor::<Aes256>::new_from_slices(key, &start)
                .map(|cipher| cipher.decrypt_padded::<NoPadding>(bytes).is_ok()),
        };
        if done.unwrap_or(false) { Ok(()) } else { Err(failed()) }
    }

    /// Decrypts a metadata block in its place: each of the cipher's blocks by itself.
    pub(crate) fn decrypt_metadata(&self, bytes: &mut [u8]) -> Result<(), MrimgxError> {
        let length = bytes.len() as u64;
        if !bytes.len().is_multiple_of(BLOCK) {
            return Err(MrimgxError::CipherLength { what: "an encrypted metadata block".into(), length });
        }
        let key = &self.key[..];
        let done = match self.aes {
            Aes::Aes128 => Aes128::new_from_slice(&key[..16]).map(|cipher| decrypt_each(&cipher, bytes)),
            Aes::Aes192 => Aes192::new_from_slice(&key[..24]).map(|cipher| decrypt_each(&cipher, bytes)),
            Aes::Aes256 => Aes256::new_from_slice(key).map(|cipher| decrypt_each(&cipher, bytes)),
        };
        done.map_err(|_| MrimgxError::WrongKey)
    }

    /// The start value of a block: its name, encrypted with the digest of the key.
    fn start_of(&self, name: BlockName) -> [u8; BLOCK] {
        let mut start = [0; BLOCK];
        start[..8].copy_from_slice(&self.image_id);
        start[8..10].copy_from_slice(&low_half(name.disk));
        start[10..12].copy_from_slice(&low_half(name.partition));
        start[12..].copy_from_slice(&name.block.to_le_bytes());
        let mut block = start.into();
        self.starts.encrypt_block(&mut block);
        block.into()
    }
}

fn low_half(number: i32) -> [u8; 2] {
    let [low, high, _, _] = number.to_le_bytes();
    [low, high]
}

fn decrypt_each<C: BlockCipherDecrypt>(cipher: &C, bytes: &mut [u8]) {
    let (blocks, _) = cipher::Array::slice_as_chunks_mut(bytes);
    cipher.decrypt_blocks(blocks);
}

fn derive(password: &[u8], image_id: &[u8; 8], iterations: u32) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    pbkdf2::pbkdf2_hmac::<Sha256>(password, &Sha256::digest(image_id), iterations, &mut *key);
    key
}

/// What the description keeps of the key: the HMAC of nothing.
fn hmac_of(key: &[u8; 32]) -> String {
    let Ok(mac) = Hmac::<Sha256>::new_from_slice(key) else { return String::new() };
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}
