//! Inodes: bytes to checked numbers.

use crate::checksum::checksum;
use crate::error::XfsError;
use crate::layout::{
    DIFLAG_REALTIME, DIFLAG2_BIGTIME, DIFLAG2_NREXT64, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, XFS_DINODE_MAGIC,
    incompat,
};
use crate::volume::Medium;
use driver_core::block::{array as uuid, be16, be32, be64, byte, le32, put};
use format_core::Result;
use std::time::Duration;

const CRC: usize = 100;
/// Bytes in front of the data fork, in versions 1 and 2, and in version 3.
const CORE_LEN: [usize; 2] = [100, 176];
/// Seconds before 1970 at which the count of nanoseconds begins.
const BIGTIME_EPOCH: u64 = 1 << 31;

/// How the data fork is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// In the inode.
    Local,
    /// Extents in the inode.
    Extents,
    /// The root of a tree of extents in the inode.
    Btree,
    /// A device's number.
    Device,
}

impl Format {
    /// The format with that number, where an inode with `mode` may have it.
    fn of(mode: u16, number: u8) -> Option<Self> {
        let format = match number {
            0 => Self::Device,
            1 => Self::Local,
            2 => Self::Extents,
            3 => Self::Btree,
            _ => return None,
        };
        let fits = match mode & S_IFMT {
            S_IFREG => matches!(format, Self::Extents | Self::Btree),
            S_IFDIR => format != Self::Device,
            S_IFLNK => matches!(format, Self::Local | Self::Extents),
            // A free inode.
            0 => false,
            _ => format == Self::Device,
        };
        fits.then_some(format)
    }
}

/// One inode in use.
pub(crate) struct Inode {
    pub(crate) ino: u64,
    /// The byte on the volume where it begins.
    pub(crate) offset: u64,
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
    pub(crate) format: Format,
    pub(crate) extent_count: u64,
    raw: Vec<u8>,
    fork_len: usize,
}

impl Inode {
    pub(crate) fn load(medium: &Medium, ino: u64) -> Result<Self> {
        let sb = &medium.sb;
        let Some((.., offset)) = sb.inode_place(ino) else {
            return Err(XfsError::Structure(format!("inode {ino:#x} lies outside the file system")).into());
        };
        let raw = medium.volume.read(offset, sb.inode_size as usize)?;
        let wrong = |field, value: u64, possible: &str| XfsError::Field {
            what: format!("inode {ino:#x} at {offset:#x}"),
            field,
            value,
            possible: possible.into(),
        };
        if be16(&raw, 0) != XFS_DINODE_MAGIC {
            return Err(wrong("di_magic", be16(&raw, 0).into(), "0x494e").into());
        }
        let version = byte(&raw, 4);
        if sb.is_v5() {
            Self::check_stamp(medium, &raw, ino)?;
        }
        if (sb.is_v5() && version != 3) || (!sb.is_v5() && !matches!(version, 1 | 2)) {
            return Err(wrong("di_version", version.into(), if sb.is_v5() { "3" } else { "1, 2" }).into());
        }
        let core = CORE_LEN[sb.generation()];
        let fork_offset = usize::from(byte(&raw, 82)) * 8;
        let room = raw.len() - core;
        if fork_offset >= room {
            return Err(wrong("di_forkoff", fork_offset as u64 / 8, "inside the inode").into());
        }
        let mode = be16(&raw, 2);
        let format = Format::of(mode, byte(&raw, 5))
            .ok_or_else(|| wrong("di_format", byte(&raw, 5).into(), &format!("one for mode {mode:#o}")))?;
        let wide = sb.has_incompat(incompat::NREXT64) && be64(&raw, 120) & DIFLAG2_NREXT64 != 0;
        let size = be64(&raw, 56);
        if size > i64::MAX as u64 {
            return Err(wrong("di_size", size, "up to 0x7fffffffffffffff").into());
        }
        let inode = Self {
            ino,
            offset,
            mode,
            uid: be32(&raw, 8),
            gid: be32(&raw, 12),
            size,
            format,
            extent_count: if wide { be64(&raw, 24) } else { be32(&raw, 76).into() },
            fork_len: if fork_offset == 0 { room } else { fork_offset },
            raw,
        };
        if format == Format::Local && size > inode.fork_len as u64 {
            return Err(wrong("di_size", size, "what the inode holds").into());
        }
        Ok(inode)
    }

    fn check_stamp(medium: &Medium, raw: &[u8], ino: u64) -> Result<(), XfsError> {
        let (stored, computed) = (le32(raw, CRC), checksum(raw, CRC));
        if stored != computed {
            return Err(XfsError::Checksum { what: format!("inode {ino:#x}"), stored, computed });
        }
        let own = be64(raw, 152);
        if own != ino {
            let possible = format!("{ino:#x}");
            return Err(XfsError::Field {
                what: format!("inode {ino:#x}"),
                field: "di_ino",
                value: own,
                possible,
            });
        }
        match uuid(raw, 160) == medium.sb.meta_uuid {
            true => Ok(()),
            false => Err(XfsError::Structure(format!("inode {ino:#x} belongs to another file system"))),
        }
    }

    pub(crate) fn is(&self, kind: u16) -> bool {
        self.mode & S_IFMT == kind
    }

    pub(crate) fn is_realtime(&self) -> bool {
        be16(&self.raw, 90) & DIFLAG_REALTIME != 0
    }

    /// The data fork.
    pub(crate) fn fork(&self) -> &[u8] {
        let core = self.raw.len().min(if byte(&self.raw, 4) == 3 { CORE_LEN[1] } else { CORE_LEN[0] });
        self.raw.get(core..core + self.fork_len).unwrap_or_default()
    }

    /// The bytes of the inode after its content was changed at `now` (since 1970) and has `size` bytes.
    pub(crate) fn changed(&self, size: u64, now: Duration) -> Vec<u8> {
        let mut raw = self.raw.clone();
        put(&mut raw, 56, &size.to_be_bytes());
        let is_v3 = byte(&raw, 4) == 3;
        let time = if is_v3 && be64(&raw, 120) & DIFLAG2_BIGTIME != 0 {
            let since = now.saturating_add(Duration::from_secs(BIGTIME_EPOCH));
            u64::try_from(since.as_nanos()).unwrap_or(u64::MAX).to_be_bytes()
        } else {
            let seconds = u32::try_from(now.as_secs().min(i32::MAX as u64)).unwrap_or_default();
            (u64::from(seconds) << 32 | u64::from(now.subsec_nanos())).to_be_bytes()
        };
        // di_mtime, di_ctime
        put(&mut raw, 40, &time);
        put(&mut raw, 48, &time);
        if is_v3 {
            let count = be64(&raw, 104).wrapping_add(1);
            put(&mut raw, 104, &count.to_be_bytes());
            let crc = checksum(&raw, CRC);
            put(&mut raw, CRC, &crc.to_le_bytes());
        }
        raw
    }
}
