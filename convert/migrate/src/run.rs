//! The sequence of stages. Nothing here knows how a stage does its work.

use crate::choose::{Choice, Wish, choose};
use crate::copy::{DiskPair, TargetImage, copy_and_prove};
use crate::definition::{self, Definition};
use crate::folder::Folder;
use crate::inspect::{Inspection, Opening, inspect_with};
use crate::machine;
use crate::network::{self, AdapterWishes};
use crate::plan::{self, COPY_AGAIN, left_out_text, obstacles, plan_for};
use crate::report::{ChainFile, DiskReport, EditReport, MigrateReport};
use crate::wrap::{self, Wrapping};
use crate::{undo, windows};
use convert_engine::{Control, refuse_sources, size_in, threads_beside};
use driver_core::{DefinitionKind, Guest, Plan, Status, Wishes};
use format_core::{
    Error, ErrorKind, FileTarget, Format, OpenOptions, OpenedImage, Overlay, Result, TargetStorage,
    open_image,
};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    let sources: Vec<OpenedImage> =
        request.sources.iter().map(|path| open_image(path, &request.open)).collect::<Result<_>>()?;
    let overlays: Vec<Arc<Overlay>> =
        sources.iter().map(|source| Overlay::new(source.disk.clone())).collect();

    let mut described = machine::described(&request.machine, request.instance.as_deref(), sources.len())?;
    if let Some((machine, warnings)) = &mut described {
        warnings.extend(machine::compare_names(machine, &request.sources));
    }
    let names = described.iter().flat_map(|(machine, _)| device_names(machine)).collect();
    control.observer.begin("inspect", 0);
    let opening = Opening { names, discard_hibernation: request.discard_hibernation };
    let mut inspection = inspect_with(&overlays, &opening)?;
    control.observer.end();
    let mut wishes = request.wishes.clone();
    wishes.drivers =
        windows::packages(&inspection.guest, request.wish.platform, request.virtio_win.as_deref())?;
    let unseen = |error| with_obstacles(error, &inspection.guest);
    let wrapping = request.wish.wrap.then(|| Wrapping::of(&inspection.guest)).transpose().map_err(unseen)?;
    let startable =
        |platform, buses: &[&'static str]| plan::startable(&inspection, platform, buses, &wishes.drivers);
    let mut choice = choose(&inspection.guest, &request.wish, &startable).map_err(unseen)?;
    choice.network_module = windows::network_module(&inspection, choice.target, &wishes.drivers)?;
    let (mut machine, warnings) =
        described.unwrap_or_else(|| machine::plain(&inspection.guest, &request.sources));
    machine::name_system(&mut machine, &inspection.guest);
    machine::set_clock(&mut machine, &inspection.guest, choice.definition);
    let adapters = network::decide(&mut machine, &request.adapters, choice.target, choice.definition)?;
    wishes.network.adapters = adapters.guest;
    let plan = plan_for(&inspection, choice.target, &request.extra_modules, &wishes)?;
    let mut sizes: Vec<u64> = sources.iter().map(|source| source.disk.virtual_size()).collect();
    if let Some(wrapping) = &wrapping {
        wrapping.enlarge(&mut machine, &mut sizes);
    }
    let unfit = unfit_sizes(&sizes, &choice)?;
    if !unfit.is_empty() {
        return Err(Error::needs_person(unfit.join("; ")));
    }
    let definition = definition::define(&machine, &choice, &adapters.choices, &sizes)?;

    let mut report = first_report(request, &sources, &inspection, &choice, &plan, &definition, machine);
    report.adapters = adapters.report;
    // What the target cannot do comes first: a person has to act on it.
    report.warnings.extend(warnings);
    report.warnings.extend(windows::package_notes(&wishes.drivers));
    let virtio_win = request.virtio_win.as_deref();
    report.warnings.extend(windows::useless_packages(
        &inspection.guest,
        virtio_win,
        &wishes.drivers,
        choice.target,
    ));
    report.warnings.extend(network::far_gateways(&request.wishes.network.static_addresses));
    if let Some(wrapping) = &wrapping {
        wrapping.tell(&mut report);
    }
    if request.dry_run && report.obstacles.is_empty() {
        report.obstacles.extend(rehearse(&mut inspection, &plan)?);
    }
    if !report.obstacles.is_empty() {
        return Ok(blocked(report));
    }
    if request.dry_run {
        return Ok(report);
    }

    let folder = Folder::new(&request.out, &definition);
    refuse_inputs(&folder, &sources, &request.machine)?;
    let running = folder.begin(request.replace)?;
    match apply(&folder, &mut inspection, &plan) {
        Ok(()) => {}
        // Nothing is there yet but the copies for undoing.
        Err(error) => {
            folder.abandon(running)?;
            if error.kind() != ErrorKind::NeedsPerson {
                return Err(error);
            }
            // Only now did it show that the guest has no room for the edits.
            report.obstacles.push(error.to_string());
            return Ok(blocked(report));
        }
    }
    // The guest's files are in the overlays now; what is left in memory leaves less for the copy.
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
    finish(&folder, &definition, &mut report)?;
    running.end()?;
    Ok(report)
}

/// What could not be looked at may be why nothing was found that starts.
fn with_obstacles(error: Error, guest: &Guest) -> Error {
    let is_cut = guest.cut_off().next().is_some();
    let obstacles: Vec<String> = guest.cut_off().chain(guest.obstacles.iter().cloned()).collect();
    if error.kind() != ErrorKind::NeedsPerson || obstacles.is_empty() {
        return error;
    }
    let hint = if is_cut { Some(COPY_AGAIN) } else { error.hint_text() }.map(str::to_owned);
    let more = Error::needs_person(format!("{error}; what could not be looked at: {}", obstacles.join("; ")));
    hint.into_iter().fold(more, Error::hint)
}

/// What the first fixup that cannot be done asks for is the next step: it may be the command, not the guest. An image that
/// is cut off goes before that: nothing in the guest mends it.
fn blocked(mut report: MigrateReport) -> MigrateReport {
    report.outcome = "blocked";
    if report.guest.cut_off().next().is_some() {
        report.next_step = COPY_AGAIN.into();
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

/// What the source calls each disk, in the order of the images.
fn device_names(machine: &driver_machine::Machine) -> Vec<Option<String>> {
    machine.disks_in_boot_order().iter().map(|disk| disk.device_name.clone()).collect()
}

/// Edits the overlays, which a dry run drops afterwards: no other way shows that there is room for every edit.
fn rehearse(inspection: &mut Inspection, plan: &Plan) -> Result<Option<String>> {
    let Some(tree) = &mut inspection.tree else { return Ok(None) };
    match driver_core::apply(tree, &plan.edits) {
        Ok(()) => Ok(None),
        Err(e) if e.kind() == ErrorKind::NeedsPerson => Ok(Some(e.to_string())),
        Err(e) => Err(e),
    }
}

fn target_format(name: &str) -> Result<&'static Format> {
    let found = format_all::FORMATS.iter().find(|format| format.is_called(name));
    found.copied().ok_or_else(|| Error::contract(format!("the target wants {name}, which is no format")))
}

fn image_options(kind: &DefinitionKind) -> BTreeMap<String, String> {
    kind.image_options.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

/// Disks whose size the target's images cannot have: growing them moves the end that a GPT's backup lies at.
fn unfit_sizes(sizes: &[u64], choice: &Choice) -> Result<Vec<String>> {
    let (format, options) =
        (target_format(choice.definition.image_format)?, image_options(choice.definition));
    let mut unfit = Vec::new();
    for (index, size) in sizes.iter().enumerate() {
        let (needed, _) = size_in(format, *size, &options)?;
        if needed != *size {
            unfit.push(format!(
                "disk {index} has {size} bytes, which {} does not take: grow it first with 'rehome convert --size {needed}'",
                choice.target.name
            ));
        }
    }
    Ok(unfit)
}

fn first_report(
    request: &MigrateRequest,
    sources: &[OpenedImage],
    inspection: &Inspection,
    choice: &Choice,
    plan: &Plan,
    definition: &Definition,
    machine: driver_machine::Machine,
) -> MigrateReport {
    let disk = |(source, file): (&OpenedImage, &String)| DiskReport {
        source: source
            .chain
            .iter()
            .map(|link| ChainFile {
                path: link.path.clone(),
                format: link.format.name,
                file_size: link.file_size,
            })
            .collect(),
        virtual_size: source.disk.virtual_size(),
        wrapped: None,
        file: file.clone(),
        format: choice.definition.image_format,
        digest: None,
        source_digest: None,
        data_bytes: None,
        file_size: None,
        differing_blocks: None,
        changed: Vec::new(),
    };
    let image_warnings = sources.iter().flat_map(|source| &source.warnings);
    let image_warnings = image_warnings
        .map(|warning| driver_machine::Warning { code: warning.code, message: warning.message.clone() });
    let left_out = plan
        .left_out()
        .map(|fixup| driver_machine::Warning { code: "left-out", message: left_out_text(fixup) });
    let group_warnings = inspection.guest.groups.iter().flat_map(|group| {
        group.warnings.iter().map(|warning| driver_machine::Warning {
            code: "volume-group",
            message: format!("{} ({}): {warning}", group.name, group.layout),
        })
    });
    // Without a tree they are what blocks.
    let unseen = inspection
        .guest
        .obstacles
        .iter()
        .filter(|_| inspection.tree.is_some())
        .map(|text| driver_machine::Warning { code: "not-looked-at", message: text.clone() });
    MigrateReport {
        tool: concat!("rehome ", env!("CARGO_PKG_VERSION")),
        outcome: "planned",
        obstacles: obstacles(inspection, plan),
        choice: choice.clone(),
        guest: inspection.guest.clone(),
        replays: inspection.replays.clone(),
        fixups: plan.fixups.clone(),
        edits: plan.edits.iter().map(EditReport::of).collect(),
        machine,
        adapters: Vec::new(),
        disks: sources.iter().zip(&definition.disk_files).map(disk).collect(),
        warnings: image_warnings
            .chain(definition.warnings.iter().cloned())
            .chain(left_out)
            .chain(windows::not_confirmed(&inspection.guest, choice.target))
            .chain(group_warnings)
            .chain(unseen)
            .collect(),
        files: Vec::new(),
        out: request.out.clone(),
        boot_test: None,
        next_step: "run the same command without --dry-run".into(),
    }
}

fn apply(folder: &Folder<'_>, inspection: &mut Inspection, plan: &Plan) -> Result<()> {
    let Some(tree) = &mut inspection.tree else { return Ok(()) };
    // The copies of the hives would come on top.
    tree.release_hives();
    undo::save(&folder.undo(), tree, &plan.edits)?;
    driver_core::apply(tree, &plan.edits)
}

fn to_machine_warning(warning: format_core::Warning) -> driver_machine::Warning {
    driver_machine::Warning { code: warning.code, message: warning.message }
}

fn finish(folder: &Folder<'_>, definition: &Definition, report: &mut MigrateReport) -> Result<()> {
    let (machine, report_path) = (folder.machine(), folder.report());
    for file in &definition.disk_files {
        report.files.push(file.clone());
        report.files.extend(
            [convert_engine::MANIFEST_SUFFIX, convert_engine::BLOCKS_SUFFIX].map(|s| format!("{file}{s}")),
        );
    }
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    report.files.extend([name(&machine), name(&report_path), name(&folder.undo())]);
    report.outcome = "done";
    let use_it = format!("{} ({})", definition.use_it, machine.display());
    report.next_step = match report.disks.first().filter(|disk| disk.wrapped.is_some()) {
        Some(_) => format!("{use_it}; {}", wrap::loader_step(report)),
        None => use_it,
    };
    write_file(&machine, definition.text.as_bytes())?;
    let mut json = serde_json::to_vec_pretty(report)
        .map_err(|e| Error::contract("the report as JSON").with_source(e))?;
    json.push(b'\n');
    write_file(&report_path, &json)
}

fn write_file(path: &Path, content: &[u8]) -> Result<()> {
    let file = Box::new(FileTarget::create(path, true)?);
    file.write_all_at(0, content)?;
    file.commit()
}
