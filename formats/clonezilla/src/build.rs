//! Puts a disk together: tables, what lies between them, partitions, and volumes over them.

use crate::assemble::{Assembled, Source, Stripe};
use crate::content::{Contents, raw};
use crate::error::ClonezillaError;
use crate::group::{Group, Logical};
use crate::image::{Image, MAX_HIDDEN, SavedDisk};
use crate::role::{Role, faults, of_part, of_volume};
use crate::swap;
use crate::table::Table;
use crate::unplaced::lacks;
use crate::{ebr, names::Saved};
use format_core::{BootCopy, Details, Disk, Result, Warning};
use serde_json::{Value, json};
use std::sync::Arc;

const SECTOR: u64 = 512;

/// A disk that is being put together.
struct Builder<'a> {
    image: &'a Image,
    contents: &'a Contents,
    disk: &'a SavedDisk,
    out: Assembled,
}

/// Puts `disk` together.
pub(crate) fn build(image: &Image, contents: &Contents, disk: &SavedDisk) -> Result<(Disk, Vec<Warning>)> {
    if let Some(fault) = faults(image, disk).into_iter().next() {
        return Err(fault.into());
    }
    let size = match of_part(image, &disk.name) {
        // Nothing but its content tells how large it was.
        Role::Content(subject, saved) if disk.size == 0 => contents.open(&subject, saved)?.virtual_size(),
        _ => disk.size,
    };
    let out = Assembled::new(size, details(image, disk));
    let mut builder = Builder { image, contents, disk, out };
    match &disk.table {
        None => builder.put_part(&disk.name, 0, size)?,
        Some(table) => {
            builder.put_tables(table)?;
            for part in table.parts.iter().filter(|part| !part.is_extended()) {
                builder.put_part(&part.name, part.start, part.len)?;
            }
        }
    }
    let warnings = lacks(image, disk).into_iter().map(|lack| Warning::new(lack.code, lack.text)).collect();
    Ok((Disk::new(vec![Arc::new(builder.out)])?, warnings))
}

fn details(image: &Image, disk: &SavedDisk) -> Details {
    let saved = |name: &str| image.contents.get(name);
    let parts = disk.table.iter().flat_map(|table| &table.parts).map(|part| {
        let system = saved(&part.name).map_or("", |saved| saved.file_system.as_str());
        let file = saved(&part.name).map_or("", Saved::file);
        json!({ "name": part.name, "start": part.start, "size": part.len, "file-system": system, "file": file })
    });
    let kind = match (&disk.table, &disk.gpt) {
        (None, _) => "none",
        (Some(_), None) => "mbr",
        (Some(_), Some(_)) => "gpt",
    };
    let sector = disk.table.as_ref().map_or(SECTOR, |table| table.sector);
    let mut details = Details::new();
    details.insert("partition-table".into(), kind.into());
    details.insert("sector-size".into(), sector.into());
    details.insert("partitions".into(), Value::Array(parts.collect()));
    details
}

impl Builder<'_> {
    /// All that is no partition: later ones lie over earlier ones, partitions over all.
    fn put_tables(&mut self, table: &Table) -> Result<()> {
        let name = &self.disk.name;
        let hidden = format!("{name}-hidden-data-after-mbr");
        if self.image.has(&hidden) {
            let storage = self.image.folder.file(&hidden)?;
            let content = raw(Arc::new(storage))?;
            let len = content.virtual_size().min(MAX_HIDDEN);
            self.out.put(SECTOR, len, Source::Content(content, 0));
        }
        let mbr = self.image.bytes(&format!("{name}-mbr"), MAX_HIDDEN)?;
        if let Some(gpt) = &self.disk.gpt {
            self.out.put_bytes(0, &gpt.first);
            let size = table.size.unwrap_or(self.disk.size);
            if let Some((place, entries)) = gpt.second_entries() {
                self.out.put_bytes(place, &entries);
            }
            if let Some(second) = &gpt.second {
                self.out.put_bytes(size.saturating_sub(second.len() as u64), second);
            }
        }
        if let Some(mbr) = mbr {
            self.out.put_bytes(0, &mbr[..mbr.len().min(SECTOR as usize)]);
        }
        let extended = table.parts.iter().find(|part| part.is_extended());
        let saved = match extended {
            Some(part) => self.image.ebr(name, part)?.map(|(_, bytes)| bytes),
            None => None,
        };
        for (place, link) in ebr::chain(name, table, saved.as_deref())? {
            self.out.put_bytes(place, &link);
        }
        Ok(())
    }

    fn put_part(&mut self, name: &str, start: u64, len: u64) -> Result<()> {
        match of_part(self.image, name) {
            Role::Physical(group, number) => self.put_physical(group, number, start, len)?,
            Role::Content(subject, saved) => {
                let disk = self.fitted(&subject, saved, name, len)?;
                self.out.put(start, len, Source::Content(disk, 0));
            }
            Role::Swap(file) => self.out.put_bytes(start, &self.swap(name, &file, len)?),
            Role::NotSaved => {}
            Role::Fault(fault) => return Err(fault.into()),
        }
        Ok(())
    }

    fn put_physical(&mut self, group: &Group, number: usize, start: u64, len: u64) -> Result<()> {
        self.out.put_bytes(start, &group.head(number, len)?);
        for volume in &group.logical {
            if !volume.columns.iter().any(|column| column.physical == number) {
                continue;
            }
            let Some(disk) = self.volume(group, volume)? else { continue };
            for column in volume.columns.iter().filter(|column| column.physical == number) {
                if column.place.saturating_add(column.len) > len {
                    let (file, name) = (format!("lvm_{}.conf", group.name), volume.name.clone());
                    let what = "the partition ends before the extents";
                    return Err(ClonezillaError::Group { file, what, name }.into());
                }
                let source = match column.columns {
                    1 => Source::Content(disk.clone(), column.base),
                    columns => {
                        let (base, size, column) = (column.base, column.stripe, column.column);
                        Source::Stripe(disk.clone(), Stripe { base, size, columns, column, inside: 0 })
                    }
                };
                self.out.put(start.saturating_add(column.place), column.len, source);
            }
        }
        Ok(())
    }

    /// The content of a logical volume, as large as the volume is.
    fn volume(&mut self, group: &Group, volume: &Logical) -> Result<Option<Disk>> {
        let name = format!("{}-{}", group.name, volume.name);
        match of_volume(self.image, group, volume) {
            Role::Content(subject, saved) => self.fitted(&subject, saved, &name, volume.size).map(Some),
            Role::Swap(file) => {
                let mut out = Assembled::new(volume.size, Details::new());
                out.put_bytes(0, &self.swap(&name, &file, volume.size)?);
                Disk::new(vec![Arc::new(out)]).map(Some)
            }
            Role::Fault(fault) => Err(fault.into()),
            Role::NotSaved | Role::Physical(..) => Ok(None),
        }
    }

    fn swap(&self, part: &str, file: &str, len: u64) -> Result<Vec<u8>> {
        let text = self.image.text(file)?.unwrap_or_default();
        Ok(swap::header(part, file, &text, len)?)
    }

    /// A content in a place of `len` bytes: zeros follow it, and the copy of a boot sector where that belongs there.
    fn fitted(&self, subject: &str, saved: &Saved, part: &str, len: u64) -> Result<Disk> {
        let disk = self.contents.open(subject, saved)?;
        let found = disk.virtual_size();
        if found > len {
            return Err(ClonezillaError::TooLarge { part: part.into(), found, wanted: len }.into());
        }
        if found == len {
            return Ok(disk);
        }
        let mut head = vec![0; BootCopy::MAX_SECTOR.min(usize::try_from(found).unwrap_or(usize::MAX))];
        disk.read_exact_at(0, &mut head)?;
        let mut out = Assembled::new(len, Details::new());
        if let Some(copy) = BootCopy::of(&head, found, len) {
            out.put_bytes(copy.offset, &copy.sector);
        }
        out.put(0, found, Source::Content(disk, 0));
        Disk::new(vec![Arc::new(out)])
    }
}
