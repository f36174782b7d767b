//! Reparse points: links, and content that is kept elsewhere ([MS-FSCC] section 2.1.2).

use crate::bytes::{part, u16_at, u32_at, units_at};
use crate::inode::Inode;
use crate::layout::REPARSE_POINT;
use crate::mft::Reader;
use driver_core::FileKind;
use format_core::Result;

pub(crate) const MOUNT_POINT: u32 = 0xa000_0003;
pub(crate) const SYMLINK: u32 = 0xa000_000c;
pub(crate) const LX_SYMLINK: u32 = 0xa000_001d;
pub(crate) const WOF: u32 = 0x8000_0017;
/// Bit of tags that stand for another file or folder.
const SURROGATE: u32 = 0x2000_0000;
/// Bit of Microsoft's tags; others have a GUID before their data.
const MICROSOFT: u32 = 0x8000_0000;
/// Low bits of the tags of OneDrive and its like: the version stands in bits 12 to 15.
const CLOUD: u32 = 0x9000_001a;
/// [MS-FSCC]: 16 KiB of data at most.
const MAX_LEN: u64 = 16 << 10;

/// A reparse point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reparse {
    pub(crate) tag: u32,
    pub(crate) data: Vec<u8>,
}

impl Reparse {
    pub(crate) fn of(reader: &Reader, inode: &Inode) -> Result<Option<Self>> {
        let Some(attribute) = inode.stream(REPARSE_POINT, &[]) else { return Ok(None) };
        let raw = reader.whole(attribute, MAX_LEN + 8)?;
        let tag = u32_at(&raw, 0).unwrap_or_default();
        let len = usize::from(u16_at(&raw, 4).unwrap_or_default());
        let start = if tag & MICROSOFT != 0 { 8 } else { 24 };
        let data = part(&raw, start, len).filter(|_| raw.len() >= 8);
        let data = data.ok_or_else(|| {
            Reader::broken(format!("a reparse point of {len:#x} bytes in {:#x}", raw.len()))
        })?;
        Ok(Some(Self { tag, data: data.to_vec() }))
    }

    /// Where a link points, as it says.
    pub(crate) fn link(&self) -> Option<Link> {
        match self.tag {
            MOUNT_POINT => Some(Link::Absolute(self.names(8)?)),
            SYMLINK if u32_at(&self.data, 8)? & 1 != 0 => Some(Link::Relative(self.names(12)?)),
            SYMLINK => Some(Link::Absolute(self.names(12)?)),
            LX_SYMLINK => Some(Link::Linux(String::from_utf8(self.data.get(4..)?.to_vec()).ok()?)),
            _ => None,
        }
    }

    /// The substitute name; the names lie from byte `start` of the data.
    fn names(&self, start: usize) -> Option<String> {
        let (at, len) = (usize::from(u16_at(&self.data, 0)?), usize::from(u16_at(&self.data, 2)?));
        String::from_utf16(&units_at(&self.data, start + at, len / 2)?).ok()
    }
}

/// Where a link points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// A name of the object manager: `\??\C:\Users`, `\??\Volume{…}\`.
    Absolute(String),
    /// A path from the link's folder, or with `\` from the root.
    Relative(String),
    /// A path as Linux has it (WSL).
    Linux(String),
}

impl Link {
    /// The target as a path of this file system, where `drive` is its letter; `None` when it lies elsewhere.
    pub(crate) fn within(&self, drive: Option<char>) -> Option<String> {
        match self {
            Self::Linux(path) => Some(path.clone()),
            Self::Relative(path) => Some(path.replace('\\', "/")),
            Self::Absolute(path) => {
                let inner = path.strip_prefix(r"\??\").or_else(|| path.strip_prefix(r"\\?\")).unwrap_or(path);
                let mut letters = inner.chars();
                let letter = letters.next()?;
                let rest = letters.as_str().strip_prefix(':')?;
                let here = drive.is_some_and(|drive| drive.eq_ignore_ascii_case(&letter));
                let inside = rest.is_empty() || rest.starts_with('\\');
                (here && inside).then(|| format!("/{}", rest.replace('\\', "/").trim_matches('/')))
            }
        }
    }

    /// The target for people, when it lies elsewhere.
    pub(crate) fn shown(&self) -> String {
        let (Self::Absolute(text) | Self::Relative(text) | Self::Linux(text)) = self;
        // Not like a path of this file system, so that nobody takes it for one.
        text.trim_start_matches(r"\??\").replace('\\', "/").trim_start_matches('/').to_owned()
    }
}

/// What a path with this tag is; `is_folder` says what it would be without.
pub(crate) fn kind(tag: Option<u32>, is_folder: bool) -> FileKind {
    match tag {
        Some(MOUNT_POINT | SYMLINK | LX_SYMLINK) => FileKind::Link,
        Some(tag) if tag & SURROGATE != 0 => FileKind::Other,
        _ if is_folder => FileKind::Folder,
        // Sockets, pipes and devices of WSL.
        Some(0x8000_0023..=0x8000_0026) => FileKind::Other,
        _ => FileKind::File,
    }
}

/// Who keeps the content of files with this tag, for a sentence.
pub(crate) fn keeper(tag: u32) -> &'static str {
    match tag {
        0x8000_0013 => "data deduplication",
        0x8000_0008 | 0x8000_0014 => "a single-instance or network store",
        0xc000_0004 | 0x8000_0006 => "hierarchical storage",
        0x8000_0018 | 0x9000_1018 => "a container image",
        0x8000_001b => "an installed app",
        0x9000_001c => "a projected file system",
        _ if tag & 0xffff_0fff == CLOUD => "OneDrive or another cloud",
        _ => "a filter that is not known here",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(tag: u32, target: &str, flags: Option<u32>) -> Reparse {
        let mut data = vec![0; 8];
        data.extend(flags.into_iter().flat_map(u32::to_le_bytes));
        let units: Vec<u8> = target.encode_utf16().flat_map(u16::to_le_bytes).collect();
        data[2..4].copy_from_slice(&(units.len() as u16).to_le_bytes());
        data.extend(units);
        Reparse { tag, data }
    }

    #[test]
    fn targets() {
        let here = |reparse: &Reparse, drive| reparse.link().unwrap().within(drive);
        let junction = names(MOUNT_POINT, r"\??\C:\Users\", None);
        assert_eq!(here(&junction, Some('c')).unwrap(), "/Users");
        assert_eq!(here(&junction, Some('D')), None);
        assert_eq!(here(&junction, None), None);
        assert_eq!(junction.link().unwrap().shown(), "C:/Users/");
        let volume = names(MOUNT_POINT, r"\??\Volume{1234}\", None);
        assert_eq!(here(&volume, Some('C')), None);
        assert_eq!(here(&names(SYMLINK, r"..\x\y", Some(1)), None).unwrap(), "../x/y");
        assert_eq!(here(&names(SYMLINK, r"\x", Some(1)), None).unwrap(), "/x");
        assert_eq!(here(&names(SYMLINK, r"\??\c:\x", Some(0)), Some('C')).unwrap(), "/x");
        assert_eq!(here(&names(SYMLINK, r"\??\UNC\server\share", Some(0)), Some('C')), None);
        let linux = Reparse { tag: LX_SYMLINK, data: b"\x02\0\0\0../a".to_vec() };
        assert_eq!(here(&linux, None).unwrap(), "../a");
        let cut = Reparse { tag: SYMLINK, data: vec![0xff; 12] };
        assert_eq!(cut.link(), None);
    }
}
