//! Headers of members that are written.

use crate::BLOCK;
use crate::header::{CHECKSUM, sum_of};
use format_core::{Error, Result};

/// Runs of a sparse map in an old GNU header.
pub const SPARSE_IN_HEADER: usize = 4;
/// Runs in each block after it.
pub const SPARSE_IN_BLOCK: usize = 21;
/// GNU tar and POSIX end an archive at a multiple of this.
const RECORD: u64 = 10 << 10;
/// The largest number in 11 octal digits.
const MAX_OCTAL: u64 = (1 << 33) - 1;

/// Whose header it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// POSIX ustar: long names are split in two.
    Ustar,
    /// GNU tar before POSIX, which is the one with sparse maps in the header.
    OldGnu,
}

/// A regular file that is to be written into an archive.
#[derive(Clone, Copy, Debug)]
pub struct NewMember<'a> {
    /// Its path in the archive.
    pub name: &'a str,
    /// How many bytes follow the header.
    pub stored: u64,
    /// Seconds since 1970.
    pub modified: u64,
    /// Whose header it has.
    pub dialect: Dialect,
}

impl NewMember<'_> {
    /// Its header. Sizes of 8 GiB and more are in base 256, which all today's programs read.
    ///
    /// # Errors
    /// `Usage` when the name is too long for the header or does not belong in an archive.
    pub fn header(&self) -> Result<[u8; 512]> {
        let mut block = [0; 512];
        self.fill(&mut block)?;
        seal(&mut block);
        Ok(block)
    }

    /// Its header and the blocks with the map of a sparse member of `size` bytes: `runs` are offsets and lengths.
    ///
    /// # Errors
    /// As [`NewMember::header`].
    pub fn sparse_header(&self, size: u64, runs: &[(u64, u64)]) -> Result<Vec<u8>> {
        let mut block = [0; 512];
        self.fill(&mut block)?;
        block[156] = b'S';
        put_number(&mut block[483..495], size);
        let (first, rest) = runs.split_at(runs.len().min(SPARSE_IN_HEADER));
        put_runs(&mut block[386..482], first);
        block[482] = u8::from(!rest.is_empty());
        seal(&mut block);
        let mut bytes = block.to_vec();
        let mut blocks = rest.chunks(SPARSE_IN_BLOCK).peekable();
        while let Some(runs) = blocks.next() {
            let mut block = [0; 512];
            put_runs(&mut block[..504], runs);
            block[504] = u8::from(blocks.peek().is_some());
            bytes.extend_from_slice(&block);
        }
        Ok(bytes)
    }

    fn fill(&self, block: &mut [u8; 512]) -> Result<()> {
        let (prefix, name) = self.split_name()?;
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[345..345 + prefix.len()].copy_from_slice(prefix.as_bytes());
        block[100..108].copy_from_slice(b"0000644\0");
        block[108..116].copy_from_slice(b"0000000\0");
        block[116..124].copy_from_slice(b"0000000\0");
        put_number(&mut block[124..136], self.stored);
        put_number(&mut block[136..148], self.modified);
        block[156] = b'0';
        block[257..265].copy_from_slice(match self.dialect {
            Dialect::Ustar => b"ustar\x0000",
            Dialect::OldGnu => b"ustar  \0",
        });
        Ok(())
    }

    fn split_name(&self) -> Result<(&str, &str)> {
        let name = self.name;
        let parts = || name.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if name.contains('\0') || !parts() {
            return Err(Error::usage(format!("{name:?} cannot be the name of a member of an archive")));
        }
        if name.len() <= 100 {
            return Ok(("", name));
        }
        let mut splits = name.match_indices('/').map(|(at, _)| (&name[..at], &name[at + 1..]));
        splits
            .find(|(prefix, rest)| self.dialect == Dialect::Ustar && prefix.len() <= 155 && rest.len() <= 100)
            .ok_or_else(|| {
                Error::usage(format!("{name:?} is too long for the name of a member of an archive"))
            })
    }
}

fn put_runs(place: &mut [u8], runs: &[(u64, u64)]) {
    for (place, (offset, len)) in place.chunks_exact_mut(24).zip(runs) {
        let (first, second) = place.split_at_mut(12);
        put_number(first, *offset);
        put_number(second, *len);
    }
}

fn put_number(field: &mut [u8], value: u64) {
    if value <= MAX_OCTAL {
        field.copy_from_slice(format!("{value:011o}\0").as_bytes());
    } else {
        field[..4].copy_from_slice(&[0x80, 0, 0, 0]);
        field[4..].copy_from_slice(&value.to_be_bytes());
    }
}

fn seal(block: &mut [u8; 512]) {
    let sum = sum_of(block);
    block[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// How many zeros follow `stored` bytes of a member.
#[must_use]
pub fn padding(stored: u64) -> u64 {
    (BLOCK - stored % BLOCK) % BLOCK
}

/// How many zeros end an archive of `len` bytes: two blocks, and up to a whole record.
#[must_use]
pub fn end_len(len: u64) -> u64 {
    let least = 2 * BLOCK;
    least + (RECORD - (len + least) % RECORD) % RECORD
}
