//! File systems, looked through by the guest's own checkers when all edits are made.

use crate::editor::{self, CheckReport};
use crate::inspect::Inspection;
use crate::microvm::MicroVm;
use crate::prepare::Job;
use driver_core::GuestFs;
use driver_microvm::{Check, Device};
use format_core::{Error, ErrorKind, Result};
use std::collections::{BTreeMap, BTreeSet};

/// Unmounts everything and checks the file systems at `points`; each with what is wrong with it. The inspection has no tree afterwards.
///
/// # Errors
/// As the micro-VM's calls.
pub(crate) fn check(
    microvm: &MicroVm,
    inspection: &mut Inspection,
    points: &BTreeSet<String>,
) -> Result<Vec<(CheckReport, Option<Error>)>> {
    let (vm, mounts) = (microvm.vm(), microvm.mounts());
    let mut checkers = BTreeMap::new();
    let mut devices: Vec<(String, &str, Device)> = Vec::new();
    for (point, fs) in microvm.distinct_mounts() {
        // Of a file system that is mounted at several points, one may have been edited.
        let here = mounts.iter().filter(|(_, other)| other.device() == fs.device());
        if !here.into_iter().any(|(point, _)| points.contains(point)) {
            continue;
        }
        if let std::collections::btree_map::Entry::Vacant(place) = checkers.entry(fs.kind()) {
            place.insert(match vm.prepare_checker(&mounts, fs.kind()) {
                // Such as a guest without a folder for devices: it has none that can be run.
                Err(_) if vm.is_running() => None,
                found => found?,
            });
        }
        devices.push((point, fs.kind(), fs.device().clone()));
    }
    // What still reads the file systems goes first: the tree, and the guest's programs.
    inspection.tree = None;
    vm.unmount_all()?;
    let mut found = Vec::new();
    for (point, kind, device) in devices {
        let checker = checkers.get(kind).and_then(Option::as_ref);
        let check = checker.map(|checker| checker.run(&device)).transpose()?;
        let fault = check.as_ref().and_then(|check| fault(&point, check));
        let (tool, clean) = check.map(|check| (check.tool, check.clean)).unzip();
        found.push((CheckReport { point, kind: kind.to_owned(), tool, clean: clean.flatten() }, fault));
    }
    Ok(found)
}

/// A file system with faults is not copied, whoever made them.
fn fault(point: &str, check: &Check) -> Option<Error> {
    if check.clean != Some(false) {
        return None;
    }
    let lines: Vec<&str> = check.log.lines().filter(|line| !line.trim().is_empty()).collect();
    let said = lines.get(lines.len().saturating_sub(8)..).unwrap_or_default().join(" / ");
    Some(Error::corrupt(format!("{} finds faults in the file system of {point}: {said}", check.tool)))
}

/// Whose faults they are, when a check after the edits found some: the same check of the untouched disks tells.
pub(crate) fn explain(job: &Job<'_>, error: Error) -> Error {
    match job.untouched_faults() {
        Ok(Some(before)) => before.context("the guest's file system was damaged before anything was edited").hint(
            "repair it in the guest (e2fsck, xfs_repair, btrfs check from a rescue system), then export and migrate it again",
        ),
        Ok(None) => error
            .context("the edits left a file system with faults that it did not have before; nothing was written")
            .with_kind(ErrorKind::Contract)
            .hint("report this, with the guest's system and file system; --editor native edits without the micro-VM"),
        Err(_) => error,
    }
}

impl Job<'_> {
    /// What the checkers say of the disks as they are, but for the replay of logs.
    fn untouched_faults(&self) -> Result<Option<Error>> {
        let host = editor::host(self.wish())?;
        let (_overlays, mut inspection) = self.inspect_again(&host)?;
        let Some(microvm) = inspection.microvm.clone() else { return Ok(None) };
        let points = microvm.mounts().into_iter().map(|(point, _)| point).collect();
        let checks = check(&microvm, &mut inspection, &points)?;
        Ok(checks.into_iter().find_map(|(_, fault)| fault))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_checker_that_says_so_finds_faults() {
        let check = |clean| Check {
            tool: "/sbin/e2fsck".into(),
            status: Some(4),
            log: "Pass 1\n\nInode 12 is wrong\n".into(),
            clean,
        };
        assert!(fault("/", &check(Some(true))).is_none());
        assert!(fault("/", &check(None)).is_none());
        let error = fault("/boot", &check(Some(false))).unwrap();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains("/boot: Pass 1 / Inode 12 is wrong"), "{error}");
    }
}
