//! Tries passphrases on keyslots until one gives a key that the header's digest knows.

use crate::cipher::SECTOR;
use crate::content::Content;
use crate::header::{Digest, Header, Keyslot, Segment, Slot, Usable};
use crate::kdf::TOTAL_COST;
use crate::passphrase::Passphrase;
use driver_core::Volume;
use format_core::{Error, ErrorKind, Result};
use std::sync::Arc;
use zeroize::Zeroizing;

/// An opened LUKS volume. The key is overwritten in memory when it is dropped.
pub struct Unlocked {
    pub(crate) volume: Arc<Content>,
    pub(crate) key: Zeroizing<Vec<u8>>,
    pub(crate) segment: Segment,
    pub(crate) options: Vec<&'static str>,
    /// `LUKS2-` and the UUID without hyphens.
    pub(crate) identity: String,
    pub(crate) keyslot: u32,
}

impl Unlocked {
    /// The content. Writing it reaches the volume below, encrypted.
    #[must_use]
    pub fn volume(&self) -> Arc<dyn Volume> {
        Arc::clone(&self.volume) as Arc<dyn Volume>
    }

    /// The number of the keyslot that a passphrase opened.
    #[must_use]
    pub fn keyslot(&self) -> u32 {
        self.keyslot
    }
}

/// Opens the content of `volume`, whose header is `header`, with the first passphrase that fits a keyslot; `None` when none
/// does. Keyslots are tried as `cryptsetup open` does: preferred ones first, then by number, and not those that are to be
/// ignored.
///
/// A keyslot says how much time and memory a try takes: seconds, and up to 4 GiB while it lasts. What the machine does not
/// have is not taken.
///
/// # Errors
/// `Unsupported` when the header has an [`obstacle`](Header::obstacle); when no passphrase fits, and a keyslot could not be
/// tried: `Unsupported`, or `Limit` for one that would take too long or too much memory. What the volume reports.
pub fn unlock(
    header: &Header,
    volume: Arc<dyn Volume>,
    passphrases: &[Passphrase],
) -> Result<Option<Unlocked>> {
    let usable = header.usable.as_ref().map_err(|reason| Error::unsupported(reason.clone()))?;
    let mut keyslots: Vec<&Keyslot> = header
        .keyslots
        .iter()
        .filter(|keyslot| keyslot.priority != crate::header::Priority::Ignored)
        .collect();
    keyslots.sort_by_key(|keyslot| (keyslot.priority, keyslot.number));
    let (mut spent, mut obstacle) = (0u64, None);
    for passphrase in passphrases {
        for keyslot in &keyslots {
            let number = keyslot.number;
            let tried = open(keyslot, usable, volume.as_ref(), passphrase, &mut spent);
            match tried {
                Ok(Some(key)) => return finish(header, usable, volume, key, number).map(Some),
                Ok(None) => {}
                Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::Limit) => {
                    obstacle.get_or_insert(error.context(format!("keyslot {number}")));
                }
                Err(error) => return Err(error.context(format!("keyslot {number}"))),
            }
        }
    }
    obstacle.map_or(Ok(None), Err)
}

fn finish(
    header: &Header,
    usable: &Usable,
    volume: Arc<dyn Volume>,
    key: Zeroizing<Vec<u8>>,
    keyslot: u32,
) -> Result<Unlocked> {
    let segment = usable.segment.clone();
    let cipher = segment.cipher.with_key(&key, segment.sector_size as usize).ok_or_else(|| {
        Error::corrupt(format!(
            "the volume key has {} bytes, which {} has not",
            key.len(),
            segment.cipher.text()
        ))
    })?;
    if volume.size().checked_sub(segment.offset).is_none_or(|room| room < segment.size) {
        return Err(Error::usage("the header is of another volume"));
    }
    let volume = Arc::new(Content::new(volume, &segment, cipher));
    let identity = format!("LUKS{}-{}", header.version, header.uuid.replace('-', ""));
    Ok(Unlocked { volume, key, segment, options: usable.options.clone(), identity, keyslot })
}

/// The volume key, if the passphrase opens this keyslot.
fn open(
    keyslot: &Keyslot,
    usable: &Usable,
    volume: &dyn Volume,
    passphrase: &Passphrase,
    spent: &mut u64,
) -> Result<Option<Zeroizing<Vec<u8>>>> {
    let slot = keyslot.usable.as_ref().map_err(|reason| Error::unsupported(reason.clone()))?;
    let digest = &usable.digest;
    let cost = slot.kdf.cost(slot.cipher_key_len).saturating_add(digest.cost());
    *spent = spent.saturating_add(cost);
    if *spent > TOTAL_COST {
        let text = format!("its tries take more than {} seconds", TOTAL_COST / 1_000_000);
        return Err(Error::new(ErrorKind::Limit, text).hint("give fewer passphrases"));
    }
    let key = slot.kdf.derive(passphrase.bytes(), slot.cipher_key_len)?;
    let key = volume_key(slot, &key, volume)?;
    Ok(digest.fits(&key).then_some(key))
}

/// The key that the stripes of `slot` hold, if `key` decrypts them.
fn volume_key(slot: &Slot, key: &[u8], volume: &dyn Volume) -> Result<Zeroizing<Vec<u8>>> {
    let contradiction = || Error::corrupt("its key does not fit its cipher");
    let len = slot.key_len.checked_mul(slot.stripes).ok_or_else(contradiction)?;
    let whole = len.checked_next_multiple_of(SECTOR as usize).ok_or_else(contradiction)?;
    let mut stripes = Zeroizing::new(vec![0; whole]);
    volume.read_exact_at(slot.offset, &mut stripes)?;
    let cipher = slot.cipher.with_key(key, SECTOR as usize).ok_or_else(contradiction)?;
    cipher.decrypt(0, &mut stripes);
    let mut found = Zeroizing::new(vec![0; slot.key_len]);
    slot.hash.merge(stripes.get(..len).unwrap_or_default(), &mut found);
    Ok(found)
}

impl Digest {
    fn fits(&self, key: &[u8]) -> bool {
        let mut found = vec![0; self.value.len()];
        self.hash.stretch(key, &self.salt, self.iterations, &mut found);
        found == self.value
    }
}
