//! A repository as a container: snapshots are its points in time, image files in one are its disks.

use crate::cache::BlobCache;
use crate::damage::{self, Damaged};
use crate::error::ResticError;
use crate::index::TreeIndex;
use crate::layout::{CONFIG, DATA, INDEX, KEYS, MAX_SMALL, MAX_TREE, SNAPSHOTS};
use crate::parse::{self, Id, Snapshot};
use crate::read::{BackedFile, FileMap, Planned};
use crate::repository::Repository;
use crate::tree::{self, FileEntry, Found};
use format_core::{
    CheckReport, Container, Details, DiskEntry, Error, ErrorKind, Finding, Gate, InnerImage, LayerContext,
    MachineFile, Opener, Origin, Point, Referenced, Result, Score, Severity, SourceFolder, Storage, Tick,
    Warning,
};
use std::sync::Arc;

/// Whether the folder has what a repository has.
pub(crate) fn probe_folder(folder: &SourceFolder) -> Score {
    let has_config = matches!(folder.file_size(CONFIG), Ok(Some(_)));
    let has_all = || [KEYS, INDEX, SNAPSHOTS, DATA].iter().all(|name| folder.has_folder(name));
    if has_config && has_all() { Score::Magic } else { Score::No }
}

/// Opens the repository in a folder.
pub(crate) fn open(origin: Origin, context: &LayerContext) -> Result<Box<dyn Container>> {
    let Origin::Folder(folder) = origin else {
        let text = "a restic repository is a folder, this is a file of one";
        return Err(Error::unsupported(text)
            .in_format(crate::FORMAT.name)
            .hint("name the repository's folder"));
    };
    let repository = Repository::open(folder, context.access.key.as_ref())?;
    let wanted = context.access.at.as_deref();
    let Snapshots { mut points, snapshots, damaged } = Snapshots::load(&repository)?;
    damage::judge(&damaged, &points, wanted)?;
    let chosen = Point::choose(&points, wanted)?;
    points[chosen].is_chosen = true;
    let snapshot = snapshots.into_iter().nth(chosen).ok_or(ResticError::NoSnapshots)?;
    let index = TreeIndex::load(&repository)?;
    let found = tree::find(&repository, &index, snapshot.tree)
        .map_err(|e| e.context(format!("snapshot {}", points[chosen].id)))?;
    let disks = found.disks.iter().map(entry_of).collect();
    let opener = Arc::clone(&context.opener);
    let repository = Arc::new(repository);
    let warnings = damaged.iter().map(|damaged| Warning::new("snapshot-damaged", damaged.error.to_string()));
    let warnings = warnings.collect();
    Ok(Box::new(Opened {
        repository,
        index,
        points,
        chosen,
        snapshot,
        found,
        disks,
        damaged,
        warnings,
        opener,
    }))
}

fn entry_of(file: &FileEntry) -> DiskEntry {
    let virtual_size = format_core::is_raw_name(&file.plain_name()).then_some(file.size);
    DiskEntry { name: file.path.clone(), virtual_size }
}

/// All snapshots, oldest first.
struct Snapshots {
    points: Vec<Point>,
    snapshots: Vec<Snapshot>,
    /// Those that are not what was written.
    damaged: Vec<Damaged>,
}

impl Snapshots {
    fn load(repository: &Repository) -> Result<Self> {
        let (mut all, mut damaged) = (Vec::new(), Vec::new());
        for id in repository.list(SNAPSHOTS)? {
            let loaded = repository
                .json_file(SNAPSHOTS, id, MAX_SMALL)
                .and_then(|bytes| Ok(parse::json::<Snapshot>(&bytes, &format!("{SNAPSHOTS}/{id}"))?));
            match loaded {
                Ok(snapshot) => all.push((moment(&snapshot.time), id, snapshot)),
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    damaged.push(Damaged { id: id.to_string(), error });
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(damaged) = damaged.pop_if(|_| all.is_empty()) {
            return Err(damaged.error);
        }
        if all.is_empty() {
            return Err(ResticError::NoSnapshots.into());
        }
        all.sort_by(|(time, id, _), (other, other_id, _)| (time, id).cmp(&(other, other_id)));
        let point = |((time, _), id, snapshot): (Moment, Id, Snapshot)| {
            (Point { id: id.to_string(), time, virtual_size: None, is_chosen: false }, snapshot)
        };
        let (points, snapshots) = all.into_iter().map(point).unzip();
        Ok(Self { points, snapshots, damaged })
    }
}

/// Seconds since 1970, and the digits of their fraction.
type Moment = (Option<i64>, String);

/// When a snapshot was made: several can be made within a second.
fn moment(time: &str) -> Moment {
    let fraction = time.split_once('.').map_or("", |(_, fraction)| fraction);
    let digits = fraction.chars().take_while(char::is_ascii_digit).collect();
    (Point::time_of(time), digits)
}

struct Opened {
    repository: Arc<Repository>,
    index: TreeIndex,
    points: Vec<Point>,
    chosen: usize,
    snapshot: Snapshot,
    found: Found,
    disks: Vec<DiskEntry>,
    damaged: Vec<Damaged>,
    warnings: Vec<Warning>,
    opener: Arc<dyn Opener>,
}

impl Opened {
    fn plan(&self, file: &FileEntry) -> Result<Planned> {
        let in_file = |e: Error| e.context(file.path.clone());
        let bytes = self.index.tree(&self.repository, file.tree, MAX_TREE).map_err(in_file)?;
        let what = format!("the folder of {:?}", file.path);
        let content = parse::content_of(&bytes, &file.name, &what)?.unwrap_or_default();
        drop(bytes);
        FileMap::plan(&self.repository, content, &file.path, file.size).map_err(in_file)
    }

    /// The file as a storage; what is missing is an error before the first byte.
    fn storage(&self, file: &FileEntry) -> Result<Arc<dyn Storage>> {
        let planned = self.plan(file)?;
        let Some(map) = planned.map else {
            let problem = planned.problems.into_iter().next();
            let error = problem.map_or_else(|| Error::contract("a file without a map"), Error::from);
            return Err(error.context(file.path.clone()));
        };
        Ok(Arc::new(BackedFile {
            repository: Arc::clone(&self.repository),
            map,
            cache: BlobCache::default(),
        }))
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
        let file =
            self.found.disks.get(index).ok_or_else(|| Error::usage(format!("there is no disk {index}")))?;
        let name = format_core::image_name(&file.plain_name());
        let failed = |e: Error| e.context(file.path.clone());
        self.opener.open(self.storage(file)?, &name, Arc::new(NoSiblings)).map_err(failed)
    }

    fn machine_files(&self) -> Result<Vec<MachineFile>> {
        let read = |file: &FileEntry| {
            let storage = self.storage(file)?;
            let mut bytes = vec![0; storage.size() as usize];
            storage.read_exact_at(0, &mut bytes)?;
            Ok(MachineFile { name: file.path.clone(), bytes })
        };
        self.found.machines.iter().map(read).collect()
    }

    fn points(&self) -> &[Point] {
        &self.points
    }

    fn details(&self) -> Details {
        let Snapshot { time, paths, hostname, tags, .. } = &self.snapshot;
        let config = self.repository.config();
        let mut details = Details::new();
        details.insert("repository-version".into(), config.version.into());
        details.insert("repository-id".into(), config.id.clone().into());
        details.insert("snapshot-id".into(), self.points[self.chosen].id.clone().into());
        details.insert("snapshot-time".into(), time.clone().into());
        details.insert("snapshot-host".into(), hostname.clone().into());
        details.insert("snapshot-paths".into(), paths.clone().into());
        details.insert("snapshot-tags".into(), tags.clone().into());
        details
    }

    fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    fn completeness(&self) -> Result<Vec<Finding>> {
        let mut findings: Vec<_> = self.damaged.iter().map(|damaged| finding(&damaged.error)).collect();
        for file in &self.found.disks {
            match self.plan(file) {
                Ok(planned) => findings.extend(
                    planned.problems.into_iter().map(|p| finding(&Error::from(p).context(file.path.clone()))),
                ),
                Err(error) if crate::check::is_damage(&error) => findings.push(finding(&error)),
                Err(error) => return Err(error),
            }
        }
        Ok(findings)
    }

    fn check(&self, tick: Tick<'_>) -> Result<CheckReport> {
        let mut report = CheckReport::default();
        for Damaged { error, .. } in &self.damaged {
            report.error(error.to_string(), error.offset());
        }
        for file in &self.found.disks {
            match self.plan(file) {
                Ok(planned) => {
                    crate::check::check_file(&self.repository, &file.path, &planned, tick, &mut report)?
                }
                Err(error) if crate::check::is_damage(&error) => {
                    report.error(error.to_string(), error.offset());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(report)
    }
}

fn finding(error: &Error) -> Finding {
    Finding { severity: Severity::Error, message: error.to_string(), at: error.offset() }
}

/// An image in a snapshot can name others; they would have to be looked for in the snapshot, and not in the host's folders.
struct NoSiblings;

impl Gate for NoSiblings {
    fn open(&self, name: &str) -> Result<Referenced> {
        let text =
            format!("the image refers to the file {name:?}, and files of a snapshot are opened one by one");
        Err(Error::unsupported(text)
            .in_format(crate::FORMAT.name)
            .hint("restore both files with restic restore, and name the image there"))
    }
}
