//! Version 1 ("LUKS1 On-Disk Format Specification", version 1.2.3, section 3).

use crate::cipher::{CipherName, SECTOR};
use crate::hash::Hash;
use crate::header::{
    DETACHED, Digest, Header, Keyslot, Priority, Segment, Slot, Usable, segment_size, text, uuid,
};
use crate::kdf::Kdf;
use driver_core::Volume;
use format_core::{Bytes, Error, Result};

const SLOTS: usize = 8;
const SLOT_LEN: usize = 48;
const FIRST_SLOT: usize = 208;
/// Bytes of the header.
const LEN: u64 = 592;
const ENABLED: u32 = 0x00ac_71f3;
const DISABLED: u32 = 0x0000_dead;
/// Bytes of the volume key's digest, whatever the hash.
const DIGEST: usize = 20;
const SALT: usize = 32;
/// Bytes of a volume key; every cipher has one in between.
const KEY_LENS: std::ops::RangeInclusive<u32> = 16..=64;
/// Bytes of stripes that a keyslot may have; 64 bytes in 4000 stripes are usual.
const MAX_STRIPE_BYTES: u64 = 4 << 20;

/// What all keyslots have in common.
struct Shared {
    cipher: Result<CipherName, String>,
    hash: Result<Hash, String>,
    key_len: u32,
    /// Where keyslots end, at the latest.
    end: u64,
}

/// # Errors
/// `Corrupt` when the header contradicts itself.
pub(crate) fn load(volume: &dyn Volume, start: &[u8]) -> Result<Header> {
    let bytes = Bytes::new(start, 0);
    let cipher = format!("{}-{}", text(bytes.slice(8, 32)?, "cipher")?, text(bytes.slice(40, 32)?, "mode")?);
    let hash = text(bytes.slice(72, 32)?, "hash")?;
    let payload = u64::from(bytes.u32_be(104)?) * SECTOR;
    let key_len = bytes.u32_be(108)?;
    if !KEY_LENS.contains(&key_len) {
        return Err(Error::corrupt(format!("the volume key has {key_len} bytes, possible are 16 to 64")));
    }
    // Without content behind it, the header lies apart from it, and keyslots end with their volume.
    let (is_detached, end) = (payload == 0, if payload == 0 { volume.size() } else { payload });
    let shared = Shared { cipher: CipherName::parse(&cipher), hash: Hash::by_name(&hash), key_len, end };
    let mut keyslots = Vec::new();
    for number in 0..SLOTS {
        keyslots.extend(keyslot(&bytes, number, &shared)?);
    }
    let iterations = bytes.u32_be(164)?;
    if iterations == 0 || shared.end < LEN {
        return Err(Error::corrupt(format!(
            "content from {payload:#x}, a digest of {iterations} iterations"
        )));
    }
    let size = if is_detached { 0 } else { segment_size(payload, None, SECTOR as u32, volume.size())? };
    let usable = shared.hash.clone().and_then(|hash| {
        if is_detached {
            return Err(DETACHED.into());
        }
        let cipher = shared.cipher.clone()?;
        cipher.check_key(key_len as usize)?;
        let segment = Segment { offset: payload, size, first_number: 0, cipher, sector_size: SECTOR as u32 };
        let salt = bytes.array::<SALT>(132).map_err(|error| error.to_string())?.to_vec();
        let value = bytes.array::<DIGEST>(112).map_err(|error| error.to_string())?.to_vec();
        let digest = Digest { hash, iterations, salt, value }.checked()?;
        Ok(Usable { segment, digest, options: Vec::new() })
    });
    let uuid = uuid(bytes.slice(168, 40)?)?;
    let (label, tokens, warnings) = (None, Vec::new(), Vec::new());
    Ok(Header { version: 1, uuid, label, cipher, keyslots, tokens, warnings, usable })
}

fn keyslot(bytes: &Bytes<'_>, number: usize, shared: &Shared) -> Result<Option<Keyslot>> {
    let at = FIRST_SLOT + number * SLOT_LEN;
    let (iterations, sector, stripes) =
        (bytes.u32_be(at + 4)?, bytes.u32_be(at + 40)?, bytes.u32_be(at + 44)?);
    match bytes.u32_be(at)? {
        DISABLED => return Ok(None),
        ENABLED => {}
        state => {
            return Err(Error::corrupt(format!(
                "keyslot {number} is marked {state:#x}, neither used nor unused"
            )));
        }
    }
    let offset = u64::from(sector) * SECTOR;
    let size = u64::from(stripes) * u64::from(shared.key_len);
    let (fits, end) = (size > 0 && size <= MAX_STRIPE_BYTES, offset.saturating_add(size));
    if !fits || offset < LEN || end > shared.end || iterations == 0 {
        return Err(Error::corrupt(format!(
            "keyslot {number} has {stripes} stripes of {} bytes at {offset:#x} and {iterations} iterations; keyslots end at \
             {:#x}",
            shared.key_len, shared.end
        )));
    }
    let salt = bytes.array::<SALT>(at + 8)?.to_vec();
    let usable = shared.hash.clone().and_then(|hash| {
        let cipher = shared.cipher.clone()?;
        let key_len = shared.key_len as usize;
        cipher.check_key(key_len)?;
        let kdf = Kdf::Pbkdf2 { hash, iterations, salt };
        kdf.check(key_len)?;
        Ok(Slot { kdf, key_len, stripes: stripes as usize, hash, offset, cipher, cipher_key_len: key_len })
    });
    let number = number as u32;
    Ok(Some(Keyslot { number, priority: Priority::Normal, kdf: "pbkdf2".into(), usable }))
}
