//! The files of a package: members of an archive, or files beside the `.ovf`.

use crate::envelope::FileRef;
use crate::error::OvaError;
use format_core::{Error, ErrorKind, Gate, Referenced, Result, Storage};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tar_members::{End, Kind, Member, StorageInput, Walker};

/// More members than a package has.
const MAX_MEMBERS: usize = 20_000;
/// More chunks than a file is cut into.
const MAX_CHUNKS: u64 = 100_000;

/// Where the files are.
pub(crate) enum Place {
    Archive(Arc<Archive>),
    Beside(Beside),
}

/// The folder of an `.ovf`. Each file is opened once.
pub(crate) struct Beside {
    gate: Arc<dyn Gate>,
    opened: Mutex<HashMap<String, Option<Arc<dyn Storage>>>>,
}

impl Beside {
    pub(crate) fn new(gate: Arc<dyn Gate>) -> Self {
        Self { gate, opened: Mutex::default() }
    }

    fn open(&self, name: &str) -> Result<Option<Arc<dyn Storage>>> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = opened.get(name) {
            return Ok(found.clone());
        }
        let found: Option<Arc<dyn Storage>> = match self.gate.open(name) {
            Ok(found) => Some(Arc::new(found.storage)),
            Err(error) if error.kind() == ErrorKind::SourceMissing => None,
            Err(error) => return Err(error),
        };
        opened.insert(name.to_owned(), found.clone());
        Ok(found)
    }
}

/// The members of an OVA.
pub(crate) struct Archive {
    storage: Arc<dyn Storage>,
    members: Vec<Member>,
    by_name: HashMap<String, usize>,
    pub(crate) end: End,
}

impl Archive {
    pub(crate) fn load(storage: Arc<dyn Storage>) -> Result<Self> {
        let mut walker = Walker::new(StorageInput::new(Arc::clone(&storage)));
        let (mut members, mut by_name) = (Vec::new(), HashMap::new());
        while let Some(mut member) = walker.next_member().map_err(|e| e.in_format(crate::FORMAT.name))? {
            if members.len() >= MAX_MEMBERS {
                return Err(OvaError::Members { limit: MAX_MEMBERS }.into());
            }
            while let Some(rest) = member.name.strip_prefix("./") {
                member.name = rest.to_owned();
            }
            if member.name.starts_with('/') || member.name.split('/').any(|part| part == "..") {
                return Err(OvaError::Outside { name: member.name }.into());
            }
            if member.kind != Kind::Folder && by_name.insert(member.name.clone(), members.len()).is_some() {
                return Err(OvaError::TwiceMember { name: member.name }.into());
            }
            members.push(member);
        }
        Ok(Self { storage, members, by_name, end: walker.end().unwrap_or(End::Open) })
    }

    /// The name of the envelope, and whether it is where it has to be.
    pub(crate) fn envelope(&self) -> Result<(String, bool), OvaError> {
        let is_envelope = |member: &&Member| has_extension(&member.name, "ovf") && !is_apple(&member.name);
        let found: Vec<_> = self.members.iter().filter(is_envelope).collect();
        let first = self.members.iter().find(|member| member.kind != Kind::Folder);
        match (found.as_slice(), first.filter(is_envelope)) {
            (_, Some(first)) => Ok((first.name.clone(), true)),
            ([only], None) => Ok((only.name.clone(), false)),
            ([], None) => Err(OvaError::NoEnvelope),
            (several, None) => Err(OvaError::Envelopes { count: several.len() }),
        }
    }

    /// Names of regular members.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let files = self.members.iter().filter(|member| member.kind == Kind::File && !is_apple(&member.name));
        files.map(|member| member.name.as_str())
    }

    fn open(&self, name: &str) -> Result<Option<Arc<dyn Storage>>> {
        let Some(member) = self.by_name.get(name).and_then(|at| self.members.get(*at)) else {
            return Ok(None);
        };
        if member.kind != Kind::File {
            return Err(OvaError::NoRegular { name: name.to_owned() }.into());
        }
        member.storage(&self.storage).map(Some)
    }
}

/// macOS keeps attributes of files in such members.
fn is_apple(name: &str) -> bool {
    name.rsplit('/').next().is_some_and(|base| base.starts_with("._"))
}

pub(crate) fn has_extension(name: &str, wanted: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, extension)| extension.eq_ignore_ascii_case(wanted))
}

impl Place {
    /// The file of this name, if it is there.
    pub(crate) fn open(&self, name: &str) -> Result<Option<Arc<dyn Storage>>> {
        match self {
            Self::Archive(archive) => archive.open(name),
            Self::Beside(beside) => beside.open(name),
        }
    }

    /// The gate for what an image of the package names.
    pub(crate) fn gate(&self, name: &str) -> Arc<dyn Gate> {
        match self {
            Self::Archive(archive) => {
                Arc::new(ArchiveGate { name: name.to_owned(), archive: Arc::clone(archive) })
            }
            Self::Beside(beside) => Arc::clone(&beside.gate),
        }
    }

    /// The names of the files that make up `file`, with their bytes: one, or its chunks in order.
    pub(crate) fn pieces(&self, file: &FileRef) -> Result<Vec<(String, Arc<dyn Storage>)>> {
        let (scheme, _) = file.href.split_once("://").unwrap_or_default();
        if !scheme.is_empty() {
            return Err(OvaError::Remote { href: file.href.clone() }.into());
        }
        let href = file.href.strip_prefix("./").unwrap_or(&file.href);
        match file.chunk {
            Some(chunk) => self.chunks(file, href, chunk),
            None => Ok(vec![self.whole(href)?]),
        }
    }

    fn whole(&self, href: &str) -> Result<(String, Arc<dyn Storage>)> {
        if let Some(storage) = self.open(href)? {
            return Ok((href.to_owned(), storage));
        }
        // An href is a URI, and some programs write it as one.
        let name = unescaped(href).filter(|name| name != href);
        let found =
            name.map(|name| Ok::<_, Error>(self.open(&name)?.map(|storage| (name, storage)))).transpose()?;
        found.flatten().ok_or_else(|| OvaError::Missing { name: href.to_owned() }.into())
    }

    fn chunks(&self, file: &FileRef, href: &str, chunk: u64) -> Result<Vec<(String, Arc<dyn Storage>)>> {
        let name = |number: u64| format!("{href}.{number:09}");
        // What the size of a compressed file means, is not agreed upon.
        let announced = file.size.filter(|_| !file.is_gzip);
        let count = announced.map(|size| size.div_ceil(chunk).max(1));
        if count.is_some_and(|count| count > MAX_CHUNKS) {
            return Err(OvaError::Many { what: "chunks", limit: MAX_CHUNKS as usize }.into());
        }
        let mut pieces = Vec::<(String, Arc<dyn Storage>)>::new();
        for number in 0..count.unwrap_or(MAX_CHUNKS) {
            match self.open(&name(number))? {
                Some(storage) => pieces.push((name(number), storage)),
                None if count.is_none() && number > 0 => break,
                None => return Err(OvaError::Missing { name: name(number) }.into()),
            }
        }
        let last = pieces.len().saturating_sub(1);
        for (number, (name, storage)) in pieces.iter().enumerate() {
            let (found, name) = (storage.size(), name.clone());
            let rest = || announced.map(|size| size.saturating_sub(chunk.saturating_mul(last as u64)));
            let wanted = if number < last { Some(chunk) } else { rest() };
            if let Some(wanted) = wanted.filter(|wanted| *wanted != found) {
                return Err(OvaError::Chunk { name, found, wanted }.into());
            }
            if found > chunk {
                return Err(OvaError::Chunk { name, found, wanted: chunk }.into());
            }
        }
        // A chunk in the middle that is missing looks like the end.
        let behind = name(pieces.len() as u64 + 1);
        if self.open(&behind)?.is_some() {
            return Err(OvaError::Missing { name: name(pieces.len() as u64) }.into());
        }
        Ok(pieces)
    }

    /// Whether it is an archive without an end mark.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self, Self::Archive(archive) if archive.end == End::Open)
    }
}

/// `a%20b` as `a b`.
fn unescaped(href: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(href.len()), href.as_bytes());
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = rest.get(2..)?;
    }
    String::from_utf8(bytes).ok().filter(|name| !name.contains('\0'))
}

/// What an image in an archive names is in the archive at most, and is not opened for it.
struct ArchiveGate {
    name: String,
    archive: Arc<Archive>,
}

impl Gate for ArchiveGate {
    fn open(&self, name: &str) -> Result<Referenced> {
        let other = name.to_owned();
        if self.archive.by_name.contains_key(name) {
            return Err(OvaError::Further { name: self.name.clone(), other }.into());
        }
        Err(OvaError::Missing { name: other }.into())
    }
}

/// The pieces of a file behind each other.
pub(crate) struct Joined {
    pieces: Vec<(u64, Arc<dyn Storage>)>,
    size: u64,
}

impl Joined {
    pub(crate) fn storage(pieces: Vec<(String, Arc<dyn Storage>)>) -> Arc<dyn Storage> {
        let mut joined = Self { pieces: Vec::with_capacity(pieces.len()), size: 0 };
        for (_, storage) in pieces {
            let start = joined.size;
            // Files of a host do not add up to more than 64 bits.
            joined.size = start.saturating_add(storage.size());
            joined.pieces.push((start, storage));
        }
        match joined.pieces.as_slice() {
            [(_, only)] => Arc::clone(only),
            _ => Arc::new(joined),
        }
    }
}

impl Storage for Joined {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        if offset.checked_add(buf.len() as u64).is_none_or(|end| end > self.size) {
            let text =
                format!("{:#x} bytes wanted at {offset:#x}, the file ends at {:#x}", buf.len(), self.size);
            return Err(Error::corrupt(text).in_format(crate::FORMAT.name).at(offset));
        }
        let first = self.pieces.partition_point(|(start, _)| *start <= offset).saturating_sub(1);
        let (mut at, mut rest) = (offset, buf);
        for (start, piece) in self.pieces.iter().skip(first) {
            if rest.is_empty() {
                break;
            }
            let inside = at - start;
            let len = piece.size().saturating_sub(inside).min(rest.len() as u64);
            let (now, later) = rest.split_at_mut(len as usize);
            piece.read_exact_at(inside, now)?;
            (at, rest) = (at + len, later);
        }
        Ok(())
    }
}
