//! The edits, and what belongs to them: copies for undoing, the guest's own programs, the checkers.

use crate::checks;
use crate::folder::Folder;
use crate::microvm::MicroVm;
use crate::plan::{mount_point, plan_for};
use crate::prepare::Prepared;
use crate::report::MigrateReport;
use crate::run::MigrateRequest;
use crate::undo;
use driver_core::{Action, Edit, Wishes};
use driver_machine::Warning;
use format_core::{Error, ErrorKind, Result};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Edits the overlays.
///
/// # Errors
/// `NeedsPerson` when the guest has no room, or its own program fails; `Corrupt` when a file system is damaged. The caller drops the
/// overlays then.
pub(crate) fn apply(folder: &Folder<'_>, prepared: &mut Prepared, request: &MigrateRequest) -> Result<()> {
    let Some(tree) = &mut prepared.inspection.tree else { return Ok(()) };
    // The copies of the hives would come on top.
    tree.release_hives();
    undo::save(&folder.undo(), tree, &prepared.plan.edits)?;
    let applied = driver_core::apply(tree, &prepared.plan.edits);
    prepared.report.editor.commands = tree.take_commands();
    applied?;
    if prepared.plan.edits.iter().any(runs) {
        look_again(prepared, request)?;
    }
    let Some(microvm) = prepared.inspection.microvm.clone() else { return Ok(()) };
    finish(&microvm, prepared, request.editor.trim)
}

/// Edits the overlays, which a dry run drops afterwards: no other way shows that there is room for every edit. Programs are not run.
pub(crate) fn rehearse(prepared: &mut Prepared) -> Result<Option<String>> {
    let Some(tree) = &mut prepared.inspection.tree else { return Ok(None) };
    let edits = std::mem::take(&mut prepared.plan.edits);
    let edits: Vec<Edit> = edits.into_iter().filter(|edit| !runs(edit)).collect();
    match driver_core::apply(tree, &edits) {
        Ok(()) => Ok(None),
        Err(e) if e.kind() == ErrorKind::NeedsPerson => Ok(Some(e.to_string())),
        Err(e) => Err(e),
    }
}

fn runs(edit: &Edit) -> bool {
    matches!(edit.action, Action::Run { .. })
}

/// What a program of the guest wrote is not known before. It is right when nothing is left to do.
fn look_again(prepared: &Prepared, request: &MigrateRequest) -> Result<()> {
    let wishes = Wishes { rebuild_initramfs: false, rebuild_menu: false, ..prepared.wishes.clone() };
    let target = prepared.choice.target;
    let again = plan_for(&prepared.inspection, target, &request.extra_modules, &wishes)?;
    let left: Vec<String> =
        again.edits.iter().map(|edit| format!("{} {}: {}", edit.verb(), edit.path, edit.reason)).collect();
    if left.is_empty() {
        return Ok(());
    }
    let text =
        format!("after the guest's own programs had run, something was left to do: {}", left.join("; "));
    Err(Error::needs_person(text).hint("run them in the guest and look why before exporting; or migrate without --rebuild-initramfs and --rebuild-menu"))
}

/// After the last edit in the micro-VM: labels, free space, the checkers over what is unmounted, the end.
fn finish(microvm: &Arc<MicroVm>, prepared: &mut Prepared, trim: bool) -> Result<()> {
    let vm = microvm.vm();
    let mounts = microvm.mounts();
    let made = made(&prepared.plan.edits);
    if !made.is_empty() {
        prepared.report.editor.relabelled = vm.relabel(mounts.clone(), &made)?;
    }
    if trim {
        give_back(microvm, &mut prepared.report)?;
    }
    let points: BTreeSet<String> = edited_points(prepared);
    for (report, fault) in checks::check(microvm, &mut prepared.inspection, &points)? {
        prepared.report.editor.checks.push(report);
        if let Some(fault) = fault {
            return Err(fault);
        }
    }
    vm.stop()?;
    prepared.report.editor.total_seconds = Some(microvm.age().as_secs_f64());
    Ok(())
}

/// Tells the disks which room the guest's file systems do not use.
fn give_back(microvm: &MicroVm, report: &mut MigrateReport) -> Result<()> {
    let mut bytes = 0_u64;
    for (point, fs) in microvm.distinct_mounts().iter().filter(|(_, fs)| !fs.device().read_only) {
        match microvm.vm().trim(fs) {
            Ok(trimmed) => bytes = bytes.saturating_add(trimmed),
            Err(error) if microvm.is_running() => {
                let message = format!("free space of {point} was not given back: {error}");
                report.warnings.push(Warning { code: "not-trimmed", message });
            }
            Err(error) => return Err(error),
        }
    }
    report.editor.trimmed_bytes = Some(bytes);
    Ok(())
}

/// Where the edited file systems are mounted. What nobody touched is not looked through: it may be large.
fn edited_points(prepared: &Prepared) -> BTreeSet<String> {
    let guest = &prepared.inspection.guest;
    prepared.plan.edits.iter().filter_map(|edit| mount_point(guest, &edit.path)).map(str::to_owned).collect()
}

/// What was made new, by this program or by one of the guest: the micro-VM's kernel gives no labels. Each once, and what was removed
/// again not at all.
fn made(edits: &[Edit]) -> Vec<String> {
    let mut paths = BTreeSet::new();
    for edit in edits {
        match edit.action {
            Action::Create { .. }
            | Action::CreateFolder { .. }
            | Action::CreateLink { .. }
            | Action::Run { .. } => paths.insert(edit.path.clone()),
            Action::RemoveFile { .. } | Action::RemoveLink { .. } => paths.remove(&edit.path),
            _ => false,
        };
    }
    paths.into_iter().collect()
}
