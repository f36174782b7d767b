//! The base block: the first 4096 bytes of a hive, of which logs keep the first 512.
//!
//! Source: specification, "Base block" and its notes on the checksum.

use crate::error::{Fault, Result, shown};
use crate::fields::{le32, le64, put};
use crate::filetime::FileTime;
use crate::layout::{BASE_BLOCK, MAX_HIVE, PAGE, base};

/// What is needed of a base block, every number checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BaseBlock {
    pub(crate) primary_sequence: u32,
    pub(crate) secondary_sequence: u32,
    pub(crate) last_written: FileTime,
    pub(crate) minor: u32,
    pub(crate) root: u32,
    pub(crate) bins_size: u32,
    pub(crate) clustering: u32,
    pub(crate) flags: u32,
}

impl BaseBlock {
    /// The base block of a primary file, which `bytes` begin with.
    pub(crate) fn of_primary(bytes: &[u8]) -> Result<Self> {
        let parsed = Self::parse(bytes, &[base::PRIMARY])?;
        if bytes.len() < BASE_BLOCK {
            return Err(field(0, "size", bytes.len() as u64, "at least 4096"));
        }
        Ok(parsed)
    }

    /// The copy at the start of a log, `bytes`, whose file type is one of `types`.
    pub(crate) fn of_log(bytes: &[u8], types: &[u32]) -> Result<Self> {
        Self::parse(bytes, types)
    }

    fn parse(bytes: &[u8], types: &[u32]) -> Result<Self> {
        if bytes.get(..4) != Some(base::SIGNATURE) {
            return Err(Fault::NotRegf { found: shown(bytes.get(..4).unwrap_or(bytes)) });
        }
        let (stored, computed) = (word(bytes, base::CHECKSUM)?, checksum(bytes));
        if stored != computed {
            return Err(Fault::Checksum { stored, computed });
        }
        let (major, minor) = (word(bytes, base::MAJOR)?, word(bytes, base::MINOR)?);
        if major != 1 || !(3..=6).contains(&minor) {
            return Err(Fault::Version { major, minor });
        }
        let file_type = word(bytes, base::FILE_TYPE)?;
        if !types.contains(&file_type) {
            return Err(field(base::FILE_TYPE, "file type", file_type, &format!("{types:?}")));
        }
        let format = word(bytes, base::FILE_FORMAT)?;
        if format != 1 {
            return Err(field(base::FILE_FORMAT, "file format", format, "1"));
        }
        let bins_size = word(bytes, base::BINS_SIZE)?;
        if bins_size == 0 || !bins_size.is_multiple_of(PAGE) {
            return Err(field(base::BINS_SIZE, "hive bins data size", bins_size, "a multiple of 4096"));
        }
        if u64::from(bins_size) + BASE_BLOCK as u64 > MAX_HIVE {
            return Err(Fault::hive_size(u64::from(bins_size) + BASE_BLOCK as u64));
        }
        Ok(Self {
            primary_sequence: word(bytes, base::PRIMARY_SEQUENCE)?,
            secondary_sequence: word(bytes, base::SECONDARY_SEQUENCE)?,
            last_written: FileTime(le64(bytes, base::LAST_WRITTEN).unwrap_or_default()),
            minor,
            root: word(bytes, base::ROOT_CELL)?,
            bins_size,
            clustering: word(bytes, base::CLUSTERING)?,
            flags: word(bytes, base::FLAGS)?,
        })
    }

    /// Whether a write to the primary file was begun and not ended.
    pub(crate) fn is_dirty(&self) -> bool {
        self.primary_sequence != self.secondary_sequence
    }

    /// Whether data of more than one segment's size are big data.
    pub(crate) fn has_big_data(&self) -> bool {
        self.minor > 3
    }
}

fn field(at: usize, field: &'static str, found: impl Into<u64>, possible: &str) -> Fault {
    Fault::BaseBlock { at, field, found: found.into(), possible: possible.to_owned() }
}

fn word(bytes: &[u8], at: usize) -> Result<u32> {
    le32(bytes, at).ok_or_else(|| field(0, "size", bytes.len() as u64, "at least 512"))
}

/// XOR of the words in front of the checksum; 0 and -1 are no checksums.
pub(crate) fn checksum(bytes: &[u8]) -> u32 {
    let covered = bytes.get(..base::CHECKSUM).unwrap_or_default();
    let sum = covered.as_chunks().0.iter().fold(0, |sum, word| sum ^ u32::from_le_bytes(*word));
    match sum {
        u32::MAX => u32::MAX - 1,
        0 => 1,
        sum => sum,
    }
}

/// Sets words of the base block that `bytes` begin with, and then its checksum.
pub(crate) fn set_words(bytes: &mut [u8], words: &[(usize, u32)]) -> Result<()> {
    let mut done = words.iter().all(|(at, word)| put(bytes, *at, &word.to_le_bytes()));
    let sum = checksum(bytes);
    done &= put(bytes, base::CHECKSUM, &sum.to_le_bytes());
    if done { Ok(()) } else { Err(field(0, "size", bytes.len() as u64, "at least 4096")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> Vec<u8> {
        let mut bytes = vec![0; BASE_BLOCK];
        bytes[..4].copy_from_slice(base::SIGNATURE);
        set_words(
            &mut bytes,
            &[
                (base::MAJOR, 1),
                (base::MINOR, 5),
                (base::FILE_FORMAT, 1),
                (base::ROOT_CELL, 32),
                (base::BINS_SIZE, PAGE),
            ],
        )
        .unwrap();
        bytes
    }

    #[test]
    fn every_field_is_checked() {
        BaseBlock::of_primary(&block()).unwrap();
        for (at, value, message) in [
            (base::MAJOR, 2, "version 2.5"),
            (base::MINOR, 2, "version 1.2"),
            (base::MINOR, 7, "version 1.7"),
            (base::FILE_TYPE, 1, "file type"),
            (base::FILE_FORMAT, 2, "file format"),
            (base::BINS_SIZE, 0, "hive bins data size"),
            (base::BINS_SIZE, PAGE + 512, "hive bins data size"),
            (base::BINS_SIZE, 0xffff_f000, "at most 268435456"),
        ] {
            let mut bytes = block();
            set_words(&mut bytes, &[(at, value)]).unwrap();
            let error = BaseBlock::of_primary(&bytes).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
        let mut bytes = block();
        bytes[200] = 1;
        assert!(matches!(BaseBlock::of_primary(&bytes), Err(Fault::Checksum { .. })));
        assert!(BaseBlock::of_primary(&block()[..4000]).is_err());
    }

    #[test]
    fn zero_and_minus_one_are_no_checksums() {
        assert_eq!(checksum(&[0; 512]), 1);
        let mut bytes = [0; 512];
        bytes[..4].copy_from_slice(&[0xff; 4]);
        assert_eq!(checksum(&bytes), 0xffff_fffe);
    }
}
