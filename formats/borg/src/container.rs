//! A repository as a container: archives are its points in time, image files in one are its disks.

use crate::command::{Borg, Running, own_error};
use crate::error::BorgError;
use crate::parse::{self, Archive, FileEntry, Files, Listing};
use format_core::{
    CheckReport, Container, Details, DiskEntry, Error, Finding, Gate, InnerImage, LayerContext, MachineFile,
    Opener, Origin, Point, Referenced, Result, Score, Severity, SourceFolder, Storage, Tick, Warning,
};
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The list of a repository's archives has at most so many bytes.
const MAX_LISTING: u64 = 128 << 20;
/// A file's line has at most so many.
const MAX_LINE: u64 = 256 << 10;
/// `config` of a repository is small.
const MAX_CONFIG: u64 = 64 << 10;
/// What is asked about each file.
const FORMAT: &str = "{type}{path}{size}{healthy}{source}";

/// Whether the folder has what a repository has.
pub(crate) fn probe_folder(folder: &SourceFolder) -> Score {
    let small = matches!(folder.file_size("config"), Ok(Some(1..=MAX_CONFIG)));
    if !small || !folder.has_folder("data") {
        return Score::No;
    }
    let config = folder.read("config", MAX_CONFIG).unwrap_or_default();
    let is_line = |line: &[u8]| line.trim_ascii() == b"[repository]";
    let begins = config.split(|byte| *byte == b'\n').any(is_line);
    if begins { Score::Magic } else { Score::No }
}

/// Opens the repository in a folder.
pub(crate) fn open(origin: Origin, context: &LayerContext) -> Result<Box<dyn Container>> {
    let Origin::Folder(folder) = origin else {
        let text = "a Borg repository is a folder, this is a file of one";
        return Err(Error::unsupported(text)
            .in_format(crate::FORMAT.name)
            .hint("name the repository's folder"));
    };
    let version = parse::version(&folder.read("config", MAX_CONFIG)?);
    if version != "1" {
        return Err(BorgError::Version { found: version }.into());
    }
    let borg = Borg::new(&folder, context.access.key.clone())?;
    let listing = list_archives(&borg)?;
    let mut points: Vec<_> = listing.archives.iter().map(Archive::point).collect();
    if points.is_empty() {
        return Err(BorgError::NoArchives.into());
    }
    let chosen = Point::choose(&points, context.access.at.as_deref())?;
    points[chosen].is_chosen = true;
    let archive = format!("::{}", points[chosen].id);
    let files = list_files(&borg, &archive)?;
    let mut warnings = Vec::new();
    if files.unreadable > 0 {
        let text = format!(
            "{} files of {archive} have names that are no UTF-8: they are left out",
            files.unreadable
        );
        warnings.push(Warning::new("names-not-utf8", text));
    }
    let (files, machines) = files.finish()?;
    let disks = files.iter().map(entry_of).collect();
    let kept = Mutex::new(files.iter().map(|_| None).collect());
    let opener = Arc::clone(&context.opener);
    let opened =
        Opened { borg, listing, points, chosen, archive, files, disks, machines, warnings, opener, kept };
    Ok(Box::new(opened))
}

fn entry_of(file: &FileEntry) -> DiskEntry {
    let virtual_size = format_core::is_raw_name(file.name()).then_some(file.size);
    DiskEntry { name: file.path.clone(), virtual_size }
}

fn list_archives(borg: &Borg) -> Result<Listing> {
    let mut bytes = Vec::new();
    let mut from = borg.start("list", &["list", "--json"])?.take(MAX_LISTING + 1);
    from.read_to_end(&mut bytes).map_err(own_error)?;
    if bytes.len() as u64 > MAX_LISTING {
        return Err(BorgError::LongLine { what: "list".into(), most: MAX_LISTING }.into());
    }
    Ok(parse::listing(&bytes, "list")?)
}

fn list_files(borg: &Borg, archive: &str) -> Result<Files> {
    let what = format!("list {archive}");
    let args = ["list", "--json-lines", "--format", FORMAT, "--", archive];
    let (mut from, mut files) =
        (BufReader::with_capacity(1 << 20, borg.start(&what, &args)?), Files::default());
    let mut line = Vec::new();
    loop {
        line.clear();
        let len = (&mut from).take(MAX_LINE + 1).read_until(b'\n', &mut line).map_err(own_error)?;
        match len as u64 {
            0 => return Ok(files),
            1..=MAX_LINE => files.take(&line, &what)?,
            _ => return Err(BorgError::LongLine { what, most: MAX_LINE }.into()),
        }
    }
}

/// A disk's bytes that borg gave, as long as somebody uses them.
type Kept = Option<Weak<dyn Storage>>;

struct Opened {
    borg: Borg,
    listing: Listing,
    points: Vec<Point>,
    chosen: usize,
    /// The archive as borg is told it.
    archive: String,
    files: Vec<FileEntry>,
    disks: Vec<DiskEntry>,
    machines: Vec<FileEntry>,
    warnings: Vec<Warning>,
    opener: Arc<dyn Opener>,
    kept: Mutex<Vec<Kept>>,
}

impl Opened {
    /// The bytes of a file from its start to its end, which borg verifies.
    fn content(&self, file: &FileEntry) -> Result<Content> {
        if !file.healthy {
            return Err(BorgError::NotWhole { path: file.path.clone() }.into());
        }
        // What stands after `pp:` is a path, and no pattern: that file and what lies below it, which is nothing. With `pf:`,
        // for a file alone, borg 1.2 claims that nothing was found.
        let wanted = format!("pp:{}", file.path);
        let what = format!("extract {} {}", self.archive, file.path);
        let from = self.borg.start(&what, &["extract", "--stdout", "--", &self.archive, &wanted])?;
        Ok(Content { from, path: file.path.clone(), found: 0, expected: file.size })
    }

    fn storage(&self, index: usize, file: &FileEntry) -> Result<Arc<dyn Storage>> {
        let lock = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lock().get(index).and_then(|kept| kept.as_ref()?.upgrade());
        if let Some(storage) = known {
            return Ok(storage);
        }
        let storage = self.opener.keep(file.name(), Box::new(self.content(file)?), Some(file.size))?;
        if let Some(kept) = lock().get_mut(index) {
            *kept = Some(Arc::downgrade(&storage));
        }
        Ok(storage)
    }
}

impl Container for Opened {
    fn format(&self) -> &'static str {
        crate::FORMAT.name
    }

    fn disks(&self) -> &[DiskEntry] {
        &self.disks
    }

    fn open_disk(&self, index: usize) -> Result<InnerImage> {
        let file = self.files.get(index).ok_or_else(|| Error::usage(format!("there is no disk {index}")))?;
        let failed = |e: Error| e.context(file.path.clone());
        let storage = self.storage(index, file).map_err(failed)?;
        let name = format_core::image_name(file.name());
        let mut image = self.opener.open(storage, &name, Arc::new(NoSiblings)).map_err(failed)?;
        let text = format!(
            "borg gives {} from its start to its end: it was put into a temporary file of {} bytes",
            file.path, file.size
        );
        image.warnings.push(Warning::new("unpacked", text));
        Ok(image)
    }

    fn machine_files(&self) -> Result<Vec<MachineFile>> {
        let read = |file: &FileEntry| {
            let mut bytes = Vec::new();
            self.content(file)?.read_to_end(&mut bytes).map_err(own_error)?;
            Ok(MachineFile { name: file.path.clone(), bytes })
        };
        self.machines.iter().map(read).collect()
    }

    fn points(&self) -> &[Point] {
        &self.points
    }

    fn details(&self) -> Details {
        let mut details = Details::new();
        details.insert("repository-id".into(), self.listing.repository.id.clone().into());
        details.insert("encryption".into(), self.listing.encryption.mode.clone().into());
        if let Some(archive) = self.listing.archives.get(self.chosen) {
            details.insert("archive-name".into(), archive.name.clone().into());
            details.insert("archive-id".into(), archive.id.clone().into());
            details.insert("archive-time".into(), archive.start.clone().into());
        }
        details
    }

    fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    fn completeness(&self) -> Result<Vec<Finding>> {
        let broken = self.files.iter().filter(|file| !file.healthy);
        let finding = |file: &FileEntry| {
            let message = Error::from(BorgError::NotWhole { path: file.path.clone() }).to_string();
            Finding { severity: Severity::Error, message, at: None }
        };
        Ok(broken.map(finding).collect())
    }

    fn check(&self, tick: Tick<'_>) -> Result<CheckReport> {
        let mut report = CheckReport::default();
        for file in &self.files {
            let read = self.content(file).and_then(|content| crate::check::read_all(content, tick));
            crate::check::judge(read, &mut report)?;
        }
        Ok(report)
    }
}

/// The bytes of a file as borg gives them; less or more than the archive says is an error.
pub(crate) struct Content {
    from: Running,
    path: String,
    found: u64,
    expected: u64,
}

impl Read for Content {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let len = self.from.read(buf)?;
        self.found = self.found.saturating_add(len as u64);
        if self.found > self.expected || (len == 0 && !buf.is_empty() && self.found < self.expected) {
            let Self { path, found, expected, .. } = self;
            let error = BorgError::Size { path: path.clone(), found: *found, expected: *expected };
            return Err(std::io::Error::other(Error::from(error)));
        }
        Ok(len)
    }
}

/// An image in an archive can name others, which would have to be looked for in the archive.
struct NoSiblings;

impl Gate for NoSiblings {
    fn open(&self, name: &str) -> Result<Referenced> {
        let text =
            format!("the image refers to the file {name:?}, and files of an archive are opened one by one");
        let hint = "extract both files with borg extract, and name the image there";
        Err(Error::unsupported(text).in_format(crate::FORMAT.name).hint(hint))
    }
}
