//! From member to member: blocks, checksums, and what else there is.

use crate::error::XvaError;
use crate::ova::Ova;
use crate::sequence::Sequence;
use crate::tape::Tape;
use crate::tar::{Kind, Member, OVA, SECTOR};
use format_core::{Error, Result};

/// The longest `ova.xml` that is read.
const MAX_OVA: u64 = 16 << 20;
/// The longest header that says more about a member.
const MAX_PAX: u64 = 64 << 10;
/// The table of checksums of old exports.
const TABLE: &str = "checksum.xml";

/// A checksum of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SumKind {
    Sha1,
    Xxh64,
}

/// A member that means something. Its content is read with [`Walk::read`], or passed over by the next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// A block of a disk, by its index in [`Ova::disks`].
    Block { disk: usize, number: u64, len: u64, offset: u64, host: u64 },
    /// The checksum of the block before it.
    Sum { disk: usize, number: u64, kind: SumKind, len: u64 },
    /// The table of checksums.
    Table { len: u64 },
    /// A file that is not of the format.
    Other { name: String },
}

/// An archive on the way.
pub(crate) struct Walk<T> {
    pub(crate) tape: T,
    pub(crate) ova: Ova,
    /// `ova.xml` as it is.
    pub(crate) text: Vec<u8>,
    pub(crate) sequence: Sequence,
    /// Of the content of the current member.
    left: u64,
    padding: u64,
    /// The disk of the last block.
    last: usize,
}

impl<T: Tape> Walk<T> {
    /// Reads the description of the machine at the start of `tape`.
    pub(crate) fn new(mut tape: T) -> Result<Self> {
        let len = loop {
            match header(&mut tape)? {
                Some(Member { name, kind: Kind::File, len }) if name == OVA => break len,
                Some(Member { kind: Kind::File, name: found, .. }) => {
                    return Err(XvaError::NoOva { found }.into());
                }
                Some(Member { kind: Kind::Pax, len, .. }) => pax(&mut tape, len)?,
                Some(Member { kind: Kind::Folder, len, .. }) => tape.skip(padded(len), "a folder")?,
                None => return Err(XvaError::NoOva { found: String::new() }.into()),
            }
        };
        if len > MAX_OVA {
            return Err(XvaError::TooLong { what: OVA, len, most: MAX_OVA }.into());
        }
        let mut text = vec![0; len as usize];
        tape.fill_with(&mut text, OVA)?;
        tape.skip(padded(len) - len, OVA)?;
        let decoded = String::from_utf8_lossy(&text);
        let ova = Ova::parse(decoded.trim_start_matches('\u{feff}'))?;
        let sequence = Sequence::new(&ova);
        Ok(Self { tape, ova, text, sequence, left: 0, padding: 0, last: 0 })
    }

    /// The next member; `None` behind the last, when all disks are whole.
    pub(crate) fn next(&mut self) -> Result<Option<Item>> {
        loop {
            self.pass("a member")?;
            let start = self.tape.at();
            let at = |e: XvaError| Error::from(e).at(start);
            let Some(member) = header(&mut self.tape).map_err(|e| e.at(start))? else {
                self.sequence.finish(&self.ova, start).map_err(at)?;
                return Ok(None);
            };
            (self.left, self.padding) = (member.len, padded(member.len) - member.len);
            match member.kind {
                Kind::Folder => continue,
                Kind::Pax => {
                    (self.left, self.padding) = (0, 0);
                    pax(&mut self.tape, member.len).map_err(|e| e.at(start))?;
                    continue;
                }
                Kind::File => {}
            }
            return self.item(member).map(Some).map_err(at);
        }
    }

    fn item(&mut self, member: Member) -> Result<Item, XvaError> {
        let Member { name, len, .. } = member;
        let Some((folder, file)) = name.split_once('/') else {
            return Ok(if name == TABLE { Item::Table { len } } else { Item::Other { name } });
        };
        let (stem, kind) = match file.split_once('.') {
            None => (file, None),
            Some((stem, "checksum")) => (stem, Some(SumKind::Sha1)),
            Some((stem, "xxhash")) => (stem, Some(SumKind::Xxh64)),
            Some(_) => return Ok(Item::Other { name }),
        };
        let is_number = (1..=12).contains(&stem.len()) && stem.bytes().all(|byte| byte.is_ascii_digit());
        let Some(number) = stem.parse::<u64>().ok().filter(|_| is_number) else {
            return Ok(Item::Other { name });
        };
        let disk = self.disk(folder)?;
        match kind {
            Some(kind) => {
                self.sequence.sum(&self.ova, disk, number)?;
                Ok(Item::Sum { disk, number, kind, len })
            }
            None => {
                let offset = self.sequence.block(&self.ova, disk, number, len)?;
                Ok(Item::Block { disk, number, len, offset, host: self.tape.at() })
            }
        }
    }

    fn disk(&mut self, folder: &str) -> Result<usize, XvaError> {
        let is_it = |disk: &crate::ova::Vdi| disk.reference == folder;
        if !self.ova.disks.get(self.last).is_some_and(is_it) {
            let found = self.ova.disks.iter().position(is_it);
            self.last =
                found.ok_or_else(|| XvaError::UnknownDisk { name: folder.chars().take(80).collect() })?;
        }
        Ok(self.last)
    }

    /// How much of the current member's content was not read yet.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// Fills `buf` from the current member's content, which has that much left.
    pub(crate) fn read(&mut self, buf: &mut [u8]) -> Result<()> {
        let Some(left) = self.left.checked_sub(buf.len() as u64) else {
            return Err(Error::contract(format!("{} bytes of a member that has {}", buf.len(), self.left)));
        };
        self.tape.fill_with(buf, "a block")?;
        self.left = left;
        Ok(())
    }

    /// Passes over what is left of the current member.
    fn pass(&mut self, what: &'static str) -> Result<()> {
        let len = self.left.saturating_add(self.padding);
        (self.left, self.padding) = (0, 0);
        if len > 0 { self.tape.skip(len, what) } else { Ok(()) }
    }
}

/// Bytes of whole sectors. Lengths have less than 57 bits.
fn padded(len: u64) -> u64 {
    len.next_multiple_of(SECTOR as u64)
}

/// The next header; `None` at the mark of the end, and where the file ends instead.
fn header(tape: &mut impl Tape) -> Result<Option<Member>> {
    let (start, mut bytes) = (tape.at(), [0; SECTOR]);
    match tape.fill(&mut bytes)? {
        0 => Ok(None),
        SECTOR => Ok(Member::parse(&bytes)?),
        _ => {
            let (need, end) = (SECTOR as u64, tape.at());
            Err(Error::from(XvaError::Cut { what: "a tar header", need, end }).at(start))
        }
    }
}

/// Reads a header that says more about a member: times are welcome, another name or size is not.
fn pax(tape: &mut impl Tape, len: u64) -> Result<()> {
    if len > MAX_PAX {
        return Err(XvaError::TooLong { what: "a pax header", len, most: MAX_PAX }.into());
    }
    let mut text = vec![0; padded(len) as usize];
    tape.fill_with(&mut text, "a pax header")?;
    let text = String::from_utf8_lossy(&text);
    let says = |key: &str| {
        text.lines().any(|line| line.split_once(' ').is_some_and(|(_, rest)| rest.starts_with(key)))
    };
    if says("path=") || says("size=") || says("GNU.sparse") {
        return Err(XvaError::Pax.into());
    }
    Ok(())
}
