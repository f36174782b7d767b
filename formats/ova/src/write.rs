//! Writing an archive: the envelope, the files, and the manifest with what was written.

use crate::manifest::hex;
use crate::package::has_extension;
use format_core::{Error, Result, TargetStorage};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::io::Read;
use std::time::SystemTime;
use tar_members::{Dialect, NewMember, end_len, padding};

/// Read and written at once.
const PART: usize = 1 << 20;

/// An OVA that is being written: the envelope first, then its files, and at the end the manifest with the SHA-256 of each, taken
/// while it was written.
///
/// Nothing is under the final name before [`OvaWriter::finish`], if the target is a file. Headers are ustar's, with sizes from 8 GiB in base 256, which
/// VirtualBox, libarchive, GNU tar and Python read; the manifest at the end is where VirtualBox has it.
pub struct OvaWriter {
    target: Box<dyn TargetStorage>,
    /// Where the next member goes.
    at: u64,
    modified: u64,
    stem: String,
    names: HashSet<String>,
    manifest: String,
}

impl OvaWriter {
    /// Begins an archive with the envelope `name`, such as `machine.ovf`, of these bytes.
    ///
    /// # Errors
    /// `Usage` when the name is not that of an envelope or cannot be a member's; as [`TargetStorage::write_all_at`].
    pub fn new(target: Box<dyn TargetStorage>, name: &str, envelope: &[u8]) -> Result<Self> {
        let stem = name.rsplit_once('.').map(|(stem, _)| stem).filter(|_| has_extension(name, "ovf"));
        let stem = stem.filter(|stem| !stem.is_empty());
        let stem =
            stem.ok_or_else(|| Error::usage(format!("{name:?} is no name of an envelope")))?.to_owned();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let modified = now.map_or(0, |now| now.as_secs());
        let (names, manifest) = (HashSet::new(), String::new());
        let mut writer = Self { target, at: 0, modified, stem, names, manifest };
        writer.add(name, envelope.len() as u64, &mut &*envelope, &|_| Ok(()))?;
        Ok(writer)
    }

    /// Adds a file of `size` bytes, called as the envelope calls it, and returns its SHA-256. `tick` is told how many bytes were
    /// written since the last call.
    ///
    /// # Errors
    /// `Usage` for a name that was used before or cannot be a member's; `Corrupt` when `from` has fewer bytes, or more;
    /// `Io`; what `tick` returns. The archive can then not be finished.
    pub fn add(
        &mut self,
        name: &str,
        size: u64,
        from: &mut dyn Read,
        tick: format_core::Tick<'_>,
    ) -> Result<[u8; 32]> {
        let failed = |e: Error| e.in_format(crate::FORMAT.name);
        self.begin(name, size).map_err(failed)?;
        let (mut hasher, mut left, mut buf) = (Sha256::new(), size, vec![0; PART]);
        while left > 0 {
            let part = &mut buf[..left.min(PART as u64) as usize];
            read_exact(from, part, name)?;
            hasher.update(&*part);
            self.put(part)?;
            tick(part.len() as u64)?;
            left -= part.len() as u64;
        }
        if from.read(&mut [0]).map_err(|e| Error::io(format!("cannot read {name:?}"), e))? > 0 {
            return Err(failed(Error::corrupt(format!("{name:?} has more than {size} bytes"))));
        }
        self.put(&vec![0; padding(size) as usize])?;
        let digest: [u8; 32] = hasher.finalize().into();
        self.manifest.push_str(&format!("SHA256({name})= {}\n", hex(&digest)));
        Ok(digest)
    }

    /// Adds the manifest, ends the archive, and only then gives it its final name.
    ///
    /// # Errors
    /// As [`TargetStorage::commit`].
    pub fn finish(mut self) -> Result<()> {
        let (name, text) = (format!("{}.mf", self.stem), std::mem::take(&mut self.manifest));
        self.begin(&name, text.len() as u64)?;
        self.put(text.as_bytes())?;
        self.put(&vec![0; padding(text.len() as u64) as usize])?;
        self.put(&vec![0; end_len(self.at) as usize])?;
        self.target.set_len(self.at)?;
        self.target.commit()
    }

    fn begin(&mut self, name: &str, stored: u64) -> Result<()> {
        // Each would be another line of the manifest, or no line at all.
        if name.chars().any(char::is_control) {
            return Err(Error::usage(format!("{name:?} cannot be the name of a file of a package")));
        }
        let header = NewMember { name, stored, modified: self.modified, dialect: Dialect::Ustar }.header()?;
        if !self.names.insert(name.to_owned()) || (has_extension(name, "mf") && !self.manifest.is_empty()) {
            return Err(Error::usage(format!("{name:?} is in the archive already, or is its manifest")));
        }
        self.put(&header)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.target.write_all_at(self.at, bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}

fn read_exact(from: &mut dyn Read, part: &mut [u8], name: &str) -> Result<()> {
    from.read_exact(part).map_err(|e| match e.kind() {
        std::io::ErrorKind::UnexpectedEof => {
            Error::corrupt(format!("{name:?} has fewer bytes than announced")).in_format(crate::FORMAT.name)
        }
        _ => Error::io(format!("cannot read {name:?}"), e),
    })
}
