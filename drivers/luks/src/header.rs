//! A header of either version, checked; and which of them a volume has.

use crate::cipher::CipherName;
use crate::hash::Hash;
use crate::kdf::{Kdf, check_cost, pbkdf2_cost};
use crate::{luks1, luks2};
use driver_core::Volume;
use format_core::{Error, Result};

/// What a LUKS header begins with, and the second one of version 2.
pub(crate) const MAGIC: [u8; 6] = *b"LUKS\xba\xbe";
/// What the tool for re-encryption of old leaves in place of the last two bytes, so that nobody opens the volume meanwhile.
const UNUSABLE: [u8; 6] = *b"LUKS\xde\xad";
/// What is said of a header without content.
pub(crate) const DETACHED: &str = "it is a detached LUKS header, and what it encrypts is elsewhere, which is not put together here; copy \
     the content to a plain LUKS volume in the guest before exporting";
/// Bytes at the start that are looked at.
pub(crate) const START: usize = 4096;

/// A header. Nothing in it is secret.
#[derive(Clone, Debug)]
pub struct Header {
    pub(crate) version: u8,
    pub(crate) uuid: String,
    pub(crate) label: Option<String>,
    /// The cipher of the content as it is written there.
    pub(crate) cipher: String,
    pub(crate) keyslots: Vec<Keyslot>,
    pub(crate) tokens: Vec<String>,
    pub(crate) warnings: Vec<String>,
    /// What is needed to open it, or why it is not opened here.
    pub(crate) usable: Result<Usable, String>,
}

/// What unlocking needs to know of the content.
#[derive(Clone, Debug)]
pub(crate) struct Usable {
    pub(crate) segment: Segment,
    pub(crate) digest: Digest,
    /// Options of dm-crypt that the header asks for, in the kernel's words.
    pub(crate) options: Vec<&'static str>,
}

/// Where the content is and how it is encrypted.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    /// First byte.
    pub(crate) offset: u64,
    /// Bytes; a multiple of `sector_size`.
    pub(crate) size: u64,
    /// Added to the number of each sector, which counts in 512 bytes.
    pub(crate) first_number: u64,
    pub(crate) cipher: CipherName,
    /// Bytes that are encrypted together.
    pub(crate) sector_size: u32,
}

/// How a volume key is told from a wrong one.
#[derive(Clone, Debug)]
pub(crate) struct Digest {
    pub(crate) hash: Hash,
    pub(crate) iterations: u32,
    pub(crate) salt: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

impl Digest {
    /// About how many microseconds a comparison takes.
    pub(crate) fn cost(&self) -> u64 {
        pbkdf2_cost(self.hash, self.iterations, self.value.len())
    }

    /// # Errors
    /// A sentence when it takes too long.
    pub(crate) fn checked(self) -> Result<Self, String> {
        check_cost(self.cost()).map(|()| self)
    }
}

/// A keyslot that is in use.
#[derive(Clone, Debug)]
pub struct Keyslot {
    pub(crate) number: u32,
    pub(crate) priority: Priority,
    pub(crate) kdf: String,
    /// How it is opened, or why it is not.
    pub(crate) usable: Result<Slot, String>,
}

/// When a keyslot is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Priority {
    Preferred,
    Normal,
    /// Only where somebody names it.
    Ignored,
}

/// A keyslot's parameters, checked: its area lies among the keyslots.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) kdf: Kdf,
    /// Bytes of the volume key.
    pub(crate) key_len: usize,
    pub(crate) stripes: usize,
    /// Of the stripes.
    pub(crate) hash: Hash,
    /// First byte of the encrypted stripes.
    pub(crate) offset: u64,
    pub(crate) cipher: CipherName,
    /// Bytes of the key of that cipher.
    pub(crate) cipher_key_len: usize,
}

impl Keyslot {
    /// Its number, as `cryptsetup luksDump` counts.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// How a passphrase becomes its key: `pbkdf2`; `argon2id, 1024 MiB`.
    #[must_use]
    pub fn kdf(&self) -> &str {
        &self.kdf
    }

    /// Why it cannot be opened here, whatever the passphrase.
    #[must_use]
    pub fn obstacle(&self) -> Option<&str> {
        self.usable.as_ref().err().map(String::as_str)
    }
}

impl Header {
    /// UUID as `blkid` prints it.
    #[must_use]
    pub fn uuid(&self) -> &str {
        &self.uuid
    }

    /// 1 or 2.
    #[must_use]
    pub fn version(&self) -> u8 {
        self.version
    }

    /// The label, which only version 2 has.
    #[must_use]
    pub fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }

    /// The keyslots that are in use, by number.
    #[must_use]
    pub fn keyslots(&self) -> &[Keyslot] {
        &self.keyslots
    }

    /// What else may open it in the guest, as tokens name it: `systemd-tpm2`, `clevis`.
    #[must_use]
    pub fn tokens(&self) -> &[String] {
        &self.tokens
    }

    /// What was not as it should be and did not matter.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Why it is not opened here, whatever the passphrase, and the next step.
    #[must_use]
    pub fn obstacle(&self) -> Option<&str> {
        self.usable.as_ref().err().map(String::as_str)
    }

    /// For people: `LUKS2, aes-xts-plain64, 2 keyslots`.
    #[must_use]
    pub fn describe(&self) -> String {
        let count = self.keyslots.len();
        let plural = if count == 1 { "" } else { "s" };
        format!("LUKS{}, {}, {count} keyslot{plural}", self.version, self.cipher)
    }
}

/// The LUKS header of `volume`; `None` when there is none. A header of version 2 whose first copy is damaged is read from
/// the second; of two good ones the newer counts. Where the first copy was overwritten with zeros, the second one still
/// makes it LUKS: arrays and physical volumes, which begin later than that, have to be looked for before.
///
/// # Errors
/// `Corrupt` when there is only a damaged one, `NeedsPerson` when an interrupted re-encryption made it unusable,
/// `Unsupported` for a version that is not known; what the volume reports.
pub fn probe(volume: &dyn Volume) -> Result<Option<Header>> {
    let mut start = vec![0; START];
    if volume.size() < START as u64 {
        return Ok(None);
    }
    volume.read_exact_at(0, &mut start)?;
    let found = match (start.first_chunk(), start.get(6..8)) {
        (Some(&MAGIC), Some([0, 1])) => luks1::load(volume, &start).map(Some),
        (Some(&MAGIC), Some([0, 2])) => luks2::load(volume, &start).map(Some),
        (Some(&MAGIC), Some(version)) => Err(match luks2::load_second(volume) {
            Ok(Some(header)) => return Ok(Some(header)),
            Ok(None) => Error::unsupported(format!("version {version:02x?} of LUKS, 1 and 2 are known")),
            Err(error) => error,
        }),
        (Some(&UNUSABLE), _) => Err(Error::needs_person(
            "its re-encryption was interrupted; finish it with cryptsetup in the guest before exporting",
        )),
        _ if start.iter().all(|&byte| byte == 0) => luks2::load_second(volume),
        _ => Ok(None),
    };
    found.map_err(|error| error.context("LUKS header"))
}

/// A text in a field of bytes, which ends with the first NUL.
///
/// # Errors
/// `Corrupt` when it is no UTF-8.
pub(crate) fn text(bytes: &[u8], field: &str) -> Result<String> {
    let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    let text = str::from_utf8(text).map_err(|_| Error::corrupt(format!("the {field} is no text")))?;
    Ok(text.to_owned())
}

/// # Errors
/// `Corrupt` when it is none.
pub(crate) fn uuid(bytes: &[u8]) -> Result<String> {
    let found = text(bytes, "UUID")?;
    let fits = |(at, c): (usize, char)| {
        if matches!(at, 8 | 13 | 18 | 23) { c == '-' } else { c.is_ascii_hexdigit() }
    };
    if found.len() == 36 && found.char_indices().all(fits) {
        Ok(found)
    } else {
        Err(Error::corrupt(format!("the UUID is {found:?}")))
    }
}

/// The bytes of `segment` that hold whole sectors on a volume of `size` bytes.
///
/// # Errors
/// `Corrupt` when it leaves the volume.
pub(crate) fn segment_size(offset: u64, wanted: Option<u64>, sector_size: u32, size: u64) -> Result<u64> {
    let room = size.checked_sub(offset).filter(|room| *room >= u64::from(sector_size));
    let fits = room.filter(|room| wanted.is_none_or(|wanted| wanted <= *room));
    let Some(room) = fits else {
        let len = wanted.map(|len| format!("{len:#x} bytes of ")).unwrap_or_default();
        return Err(Error::corrupt(format!(
            "{len}content from {offset:#x} on a volume of {size:#x} bytes; the disk or partition is smaller than it was"
        )));
    };
    let len = wanted.unwrap_or(room);
    Ok(len - len % u64::from(sector_size))
}
