//! FAT file systems of EFI system partitions, read only, through the `fatfs` crate.
//!
//! `fatfs` wants a seekable stream; a private adapter gives it one over a [`Volume`], with a bound on what one call may
//! read, so that a chain of clusters that runs in circles ends in an error.

mod io;

use driver_core::{DirEntry, FileKind, FileMeta, GuestFs, Ownership, Volume};
use format_core::{Error, ErrorKind, Result};
use io::VolumeStream;
use std::io::Read;
use std::sync::Arc;

const NAME: &str = "vfat";
/// Entries of one folder; FAT32's own limit is 65,536 of 32 bytes.
const MAX_ENTRIES: usize = 65_536;

/// Facts of the boot sector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FatFacts {
    /// The serial number as blkid spells it: `1234-ABCD`.
    pub uuid: String,
    /// The label, if there is one.
    pub label: Option<String>,
}

/// The facts of the FAT file system on `volume`, `None` when there is none.
///
/// # Errors
/// What the volume reports.
pub fn probe(volume: &dyn Volume) -> Result<Option<FatFacts>> {
    if volume.size() < 512 {
        return Ok(None);
    }
    let mut sector = [0; 512];
    volume.read_exact_at(0, &mut sector)?;
    let word = |at: usize| u16::from_le_bytes([sector[at], sector[at + 1]]);
    let (bytes_per_sector, sectors_per_cluster, reserved, fats) =
        (word(11), sector[13], word(14), sector[16]);
    let fits = sector[510..] == [0x55, 0xaa]
        && matches!(sector[0], 0xeb | 0xe9)
        && matches!(bytes_per_sector, 512 | 1024 | 2048 | 4096)
        && sectors_per_cluster.is_power_of_two()
        && reserved > 0
        && matches!(fats, 1 | 2);
    // The type string decides nothing in the specification, but it keeps NTFS and other boot sectors out.
    let extended = if &sector[82..87] == b"FAT32" {
        64
    } else if &sector[54..57] == b"FAT" {
        36
    } else {
        return Ok(None);
    };
    if !fits {
        return Ok(None);
    }
    let serial = [6, 5, 4, 3].map(|i| sector[extended + i]);
    let label = String::from_utf8_lossy(&sector[extended + 7..extended + 18]).trim_end().to_owned();
    Ok(Some(FatFacts {
        uuid: format!("{:02X}{:02X}-{:02X}{:02X}", serial[0], serial[1], serial[2], serial[3]),
        label: Some(label).filter(|label| !label.is_empty() && label != "NO NAME"),
    }))
}

/// A FAT file system that can be read. Every method that edits answers `Unsupported`.
pub struct FatFs {
    fs: fatfs::FileSystem<VolumeStream>,
    stream: VolumeStream,
}

/// Opens the FAT file system on `volume`.
///
/// # Errors
/// `Corrupt` when there is none that can be read.
pub fn open(volume: Arc<dyn Volume>) -> Result<FatFs> {
    let stream = VolumeStream::new(volume);
    let fs = fatfs::FileSystem::new(stream.clone(), fatfs::FsOptions::new().update_accessed_date(false))
        .map_err(|e| convert(e, "the file system cannot be opened"))?;
    Ok(FatFs { fs, stream })
}

fn convert(error: std::io::Error, what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corrupt, what).in_format(NAME).with_source(error)
}

/// The path as `fatfs` wants it: without the leading slash.
fn inner(path: &str) -> &str {
    path.trim_matches('/')
}

impl FatFs {
    /// The entry at `path`, found folder by folder, upper and lower case being the same.
    fn entry(&self, path: &str) -> Result<Option<fatfs::DirEntry<'_, VolumeStream>>> {
        let mut folder = self.fs.root_dir();
        let mut names = inner(path).split('/').peekable();
        while let Some(name) = names.next() {
            let mut found = None;
            for entry in folder.iter().take(MAX_ENTRIES) {
                let entry = entry.map_err(|e| convert(e, format!("the folder of {path} cannot be read")))?;
                if entry.file_name().eq_ignore_ascii_case(name)
                    || entry.short_file_name().eq_ignore_ascii_case(name)
                {
                    found = Some(entry);
                    break;
                }
            }
            match found {
                Some(entry) if names.peek().is_none() => return Ok(Some(entry)),
                Some(entry) if entry.is_dir() => folder = entry.to_dir(),
                _ => return Ok(None),
            }
        }
        Ok(None)
    }
}

fn kind(is_folder: bool) -> FileKind {
    if is_folder { FileKind::Folder } else { FileKind::File }
}

fn read_only<T>() -> Result<T> {
    Err(Error::unsupported("FAT file systems are only read").in_format(NAME))
}

impl GuestFs for FatFs {
    fn kind(&self) -> &'static str {
        NAME
    }

    fn metadata(&self, path: &str) -> Result<Option<FileMeta>> {
        self.stream.grant();
        // FAT has no owners and no inodes: what Linux shows by default, and a number that equals no other file's.
        let meta = |kind, size| FileMeta { kind, size, mode: 0o755, uid: 0, gid: 0, inode: 0 };
        if inner(path).is_empty() {
            return Ok(Some(meta(FileKind::Folder, 0)));
        }
        Ok(self.entry(path)?.map(|entry| meta(kind(entry.is_dir()), entry.len())))
    }

    fn read_dir(&self, path: &str) -> Result<Vec<DirEntry>> {
        self.stream.grant();
        let folder = match inner(path) {
            "" => self.fs.root_dir(),
            _ => match self.entry(path)? {
                Some(entry) if entry.is_dir() => entry.to_dir(),
                _ => return Err(Error::usage(format!("{path} is no folder"))),
            },
        };
        let mut entries = Vec::new();
        for entry in folder.iter().take(MAX_ENTRIES) {
            let entry = entry.map_err(|e| convert(e, format!("the folder {path} cannot be read")))?;
            let name = entry.file_name();
            if name != "." && name != ".." {
                entries.push(DirEntry { name, kind: kind(entry.is_dir()) });
            }
        }
        Ok(entries)
    }

    fn read_file(&self, path: &str, limit: u64) -> Result<Vec<u8>> {
        self.stream.grant();
        let Some(entry) = self.entry(path)?.filter(|entry| entry.is_file()) else {
            return Err(Error::usage(format!("{path} is no file")));
        };
        if entry.len() > limit {
            let len = entry.len();
            return Err(Error::new(
                ErrorKind::Limit,
                format!("{path} has {len} bytes, at most {limit} are read"),
            ));
        }
        let mut content = Vec::new();
        let file = entry.to_file();
        file.take(limit)
            .read_to_end(&mut content)
            .map_err(|e| convert(e, format!("{path} cannot be read")))?;
        if content.len() as u64 != entry.len() {
            let (len, found) = (entry.len(), content.len());
            return Err(
                Error::corrupt(format!("{path} has {len} bytes, its clusters hold {found}")).in_format(NAME)
            );
        }
        Ok(content)
    }

    fn read_link(&self, path: &str) -> Result<String> {
        Err(Error::usage(format!("{path} is no link")))
    }

    fn replace_file(&mut self, _: &str, _: &[u8]) -> Result<()> {
        read_only()
    }

    fn append_file(&mut self, _: &str, _: &[u8]) -> Result<()> {
        read_only()
    }

    fn create_file(&mut self, _: &str, _: &[u8], _: Ownership) -> Result<()> {
        read_only()
    }

    fn create_folder(&mut self, _: &str, _: Ownership) -> Result<()> {
        read_only()
    }

    fn create_link(&mut self, _: &str, _: &str) -> Result<()> {
        read_only()
    }

    fn rename(&mut self, _: &str, _: &str) -> Result<()> {
        read_only()
    }

    fn remove(&mut self, _: &str) -> Result<()> {
        read_only()
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}
