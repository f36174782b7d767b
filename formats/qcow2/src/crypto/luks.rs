//! LUKS version 1, as QEMU writes it into the encryption header of an image.
//!
//! Source: "LUKS1 On-Disk Format Specification", version 1.2.3.

use super::derive::Hash;
use super::error::CryptoError;
use super::sectors::{CipherName, Mode, SECTOR, SectorCipher, StartValue};
use binrw::{BinRead, binread};
use format_core::{Key, Result, Storage};
use std::io::Cursor;
use zeroize::Zeroizing;

const MAGIC: [u8; 6] = *b"LUKS\xba\xbe";
const KEY_ENABLED: u32 = 0x00ac_71f3;
const KEY_DISABLED: u32 = 0x0000_dead;
const HEADER_LENGTH: u64 = 592;
/// What all key slots together may cost, in blocks of SHA-256: about ten seconds. cryptsetup and QEMU choose one or two
/// seconds for a slot, measured on the machine that makes the image.
const MAX_COST: u64 = 64_000_000;
/// Bytes of the master key's digest.
const MK_DIGEST: u32 = 20;
/// Bytes of stripes that a key slot may have; 64 bytes in 4000 stripes are usual.
const MAX_STRIPE_BYTES: u64 = 4 << 20;

#[binread]
#[br(big)]
#[derive(Clone, Debug)]
struct RawHeader {
    magic: [u8; 6],
    version: u16,
    cipher_name: [u8; 32],
    cipher_mode: [u8; 32],
    hash_spec: [u8; 32],
    payload_offset: u32,
    key_bytes: u32,
    mk_digest: [u8; 20],
    mk_digest_salt: [u8; 32],
    mk_digest_iter: u32,
    uuid: [u8; 40],
    slots: [KeySlot; 8],
}

/// One of the passphrases.
#[binread]
#[br(big)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeySlot {
    state: u32,
    pub iterations: u32,
    salt: [u8; 32],
    key_material_offset: u32,
    pub stripes: u32,
}

impl KeySlot {
    pub(crate) fn is_active(&self) -> bool {
        self.state == KEY_ENABLED
    }

    /// Byte offset of the stripes from the start of the LUKS header.
    pub(crate) fn material_offset(&self) -> u64 {
        u64::from(self.key_material_offset) * SECTOR as u64
    }
}

/// A LUKS header that was checked.
#[derive(Debug)]
pub(crate) struct LuksHeader {
    offset: u64,
    raw: RawHeader,
    pub cipher_name: String,
    pub cipher_mode: String,
    pub hash_name: String,
    pub uuid: String,
}

/// Where the header is in the file, as the header extension says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeaderPlace {
    pub offset: u64,
    pub len: u64,
}

pub(crate) fn load(storage: &dyn Storage, place: HeaderPlace) -> Result<LuksHeader> {
    let HeaderPlace { offset, len } = place;
    let file_size = storage.size();
    if len < HEADER_LENGTH {
        return Err(CryptoError::HeaderShort { offset, len, least: HEADER_LENGTH }.into());
    }
    if offset.checked_add(len).is_none_or(|end| end > file_size) {
        return Err(CryptoError::HeaderOutside { offset, len, file_size }.into());
    }
    let mut bytes = [0; HEADER_LENGTH as usize];
    storage.read_exact_at(offset, &mut bytes)?;
    Ok(parse(&bytes, place)?)
}

fn parse(bytes: &[u8], place: HeaderPlace) -> Result<LuksHeader, CryptoError> {
    let HeaderPlace { offset, len } = place;
    let raw = RawHeader::read(&mut Cursor::new(bytes)).map_err(|_| CryptoError::HeaderShort {
        offset,
        len,
        least: HEADER_LENGTH,
    })?;
    if raw.magic != MAGIC {
        return Err(CryptoError::Magic { offset, found: raw.magic });
    }
    if raw.version != 1 {
        return Err(CryptoError::Version { offset, version: raw.version });
    }
    let text = |bytes: &[u8], field| {
        let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
        let text = bytes.get(..end).and_then(|text| str::from_utf8(text).ok());
        text.map(str::to_owned).ok_or(CryptoError::Text { offset, field })
    };
    let key_bytes = raw.key_bytes;
    if !(16..=64).contains(&key_bytes) {
        return Err(CryptoError::KeyBytes(key_bytes));
    }
    for (slot, one) in raw.slots.iter().enumerate() {
        let (stripes, sector) = (one.stripes, one.key_material_offset);
        match one.state {
            KEY_DISABLED => continue,
            KEY_ENABLED => {}
            state => return Err(CryptoError::SlotState { slot, state }),
        }
        if one.iterations == 0 {
            return Err(CryptoError::NoIterations(format!("key slot {slot}")));
        }
        let size = u64::from(stripes) * u64::from(key_bytes);
        if stripes == 0 || size > MAX_STRIPE_BYTES || one.material_offset().saturating_add(size) > len {
            return Err(CryptoError::SlotOutside { slot, stripes, key_bytes, sector, len });
        }
    }
    if raw.mk_digest_iter == 0 {
        return Err(CryptoError::NoIterations("the master key's digest".into()));
    }
    Ok(LuksHeader {
        offset,
        cipher_name: text(&raw.cipher_name, "cipher name")?,
        cipher_mode: text(&raw.cipher_mode, "cipher mode")?,
        hash_name: text(&raw.hash_spec, "hash")?,
        uuid: text(&raw.uuid, "UUID")?,
        raw,
    })
}

impl LuksHeader {
    pub(crate) fn slots(&self) -> &[KeySlot] {
        &self.raw.slots
    }

    pub(crate) fn master_key_iterations(&self) -> u32 {
        self.raw.mk_digest_iter
    }

    /// Byte offset of the payload from the start of the header; means nothing inside qcow2.
    pub(crate) fn payload_offset(&self) -> u64 {
        u64::from(self.raw.payload_offset) * SECTOR as u64
    }

    /// Bits of one key of the cipher; XTS takes two.
    pub(crate) fn cipher_bits(&self) -> u32 {
        let halves = if self.cipher_mode.starts_with("xts") { 2 } else { 1 };
        self.raw.key_bytes / halves * 8
    }

    fn cipher(&self, key: &[u8]) -> Result<SectorCipher, CryptoError> {
        let unknown = || CryptoError::Cipher {
            cipher: format!("{}-{}", self.cipher_name, self.cipher_mode),
            key_bytes: self.raw.key_bytes,
        };
        let name = match self.cipher_name.as_str() {
            "aes" => CipherName::Aes,
            "serpent" => CipherName::Serpent,
            "twofish" => CipherName::Twofish,
            _ => return Err(unknown()),
        };
        let (mode, start) = self.cipher_mode.split_once('-').ok_or_else(unknown)?;
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
        SectorCipher::new(name, mode, start, key).ok_or_else(unknown)
    }

    /// The cipher of the disk, if the key opens one of the slots.
    pub(crate) fn unlock(&self, storage: &dyn Storage, key: &Key) -> Result<SectorCipher> {
        let hash = Hash::by_name(&self.hash_name).ok_or_else(|| CryptoError::Hash(self.hash_name.clone()))?;
        // What cannot be decrypted anyway is said before the long work.
        self.cipher(&vec![0; self.raw.key_bytes as usize])?;
        self.check_iterations(hash)?;
        let active: Vec<_> = self.raw.slots.iter().filter(|slot| slot.is_active()).collect();
        for slot in &active {
            let master = self.open_slot(storage, slot, hash, key.bytes())?;
            let mut digest = [0; 20];
            hash.stretch(&master, &self.raw.mk_digest_salt, self.raw.mk_digest_iter, &mut digest);
            if digest == self.raw.mk_digest {
                return Ok(self.cipher(&master)?);
            }
        }
        let ends_with_newline = key.bytes().ends_with(b"\n");
        Err(CryptoError::WrongKey { active: active.len(), ends_with_newline }.into())
    }

    /// What all slots together cost, so that a header cannot keep us busy for days.
    fn check_iterations(&self, hash: Hash) -> Result<(), CryptoError> {
        let slots = self.raw.slots.iter().filter(|slot| slot.is_active());
        let wanted = slots
            .map(|slot| {
                hash.cost(slot.iterations, self.raw.key_bytes) + hash.cost(self.raw.mk_digest_iter, MK_DIGEST)
            })
            .sum();
        if wanted <= MAX_COST {
            return Ok(());
        }
        Err(CryptoError::Iterations { wanted, limit: MAX_COST })
    }

    /// The master key that the slot gives for the passphrase, right or wrong.
    fn open_slot(
        &self,
        storage: &dyn Storage,
        slot: &KeySlot,
        hash: Hash,
        passphrase: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>> {
        let key_bytes = self.raw.key_bytes as usize;
        let mut slot_key = Zeroizing::new(vec![0; key_bytes]);
        hash.stretch(passphrase, &slot.salt, slot.iterations, &mut slot_key);
        let size = key_bytes * slot.stripes as usize;
        let mut stripes = Zeroizing::new(vec![0; size.next_multiple_of(SECTOR)]);
        storage.read_exact_at(self.offset.saturating_add(slot.material_offset()), &mut stripes)?;
        self.cipher(&slot_key)?.decrypt(0, &mut stripes);
        let mut master = Zeroizing::new(vec![0; key_bytes]);
        hash.merge(stripes.get(..size).unwrap_or_default(), &mut master);
        Ok(master)
    }
}
