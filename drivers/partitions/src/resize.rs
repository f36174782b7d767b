//! A GUID partition table on a disk that gets another size: its backup has to lie at the end (UEFI 2.10, 5.3.2).

use crate::gpt::Header;
use crate::mbr;
use format_core::{Error, Overlay, Result};

const ENTRY_START: usize = 32;
const ENTRY_END: usize = 40;

/// Moves the backup of the GPT to the end of the overlay's disk and tells the table where that is. The overlay's base
/// has its new size already. `false` when there is no GPT, or only one that no guard in the MBR makes valid (5.2.3):
/// what an MBR took over later is the MBR's.
///
/// # Errors
/// `Usage` when a partition would lose bytes or the table has no room, `Corrupt` when the primary table cannot be
/// trusted; what the disk reports.
pub fn move_gpt_backup(overlay: &Overlay) -> Result<bool> {
    let size = overlay.base().virtual_size();
    let mut mbr = [0; 512];
    if size >= 512 {
        overlay.read_merged_at(0, &mut mbr)?;
    }
    if !mbr::parse(&mbr).is_some_and(|mbr| mbr.is_protective()) {
        return Ok(false);
    }
    let mut damage = None;
    for block in [512, 4096u64] {
        let mut sector = [0; 512];
        if size < 4 * block {
            continue;
        }
        overlay.read_merged_at(block, &mut sector)?;
        match Header::parse(&sector, block, block) {
            Ok(header) => return Table { overlay, block, size, sector, header }.moved().map(|()| true),
            Err(reason) if sector.starts_with(b"EFI PART") => damage = Some(reason),
            Err(_) => {}
        }
    }
    match damage {
        None => Ok(false),
        Some(reason) => Err(Error::corrupt(format!("the primary GPT cannot be used: {reason}"))
            .hint("repair the table with sgdisk or gdisk on a copy, or leave the size as it is")),
    }
}

struct Table<'a> {
    overlay: &'a Overlay,
    block: u64,
    size: u64,
    sector: [u8; 512],
    header: Header,
}

impl Table<'_> {
    fn moved(&self) -> Result<()> {
        let (block, header) = (self.block, &self.header);
        let last = self.size / block - 1;
        let table_blocks = header.table_len.div_ceil(block);
        let first_free = (header.table / block).saturating_add(table_blocks);
        let Some(last_usable) = last.checked_sub(table_blocks + 1).filter(|&last| last > first_free) else {
            return Err(Error::usage(format!(
                "a disk of {} bytes has no room for its partition table",
                self.size
            )));
        };
        let mut entries = vec![0; header.table_len as usize];
        self.overlay.read_merged_at(header.table, &mut entries)?;
        if crc32fast::hash(&entries) != header.table_crc {
            return Err(Error::corrupt("the entries of the primary GPT do not have the header's CRC"));
        }
        let old_backup = u64_at(&self.sector, 32);
        // Not the primary, and no partition's content, whatever the header says.
        let mut is_free = old_backup > first_free;
        for (number, entry) in (1..).zip(entries.chunks_exact(header.entry_size)) {
            let word = |at: usize| {
                entry.get(at..).and_then(|b| b.first_chunk()).map_or(0, |b| u64::from_le_bytes(*b))
            };
            if entry.iter().take(16).all(|&byte| byte == 0) {
                continue;
            }
            is_free &= !(word(ENTRY_START)..=word(ENTRY_END)).contains(&old_backup);
            if word(ENTRY_END) > last_usable {
                let (end, last) =
                    (word(ENTRY_END).saturating_add(1).saturating_mul(block), last_usable * block);
                let text =
                    format!("partition {number} ends at byte {end}, the new disk has room until {last}");
                return Err(Error::usage(text)
                    .hint("shrink the partition in the guest first, or choose a larger size"));
            }
        }
        self.overlay.write_all_at(block, &self.header_at(1, last, last_usable, header.table / block))?;
        self.overlay.write_all_at((last - table_blocks) * block, &entries)?;
        self.overlay
            .write_all_at(last * block, &self.header_at(last, 1, last_usable, last - table_blocks))?;
        if is_free {
            self.wipe(old_backup, last)?;
        }
        self.adjust_protective_mbr(last)
    }

    /// The header for one of its two places, with its checksum.
    fn header_at(&self, here: u64, other: u64, last_usable: u64, table: u64) -> [u8; 512] {
        let mut sector = self.sector;
        for (at, value) in [(24, here), (32, other), (48, last_usable), (72, table)] {
            sector[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        sector[16..20].fill(0);
        let len = u32::from_le_bytes([sector[12], sector[13], sector[14], sector[15]]) as usize;
        let crc = crc32fast::hash(sector.get(..len).unwrap_or_default());
        sector[16..20].copy_from_slice(&crc.to_le_bytes());
        sector
    }

    /// A backup in the middle of a grown disk could be taken for a table one day.
    fn wipe(&self, old: u64, last: u64) -> Result<()> {
        let Some(at) =
            old.checked_mul(self.block).filter(|&at| old != last && at.saturating_add(512) <= self.size)
        else {
            return Ok(());
        };
        let mut sector = [0; 512];
        self.overlay.read_merged_at(at, &mut sector)?;
        let is_it = sector.starts_with(b"EFI PART") && u64_at(&sector, 24) == old;
        if is_it { self.overlay.write_all_at(at, &[0; 512]) } else { Ok(()) }
    }

    /// The entry that guards the GPT covers the whole disk; a hybrid MBR's entries are left alone.
    fn adjust_protective_mbr(&self, last: u64) -> Result<()> {
        let mut mbr = [0; 512];
        self.overlay.read_merged_at(0, &mut mbr)?;
        let (guard, others) = (&mbr[446..462], &mbr[462..510]);
        if guard[4] == 0xee && guard[8..12] == 1u32.to_le_bytes() && format_core::is_zero(others) {
            let sectors = u32::try_from(last).unwrap_or(u32::MAX);
            mbr[458..462].copy_from_slice(&sectors.to_le_bytes());
            self.overlay.write_all_at(0, &mbr)?;
        }
        Ok(())
    }
}

fn u64_at(sector: &[u8; 512], at: usize) -> u64 {
    sector.get(at..).and_then(|bytes| bytes.first_chunk()).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
