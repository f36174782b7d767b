//! Plans for whole Windows guests, for every target: as reviewed, and with nothing left for a second run.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use convert_migrate::{Inspection, inspect_disks, plan_for};
use driver_core::{Plan, Status, Target, Wishes};
use format_core::{OpenOptions, Overlay, open_image};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use test_windows_guests::{recipe, recipes, shared};

/// Set it to write the snapshots anew.
const UPDATE: &str = "REHOME_UPDATE_SNAPSHOTS";

fn overlays(name: &str) -> Vec<Arc<Overlay>> {
    let raw = format_all::FORMATS.iter().find(|format| format.is_called("raw")).copied();
    let options = OpenOptions::new(format_all::FORMATS, raw);
    let open = |path: &PathBuf| Overlay::new(open_image(path, &options).unwrap().disk);
    shared(recipe(name)).disks.iter().map(open).collect()
}

fn inspected(name: &str) -> Inspection {
    inspect_disks(&overlays(name)).unwrap()
}

fn plan(inspection: &Inspection, target: &Target) -> Plan {
    plan_for(inspection, target, &[], &Wishes::NONE).unwrap()
}

/// What each fixup that has something to say does, in order.
fn outcomes(plan: &Plan) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    let mut edits = plan.edits.iter();
    for fixup in &plan.fixups {
        let mark = match fixup.status {
            Status::Planned => "planned",
            Status::Cannot => "CANNOT",
            Status::LeftOut => "left out",
            Status::NothingToDo if fixup.reason.is_some() => "nothing to do",
            Status::NothingToDo | Status::NotApplicable => continue,
        };
        let mut text =
            format!("{mark}{}\n", fixup.reason.iter().map(|why| format!(": {why}")).collect::<String>());
        text.extend(fixup.next_step.iter().map(|step| format!("  next: {step}\n")));
        for edit in edits.by_ref().take(fixup.edits) {
            writeln!(text, "  {} {}: {}", edit.verb(), edit.path, edit.reason).unwrap();
            let detail = edit.describe();
            // Batches have tests of their own.
            for line in detail.lines().filter(|line| !line.starts_with('@')).take(3) {
                writeln!(text, "    {}", line.chars().take(200).collect::<String>()).unwrap();
            }
        }
        found.push((fixup.id, text));
    }
    found
}

/// What one fixup does, with the targets for which it does so.
type Outcomes<'a> = Vec<(String, Vec<&'a str>)>;

/// The facts, and what each fixup does with the targets for which it does so.
fn snapshot(name: &str) -> String {
    let inspection = inspected(name);
    let guest = &inspection.guest;
    let mut text = format!("{}\n", recipe(name).about);
    text.extend(guest.os.iter().map(|os| format!("system: {} {} {:?}\n", os.name, os.version, os.arch)));
    text.extend([format!("source: {}\n", guest.source.describe())]);
    writeln!(
        text,
        "BIOS: {:?}\nUEFI: {:?}, signed {:?}",
        guest.boot.bios, guest.boot.uefi, guest.boot.secure_boot
    )
    .unwrap();
    if let Some(windows) = &guest.windows {
        let facts = serde_json::to_value(windows).unwrap();
        for (fact, value) in facts.as_object().unwrap() {
            writeln!(text, "{fact}: {value}").unwrap();
        }
    }
    text.extend(inspection.replays.iter().map(|line| format!("replayed: {line}\n")));
    text.extend(guest.obstacles.iter().map(|line| format!("obstacle: {line}\n")));
    let mut found: Vec<(&str, Outcomes<'_>)> = Vec::new();
    for target in driver_targets::targets() {
        for (id, outcome) in outcomes(&plan(&inspection, target)) {
            let outcome = outcome.replace(target.name, "TARGET").replace(target.platform.name(), "PLATFORM");
            let place = found.iter().position(|(known, _)| *known == id).unwrap_or_else(|| {
                found.push((id, Vec::new()));
                found.len() - 1
            });
            let same = found[place].1.iter().position(|(known, _)| *known == outcome);
            match same {
                Some(same) => found[place].1[same].1.push(target.id),
                None => found[place].1.push((outcome, vec![target.id])),
            }
        }
    }
    for (id, outcomes) in found {
        for (outcome, targets) in outcomes {
            write!(text, "\n== {id} on {}\n{outcome}", targets.join(" ")).unwrap();
        }
    }
    text
}

fn agrees(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/windows/snapshots/{name}.txt"));
    let found = snapshot(name);
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, &found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = expected.lines().zip(found.lines()).position(|(a, b)| a != b);
    assert_eq!(expected, found, "{}, line {differs:?}: review it, then set {UPDATE}", path.display());
}

/// For every target whose plan has no obstacle: applied, nothing is left for a second plan, also when the guest is opened anew.
fn is_done_at_once(name: &str) {
    for target in driver_targets::targets() {
        let disks = overlays(name);
        let mut inspection = inspect_disks(&disks).unwrap();
        let first = plan(&inspection, target);
        let root = inspection.guest.mounts.first().and_then(|root| inspection.guest.file_system(root.place));
        let closed = root.is_none_or(|fs| fs.not_editable.is_some());
        if closed || first.obstacles().next().is_some() {
            continue;
        }
        driver_core::apply(inspection.tree.as_mut().unwrap(), &first.edits).unwrap();
        drop(inspection);
        let again = inspect_disks(&disks).unwrap();
        let second = plan(&again, target);
        assert!(second.edits.is_empty(), "{name} on {}: {:#?}", target.id, second.edits);
        assert_eq!(second.obstacles().count(), 0, "{name} on {}", target.id);
    }
}

macro_rules! guests {
    ($($test:ident $name:literal,)*) => {
        $(mod $test {
            #[test]
            fn the_plans_are_as_reviewed() {
                super::agrees($name);
            }

            #[test]
            fn a_second_run_plans_nothing() {
                super::is_done_at_once($name);
            }
        })*

        #[test]
        fn no_recipe_is_left_out() {
            let tested = [$($name),*];
            let all: Vec<&str> = recipes().iter().map(|recipe| recipe.name).collect();
            assert_eq!(all, tested);
        }
    };
}

guests! {
    server_2016_xen "2016-xen-bios",
    server_2022_nitro "2022-nitro-uefi",
    server_2008_r2_vmware "2008r2-vmware-bios",
    server_2008_r2_xen "2008r2-xen-bios",
    server_2012_r2_citrix "2012r2-citrix-bios",
    server_2012_r2_physical "2012r2-physical-bios",
    server_2016_nitro "2016-nitro-bios",
    server_2016_vmware "2016-vmware-uefi",
    server_2016_dynamic "2016-physical-dynamic",
    server_2019_kvm_pending "2019-kvm-uefi-pending",
    server_2019_hyperv_dirty "2019-hyperv-bios-dirty",
    server_2019_virtualbox "2019-virtualbox-bios",
    server_2022_kvm_compact "2022-kvm-uefi-compact",
    server_2022_hyperv "2022-hyperv-uefi",
    server_2022_nitro_sysprep "2022-nitro-uefi-sysprep",
    windows_11_hibernated "11-physical-uefi-hibernated",
    windows_11_bitlocker "11-kvm-uefi-bitlocker",
    windows_7_vmware "7-vmware-bios-x86",
}
