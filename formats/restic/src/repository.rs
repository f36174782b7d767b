//! The files of a repository, decrypted and verified.

use crate::crypto::CipherKey;
use crate::error::ResticError;
use crate::index::Place;
use crate::layout::{CONFIG, DATA, KEYS, MAX_KEYS, MAX_SMALL, OVERHEAD, PACKED_JSON};
use crate::parse::{self, Config, Id};
use format_core::{Error, ErrorKind, FileStorage, Key, Result, SourceFolder, Storage};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

/// Packs that stay open.
const OPEN_PACKS: usize = 16;

/// A repository whose password is known.
pub(crate) struct Repository {
    folder: Arc<SourceFolder>,
    key: CipherKey,
    config: Config,
    /// Whether packs lie in `data` itself and not in its folders: what some old servers made.
    is_flat: bool,
    open_packs: Mutex<Vec<(Id, Arc<FileStorage>)>>,
}

impl Repository {
    /// Opens the repository in `folder` with `password`.
    pub(crate) fn open(folder: Arc<SourceFolder>, password: Option<&Key>) -> Result<Self> {
        let key = unlock(&folder, password)?;
        let config = folder.read(CONFIG, MAX_SMALL)?;
        let config: Config = parse::json(&key.open(config, || CONFIG.into())?, CONFIG)?;
        if !(1..=2).contains(&config.version) {
            return Err(ResticError::Version { found: config.version }.into());
        }
        let is_pack = |name: &str| Id::parse(name).is_ok();
        let is_flat = folder.entries(DATA)?.iter().any(|entry| !entry.is_folder && is_pack(&entry.name));
        Ok(Self { folder, key, config, is_flat, open_packs: Mutex::default() })
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// The IDs of the files in `kind`, sorted. What is called otherwise is no part of the repository.
    pub(crate) fn list(&self, kind: &str) -> Result<Vec<Id>> {
        let entries = self.folder.entries(kind)?;
        Ok(entries.iter().filter(|e| !e.is_folder).filter_map(|e| Id::parse(&e.name).ok()).collect())
    }

    /// The JSON of the file `id` in `kind`, which has `limit` bytes at most.
    pub(crate) fn json_file(&self, kind: &str, id: Id, limit: u64) -> Result<Vec<u8>> {
        let what = || format!("{kind}/{id}");
        let sealed = self.folder.read(&what(), limit)?;
        verify(&sealed, id, what)?;
        let plain = self.key.open(sealed, what)?;
        match plain.first() {
            Some(b'{' | b'[') => Ok(plain),
            Some(&PACKED_JSON) => unpack_some(&plain[1..], limit, what).map_err(Error::from),
            found => Err(ResticError::Encoding { what: what(), found: found.copied().unwrap_or(0) }.into()),
        }
    }

    /// The blob `id` of `most` bytes at most, which lies at `place` in `pack`. Its authentication code and its ID fit.
    pub(crate) fn blob(&self, id: Id, place: Place, pack: Id, most: u64) -> Result<Vec<u8>> {
        let what = || format!("blob {id}");
        let too_large = |size: u64| ResticError::TooLarge { what: what(), size, most };
        // What does not shrink is stored as it is, so nothing is much larger packed.
        let length = u64::from(place.length);
        if length > most.saturating_add(OVERHEAD as u64) {
            return Err(too_large(length).into());
        }
        if place.plain_len() > most {
            return Err(too_large(place.plain_len()).into());
        }
        let storage = self.pack(pack, what)?;
        let (offset, size) = (u64::from(place.offset), storage.size());
        if offset + length > size {
            let pack = pack.to_string();
            return Err(ResticError::PackShort { what: what(), offset, length, pack, size }.into());
        }
        let mut sealed = vec![0; place.length as usize];
        storage.read_exact_at(offset, &mut sealed)?;
        let in_pack = |error: ResticError| Error::from(error).at(offset).context(format!("pack {pack}"));
        let plain = self.key.open(sealed, what).map_err(in_pack)?;
        let plain = match place.unpacked {
            0 => plain,
            size => unpack(&plain, size, what).map_err(in_pack)?,
        };
        verify(&plain, id, what).map_err(in_pack)?;
        Ok(plain)
    }

    /// The size of the pack `id` in bytes, `None` when it is missing.
    pub(crate) fn pack_size(&self, id: Id) -> Result<Option<u64>> {
        self.folder.file_size(&self.pack_name(id))
    }

    fn pack_name(&self, id: Id) -> String {
        let name = id.to_string();
        if self.is_flat { format!("{DATA}/{name}") } else { format!("{DATA}/{}/{name}", &name[..2]) }
    }

    fn pack(&self, id: Id, what: impl Fn() -> String) -> Result<Arc<FileStorage>> {
        let lock = || self.open_packs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, storage)) = lock().iter().find(|(open, _)| *open == id) {
            return Ok(Arc::clone(storage));
        }
        let storage = self.folder.piece(&self.pack_name(id)).map_err(|error| match error.kind() {
            ErrorKind::SourceMissing => {
                ResticError::PackMissing { what: what(), pack: id.to_string() }.into()
            }
            _ => error,
        })?;
        let storage = Arc::new(storage);
        let mut open = lock();
        if open.len() >= OPEN_PACKS {
            open.remove(0);
        }
        open.push((id, Arc::clone(&storage)));
        Ok(storage)
    }
}

/// The repository's key, from whichever file in `keys` the password opens.
fn unlock(folder: &SourceFolder, password: Option<&Key>) -> Result<CipherKey> {
    let names: Vec<_> =
        folder.entries(KEYS)?.into_iter().filter(|e| !e.is_folder && Id::parse(&e.name).is_ok()).collect();
    let count = names.len() as u64;
    match names.len() {
        0 => return Err(ResticError::NoKeys.into()),
        1..=MAX_KEYS => {}
        _ => return Err(ResticError::TooManyKeys { count, most: MAX_KEYS as u64 }.into()),
    }
    let password = password.ok_or(ResticError::NoPassword)?;
    let mut unusable = None;
    for name in &names {
        let what = format!("{KEYS}/{}", name.name);
        let bytes = folder.read(&what, MAX_SMALL)?;
        let file = match parse::key_file(&bytes, &what) {
            Ok(file) => file,
            // Another key may do.
            Err(error) => {
                unusable = unusable.or(Some(error));
                continue;
            }
        };
        for spelling in spellings(password.bytes()) {
            let derived = match CipherKey::derive(&spelling, &file) {
                Ok(derived) => derived,
                Err(error) => {
                    unusable = unusable.or(Some(error));
                    break;
                }
            };
            // An authentication code that does not fit is a wrong password.
            if let Ok(plain) = derived.open(file.data.clone(), || what.clone()) {
                let plain = zeroize::Zeroizing::new(plain);
                let master = parse::master_key(&plain, &what)?;
                return Ok(CipherKey::new(&master.encrypt, &master.mac_k, &master.mac_r)?);
            }
        }
    }
    Err(unusable.unwrap_or(ResticError::WrongPassword { count }).into())
}

/// The password as restic reads it from a file, without white space around it; and as the file has it, for whoever gave it to
/// restic by other means.
fn spellings(bytes: &[u8]) -> Vec<Cow<'_, [u8]>> {
    let trimmed = match std::str::from_utf8(bytes) {
        Ok(text) => text.trim_start_matches('\u{feff}').trim().as_bytes(),
        Err(_) => bytes.trim_ascii(),
    };
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut all = vec![Cow::Borrowed(trimmed)];
    if line != trimmed {
        all.push(Cow::Borrowed(line));
    }
    all
}

/// Whether `bytes` are those that `id` names.
fn verify(bytes: &[u8], id: Id, what: impl Fn() -> String) -> Result<(), ResticError> {
    let found = Id(Sha256::digest(bytes).into());
    if found == id {
        return Ok(());
    }
    Err(ResticError::Hash { what: what(), found: found.to_string() })
}

/// A packed blob, of which the index says the size.
fn unpack(packed: &[u8], size: u32, what: impl Fn() -> String) -> Result<Vec<u8>, ResticError> {
    let plain = zstd::bulk::decompress(packed, size as usize)
        .map_err(|e| ResticError::Unpack { what: what(), reason: e.to_string() })?;
    if plain.len() != size as usize {
        let (found, expected) = (plain.len() as u64, u64::from(size));
        return Err(ResticError::Unpacked { what: what(), found, expected });
    }
    Ok(plain)
}

/// A packed file that does not say its size, of `most` bytes at most.
fn unpack_some(packed: &[u8], most: u64, what: impl Fn() -> String) -> Result<Vec<u8>, ResticError> {
    let failed = |e: std::io::Error| ResticError::Unpack { what: what(), reason: e.to_string() };
    let mut plain = Vec::new();
    let mut from = zstd::stream::read::Decoder::new(packed).map_err(failed)?.take(most.saturating_add(1));
    from.read_to_end(&mut plain).map_err(failed)?;
    if plain.len() as u64 > most {
        return Err(ResticError::TooLarge { what: what(), size: plain.len() as u64, most });
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_read_as_restic_reads_them() {
        let all = |bytes| spellings(bytes).iter().map(|s| s.to_vec()).collect::<Vec<_>>();
        assert_eq!(all(b"pw"), [b"pw"]);
        assert_eq!(all(b"pw\n"), [b"pw"]);
        assert_eq!(all(b"pw\r\n"), [b"pw"]);
        assert_eq!(all(b" pw \n"), [b"pw".to_vec(), b" pw ".to_vec()]);
        assert_eq!(all(b""), [b""]);
        assert_eq!(all("\u{feff}pw\n".as_bytes())[0], b"pw");
    }
}
