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

/// An MBR disk of 4 MiB: two partitions as bytes, a swap area, and what lies before them.
pub fn sample() -> Folder {
    let mut mbr = vec![0x33; 512];
    mbr[510..].copy_from_slice(&[0x55, 0xaa]);
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
