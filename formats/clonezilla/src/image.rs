//! What a folder holds: its disks with their tables, the contents, the volume groups. Nothing large is read for that.

use crate::agree;
use crate::error::ClonezillaError;
use crate::gpt::Gpt;
use crate::group::Group;
use crate::names::{Kind, Saved, contents};
use crate::table::{Part, Table, parse_chs, parse_parted, parse_sfdisk};
use format_core::{Error, FolderEntry, Result, SourceFolder};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Texts and tables are not larger.
const MAX_TEXT: u64 = 4 << 20;
/// Disks of a machine.
const MAX_DISKS: usize = 128;
/// Partitions or volumes of a machine: all of them are compared with each other.
const MAX_NAMES: usize = 1024;
/// The type of the partition that hides a GPT from programs that do not know it.
const PROTECTIVE: u8 = 0xee;
/// No disk is larger: 8 PiB.
const MAX_DISK: u64 = 1 << 53;
/// What lies between the MBR and the first partition.
pub(crate) const MAX_HIDDEN: u64 = 64 << 20;

/// A folder.
pub(crate) struct Image {
    pub(crate) folder: Arc<SourceFolder>,
    files: BTreeMap<String, u64>,
    pub(crate) disks: Vec<SavedDisk>,
    /// Partitions with a content, as `parts` lists them.
    pub(crate) parts: BTreeSet<String>,
    /// Whether whole disks were saved, not some partitions of them.
    pub(crate) is_whole: bool,
    pub(crate) contents: BTreeMap<String, Saved>,
    pub(crate) groups: Vec<Group>,
    /// What `lvm_vg_dev.list` tells: the devices by the UUIDs of physical volumes.
    pub(crate) devices: BTreeMap<String, String>,
    /// Logical volumes that were saved, as `VG-LV`.
    pub(crate) volumes: BTreeSet<String>,
    /// File systems by partition, as `dev-fs.list` has them.
    pub(crate) systems: BTreeMap<String, String>,
    /// Devices with LUKS that Clonezilla opened.
    pub(crate) luks: BTreeSet<String>,
}

/// A disk and its table; none where its content or a physical volume is all of it.
pub(crate) struct SavedDisk {
    pub(crate) name: String,
    pub(crate) table: Option<Table>,
    pub(crate) gpt: Option<Gpt>,
    /// In bytes; 0 where only its content tells.
    pub(crate) size: u64,
    /// What is damaged or contradicts something else in its tables.
    pub(crate) faults: Vec<ClonezillaError>,
}

impl Image {
    pub(crate) fn load(folder: Arc<SourceFolder>) -> Result<Self> {
        let entries = folder.entries("")?;
        let files: BTreeMap<String, u64> = entries
            .into_iter()
            .filter(|e| !e.is_folder)
            .map(|FolderEntry { name, size, .. }| (name, size))
            .collect();
        let contents = contents(files.iter().map(|(name, len)| (name.as_str(), *len)));
        let mut image = Self {
            folder,
            files,
            disks: Vec::new(),
            parts: BTreeSet::new(),
            is_whole: false,
            contents,
            groups: Vec::new(),
            devices: BTreeMap::new(),
            volumes: BTreeSet::new(),
            systems: BTreeMap::new(),
            luks: BTreeSet::new(),
        };
        if image.has("ecryptfs.info") {
            return Err(ClonezillaError::Encrypted.into());
        }
        image.load_lists()?;
        few("partitions", image.parts.len(), MAX_NAMES)?;
        few("volumes", image.volumes.len(), MAX_NAMES)?;
        few("saved partitions and volumes", image.contents.len(), MAX_NAMES)?;
        let names = image.disk_names()?;
        few("disks", names.len(), MAX_DISKS)?;
        for name in names {
            let disk = image.load_disk(name)?;
            image.disks.push(disk);
        }
        Ok(image)
    }

    fn load_lists(&mut self) -> Result<()> {
        self.parts = words(&self.text("parts")?.unwrap_or_default()).collect();
        let mut groups = Vec::new();
        for line in self.text("lvm_vg_dev.list")?.unwrap_or_default().lines() {
            let mut fields = line.split_whitespace();
            let (Some(group), Some(device)) = (fields.next(), fields.next()) else { continue };
            if let Some(id) = fields.next() {
                self.devices.insert(id.to_owned(), device.trim_start_matches("/dev/").to_owned());
            }
            if !groups.iter().any(|known| known == group) {
                groups.push(group.to_owned());
            }
        }
        for name in groups {
            check_name(&name)?;
            let file = format!("lvm_{name}.conf");
            let text = self.bytes(&file, MAX_TEXT)?.ok_or(ClonezillaError::Missing { name: file.clone() })?;
            self.groups.push(Group::parse(&file, &name, text)?);
        }
        for line in self.text("lvm_logv.list")?.unwrap_or_default().lines() {
            let Some(device) = line.split_whitespace().next() else { continue };
            if let Some((group, volume)) = device.trim_start_matches("/dev/").split_once('/') {
                self.volumes.insert(format!("{group}-{volume}"));
            }
        }
        for line in self.text("dev-fs.list")?.unwrap_or_default().lines() {
            let mut fields = line.split_whitespace();
            let device = fields.next().and_then(|device| device.strip_prefix("/dev/"));
            // Where no file system is known, the size follows at once.
            let system =
                fields.next().filter(|system| system.starts_with(|first: char| first.is_alphabetic()));
            if let (Some(device), Some(system)) = (device, system.filter(|system| *system != "unknown")) {
                self.systems.insert(device.to_owned(), system.to_owned());
            }
        }
        for line in self.text("luks-dev.list")?.unwrap_or_default().lines() {
            let device = line.split_whitespace().next();
            self.luks.extend(device.map(|device| device.trim_start_matches("/dev/").to_owned()));
        }
        Ok(())
    }

    /// The disks: as `disk` lists them, or those of the partitions.
    fn disk_names(&mut self) -> Result<Vec<String>> {
        let mut names: Vec<String> = words(&self.text("disk")?.unwrap_or_default()).collect();
        self.is_whole = !names.is_empty();
        if !self.is_whole {
            for part in &self.parts {
                let disk = disk_of(part).to_owned();
                if !names.contains(&disk) {
                    names.push(disk);
                }
            }
        }
        names.iter().chain(&self.parts).try_for_each(|name| check_name(name))?;
        if names.is_empty() { Err(ClonezillaError::NoDisks.into()) } else { Ok(names) }
    }

    fn load_disk(&self, name: String) -> Result<SavedDisk> {
        let gpt = self.gpt(&name)?;
        let [sfdisk_file, parted_file] = ["sf", "parted"].map(|kind| format!("{name}-pt.{kind}"));
        let parted = self.text(&parted_file)?.filter(|text| !text.trim().is_empty());
        let parted = parted.map(|text| parse_parted(&parted_file, &name, &text)).transpose()?;
        let told = parted.as_ref().and_then(|table| table.size);
        let sector = parted.as_ref().map_or(512, |table| table.sector);
        let sfdisk = self.text(&sfdisk_file)?;
        let sfdisk = sfdisk.map(|text| parse_sfdisk(&sfdisk_file, &name, &text, sector)).transpose()?;
        let is_hidden = |table: &Table| table.parts.iter().any(|part| part.id == PROTECTIVE);
        let is_gpt = match (&parted, &sfdisk) {
            (Some(table), _) => table.is_gpt,
            (None, Some(table)) => table.is_gpt || is_hidden(table),
            (None, None) => false,
        };
        if is_gpt && gpt.is_none() {
            return Err(ClonezillaError::Missing { name: format!("{name}-gpt-1st") }.into());
        }
        let mut texts = vec![(sfdisk_file, sfdisk), (parted_file, parted)];
        texts.retain(|(_, table)| table.is_some());
        let mut tables: Vec<(String, Table)> =
            texts.into_iter().filter_map(|(file, table)| Some((file, table?))).collect();
        // The bytes of a GPT are the table; an old sfdisk saw only the one that hides it.
        let gpt = match gpt {
            Some(gpt) if is_gpt || tables.is_empty() => {
                tables.retain(|(_, table)| table.is_gpt || !is_hidden(table));
                tables.insert(0, (gpt.files[0].clone(), gpt.table(&name)?));
                Some(gpt)
            }
            Some(gpt) => return Err(self.no_gpt(gpt, &tables)),
            None => None,
        };
        let faults = self.compare(&name, gpt.as_ref(), &tables)?;
        let table = (!tables.is_empty()).then(|| tables.swap_remove(0).1);
        let table = table.map(Table::checked).transpose()?.filter(|table| !table.parts.is_empty());
        let device = self.groups.iter().flat_map(|group| &group.physical);
        let device = device.filter(|one| self.device(&one.id, &one.device) == name).map(|one| one.size).max();
        if table.is_none() && !self.contents.contains_key(&name) && device.is_none() {
            return Err(ClonezillaError::NoTable { disk: name }.into());
        }
        let gpt = gpt.filter(|_| table.is_some());
        let chs = || self.text(&format!("{name}-chs.sf")).ok().flatten().and_then(|text| parse_chs(&text));
        let told = table.as_ref().filter(|table| table.is_gpt).and_then(|table| table.size).or(told);
        let told = told.or_else(chs).unwrap_or(0);
        // Geometries count whole cylinders, and miss the end of a disk.
        let end = table.as_ref().map_or(0, Table::end).max(device.unwrap_or(0));
        let size = told.max(end);
        let size = size.checked_next_multiple_of(512).unwrap_or(size);
        if size > MAX_DISK {
            return Err(ClonezillaError::DiskSize { disk: name, size }.into());
        }
        Ok(SavedDisk { name, table, gpt, size, faults })
    }

    /// A GPT beside tables that tell of none.
    fn no_gpt(&self, gpt: Gpt, tables: &[(String, Table)]) -> Error {
        let [file, _] = gpt.files;
        let other = tables.first().map_or_else(String::new, |(file, _)| file.clone());
        let what = "whether there is a GPT".to_owned();
        ClonezillaError::Contradict { what, file, left: 1, other, right: 0 }.into()
    }

    /// Where the files that tell of a disk's table contradict each other: the first table is what the disk gets.
    fn compare(
        &self,
        disk: &str,
        gpt: Option<&Gpt>,
        tables: &[(String, Table)],
    ) -> Result<Vec<ClonezillaError>> {
        let mut faults = gpt.map(Gpt::faults).unwrap_or_default();
        let Some((file, table)) = tables.first().map(|(file, table)| (file.as_str(), table)) else {
            return Ok(faults);
        };
        for (other, second) in tables.iter().skip(1) {
            faults.extend(agree::tables((file, table), (other, second)));
            if let (Some(left), Some(right)) = (table.size, second.size)
                && left != right
            {
                let (what, file) = (format!("the bytes of {disk}"), file.to_owned());
                let other = other.clone();
                faults.push(ClonezillaError::Contradict { what, file, left, other, right });
            }
        }
        let name = format!("{disk}-mbr");
        if let Some(mbr) = self.bytes(&name, MAX_HIDDEN)? {
            faults.extend(agree::mbr(&name, &mbr, gpt.is_none().then_some((file, table))));
            // sgdisk writes its file anew, Clonezilla copies the first sectors as they are.
            let differs = |first: &[u8]| first.get(..mbr.len()) != Some(mbr.as_slice());
            if file.ends_with("-gpt-1st") && gpt.is_some_and(|gpt| differs(&gpt.first)) {
                let what = "it and the file of the GPT begin with different sectors";
                faults.push(ClonezillaError::Table { file: name, what });
            }
        }
        let extended = table.parts.iter().find(|part| part.is_extended());
        if let Some((name, ebr)) = extended.map(|part| self.ebr(disk, part)).transpose()?.flatten() {
            faults.extend(agree::ebr(&name, &ebr, (file, table)));
        }
        Ok(faults)
    }

    /// The first table of the logical partitions of `disk`, with the name of its file.
    pub(crate) fn ebr(&self, disk: &str, extended: &Part) -> Result<Option<(String, Vec<u8>)>> {
        let names = [format!("{}-ebr", extended.name), format!("{disk}-ebr")];
        let Some(name) = names.into_iter().find(|name| self.has(name)) else { return Ok(None) };
        Ok(self.bytes(&name, MAX_HIDDEN)?.map(|bytes| (name, bytes)))
    }

    fn gpt(&self, disk: &str) -> Result<Option<Gpt>> {
        let (first, second) = (format!("{disk}-gpt-1st"), format!("{disk}-gpt-2nd"));
        if let Some(bytes) = self.bytes(&first, MAX_TEXT)? {
            return Ok(Some(Gpt::of_copies([&first, &second], bytes, self.bytes(&second, MAX_TEXT)?)?));
        }
        let backup = format!("{disk}-gpt.gdisk");
        let bytes = self.bytes(&backup, MAX_TEXT)?;
        Ok(bytes.map(|bytes| Gpt::of_sgdisk(&backup, &bytes)).transpose()?)
    }

    /// Where the physical volume with this UUID is now; `device` is what the group's text says.
    pub(crate) fn device<'a>(&'a self, id: &str, device: &'a str) -> &'a str {
        self.devices.get(id).map_or(device, String::as_str)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    /// Bytes of a file, if it is there.
    pub(crate) fn size(&self, name: &str) -> Option<u64> {
        self.files.get(name).copied()
    }

    /// The names of all files.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// The text of a file, if it is there.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>> {
        Ok(self.bytes(name, MAX_TEXT)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    pub(crate) fn bytes(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        if !self.has(name) {
            return Ok(None);
        }
        self.folder.read(name, limit).map(Some)
    }

    /// Bytes of all files with contents that no compression keeps from being read at any place, and of the others.
    pub(crate) fn packed(&self) -> (usize, u64) {
        let packed = self.contents.values().filter(|saved| {
            let raw = saved.compression == "uncomp" || saved.kind == Kind::Old;
            !raw
        });
        packed.fold((0, 0), |(count, bytes), saved| (count + 1, bytes + saved.len()))
    }
}

fn few(what: &'static str, found: usize, limit: usize) -> Result<(), ClonezillaError> {
    if found > limit { Err(ClonezillaError::Many { what, found, limit }) } else { Ok(()) }
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split_whitespace().map(str::to_owned).collect::<Vec<_>>().into_iter()
}

/// The disk of a partition: `sda` for `sda2`, `nvme0n1` for `nvme0n1p2`.
pub(crate) fn disk_of(part: &str) -> &str {
    let disk = part.trim_end_matches(|digit: char| digit.is_ascii_digit());
    match disk.strip_suffix('p') {
        Some(front) if front.ends_with(|digit: char| digit.is_ascii_digit()) => front,
        _ => disk,
    }
}

/// Names become names of files.
fn check_name(name: &str) -> Result<(), ClonezillaError> {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.+".contains(&byte);
    match !name.is_empty() && name.len() < 200 && !name.starts_with('.') && name.bytes().all(fine) {
        true => Ok(()),
        false => Err(ClonezillaError::Name { name: name.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_told_from_partitions() {
        for (part, disk) in [
            ("sda1", "sda"),
            ("hdb12", "hdb"),
            ("nvme0n1p3", "nvme0n1"),
            ("mmcblk0p1", "mmcblk0"),
            ("vdp1", "vdp"),
        ] {
            assert_eq!(disk_of(part), disk);
        }
        assert!(check_name("../x").is_err() && check_name("").is_err() && check_name("a/b").is_err());
        assert!(check_name("nvme0n1").is_ok());
    }
}
