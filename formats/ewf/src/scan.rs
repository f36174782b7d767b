//! Walks the sections of all segments, once, when an image is opened.

use crate::error::EwfError;
use crate::header::Values;
use crate::image::Image;
use crate::layout::{DIGEST_LEN, HEADER_LEN, MAX_SECTIONS, SECTION_LEN, VOLUME_LEN};
use crate::parse::{self, Hashes, Section, Volume};
use crate::segments::{File, Finder, Segments};
use crate::table::{Style, Table, Tables, Where};
use format_core::{Error, LayerContext, Result, Storage};
use std::sync::Arc;

pub(crate) fn scan(first: Arc<dyn Storage>, context: &LayerContext) -> Result<Image> {
    let mut scanner = Scanner {
        segments: Segments::new(context.folder.clone()),
        trusts: context.access.ignore_checksums,
        ..Scanner::default()
    };
    let finder = Finder::new(context);
    let (mut number, mut name) = (1, context.name.clone().unwrap_or_default());
    let (mut storage, mut file) = (Arc::clone(&first), File::Open(first));
    loop {
        check_header(storage.as_ref(), number, &name)?;
        let size = storage.size();
        let start = scanner.segments.push(file, size);
        if !scanner.segment(number, start, size)? {
            return scanner.finish();
        }
        number += 1;
        (name, storage, file) = finder.find(number)?;
    }
}

fn check_header(storage: &dyn Storage, number: u32, name: &str) -> Result<()> {
    let size = storage.size();
    if size < HEADER_LEN as u64 {
        return Err(EwfError::TooShort { segment: number, size }.into());
    }
    let mut bytes = [0; HEADER_LEN];
    storage.read_exact_at(0, &mut bytes)?;
    let found = parse::segment_number(&bytes, number)?;
    match u32::from(found) == number {
        true => Ok(()),
        false if number == 1 => Err(EwfError::NotFirst { found }.into()),
        false => Err(EwfError::SegmentNumber { name: name.to_owned(), found, wanted: number }.into()),
    }
}

pub(crate) struct Scanner {
    pub(crate) segments: Segments,
    trusts: bool,
    volume: Option<Volume>,
    tables: Vec<Table>,
    /// A table that is damaged: its copy may follow.
    broken: Option<Error>,
    /// The sectors section of the segment that was met last.
    sectors: Option<(u64, u64)>,
    pub(crate) values: Values,
    pub(crate) hashes: Hashes,
    pub(crate) unreadable: Vec<(u32, u32)>,
    pub(crate) unreadable_sectors: u64,
    sessions: u32,
    pub(crate) defects: Vec<String>,
    unknown: Vec<String>,
}

impl Default for Scanner {
    fn default() -> Self {
        Self {
            segments: Segments::new(None),
            trusts: false,
            volume: None,
            tables: Vec::new(),
            broken: None,
            sectors: None,
            values: Values::new(),
            hashes: Hashes::default(),
            unreadable: Vec::new(),
            unreadable_sectors: 0,
            sessions: 0,
            defects: Vec::new(),
            unknown: Vec::new(),
        }
    }
}

/// A section that is being looked at.
pub(crate) struct Here<'a> {
    pub(crate) kind: &'a str,
    pub(crate) place: Where,
}

impl Scanner {
    /// Walks the segment that begins at `start`; whether another one follows.
    fn segment(&mut self, number: u32, start: u64, size: u64) -> Result<bool> {
        let mut at = HEADER_LEN as u64;
        self.sectors = None;
        for _ in 0..MAX_SECTIONS {
            let truncated = EwfError::Truncated { segment: number, offset: at, size };
            if size.checked_sub(at).is_none_or(|left| left < SECTION_LEN as u64) {
                return Err(truncated.into());
            }
            let mut bytes = [0; SECTION_LEN];
            self.segments.read_exact_at(start.saturating_add(at), &mut bytes)?;
            let section = Section::parse(&bytes, at)?;
            if let Some((found, wanted)) = section.wrong_sum {
                let error = EwfError::SectionChecksum { segment: number, offset: at, found, wanted };
                self.tolerate(error)?;
            }
            let Section { kind, next, size: len, .. } = section;
            if matches!(kind.as_str(), "next" | "done") {
                self.settle_table()?;
                return Ok(kind == "next");
            }
            let data = at + SECTION_LEN as u64;
            if next < data || next > size {
                return Err(match next > size && next >= data {
                    true => truncated,
                    false => EwfError::SectionNext { segment: number, kind, offset: at, next, size },
                }
                .into());
            }
            if len != 0 && at.checked_add(len) != Some(next) {
                self.defects.push(format!(
                    "the {kind:?} section at {at:#x} of segment {number} says that it has {len:#x} bytes, the next one \
                     begins after {:#x}",
                    next - at
                ));
            }
            let place = Where {
                segment: number,
                offset: at,
                segment_start: start,
                segment_end: start.saturating_add(size),
                data: start.saturating_add(data),
                data_end: start.saturating_add(next),
            };
            self.section(&Here { kind: &kind, place })?;
            at = next;
        }
        Err(EwfError::TooManySections { segment: number, most: MAX_SECTIONS }.into())
    }

    fn section(&mut self, here: &Here<'_>) -> Result<()> {
        match here.kind {
            "header" | "header2" => self.header(here),
            "volume" | "disk" => self.volume(here),
            "data" => self.copy_of_volume(here),
            "sectors" => {
                self.settle_table()?;
                self.sectors = Some((here.place.data, here.place.data_end));
                Ok(())
            }
            "table" => self.table(here),
            "table2" => self.second_table(here),
            "hash" => {
                let found = self.fixed(here)?.map(|bytes| parse::hash(&bytes)).transpose()?;
                self.hashes(here, found)
            }
            "digest" => {
                let found = self.fixed::<DIGEST_LEN>(here)?.map(|bytes| parse::digest(&bytes)).transpose()?;
                self.hashes(here, found)
            }
            "xhash" => self.more_hashes(here),
            "error2" => self.unreadable(here),
            "session" => {
                self.sessions = self.fixed::<4>(here)?.map_or(0, u32::from_le_bytes);
                Ok(())
            }
            "incomplete" => {
                self.defects.push("the image was not finished: it has an \"incomplete\" section".into());
                Ok(())
            }
            "ltree" | "ltypes" => Err(EwfError::Logical.into()),
            "xheader" => Ok(()),
            other => {
                if self.unknown.len() < 10 && !self.unknown.iter().any(|known| known == other) {
                    self.unknown.push(other.to_owned());
                }
                Ok(())
            }
        }
    }

    /// An error, or a defect where the operator wants checksums to be ignored.
    fn tolerate(&mut self, error: EwfError) -> Result<()> {
        if self.trusts {
            self.defects.push(error.to_string());
            return Ok(());
        }
        Err(error.into())
    }

    fn parse_volume(&mut self, here: &Here<'_>) -> Result<Volume> {
        let found = here.place.data_end - here.place.data;
        if !Volume::has_length(found) {
            return Err(EwfError::VolumeLength { found }.into());
        }
        let mut bytes = vec![0; found.min(VOLUME_LEN as u64) as usize];
        self.segments.read_exact_at(here.place.data, &mut bytes)?;
        Volume::parse(&bytes, here.place.offset)
    }

    fn volume(&mut self, here: &Here<'_>) -> Result<()> {
        let volume = self.parse_volume(here)?;
        if let Some((found, wanted)) = volume.wrong_sum {
            self.tolerate(EwfError::VolumeChecksum { found, wanted })?;
        }
        let volume = volume.checked()?;
        match &self.volume {
            Some(first) if first.summary() != volume.summary() => {
                Err(EwfError::Volumes { first: first.summary(), second: volume.summary() }.into())
            }
            Some(_) => Ok(()),
            None => {
                self.volume = Some(volume);
                Ok(())
            }
        }
    }

    /// Every segment but the first begins with a copy of the volume section: it tells whose segment it is.
    fn copy_of_volume(&mut self, here: &Here<'_>) -> Result<()> {
        let Where { segment, offset, .. } = here.place;
        let wanted = self.volume.as_ref().map(Volume::summary).ok_or(EwfError::NoVolume)?;
        match self.parse_volume(here) {
            Ok(copy) if copy.wrong_sum.is_none() => match copy.summary() {
                found if found == wanted => Ok(()),
                found => Err(EwfError::Foreign { segment, found, wanted }.into()),
            },
            // Logicube's devices leave the checksum out.
            Ok(copy) if copy.wrong_sum.is_some_and(|(found, _)| found == 0) && copy.summary() == wanted => {
                Ok(())
            }
            _ => {
                self.defects.push(format!("the data section at {offset:#x} of segment {segment} is damaged"));
                Ok(())
            }
        }
    }

    fn load_table(&mut self, here: &Here<'_>) -> Result<Table> {
        let volume = self.volume.as_ref().ok_or(EwfError::NoVolume)?;
        let style = Style {
            chunk_size: volume.chunk_size(),
            has_footer: volume.media.is_some(),
            trusts: self.trusts,
        };
        Table::load(&self.segments, &here.place, self.sectors, style)
    }

    fn table(&mut self, here: &Here<'_>) -> Result<()> {
        self.settle_table()?;
        match self.load_table(here) {
            Ok(table) => self.add_table(table),
            Err(error) if error.kind() == format_core::ErrorKind::Corrupt && self.volume.is_some() => {
                self.broken = Some(error);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn add_table(&mut self, mut table: Table) {
        table.first = self.tables.last().map_or(0, Table::after);
        self.tables.push(table);
    }

    fn second_table(&mut self, here: &Here<'_>) -> Result<()> {
        let loaded = self.load_table(here);
        let Where { segment, offset, .. } = here.place;
        match (self.broken.take(), loaded) {
            (Some(error), Ok(table)) => {
                self.defects.push(format!("{}; its copy was read instead", error.message()));
                self.add_table(table);
            }
            (Some(error), Err(_)) => return Err(error),
            (None, Ok(copy)) => {
                if !self.tables.last().is_some_and(|table| table.is_like(&copy)) {
                    self.tolerate(EwfError::TablesDiffer { segment, offset })?;
                }
            }
            (None, Err(error)) if error.kind() == format_core::ErrorKind::Corrupt => {
                self.defects.push(format!("{}; it is a copy, which was not needed", error.message()));
            }
            (None, Err(error)) => return Err(error),
        }
        Ok(())
    }

    /// A damaged table whose copy did not follow.
    fn settle_table(&mut self) -> Result<()> {
        self.broken.take().map_or(Ok(()), Err)
    }

    fn finish(mut self) -> Result<Image> {
        let volume = self.volume.take().ok_or(EwfError::NoVolume)?;
        let (chunks, wanted) = (self.tables.last().map_or(0, Table::after), volume.disk_chunks());
        if volume.sectors == 0 && chunks > 0 {
            return Err(EwfError::NoSize { chunks }.into());
        }
        if chunks > wanted {
            self.defects.push(format!("the tables hold {chunks} chunks, the disk has {wanted}"));
        }
        let mut image = Image {
            segments: self.segments,
            volume,
            tables: Tables::new(self.tables),
            values: self.values,
            hashes: self.hashes,
            unreadable: self.unreadable,
            unreadable_sectors: self.unreadable_sectors,
            sessions: self.sessions,
            warnings: Vec::new(),
            defects: self.defects,
        };
        image.warn(&self.unknown);
        Ok(image)
    }
}
