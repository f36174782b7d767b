//! Files of a disc image: ISO 9660 with Joliet's or Rock Ridge's names.
//!
//! ```text
//!  sector 16 …: volume descriptors ─▶ Joliet's root, else the primary one ─▶ folders ─▶ DiscFile { path, extents }
//! ```
//!
//! Sources: ECMA-119, sections 8 (volume descriptors) and 9 (directory records); "Joliet Specification" (escape
//! sequences, names); IEEE P1281 (SUSP) and P1282 (Rock Ridge), drafts of 1994. UDF is not read: virtio-win's images
//! have ISO 9660 with both extensions.
//!
//! Why not a crate: those that exist are a prototype (`iso9660`), a release candidate (`hadris-iso`), bring a command
//! line and FUSE along (`cdfs`), or index what the image says without checks. What is needed here is small.

mod record;
mod rock_ridge;

use format_core::{Error, ErrorKind, Result, Storage};
use record::Record;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A logical sector. Directory records do not cross one.
const SECTOR: usize = 2048;

/// Bounds: virtio-win's image has some 2000 files in folders four deep.
const MAX_DEPTH: usize = 16;
const MAX_ENTRIES: usize = 100_000;
const MAX_FOLDER: u64 = 4 << 20;
/// All folders together, which may overlap, and all paths.
const MAX_FOLDERS: u64 = 64 << 20;
const MAX_PATHS: usize = 16 << 20;
const MAX_DESCRIPTORS: u64 = 64;

/// A disc image.
pub struct Disc {
    storage: Arc<dyn Storage>,
    /// Bytes of a logical block.
    block: u64,
    names: Names,
    root: Record,
}

/// A file on a disc.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscFile {
    /// From the root, with `/`.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// Offset and length in bytes, in the file's order.
    extents: Vec<(u64, u64)>,
}

/// Where names come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    Joliet,
    /// With the bytes to be skipped in front of each record's system use entries.
    RockRidge(usize),
    Plain,
}

impl Disc {
    /// Reads the volume descriptors. `None`: this is no ISO 9660 image.
    ///
    /// # Errors
    /// `Corrupt` for descriptors that contradict themselves, `Io`.
    pub fn open(storage: Arc<dyn Storage>) -> Result<Option<Self>> {
        let mut primary = None;
        let mut joliet = None;
        for sector in 16..16 + MAX_DESCRIPTORS {
            let at = sector * SECTOR as u64;
            if at + SECTOR as u64 > storage.size() {
                break;
            }
            let mut bytes = [0; SECTOR];
            storage.read_exact_at(at, &mut bytes)?;
            if bytes.get(1..6) != Some(b"CD001") {
                break;
            }
            match bytes.first() {
                Some(1) if primary.is_none() => primary = Some(bytes),
                Some(2) if joliet.is_none() && is_joliet(&bytes) => joliet = Some(bytes),
                Some(255) => break,
                _ => {}
            }
        }
        let Some(primary) = primary else { return Ok(None) };
        let (names, descriptor) = match joliet {
            Some(joliet) => (Names::Joliet, joliet),
            None => (Names::Plain, primary),
        };
        let block = u64::from(word(&descriptor, 128));
        if ![512, 1024, 2048].contains(&block) {
            let message = format!("logical blocks of {block} bytes, possible are 512, 1024 and 2048");
            return Err(corrupt(message));
        }
        let root = descriptor.get(156..190).map(Record::parse).transpose()?.flatten();
        let root = root
            .filter(Record::is_folder)
            .ok_or_else(|| corrupt("the root directory record is none".into()))?;
        let mut disc = Self { storage, block, names, root };
        if disc.names == Names::Plain
            && let Some(skip) = disc.rock_ridge()?
        {
            disc.names = Names::RockRidge(skip);
        }
        Ok(Some(disc))
    }

    /// All files, folder by folder. Links are left out.
    ///
    /// # Errors
    /// `Corrupt` for folders in a loop or outside of the image, `Limit` for more than 100 000 entries, `Io`.
    pub fn files(&self) -> Result<Vec<DiscFile>> {
        let mut files = Vec::new();
        let mut seen = BTreeSet::from([self.root.extent]);
        let (mut entries, mut paths, mut bytes) = (0_usize, 0_usize, 0_u64);
        let mut folders = vec![(String::new(), 0, self.root.clone())];
        while let Some((path, depth, folder)) = folders.pop() {
            bytes += u64::from(folder.size);
            if bytes > MAX_FOLDERS {
                return Err(limit(format!("folders of more than {} MiB", MAX_FOLDERS >> 20)));
            }
            let mut open: Option<DiscFile> = None;
            for record in self.records(&folder)? {
                entries += 1;
                if entries > MAX_ENTRIES {
                    return Err(limit(format!("more than {MAX_ENTRIES} entries")));
                }
                let Some(name) = self.name(&record)? else { continue };
                let path = if path.is_empty() { name } else { format!("{path}/{name}") };
                paths += path.len();
                if paths > MAX_PATHS {
                    return Err(limit(format!("paths of more than {} MiB", MAX_PATHS >> 20)));
                }
                if !record.is_folder() {
                    self.add(&mut files, &mut open, path, &record)?;
                } else if depth >= MAX_DEPTH {
                    return Err(limit(format!("folders are nested more than {MAX_DEPTH} deep: {path}")));
                } else if !seen.insert(record.extent) {
                    return Err(corrupt(format!("the folder {path} lies where another one does")));
                } else {
                    folders.push((path, depth + 1, record));
                }
            }
            if let Some(file) = open {
                return Err(corrupt(format!("the last extent of {} is missing", file.path)));
            }
        }
        Ok(files)
    }

    /// The content of a file.
    ///
    /// # Errors
    /// `Limit` above `limit` bytes, `Corrupt` when it lies outside of the image, `Io`.
    pub fn read(&self, file: &DiscFile, limit: u64) -> Result<Vec<u8>> {
        if file.size > limit {
            return Err(self::limit(format!(
                "{} has {} bytes, at most {limit} are read",
                file.path, file.size
            )));
        }
        let mut content = Vec::new();
        for (offset, len) in &file.extents {
            content.extend(self.bytes(*offset, *len).map_err(|error| error.context(file.path.clone()))?);
        }
        Ok(content)
    }

    /// Adds a file, or another extent of the one that is open.
    fn add(
        &self,
        files: &mut Vec<DiscFile>,
        open: &mut Option<DiscFile>,
        path: String,
        record: &Record,
    ) -> Result<()> {
        let mut file = match open.take() {
            Some(file) if file.path == path => file,
            Some(file) => return Err(corrupt(format!("the last extent of {} is missing", file.path))),
            None => DiscFile { path, size: 0, extents: Vec::new() },
        };
        if record.is_interleaved() {
            return Err(Error::unsupported(format!("{} is interleaved", file.path)).in_format("iso9660"));
        }
        file.size += u64::from(record.size);
        file.extents.push((self.offset(record), u64::from(record.size)));
        if record.goes_on() {
            *open = Some(file);
        } else {
            files.push(file);
        }
        Ok(())
    }

    /// Where the data of a record begins, behind its extended attributes.
    fn offset(&self, record: &Record) -> u64 {
        (u64::from(record.extent) + u64::from(record.attributes)) * self.block
    }

    /// The records of a folder but the first two, which are itself and its parent.
    fn records(&self, folder: &Record) -> Result<Vec<Record>> {
        let mut records = self.all_records(folder, MAX_FOLDER)?;
        records.retain(|record| !record.is_self_or_parent());
        Ok(records)
    }

    fn all_records(&self, folder: &Record, most: u64) -> Result<Vec<Record>> {
        let size = u64::from(folder.size);
        if size > MAX_FOLDER {
            return Err(limit(format!("a folder of {size} bytes, at most {MAX_FOLDER} are read")));
        }
        let bytes = self.bytes(self.offset(folder), size.min(most))?;
        let mut records = Vec::new();
        for sector in bytes.chunks(SECTOR) {
            let mut rest = sector;
            while let Some(record) = Record::parse(rest)? {
                rest = rest.get(record.len..).unwrap_or_default();
                records.push(record);
            }
        }
        Ok(records)
    }

    /// How many bytes are in front of system use entries, where the root says that there are any.
    fn rock_ridge(&self) -> Result<Option<usize>> {
        let records = self.all_records(&self.root, SECTOR as u64)?;
        Ok(records.first().and_then(|record| rock_ridge::announced(&record.system_use)))
    }

    /// The name of a record; `None` for links and other things that are no files.
    fn name(&self, record: &Record) -> Result<Option<String>> {
        if record.is_associated() {
            return Ok(None);
        }
        let name = match self.names {
            Names::Joliet => record.joliet_name(),
            Names::Plain => record.plain_name(),
            Names::RockRidge(skip) => {
                let area = record.system_use.get(skip..).unwrap_or_default();
                let found = rock_ridge::read(area, |block, offset, len| {
                    self.bytes(u64::from(block) * self.block + u64::from(offset), u64::from(len))
                })?;
                if found.is_link {
                    return Ok(None);
                }
                found.name.unwrap_or_else(|| record.plain_name())
            }
        };
        if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
            return Err(corrupt(format!("a file is called {name:?}")));
        }
        Ok(Some(name))
    }

    fn bytes(&self, offset: u64, len: u64) -> Result<Vec<u8>> {
        let end = offset.checked_add(len).filter(|end| *end <= self.storage.size());
        let (Some(_), Ok(room)) = (end, usize::try_from(len)) else {
            let message = format!("{len} bytes wanted, the image ends at {:#x}", self.storage.size());
            return Err(corrupt(message).at(offset).hint("get the image again: it may not be all there"));
        };
        let mut bytes = vec![0; room];
        self.storage.read_exact_at(offset, &mut bytes)?;
        Ok(bytes)
    }
}

/// A supplementary descriptor is Joliet's when it says UCS-2 of level 1, 2 or 3.
fn is_joliet(descriptor: &[u8]) -> bool {
    matches!(descriptor.get(88..91), Some(b"%/@" | b"%/C" | b"%/E"))
}

/// 16 bits, lower byte first; nothing where they are missing.
fn word(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u16::from_le_bytes(*bytes))
}

fn corrupt(message: String) -> Error {
    Error::corrupt(message).in_format("iso9660")
}

fn limit(message: String) -> Error {
    Error::new(ErrorKind::Limit, message).in_format("iso9660")
}
