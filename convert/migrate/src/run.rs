//! The sequence of stages. Nothing here knows how a stage does its work.

use crate::apply::{apply, rehearse};
use crate::checks;
use crate::choose::Wish;
use crate::copy::{DiskPair, TargetImage, copy_and_prove};
use crate::definition::Definition;
use crate::described::described_for;
use crate::editor::EditorWish;
use crate::folder::Folder;
use crate::images::{image_options, target_format};
use crate::network::AdapterWishes;
use crate::package;
use crate::plan::COPY_AGAIN;
use crate::prepare::{Job, Prepared};
use crate::report::MigrateReport;
use crate::wrap;
use convert_engine::{Control, SourceFile, refuse_sources, threads_beside};
use driver_core::{GroupFacts, GroupKind, Status, Wishes};
use format_core::{
    Error, ErrorKind, FileTarget, OpenOptions, OpenedImage, Result, TargetStorage, open_images,
    printable_json,
};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What to migrate, and how.
pub struct MigrateRequest {
    /// The disks' images, the boot disk first.
    pub sources: Vec<PathBuf>,
    /// How to open them.
    pub open: OpenOptions,
    /// Where to, and on what kind of machine.
    pub wish: Wish,
    /// The folder for everything that is written.
    pub out: PathBuf,
    /// Files that describe the machine; none makes a plain one.
    pub machine: Vec<PathBuf>,
    /// Which instance of the files is meant.
    pub instance: Option<String>,
    /// Modules to put into the initramfs besides the target's.
    pub extra_modules: Vec<String>,
    /// What is wanted of the machine's network adapters.
    pub adapters: AdapterWishes,
    /// What else is wanted changed in the guest; its list of adapters is made from the machine's.
    pub wishes: Wishes,
    /// Who edits the guest, and with what.
    pub editor: EditorWish,
    /// A folder or disc with driver packages for Windows.
    pub virtio_win: Option<PathBuf>,
    /// A Windows that sleeps is given up.
    pub discard_hibernation: bool,
    /// How much memory the copy may take with what the migration holds; `None` is what is usual.
    pub max_memory: Option<u64>,
    /// Plan only.
    pub dry_run: bool,
    /// Whether files of an earlier run are replaced.
    pub replace: bool,
}

/// Migrates, or only plans. A guest that cannot be mended gives a report with the outcome `blocked`, before anything is
/// written.
///
/// # Errors
/// What the sources, the machine files and the host report; `Mismatch` when the proof fails.
pub fn migrate(request: &MigrateRequest, control: Control<'_>) -> Result<MigrateReport> {
    let mut sources = Vec::new();
    for path in &request.sources {
        sources.extend(open_images(path, &request.open)?);
    }
    let described = described_for(request, &mut sources)?;
    let job = Job::new(request, &sources, described, control)?;
    let mut prepared = job.prepare().map_err(|error| job.cause_of(error))?;
    if request.dry_run && prepared.report.obstacles.is_empty() {
        let obstacle = rehearse(&mut prepared)?;
        prepared.report.obstacles.extend(obstacle);
    }
    if !prepared.report.obstacles.is_empty() {
        return job.unread().map_or_else(|| Ok(blocked(prepared.report)), Err);
    }
    if request.dry_run {
        return Ok(prepared.report);
    }

    let definition = prepared.definition.clone();
    let folder = Folder::new(&request.out, &definition);
    refuse_inputs(&folder, &sources, &request.machine)?;
    let running = folder.begin(request.replace, &inputs(&sources, &request.machine))?;
    let applied = match prepared.inspection.microvm.clone() {
        Some(microvm) => microvm.watched(control.interrupted, || apply(&folder, &mut prepared, request)),
        None => apply(&folder, &mut prepared, request),
    };
    // Whatever failed because the micro-VM was ended.
    let explained = |error| match &prepared.inspection.microvm {
        Some(microvm) => microvm.explain(error),
        None => error,
    };
    match control.check().and(applied.map_err(explained)) {
        Ok(()) => {}
        // Nothing is there yet but the copies for undoing.
        Err(error) => {
            folder.abandon(running)?;
            let checked = prepared.report.editor.checks.iter().any(|check| check.clean == Some(false));
            if checked {
                drop(prepared);
                return Err(checks::explain(&job, error));
            }
            let error = job.cause_of(error);
            if error.kind() != ErrorKind::NeedsPerson {
                return Err(error);
            }
            // Only now did it show that the guest has no room for the edits.
            prepared.report.obstacles.push(error.to_string());
            return Ok(blocked(prepared.report));
        }
    }
    // The guest's files are in the overlays now; what is left in memory leaves less for the copy.
    let Prepared { overlays, choice, wrapping, mut report, inspection, plan, .. } = prepared;
    drop((inspection, plan));
    let held = overlays.iter().map(|overlay| overlay.memory_bytes()).sum();
    let threads = threads_beside(held, control.threads, request.max_memory);
    let control = Control { threads, ..control };
    let format = target_format(choice.definition.image_format)?;
    let options = image_options(choice.definition);
    for (i, (source, overlay)) in sources.iter().zip(&overlays).enumerate() {
        let file =
            definition.disk_files.get(i).ok_or_else(|| Error::contract("a disk without a file name"))?;
        let disk = report.disks.get_mut(i).ok_or_else(|| Error::contract("a disk without a report"))?;
        let target = TargetImage {
            path: folder.image(file),
            format,
            options: options.clone(),
            replace: running.replace,
        };
        let wrapping = wrapping.as_ref().filter(|_| i == 0);
        let pair = DiskPair::of(overlay, wrapping)?;
        let warnings = copy_and_prove(source, &pair, &target, disk, control)?;
        report.warnings.extend(warnings.into_iter().map(to_machine_warning));
    }
    if let Some(path) = folder.package() {
        package::pack(&path, &folder, &definition, &report, running.replace, control)?;
        report.package = definition.package.clone();
    }
    finish(&folder, &definition, &mut report)?;
    running.end()?;
    Ok(report)
}

/// What the first fixup that cannot be done asks for is the next step: it may be the command, not the guest. An image that
/// is cut off goes before that: nothing in the guest mends it.
fn blocked(mut report: MigrateReport) -> MigrateReport {
    report.outcome = "blocked";
    if report.guest.cut_off().next().is_some() {
        report.next_step = COPY_AGAIN.into();
        return report;
    }
    if let Some(step) = report.editor.missing.take() {
        report.next_step = step;
        return report;
    }
    let is_locked = |group: &GroupFacts| group.kind == GroupKind::Luks && group.obstacle.is_some();
    if report.fixups.is_empty() && report.guest.groups.iter().any(is_locked) {
        report.next_step = "name a file with the volume's key or passphrase with --key-file".into();
        return report;
    }
    let cannot = report.fixups.iter().filter(|fixup| fixup.status == Status::Cannot);
    let step = cannot.filter_map(|fixup| fixup.next_step.clone()).next();
    report.next_step = step.unwrap_or_else(|| {
        "remove the obstacles in the running guest, then export and migrate it again".into()
    });
    report
}

/// Nothing that is read may be replaced: the images, the description of the machine, and what lies in a folder of undo
/// copies that goes.
fn refuse_inputs(folder: &Folder<'_>, sources: &[OpenedImage], machine: &[PathBuf]) -> Result<()> {
    let id = |path: &Path| path.metadata().ok().map(|found| (found.dev(), found.ino()));
    for path in folder.written_files() {
        refuse_sources(&path, sources)?;
        if id(&path).is_some_and(|own| machine.iter().any(|file| id(file) == Some(own))) {
            let text =
                format!("{} would be overwritten, and it is the machine's description", path.display());
            return Err(Error::usage(text).hint("choose another --out"));
        }
    }
    let Ok(undo) = folder.undo().canonicalize() else { return Ok(()) };
    let images = sources.iter().flat_map(|source| &source.chain);
    let images =
        images.flat_map(|link| std::iter::once(&link.path).chain(link.parts.iter().map(|part| &part.path)));
    for path in images.chain(machine) {
        if path.canonicalize().is_ok_and(|path| path.starts_with(&undo)) {
            let text = format!("{} lies in {}, which is replaced", path.display(), undo.display());
            return Err(Error::usage(text).hint("move it away, or choose another --out"));
        }
    }
    Ok(())
}

/// Device and inode numbers of all that is read.
fn inputs(sources: &[OpenedImage], machine: &[PathBuf]) -> Vec<(u64, u64)> {
    let images = SourceFile::of_images(sources).into_iter().map(|file| file.file_id);
    let id = |path: &PathBuf| path.metadata().ok().map(|found| (found.dev(), found.ino()));
    images.chain(machine.iter().filter_map(id)).collect()
}

fn to_machine_warning(warning: format_core::Warning) -> driver_machine::Warning {
    driver_machine::Warning { code: warning.code, message: warning.message }
}

fn finish(folder: &Folder<'_>, definition: &Definition, report: &mut MigrateReport) -> Result<()> {
    let (machine, report_path) = (folder.machine(), folder.report());
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    match &definition.package {
        Some(package) => report.files.push(package.clone()),
        None => {
            for file in &definition.disk_files {
                let beside = [convert_engine::MANIFEST_SUFFIX, convert_engine::BLOCKS_SUFFIX];
                report.files.push(file.clone());
                report.files.extend(beside.map(|suffix| format!("{file}{suffix}")));
            }
            report.files.push(name(&machine));
        }
    }
    report.files.extend([name(&report_path), name(&folder.undo())]);
    report.outcome = "done";
    let use_it = format!("{} ({})", definition.use_it, folder.package().unwrap_or(machine.clone()).display());
    report.next_step = match report.disks.first().filter(|disk| disk.wrapped.is_some()) {
        Some(_) => format!("{use_it}; {}", wrap::loader_step(report)),
        None => use_it,
    };
    if definition.package.is_none() {
        write_file(&machine, definition.text.as_bytes())?;
    }
    let json = serde_json::to_string_pretty(report)
        .map_err(|e| Error::contract("the report as JSON").with_source(e))?;
    write_file(&report_path, (printable_json(&json) + "\n").as_bytes())
}

fn write_file(path: &Path, content: &[u8]) -> Result<()> {
    let file = Box::new(FileTarget::create(path, true)?);
    file.write_all_at(0, content)?;
    file.commit()
}
