//! `--evidence DIR`: what a command read and made, in a log that shows when it was changed afterwards.

use crate::args::{Cli, Command, OpenArgs};
use crate::output::{safe, to_stderr};
use convert_engine::evidence::{
    Event, EvidenceLog, Fingerprint, Host, LOG_NAME, Moment, fingerprint, without_secrets,
};
use convert_engine::{Control, SourceFile};
use convert_migrate::look_into;
use driver_core::GuestTree;
use format_core::{Error, ErrorKind, Overlay, Result, open_images};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Files of a guest that hold memory, or what was left of it.
const MEMORY_FILES: &[&str] = &[
    "/hiberfil.sys",
    "/pagefile.sys",
    "/swapfile.sys",
    "/Windows/MEMORY.DMP",
    "/swapfile",
    "/swap.img",
    "/swap/swapfile",
];
/// Folders of such files.
const DUMP_FOLDERS: &[&str] =
    &["/Windows/Minidump", "/Windows/LiveKernelReports", "/var/crash", "/var/lib/systemd/coredump"];

/// A run that is recorded.
pub(crate) struct Evidence<'a> {
    log: EvidenceLog,
    before: Vec<Fingerprint>,
    results: Vec<PathBuf>,
    control: Control<'a>,
}

/// What a command reads and makes.
struct Work<'a> {
    sources: Vec<&'a Path>,
    open: &'a OpenArgs,
    results: Vec<PathBuf>,
}

impl<'a> Evidence<'a> {
    /// Begins the record that was asked for: who, when, with what, and every byte of the sources, before anything else
    /// reads them.
    pub(crate) fn begin(cli: &Cli, control: Control<'a>) -> Result<Option<Self>> {
        let Some(folder) = &cli.evidence else { return Ok(None) };
        let Some(work) = work_of(&cli.command) else {
            return Err(Error::usage(
                "--evidence is for convert, flatten, migrate, inspect, info, check and digest",
            ));
        };
        if work.sources.iter().any(|source| source.as_os_str() == "-") {
            return Err(Error::usage("a pipe leaves no evidence: it cannot be read a second time"));
        }
        let mut log = EvidenceLog::open(folder)?;
        let command: Vec<String> =
            std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
        let host = Host::here(concat!("rehome ", env!("CARGO_PKG_VERSION")))?;
        log.append(Event::Begin { host, command: without_secrets(&command, &[]) })?;
        let mut evidence = Self { log, before: Vec::new(), results: work.results.clone(), control };
        for path in files_of(&work)? {
            let found = evidence.read(&path)?;
            evidence.log.append(Event::Source { moment: Moment::Before, fingerprint: found.clone() })?;
            evidence.before.push(found);
        }
        for path in &cli.attach {
            let fingerprint = evidence.read(path)?;
            evidence.log.append(Event::Attachment { fingerprint })?;
        }
        for text in memory_files(&work) {
            evidence.log.append(Event::Note { text })?;
        }
        Ok(Some(evidence))
    }

    /// Ends the record: every byte of the sources again, and of what was made.
    pub(crate) fn end(mut self, done: Result<ExitCode>) -> Result<ExitCode> {
        let closed = self.close(&done);
        to_stderr(&format!("note: the evidence log ends with {}: note it elsewhere", self.log.head()));
        done.and_then(|code| closed.map(|()| code))
    }

    fn close(&mut self, done: &Result<ExitCode>) -> Result<()> {
        let mut changed = Vec::new();
        for before in std::mem::take(&mut self.before) {
            let after = self.read(Path::new(&before.path))?;
            if !after.has_bytes_of(&before) {
                changed.push(before.path.clone());
            }
            self.log.append(Event::Source { moment: Moment::After, fingerprint: after })?;
        }
        let mut made = Vec::new();
        for path in std::mem::take(&mut self.results) {
            match path.is_dir() {
                true => walk(&path, &mut made)?,
                false => made.push(path),
            }
        }
        for path in made {
            if path.is_file() && path.file_name() != Some(LOG_NAME.as_ref()) {
                let made = self.read(&path)?;
                let digests = [("sha256", made.sha256), ("blake3", made.blake3)];
                let digests = digests.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
                self.log.append(Event::Result { path: made.path, size: made.size, digests })?;
            }
        }
        let text = match done {
            Err(error) => error.to_string(),
            Ok(_) if !changed.is_empty() => format!("changed while they were read: {}", changed.join(", ")),
            Ok(_) => String::new(),
        };
        self.log.append(Event::End { is_ok: text.is_empty(), text })?;
        match changed.first() {
            Some(path) => {
                let text = format!("{} is not what it was before it was read", safe(path));
                Err(Error::new(ErrorKind::Mismatch, text)
                    .hint("look who writes it, and take the evidence again"))
            }
            None => Ok(()),
        }
    }

    fn read(&self, path: &Path) -> Result<Fingerprint> {
        let size = std::fs::metadata(path).map_or(0, |found| found.len());
        self.control.observer.begin("evidence", size);
        let tick = |bytes| {
            self.control.observer.advance(bytes);
            self.control.check()
        };
        let found = fingerprint(path, &tick);
        self.control.observer.end();
        found
    }
}

fn work_of(command: &Command) -> Option<Work<'_>> {
    let one = |source, open, results| Some(Work { sources: vec![source], open, results });
    match command {
        Command::Convert(args) | Command::Flatten(args) => {
            let results = match &args.out {
                Some(out) => vec![out.clone()],
                None => vec![args.target.clone(), convert_engine::manifest_path(&args.target)],
            };
            Some(Work { sources: args.sources(), open: &args.open, results })
        }
        Command::Migrate(args) => {
            let sources = args.sources.iter().map(PathBuf::as_path).collect();
            Some(Work { sources, open: &args.open, results: vec![args.out.clone()] })
        }
        Command::Inspect(args) => {
            let sources = args.images.iter().map(PathBuf::as_path).collect();
            Some(Work { sources, open: &args.open, results: Vec::new() })
        }
        Command::Info(args) => one(args.image.as_path(), &args.open, Vec::new()),
        Command::Check(args) => one(args.image.as_path(), &args.open, Vec::new()),
        Command::Digest(args) => one(args.image.as_path(), &args.open, Vec::new()),
        _ => None,
    }
}

/// All files of the sources: those of an image and its parents, and everything in a folder.
fn files_of(work: &Work<'_>) -> Result<Vec<PathBuf>> {
    let options = work.open.options()?;
    let mut files = Vec::new();
    for source in &work.sources {
        if source.is_dir() {
            walk(source, &mut files)?;
            continue;
        }
        files.push(source.to_path_buf());
        // What cannot be opened is evidence all the same: the command says why.
        if let Ok(opened) = open_images(source, &options) {
            files.extend(SourceFile::of_images(&opened).into_iter().map(|file| file.path));
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    files.retain(|file| seen.insert(file.canonicalize().unwrap_or_else(|_| file.clone())));
    Ok(files)
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let failed = |e| Error::io(format!("cannot list {}", folder.display()), e);
    let mut entries: Vec<_> =
        std::fs::read_dir(folder).map_err(failed)?.collect::<std::io::Result<_>>().map_err(failed)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let kind = entry.file_type().map_err(failed)?;
        match (kind.is_dir(), kind.is_file()) {
            (true, _) => walk(&entry.path(), files)?,
            (_, true) => files.push(entry.path()),
            _ => {}
        }
    }
    Ok(())
}

/// What in the guest holds memory: an examiner will want to see it first.
fn memory_files(work: &Work<'_>) -> Vec<String> {
    match look(work) {
        Ok(tree) => {
            let mut found: Vec<String> = MEMORY_FILES.iter().filter_map(|path| said(&tree, path)).collect();
            for folder in DUMP_FOLDERS {
                let names = tree.read_dir(folder).unwrap_or_default();
                found.extend(
                    names.iter().filter_map(|entry| said(&tree, &format!("{folder}/{}", entry.name))),
                );
            }
            if found.is_empty() {
                found
                    .push("no file for hibernation, paging or dumps of memory was found in the guest".into());
            }
            found
        }
        Err(error) => vec![format!("the guest was not searched for files with its memory: {error}")],
    }
}

fn said(tree: &GuestTree, path: &str) -> Option<String> {
    let meta = tree.metadata(path).ok().flatten().filter(|meta| meta.size > 0)?;
    Some(format!("in the guest: {path}, {} bytes, may hold memory of it", meta.size))
}

fn look(work: &Work<'_>) -> Result<GuestTree> {
    let options = work.open.options()?;
    let mut overlays = Vec::new();
    for source in &work.sources {
        overlays.extend(open_images(source, &options)?.into_iter().map(|image| Overlay::new(image.disk)));
    }
    look_into(&overlays, &work.open.passphrases()?)?.into_tree()
}
