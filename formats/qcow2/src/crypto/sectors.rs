//! Sectors of 512 bytes, each decrypted with its own start value.

use aes::{Aes128, Aes192, Aes256};
use cipher::consts::U16;
use cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt, BlockSizeUser, KeyInit};
use serpent::Serpent;
use sha2::{Digest, Sha256};
use twofish::Twofish;
use zeroize::Zeroizing;

/// Bytes that are encrypted together.
pub(crate) const SECTOR: usize = 512;
/// Bytes of a block of every cipher here.
const BLOCK: usize = 16;

type Block = Array<u8, U16>;

/// A block cipher with its key.
trait BlockCipher: Send + Sync {
    fn encrypt(&self, block: &mut Block);
    fn decrypt(&self, blocks: &mut [Block]);
}

impl<C> BlockCipher for C
where
    C: BlockCipherEncrypt + BlockCipherDecrypt + BlockSizeUser<BlockSize = U16> + Send + Sync,
{
    fn encrypt(&self, block: &mut Block) {
        self.encrypt_block(block);
    }

    fn decrypt(&self, blocks: &mut [Block]) {
        self.decrypt_blocks(blocks);
    }
}

/// Which cipher, by its LUKS name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CipherName {
    Aes,
    Serpent,
    Twofish,
}

impl CipherName {
    fn with_key(self, key: &[u8]) -> Option<Box<dyn BlockCipher>> {
        fn boxed<C: BlockCipher + KeyInit + 'static>(key: &[u8]) -> Option<Box<dyn BlockCipher>> {
            Some(Box::new(C::new_from_slice(key).ok()?))
        }
        match (self, key.len()) {
            (Self::Aes, 16) => boxed::<Aes128>(key),
            (Self::Aes, 24) => boxed::<Aes192>(key),
            (Self::Aes, 32) => boxed::<Aes256>(key),
            (Self::Serpent, 16 | 24 | 32) => boxed::<Serpent>(key),
            (Self::Twofish, 16 | 24 | 32) => boxed::<Twofish>(key),
            _ => None,
        }
    }
}

/// How blocks follow each other, by its LUKS name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Xts,
    Cbc,
}

/// How a sector's number becomes its start value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StartValue {
    /// The low 32 bits, little-endian.
    Plain,
    /// 64 bits, little-endian.
    Plain64,
    /// 64 bits, little-endian, encrypted with the SHA-256 of the key.
    EssivSha256,
}

/// Decrypts sectors by their number.
pub(crate) struct SectorCipher {
    data: Box<dyn BlockCipher>,
    mode: Mode,
    /// For XTS, the cipher of the second half of the key.
    tweak: Option<Box<dyn BlockCipher>>,
    start: StartValue,
    essiv: Option<Box<dyn BlockCipher>>,
}

impl SectorCipher {
    /// `None` when the cipher has no such key.
    pub(crate) fn new(name: CipherName, mode: Mode, start: StartValue, key: &[u8]) -> Option<Self> {
        let (data, tweak) = match mode {
            Mode::Cbc => (name.with_key(key)?, None),
            Mode::Xts if key.len().is_multiple_of(2) => {
                let (data, tweak) = key.split_at(key.len() / 2);
                (name.with_key(data)?, Some(name.with_key(tweak)?))
            }
            Mode::Xts => return None,
        };
        let essiv = match start {
            StartValue::EssivSha256 => {
                let hash = Zeroizing::new(<[u8; 32]>::from(Sha256::digest(key)));
                Some(name.with_key(hash.as_slice())?)
            }
            StartValue::Plain | StartValue::Plain64 => None,
        };
        Some(Self { data, mode, tweak, start, essiv })
    }

    /// Decrypts whole sectors in place; `sector` is the number of the first.
    pub(crate) fn decrypt(&self, sector: u64, bytes: &mut [u8]) {
        let mut number = sector;
        for sector in bytes.chunks_mut(SECTOR) {
            let start = self.start_value(number);
            let blocks = Array::slice_as_chunks_mut(sector).0;
            match self.mode {
                Mode::Xts => self.decrypt_xts(start, blocks),
                Mode::Cbc => self.decrypt_cbc(start, blocks),
            }
            number = number.wrapping_add(1);
        }
    }

    fn start_value(&self, sector: u64) -> Block {
        let number = match self.start {
            StartValue::Plain => sector & 0xffff_ffff,
            StartValue::Plain64 | StartValue::EssivSha256 => sector,
        };
        let mut value = Block::from(u128::from(number).to_le_bytes());
        for cipher in self.essiv.iter().chain(&self.tweak) {
            cipher.encrypt(&mut value);
        }
        value
    }

    fn decrypt_xts(&self, start: Block, blocks: &mut [Block]) {
        let mut tweaks = [0; SECTOR / BLOCK];
        let mut tweak = u128::from_le_bytes(start.into());
        for value in &mut tweaks {
            *value = tweak;
            // Times x in GF(2^128), reduced by x^128 + x^7 + x^2 + x + 1.
            tweak = tweak << 1 ^ if tweak >> 127 == 1 { 0x87 } else { 0 };
        }
        mix(blocks, &tweaks);
        self.data.decrypt(blocks);
        mix(blocks, &tweaks);
    }

    fn decrypt_cbc(&self, start: Block, blocks: &mut [Block]) {
        let mut before = [0; SECTOR / BLOCK];
        let mut last = u128::from_le_bytes(start.into());
        for (value, block) in before.iter_mut().zip(blocks.iter()) {
            *value = last;
            last = u128::from_le_bytes((*block).into());
        }
        self.data.decrypt(blocks);
        mix(blocks, &before);
    }
}

/// Exclusive or of each block with its value.
fn mix(blocks: &mut [Block], values: &[u128]) {
    for (block, value) in blocks.iter_mut().zip(values) {
        *block = (u128::from_le_bytes((*block).into()) ^ value).to_le_bytes().into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        text.as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    /// IEEE 1619, vector 4: keys of 16 bytes, sector 0, plain bytes counting up.
    #[test]
    fn xts_gives_the_published_vector() {
        let key = hex("2718281828459045235360287471352631415926535897932384626433832795");
        let start = "27a7479befa1d476489f308cd4cfa6e2a96e4bbe3208ff25287dd3819616e89c";
        let cipher = SectorCipher::new(CipherName::Aes, Mode::Xts, StartValue::Plain64, &key).unwrap();
        let mut sector = hex(start);
        cipher.decrypt(0, &mut sector);
        assert_eq!(sector, (0..32).collect::<Vec<u8>>());
    }

    #[test]
    fn keys_of_another_length_are_refused() {
        for (name, mode, len) in [
            (CipherName::Aes, Mode::Cbc, 20),
            (CipherName::Aes, Mode::Xts, 33),
            (CipherName::Aes, Mode::Xts, 16),
            (CipherName::Twofish, Mode::Cbc, 8),
            (CipherName::Serpent, Mode::Cbc, 33),
        ] {
            assert!(SectorCipher::new(name, mode, StartValue::Plain64, &vec![1; len]).is_none());
        }
    }
}
