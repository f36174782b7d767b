//! AES-128 in CBC mode, each sector by its number on the disk.

use aes::Aes128;
use aes::cipher::{Array, BlockCipherDecrypt, KeyInit};
use format_core::Key;
use format_core::units::SECTOR;
use zeroize::Zeroizing;

pub(crate) const SECTOR_LEN: usize = SECTOR as usize;
const BLOCK: usize = 16;

/// Decrypts sectors.
pub(crate) struct SectorCipher(Aes128);

impl SectorCipher {
    /// The passphrase is the key itself: cut to 16 bytes, or filled up with zeros.
    pub(crate) fn new(key: &Key) -> Self {
        let mut padded = Zeroizing::new([0; BLOCK]);
        padded.iter_mut().zip(passphrase(key)).for_each(|(to, from)| *to = *from);
        Self(Aes128::new(&Array(*padded)))
    }

    /// Decrypts whole sectors in place, the first of which is number `sector` of the disk.
    pub(crate) fn decrypt(&self, sector: u64, bytes: &mut [u8]) {
        for (number, bytes) in (sector..).zip(bytes.as_chunks_mut::<SECTOR_LEN>().0) {
            let mut previous = [0; BLOCK];
            let (low, _) = previous.split_at_mut(size_of::<u64>());
            low.copy_from_slice(&number.to_le_bytes());
            let mut blocks = [Array([0; BLOCK]); SECTOR_LEN / BLOCK];
            let encrypted = bytes.as_chunks_mut::<BLOCK>().0;
            blocks.iter_mut().zip(encrypted.iter()).for_each(|(to, from)| to.0 = *from);
            self.0.decrypt_blocks(&mut blocks);
            for (place, block) in encrypted.iter_mut().zip(&blocks) {
                let next = *place;
                for (byte, (plain, chained)) in place.iter_mut().zip(block.iter().zip(&previous)) {
                    *byte = plain ^ chained;
                }
                previous = next;
            }
        }
    }
}

/// What is used of a key. QEMU takes everything up to the first NUL, newlines included.
pub(crate) fn passphrase(key: &Key) -> &[u8] {
    let bytes = key.bytes().split(|&byte| byte == 0).next().unwrap_or_default();
    bytes.get(..BLOCK).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aes::cipher::BlockCipherEncrypt;

    #[test]
    fn sectors_come_back() {
        let plain: Vec<u8> = (0..2 * SECTOR_LEN).map(|i| (i * 7 / 3) as u8).collect();
        let aes = Aes128::new(&Array(*b"passw\0\0\0\0\0\0\0\0\0\0\0"));
        let mut bytes = plain.clone();
        for (number, sector) in (5u64..).zip(bytes.chunks_mut(SECTOR_LEN)) {
            let mut previous = [0; BLOCK];
            previous[..8].copy_from_slice(&number.to_le_bytes());
            for block in sector.as_chunks_mut::<BLOCK>().0 {
                block.iter_mut().zip(previous).for_each(|(byte, other)| *byte ^= other);
                let mut array = Array(*block);
                aes.encrypt_block(&mut array);
                *block = array.0;
                previous = *block;
            }
        }
        assert_ne!(bytes, plain);
        SectorCipher::new(&Key::new(b"passw".to_vec())).decrypt(5, &mut bytes);
        assert_eq!(bytes, plain);
    }
}
