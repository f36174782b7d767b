//! A job file for what is there: images, folders of backups, lists of machines.

mod collect;
mod list;
mod write;

pub use list::{Datastores, parse_list};
pub use write::write;

use crate::model::{Firmware, Platform};
use format_core::{Error, ErrorKind, Result};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

/// What an image, or the folder of a backup, turned out to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Its format, as `-f` takes it.
    pub format: String,
    /// Other files that it consists of or is based on: they are no sources of their own.
    pub uses: Vec<PathBuf>,
}

/// Looks at a file or folder; `None` when it is nothing that can be read.
pub type Probe<'p> = &'p dyn Fn(&Path) -> Option<Found>;

/// What all planned jobs have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Where machines go.
    pub to: Option<Platform>,
    /// Without a platform: what images become.
    pub target_format: Option<String>,
    /// The folder of the outputs.
    pub output: Option<PathBuf>,
}

/// A planned job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlannedJob {
    /// Its name; empty until [`name_all`] gave it one.
    pub id: String,
    /// A line for people.
    pub title: Option<String>,
    /// The sources, absolute.
    pub sources: Vec<PathBuf>,
    /// Their format, where it is the same.
    pub format: Option<String>,
    /// Files that say what the machine is.
    pub machine: Vec<PathBuf>,
    /// Where it goes, if not where all go.
    pub to: Option<Platform>,
    /// How it starts.
    pub firmware: Option<Firmware>,
    /// Networks of the source and of the target.
    pub networks: BTreeMap<String, String>,
    /// When it runs.
    pub wave: Option<u32>,
    /// When it runs within its wave.
    pub priority: Option<i32>,
    /// Its folder, if not one of its name.
    pub output: Option<PathBuf>,
    /// Files with keys.
    pub key_file: Vec<PathBuf>,
    /// What a person should know of it; a line each.
    pub comments: Vec<String>,
}

/// Jobs, and what became none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What all jobs have in common.
    pub wish: Wish,
    /// The jobs.
    pub jobs: Vec<PlannedJob>,
    /// Files that are no sources, with the reason.
    pub skipped: Vec<(PathBuf, String)>,
    /// What a person should know of the whole; a line each.
    pub comments: Vec<String>,
}

/// Plans a job for each image and backup that `patterns` name: files, folders, and patterns with `*`, `?`, `[…]` and `**`.
///
/// # Errors
/// `Usage` for a pattern that is none, `SourceMissing` when nothing is there, `Limit` when there is too much.
pub fn plan(patterns: &[String], wish: Wish, probe: Probe<'_>) -> Result<Plan> {
    let collected = collect::collect(patterns, probe)?;
    if collected.found.is_empty() {
        let named = patterns.join(", ");
        return Err(Error::new(
            ErrorKind::SourceMissing,
            format!("no image and no backup was found in {named}"),
        )
        .hint("'rehome info FILE' tells what a file is"));
    }
    let mut plan = Plan { wish, skipped: collected.skipped, ..Plan::default() };
    let paths: BTreeSet<PathBuf> = collected.found.keys().cloned().collect();
    for (path, found) in collected.found {
        let is_machine = plan.wish.to.is_some();
        if is_machine && let Some(first) = first_disk(&path).filter(|first| paths.contains(first)) {
            let job = plan.jobs.iter_mut().find(|job| job.sources.first() == Some(&first));
            if let Some(job) = job {
                job.comments = vec![
                    "disks of one name are taken for one machine's: cut them apart if they are not".into(),
                ];
                if job.format.as_deref() != Some(&found.format) {
                    job.format = None;
                }
                job.sources.push(path);
                continue;
            }
        }
        let machine = if is_machine { description_beside(&path) } else { None };
        plan.jobs.push(PlannedJob {
            machine: machine.into_iter().collect(),
            sources: vec![path],
            format: Some(found.format),
            ..PlannedJob::default()
        });
    }
    name_all(&mut plan.jobs);
    Ok(plan)
}

/// The disk that `web_1.vmdk` belongs to: `web.vmdk`. VMware names them so.
fn first_disk(path: &Path) -> Option<PathBuf> {
    let (stem, number) = path.file_stem()?.to_str()?.rsplit_once('_')?;
    let is_number = !number.is_empty() && number.len() <= 2 && number.chars().all(|c| c.is_ascii_digit());
    let mut name = stem.to_owned();
    if let Some(extension) = path.extension() {
        name.push('.');
        name.push_str(extension.to_str()?);
    }
    (is_number && !stem.is_empty()).then(|| path.with_file_name(name))
}

fn description_beside(path: &Path) -> Option<PathBuf> {
    ["vmx", "ovf", "xml"].iter().map(|extension| path.with_extension(extension)).find(|path| path.is_file())
}

/// Gives jobs without a name one of their source's; where several would be the same, the folder's name comes before, and then a number behind.
pub fn name_all(jobs: &mut [PlannedJob]) {
    let of =
        |job: &PlannedJob| crate::resolve::id_of(job.sources.first().map_or(Path::new(""), PathBuf::as_path));
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for job in jobs.iter().filter(|job| job.id.is_empty()) {
        *counts.entry(of(job).to_ascii_lowercase()).or_default() += 1;
    }
    let mut taken: HashSet<String> =
        jobs.iter().filter(|job| !job.id.is_empty()).map(|job| job.id.to_ascii_lowercase()).collect();
    // Where the search for a number goes on: thousands of jobs may want the same name.
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    for job in jobs.iter_mut().filter(|job| job.id.is_empty()) {
        let plain = of(job);
        let folder = job.sources.first().and_then(|path| path.parent()).map(crate::resolve::id_of);
        let is_shared = counts.get(&plain.to_ascii_lowercase()).is_some_and(|count| *count > 1);
        let wanted = match folder {
            Some(folder) if is_shared => shortened(&format!("{folder}-{plain}"), 64),
            _ => plain,
        };
        let mut id = wanted.clone();
        let number = numbers.entry(wanted.to_ascii_lowercase()).or_insert(1);
        while !taken.insert(id.to_ascii_lowercase()) {
            *number += 1;
            id = format!("{}-{number}", shortened(&wanted, 56));
        }
        job.id = id;
    }
}

/// Names are ASCII.
fn shortened(name: &str, most: usize) -> String {
    name.chars().take(most).collect::<String>().trim_end_matches(['.', '-']).to_owned()
}
