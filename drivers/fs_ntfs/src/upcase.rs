//! `$UpCase`: which characters are the same but for their case, by the volume's own table.

use crate::error::NtfsError;
use crate::layout::UPCASE;
use crate::mft::Reader;
use format_core::Result;
use std::cmp::Ordering;

/// Characters of the table.
const CHARACTERS: usize = 0x1_0000;

/// The volume's table of upper case.
#[derive(Default)]
pub(crate) struct Upcase(Vec<u16>);

impl Upcase {
    pub(crate) fn load(reader: &Reader) -> Result<Self> {
        let inode = reader.inode(UPCASE)?;
        let data = inode.data().ok_or_else(|| NtfsError::structure("$UpCase has no content"))?;
        if data.size() != 2 * CHARACTERS as u64 {
            return Err(
                NtfsError::structure(format!("$UpCase has {:#x} bytes, not 0x20000", data.size())).into()
            );
        }
        let raw = reader.whole(data, 2 * CHARACTERS as u64)?;
        let table: Vec<u16> =
            raw.as_chunks().0.iter().map(|unit: &[u8; 2]| u16::from_le_bytes(*unit)).collect();
        // Two names that nobody disputes; a table that fails here would find nothing.
        let plain = (0x20..0x7f_u16).all(|unit| {
            let upper = if (0x61..0x7b).contains(&unit) { unit - 0x20 } else { unit };
            table.get(usize::from(unit)) == Some(&upper)
        });
        if !plain {
            return Err(NtfsError::structure("$UpCase gives wrong upper case for ASCII").into());
        }
        Ok(Self(table))
    }

    fn of(&self, unit: u16) -> u16 {
        self.0.get(usize::from(unit)).copied().unwrap_or(unit)
    }

    /// Whether two names are the same for Windows.
    pub(crate) fn same(&self, a: &[u16], b: &[u16]) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| self.of(*a) == self.of(*b))
    }

    /// The order of names in a folder: without case first, then with it.
    pub(crate) fn order(&self, a: &[u16], b: &[u16]) -> Ordering {
        let upper = |name: &[u16]| name.iter().map(|unit| self.of(*unit)).collect::<Vec<_>>();
        upper(a).cmp(&upper(b)).then_with(|| a.cmp(b))
    }
}
