//! The security descriptor of something new, computed from its folder's as Windows does ([MS-DTYP] section 2.5.3.4).
//!
//! Owner and group are those of what the system itself creates: Administrators and SYSTEM. The lists of access entries
//! what the folder hands down; what is private has a protected list of its own instead.

use crate::bytes::{part, u16_at, u32_at};

/// Flags of an entry.
const OBJECT_INHERIT: u8 = 0x01;
const CONTAINER_INHERIT: u8 = 0x02;
const NO_PROPAGATE: u8 = 0x04;
const INHERIT_ONLY: u8 = 0x08;
const INHERITED: u8 = 0x10;
const HANDED_DOWN: u8 = OBJECT_INHERIT | CONTAINER_INHERIT | NO_PROPAGATE | INHERIT_ONLY | INHERITED;

/// Control bits.
const DACL_PRESENT: u16 = 0x0004;
const SACL_PRESENT: u16 = 0x0010;
const DACL_AUTO_INHERITED: u16 = 0x0400;
const SACL_AUTO_INHERITED: u16 = 0x0800;
/// Nothing is handed down into this list, also when the folder's changes later.
const DACL_PROTECTED: u16 = 0x1000;
const SELF_RELATIVE: u16 = 0x8000;

/// S-1-5-32-544
const ADMINISTRATORS: &[u8] = &[1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0];
/// S-1-5-18
const SYSTEM: &[u8] = &[1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0];
/// S-1-3-0 and S-1-3-1: who creates, and the group of who creates.
const CREATOR_OWNER: &[u8] = &[1, 1, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0];
const CREATOR_GROUP: &[u8] = &[1, 1, 0, 0, 0, 0, 0, 3, 1, 0, 0, 0];

const FILE_ALL_ACCESS: u32 = 0x001f_01ff;
/// Generic rights, and what they are for files.
const GENERIC: [(u32, u32); 4] = [
    (0x8000_0000, 0x0012_0089),
    (0x4000_0000, 0x0012_0116),
    (0x2000_0000, 0x0012_00a0),
    (0x1000_0000, FILE_ALL_ACCESS),
];

/// One entry of a list.
struct Entry<'a> {
    kind: u8,
    flags: u8,
    mask: u32,
    /// What follows the mask: a SID, in most kinds.
    rest: &'a [u8],
}

impl Entry<'_> {
    /// Kinds whose mask is followed by a SID: allowed, denied, audit, and those with conditions.
    fn has_sid(&self) -> bool {
        matches!(self.kind, 0 | 1 | 2 | 9 | 10 | 13)
    }

    /// The entry as it applies to the new thing itself.
    fn effective(&self) -> (u32, Vec<u8>) {
        if !self.has_sid() {
            return (self.mask, self.rest.to_vec());
        }
        let rest = match (self.rest.strip_prefix(CREATOR_OWNER), self.rest.strip_prefix(CREATOR_GROUP)) {
            (Some(more), _) => [ADMINISTRATORS, more].concat(),
            (_, Some(more)) => [SYSTEM, more].concat(),
            _ => self.rest.to_vec(),
        };
        let plain = self.mask & !GENERIC.iter().fold(0, |all, (generic, _)| all | generic);
        let mask = GENERIC.iter().filter(|(generic, _)| self.mask & generic != 0);
        (mask.fold(plain, |all, (_, rights)| all | rights), rest)
    }
}

/// Who may use something new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Whom the folder hands it down to.
    Inherited,
    /// SYSTEM and Administrators, and nobody else: `D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)`, for a file without `OICI`.
    Private,
}

/// Full access for SYSTEM and Administrators.
fn system_only(flags: u8) -> Option<Vec<u8>> {
    let entries = [SYSTEM, ADMINISTRATORS].map(|sid| ace(0, flags, FILE_ALL_ACCESS, sid));
    acl(2, &entries)
}

/// The descriptor of a new file, or folder, in a folder with the descriptor `parent`; `None` when that is none.
pub(crate) fn new(parent: &[u8], is_folder: bool, access: Access) -> Option<Vec<u8>> {
    if parent.first() != Some(&1) || parent.len() < 20 {
        return None;
    }
    let control = u16_at(parent, 2)?;
    let list = |at, bit| match u32_at(parent, at) {
        Some(offset) if control & bit != 0 && offset != 0 => {
            hand_down(parent.get(offset as usize..)?, is_folder)
        }
        _ => Some(None),
    };
    let (sacl, dacl) = (list(12, SACL_PRESENT)?, list(16, DACL_PRESENT)?);
    let mut control = SELF_RELATIVE | DACL_PRESENT;
    let dacl = match (access, dacl) {
        (Access::Private, _) => {
            control |= DACL_PROTECTED;
            system_only(if is_folder { OBJECT_INHERIT | CONTAINER_INHERIT } else { 0 })?
        }
        (Access::Inherited, Some(dacl)) => {
            control |= DACL_AUTO_INHERITED;
            dacl
        }
        // Nothing is handed down: what the system's own token gives.
        (Access::Inherited, None) => system_only(0)?,
    };
    if sacl.is_some() {
        control |= SACL_PRESENT | SACL_AUTO_INHERITED;
    }
    let sacl = sacl.unwrap_or_default();
    let sacl_at = if sacl.is_empty() { 0 } else { 20 };
    let dacl_at = 20 + sacl.len();
    let owner_at = dacl_at + dacl.len();
    let group_at = owner_at + ADMINISTRATORS.len();
    let mut out = vec![1, 0];
    out.extend(control.to_le_bytes());
    for at in [owner_at, group_at, sacl_at, dacl_at] {
        out.extend(u32::try_from(at).ok()?.to_le_bytes());
    }
    out.extend([&sacl, &dacl, ADMINISTRATORS, SYSTEM].concat());
    Some(out)
}

fn ace(kind: u8, flags: u8, mask: u32, rest: &[u8]) -> Vec<u8> {
    let mut out = vec![kind, flags];
    out.extend((8 + rest.len() as u16).to_le_bytes());
    out.extend(mask.to_le_bytes());
    out.extend(rest);
    out
}

fn acl(revision: u8, entries: &[Vec<u8>]) -> Option<Vec<u8>> {
    let len = 8 + entries.iter().map(Vec::len).sum::<usize>();
    let mut out = vec![revision, 0];
    out.extend(u16::try_from(len).ok()?.to_le_bytes());
    out.extend(u16::try_from(entries.len()).ok()?.to_le_bytes());
    out.extend([0, 0]);
    out.extend(entries.concat());
    Some(out)
}

/// What a list hands down: `Some(None)` when nothing, `None` when it is no list.
fn hand_down(raw: &[u8], is_folder: bool) -> Option<Option<Vec<u8>>> {
    let revision = *raw.first()?;
    let (len, count) = (usize::from(u16_at(raw, 2)?), usize::from(u16_at(raw, 4)?));
    let raw = part(raw, 0, len)?;
    let (mut at, mut entries) = (8, Vec::new());
    for _ in 0..count {
        let len = usize::from(u16_at(raw, at + 2)?);
        let bytes = part(raw, at, len).filter(|_| len >= 8 && len.is_multiple_of(4))?;
        let (kind, flags) = (*bytes.first()?, *bytes.get(1)?);
        let entry = Entry { kind, flags, mask: u32_at(bytes, 4)?, rest: bytes.get(8..)? };
        if is_folder {
            to_folder(&entry, &mut entries)
        } else {
            to_file(&entry, &mut entries)
        };
        at += len;
    }
    if entries.is_empty() { Some(None) } else { acl(revision, &entries).map(Some) }
}

/// Flags that stay whatever is handed down: those of audits.
fn kept(flags: u8) -> u8 {
    flags & !HANDED_DOWN
}

fn to_file(entry: &Entry<'_>, out: &mut Vec<Vec<u8>>) {
    if entry.flags & OBJECT_INHERIT != 0 {
        let (mask, rest) = entry.effective();
        out.push(ace(entry.kind, kept(entry.flags) | INHERITED, mask, &rest));
    }
}

fn to_folder(entry: &Entry<'_>, out: &mut Vec<Vec<u8>>) {
    let goes_on = entry.flags & NO_PROPAGATE == 0;
    let further = entry.flags & (OBJECT_INHERIT | CONTAINER_INHERIT);
    if entry.flags & CONTAINER_INHERIT == 0 {
        if entry.flags & OBJECT_INHERIT != 0 && goes_on {
            let flags = kept(entry.flags) | OBJECT_INHERIT | INHERIT_ONLY | INHERITED;
            out.push(ace(entry.kind, flags, entry.mask, entry.rest));
        }
        return;
    }
    let (mask, rest) = entry.effective();
    let unchanged = mask == entry.mask && rest == entry.rest;
    if goes_on && unchanged {
        out.push(ace(entry.kind, kept(entry.flags) | further | INHERITED, mask, &rest));
        return;
    }
    out.push(ace(entry.kind, kept(entry.flags) | INHERITED, mask, &rest));
    if goes_on {
        let flags = kept(entry.flags) | further | INHERIT_ONLY | INHERITED;
        out.push(ace(entry.kind, flags, entry.mask, entry.rest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S-1-5-32-545
    const USERS: &[u8] = &[1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x21, 2, 0, 0];

    fn parent(entries: &[Vec<u8>]) -> Vec<u8> {
        let dacl = acl(2, entries).unwrap();
        let mut out = vec![1, 0];
        out.extend((SELF_RELATIVE | DACL_PRESENT).to_le_bytes());
        for at in [20 + dacl.len(), 20 + dacl.len(), 0, 20] {
            out.extend((at as u32).to_le_bytes());
        }
        out.extend(dacl);
        out.extend(SYSTEM);
        out
    }

    fn entries(descriptor: &[u8]) -> Vec<(u8, u8, u32, Vec<u8>)> {
        let mut rest = &descriptor[u32_at(descriptor, 16).unwrap() as usize + 8..];
        let count = u16_at(descriptor, u32_at(descriptor, 16).unwrap() as usize + 4).unwrap();
        (0..count)
            .map(|_| {
                let len = usize::from(u16_at(rest, 2).unwrap());
                let entry = (rest[0], rest[1], u32_at(rest, 4).unwrap(), rest[8..len].to_vec());
                rest = &rest[len..];
                entry
            })
            .collect()
    }

    /// The root of a system volume, as Windows makes it, and what it makes in it.
    #[test]
    fn as_windows_hands_down() {
        let root = parent(&[
            ace(0, 3, FILE_ALL_ACCESS, SYSTEM),
            ace(0, 0, 0x1200a9, USERS),
            ace(0, 11, 0x1000_0000, CREATOR_OWNER),
            ace(0, 9, 0xa000_0000, USERS),
            ace(1, 6, 2, USERS),
        ]);
        let file = new(&root, false, Access::Inherited).unwrap();
        assert_eq!(
            entries(&file),
            [
                (0, 16, FILE_ALL_ACCESS, SYSTEM.to_vec()),
                (0, 16, FILE_ALL_ACCESS, ADMINISTRATORS.to_vec()),
                (0, 16, 0x1200a9, USERS.to_vec()),
            ]
        );
        let folder = new(&root, true, Access::Inherited).unwrap();
        assert_eq!(
            entries(&folder),
            [
                (0, 19, FILE_ALL_ACCESS, SYSTEM.to_vec()),
                (0, 16, FILE_ALL_ACCESS, ADMINISTRATORS.to_vec()),
                (0, 27, 0x1000_0000, CREATOR_OWNER.to_vec()),
                (0, 25, 0xa000_0000, USERS.to_vec()),
                (1, 16, 2, USERS.to_vec()),
            ]
        );
        assert_eq!(u16_at(&file, 2), Some(0x8404));
        // What was handed down once is handed down again in the same way.
        assert_eq!(entries(&new(&folder, false, Access::Inherited).unwrap()), entries(&file)[..3]);
    }

    #[test]
    fn nothing_handed_down_is_for_the_system_and_administrators() {
        let file = new(&parent(&[ace(0, 0, 1, USERS)]), false, Access::Inherited).unwrap();
        assert_eq!(
            entries(&file),
            [(0, 0, FILE_ALL_ACCESS, SYSTEM.to_vec()), (0, 0, FILE_ALL_ACCESS, ADMINISTRATORS.to_vec())]
        );
        assert_eq!(u16_at(&file, 2), Some(0x8004));
    }

    #[test]
    fn what_is_private_is_protected_from_what_the_folder_hands_down() {
        let root = parent(&[ace(0, 3, FILE_ALL_ACCESS, SYSTEM), ace(0, 3, 0x1200a9, USERS)]);
        for (is_folder, flags) in [(true, 3), (false, 0)] {
            let made = new(&root, is_folder, Access::Private).unwrap();
            assert_eq!(
                entries(&made),
                [
                    (0, flags, FILE_ALL_ACCESS, SYSTEM.to_vec()),
                    (0, flags, FILE_ALL_ACCESS, ADMINISTRATORS.to_vec()),
                ]
            );
            assert_eq!(u16_at(&made, 2), Some(0x9004));
        }
        // What lies in a private folder is as private.
        let folder = new(&root, true, Access::Private).unwrap();
        let inside = new(&folder, false, Access::Inherited).unwrap();
        assert_eq!(entries(&inside).len(), 2);
        assert!(entries(&inside).iter().all(|entry| entry.3 != USERS));
    }

    #[test]
    fn lies_are_no_descriptors() {
        let good = parent(&[ace(0, 3, 1, SYSTEM)]);
        for len in 0..good.len() - SYSTEM.len() {
            assert_eq!(new(&good[..len], true, Access::Inherited), None, "{len}");
        }
        for (at, value) in [(16, 0xff), (22, 0xff), (24, 9), (30, 0xff), (30, 0), (30, 7)] {
            let mut bad = good.clone();
            bad[at] = value;
            assert_eq!(new(&bad, true, Access::Private), None, "{at}");
        }
    }
}
