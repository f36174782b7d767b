//! Contents of partitions and volumes, opened: joined, unpacked, and read as the format that their names tell.

use crate::error::ClonezillaError;
use crate::joined::join;
use crate::names::{Kind, Saved};
use format_core::{DenyAll, Disk, Error, Layer, LayerContext, Result, SourceFolder, Storage};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

const PARTCLONE: &[u8] = b"partclone-image";
const NTFSCLONE: &[u8] = b"\0ntfsclone-image";
const PARTIMAGE: &[u8] = b"PaRtImAgE-VoLuMe";

/// Opens each content once: it may have been unpacked for that.
pub(crate) struct Contents {
    context: LayerContext,
    folder: Arc<SourceFolder>,
    opened: Mutex<BTreeMap<String, Disk>>,
}

impl Contents {
    pub(crate) fn new(context: LayerContext, folder: Arc<SourceFolder>) -> Self {
        Self { context, folder, opened: Mutex::default() }
    }

    /// The content that was saved as `subject`.
    pub(crate) fn open(&self, subject: &str, saved: &Saved) -> Result<Disk> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(disk) = opened.get(subject) {
            return Ok(disk.clone());
        }
        let disk = self.open_new(saved).map_err(|e| e.context(format!("open {}", saved.file())))?;
        opened.insert(subject.to_owned(), disk.clone());
        Ok(disk)
    }

    fn open_new(&self, saved: &Saved) -> Result<Disk> {
        refuse_foreign(saved)?;
        let packed = join(&self.folder, saved)?;
        let name = match saved.compression.as_str() {
            "" | "uncomp" => saved.stem.clone(),
            compression => format!("{}.{compression}", saved.stem),
        };
        let plain = self.context.opener.unpacked(packed, &name)?;
        let mut head = vec![0; plain.size().min(16) as usize];
        plain.read_exact_at(0, &mut head)?;
        let content =
            |wanted| Error::from(ClonezillaError::Content { file: saved.file().to_owned(), wanted });
        let wanted = match saved.kind {
            Kind::Old => return Err(ClonezillaError::Partimage { file: saved.file().to_owned() }.into()),
            _ if head.starts_with(PARTIMAGE) => {
                return Err(ClonezillaError::Partimage { file: saved.file().to_owned() }.into());
            }
            // Whatever it begins with, it is a partition: a guest must not choose how it is read.
            Kind::Raw => return raw(plain),
            Kind::Partclone if saved.file_system == "dd" && !head.starts_with(PARTCLONE) => {
                return raw(plain);
            }
            Kind::Partclone if head.starts_with(PARTCLONE) => "partclone",
            Kind::Ntfsclone if head.starts_with(NTFSCLONE) => "ntfsclone",
            Kind::Partclone => return Err(content("partclone")),
            Kind::Ntfsclone => return Err(content("ntfsclone")),
        };
        let inner = self.context.opener.open(plain, &saved.stem, Arc::new(DenyAll))?;
        let found = inner.disk.layers().first().map_or("", |layer| layer.format());
        if found == wanted { Ok(inner.disk) } else { Err(content(wanted)) }
    }
}

/// Errors that show without opening anything.
pub(crate) fn refuse_foreign(saved: &Saved) -> Result<(), ClonezillaError> {
    if let Some(tool) = saved.foreign_tool() {
        return Err(ClonezillaError::Compression { file: saved.file().to_owned(), tool });
    }
    if saved.kind == Kind::Old {
        return Err(ClonezillaError::Partimage { file: saved.file().to_owned() });
    }
    saved.fault().map_or(Ok(()), Err)
}

/// Bytes as they are, as a disk.
pub(crate) fn raw(storage: Arc<dyn Storage>) -> Result<Disk> {
    Disk::new(vec![Arc::new(RawBytes(storage)) as Arc<dyn Layer>])
}

struct RawBytes(Arc<dyn Storage>);

impl Layer for RawBytes {
    fn format(&self) -> &'static str {
        crate::FORMAT.name
    }

    fn virtual_size(&self) -> u64 {
        self.0.size()
    }

    fn chunk_size(&self) -> u64 {
        1
    }

    fn extent_at(&self, offset: u64) -> Result<format_core::Extent> {
        self.0.data_at(offset)
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        format_core::check_guest_range(self.0.size(), offset, buf.len() as u64)?;
        self.0.read_exact_at(offset, buf)
    }

    fn host_range(&self, offset: u64) -> Option<format_core::HostRange> {
        let len = self.0.size().checked_sub(offset).filter(|len| *len > 0)?;
        Some(format_core::HostRange { storage: Arc::clone(&self.0), offset, len })
    }
}
