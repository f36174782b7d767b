//! Keys out of passphrases, and a key out of its stripes.

use ripemd::Ripemd160;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

/// A hash, by its LUKS name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
    Ripemd160,
}

impl Hash {
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Some(match name {
            "sha1" => Self::Sha1,
            "sha224" => Self::Sha224,
            "sha256" => Self::Sha256,
            "sha384" => Self::Sha384,
            "sha512" => Self::Sha512,
            "ripemd160" => Self::Ripemd160,
            _ => return None,
        })
    }

    /// Bytes of a digest.
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Sha1 | Self::Ripemd160 => 20,
            Self::Sha224 => 28,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// What [`Hash::stretch`] costs for `bytes` of key, in blocks of SHA-256.
    pub(crate) fn cost(self, iterations: u32, bytes: u32) -> u64 {
        let block = match self {
            Self::Sha1 | Self::Sha224 | Self::Sha256 => 1,
            // Processors have no instructions for them.
            Self::Ripemd160 => 3,
            Self::Sha384 | Self::Sha512 => 4,
        };
        u64::from(iterations) * u64::from(bytes).div_ceil(self.len() as u64) * block
    }

    /// PBKDF2 with HMAC of this hash.
    pub(crate) fn stretch(self, passphrase: &[u8], salt: &[u8], iterations: u32, key: &mut [u8]) {
        match self {
            Self::Sha1 => pbkdf2::pbkdf2_hmac::<Sha1>(passphrase, salt, iterations, key),
            Self::Sha224 => pbkdf2::pbkdf2_hmac::<Sha224>(passphrase, salt, iterations, key),
            Self::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>(passphrase, salt, iterations, key),
            Self::Sha384 => pbkdf2::pbkdf2_hmac::<Sha384>(passphrase, salt, iterations, key),
            Self::Sha512 => pbkdf2::pbkdf2_hmac::<Sha512>(passphrase, salt, iterations, key),
            Self::Ripemd160 => pbkdf2::pbkdf2_hmac::<Ripemd160>(passphrase, salt, iterations, key),
        }
    }

    /// The key that LUKS split into stripes of `key.len()` bytes; `stripes` is not empty.
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
            match self {
                Self::Sha1 => digest::<Sha1>(number, piece),
                Self::Sha224 => digest::<Sha224>(number, piece),
                Self::Sha256 => digest::<Sha256>(number, piece),
                Self::Sha384 => digest::<Sha384>(number, piece),
                Self::Sha512 => digest::<Sha512>(number, piece),
                Self::Ripemd160 => digest::<Ripemd160>(number, piece),
            }
        }
    }
}

fn digest<D: Digest>(number: u32, piece: &mut [u8]) {
    let digest = D::new().chain_update(number.to_be_bytes()).chain_update(&*piece).finalize();
    piece.iter_mut().zip(digest.iter()).for_each(|(byte, new)| *byte = *new);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_costs_by_its_blocks() {
        for (hash, bytes, cost) in [
            (Hash::Sha1, 20, 1),
            (Hash::Sha1, 64, 4),
            (Hash::Sha256, 32, 1),
            (Hash::Sha256, 64, 2),
            (Hash::Sha224, 64, 3),
            (Hash::Sha384, 64, 8),
            (Hash::Sha512, 64, 4),
            (Hash::Ripemd160, 32, 6),
        ] {
            assert_eq!(hash.cost(1000, bytes), cost * 1000, "{hash:?} {bytes}");
        }
        assert!(Hash::Ripemd160.cost(u32::MAX, 64) > u64::from(u32::MAX));
    }
}
