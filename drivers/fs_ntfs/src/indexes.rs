//! Indexes as an edit needs them: every node whole, with keys and data of the length that the kind of index has. The library
//! copies and compares them by lengths that it takes for granted.

use crate::error::NtfsError;
use crate::index::{Entry, Index};
use crate::inode::Inode;
use crate::layout::{FILE_NAME, INDEX_ROOT, number_of};
use crate::mft::Reader;
use format_core::Result;

/// Lengths of key and data.
type Lengths = (usize, usize);

/// What an index of a name has: the attribute it is of, its rule of order, and the lengths of key and data; the data of an
/// index of names is its reference.
const KINDS: [(&str, u32, u32, Option<Lengths>); 6] = [
    ("$I30", FILE_NAME, 0x01, None),
    ("$SII", 0, 0x10, Some((4, 20))),
    ("$SDH", 0, 0x12, Some((8, 20))),
    ("$R", 0, 0x13, Some((12, 0))),
    ("$O", 0, 0x13, Some((16, 56))),
    // Quotas are never edited.
    ("$Q", 0, 0x10, Some((4, 0))),
];

/// Walks every index of a file.
///
/// # Errors
/// `NeedsPerson` for one that is not as its kind has to be, `Corrupt` for one that is broken.
pub(crate) fn check_indexes(reader: &Reader, inode: &Inode) -> Result<()> {
    let record = number_of(inode.reference);
    for root in inode.attributes.iter().filter(|attribute| attribute.kind == INDEX_ROOT) {
        let name = String::from_utf16_lossy(&root.name);
        let refuse =
            |what: &str| NtfsError::Damaged(format!("the index {name} of record {record:#x} has {what}"));
        let kind = KINDS.iter().find(|kind| kind.0 == name);
        let Some(&(_, of, rule, lengths)) = kind else { continue };
        let size = u32::try_from(reader.boot.index_block).unwrap_or_default();
        // The object identifiers and quotas have an index of one name, with other keys.
        let keys_differ =
            name == "$O" && Index::head(inode, &root.name).is_some_and(|(_, rule, _)| rule == 0x11);
        if !keys_differ && Index::head(inode, &root.name) != Some((of, rule, size)) {
            return Err(refuse("another order or size of blocks than it must have").into());
        }
        let Some(index) = Index::open(reader, inode, &root.name)? else { continue };
        let mut fit = true;
        index.walk(|entry| {
            fit = keys_differ || name == "$Q" || entry_fits(entry, lengths);
            fit
        })?;
        if !fit {
            return Err(refuse("an entry of another length than it must have").into());
        }
    }
    Ok(())
}

fn entry_fits(entry: &Entry, lengths: Option<Lengths>) -> bool {
    let key = entry.key.as_deref().unwrap_or_default();
    let Some((key_len, data_len)) = lengths else {
        let name = key.get(0x40).map_or(0, |len| usize::from(*len));
        return name > 0 && key.len() == 0x42 + 2 * name;
    };
    let (data_at, found_len) = (entry.reference as u16 as usize, (entry.reference >> 16) as u16 as usize);
    let data_fits = data_len == 0
        || (found_len == data_len && data_at >= 16 + key_len && data_at + data_len <= entry.len);
    key.len() == key_len && data_fits
}
