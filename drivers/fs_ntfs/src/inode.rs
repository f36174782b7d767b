//! A file or folder: the attributes of all its records, with the pieces of each put together.

use crate::bytes::u32_at;
use crate::layout::{ATTR_READONLY, ATTRIBUTE_LIST, DATA, STANDARD_INFORMATION};
use crate::record::{Attribute, Body, Record};
use crate::runs::MAX_RUNS;

/// A file or folder.
#[derive(Clone, Debug)]
pub(crate) struct Inode {
    pub(crate) reference: u64,
    pub(crate) links: u16,
    pub(crate) is_folder: bool,
    /// Numbers of its records, the base first.
    pub(crate) records: Vec<u64>,
    pub(crate) attributes: Vec<Attribute>,
}

impl Inode {
    pub(crate) fn of(base: &Record) -> Self {
        Self {
            reference: base.reference(),
            links: base.links,
            is_folder: base.is_folder(),
            records: vec![base.number],
            attributes: base.attributes.clone(),
        }
    }

    /// Adds what a record that extends this one holds.
    pub(crate) fn add(&mut self, record: &Record) {
        self.records.push(record.number);
        self.attributes.extend(record.attributes.iter().cloned());
    }

    /// Makes one attribute of the pieces of each.
    ///
    /// # Errors
    /// What does not fit together.
    pub(crate) fn join(&mut self) -> Result<(), String> {
        let place = |attribute: &Attribute| match &attribute.body {
            Body::Mapped(mapping) => mapping.first,
            Body::Resident(_) => 0,
        };
        let mut pieces = std::mem::take(&mut self.attributes);
        pieces.sort_by(|a, b| (a.kind, &a.name, place(a)).cmp(&(b.kind, &b.name, place(b))));
        for piece in pieces {
            let last = self.attributes.last_mut().filter(|last| last.is(piece.kind, &piece.name));
            let next = match &piece.body {
                Body::Mapped(mapping) => mapping.first,
                Body::Resident(_) => 0,
            };
            match (last.map(|last| &mut last.body), piece.body) {
                (Some(Body::Mapped(whole)), Body::Mapped(more)) if next > 0 => {
                    if more.first != whole.end {
                        return Err(format!(
                            "a piece of it starts at cluster {:#x}, not {:#x}",
                            more.first, whole.end
                        ));
                    }
                    if whole.runs.len() + more.runs.len() > MAX_RUNS {
                        return Err(format!("it has more than {MAX_RUNS:#x} runs"));
                    }
                    whole.runs.extend(more.runs);
                    whole.end = more.end;
                }
                (_, Body::Mapped(more)) if more.first > 0 => {
                    return Err(format!("its attribute {:#x} has no start", piece.kind));
                }
                (Some(_), _) if !repeats(piece.kind) => {
                    return Err(format!("it has two attributes {:#x} of one name", piece.kind));
                }
                (_, body) => self.attributes.push(Attribute { body, ..piece }),
            }
        }
        Ok(())
    }

    /// The attribute of a kind and name.
    pub(crate) fn stream(&self, kind: u32, name: &[u16]) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.is(kind, name))
    }

    /// The content of a file.
    pub(crate) fn data(&self) -> Option<&Attribute> {
        self.stream(DATA, &[])
    }

    /// The file attributes (`FILE_ATTRIBUTE_*`).
    pub(crate) fn file_attributes(&self) -> u32 {
        let found = self.stream(STANDARD_INFORMATION, &[]).and_then(Attribute::resident);
        found.and_then(|raw| u32_at(raw, 32)).unwrap_or_default()
    }

    /// Permission bits that come nearest: NTFS has none.
    pub(crate) fn mode(&self) -> u32 {
        match (self.is_folder, self.file_attributes() & ATTR_READONLY != 0) {
            (true, _) => 0o755,
            (false, true) => 0o444,
            (false, false) => 0o644,
        }
    }
}

/// Attributes of which a file has several without names of their own: its names, and index entries' lists.
fn repeats(kind: u32) -> bool {
    kind == crate::layout::FILE_NAME || kind == ATTRIBUTE_LIST
}
