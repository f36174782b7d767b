//! The "newc" cpio form: header fields and a deterministic writer.
//!
//! Source: cpio(5), "New ASCII Format", and the kernel's `buffer-format.rst`. A header is a 6-byte magic and 13 fields of 8
//! hexadecimal digits; the NUL-terminated name follows, then the content; both are padded to a multiple of 4.

use crate::error::{Error, Result};

/// Size of a header in bytes.
pub const HEADER_SIZE: usize = 110;
/// Name of the entry that ends an archive.
pub const TRAILER: &str = "TRAILER!!!";
/// Longest name including its NUL (the kernel's `PATH_MAX`).
pub const NAME_MAX: u32 = 4096;
/// File type bits of `c_mode`.
pub const S_IFMT: u32 = 0o170_000;
/// Directory.
pub const S_IFDIR: u32 = 0o040_000;
/// Regular file.
pub const S_IFREG: u32 = 0o100_000;
/// Symbolic link.
pub const S_IFLNK: u32 = 0o120_000;

/// Fields of a header, in the order of cpio(5) after the magic.
const FIELDS: [&str; 13] = [
    "c_ino",
    "c_mode",
    "c_uid",
    "c_gid",
    "c_nlink",
    "c_mtime",
    "c_filesize",
    "c_devmajor",
    "c_devminor",
    "c_rdevmajor",
    "c_rdevminor",
    "c_namesize",
    "c_check",
];

/// A parsed header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Inode number; with `c_nlink` above 1 it ties hard links of one archive together.
    pub ino: u32,
    /// File type and permissions.
    pub mode: u32,
    /// Number of links.
    pub nlink: u32,
    /// Modification time, seconds since 1970.
    pub mtime: u32,
    /// Size of the content in bytes.
    pub filesize: u32,
    /// Device of the inode, for hard links.
    pub dev: (u32, u32),
    /// Size of the name in bytes with its NUL, 1 to [`NAME_MAX`].
    pub namesize: u32,
}

/// Why a header was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderFault {
    /// Not 070701 or 070702.
    Magic,
    /// The named field is not hexadecimal.
    Field(&'static str),
    /// `c_namesize` is 0 or above [`NAME_MAX`].
    NameSize(u32),
}

impl Header {
    /// Parses a header. Pure.
    ///
    /// # Errors
    /// A [`HeaderFault`] that names the field.
    pub fn from_bytes(bytes: &[u8; HEADER_SIZE]) -> Result<Header, HeaderFault> {
        let (magic, rest) = bytes.split_at(6);
        if magic != b"070701" && magic != b"070702" {
            return Err(HeaderFault::Magic);
        }
        let mut values = [0_u32; FIELDS.len()];
        for ((value, digits), field) in values.iter_mut().zip(rest.chunks_exact(8)).zip(FIELDS) {
            *value = parse_hex(digits).ok_or(HeaderFault::Field(field))?;
        }
        let [ino, mode, _, _, nlink, mtime, filesize, devmajor, devminor, _, _, namesize, _] = values;
        if namesize == 0 || namesize > NAME_MAX {
            return Err(HeaderFault::NameSize(namesize));
        }
        Ok(Header { ino, mode, nlink, mtime, filesize, dev: (devmajor, devminor), namesize })
    }
}

fn parse_hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0_u32, |value, digit| {
        let nibble = (*digit as char).to_digit(16)?;
        value.checked_mul(16)?.checked_add(nibble)
    })
}

/// Bytes from `position` to the next multiple of 4.
pub(crate) fn padding(position: u64) -> u64 {
    position.wrapping_neg() % 4
}

/// Builds an archive in memory. Same calls, same bytes: owner 0:0, inode numbers count from 1, one time for all.
#[derive(Debug)]
pub struct Writer {
    out: Vec<u8>,
    ino: u32,
    mtime: u32,
}

impl Writer {
    /// `mtime` is the modification time of every entry.
    #[must_use]
    pub fn new(mtime: u32) -> Self {
        Writer { out: Vec::new(), ino: 0, mtime }
    }

    /// Adds a directory with mode 0755.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for a path above 4095 bytes.
    pub fn directory(&mut self, path: &str) -> Result<()> {
        self.entry(path, S_IFDIR | 0o755, 2, self.mtime, &[])
    }

    /// Adds a regular file with mode 0644.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for a path above 4095 bytes or content of 4 GiB or more.
    pub fn file(&mut self, path: &str, content: &[u8]) -> Result<()> {
        self.entry(path, S_IFREG | 0o644, 1, self.mtime, content)
    }

    /// Adds a program (mode 0755).
    ///
    /// # Errors
    /// As [`Writer::file`].
    pub fn program(&mut self, path: &str, content: &[u8]) -> Result<()> {
        self.entry(path, S_IFREG | 0o755, 1, self.mtime, content)
    }

    /// Adds a symbolic link.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for a path or target above 4095 bytes.
    pub fn symlink(&mut self, path: &str, target: &str) -> Result<()> {
        if target.len() >= NAME_MAX as usize {
            return Err(Error::TooLarge { path: path.to_owned(), size: target.len() as u64 });
        }
        self.entry(path, S_IFLNK | 0o777, 1, self.mtime, target.as_bytes())
    }

    /// Ends the archive and pads it with zeros to a multiple of 512, as cpio(1) does.
    ///
    /// # Errors
    /// None in practice; the trailer is an entry like any other.
    pub fn finish(mut self) -> Result<Vec<u8>> {
        self.entry(TRAILER, 0, 1, 0, &[])?;
        self.out.resize(self.out.len().next_multiple_of(512), 0);
        Ok(self.out)
    }

    fn entry(&mut self, path: &str, mode: u32, nlink: u32, mtime: u32, content: &[u8]) -> Result<()> {
        let too_large = |size: usize| Error::TooLarge { path: path.to_owned(), size: size as u64 };
        let namesize = path.len() + 1;
        if namesize > NAME_MAX as usize || path.is_empty() || path.contains('\0') {
            return Err(too_large(namesize));
        }
        let filesize = u32::try_from(content.len()).map_err(|_| too_large(content.len()))?;
        let ino = if path == TRAILER {
            0
        } else {
            self.ino += 1;
            self.ino
        };
        self.out.extend_from_slice(b"070701");
        for value in [ino, mode, 0, 0, nlink, mtime, filesize, 0, 0, 0, 0, namesize as u32, 0] {
            self.out.extend_from_slice(format!("{value:08X}").as_bytes());
        }
        self.out.extend_from_slice(path.as_bytes());
        self.out.push(0);
        self.pad();
        self.out.extend_from_slice(content);
        self.pad();
        Ok(())
    }

    fn pad(&mut self) {
        self.out.resize(self.out.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(change: impl Fn(&mut Vec<u8>)) -> Result<Header, HeaderFault> {
        let mut writer = Writer::new(7);
        writer.file("a", b"xyz").unwrap();
        let mut bytes = writer.finish().unwrap();
        change(&mut bytes);
        Header::from_bytes(bytes[..HEADER_SIZE].try_into().unwrap())
    }

    #[test]
    fn header_fields_come_back() {
        let h = header(|_| ()).unwrap();
        assert_eq!((h.ino, h.mode, h.nlink, h.mtime, h.filesize, h.namesize), (1, 0o100_644, 1, 7, 3, 2));
    }

    #[test]
    fn each_fault_is_named() {
        assert_eq!(header(|b| b[5] = b'7'), Err(HeaderFault::Magic));
        assert_eq!(header(|b| b[6] = b'x'), Err(HeaderFault::Field("c_ino")));
        assert_eq!(header(|b| b[54] = b'+'), Err(HeaderFault::Field("c_filesize")));
        assert_eq!(header(|b| b[101] = b'0'), Err(HeaderFault::NameSize(0)));
        assert_eq!(header(|b| b[98] = b'1'), Err(HeaderFault::NameSize(0x1002)));
    }

    #[test]
    fn a_long_path_is_refused() {
        let mut writer = Writer::new(0);
        assert!(matches!(writer.file(&"x".repeat(4096), b""), Err(Error::TooLarge { size: 4097, .. })));
        assert!(matches!(writer.symlink("a", &"x".repeat(4096)), Err(Error::TooLarge { .. })));
        assert!(writer.file(&"x".repeat(4095), b"").is_ok());
    }
}
