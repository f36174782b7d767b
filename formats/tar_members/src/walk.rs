//! From one member to the next.

use crate::BLOCK;
use crate::error::TarError;
use crate::header::{Header, gnu_more_runs, gnu_real_size, gnu_runs, text};
use crate::input::{Input, StorageInput};
use crate::map::{MAX_RUNS, Segment, SparseStorage, segments};
use crate::pax::{Pax, number};
use format_core::{MemStorage, Result, Storage, WindowStorage};
use std::sync::Arc;

/// Long names are longer than 100 bytes, but not that long.
const MAX_NAME: u64 = 64 << 10;
/// Pax records hold the map of a sparse member of versions 0.0 and 0.1.
const MAX_PAX: u64 = 16 << 20;
/// Digits of a number in a map of version 1.0.
const MAX_DIGITS: usize = 20;

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file, sparse or not.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    SymLink,
    /// Another name of a member before it.
    HardLink,
    /// A device, a pipe or something unknown: its type byte.
    Other(u8),
}

/// A member of an archive.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its path in the archive, as it is written there; what is no UTF-8 is replaced.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Where a link leads.
    pub link: String,
    /// Its size in bytes, with its holes.
    pub size: u64,
    /// Where its header is.
    pub header_at: u64,
    /// Where its stored bytes begin.
    pub data_at: u64,
    /// How many bytes are stored; the same as its size where it is not sparse.
    pub stored: u64,
    /// Where in a sparse member the stored bytes belong.
    pub segments: Option<Arc<[Segment]>>,
}

impl Member {
    /// Its bytes, holes included.
    ///
    /// # Errors
    /// `Corrupt` when they leave the archive.
    pub fn storage(&self, archive: &Arc<dyn Storage>) -> Result<Arc<dyn Storage>> {
        let window = WindowStorage::new(Arc::clone(archive), self.data_at, self.stored)?;
        Ok(match &self.segments {
            Some(segments) => Arc::new(SparseStorage::new(window, Arc::clone(segments), self.size)),
            None => Arc::new(window),
        })
    }
}

/// How an archive ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With blocks of zeros, the first of which is here.
    Marked(u64),
    /// Without: members may be missing.
    Open,
}

/// Goes through an archive from its start to its end.
pub struct Walker<I> {
    input: I,
    /// Where the next header is, where the data of the member before it end, and that member.
    next: u64,
    data_end: u64,
    before: String,
    end: Option<End>,
    /// Maps are left alone.
    is_glance: bool,
}

impl Walker<StorageInput> {
    /// At the first member of an archive of which only the beginning is known: maps are not read, so that members with
    /// long ones are seen, too.
    #[must_use]
    pub fn glance(head: &[u8]) -> Self {
        let storage = Arc::new(MemStorage(head.to_vec()));
        Self { is_glance: true, ..Self::new(StorageInput::new(storage)) }
    }
}

impl<I: Input> Walker<I> {
    /// At the first member.
    pub fn new(input: I) -> Self {
        Self { input, next: 0, data_end: 0, before: String::new(), end: None, is_glance: false }
    }

    /// What it reads from: at the stored bytes of the member that [`Walker::next_member`] gave last, which may be read or
    /// not.
    pub fn input_mut(&mut self) -> &mut I {
        &mut self.input
    }

    /// How the archive ended, once there are no more members.
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// The next member; `None` after the last.
    ///
    /// # Errors
    /// `Corrupt` when a header cannot be trusted or the archive ends too early; `Unsupported` for parts of archives
    /// in several files; `Limit` for endless names and maps; `Io`.
    pub fn next_member(&mut self) -> Result<Option<Member>> {
        let mut pax = Pax::default();
        let (mut name, mut link) = (None, None);
        while self.end.is_none() {
            let at = self.go_to_next()?;
            let Some((block, header)) = self.header(at)? else { continue };
            match header.kind {
                b'L' => name = Some(self.long(&header, at, MAX_NAME)?),
                b'K' => link = Some(self.long(&header, at, MAX_NAME)?),
                b'x' | b'X' => {
                    let bytes = self.long(&header, at, MAX_PAX)?;
                    pax.read(&bytes).map_err(|e| e.at(at))?;
                }
                b'g' => {
                    let (mut global, bytes) = (Pax::default(), self.long(&header, at, MAX_PAX)?);
                    global.read(&bytes).and_then(|()| global.refuse_global()).map_err(|e| e.at(at))?;
                }
                // The label of a GNU archive.
                b'V' => self.pass(header.size, "the label")?,
                _ => {
                    let found = Found { at, block: &block, header, pax, long_name: name, long_link: link };
                    return self.member(found).map(Some);
                }
            }
        }
        let is_alone = name.is_some() || link.is_some() || pax.size.is_some() || pax.path.is_some();
        if is_alone { Err(TarError::NoMember.into()) } else { Ok(None) }
    }

    /// Goes over what is left of the member before.
    fn go_to_next(&mut self) -> Result<u64> {
        let left = self.next.saturating_sub(self.input.position());
        self.input.skip(left)?;
        let at = self.input.position();
        // Padding that was left away at the very end hurts nobody.
        if at < self.data_end {
            return Err(self.cut(self.data_end - at));
        }
        Ok(at)
    }

    fn cut(&self, missing: u64) -> format_core::Error {
        TarError::CutMember { name: self.before.clone(), missing }.at(self.input.position())
    }

    fn header(&mut self, at: u64) -> Result<Option<([u8; 512], Header)>> {
        let mut block = [0; 512];
        match self.input.fill(&mut block)? {
            512 => {}
            0 => {
                self.end = Some(End::Open);
                return Ok(None);
            }
            _ => return Err(TarError::CutHeader.at(at)),
        }
        self.next = self.input.position();
        let header = Header::parse(&block, at)?;
        if header.is_none() {
            self.end = Some(End::Marked(at));
        }
        Ok(header.map(|header| (block, header)))
    }

    /// The content of a header that is about the next one.
    fn long(&mut self, header: &Header, at: u64, limit: u64) -> Result<Vec<u8>> {
        let size = header.size;
        if size > limit {
            return Err(TarError::LongHeader { size, limit }.at(at));
        }
        let mut bytes = vec![0; size as usize];
        let read = self.input.fill(&mut bytes)?;
        if read < bytes.len() {
            return Err(TarError::CutHeader.at(at));
        }
        self.pass(size, "a long name")?;
        Ok(bytes)
    }

    /// The next header is after `size` bytes, counted from the last one.
    fn pass(&mut self, size: u64, name: &str) -> Result<()> {
        name.clone_into(&mut self.before);
        let data_end = self.next.checked_add(size);
        let ends = data_end.and_then(|end| Some((end, end.checked_next_multiple_of(BLOCK)?)));
        let beyond = || TarError::Beyond { name: name.to_owned() }.at(self.next);
        (self.data_end, self.next) = ends.ok_or_else(beyond)?;
        Ok(())
    }

    fn member(&mut self, found: Found<'_>) -> Result<Member> {
        let header_at = found.at;
        let failed = |e: TarError| e.at(header_at);
        let Found { block, header, pax, .. } = found;
        let from_long = |long: Option<Vec<u8>>, short: &[u8]| {
            let bytes = long.as_deref().map_or(short, text);
            String::from_utf8_lossy(bytes).into_owned()
        };
        let long_name = from_long(found.long_name, &header.name);
        let name = pax.sparse.name.clone().or(pax.path.clone()).unwrap_or(long_name);
        let link = pax.link.clone().unwrap_or_else(|| from_long(found.long_link, &header.link));
        let kind = kind_of(header.kind, &name);
        if header.kind == b'M' {
            return Err(failed(TarError::Volume { name }));
        }
        // Some programs tell the size of the file that a link leads to.
        let stored = if kind == Kind::HardLink { 0 } else { pax.size.unwrap_or(header.size) };
        let mut member =
            Member { name, kind, link, size: stored, header_at, data_at: self.next, stored, segments: None };
        self.input_of_map(&mut member, block, header.kind, pax.sparse, pax.star_size)?;
        self.next = member.data_at;
        self.pass(member.stored, &member.name)?;
        Ok(member)
    }

    /// Finds out where the data of a sparse member belong.
    fn input_of_map(
        &mut self,
        member: &mut Member,
        block: &[u8; 512],
        kind: u8,
        sparse: crate::pax::Sparse,
        star_size: Option<u64>,
    ) -> Result<()> {
        let header_at = member.header_at;
        let failed = |e: TarError| e.at(header_at);
        let is_file = member.kind == Kind::File;
        if self.is_glance {
            let size = if kind == b'S' { gnu_real_size(block).ok() } else { sparse.real_size };
            member.size = size.unwrap_or(member.size);
            return Ok(());
        }
        let version = (sparse.major.unwrap_or(0), sparse.minor.unwrap_or(0));
        let (runs, size) = match (kind, sparse.numbers, sparse.real_size) {
            (b'S', _, _) => (self.gnu_map(member, block)?, gnu_real_size(block).map_err(failed)?),
            (_, _, Some(size)) if is_file && version == (1, 0) => (self.pax_map(member)?, size),
            (_, Some(numbers), Some(size)) if is_file && version.0 == 0 => {
                if numbers.len() % 2 != 0 {
                    let what = "an offset without a length";
                    return Err(failed(TarError::Map { name: member.name.clone(), what }));
                }
                let pairs = numbers.chunks_exact(2).filter_map(|pair| Some((*pair.first()?, *pair.get(1)?)));
                (pairs.collect(), size)
            }
            (_, None, None) if sparse.major.is_none() => {
                return match star_size.filter(|size| *size != member.stored) {
                    Some(_) => Err(failed(kind_unknown(&member.name, "SCHILY.realsize".to_owned()))),
                    None => Ok(()),
                };
            }
            _ => {
                let what = format!("version {}.{}, or not all of its records", version.0, version.1);
                return Err(failed(kind_unknown(&member.name, what)));
            }
        };
        member.size = size;
        member.segments = Some(segments(&member.name, &runs, size, member.stored).map_err(failed)?.into());
        Ok(())
    }

    /// The map of an old GNU header and of the blocks that follow it.
    fn gnu_map(&mut self, member: &mut Member, block: &[u8; 512]) -> Result<Vec<(u64, u64)>> {
        let failed = |e: TarError| e.at(member.header_at);
        let (mut runs, mut more) = gnu_runs(block).map_err(failed)?;
        let mut block = [0; 512];
        while more {
            if self.input.fill(&mut block)? < block.len() {
                return Err(failed(TarError::CutHeader));
            }
            let (next, further) = gnu_more_runs(&block).map_err(failed)?;
            runs.extend(next);
            more = further;
            if runs.len() > MAX_RUNS {
                return Err(failed(TarError::MapSize { name: member.name.clone(), limit: MAX_RUNS }));
            }
        }
        member.data_at = self.input.position();
        Ok(runs)
    }

    /// The map in front of the data, of version 1.0: a line for each number, the first says how many runs there are.
    fn pax_map(&mut self, member: &mut Member) -> Result<Vec<(u64, u64)>> {
        let wrong = |what| TarError::Map { name: member.name.clone(), what }.at(member.header_at);
        let mut lines = Lines { buf: [0; 512], at: 512, read: 0 };
        let count = lines.number(&mut self.input).map_err(wrong)?;
        if count > MAX_RUNS as u64 {
            let limit = MAX_RUNS;
            return Err(TarError::MapSize { name: member.name.clone(), limit }.at(member.header_at));
        }
        let mut runs = Vec::new();
        for _ in 0..count {
            if lines.read > member.stored {
                return Err(wrong("it is longer than the member"));
            }
            let offset = lines.number(&mut self.input).map_err(wrong)?;
            runs.push((offset, lines.number(&mut self.input).map_err(wrong)?));
        }
        let stored = member.stored.checked_sub(lines.read);
        member.stored = stored.ok_or_else(|| wrong("it is longer than the member"))?;
        member.data_at = self.input.position();
        Ok(runs)
    }
}

/// A header and what was said about it before.
struct Found<'a> {
    at: u64,
    block: &'a [u8; 512],
    header: Header,
    pax: Pax,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

fn kind_unknown(name: &str, what: String) -> TarError {
    TarError::SparseKind { name: name.to_owned(), what }
}

fn kind_of(kind: u8, name: &str) -> Kind {
    match kind {
        // The oldest archives tell a folder by its name.
        0 | b'0' if name.ends_with('/') => Kind::Folder,
        0 | b'0' | b'7' | b'S' => Kind::File,
        b'1' => Kind::HardLink,
        b'2' => Kind::SymLink,
        b'5' | b'D' => Kind::Folder,
        other => Kind::Other(other),
    }
}

/// Numbers in lines, read block by block.
struct Lines {
    buf: [u8; 512],
    at: usize,
    read: u64,
}

impl Lines {
    fn number(&mut self, input: &mut impl Input) -> std::result::Result<u64, &'static str> {
        let mut digits = Vec::with_capacity(MAX_DIGITS);
        loop {
            if self.at == self.buf.len() {
                match input.fill(&mut self.buf) {
                    Ok(512) => (self.at, self.read) = (0, self.read + BLOCK),
                    _ => return Err("the archive ends within it"),
                }
            }
            let byte = self.buf.get(self.at).copied().unwrap_or_default();
            self.at += 1;
            match byte {
                b'\n' if !digits.is_empty() => {
                    return number("", &digits).map_err(|_| "a line is no number of 64 bits");
                }
                b'0'..=b'9' if digits.len() < MAX_DIGITS => digits.push(byte),
                _ => return Err("a line is no number"),
            }
        }
    }
}
