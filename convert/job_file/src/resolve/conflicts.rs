//! Jobs that would get in each other's way: outputs that are one, and outputs that are somebody's source.

use super::ResolvedJob;
use crate::address::is_address;
use crate::fault::Result;
use crate::job_file::JobFile;
use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

pub(super) fn check(file: &JobFile, jobs: &[ResolvedJob]) -> Result<()> {
    let mut places = Places::default();
    let mut outputs: HashMap<PathBuf, usize> = HashMap::new();
    for (at, job) in jobs.iter().enumerate() {
        for output in job.outputs() {
            let Some(first) = outputs.insert(places.of(&output), at) else { continue };
            let field = if file.says(job.index, "target") { "target" } else { "output" };
            let text = format!("{} is the output of the job {:?}, too", output.display(), jobs[first].id);
            return Err(file.fault(job.index, field, text).hint("give each job an output of its own"));
        }
    }
    let mut sources: HashMap<PathBuf, usize> = HashMap::new();
    for (at, job) in jobs.iter().enumerate() {
        // An address is no place in which an output could lie.
        for source in job.sources().iter().filter(|source| !is_address(source)) {
            sources.entry(places.of(source)).or_insert(at);
        }
    }
    for job in jobs {
        for output in job.outputs() {
            let place = places.of(&output);
            // An output is not a source, and lies in no folder that is one.
            let met = place.ancestors().find_map(|place| sources.get(place));
            let Some(owner) = met else { continue };
            let owner = &jobs[*owner];
            let whose = if owner.id == job.id {
                "its own source".to_owned()
            } else {
                format!("the source of the job {:?}", owner.id)
            };
            let field = if file.says(job.index, "output") { "output" } else { "source" };
            let text = format!("the output {} is {whose}, or lies within it", output.display());
            return Err(file.fault(job.index, field, text).hint("write into another folder"));
        }
    }
    Ok(())
}

/// Paths as they can be compared: links followed as far as something is there, `..` taken out, and case folded, as two names that differ in
/// case alone are one file on the file systems of Windows and macOS.
#[derive(Default)]
struct Places {
    folders: HashMap<PathBuf, PathBuf>,
}

impl Places {
    fn of(&mut self, path: &Path) -> PathBuf {
        // The last part may be a link itself.
        let real = path.canonicalize().unwrap_or_else(|_| match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => self.folder(parent).join(name),
            _ => plain(path),
        });
        folded(&real)
    }

    /// Ten thousand jobs share a few folders.
    fn folder(&mut self, folder: &Path) -> PathBuf {
        if let Some(known) = self.folders.get(folder) {
            return known.clone();
        }
        let real = folder.canonicalize().unwrap_or_else(|_| match (folder.parent(), folder.file_name()) {
            (Some(parent), Some(name)) => self.folder(parent).join(name),
            // `..` of something that is not there yet, or the root.
            _ => plain(folder),
        });
        self.folders.insert(folder.to_owned(), real.clone());
        real
    }
}

fn plain(path: &Path) -> PathBuf {
    let mut done = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                done.pop();
            }
            Component::CurDir => {}
            part => done.push(part),
        }
    }
    done
}

fn folded(path: &Path) -> PathBuf {
    path.iter()
        .map(|part| part.to_str().map_or_else(|| part.to_owned(), |text| OsString::from(text.to_lowercase())))
        .collect()
}
