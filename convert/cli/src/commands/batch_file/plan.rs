//! `rehome batch plan`

use crate::args::{BatchPlanArgs, Platform as PlatformKind};
use crate::commands::format_named;
use crate::output::{Printer, counted, safe, to_stderr, to_stdout};
use crate::spool::spool_in;
use convert_job_file::{Found, Plan, Platform, Wish, parse_list, plan, write};
use format_all::FORMATS;
use format_core::{
    Error, FileStorage, Format, OpenOptions, Result, Score, is_image_name, is_raw_name, open_images,
    probe_formats, read_small_file,
};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A list of a hundred thousand machines is smaller.
const MOST_LIST: u64 = 64 << 20;

pub(crate) fn run(args: &BatchPlanArgs, printer: &Printer) -> Result<ExitCode> {
    let target_format =
        args.target_format.as_deref().map(format_named).transpose()?.map(|format| format.name.to_owned());
    let output = args.output_dir.as_deref().map(full).transpose()?;
    let wish = Wish { to: args.to.map(platform), target_format, output };
    let mut planned = if args.sources.is_empty() {
        Plan { wish: wish.clone(), ..Plan::default() }
    } else {
        plan(&args.sources, wish, &found)?
    };
    for path in &args.csv {
        add_list(&mut planned, path, args)?;
    }
    convert_job_file::name_all(&mut planned.jobs);
    for (path, why) in &planned.skipped {
        printer.warning(&format!("{} {why}: it has no job", path.display()), "not-planned");
    }
    to_stdout(&write(&planned)?)?;
    to_stderr(&format!("{} planned", counted(planned.jobs.len() as u64, "job")));
    Ok(ExitCode::SUCCESS)
}

fn add_list(planned: &mut Plan, path: &Path, args: &BatchPlanArgs) -> Result<()> {
    let bytes = read_small_file(path, MOST_LIST).map_err(|e| e.context("the list"))?;
    let content = String::from_utf8(bytes).map_err(|_| {
        Error::corrupt(format!("{} is not UTF-8", path.display())).hint("save it as CSV UTF-8")
    })?;
    let folder = full(path)?.parent().map(Path::to_owned).unwrap_or_default();
    let datastores = args.datastore.iter().cloned().collect();
    let (jobs, unused) = parse_list(&content, &path.display().to_string(), &folder, &datastores)?;
    if !unused.is_empty() {
        let unused: Vec<_> = unused.iter().map(|name| safe(name)).collect();
        planned.comments.push(format!(
            "columns of {} that mean nothing here: {}",
            path.display(),
            unused.join(", ")
        ));
    }
    for mut job in jobs {
        if planned.jobs.iter().any(|other| other.id.eq_ignore_ascii_case(&job.id)) {
            job.id.clear();
        }
        if job.format.is_none() {
            pin(&mut job);
        }
        planned.jobs.push(job);
    }
    Ok(())
}

/// Writes down the format where all disks have the same, and says where one is not there.
fn pin(job: &mut convert_job_file::PlannedJob) {
    let formats: Vec<_> = job.sources.iter().map(|source| found(source).map(|found| found.format)).collect();
    match formats.first() {
        Some(Some(first)) if formats.iter().all(|format| format.as_ref() == Some(first)) => {
            job.format = Some(first.clone());
        }
        _ => {
            let missing = job.sources.iter().zip(&formats).filter(|(_, format)| format.is_none());
            let missing = missing
                .map(|(source, _)| format!("{} was not there, or is in no known format", source.display()));
            job.comments.extend(missing.collect::<Vec<_>>());
        }
    }
}

fn full(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|e| Error::io(format!("{} has no full path", path.display()), e))
}

/// What the file or folder is, without unpacking anything.
fn found(path: &Path) -> Option<Found> {
    let format = if path.is_dir() { None } else { Some(format_of(path)?) };
    if let Some(format) = format
        && format.unpack.is_some()
    {
        // Anything can be compressed, and only the name says that this is an image.
        return is_image_name(&name_of(path)).then(|| Found { format: format.name.into(), uses: Vec::new() });
    }
    let options = OpenOptions { spool: spool_in(std::env::temp_dir()), ..OpenOptions::new(FORMATS, format) };
    let opened = match (open_images(path, &options), format) {
        (Ok(opened), _) => opened,
        // Something is missing or locked; what it is, is known. 'batch check' tells the rest.
        (Err(_), Some(format)) => return Some(Found { format: format.name.into(), uses: Vec::new() }),
        (Err(_), None) => return None,
    };
    let first = opened.first()?;
    let name = match (&first.inside, format) {
        (Some(inside), _) => inside.container.format(),
        (None, Some(format)) => format.name,
        (None, None) => first.chain.first()?.format.name,
    };
    let uses = opened
        .iter()
        .flat_map(|image| &image.chain)
        .flat_map(|link| std::iter::once(&link.path).chain(link.parts.iter().map(|part| &part.path)));
    Some(Found { format: name.into(), uses: uses.cloned().collect() })
}

/// The format that the bytes say; a raw disk only where the name says so too.
fn format_of(path: &Path) -> Option<&'static Format> {
    let storage = FileStorage::open(path).ok()?;
    let scores = probe_formats(&storage, FORMATS).ok()?;
    let mut magic = scores.iter().filter(|(_, score)| *score == Score::Magic).map(|(format, _)| *format);
    match (magic.next(), magic.next()) {
        (Some(format), None) => format.is_readable().then_some(format),
        (None, _) if is_raw_name(&name_of(path)) || is_device(path) => format_named("raw").ok(),
        _ => None,
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn is_device(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    path.metadata().is_ok_and(|metadata| metadata.file_type().is_block_device())
}

fn platform(kind: PlatformKind) -> Platform {
    match kind {
        PlatformKind::Hyperv => Platform::HyperV,
        PlatformKind::Kvm => Platform::Kvm,
        PlatformKind::Proxmox => Platform::Proxmox,
        PlatformKind::Vmware => Platform::Vmware,
        PlatformKind::Virtualbox => Platform::VirtualBox,
        PlatformKind::Xen => Platform::Xen,
        PlatformKind::KubeVirt => Platform::KubeVirt,
        PlatformKind::Azure => Platform::Azure,
        PlatformKind::Gcp => Platform::Gcp,
        PlatformKind::Aws => Platform::Aws,
    }
}
