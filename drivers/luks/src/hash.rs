//! Hashes by their LUKS names: PBKDF2 with them, and keys that were split into stripes ("AFsplitter" of the LUKS1
//! specification, section 2.4).

use ripemd::Ripemd160;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

/// A hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
    Ripemd160,
}

/// Runs `$body` with `$type` as the implementation of the hash.
macro_rules! with_hash {
    ($hash:expr, $type:ident => $body:expr) => {
        match $hash {
            Hash::Sha1 => {
                type $type = Sha1;
                $body
            }
            Hash::Sha224 => {
                type $type = Sha224;
                $body
            }
            Hash::Sha256 => {
                type $type = Sha256;
                $body
            }
            Hash::Sha384 => {
                type $type = Sha384;
                $body
            }
            Hash::Sha512 => {
                type $type = Sha512;
                $body
            }
            Hash::Ripemd160 => {
                type $type = Ripemd160;
                $body
            }
        }
    };
}

impl Hash {
    /// # Errors
    /// The name of a hash that is not known here, in a sentence.
    pub(crate) fn by_name(name: &str) -> Result<Self, String> {
        Ok(match name {
            "sha1" => Self::Sha1,
            "sha224" => Self::Sha224,
            "sha256" => Self::Sha256,
            "sha384" => Self::Sha384,
            "sha512" => Self::Sha512,
            "ripemd160" => Self::Ripemd160,
            _ => return Err(format!("the hash {name:?} is not supported")),
        })
    }

    /// Bytes of a digest.
    pub(crate) fn len(self) -> usize {
        with_hash!(self, H => <H as Digest>::output_size())
    }

    /// What a block of PBKDF2 costs, in those of SHA-256 with the processor's instructions.
    pub(crate) fn weight(self) -> u64 {
        match self {
            Self::Sha1 | Self::Sha224 | Self::Sha256 => 1,
            // Most processors have no instructions for them.
            Self::Ripemd160 => 3,
            Self::Sha384 | Self::Sha512 => 4,
        }
    }

    /// PBKDF2 with HMAC of this hash.
    pub(crate) fn stretch(self, passphrase: &[u8], salt: &[u8], iterations: u32, key: &mut [u8]) {
        with_hash!(self, H => pbkdf2::pbkdf2_hmac::<H>(passphrase, salt, iterations, key));
    }

    /// The hash of `bytes` at once.
    pub(crate) fn of(self, bytes: &[u8]) -> Vec<u8> {
        with_hash!(self, H => H::digest(bytes).to_vec())
    }

    /// The key that was split into stripes of `key.len()` bytes; `stripes` is not empty.
    pub(crate) fn merge(self, stripes: &[u8], key: &mut [u8]) {
        key.fill(0);
        let mut stripes = stripes.chunks_exact(key.len().max(1)).peekable();
        while let Some(stripe) = stripes.next() {
            key.iter_mut().zip(stripe).for_each(|(byte, other)| *byte ^= other);
            if stripes.peek().is_some() {
                self.diffuse(key);
            }
        }
    }

    /// Each piece of a digest's length becomes the digest of its number and itself.
    fn diffuse(self, key: &mut [u8]) {
        for (number, piece) in (0u32..).zip(key.chunks_mut(self.len())) {
            with_hash!(self, H => {
                let digest = H::new().chain_update(number.to_be_bytes()).chain_update(&*piece).finalize();
                piece.iter_mut().zip(digest.iter()).for_each(|(byte, new)| *byte = *new);
            });
        }
    }
}
