//! AES over sectors, each with its own start value, as the kernel's dm-crypt numbers them (kernel documentation,
//! device-mapper "dm-crypt"; IEEE 1619 for XTS).

use crate::hash::Hash;
use aes::{Aes128, Aes192, Aes256};
use cipher::consts::U16;
use cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt, BlockSizeUser, KeyInit};
use zeroize::Zeroizing;

/// Start values count in these, whatever the size of an encrypted sector is.
pub(crate) const SECTOR: u64 = 512;
/// Bytes of a block of AES.
const BLOCK: usize = 16;
/// Blocks that are worked on together: those of the smallest sector.
const RUN: usize = SECTOR as usize / BLOCK;

type Block = Array<u8, U16>;

/// AES with a key of any of its lengths.
trait BlockCipher: Send + Sync {
    fn encrypt(&self, blocks: &mut [Block]);
    fn decrypt(&self, blocks: &mut [Block]);
}

impl<C> BlockCipher for C
where
    C: BlockCipherEncrypt + BlockCipherDecrypt + BlockSizeUser<BlockSize = U16> + Send + Sync,
{
    fn encrypt(&self, blocks: &mut [Block]) {
        self.encrypt_blocks(blocks);
    }

    fn decrypt(&self, blocks: &mut [Block]) {
        self.decrypt_blocks(blocks);
    }
}

fn aes(key: &[u8]) -> Option<Box<dyn BlockCipher>> {
    fn boxed<C: BlockCipher + KeyInit + 'static>(key: &[u8]) -> Option<Box<dyn BlockCipher>> {
        Some(Box::new(C::new_from_slice(key).ok()?))
    }
    match key.len() {
        16 => boxed::<Aes128>(key),
        24 => boxed::<Aes192>(key),
        32 => boxed::<Aes256>(key),
        _ => None,
    }
}

/// How blocks follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Xts,
    Cbc,
}

/// How a sector's number becomes its start value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StartValue {
    /// The low 32 bits, little-endian.
    Plain,
    /// 64 bits, little-endian.
    Plain64,
    /// 64 bits, little-endian, encrypted with the SHA-256 of the key.
    EssivSha256,
}

/// A cipher by its name, `aes-xts-plain64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CipherName {
    text: String,
    mode: Mode,
    start: StartValue,
}

impl CipherName {
    /// # Errors
    /// A sentence with the name when it is none that is known here.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let unknown = || format!("the cipher {text:?} is not supported, only AES in the modes xts and cbc");
        let rest = text.strip_prefix("aes-").ok_or_else(unknown)?;
        let (mode, start) = rest.split_once('-').ok_or_else(unknown)?;
        let mode = match mode {
            "xts" => Mode::Xts,
            "cbc" => Mode::Cbc,
            _ => return Err(unknown()),
        };
        let start = match start {
            "plain" => StartValue::Plain,
            "plain64" => StartValue::Plain64,
            "essiv:sha256" => StartValue::EssivSha256,
            _ => return Err(unknown()),
        };
        Ok(Self { text: text.into(), mode, start })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// # Errors
    /// A sentence when the cipher has no key of that length.
    pub(crate) fn check_key(&self, len: usize) -> Result<(), String> {
        let fits = match self.mode {
            Mode::Xts => matches!(len, 32 | 48 | 64),
            Mode::Cbc => matches!(len, 16 | 24 | 32),
        };
        if fits { Ok(()) } else { Err(format!("the cipher {} has no key of {len} bytes", self.text)) }
    }

    /// The cipher with its key, for sectors of `sector_size` bytes; `None` when it has no such key.
    pub(crate) fn with_key(&self, key: &[u8], sector_size: usize) -> Option<SectorCipher> {
        let (data, tweak) = match self.mode {
            Mode::Cbc => (aes(key)?, None),
            Mode::Xts if key.len().is_multiple_of(2) => {
                let (data, tweak) = key.split_at(key.len() / 2);
                (aes(data)?, Some(aes(tweak)?))
            }
            Mode::Xts => return None,
        };
        let essiv = match self.start {
            StartValue::EssivSha256 => Some(aes(&Zeroizing::new(Hash::Sha256.of(key)))?),
            StartValue::Plain | StartValue::Plain64 => None,
        };
        Some(SectorCipher { data, mode: self.mode, tweak, start: self.start, essiv, sector_size })
    }
}

/// Encrypts and decrypts sectors by their number.
pub(crate) struct SectorCipher {
    data: Box<dyn BlockCipher>,
    mode: Mode,
    /// For XTS, the cipher of the second half of the key.
    tweak: Option<Box<dyn BlockCipher>>,
    start: StartValue,
    essiv: Option<Box<dyn BlockCipher>>,
    sector_size: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Encrypt,
    Decrypt,
}

impl SectorCipher {
    pub(crate) fn sector_size(&self) -> usize {
        self.sector_size
    }

    /// Decrypts whole sectors in place; `number` is that of the first, in units of 512 bytes.
    pub(crate) fn decrypt(&self, number: u64, bytes: &mut [u8]) {
        self.each(number, bytes, Direction::Decrypt);
    }

    /// As [`SectorCipher::decrypt`], the other way.
    pub(crate) fn encrypt(&self, number: u64, bytes: &mut [u8]) {
        self.each(number, bytes, Direction::Encrypt);
    }

    fn each(&self, number: u64, bytes: &mut [u8], direction: Direction) {
        let mut number = number;
        for sector in bytes.chunks_exact_mut(self.sector_size) {
            let start = self.start_value(number);
            let blocks = Array::slice_as_chunks_mut(sector).0;
            match (self.mode, direction) {
                (Mode::Xts, _) => self.xts(start, blocks, direction),
                (Mode::Cbc, Direction::Decrypt) => self.decrypt_cbc(start, blocks),
                (Mode::Cbc, Direction::Encrypt) => self.encrypt_cbc(start, blocks),
            }
            number = number.wrapping_add(self.sector_size as u64 / SECTOR);
        }
    }

    fn start_value(&self, sector: u64) -> Block {
        let number = match self.start {
            StartValue::Plain => sector & 0xffff_ffff,
            StartValue::Plain64 | StartValue::EssivSha256 => sector,
        };
        let mut value = Block::from(u128::from(number).to_le_bytes());
        for cipher in self.essiv.iter().chain(&self.tweak) {
            cipher.encrypt(std::slice::from_mut(&mut value));
        }
        value
    }

    fn xts(&self, start: Block, blocks: &mut [Block], direction: Direction) {
        let mut tweak = u128::from_le_bytes(start.into());
        for run in blocks.chunks_mut(RUN) {
            let mut tweaks = [0; RUN];
            for value in &mut tweaks {
                *value = tweak;
                // Times x in GF(2^128), reduced by x^128 + x^7 + x^2 + x + 1.
                tweak = tweak << 1 ^ if tweak >> 127 == 1 { 0x87 } else { 0 };
            }
            mix(run, &tweaks);
            match direction {
                Direction::Encrypt => self.data.encrypt(run),
                Direction::Decrypt => self.data.decrypt(run),
            }
            mix(run, &tweaks);
        }
    }

    fn decrypt_cbc(&self, start: Block, blocks: &mut [Block]) {
        let mut last = u128::from_le_bytes(start.into());
        for run in blocks.chunks_mut(RUN) {
            let mut before = [0; RUN];
            for (value, block) in before.iter_mut().zip(run.iter()) {
                *value = last;
                last = u128::from_le_bytes((*block).into());
            }
            self.data.decrypt(run);
            mix(run, &before);
        }
    }

    fn encrypt_cbc(&self, start: Block, blocks: &mut [Block]) {
        let mut last = u128::from_le_bytes(start.into());
        for block in blocks {
            let one = std::slice::from_mut(block);
            mix(one, &[last]);
            self.data.encrypt(one);
            last = u128::from_le_bytes((*block).into());
        }
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
        let digits = text.as_bytes().chunks(2);
        digits.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    /// IEEE 1619, vector 4: keys of 16 bytes, sector 0, 512 bytes that count up.
    #[test]
    fn xts_gives_the_published_vector() {
        let key = hex("2718281828459045235360287471352631415926535897932384626433832795");
        let name = CipherName::parse("aes-xts-plain64").unwrap();
        let cipher = name.with_key(&key, 512).unwrap();
        let plain: Vec<u8> = (0..=255).cycle().take(512).collect();
        let mut sector = plain.clone();
        cipher.encrypt(0, &mut sector);
        assert_eq!(sector[..32], hex("27a7479befa1d476489f308cd4cfa6e2a96e4bbe3208ff25287dd3819616e89c"));
        cipher.decrypt(0, &mut sector);
        assert_eq!(sector, plain);
    }

    #[test]
    fn every_mode_goes_both_ways_and_depends_on_the_number() {
        for (name, len) in [
            ("aes-xts-plain64", 64),
            ("aes-xts-plain", 32),
            ("aes-xts-essiv:sha256", 48),
            ("aes-cbc-essiv:sha256", 32),
            ("aes-cbc-plain64", 16),
        ] {
            let key: Vec<u8> = (0..len).collect();
            for size in [512, 4096] {
                let cipher = CipherName::parse(name).unwrap().with_key(&key, size).unwrap();
                let plain = vec![7; 3 * size];
                let mut bytes = plain.clone();
                cipher.encrypt(u64::from(u32::MAX) - 7, &mut bytes);
                assert_ne!(bytes[..size], bytes[size..2 * size], "{name}");
                let mut other = plain.clone();
                cipher.encrypt(u64::MAX, &mut other);
                assert_ne!(bytes, other, "{name}");
                cipher.decrypt(u64::from(u32::MAX) - 7, &mut bytes);
                assert_eq!(bytes, plain, "{name}");
            }
        }
    }

    #[test]
    fn what_is_not_known_is_named() {
        for name in [
            "serpent-xts-plain64",
            "twofish-cbc-essiv:sha256",
            "aes-ecb",
            "aes-xts-random",
            "capi:xts(aes)-plain64",
        ] {
            assert!(CipherName::parse(name).unwrap_err().contains(name), "{name}");
        }
        let xts = CipherName::parse("aes-xts-plain64").unwrap();
        for len in [0, 16, 33, 65] {
            assert!(xts.check_key(len).is_err() && xts.with_key(&vec![1; len], 512).is_none(), "{len}");
        }
    }
}
