//! Who edits the guest: this program itself, or the micro-VM where that is not enough.

use crate::inspect::{Inspection, Opening, inspect_with};
use crate::microvm::MicroVm;
use crate::plan::mount_point;
use driver_core::{CommandRun, FsFacts, Plan, VolumeId};
use driver_luks::Passphrase;
use driver_microvm::{Acceleration, Host, Wanted};
use format_core::{Disk, Error, ErrorKind, Overlay, Result, TimedOpen};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What the operator wants of the editor.
#[derive(Clone, Debug, Default)]
pub struct EditorWish {
    /// Which one.
    pub editor: Editor,
    /// The kernel of the micro-VM; `None` is the newest of the host.
    pub kernel: Option<PathBuf>,
    /// The folder of its modules; `None` is `/lib/modules/VERSION`.
    pub modules: Option<PathBuf>,
    /// Free space of the guest's file systems is given back, so that deleted blocks are not copied.
    pub trim: bool,
    /// What may open encrypted volumes.
    pub passphrases: Vec<Passphrase>,
}

/// Who edits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Editor {
    /// This program where it can, else the micro-VM.
    #[default]
    Auto,
    /// This program itself.
    Native,
    /// The micro-VM.
    MicroVm,
}

/// Who edited, for the report.
#[derive(Clone, Debug, Serialize)]
pub struct EditorReport {
    /// `native` or `microvm`.
    pub editor: Editor,
    /// Why.
    pub reasons: Vec<String>,
    /// The micro-VM's kernel and how it ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub microvm: Option<String>,
    /// Seconds that the micro-VM took to start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_seconds: Option<f64>,
    /// Seconds from its start to its end, with all that was done in between.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_seconds: Option<f64>,
    /// Programs of the guest that were run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<CommandRun>,
    /// The file systems' own checkers, after all edits.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckReport>,
    /// New paths that the guest's own setfiles labelled for SELinux.
    #[serde(skip_serializing_if = "is_zero")]
    pub relabelled: usize,
    /// Bytes of free space that were given back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trimmed_bytes: Option<u64>,
    /// What to do so that the micro-VM can do the rest, where that blocks.
    #[serde(skip)]
    pub(crate) missing: Option<String>,
}

/// A file system and what its checker said.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// Where it is mounted in the guest.
    pub point: String,
    /// Its kind.
    pub kind: String,
    /// The checker, which is the guest's own; `None` where the guest has none.
    pub tool: Option<String>,
    /// Whether it found nothing; `None` where there is no checker.
    pub clean: Option<bool>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde calls it so
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl EditorReport {
    pub(crate) fn native(reasons: Vec<String>) -> Self {
        Self {
            editor: Editor::Native,
            reasons,
            microvm: None,
            start_seconds: None,
            total_seconds: None,
            commands: Vec::new(),
            checks: Vec::new(),
            relabelled: 0,
            trimmed_bytes: None,
            missing: None,
        }
    }

    pub(crate) fn microvm(microvm: &MicroVm, reasons: Vec<String>) -> Self {
        Self {
            editor: Editor::MicroVm,
            microvm: Some(microvm.vm().describe()),
            start_seconds: Some(microvm.vm().started_in().as_secs_f64()),
            ..Self::native(reasons)
        }
    }
}

/// Why only the micro-VM sees the guest; empty where it is seen without.
pub(crate) fn needed_to_see(inspection: &Inspection) -> Vec<String> {
    let sees = inspection.tree.is_some() && inspection.closed.is_empty();
    if sees { Vec::new() } else { inspection.for_microvm.clone() }
}

/// Why only the micro-VM can make the edits of `plan`; empty where this program can.
pub(crate) fn needed_to_edit(inspection: &Inspection, plan: &Plan, wish: &EditorWish) -> Vec<String> {
    if inspection.guest.windows.is_some() {
        return Vec::new();
    }
    let refused = plan.fixups.iter().filter(|fixup| fixup.by_editor);
    let mut reasons: Vec<String> = refused
        .map(|fixup| {
            let reason = fixup.reason.as_deref().unwrap_or("the file system cannot take it");
            format!("{}: {reason}", fixup.id)
        })
        .collect();
    let closed = |fs: &&FsFacts| fs.kind == "xfs" && fs.not_editable.is_some();
    let edited: BTreeSet<&str> =
        plan.edits.iter().filter_map(|edit| mount_point(&inspection.guest, &edit.path)).collect();
    for mount in inspection.guest.mounts.iter().filter(|mount| edited.contains(mount.point.as_str())) {
        if let Some(fs) = inspection.guest.file_system(mount.place).filter(closed) {
            let reason = fs.not_editable.as_deref().unwrap_or_default();
            reasons.push(format!("{} cannot be edited: {reason}", mount.point));
        }
    }
    reasons.extend(wish.trim.then(|| "free space is given back (--trim)".to_owned()));
    reasons
}

/// The micro-VM's host, looked for when it is needed.
pub(crate) fn host(wish: &EditorWish) -> Result<Host> {
    Host::find(&Wanted {
        kernel: wish.kernel.clone(),
        modules: wish.modules.clone(),
        acceleration: Acceleration::Auto,
    })
}

/// Inspects the machine that has these disks, in this order: with this program's own means, and in the micro-VM where that is wished or
/// only it sees the guest.
///
/// # Errors
/// What the disks report; `NeedsPerson` when the micro-VM is wished and cannot be had.
pub fn inspect_for(disks: &[Disk], wish: &EditorWish) -> Result<(Inspection, EditorReport)> {
    let overlays = || disks.iter().cloned().map(Overlay::new).collect::<Vec<_>>();
    let opening = || Opening { passphrases: wish.passphrases.clone(), ..Opening::default() };
    let native = {
        let _looking = TimedOpen::begin("look through the guest".into());
        inspect_with(&overlays(), &opening())?
    };
    let asked = wish.editor == Editor::MicroVm && native.guest.windows.is_none();
    let reasons = if asked { vec!["it was asked for".to_owned()] } else { needed_to_see(&native) };
    if wish.editor == Editor::Native || reasons.is_empty() {
        return Ok((native, EditorReport::native(Vec::new())));
    }
    match host(wish) {
        Ok(host) => {
            let never = AtomicBool::new(false);
            let names = crypt_names(&native);
            let inspection = inspect_in_microvm(&host, &overlays(), opening(), names, &never)?;
            let report = inspection.microvm.as_deref().map(|vm| EditorReport::microvm(vm, reasons));
            let report = report.ok_or_else(|| Error::contract("a micro-VM that is not there"))?;
            Ok((inspection, report))
        }
        Err(error) if asked => Err(error),
        Err(error) => {
            let mut native = native;
            let lack = why(error, &reasons)?;
            let hint = lack.hint_text().map(|hint| format!("; {hint}")).unwrap_or_default();
            native.guest.obstacles.push(format!("{lack}{hint}"));
            Ok((native, EditorReport::native(Vec::new())))
        }
    }
}

/// Starts the micro-VM over `overlays` and inspects the guest through it; `names` are what the guest calls its encrypted volumes, as
/// far as that is known. The micro-VM is ended when `interrupted` is set.
pub(crate) fn inspect_in_microvm(
    host: &Host,
    overlays: &[Arc<Overlay>],
    opening: Opening,
    names: BTreeMap<String, String>,
    interrupted: &AtomicBool,
) -> Result<Inspection> {
    let microvm = MicroVm::start(host, overlays)?;
    let opening = Opening { microvm: Some(Arc::clone(&microvm)), crypt_names: names, ..opening };
    let inspection = microvm.watched(interrupted, || inspect_by(&microvm, overlays, opening));
    inspection.map_err(|error| microvm.explain(error))
}

/// First it is only looked what the guest mounts, and nothing changes, no log is replayed; then that, and nothing else, is opened to be
/// written.
fn inspect_by(microvm: &MicroVm, overlays: &[Arc<Overlay>], opening: Opening) -> Result<Inspection> {
    let mut opening = Opening { writable: Some(BTreeSet::new()), is_survey: true, ..opening };
    let survey = match inspect_with(overlays, &opening) {
        Err(error) if !microvm.is_running() => return Err(error),
        survey => survey.ok().filter(|survey| survey.tree.is_some()),
    };
    opening.is_survey = false;
    // With a log that was not replayed the root may not be found: then there is no other way than to replay all.
    opening.writable = survey.as_ref().map(places);
    let (untold, closed) = survey.map(|survey| (survey.guest.obstacles, survey.closed)).unwrap_or_default();
    microvm.close_all()?;
    // Nothing of that is worked with.
    microvm.vm().forget_damage();
    loop {
        let mut inspection = inspect_with(overlays, &opening)?;
        let places = places(&inspection);
        match &mut opening.writable {
            // What fstab says may be in the log, too.
            Some(writable) if !places.is_subset(writable) => writable.extend(places),
            Some(_) if inspection.closed != closed => opening.writable = None,
            _ => {
                let known = std::mem::take(&mut inspection.guest.obstacles);
                inspection.guest.obstacles.extend(untold.into_iter().filter(|text| !known.contains(text)));
                inspection.guest.obstacles.extend(known);
                return Ok(inspection);
            }
        }
        drop(inspection);
        microvm.close_all()?;
    }
}

/// The volumes of the guest's tree.
fn places(inspection: &Inspection) -> BTreeSet<VolumeId> {
    inspection.guest.mounts.iter().map(|mount| mount.place).collect()
}

/// What the guest's crypttab calls its containers, by their UUIDs.
pub(crate) fn crypt_names(inspection: &Inspection) -> BTreeMap<String, String> {
    let groups = inspection.guest.groups.iter().filter(|group| group.kind == driver_core::GroupKind::Luks);
    groups.map(|group| (group.uuid.clone(), group.name.clone())).collect()
}

/// That there is no micro-VM, with the reason why there should be one.
///
/// # Errors
/// `error` itself when it is about something else than what is not installed.
pub(crate) fn why(error: Error, reasons: &[String]) -> Result<Error> {
    if error.kind() != ErrorKind::NeedsPerson {
        return Err(error);
    }
    let hint = error.hint_text().map(str::to_owned);
    let error = Error::needs_person(format!("{error}; it would be used because {}", reasons.join("; ")));
    Ok(hint.into_iter().fold(error, Error::hint))
}
