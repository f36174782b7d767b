//! Which packages of a folder or disc fit a guest, each in the build that is nearest to it.

use crate::builds::{Nearness, nearness};
use crate::inf::parse;
use crate::model::{Declared, declared};
use crate::reader::MAX_COST;
use crate::source::{Source, SourceFile};
use crate::target::{Arch, WindowsVersion};
use crate::text::MAX_INF;
use driver_core::{DriverDate, DriverPackage, PackageFile};
use format_core::{Error, ErrorKind, Result};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// Bounds. A driver is some 100 KiB, all that virtio-win has for one Windows some 20 MiB.
const MAX_INFS: usize = 4096;
const MAX_FILE: u64 = 32 << 20;
const MAX_PACKAGE: u64 = 128 << 20;
const MAX_ALL: u64 = 160 << 20;
/// What the INF files that fit may keep, and what looking at all of them may cost.
const MAX_DECLARED: usize = 64 << 20;
const MAX_EFFORT: usize = 512 << 20;
/// What reading a byte of an INF file counts.
const READ: usize = 4;

/// Most INF files that an error lists.
const SHOWN: usize = 6;

/// Folders and INF files that are left out: for tests and debugging, and what virt-v2v leaves out too (drivers of
/// virtual functions, and the protocol that goes with them).
const LEFT_OUT_FOLDERS: [&str; 5] = ["sriov", "debug", "dbg", "checked", "chk"];
const LEFT_OUT_INFS: [&str; 1] = ["vioprot.inf"];

/// The driver packages below `path`, a folder or an ISO 9660 image, that fit the guest: for each INF name the one that
/// is nearest to the guest, with the content of its files. Sorted by INF name.
///
/// A package fits when its INF has a models section for this Windows and processor, when its folder does not name a later
/// Windows or another processor, and when the binaries of its services are there. Symbolic links are not followed.
///
/// # Errors
/// `Usage` when nothing fits (with what was there) or `path` is neither; `SourceMissing`, `Denied`, `Io`; `Corrupt`,
/// `Unsupported` for an image that is damaged or interleaved; `Limit` above 4096 INF files, 32 MiB a file, 128 MiB a
/// package, 160 MiB in all. An INF that cannot be read is passed over, which a note of the package taken instead says.
pub fn packages(path: &Path, guest: &WindowsVersion, arch: Arch) -> Result<Vec<DriverPackage>> {
    let source = Source::open(path)?;
    let files = source.files().map_err(|error| error.context(path.display().to_string()))?;
    let search = Search { index: index(&files), source, files: &files, guest, arch };
    let found = search.candidates()?;
    if found.best.is_empty() {
        return Err(found.nothing_fits(path, guest, arch));
    }
    let mut packages = Vec::new();
    let mut room = MAX_ALL;
    for candidate in found.chosen() {
        packages.push(search.load(candidate, &mut room)?);
    }
    packages.sort_by_cached_key(|package| package.inf.to_lowercase());
    Ok(packages)
}

/// Files by their paths in lower case.
fn index(files: &[SourceFile]) -> BTreeMap<String, &SourceFile> {
    files.iter().rev().map(|file| (file.path.to_lowercase(), file)).collect()
}

struct Search<'a> {
    source: Source,
    files: &'a [SourceFile],
    index: BTreeMap<String, &'a SourceFile>,
    guest: &'a WindowsVersion,
    arch: Arch,
}

/// A package that fits.
struct Candidate<'a> {
    file: &'a SourceFile,
    nearness: Nearness,
    declared: Declared,
}

impl Candidate<'_> {
    fn rank(&self) -> (Nearness, DriverDate, [u16; 4]) {
        (self.nearness, self.declared.package.date, self.declared.package.version)
    }

    /// Function drivers, in lower case.
    fn services(&self) -> BTreeSet<String> {
        let services = self.declared.package.devices.iter().filter_map(|device| device.service.as_ref());
        services.map(|name| name.to_lowercase()).collect()
    }

    /// Whether the INF is called as one of its services.
    fn has_own_name(&self) -> bool {
        let name = self.file.split().1.to_lowercase();
        self.services().contains(name.trim_end_matches(".inf"))
    }
}

/// What a search found.
#[derive(Default)]
struct Found<'a> {
    /// By INF name in lower case.
    best: BTreeMap<String, Candidate<'a>>,
    /// INF files that are for others.
    others: Vec<&'a str>,
    /// INF name in lower case, and why it was passed over.
    passed_over: Vec<(String, String)>,
}

impl<'a> Search<'a> {
    fn candidates(&self) -> Result<Found<'a>> {
        let mut found = Found::default();
        let mut effort = 0_usize;
        let infs =
            self.files.iter().filter(|file| has_extension(&file.path, "inf") && !is_left_out(&file.path));
        for (number, file) in infs.enumerate() {
            let name = file.split().1.to_lowercase();
            let cost = match self.candidate(file) {
                Ok(Some(candidate)) => {
                    let cost = candidate.declared.cost;
                    if found.best.get(&name).is_none_or(|best| best.rank() < candidate.rank()) {
                        found.best.insert(name, candidate);
                    }
                    cost
                }
                Ok(None) => {
                    found.others.push(&file.path);
                    0
                }
                Err(error) if is_of_the_file(error.kind()) => {
                    let cost = if error.kind() == ErrorKind::Limit { MAX_COST } else { 0 };
                    found.passed_over.push((name, format!("{} was passed over: {error}", file.path)));
                    cost
                }
                Err(error) => return Err(error.context(file.path.clone())),
            };
            let size = usize::try_from(file.size).unwrap_or(MAX_INF).min(MAX_INF);
            effort = effort.saturating_add(cost).saturating_add(READ * size);
            let kept: usize = found.best.values().map(|best| best.declared.cost).sum();
            if number >= MAX_INFS || kept > MAX_DECLARED || effort > MAX_EFFORT {
                let message = format!("{} INF files and more, or too much in them", number + 1);
                return Err(
                    Error::new(ErrorKind::Limit, message).hint("give the folder of the drivers alone")
                );
            }
        }
        Ok(found)
    }

    /// Reads an INF file. `None`: it is for others.
    fn candidate(&self, file: &'a SourceFile) -> Result<Option<Candidate<'a>>> {
        let Some(nearness) = nearness(file.split().0, self.guest, self.arch) else { return Ok(None) };
        let inf = parse(&self.source.read(file, MAX_INF as u64)?)?;
        let Some(mut declared) = declared(&inf, self.guest, self.arch)? else { return Ok(None) };
        for service in &declared.package.services {
            let copied =
                declared.copied.iter().find(|it| it.target.name.eq_ignore_ascii_case(&service.binary));
            match copied {
                Some(copied) if self.find(file, &copied.source).is_none() => {
                    let message = format!("{} of service {} is missing", copied.source, service.name);
                    return Err(Error::corrupt(message).in_format("inf"));
                }
                Some(_) => {}
                None => {
                    let note = format!(
                        "{} of service {} is not copied: it must be in Windows",
                        service.binary, service.name
                    );
                    declared.package.notes.push(note);
                }
            }
        }
        Ok(Some(Candidate { file, nearness, declared }))
    }

    /// A file by its path below the folder of an INF.
    fn find(&self, inf: &SourceFile, path: &str) -> Option<&'a SourceFile> {
        let path = path.replace('\\', "/").to_lowercase();
        let folder = inf.split().0.to_lowercase();
        let full = if folder.is_empty() { path } else { format!("{folder}/{path}") };
        self.index.get(&full).copied()
    }

    /// The package with its files.
    fn load(&self, candidate: Candidate<'a>, room: &mut u64) -> Result<DriverPackage> {
        let Candidate { file: inf, nearness, declared } = candidate;
        let (folder, name) = inf.split();
        let mut package = declared.package;
        let mut loaded = Loaded { search: self, inf, left: MAX_PACKAGE, room, read: BTreeMap::new() };
        package.files.push(PackageFile {
            name: name.to_owned(),
            target: None,
            content: loaded.content(inf)?,
        });
        let catalog = package.catalog.clone().map(|catalog| (catalog, None));
        let copied = declared.copied.into_iter().map(|copied| (copied.source, Some(copied.target)));
        for (path, target) in catalog.into_iter().chain(copied) {
            match self.find(inf, &path) {
                Some(file) => {
                    let content = loaded.content(file)?;
                    // In the spelling of the disc.
                    let name =
                        file.path.get(inf.path.len() - name.len()..).unwrap_or(&path).replace('/', "\\");
                    package.files.push(PackageFile { name, target, content });
                }
                None => package.notes.push(format!("{path} is missing")),
            }
        }
        if !nearness.is_exact(self.guest) {
            package
                .notes
                .push(format!("{folder} is not the folder of this Windows, but there is no nearer one"));
        }
        package.inf = name.to_owned();
        package.source = folder.to_owned();
        Ok(package)
    }
}

/// Files of a package that were read, within bounds.
struct Loaded<'a, 's> {
    search: &'s Search<'a>,
    inf: &'a SourceFile,
    /// Bytes that the package may still have, and all together.
    left: u64,
    room: &'s mut u64,
    read: BTreeMap<&'a str, Arc<[u8]>>,
}

impl<'a> Loaded<'a, '_> {
    fn content(&mut self, file: &'a SourceFile) -> Result<Arc<[u8]>> {
        if let Some(content) = self.read.get(file.path.as_str()) {
            return Ok(Arc::clone(content));
        }
        let limit = MAX_FILE.min(self.left).min(*self.room);
        if file.size > limit {
            let message = format!(
                "{} has {} bytes; at most {} MiB a file, {} MiB a package and {} MiB in all are read",
                file.path,
                file.size,
                MAX_FILE >> 20,
                MAX_PACKAGE >> 20,
                MAX_ALL >> 20
            );
            return Err(Error::new(ErrorKind::Limit, message).context(self.inf.path.clone()));
        }
        let content: Arc<[u8]> = self.search.source.read(file, limit)?.into();
        self.left -= content.len() as u64;
        *self.room -= content.len() as u64;
        self.read.insert(&file.path, Arc::clone(&content));
        Ok(content)
    }
}

impl<'a> Found<'a> {
    /// One package for each service, the best ones. What was passed over for one of them is among its notes.
    fn chosen(mut self) -> Vec<Candidate<'a>> {
        // Two drivers of one device; as virt-v2v does.
        if self.best.contains_key("fwcfg.inf") {
            self.best.remove("qemufwcfg.inf");
        }
        for (name, why) in self.passed_over {
            if let Some(best) = self.best.get_mut(&name) {
                best.declared.package.notes.push(why);
            }
        }
        let mut candidates: Vec<_> = self.best.into_values().collect();
        candidates.sort_by_key(|it| Reverse((it.rank(), it.has_own_name(), Reverse(it.file.path.clone()))));
        let mut taken = BTreeSet::new();
        candidates.retain(|candidate| {
            let services = candidate.services();
            let is_new = taken.is_disjoint(&services);
            if is_new {
                taken.extend(services);
            }
            is_new
        });
        candidates
    }

    fn nothing_fits(&self, path: &Path, guest: &WindowsVersion, arch: Arch) -> Error {
        let WindowsVersion { major, minor, build, is_server } = guest;
        let kind = if *is_server { "server" } else { "workstation" };
        let passed_over = self.passed_over.iter().map(|(_, why)| why.as_str());
        let all: Vec<&str> = passed_over.chain(self.others.iter().copied()).collect();
        let there = match all.as_slice() {
            [] => "there is no INF file".to_owned(),
            all => {
                let shown = all.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
                let more = all.len().saturating_sub(SHOWN);
                format!(
                    "there are {shown}{}",
                    if more == 0 { String::new() } else { format!(" and {more} more") }
                )
            }
        };
        let message = format!(
            "no driver package in {} fits Windows {major}.{minor}.{build} ({kind}, {}): {there}",
            path.display(),
            arch.name()
        );
        Error::usage(message)
            .hint("give the folder or the ISO image of drivers that are made for this Windows")
    }
}

/// Whether an error of that kind says that the file is bad, and others may be good.
fn is_of_the_file(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Corrupt | ErrorKind::Limit | ErrorKind::Unsupported)
}

fn has_extension(path: &str, extension: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, own)| own.eq_ignore_ascii_case(extension))
}

fn is_left_out(path: &str) -> bool {
    let is_one = |part: &str, of: &[&str]| of.iter().any(|name| part.eq_ignore_ascii_case(name));
    path.split('/').any(|part| is_one(part, &LEFT_OUT_FOLDERS) || is_one(part, &LEFT_OUT_INFS))
}
