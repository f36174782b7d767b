//! GPTs as bytes: the copies that Clonezilla saves with dd, and the file that sgdisk makes.

use crate::error::ClonezillaError;
use crate::table::{Table, part};
use format_core::Bytes;

const SIGNATURE: &[u8; 8] = b"EFI PART";

/// Both tables of a disk, as far as they were saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gpt {
    /// What lies at the start of the disk, from its first sector on.
    pub(crate) first: Vec<u8>,
    /// What lies at the end of the disk.
    pub(crate) second: Option<Vec<u8>>,
    pub(crate) sector: usize,
    /// The files that they were saved in.
    pub(crate) files: [String; 2],
}

impl Gpt {
    /// From the saved first sectors, and the last ones if they are there.
    pub(crate) fn of_copies(
        [file, second_file]: [&str; 2],
        first: Vec<u8>,
        second: Option<Vec<u8>>,
    ) -> Result<Self, ClonezillaError> {
        let has = |at: usize| first.get(at..at + 8) == Some(SIGNATURE);
        let sector = [512, 4096].into_iter().find(|size| has(*size));
        let what = "there is no GPT header in the second sector";
        let sector = sector.ok_or(ClonezillaError::Table { file: file.into(), what })?;
        let files = [file.into(), second_file.into()];
        Ok(Self { first, second, sector, files })
    }

    /// From what `sgdisk --backup` wrote: the MBR, both headers, the entries. Only disks with sectors of 512 bytes.
    pub(crate) fn of_sgdisk(file: &str, bytes: &[u8]) -> Result<Self, ClonezillaError> {
        let bad = || ClonezillaError::Table { file: file.into(), what: "this is no backup of sgdisk" };
        let sector = |number: usize| bytes.get(number * 512..(number + 1) * 512).ok_or_else(bad);
        let (start, other, entries) =
            (bytes.get(..1024).ok_or_else(bad)?, sector(2)?, bytes.get(1536..).ok_or_else(bad)?);
        if other.get(..8) != Some(SIGNATURE) {
            return Err(bad());
        }
        let second = Some([entries, other].concat());
        Self::of_copies([file; 2], [start, entries].concat(), second)
    }

    /// The partitions.
    pub(crate) fn table(&self, disk: &str) -> Result<Table, ClonezillaError> {
        let file = self.files[0].as_str();
        let bad = |what| ClonezillaError::Table { file: file.into(), what };
        let cut = |_| bad("the GPT ends within its entries");
        let header = Bytes::new(&self.first, 0);
        let at = self.sector;
        let (backup, entries) = (header.u64_le(at + 32).map_err(cut)?, header.u64_le(at + 72).map_err(cut)?);
        let (count, size) = (header.u32_le(at + 80).map_err(cut)?, header.u32_le(at + 84).map_err(cut)?);
        if !(128..=4096).contains(&size) || count > 1024 {
            return Err(bad("the GPT header tells of entries that cannot be"));
        }
        let sector = self.sector as u64;
        let start = entries.checked_mul(sector).and_then(|start| usize::try_from(start).ok());
        let start = start.ok_or_else(|| bad("the GPT's entries lie beyond any disk"))?;
        let mut parts = Vec::new();
        for number in 0..count {
            let entry = start.saturating_add(number as usize * size as usize);
            // Copies end before the last entries where sectors are large: those are free then.
            let Ok(kind) = header.array::<16>(entry) else { break };
            if kind == [0; 16] {
                continue;
            }
            let (first, last) =
                (header.u64_le(entry + 32).map_err(cut)?, header.u64_le(entry + 40).map_err(cut)?);
            let sectors = last.checked_sub(first).and_then(|count| count.checked_add(1));
            let sectors = sectors.ok_or_else(|| bad("a partition of the GPT ends before it begins"))?;
            parts.push(part(file, disk, number + 1, (first, sectors, sector), 0)?);
        }
        let size = backup.checked_add(1).and_then(|sectors| sectors.checked_mul(sector));
        Ok(Table { sector, size: size.filter(|size| i64::try_from(*size).is_ok()), is_gpt: true, parts })
    }
}
