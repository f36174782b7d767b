//! A folder in the making, and an opener that knows no compression and a pretended partclone.

use format_clonezilla::FORMAT;
use format_core::{
    Container, DenyAll, Disk, Error, Gate, InnerImage, Layer, LayerContext, Opener, Origin, Result,
    SourceFolder, Storage, WindowStorage,
};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// Files by their names.
#[derive(Clone, Default)]
pub struct Folder(pub BTreeMap<String, Vec<u8>>);

impl Folder {
    pub fn with(mut self, name: &str, bytes: impl AsRef<[u8]>) -> Self {
        self.0.insert(name.into(), bytes.as_ref().to_vec());
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        assert!(self.0.remove(name).is_some(), "{name}");
        self
    }

    pub fn write(&self) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in &self.0 {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        folder
    }

    pub fn open(&self) -> Result<Box<dyn Container>> {
        open(self.write().path())
    }

    /// All disks, read.
    pub fn disks(&self) -> Result<Vec<Vec<u8>>> {
        let folder = self.write();
        let container = open(folder.path())?;
        (0..container.disks().len()).map(|index| read(&container.open_disk(index)?.disk)).collect()
    }
}

/// A first sector with these partitions: type, first sector, count.
pub fn mbr(parts: &[(u8, u32, u32)]) -> Vec<u8> {
    let mut mbr = vec![0x33; 512];
    mbr[446..510].fill(0);
    for (entry, (id, start, count)) in mbr[446..510].chunks_mut(16).zip(parts) {
        entry[4] = *id;
        entry[8..12].copy_from_slice(&start.to_le_bytes());
        entry[12..].copy_from_slice(&count.to_le_bytes());
    }
    mbr[510..].copy_from_slice(&[0x55, 0xaa]);
    mbr
}

/// Puts the checksums right of the GPT header at `at`, whose entries are in `entries`.
pub fn seal(gpt: &mut [u8], at: usize, entries: std::ops::Range<usize>) {
    let sum = crc32fast::hash(&gpt[entries]).to_le_bytes();
    gpt[at + 88..at + 92].copy_from_slice(&sum);
    gpt[at + 12..at + 16].copy_from_slice(&92u32.to_le_bytes());
    gpt[at + 16..at + 20].fill(0);
    let sum = crc32fast::hash(&gpt[at..at + 92]).to_le_bytes();
    gpt[at + 16..at + 20].copy_from_slice(&sum);
}

/// Both GPTs of a disk of 8192 sectors with these partitions, first and last sector.
pub fn gpts(parts: &[(u64, u64)]) -> (Vec<u8>, Vec<u8>) {
    let (mut first, mut second) = (vec![0; 34 * 512], vec![0; 33 * 512]);
    first[..512].copy_from_slice(&mbr(&[(0xee, 1, 8191)]));
    let put =
        |bytes: &mut [u8], at: usize, value: u64| bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
    for (number, (start, end)) in parts.iter().enumerate() {
        let at = 1024 + number * 128;
        for (at, value) in [(at, 1), (at + 32, *start), (at + 40, *end)] {
            put(&mut first, at, value);
        }
    }
    second[..32 * 512].copy_from_slice(&first[1024..]);
    for (bytes, at, own, other, entries) in
        [(&mut first, 512, 1, 8191, 2), (&mut second, 32 * 512, 8191, 1, 8159)]
    {
        put(bytes, at, u64::from_le_bytes(*b"EFI PART"));
        for (more, value) in
            [(24, own), (32, other), (40, 34), (48, 8158), (72, entries), (80, 128 + (128 << 32))]
        {
            put(bytes, at + more, value);
        }
    }
    seal(&mut first, 512, 1024..34 * 512);
    seal(&mut second, 32 * 512, 0..32 * 512);
    (first, second)
}

/// The sample with a GPT.
pub fn sample_with_gpt() -> Folder {
    let (first, second) = gpts(&[(1000, 1999), (2048, 4095), (4096, 5119)]);
    let sf = String::from_utf8(sample().0["sda-pt.sf"].clone()).unwrap().replace("label: dos", "label: gpt");
    let parted = String::from_utf8(sample().0["sda-pt.parted"].clone()).unwrap().replace("msdos", "gpt");
    sample()
        .with("sda-mbr", &first[..512])
        .with("sda-gpt-1st", first)
        .with("sda-gpt-2nd", second)
        .with("sda-pt.sf", sf)
        .with("sda-pt.parted", parted)
}

/// An MBR disk of 4 MiB: two partitions as bytes, a swap area, and what lies before them.
pub fn sample() -> Folder {
    let mbr = mbr(&[(0x83, 1000, 1000), (7, 2048, 2048), (0x82, 4096, 1024)]);
    Folder::default()
        .with("disk", "sda\n")
        .with("parts", "sda1 sda2\n")
        .with("clonezilla-img", "")
        .with("sda-mbr", mbr)
        .with("sda-hidden-data-after-mbr", vec![0x44; 1024 * 512])
        .with(
            "sda-pt.sf",
            "label: dos\nunit: sectors\n\n/dev/sda1 : start= 1000, size= 1000, type=83\n\
             /dev/sda2 : start= 2048, size= 2048, type=7\n/dev/sda3 : start= 4096, size= 1024, type=82\n",
        )
        .with(
            "sda-pt.parted",
            "Disk /dev/sda: 8192s\nSector size (logical/physical): 512B/512B\nPartition Table: msdos\n",
        )
        .with("sda1.dd-img.aa", vec![0x11; 300_000])
        .with("sda1.dd-img.ab", vec![0x12; 212_000])
        .with("sda2.ext4-ptcl-img.uncomp", [&b"partclone-image\0"[..], &[0x22; 700_000]].concat())
        .with("swappt-sda3.info", "UUID=\"11111111-2222-3333-4444-555555555555\"\nLABEL=\"sw\"\n")
}

pub fn open(path: &Path) -> Result<Box<dyn Container>> {
    let mut context = LayerContext::new(Arc::new(DenyAll));
    context.opener = Arc::new(TestOpener);
    let folder = Arc::new(SourceFolder::open(path)?);
    FORMAT.open_container.unwrap()(Origin::Folder(folder), &context)
}

pub fn read(disk: &Disk) -> Result<Vec<u8>> {
    let mut bytes = vec![0xee; disk.virtual_size() as usize];
    for (number, piece) in bytes.chunks_mut(70_001).enumerate() {
        disk.read_exact_at(number as u64 * 70_001, piece)?;
    }
    for extent in disk.extents(0, u64::MAX) {
        let extent = extent?;
        let range = extent.offset as usize..extent.end() as usize;
        assert!(extent.kind == format_core::ExtentKind::Data || format_core::is_zero(&bytes[range]));
    }
    Ok(bytes)
}

struct TestOpener;

impl Opener for TestOpener {
    fn open(&self, storage: Arc<dyn Storage>, _: &str, _: Arc<dyn Gate>) -> Result<InnerImage> {
        let len = storage.size() - 16;
        let inner = Arc::new(WindowStorage::new(storage, 16, len)?);
        Ok(InnerImage::plain(Disk::new(vec![Arc::new(Pretended(inner))])?))
    }

    fn unpacked(&self, storage: Arc<dyn Storage>, _: &str) -> Result<Arc<dyn Storage>> {
        Ok(storage)
    }

    fn reader(&self, _: Arc<dyn Storage>, _: &str) -> Result<Box<dyn Read + Send>> {
        Err(Error::unsupported("not here"))
    }

    fn keep(&self, _: &str, _: Box<dyn Read + Send>, _: Option<u64>) -> Result<Arc<dyn Storage>> {
        Err(Error::unsupported("not here"))
    }

    fn scratch(&self) -> Result<std::fs::File> {
        Err(Error::unsupported("not here"))
    }
}

struct Pretended(Arc<WindowStorage>);

impl Layer for Pretended {
    fn format(&self) -> &'static str {
        "partclone"
    }
    fn virtual_size(&self) -> u64 {
        self.0.size()
    }
    fn chunk_size(&self) -> u64 {
        512
    }
    fn extent_at(&self, offset: u64) -> Result<format_core::Extent> {
        self.0.data_at(offset)
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.0.read_exact_at(offset, buf)
    }
}
