//! How a repository is encrypted: AES-256 in counter mode, authenticated by Poly1305-AES.

use crate::error::ResticError;
use crate::layout::{IV, MAC, OVERHEAD};
use crate::parse::KeyFile;
use aes::{Aes128, Aes256};
use cipher::{BlockCipherEncrypt, KeyInit, KeyIvInit, StreamCipher};
use poly1305::Poly1305;
use zeroize::{Zeroize, Zeroizing};

/// The counter is the whole block, as in NIST SP 800-38A.
type Counter = ctr::Ctr128BE<Aes256>;

/// scrypt may use this much memory in bytes; restic itself stays below 60 MiB.
const SCRYPT_MEMORY: u64 = 192 << 20;
/// N·r·p at most; restic stops where a key takes half a second, which is about 2 million.
const SCRYPT_WORK: u64 = 1 << 25;

/// A key pair: one that encrypts, one that authenticates. Wiped when it is dropped.
pub(crate) struct CipherKey {
    encrypt: [u8; 32],
    /// The AES-128 key that makes of an IV what Poly1305 adds.
    mac_k: [u8; 16],
    /// The point at which Poly1305 evaluates; its excess bits are cleared by Poly1305 itself.
    mac_r: [u8; 16],
}

impl Drop for CipherKey {
    fn drop(&mut self) {
        self.encrypt.zeroize();
        self.mac_k.zeroize();
        self.mac_r.zeroize();
    }
}

impl CipherKey {
    /// A key of its parts.
    pub(crate) fn new(encrypt: &[u8], mac_k: &[u8], mac_r: &[u8]) -> Result<Self, ResticError> {
        Ok(Self {
            encrypt: part("encryption key", encrypt)?,
            mac_k: part("MAC key k", mac_k)?,
            mac_r: part("MAC key r", mac_r)?,
        })
    }

    /// The key that a password makes with the numbers of a key file.
    pub(crate) fn derive(password: &[u8], file: &KeyFile) -> Result<Self, ResticError> {
        let &KeyFile { n, r, p, .. } = file;
        let refused = ResticError::Scrypt { n, r, p };
        let memory = n.checked_mul(u64::from(r)).and_then(|nr| nr.checked_mul(128));
        let work = n.checked_mul(u64::from(r)).and_then(|nr| nr.checked_mul(u64::from(p)));
        let affordable = memory.is_some_and(|bytes| bytes <= SCRYPT_MEMORY)
            && work.is_some_and(|work| work <= SCRYPT_WORK)
            && u64::from(r) * u64::from(p) * 128 <= SCRYPT_MEMORY;
        if !n.is_power_of_two() || n < 2 || !affordable {
            return Err(refused);
        }
        let params = scrypt::Params::new(n.trailing_zeros() as u8, r, p).map_err(|_| refused.clone())?;
        let mut made = Zeroizing::new([0; 64]);
        scrypt::scrypt(password, &file.salt, &params, made.as_mut_slice()).map_err(|_| refused)?;
        let (encrypt, mac) = made.split_at(32);
        let (mac_k, mac_r) = mac.split_at(16);
        Self::new(encrypt, mac_k, mac_r)
    }

    /// The plaintext of `sealed` (IV, ciphertext, MAC), in place; `what` is for messages.
    pub(crate) fn open(
        &self,
        mut sealed: Vec<u8>,
        what: impl Fn() -> String,
    ) -> Result<Vec<u8>, ResticError> {
        let size = sealed.len() as u64;
        let Some(end) = sealed.len().checked_sub(MAC).filter(|end| *end >= IV) else {
            return Err(ResticError::TooShort { what: what(), size, least: OVERHEAD as u64 });
        };
        let mut iv = [0; IV];
        iv.copy_from_slice(&sealed[..IV]);
        let different =
            self.mac(&iv, &sealed[IV..end]).iter().zip(&sealed[end..]).fold(0, |all, (a, b)| all | (a ^ b));
        if different != 0 {
            return Err(ResticError::Mac { what: what() });
        }
        Counter::new(&self.encrypt.into(), &iv.into()).apply_keystream(&mut sealed[IV..end]);
        sealed.truncate(end);
        sealed.drain(..IV);
        Ok(sealed)
    }

    fn mac(&self, iv: &[u8; IV], ciphertext: &[u8]) -> [u8; MAC] {
        let mut pad = (*iv).into();
        Aes128::new(&self.mac_k.into()).encrypt_block(&mut pad);
        let mut key = [0; 32];
        key[..16].copy_from_slice(&self.mac_r);
        key[16..].copy_from_slice(&pad);
        let tag = Poly1305::new(&key.into()).compute_unpadded(ciphertext);
        key.zeroize();
        tag.into()
    }
}

fn part<const N: usize>(part: &'static str, bytes: &[u8]) -> Result<[u8; N], ResticError> {
    bytes.try_into().map_err(|_| ResticError::KeyLength {
        part,
        found: bytes.len() as u64,
        expected: N as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The second example of "The Poly1305-AES message-authentication code", appendix B.
    #[test]
    fn the_code_is_that_of_the_paper() {
        let key = CipherKey::new(
            &[0; 32],
            &[0x75, 0xde, 0xaa, 0x25, 0xc0, 0x9f, 0x20, 0x8e, 0x1d, 0xc4, 0xce, 0x6b, 0x5c, 0xad, 0x3f, 0xbf],
            &[0xa0, 0xf3, 0x08, 0x00, 0x00, 0xf4, 0x64, 0x00, 0xd0, 0xc7, 0xe9, 0x07, 0x6c, 0x83, 0x44, 0x03],
        )
        .unwrap();
        let nonce =
            [0x61, 0xee, 0x09, 0x21, 0x8d, 0x29, 0xb0, 0xaa, 0xed, 0x7e, 0x15, 0x4a, 0x2c, 0x55, 0x09, 0xcc];
        let expected =
            [0xdd, 0x3f, 0xab, 0x22, 0x51, 0xf1, 0x1a, 0xc7, 0x59, 0xf0, 0x88, 0x71, 0x29, 0xcc, 0x2e, 0xe7];
        assert_eq!(key.mac(&nonce, &[]), expected);
    }

    #[test]
    fn no_numbers_make_scrypt_run_away() {
        let most = u32::MAX;
        for (n, r, p) in [
            (0, 8, 1),
            (1, 8, 1),
            (3, 8, 1),
            (1 << 63, 1, 1),
            (1 << 20, 8, 1),
            (2, most, 1),
            (2, 1, most),
            (1 << 14, 8, 4096),
        ] {
            let file = KeyFile { n, r, p, salt: vec![1; 64], data: Vec::new() };
            assert!(CipherKey::derive(b"x", &file).is_err(), "{n} {r} {p}");
        }
    }
}
