//! What borg says, as trusted types.

use crate::error::BorgError;
use format_core::{Point, has_extension, is_image_name};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Smaller files are no disks.
const LEAST_IMAGE: u64 = 64 << 10;
/// Files of at least this size may be disks where none is called like one.
const LEAST_UNNAMED: u64 = 1 << 20;
/// Disks that are listed at most.
const MAX_DISKS: usize = 4096;
/// Larger files do not describe machines.
const MAX_MACHINE: u64 = 1 << 20;
/// Files beside the disks that may describe their machine, at most.
const MAX_MACHINES: usize = 64;
/// Extensions of files that describe machines.
const MACHINES: [&str; 4] = ["vmx", "ovf", "xml", "conf"];

/// The repository and its archives: `borg list --json`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Listing {
    pub(crate) archives: Vec<Archive>,
    pub(crate) encryption: Encryption,
    pub(crate) repository: Repository,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Encryption {
    pub(crate) mode: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Repository {
    pub(crate) id: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Archive {
    pub(crate) name: String,
    pub(crate) id: String,
    /// When the backup began, in the zone that borg was told.
    pub(crate) start: String,
}

impl Archive {
    /// As a point in time.
    pub(crate) fn point(&self) -> Point {
        Point {
            id: self.name.clone(),
            time: Point::time_of(&self.start),
            virtual_size: None,
            is_chosen: false,
        }
    }
}

/// What `config` says about the repository's version, the first 20 letters of it.
pub(crate) fn version(config: &[u8]) -> String {
    let text = String::from_utf8_lossy(config);
    let mut pairs = text.lines().filter_map(|line| line.split_once('='));
    let found = pairs.find(|(key, _)| key.trim() == "version").map_or("", |(_, value)| value.trim());
    found.chars().take(20).collect()
}

/// The answer of `borg list --json`, archives oldest first.
pub(crate) fn listing(bytes: &[u8], what: &str) -> Result<Listing, BorgError> {
    let mut found: Listing = serde_json::from_slice(bytes).map_err(|e| json_error(what, &e))?;
    // The times are all of one length, and borg's order is kept where they are the same.
    found.archives.sort_by(|a, b| a.start.cmp(&b.start));
    Ok(found)
}

fn json_error(what: &str, error: &serde_json::Error) -> BorgError {
    BorgError::Json { what: what.to_owned(), reason: error.to_string() }
}

/// A file of an archive: a line of `borg list --json-lines`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct FileEntry {
    #[serde(rename = "type")]
    kind: String,
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) size: u64,
    /// Whether all of its chunks are those that were backed up.
    #[serde(default)]
    pub(crate) healthy: bool,
    /// Of a hard link, the file that has the content.
    #[serde(default)]
    source: String,
}

impl FileEntry {
    /// Its name without folders.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit_once('/').map_or(self.path.as_str(), |(_, name)| name)
    }

    fn folder(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }
}

/// Picks the disks out of the files of an archive.
#[derive(Debug, Default)]
pub(crate) struct Files {
    named: Vec<FileEntry>,
    unnamed: Vec<FileEntry>,
    unnamed_count: u64,
    machines: BTreeMap<String, Vec<FileEntry>>,
    /// Files whose names are no UTF-8: nobody could name them.
    pub(crate) unreadable: u64,
}

impl Files {
    /// Takes the next line.
    pub(crate) fn take(&mut self, line: &[u8], what: &str) -> Result<(), BorgError> {
        let file: FileEntry = match serde_json::from_slice(line) {
            Ok(file) => file,
            // Python writes bytes that are no UTF-8 as halves of surrogate pairs.
            Err(_) if line.windows(4).any(|part| part == b"\\udc") => {
                self.unreadable += 1;
                return Ok(());
            }
            Err(error) => return Err(json_error(what, &error)),
        };
        if file.kind != "-" || !file.source.is_empty() {
            return Ok(());
        }
        if file.size >= LEAST_IMAGE && is_image_name(file.name()) {
            if self.named.len() >= MAX_DISKS {
                return Err(BorgError::TooMany { what: "disks", most: MAX_DISKS as u64 });
            }
            self.named.push(file);
        } else if file.size >= LEAST_UNNAMED {
            self.unnamed_count += 1;
            if self.unnamed.len() < MAX_DISKS {
                self.unnamed.push(file);
            }
        } else if file.size <= MAX_MACHINE && has_extension(file.name(), &MACHINES) {
            let beside = self.machines.entry(file.folder().to_owned()).or_default();
            if beside.len() < MAX_MACHINES {
                beside.push(file);
            }
        }
        Ok(())
    }

    /// The disks, and the files beside them that may describe the machine.
    pub(crate) fn finish(mut self) -> Result<(Vec<FileEntry>, Vec<FileEntry>), BorgError> {
        if self.named.is_empty() && self.unnamed_count > self.unnamed.len() as u64 {
            let what = "files that could be disks, none of which is called like one";
            return Err(BorgError::TooMany { what, most: MAX_DISKS as u64 });
        }
        let mut disks = if self.named.is_empty() { self.unnamed } else { self.named };
        // Borg goes through folders by inode numbers: of two backups of the same disks, each could have another order.
        disks.sort_by(|a, b| a.path.cmp(&b.path));
        let mut folders: Vec<_> = disks.iter().map(FileEntry::folder).collect();
        folders.sort_unstable();
        folders.dedup();
        let beside = folders.iter().filter_map(|folder| self.machines.remove(*folder)).flatten();
        let machines = beside.take(MAX_MACHINES).collect();
        Ok((disks, machines))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, size: u64) -> String {
        serde_json::json!({"type": "-", "path": path, "size": size, "healthy": true, "source": ""})
            .to_string()
    }

    #[test]
    fn disks_are_known_by_name_or_else_by_size() {
        let mut files = Files::default();
        for line in
            [file("vm/a.qcow2", 1 << 20), file("vm/b.bin", 1 << 30), file("vm/a.vmx", 99), file("c.raw", 99)]
        {
            files.take(line.as_bytes(), "list").unwrap();
        }
        files.take(br#"{"type": "d", "path": "x.raw", "size": 999999}"#, "list").unwrap();
        files
            .take(br#"{"type": "-", "path": "l.raw", "size": 999999, "source": "vm/b.raw"}"#, "list")
            .unwrap();
        files.take(br#"{"type": "-", "path": "\udcff.raw", "size": 999999}"#, "list").unwrap();
        assert!(files.take(b"{", "list").is_err());
        assert_eq!(files.unreadable, 1);
        let (disks, machines) = files.finish().unwrap();
        assert_eq!(disks.iter().map(FileEntry::name).collect::<Vec<_>>(), ["a.qcow2"]);
        assert_eq!(machines[0].path, "vm/a.vmx");
        let mut files = Files::default();
        for number in 0..5000 {
            files.take(file(&number.to_string(), 1 << 20).as_bytes(), "list").unwrap();
        }
        assert!(files.finish().is_err());
        let mut files = Files::default();
        files.take(file("stdin", 1 << 20).as_bytes(), "list").unwrap();
        assert_eq!(files.finish().unwrap().0[0].path, "stdin");
    }

    #[test]
    fn more_disks_or_descriptions_than_the_limit() {
        let mut files = Files::default();
        for number in 0..MAX_DISKS {
            files.take(file(&format!("{number}.raw"), 1 << 20).as_bytes(), "list").unwrap();
        }
        let error = files.take(file("one-more.raw", 1 << 20).as_bytes(), "list").unwrap_err();
        assert_eq!(error, BorgError::TooMany { what: "disks", most: 4096 });
        let mut files = Files::default();
        files.take(file("vm/a.raw", 1 << 20).as_bytes(), "list").unwrap();
        for number in 0..100 {
            files.take(file(&format!("vm/{number}.vmx"), 99).as_bytes(), "list").unwrap();
        }
        assert_eq!(files.finish().unwrap().1.len(), MAX_MACHINES);
    }
    #[test]
    fn a_field_of_another_type_is_an_error() {
        let good =
            serde_json::json!({"type": "-", "path": "a.raw", "size": 1, "healthy": true, "source": ""});
        assert!(Files::default().take(good.to_string().as_bytes(), "list").is_ok());
        for field in ["type", "path", "size", "healthy", "source"] {
            let mut broken = good.clone();
            broken[field] = serde_json::json!([]);
            let error = Files::default().take(broken.to_string().as_bytes(), "list").unwrap_err();
            assert!(error.to_string().contains("invalid type: sequence"), "{field}: {error}");
        }
        for field in ["type", "path"] {
            let mut broken = good.clone();
            broken.as_object_mut().unwrap().remove(field);
            let error = Files::default().take(broken.to_string().as_bytes(), "list").unwrap_err();
            assert!(error.to_string().contains(&format!("missing field `{field}`")), "{error}");
        }
    }
}
