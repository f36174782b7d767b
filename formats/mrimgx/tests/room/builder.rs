//! Writes backup files by hand.

use format_core::{
    Access, Container, Disk, FolderGate, Key, LayerContext, MemStorage, Origin, Result, SourceFolder,
};
use format_mrimgx::FORMAT;
use md5::{Digest, Md5};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

pub(crate) const BLOCK: usize = 4096;
pub(crate) const RESERVED: usize = 4 << 20;

/// A file of a set.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) number: u16,
    pub(crate) increment: u16,
    pub(crate) is_delta: bool,
    pub(crate) is_split: bool,
    pub(crate) merged: Vec<u16>,
    pub(crate) is_packed: bool,
    pub(crate) disks: Vec<DiskPlan>,
}

#[derive(Clone, Debug)]
pub(crate) struct DiskPlan {
    pub(crate) number: i32,
    pub(crate) size: u64,
    pub(crate) track0: Vec<u8>,
    /// Places and boot records.
    pub(crate) extended: Vec<(u64, Vec<u8>)>,
    pub(crate) partitions: Vec<PartPlan>,
}

#[derive(Clone, Debug)]
pub(crate) struct PartPlan {
    pub(crate) number: i32,
    pub(crate) start: u64,
    pub(crate) length: u64,
    /// Bytes before the first block.
    pub(crate) reserved: Vec<u8>,
    /// Blocks by their numbers; a delta has some of them.
    pub(crate) blocks: Vec<(u32, Source)>,
}

/// Where a block's content comes from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Zero,
    Here(Vec<u8>),
    /// A piece of an index: an element as it is.
    There(Vec<u8>),
}

/// A written file, and where things lie in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Written {
    pub(crate) bytes: Vec<u8>,
    /// Elements of the first disk's partitions, by block.
    pub(crate) elements: Vec<Vec<Vec<u8>>>,
    /// Headers of metadata blocks, by name, in their order.
    pub(crate) headers: Vec<(String, usize)>,
}

/// `len` bytes that pack a little.
pub(crate) fn sample(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|at| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            if at / 500 % 2 == 0 { state as u8 } else { (at / 8) as u8 }
        })
        .collect()
}

/// A boot record with entries of type, first sector, sectors.
pub(crate) fn boot_record(entries: &[(u8, u32, u32)]) -> Vec<u8> {
    let mut bytes = sample(446, 99);
    for (kind, first, count) in entries {
        bytes.extend_from_slice(&[0, 0, 0, 0, *kind, 0, 0, 0]);
        bytes.extend_from_slice(&first.to_le_bytes());
        bytes.extend_from_slice(&count.to_le_bytes());
    }
    bytes.resize(510, 0);
    bytes.extend_from_slice(&[0x55, 0xaa]);
    bytes
}

impl Plan {
    /// A full backup of an MBR disk with a partition, a logical one, and a gap.
    pub(crate) fn sample() -> Self {
        let (mib, sector) = (1_u64 << 20, 512);
        let mut track0 = boot_record(&[(7, 2048, 64), (5, 4096, 4096)]);
        track0.extend(sample(3 * 512, 4));
        let whole = |number: u32| (number, Source::Here(sample(BLOCK, u64::from(number) + 50)));
        let first = PartPlan {
            number: 1,
            start: mib,
            length: 8 * BLOCK as u64,
            reserved: Vec::new(),
            blocks: vec![
                whole(0),
                whole(1),
                (2, Source::Zero),
                whole(3),
                (4, Source::Zero),
                (5, Source::Zero),
                whole(6),
                whole(7),
            ],
        };
        let logical = PartPlan {
            number: 2,
            start: 2 * mib + 64 * sector,
            // The last block is a short one.
            length: 2 * BLOCK as u64 + 1024,
            reserved: Vec::new(),
            blocks: vec![whole(0), whole(1), (2, Source::Here(sample(1024, 9)))],
        };
        let disk = DiskPlan {
            number: 3,
            size: 4 * mib,
            track0,
            extended: vec![(2 * mib, boot_record(&[(7, 64, 18)]))],
            partitions: vec![first, logical],
        };
        Self {
            number: 0,
            increment: 0,
            is_delta: false,
            is_split: false,
            merged: Vec::new(),
            is_packed: true,
            disks: vec![disk],
        }
    }

    /// The content of the disk with this index, if no block comes from another file.
    pub(crate) fn content(&self, index: usize) -> Vec<u8> {
        let disk = &self.disks[index];
        let mut content = vec![0; disk.size as usize];
        let mut put =
            |at: u64, bytes: &[u8]| content[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
        put(0, &disk.track0);
        disk.extended.iter().for_each(|(at, record)| put(*at, record));
        for part in &disk.partitions {
            put(part.start, &part.reserved);
            for (number, source) in &part.blocks {
                let at = part.start + part.reserved.len() as u64 + u64::from(*number) * BLOCK as u64;
                if let Source::Here(bytes) = source {
                    put(at, bytes);
                }
            }
        }
        content
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        self.write().bytes
    }

    pub(crate) fn write(&self) -> Written {
        let mut written = Written::default();
        let mut metadata: Vec<(&str, Vec<u8>, bool, bool)> = Vec::new();
        let (mut disks, mut is_first) = (Vec::new(), true);
        for disk in &self.disks {
            metadata.push(("$TRACK0 ", disk.track0.clone(), disk.extended.is_empty(), true));
            if !disk.extended.is_empty() {
                let mut table = (disk.extended.len() as u32).to_le_bytes().to_vec();
                for (number, (at, record)) in disk.extended.iter().enumerate() {
                    table.extend_from_slice(record);
                    table.extend_from_slice(&at.to_le_bytes());
                    table.extend_from_slice(&(number as u64).to_le_bytes());
                }
                metadata.push(("$EPT    ", table, true, true));
            }
            let mut partitions = Vec::new();
            for part in &disk.partitions {
                metadata.push(("$BITMAP ", Vec::new(), false, true));
                let (index, elements) = self.index_of(part, &mut written.bytes);
                metadata.push(("$INDEX  ", index, true, false));
                if is_first {
                    written.elements.push(elements);
                }
                partitions.push(self.partition_json(part));
            }
            is_first = false;
            disks.push(json!({
                "_header": {"disk_number": disk.number, "disk_format": "mbr", "imaged_partition_count": partitions.len()},
                "_geometry": {"bytes_per_sector": 512, "disk_size": disk.size},
                "partitions": partitions,
            }));
        }
        let index_at = written.bytes.len();
        if !self.is_split {
            metadata
                .iter()
                .for_each(|(name, content, last, pack)| written.metadata(name, content, *last, *pack));
        }
        let root = written.bytes.len() as u64;
        let text = self.json(disks, index_at).to_string();
        written.metadata("$JSON   ", text.as_bytes(), false, true);
        written.metadata("$AUXDATA", b"anything", true, false);
        written.bytes.extend_from_slice(&root.to_le_bytes());
        written.bytes.extend_from_slice(b"MACRIUM_FILE");
        written
    }

    fn json(&self, disks: Vec<Value>, index_at: usize) -> Value {
        let kind = ["full", "inc"][usize::from(self.increment > 0)];
        json!({
            "_compression": {"compression_level": if self.is_packed { "medium" } else { "none" }, "compression_method": "zstd"},
            "_encryption": {"enable": false, "key_iterations": 0},
            "_header": {
                "imageid": "D684BA87241263E2", "file_number": self.number, "increment_number": self.increment,
                "merged_files": self.merged, "split_file": self.is_split, "index_file_position": index_at,
                "delta_index": self.is_delta, "backup_time": 1_713_104_325, "backup_type": kind,
                "backup_format": "partition", "netbios_name": "PC",
            },
            "disks": disks,
        })
    }

    fn partition_json(&self, part: &PartPlan) -> Value {
        let history: Vec<_> = (0..=self.number)
            .map(|number| json!({"file_number": number, "file_name": format!("B:\\x\\D684BA87241263E2-{number:02}.mrimgx")}))
            .collect();
        let start = part.start;
        json!({
            "_header": {"block_size": BLOCK, "partition_number": part.number, "file_history": history},
            "_geometry": {"start": start, "length": part.length, "boot_sector_offset": 0},
            "_file_system": {
                "start": start, "lcn0_offset": start + part.reserved.len() as u64, "type": "NTFS",
                "reserved_sectors_byte_length": part.reserved.len(),
            },
        })
    }

    fn index_of(&self, part: &PartPlan, bytes: &mut Vec<u8>) -> (Vec<u8>, Vec<Vec<u8>>) {
        let reserved: Vec<_> =
            part.reserved.chunks(RESERVED).map(|chunk| self.element(chunk, bytes)).collect();
        let mut index = (reserved.len() as u32).to_le_bytes().to_vec();
        index.extend(reserved.concat());
        index.extend_from_slice(&(part.blocks.len() as u32).to_le_bytes());
        let mut elements = Vec::new();
        for (number, source) in &part.blocks {
            let element = match source {
                Source::Zero => vec![0; 30],
                Source::Here(content) => self.element(content, bytes),
                Source::There(element) => element.clone(),
            };
            index.extend_from_slice(&element);
            if self.is_delta {
                index.extend_from_slice(&number.to_le_bytes());
            }
            elements.push(element);
        }
        (index, elements)
    }

    fn element(&self, content: &[u8], bytes: &mut Vec<u8>) -> Vec<u8> {
        let stored =
            if self.is_packed { zstd::bulk::compress(content, 1).unwrap() } else { content.to_vec() };
        let mut element = (bytes.len() as u64).to_le_bytes().to_vec();
        element.extend_from_slice(&Md5::digest(content));
        element.extend_from_slice(&(stored.len() as u32).to_le_bytes());
        element.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&stored);
        element
    }
}

impl Written {
    fn metadata(&mut self, name: &str, content: &[u8], is_last: bool, pack: bool) {
        let stored = if pack && !content.is_empty() {
            zstd::bulk::compress(content, 1).unwrap()
        } else {
            content.to_vec()
        };
        self.headers.push((name.trim_end().to_owned(), self.bytes.len()));
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(&(stored.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(&Md5::digest(&stored));
        self.bytes.extend_from_slice(&[u8::from(is_last) | u8::from(pack) << 1, 0, 0, 0]);
        self.bytes.extend_from_slice(&stored);
    }

    /// Where the header of the block with this name lies, the first of them.
    pub(crate) fn header(&self, name: &str) -> usize {
        self.headers.iter().find(|(found, _)| found == name).unwrap().1
    }
}

pub(crate) fn open_bytes(bytes: &[u8]) -> Result<Arc<dyn Container>> {
    let gate = Arc::new(FolderGate::new(".".into(), Arc::new([])));
    let context = LayerContext::new(gate);
    (FORMAT.open_container.unwrap())(Origin::File(Arc::new(MemStorage(bytes.to_vec()))), &context)
        .map(Arc::from)
}

/// Opens a file in its folder, with passwords.
pub(crate) fn open_path(path: &Path, passwords: &[&[u8]]) -> Result<Arc<dyn Container>> {
    let parent = path.parent().unwrap();
    let gate = Arc::new(FolderGate::new(parent.to_owned(), Arc::new([])));
    let mut keys = passwords.iter().map(|password| Key::new(password.to_vec()));
    let access = Access { key: keys.next(), more_keys: keys.collect(), ..Access::default() };
    let folder = Some(Arc::new(SourceFolder::open(parent)?));
    let name = path.file_name().map(|name| name.to_str().unwrap().to_owned());
    let context = LayerContext { access, folder, name, ..LayerContext::new(gate) };
    let file = Arc::new(format_core::FileStorage::open(path)?);
    (FORMAT.open_container.unwrap())(Origin::File(file), &context).map(Arc::from)
}

pub(crate) fn disk(container: &Arc<dyn Container>, index: usize) -> Result<Disk> {
    Ok(container.open_disk(index)?.disk)
}

pub(crate) fn content(disk: &Disk) -> Result<Vec<u8>> {
    let mut bytes = vec![0; disk.virtual_size() as usize];
    disk.read_exact_at(0, &mut bytes)?;
    Ok(bytes)
}

pub(crate) fn read(container: &Arc<dyn Container>) -> Result<Vec<u8>> {
    content(&disk(container, 0)?)
}

pub(crate) fn read_bytes(bytes: &[u8]) -> Result<Vec<u8>> {
    read(&open_bytes(bytes)?)
}
