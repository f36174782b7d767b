//! From what a job file says to what is run: names, absolute paths, commands, in the order of the batch.

mod check;
mod command;
mod conflicts;
mod ids;
mod paths;

use crate::address::{is_address, server};
use crate::fault::{Fault, Result};
use crate::job_file::JobFile;
use crate::model::{Batch, Destination, Isolate, IsolateHow, Job, Kind};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// A batch, ready to be run.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// What reports call it.
    pub name: String,
    /// The folder of all outputs that do not say otherwise, absolute.
    pub output: PathBuf,
    /// What is said once for all jobs.
    pub batch: Batch,
    /// The jobs in the order of wave, priority (high ones first) and file.
    pub jobs: Vec<ResolvedJob>,
}

/// A job, ready to be run.
#[derive(Clone, Debug)]
pub struct ResolvedJob {
    /// Its number in the file, from 0.
    pub index: usize,
    /// Its name.
    pub id: String,
    /// A line for people.
    pub title: String,
    /// What it does.
    pub kind: Kind,
    /// Jobs of a lower wave come first.
    pub wave: u32,
    /// Jobs of a higher priority come first.
    pub priority: i32,
    /// The folder of its results, absolute.
    pub output: PathBuf,
    /// The image that a conversion writes, absolute.
    pub target: Option<PathBuf>,
    /// How the destination is isolated afterwards.
    pub isolate: Option<Isolate>,
    /// What the destination must be.
    pub destination: Option<Destination>,
    /// Everything else, with absolute paths.
    pub job: Job,
}

impl JobFile {
    /// Resolves all jobs and looks for conflicts between them. No source is opened; symbolic links are followed where they are there.
    ///
    /// # Errors
    /// `Usage` with the place of the field that cannot be meant.
    pub fn resolve(&self) -> Result<Resolved> {
        let batch = self.model.batch.clone();
        let output = self.text.folder.join(batch.output.as_deref().unwrap_or(Path::new("")));
        let ids = ids::all(self)?;
        let mut jobs = Vec::with_capacity(ids.len());
        for (index, (job, id)) in self.model.job.iter().zip(ids).enumerate() {
            check::job(self, index, job)?;
            jobs.push(self.resolve_job(index, job, id, &output));
        }
        conflicts::check(self, &jobs)?;
        jobs.sort_by_key(|job| (job.wave, std::cmp::Reverse(job.priority), job.index));
        let stem = Path::new(&self.text.name).file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let name = batch.name.clone().or(stem).unwrap_or_default();
        Ok(Resolved { name, output, batch, jobs })
    }

    fn resolve_job(&self, index: usize, job: &Job, id: String, root: &Path) -> ResolvedJob {
        let kind = kind_of(job);
        let output = root.join(job.output.as_deref().unwrap_or(Path::new(&id)));
        let target = (kind == Kind::Convert).then(|| output.join(target_name(job, &id)));
        let isolate = job.isolate.clone().or_else(|| self.model.batch.isolate.clone());
        ResolvedJob {
            index,
            title: job.title.clone().unwrap_or_else(|| id.clone()),
            id,
            kind,
            wave: job.wave.unwrap_or(0),
            priority: job.priority.unwrap_or(0),
            output,
            target,
            isolate: isolate.filter(|isolate| isolate.how != IsolateHow::None),
            destination: job.destination.clone().or_else(|| self.model.batch.destination.clone()),
            job: paths::absolute(job, &self.text.folder),
        }
    }
}

/// The name that a job gets from its source.
pub(crate) use ids::{from_name as id_of_name, from_source as id_of};

pub(crate) fn kind_of(job: &Job) -> Kind {
    job.kind.unwrap_or(if job.to.is_some() { Kind::Migrate } else { Kind::Convert })
}

fn target_name(job: &Job, id: &str) -> String {
    let extension = || match job.target_format.as_deref() {
        Some("vpc") => "vhd".to_owned(),
        Some(format) => format.to_lowercase(),
        None => "img".to_owned(),
    };
    job.target.clone().unwrap_or_else(|| format!("{id}.{}", extension()))
}

impl ResolvedJob {
    /// The sources, absolute.
    #[must_use]
    pub fn sources(&self) -> &[PathBuf] {
        &self.job.source.0
    }

    /// What the job writes: the folder of a migration, the image of a conversion.
    #[must_use]
    pub fn outputs(&self) -> Vec<PathBuf> {
        vec![self.target.clone().unwrap_or_else(|| self.output.clone())]
    }

    /// The folder that has to be there before the command runs. It may be made below the batch's output, which may not.
    #[must_use]
    pub fn folder(&self) -> &Path {
        match self.kind {
            // The command makes the last part itself.
            Kind::Migrate => self.output.parent().unwrap_or(&self.output),
            Kind::Convert => &self.output,
        }
    }

    /// What `max_per_source` counts: the source group, else the server, device or folder of the first source.
    #[must_use]
    pub fn source_key(&self) -> String {
        let first = self.sources().first().map(PathBuf::as_path).unwrap_or(Path::new(""));
        if let (Some(address), None) = (first.to_str().filter(|_| is_address(first)), &self.job.source_group)
        {
            return server(address).to_owned();
        }
        let place = if first.starts_with("/dev") { first } else { first.parent().unwrap_or(first) };
        self.job.source_group.clone().unwrap_or_else(|| place.display().to_string())
    }

    /// What `max_per_target` counts: the target group, else the folder that the job's own lies in.
    #[must_use]
    pub fn target_key(&self) -> String {
        let place = self.output.parent().unwrap_or(&self.output);
        self.job.target_group.clone().unwrap_or_else(|| place.display().to_string())
    }

    /// The arguments of the `rehome` that does the job, from the command's name on. Values stand in one argument with their option, and
    /// files behind `--`, so that no name is taken for an option.
    #[must_use]
    pub fn command(&self) -> Vec<OsString> {
        command::Arguments::of(self).all()
    }

    /// The same for a look at what a migration would do. `None` for conversions, which have no plan.
    #[must_use]
    pub fn dry_run(&self) -> Option<Vec<OsString>> {
        (self.kind == Kind::Migrate).then(|| command::Arguments::dry_run(self).all())
    }

    /// BLAKE3 of all arguments that decide the result; not of those about speed, temporary files and replacing.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        command::Arguments::of(self).fingerprint()
    }
}

/// Where a job's field stands in the file, for errors that are found later.
impl JobFile {
    /// An error about the field `field` of `job`, with its place in the file.
    #[must_use]
    pub fn fault_of(&self, job: &ResolvedJob, field: &str, message: &str) -> Fault {
        self.fault(job.index, field, message)
    }
}
