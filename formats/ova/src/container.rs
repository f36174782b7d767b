//! A package as a container: its disks, and the envelope for who knows the machine.

use crate::envelope::{DiskRef, Envelope, FileRef};
use crate::error::OvaError;
use crate::manifest::{Line, Manifest, compare};
use crate::package::{Archive, Beside, Joined, Place, has_extension};
use format_core::{
    CheckReport, Container, Details, Disk, DiskEntry, Error, ErrorKind, Finding, InnerImage, LayerContext,
    MachineFile, Opener, Origin, Result, Severity, SourceProof, Storage, Tick, Warning,
};
use std::collections::HashSet;
use std::sync::Arc;

/// Envelopes with translated licences have a few hundred KiB.
const MAX_ENVELOPE: u64 = 8 << 20;
const MAX_MANIFEST: u64 = 1 << 20;
/// Warnings of one kind.
const MAX_TOLD: usize = 20;

struct Package {
    format: &'static str,
    place: Place,
    opener: Arc<dyn Opener>,
    /// Name and bytes of the envelope.
    ovf: (String, Vec<u8>),
    envelope: Envelope,
    manifest: Option<(String, Manifest)>,
    is_signed: bool,
    disks: Vec<DiskEntry>,
    warnings: Vec<Warning>,
}

/// Opens an archive.
pub(crate) fn open_archive(origin: Origin, context: &LayerContext) -> Result<Box<dyn Container>> {
    let archive = Arc::new(Archive::load(file(origin)?)?);
    let (ovf, is_first) = archive.envelope()?;
    let place = Place::Archive(Arc::clone(&archive));
    let storage = place.open(&ovf)?.ok_or_else(|| OvaError::Missing { name: ovf.clone() })?;
    let bytes = read(storage.as_ref(), &ovf, MAX_ENVELOPE)?;
    // Of another name than the envelope, where a person renamed that.
    let others = || {
        let mut found = archive.names().filter(|name| has_extension(name, "mf"));
        found.next().filter(|_| found.next().is_none()).map(str::to_owned)
    };
    let named = beside(&ovf, "mf");
    let manifest = if archive.names().any(|name| name == named) { Some(named) } else { others() };
    let is_signed = archive.names().any(|name| has_extension(name, "cert"));
    let mut package = Package::new(crate::FORMAT.name, place, context, (ovf, bytes), manifest, is_signed)?;
    if !is_first {
        let text =
            "the envelope is not the first member of the archive, as it has to be: some programs refuse it";
        package.warnings.push(Warning::new("ova-order", text));
    }
    Ok(Box::new(package))
}

/// Opens an envelope with its files beside it.
pub(crate) fn open_envelope(origin: Origin, context: &LayerContext) -> Result<Box<dyn Container>> {
    let name = context.name.clone().unwrap_or_else(|| "envelope.ovf".to_owned());
    let bytes = read(file(origin)?.as_ref(), &name, MAX_ENVELOPE)?;
    let place = Place::Beside(Beside::new(Arc::clone(&context.gate)));
    // A name without an extension has nothing beside it that could be told.
    let is_there = |extension| {
        let name = has_extension(&name, "ovf").then(|| beside(&name, extension));
        let found = name.map(|name| Ok::<_, Error>(place.open(&name)?.map(|_| name))).transpose();
        found.map(Option::flatten)
    };
    let (manifest, certificate) = (is_there("mf")?, is_there("cert")?);
    Ok(Box::new(Package::new(
        crate::OVF.name,
        place,
        context,
        (name, bytes),
        manifest,
        certificate.is_some(),
    )?))
}

fn file(origin: Origin) -> Result<Arc<dyn Storage>> {
    match origin {
        Origin::File(storage) => Ok(storage),
        Origin::Folder(folder) => {
            let text = format!("{} is a folder", folder.path().display());
            Err(Error::unsupported(text).in_format(crate::FORMAT.name).hint("name the .ovf in it"))
        }
    }
}

/// The file with the envelope's name and another extension.
fn beside(ovf: &str, extension: &str) -> String {
    let stem = ovf.rsplit_once('.').map_or(ovf, |(stem, _)| stem);
    format!("{stem}.{extension}")
}

fn read(storage: &dyn Storage, name: &str, limit: u64) -> Result<Vec<u8>> {
    let size = storage.size();
    if size > limit {
        return Err(OvaError::TooLarge { name: name.to_owned(), size, limit }.into());
    }
    let mut bytes = vec![0; size as usize];
    storage.read_exact_at(0, &mut bytes)?;
    Ok(bytes)
}

impl Package {
    fn new(
        format: &'static str,
        place: Place,
        context: &LayerContext,
        ovf: (String, Vec<u8>),
        manifest: Option<String>,
        is_signed: bool,
    ) -> Result<Self> {
        let own = |e: Error| e.in_format(format);
        let text = std::str::from_utf8(&ovf.1).map_err(|_| own(OvaError::Encoding.into()))?;
        let envelope = Envelope::parse(text).map_err(|e| own(Error::from(e).context(ovf.0.clone())))?;
        let manifest = match manifest {
            Some(name) => {
                let storage = place.open(&name)?.ok_or_else(|| OvaError::Missing { name: name.clone() })?;
                let bytes = read(storage.as_ref(), &name, MAX_MANIFEST)?;
                let parsed = Manifest::parse(&String::from_utf8_lossy(&bytes));
                let parsed = parsed.map_err(|e| own(Error::from(e).context(name.clone())))?;
                Some((name, parsed))
            }
            None => None,
        };
        for file in &envelope.files {
            // From now on they count as files of the source. What is wrong with them shows where they are needed.
            let _ = place.pieces(file);
        }
        let disks = entries(&envelope);
        let warnings = Vec::new();
        let opener = Arc::clone(&context.opener);
        let mut package = Self { format, place, opener, ovf, envelope, manifest, is_signed, disks, warnings };
        package.warn();
        Ok(package)
    }

    fn warn(&mut self) {
        let mut found = Vec::new();
        if self.is_signed {
            found.push(("ova-signature", "the package is signed; its signature is not checked".to_owned()));
        }
        if self.envelope.systems > 1 {
            let text = format!(
                "the package holds {} machines, whose disks are listed together",
                self.envelope.systems
            );
            found.push(("ova-machines", text));
        }
        if self.place.is_open() && self.manifest.is_none() {
            // VirtualBox writes no end mark, and nothing of its own is behind the manifest.
            let text =
                "the archive has neither manifest nor end mark: if it was cut off, its manifest is missing";
            found.push(("ova-no-end", text.to_owned()));
        }
        if let Some((_, manifest)) = &self.manifest {
            if !manifest.unknown.is_empty() {
                let names = manifest.unknown.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
                let text = format!("the manifest has digests that are not known here: {names}");
                found.push(("ova-digest-unknown", text));
            }
            let text = |name: &String| format!("the manifest has no digest of {name:?}");
            let names = self.uncovered(manifest);
            found.extend(told(
                "ova-not-covered",
                names.iter().map(text),
                "files of which the manifest has no digest",
            ));
            let missing = manifest.lines.iter().filter(|line| !self.is_there(&line.name));
            let text = |line: &Line| {
                format!("the manifest has a digest of {:?}, which is not in the package", line.name)
            };
            found.extend(told(
                "ova-line-without-file",
                missing.map(text),
                "digests of files that are not in the package",
            ));
        }
        self.warnings.extend(found.into_iter().map(|(code, text)| Warning::new(code, text)));
    }

    /// Whether the file of a line is there; one that must not be opened is none.
    fn is_there(&self, name: &str) -> bool {
        name == self.ovf.0 || self.place.open(name).is_ok_and(|found| found.is_some())
    }

    /// Files of the package that the manifest leaves out; not those whose pieces cannot be found.
    fn uncovered(&self, manifest: &Manifest) -> Vec<String> {
        let has_line = |name: &str| manifest.of(name).next().is_some();
        let files = self.envelope.files.iter().filter_map(|file| self.place.pieces(file).ok());
        let names = files.flatten().map(|(name, _)| name);
        std::iter::once(self.ovf.0.clone()).chain(names).filter(|name| !has_line(name)).collect()
    }

    fn disk(&self, index: usize) -> Result<&DiskRef> {
        let found = self.envelope.disks.get(index);
        found.ok_or_else(|| Error::contract(format!("disk {index} of {}", self.envelope.disks.len())))
    }

    fn file_of(&self, disk: &DiskRef) -> Option<&FileRef> {
        disk.file.as_deref().and_then(|id| self.envelope.file(id))
    }

    /// The bytes of a file, its chunks joined.
    fn bytes_of(&self, file: &FileRef) -> Result<Arc<dyn Storage>> {
        let storage = Joined::storage(self.place.pieces(file)?);
        if let Some(wrong) = too_short(file, storage.size()) {
            return Err(wrong.into());
        }
        let mut magic = [0; 2];
        let len = storage.size().min(2) as usize;
        storage.read_exact_at(0, &mut magic[..len])?;
        if file.is_gzip && magic != [0x1f, 0x8b] {
            return Err(OvaError::NotGzip { href: file.href.clone() }.into());
        }
        Ok(storage)
    }

    fn lines(&self) -> &[Line] {
        self.manifest.as_ref().map_or(&[], |(_, manifest)| manifest.lines.as_slice())
    }
}

/// The first of these texts, and how many more there are: a stranger's manifest may have very many.
fn told(code: &'static str, texts: impl Iterator<Item = String>, what: &str) -> Vec<(&'static str, String)> {
    let mut texts = texts;
    let mut told: Vec<_> = texts.by_ref().take(MAX_TOLD).map(|text| (code, text)).collect();
    match texts.count() {
        0 => {}
        more => told.push((code, format!("and {more} more {what}"))),
    }
    told
}

/// A file that lost its end. Programs do not agree what the size of a compressed file is, and one that was replaced by a
/// longer one has all its bytes.
fn too_short(file: &FileRef, found: u64) -> Option<OvaError> {
    let wanted = file.size.filter(|wanted| !file.is_gzip && *wanted > found)?;
    Some(OvaError::Size { href: file.href.clone(), found, wanted })
}

/// Disks are called as their files are; a blank one, and one that shares its file, by its id.
fn entries(envelope: &Envelope) -> Vec<DiskEntry> {
    let mut seen = HashSet::new();
    let name = |disk: &DiskRef| {
        let file = disk.file.as_deref().and_then(|id| envelope.file(id));
        file.map_or(disk.id.clone(), |file| file.href.clone())
    };
    let entry = |disk: &DiskRef| {
        let name = name(disk);
        let name = if seen.insert(name.clone()) { name } else { disk.id.clone() };
        // The image knows its size better than the envelope.
        DiskEntry { name, virtual_size: disk.capacity.filter(|_| disk.file.is_none()) }
    };
    envelope.disks.iter().map(entry).collect()
}

/// What an image is called, so that its format is told by it; some envelopes say the format, and the file's name does not.
fn name_of(file: &FileRef, disk: &DiskRef) -> String {
    let base = file.href.rsplit('/').next().unwrap_or_default();
    let has_none = !base.contains('.');
    let extension =
        [("vmdk", ".vmdk"), ("qcow", ".qcow2")].into_iter().find(|(word, _)| disk.format.contains(word));
    match extension {
        Some((_, extension)) if has_none => format!("{base}{extension}"),
        _ => base.to_owned(),
    }
}

impl Container for Package {
    fn format(&self) -> &'static str {
        self.format
    }

    fn disks(&self) -> &[DiskEntry] {
        &self.disks
    }

    fn open_disk(&self, index: usize) -> Result<InnerImage> {
        let disk = self.disk(index)?;
        if let Some(parent) = &disk.parent {
            return Err(OvaError::Delta { disk: disk.id.clone(), parent: parent.clone() }.into());
        }
        let Some(file) = self.file_of(disk) else {
            let capacity = disk.capacity.ok_or_else(|| OvaError::Capacity { disk: disk.id.clone() })?;
            return Ok(InnerImage::plain(Disk::blank(capacity)));
        };
        let failed = |e: Error| e.context(format!("disk {:?}", file.href));
        let (name, storage) = (name_of(file, disk), self.bytes_of(file).map_err(failed)?);
        let found = storage.size();
        let mut image = self.opener.open(storage, &name, self.place.gate(&file.href)).map_err(failed)?;
        if let Some(size) = file.size.filter(|size| !file.is_gzip && *size < found) {
            let text = format!("file {:?} has {found} bytes, the envelope says {size}", file.href);
            image.warnings.push(Warning::new("ova-size", text));
        }
        let size = image.disk.virtual_size();
        if let Some(capacity) = disk.capacity.filter(|capacity| *capacity != size) {
            let text = format!(
                "disk {:?} has {size} bytes, the envelope says {capacity}: the image's own size counts",
                file.href
            );
            image.warnings.push(Warning::new("ova-capacity", text));
        }
        Ok(image)
    }

    fn machine_files(&self) -> Result<Vec<MachineFile>> {
        Ok(vec![MachineFile { name: self.ovf.0.clone(), bytes: self.ovf.1.clone() }])
    }

    fn details(&self) -> Details {
        let mut details = Details::new();
        details.insert("envelope".into(), self.ovf.0.clone().into());
        details.insert("files".into(), self.envelope.files.len().into());
        details.insert("machines".into(), self.envelope.systems.into());
        let manifest = match self.lines() {
            [] => "none".to_owned(),
            lines => {
                let mut names: Vec<_> =
                    lines.iter().map(|line| line.algorithm.name().to_ascii_lowercase()).collect();
                names.sort_unstable();
                names.dedup();
                names.join(", ")
            }
        };
        details.insert("manifest".into(), manifest.into());
        details.insert("signed".into(), self.is_signed.into());
        details
    }

    fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    fn completeness(&self) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        for file in &self.envelope.files {
            let found = self.place.pieces(file).map(Joined::storage);
            let message = match found {
                Ok(storage) => too_short(file, storage.size()).map(|wrong| wrong.to_string()),
                Err(error) if error.kind() == ErrorKind::Io => return Err(error),
                Err(error) => Some(error.message().to_owned()),
            };
            findings.extend(message.map(|message| Finding { severity: Severity::Error, message, at: None }));
        }
        Ok(findings)
    }

    fn check(&self, tick: Tick<'_>) -> Result<CheckReport> {
        let mut report = CheckReport::default();
        for finding in self.completeness()? {
            report.error(finding.message, finding.at);
        }
        if self.place.is_open() {
            report.note("the archive has no end mark", None);
        }
        for line in self.lines() {
            let storage = match self.file_of_line(line) {
                Err(error) if error.kind() == ErrorKind::Io => return Err(error),
                Err(error) => {
                    report.error(error.message(), None);
                    continue;
                }
                Ok(storage) => storage,
            };
            match compare(line, storage.as_ref(), tick) {
                Err(error) if error.kind() == ErrorKind::Mismatch => report.error(error.message(), None),
                done => done?,
            }
        }
        match &self.manifest {
            None => report.note("the package has no manifest: nothing is compared", None),
            Some((_, manifest)) => {
                for name in self.uncovered(manifest) {
                    report.note(format!("the manifest has no digest of {name:?}"), None);
                }
            }
        }
        Ok(report)
    }

    /// The digests of the envelope and of the disk's own file, as far as the manifest has them.
    fn proof(&self, index: usize) -> Option<SourceProof> {
        let disk = self.envelope.disks.get(index)?;
        let pieces = self.place.pieces(self.file_of(disk)?).ok()?;
        let lines = self.lines();
        let find = |name: &str| lines.iter().filter(|line| line.name == name).cloned().collect::<Vec<_>>();
        let mut work: Vec<(Line, Arc<dyn Storage>)> = Vec::new();
        for (name, storage) in pieces {
            work.extend(find(&name).into_iter().map(|line| (line, Arc::clone(&storage))));
        }
        if work.is_empty() {
            return None;
        }
        let ovf = Arc::new(format_core::MemStorage(self.ovf.1.clone()));
        work.extend(find(&self.ovf.0).into_iter().map(|line| (line, Arc::clone(&ovf) as Arc<dyn Storage>)));
        Some(Box::new(move |tick| {
            work.iter().try_for_each(|(line, storage)| compare(line, storage.as_ref(), tick))
        }))
    }
}

impl Package {
    fn file_of_line(&self, line: &Line) -> Result<Arc<dyn Storage>> {
        if line.name == self.ovf.0 {
            return Ok(Arc::new(format_core::MemStorage(self.ovf.1.clone())));
        }
        self.place.open(&line.name)?.ok_or_else(|| OvaError::Missing { name: line.name.clone() }.into())
    }
}
