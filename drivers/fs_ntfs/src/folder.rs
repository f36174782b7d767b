//! Names in a folder.

use crate::bytes::{u32_at, u64_at, units_at};
use crate::error::NtfsError;
use crate::index::{Entry, Index, Step};
use crate::inode::Inode;
use crate::layout::{ATTR_FOLDER, ATTR_REPARSE, DOS_ONLY, FILE_NAME, FIRST_USER, ROOT, number_of, units};
use crate::mft::Reader;
use format_core::Result;
use std::cmp::Ordering;

/// Names in one folder at most.
const MAX_NAMES: usize = 1 << 20;

/// One name of a file or folder.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    pub(crate) reference: u64,
    pub(crate) name: Vec<u16>,
    /// 0 POSIX, 1 Windows, 2 DOS, 3 both.
    space: u8,
    attributes: u32,
    /// The reparse tag, where the attributes say that there is one.
    tag: u32,
}

impl Name {
    /// The name in an entry of a folder's index.
    fn of(entry: &Entry) -> Result<Self, String> {
        let key = entry.key.as_deref().unwrap_or_default();
        let len = usize::from(key.get(0x40).copied().unwrap_or_default());
        let name = units_at(key, 0x42, len).filter(|_| len > 0);
        Ok(Self {
            reference: entry.reference,
            name: name.ok_or_else(|| format!("a name of {len} characters in {} bytes", key.len()))?,
            space: key.get(0x41).copied().unwrap_or_default(),
            attributes: u32_at(key, 0x38).unwrap_or_default(),
            tag: u32_at(key, 0x3c).unwrap_or_default(),
        })
    }

    pub(crate) fn is_folder(&self) -> bool {
        self.attributes & ATTR_FOLDER != 0
    }

    /// The tag of the reparse point, by the folder's copy of the attributes.
    pub(crate) fn tag(&self) -> Option<u32> {
        (self.attributes & ATTR_REPARSE != 0).then_some(self.tag)
    }

    /// Whether it names one of the volume's own files, which nobody sees.
    fn is_own(&self) -> bool {
        number_of(self.reference) < FIRST_USER
    }
}

fn names_of<'a>(reader: &'a Reader, folder: &'a Inode) -> Result<Index<'a>> {
    let name = units("$I30");
    let index = Index::open(reader, folder, &name)?
        .filter(|_| matches!(Index::head(folder, &name), Some((FILE_NAME, 1, _))));
    let what = || format!("record {:#x} has no index of names", number_of(folder.reference));
    index.ok_or_else(|| Reader::broken(what()))
}

/// The names in a folder, without short twins and the volume's own files.
pub(crate) fn list(reader: &Reader, folder: &Inode) -> Result<Vec<Name>> {
    let (mut names, mut broken) = (Vec::new(), None);
    names_of(reader, folder)?.walk(|entry| {
        match Name::of(entry) {
            Ok(name) if name.space != DOS_ONLY && !name.is_own() => names.push(name),
            Ok(_) => {}
            Err(what) => broken = Some(what),
        }
        broken.is_none() && names.len() <= MAX_NAMES
    })?;
    if let Some(what) = broken {
        return Err(Reader::broken(what));
    }
    if names.len() > MAX_NAMES {
        return Err(NtfsError::Limit { what: "a folder", limit: MAX_NAMES as u64, of: "names" }.into());
    }
    Ok(names)
}

/// The entry of a folder that a name leads to, as Windows looks it up: without regard to case, short names too. Where
/// there are several that differ in case only, the exact one is taken before the first.
pub(crate) fn find(reader: &Reader, folder: &Inode, wanted: &[u16]) -> Result<Option<Name>> {
    Ok(find_any(reader, folder, wanted)?.filter(|name| !name.is_own()))
}

/// The same, and the volume's own files are found too.
pub(crate) fn find_any(reader: &Reader, folder: &Inode, wanted: &[u16]) -> Result<Option<Name>> {
    let (mut found, mut broken): (Option<Name>, _) = (None, None);
    // The neighbours of a name are met on the way down to its place, so any that differs in case only is among them.
    names_of(reader, folder)?.seek(|entry| {
        let name = match Name::of(entry) {
            Ok(name) => name,
            Err(what) => {
                broken = Some(what);
                return Step::Stop;
            }
        };
        let order = reader.upcase.order(wanted, &name.name);
        if order == Ordering::Equal || (found.is_none() && reader.upcase.same(wanted, &name.name)) {
            found = Some(name);
        }
        match order {
            Ordering::Equal => Step::Stop,
            Ordering::Less => Step::Down,
            Ordering::Greater => Step::On,
        }
    })?;
    match broken {
        Some(what) => Err(Reader::broken(what)),
        None => Ok(found),
    }
}

/// The long name that goes with a short one: what an edit has to name.
pub(crate) fn long_name(reader: &Reader, folder: &Inode, name: &Name) -> Result<Name> {
    if name.space != DOS_ONLY {
        return Ok(name.clone());
    }
    let twin = list(reader, folder)?.into_iter().find(|other| other.reference == name.reference);
    twin.ok_or_else(|| Reader::broken("a short name has no long one"))
}

/// Whether the record holds a name in `folder`: what an entry of the folder must agree with.
pub(crate) fn is_named_in(inode: &Inode, folder: u64) -> bool {
    let mut names = inode.attributes.iter().filter(|attribute| attribute.kind == FILE_NAME);
    names.any(|name| {
        let parent = name.resident().and_then(|raw| u64_at(raw, 0));
        parent.is_some_and(|parent| number_of(parent) == number_of(folder))
    }) || number_of(inode.reference) == ROOT
}
