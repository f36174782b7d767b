//! What a run does, so that a later one knows whether it does the same.

use crate::digest::LEAF_SIZE;
use crate::reading::next_data;
use format_core::{ChainLink, Disk, Error, OpenedImage, Remote, Result};
use rustix::fs::FileType;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// How many places of the source's data are read again before a run goes on.
const SAMPLES: u64 = 64;
/// More than that are not believed.
const MAX_SAMPLES: usize = 4096;

/// What decides over the bytes of the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Job {
    /// The program and its version: another one may lay out an image differently.
    program: String,
    format: String,
    options: BTreeMap<String, String>,
    virtual_size: u64,
    /// How the source is read, as the caller says it.
    reading: String,
    /// Inode number of the partial file.
    partial: u64,
    sources: Vec<JobFile>,
    samples: Vec<Sample>,
}

/// A file of the source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct JobFile {
    path: String,
    format: String,
    /// Device and inode numbers, and when it was last written.
    file_id: (u64, u64),
    modified: (i64, i64),
    /// When anything about it changed last: the time above can be put back, this one cannot.
    changed: (i64, i64),
    size: u64,
}

/// What was read at a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Sample {
    offset: u64,
    len: u64,
    /// `None` where it could not be read.
    hash: Option<String>,
}

/// The part of a job that the caller knows.
pub(crate) struct Wanted<'a> {
    pub(crate) format: &'static str,
    pub(crate) options: &'a BTreeMap<String, String>,
    pub(crate) virtual_size: u64,
    pub(crate) reading: &'a str,
}

impl Job {
    /// The job as it is now, without samples.
    ///
    /// # Errors
    /// `Io` when a file of the source cannot be examined, `Unsupported` for a block device: nothing tells whether it
    /// changed.
    pub(crate) fn new(source: &OpenedImage, wanted: &Wanted<'_>) -> Result<Self> {
        let of_link = |link: &ChainLink| {
            if let Some(remote) = &link.remote {
                return vec![JobFile::remote(&link.path, link.format.name, link.file_size, remote.as_ref())];
            }
            let parts = link.parts.iter().map(|part| (&part.path, part.file_size, part.file_id));
            let files = std::iter::once((&link.path, link.file_size, link.file_id)).chain(parts);
            files.map(|(path, size, id)| JobFile::new(path, link.format.name, size, id)).collect::<Vec<_>>()
        };
        Ok(Self {
            program: concat!("rehome ", env!("CARGO_PKG_VERSION")).into(),
            format: wanted.format.into(),
            options: wanted.options.clone(),
            virtual_size: wanted.virtual_size,
            reading: wanted.reading.into(),
            partial: 0,
            sources: source.chain.iter().flat_map(of_link).collect::<Result<_>>()?,
            samples: Vec::new(),
        })
    }

    /// The same, for the partial file with this inode number.
    pub(crate) fn into(self, partial: u64) -> Self {
        Self { partial, ..self }
    }

    /// Reads the samples, spread evenly over the disk.
    pub(crate) fn take_samples(&mut self, disk: &Disk) {
        let size = disk.virtual_size();
        let mut at = 0;
        for number in 0..SAMPLES {
            let wanted = (u128::from(size) * u128::from(number) / u128::from(SAMPLES)) as u64;
            // Where the source's tables cannot be read, the copy will say so.
            let Ok(Some(data)) = next_data(disk, wanted.max(at), size) else { break };
            let len = (size - data).min(LEAF_SIZE);
            at = data + len;
            self.samples.push(Sample { offset: data, len, hash: hash_at(disk, data, len) });
        }
    }

    /// Why a run that does `now` cannot go on with what this one left. Does not look at the samples.
    pub(crate) fn difference(&self, now: &Self) -> Option<String> {
        let differs = |what: &str, then: &str, now: &str| format!("{what} was {then:?} and is {now:?} now");
        if self.program != now.program {
            return Some(differs("the program", &self.program, &now.program));
        }
        if self.format != now.format {
            return Some(differs("the target's format", &self.format, &now.format));
        }
        if self.options != now.options {
            return Some(format!("the options were {:?} and are {:?} now", self.options, now.options));
        }
        if self.virtual_size != now.virtual_size {
            return Some(differs(
                "the disk's size",
                &self.virtual_size.to_string(),
                &now.virtual_size.to_string(),
            ));
        }
        if self.reading != now.reading {
            return Some(differs("the way to read the source", &self.reading, &now.reading));
        }
        if self.partial != now.partial {
            return Some("the partial file is another one".into());
        }
        if self.sources.len() != now.sources.len() {
            return Some(format!("the source was {} files, now {}", self.sources.len(), now.sources.len()));
        }
        self.sources.iter().zip(&now.sources).find_map(|(then, now)| then.difference(now))
    }

    /// Why what was read then is not what is there now.
    pub(crate) fn sample_difference(&self, disk: &Disk) -> Option<String> {
        if self.samples.len() > MAX_SAMPLES {
            return Some("its journal has too many samples".into());
        }
        for sample in &self.samples {
            let inside = sample.offset.checked_add(sample.len).is_some_and(|end| end <= disk.virtual_size());
            if sample.len > LEAF_SIZE || !inside {
                return Some(format!("its journal has a sample at {:#x}", sample.offset));
            }
            // A bad sector may be readable one day and not the next: that is no other source.
            let Some(then) = &sample.hash else { continue };
            if hash_at(disk, sample.offset, sample.len).is_some_and(|now| now != *then) {
                let (offset, len) = (sample.offset, sample.len);
                return Some(format!("the source has other data in the {len:#x} bytes at {offset:#x}"));
            }
        }
        None
    }

    /// The payload of the first record.
    pub(crate) fn bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self)
            .map_err(|e| Error::contract("the job cannot be written as JSON").with_source(e))
    }

    /// The job of a payload.
    ///
    /// # Errors
    /// `Corrupt` when it is none.
    pub(crate) fn parse(payload: &[u8]) -> Result<Self> {
        serde_json::from_slice(payload).map_err(|e| Error::corrupt("its journal names no job").with_source(e))
    }
}

impl JobFile {
    /// What lies at an address and says what it is.
    fn remote(path: &Path, format: &str, size: u64, remote: &dyn Remote) -> Result<Self> {
        let path = path.display();
        let Some(identity) = remote.identity() else {
            return Err(Error::unsupported(format!("nothing tells whether {path} changed")));
        };
        let (path, format) = (format!("{path} ({identity})"), format.into());
        let never = (0, 0);
        Ok(Self { path, format, file_id: (0, 0), modified: never, changed: never, size })
    }

    fn new(path: &Path, format: &str, size: u64, file_id: (u64, u64)) -> Result<Self> {
        let failed = |e| Error::io(format!("cannot examine {}", path.display()), e);
        let found = path.metadata().map_err(failed)?;
        if FileType::from_raw_mode(found.mode()) == FileType::BlockDevice {
            // Nothing tells when a device was written last, and samples see little of it.
            let text = format!("{} is a block device: its changes leave no trace", path.display());
            return Err(Error::unsupported(text));
        }
        Ok(Self {
            path: path.canonicalize().map_err(failed)?.to_string_lossy().into_owned(),
            format: format.into(),
            file_id,
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
            size,
        })
    }

    fn difference(&self, now: &Self) -> Option<String> {
        let path = &now.path;
        if self.size != now.size {
            return Some(format!("the source {path} had {} bytes and has {} now", self.size, now.size));
        }
        if (self.file_id, self.modified) == (now.file_id, now.modified) && self.changed != now.changed {
            return Some(format!("the source {path} was touched since: its time of change is another"));
        }
        if self.modified != now.modified {
            return Some(format!("the source {path} was changed since"));
        }
        (self != now).then(|| format!("the source {path} is another file, {} was read then", self.path))
    }
}

fn hash_at(disk: &Disk, offset: u64, len: u64) -> Option<String> {
    let mut bytes = vec![0; len as usize];
    disk.read_exact_at(offset, &mut bytes).ok()?;
    Some(blake3::hash(&bytes).to_hex().to_string())
}
