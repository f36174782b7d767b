//! Who uses which MiB of the file: two users are an error, none is a leak.

use super::MAX_ERRORS;
use crate::load::Loaded;
use format_core::units::MIB;
use format_core::{CheckReport, Claims, Error, Result};
use std::fmt::Arguments;

/// Leaks are searched for one by one in files up to this size in MiB, 16 TiB; in larger ones they are only counted.
const MAX_SEARCHED: u64 = 1 << 24;

/// What is claimed so far.
pub(super) struct Places {
    claims: Claims,
    block_size: u64,
    file_size: u64,
    /// Where the block before lies.
    last: Option<u64>,
    /// Where the first block of the file begins and the last one ends.
    first: u64,
    end: u64,
}

impl Places {
    /// Everything in front of the blocks; its parts were checked not to overlap.
    pub(super) fn new(loaded: &Loaded) -> Result<Self> {
        let file_size = loaded.storage.size();
        let block_size = loaded.bat.parameters.block_size;
        let claims = Claims::new(MIB);
        let mut places = Self { claims, block_size, file_size, last: None, first: u64::MAX, end: 0 };
        // The log keeps its place when nothing is in it.
        let headers = &loaded.headers;
        let log_end = headers.log_offset.saturating_add(headers.log_length);
        let log = (log_end <= file_size).then_some((headers.log_offset, headers.log_length));
        let areas = loaded.bat.used.iter().chain(&loaded.unknown_regions);
        for (offset, length) in areas.map(|area| (area.offset, area.length)).chain(log) {
            places.claims.claim(offset, length)?;
            places.end = places.end.max(offset.saturating_add(length));
        }
        Ok(places)
    }

    /// Claims a payload block.
    pub(super) fn block(&mut self, block: u64, host: u64, report: &mut CheckReport) -> Result<()> {
        report.allocated_chunks += 1;
        if self.last.is_some_and(|last| last.saturating_add(self.block_size) != host) {
            report.fragmented_chunks += 1;
        }
        self.last = Some(host);
        self.claim(format_args!("block {block}"), host, self.block_size, report)
    }

    pub(super) fn claim(
        &mut self,
        what: Arguments<'_>,
        host: u64,
        length: u64,
        report: &mut CheckReport,
    ) -> Result<()> {
        let end = host.saturating_add(length).min(self.file_size);
        let again = self.claims.claim(host, end.saturating_sub(host))?;
        if again > 0 {
            let text = format!("{what} at {host:#x} shares {again} MiB with another block or structure");
            if report.errors >= MAX_ERRORS {
                return Err(Error::corrupt(text).in_format(crate::FORMAT.name).context("the BAT is none"));
            }
            report.error(text, Some(host));
        }
        self.first = self.first.min(host);
        self.end = self.end.max(end);
        Ok(())
    }

    /// Reports what nobody claimed.
    pub(super) fn finish(self, file_size: u64, report: &mut CheckReport) {
        report.image_end = self.end;
        let used = self.end.div_ceil(MIB);
        let mut free = used.saturating_sub(self.claims.count());
        if free > 0 && used > MAX_SEARCHED {
            report.leak(format!("{free} MiB that nothing uses"), 0, free.saturating_mul(MIB));
            free = 0;
        }
        let mut unit = 0;
        while free > 0 && unit < used {
            let start = unit;
            while unit < used && !self.claims.contains(unit * MIB) {
                unit += 1;
            }
            if unit > start {
                let length = unit - start;
                free = free.saturating_sub(length);
                if start * MIB < self.first {
                    // Products leave room there for their tables.
                    report
                        .note(format!("{length} MiB in front of the blocks are not used"), Some(start * MIB));
                } else {
                    report.leak(format!("{length} MiB that nothing uses"), start * MIB, length * MIB);
                }
            }
            unit += 1;
        }
        let tail = file_size.saturating_sub(self.end.next_multiple_of(MIB));
        if tail >= MIB {
            // QEMU and Hyper-V let the file grow ahead of its blocks.
            report.note(format!("{tail:#x} bytes behind the last block are not used"), Some(self.end));
        }
    }
}
