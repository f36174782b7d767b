//! Expanding images and folders put together by hand, from the offsets of the specification.

use format_core::{
    CheckReport, DenyAll, Format, Layer, LayerContext, MemStorage, OpenOptions, OpenedImage, Result,
    open_image,
};
use format_parallels::FORMAT;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub static FORMATS: &[&Format] = &[&FORMAT];
pub const SECTOR: usize = 512;

/// Offsets of header fields.
pub mod at {
    pub const VERSION: usize = 16;
    pub const TRACKS: usize = 28;
    pub const BAT_ENTRIES: usize = 32;
    pub const SECTORS: usize = 36;
    pub const IN_USE: usize = 44;
    pub const DATA_OFF: usize = 48;
    pub const EXT_OFF: usize = 56;
    pub const BAT: usize = 64;
}

/// An expanding image to be.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whether the BAT counts in clusters.
    pub ext: bool,
    pub tracks: usize,
    pub sectors: usize,
    /// One for each cluster of the disk: its number in the file, counted from 1.
    pub map: Vec<usize>,
    /// What the data are made of.
    pub fill: u8,
}

impl Plan {
    /// Ten clusters of three sectors, the last of one, some unallocated, out of order.
    pub fn sample(ext: bool) -> Self {
        Self { ext, tracks: 3, sectors: 28, map: vec![2, 3, 0, 1, 0, 0, 4, 6, 0, 5], fill: 1 }
    }

    pub fn build(&self) -> Image {
        let cluster = self.tracks * SECTOR;
        let bat_end = at::BAT + self.map.len() * 4;
        let data = bat_end.next_multiple_of(if self.ext { cluster } else { SECTOR });
        let used = self.map.iter().copied().max().unwrap_or(0);
        let mut image =
            Image { bytes: vec![0xee; data + used * cluster], content: vec![0; self.sectors * SECTOR] };
        image.bytes[..bat_end].fill(0);
        image.bytes[..16].copy_from_slice(if self.ext { b"WithouFreSpacExt" } else { b"WithoutFreeSpace" });
        let fields = [
            (at::VERSION, 2),
            (at::TRACKS, self.tracks),
            (at::BAT_ENTRIES, self.map.len()),
            (at::SECTORS, self.sectors),
            (at::IN_USE, 0x312e_3276),
            (at::DATA_OFF, data / SECTOR),
        ];
        for (at, value) in fields {
            image.put(at, value as u32);
        }
        for (number, place) in self.map.iter().enumerate().filter(|(_, place)| **place > 0) {
            let offset = data + (place - 1) * cluster;
            image.put(at::BAT + number * 4, (offset / if self.ext { cluster } else { SECTOR }) as u32);
            let range = number * cluster..image.content.len().min((number + 1) * cluster);
            for (index, guest) in range.enumerate() {
                let byte = (guest * 7 + guest / 256) as u8 ^ self.fill | 1;
                (image.bytes[offset + index], image.content[guest]) = (byte, byte);
            }
        }
        image
    }

    /// `content` with what this image holds over it.
    pub fn over(&self, content: &mut [u8]) {
        let own = self.build().content;
        for (number, _) in self.map.iter().enumerate().filter(|(_, place)| **place > 0) {
            let start = number * self.tracks * SECTOR;
            let end = own.len().min(start + self.tracks * SECTOR);
            content[start..end].copy_from_slice(&own[start..end]);
        }
    }
}

/// An image and what its disk holds, where nothing lies below it.
#[derive(Clone, Debug)]
pub struct Image {
    pub bytes: Vec<u8>,
    pub content: Vec<u8>,
}

impl Image {
    pub fn put(&mut self, at: usize, value: u32) {
        self.bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
}

fn context() -> LayerContext {
    LayerContext::new(Arc::new(DenyAll))
}

pub fn open(bytes: &[u8]) -> Result<Box<dyn Layer>> {
    FORMAT.open_layer.unwrap()(Arc::new(MemStorage(bytes.to_vec())), &context())
}

pub fn read(bytes: &[u8]) -> Result<Vec<u8>> {
    let layer = open(bytes)?;
    let mut content = vec![0xaa; layer.virtual_size() as usize];
    layer.read_exact_at(0, &mut content)?;
    Ok(content)
}

pub fn check(bytes: &[u8]) -> Result<CheckReport> {
    FORMAT.check.unwrap()(Arc::new(MemStorage(bytes.to_vec())), &context())
}

/// The GUID of a number; 0 is the one of the current state.
pub fn guid(number: usize) -> String {
    if number == 0 {
        "{5fbaabe3-6958-40ff-92a7-860e329aab41}".into()
    } else {
        format!("{{{number:08x}-0000-4000-8000-000000000000}}")
    }
}

pub const NIL: &str = "{00000000-0000-0000-0000-000000000000}";

/// GUID, type and file of an image.
pub type ImageElement = (String, &'static str, String);

/// A descriptor to be.
#[derive(Clone, Debug, Default)]
pub struct Descriptor {
    pub sectors: usize,
    pub parameters: String,
    /// Start, end, block size, and the images.
    pub storages: Vec<(usize, usize, usize, Vec<ImageElement>)>,
    pub top: Option<String>,
    /// GUID and parent.
    pub shots: Vec<(String, String)>,
}

impl Descriptor {
    pub fn text(&self) -> String {
        let mut text = String::from("<?xml version='1.0' encoding='UTF-8'?>\n<!-- a disk -->\n");
        let head = &self.parameters;
        write!(
            text,
            "<Parallels_disk_image Version=\"1.0\">\n<Disk_Parameters><Disk_size>{}</Disk_size>{head}</Disk_Parameters>\n<StorageData>",
            self.sectors
        )
        .unwrap();
        for (start, end, block, images) in &self.storages {
            write!(text, "<Storage><Start>{start}</Start><End>{end}</End><Blocksize>{block}</Blocksize>")
                .unwrap();
            for (guid, kind, file) in images {
                write!(text, "<Image><GUID>{guid}</GUID><Type> {kind} </Type><File>{file}</File></Image>")
                    .unwrap();
            }
            text.push_str("</Storage>");
        }
        text.push_str("</StorageData>\n<Snapshots>");
        if let Some(top) = &self.top {
            write!(text, "<TopGUID>{top}</TopGUID>").unwrap();
        }
        for (guid, parent) in &self.shots {
            write!(text, "<Shot><GUID>{guid}</GUID><ParentGUID>{parent}</ParentGUID></Shot>").unwrap();
        }
        text.push_str("</Snapshots>\n</Parallels_disk_image>\n");
        text
    }
}

/// A folder with files.
pub struct Folder {
    root: tempfile::TempDir,
}

impl Folder {
    pub fn new(descriptor: &str, files: &[(&str, &[u8])]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("disk.hdd");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("DiskDescriptor.xml"), descriptor).unwrap();
        for (name, bytes) in files {
            std::fs::write(folder.join(name), bytes).unwrap();
        }
        Self { root }
    }

    pub fn path(&self) -> PathBuf {
        self.root.path().join("disk.hdd")
    }

    pub fn open(&self, snapshot: Option<&str>) -> Result<OpenedImage> {
        open_path(&self.path(), snapshot)
    }

    pub fn content(&self, snapshot: Option<&str>) -> Result<Vec<u8>> {
        content(&self.open(snapshot)?)
    }
}

pub fn open_path(path: &Path, snapshot: Option<&str>) -> Result<OpenedImage> {
    let mut options = OpenOptions::new(FORMATS, None);
    options.access.snapshot = snapshot.map(str::to_owned);
    open_image(path, &options)
}

pub fn content(image: &OpenedImage) -> Result<Vec<u8>> {
    let mut found = vec![0xaa; image.disk.virtual_size() as usize];
    image.disk.read_exact_at(0, &mut found)?;
    Ok(found)
}
