//! `rehome boot-test`, and the boot test at the end of a migration.

use crate::args::{BootTestArgs, BootTestWish, FirmwareKind, Platform};
use crate::commands::open_all;
use crate::output::{Printer, safe};
use crate::progress::Progress;
use clap::ValueEnum;
use convert_boot_test::{Accelerator, BootTest, Outcome, Report, Sight, Verdict, check_host};
use convert_migrate::{MigrateReport, described, inspect_disks};
use driver_core::{Firmware, Guest, Target};
use driver_machine::{FirmwareKind as MachineFirmware, Machine};
use format_all::FORMATS;
use format_core::{
    Disk, Error, ErrorKind, OpenOptions, OpenedImage, Overlay, Result, open_image, open_images,
};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// The stage, for people and programs that watch.
const STAGE: &str = "boot";

pub(crate) fn run(
    args: &BootTestArgs,
    printer: &Printer,
    progress: &Progress,
    interrupted: &AtomicBool,
) -> Result<ExitCode> {
    let folder = match &args.out {
        Some(out) => out.clone(),
        None => evidence_of(args.images.first().map(PathBuf::as_path).unwrap_or(Path::new("disk"))),
    };
    let options = args.open.options()?;
    let opened: Vec<OpenedImage> = open_all(&args.images, &options)?;
    let machine = described(&args.machine, args.instance.as_deref(), opened.len())?;
    let (machine, warnings) =
        machine.map_or((None, Vec::new()), |(machine, warnings)| (Some(machine), warnings));
    opened.iter().for_each(|image| printer.warnings(&image.warnings));
    warnings.iter().for_each(|warning| printer.warning(&warning.message, warning.code));
    let disks: Vec<Disk> = opened.into_iter().map(|image| image.disk).collect();
    let guest = guest_of(&disks);
    let target = target_of(args, machine.as_ref(), guest.as_ref())?;
    Outcome::check_folder(&folder, args.force)?;
    let test = BootTest {
        disks,
        guest,
        target,
        mac: machine.as_ref().and_then(|machine| machine.nics.first()?.mac),
        memory_mib: memory_of(machine.as_ref(), args.memory),
        limit: args.timeout,
    };
    let mut outcome = start(&test, progress, interrupted)?;
    outcome.save(&folder)?;
    printer.result(&outcome.report, |report| human(report, &folder))?;
    Ok(ExitCode::from(exit_code(&outcome.report)))
}

/// 0 only for a guest that came up.
fn exit_code(report: &Report) -> u8 {
    match report.verdict {
        Verdict::Passed => 0,
        Verdict::Failed => 1,
        Verdict::Undecided => ErrorKind::NeedsPerson.exit_code(),
    }
}

/// Boots what a migration wrote, puts the result into its report, and saves that again. Gives the exit code.
///
/// # Errors
/// When the report cannot be written; a test that could not be made is part of the report.
pub(crate) fn after_migration(
    wish: &BootTestWish,
    report: &mut MigrateReport,
    printer: &Printer,
    progress: &Progress,
    interrupted: &AtomicBool,
) -> Result<u8> {
    let tested = test_written(wish, report, progress, interrupted);
    let (value, code) = match tested {
        Ok(found) => {
            let value = serde_json::to_value(&found);
            (value.map_err(|e| Error::contract("the report as JSON").with_source(e))?, exit_code(&found))
        }
        // What was migrated is whole, and the report is still to be printed.
        Err(error) => {
            let error = error.context("the migration is done, its boot test is not");
            let hint = printer.say(&error);
            let value = json!({ "verdict": "not-run", "reason": error.to_string(), "hint": hint });
            (value, error.kind().exit_code())
        }
    };
    report.boot_test = Some(value);
    report.save()?;
    Ok(code)
}

fn test_written(
    wish: &BootTestWish,
    report: &mut MigrateReport,
    progress: &Progress,
    interrupted: &AtomicBool,
) -> Result<Report> {
    let mut disks = Vec::new();
    match &report.package {
        Some(package) => {
            let images = open_images(&report.out.join(package), &OpenOptions::new(FORMATS, None))?;
            disks.extend(images.into_iter().map(|image| image.disk));
        }
        None => {
            for disk in &report.disks {
                let options = OpenOptions::new(FORMATS, Some(super::format_named(disk.format)?));
                disks.push(open_image(&report.out.join(&disk.file), &options)?.disk);
            }
        }
    }
    // As it was written, not as it was found.
    let guest = guest_of(&disks);
    let test = BootTest {
        disks,
        guest,
        target: report.choice.target,
        mac: report.machine.nics.first().and_then(|nic| nic.mac),
        memory_mib: memory_of(Some(&report.machine), wish.boot_test_memory),
        limit: wish.boot_test_timeout,
    };
    let mut outcome = start(&test, progress, interrupted)?;
    let name = format!("{}.boot-test", report.file_stem());
    outcome.save(&report.out.join(&name))?;
    report.files.extend(outcome.report.files.iter().map(|file| format!("{name}/{file}")));
    Ok(outcome.report)
}

/// Before hours of copying: whether a boot test can be made here at all.
///
/// # Errors
/// `NeedsPerson` when QEMU is not installed.
pub(crate) fn check(wish: &BootTestWish, firmware: Option<Firmware>) -> Result<()> {
    if wish.boot_test { check_host(firmware) } else { Ok(()) }
}

fn start(test: &BootTest, progress: &Progress, interrupted: &AtomicBool) -> Result<Outcome> {
    let see = |sight: &Sight| progress.watch(STAGE, sight.elapsed, sight.limit, &safe(&sight.line));
    let outcome = test.run(&see, interrupted);
    progress.watched();
    outcome
}

/// What is known of the guest. A system that nobody knows can be booted all the same.
fn guest_of(disks: &[Disk]) -> Option<Guest> {
    let overlays: Vec<_> = disks.iter().map(|disk| Overlay::new(disk.clone())).collect();
    inspect_disks(&overlays).ok().map(|inspection| inspection.guest)
}

fn memory_of(machine: Option<&Machine>, most: u32) -> u32 {
    let wanted = machine.and_then(|machine| u32::try_from(machine.memory_mib).ok());
    wanted.map_or(most, |wanted| wanted.clamp(64, most.max(64)))
}

/// The folder for the evidence of a test of `image`, here.
fn evidence_of(image: &Path) -> PathBuf {
    let mut name = image.file_name().unwrap_or("disk".as_ref()).to_owned();
    name.push(".boot-test");
    name.into()
}

fn target_of(
    args: &BootTestArgs,
    machine: Option<&Machine>,
    guest: Option<&Guest>,
) -> Result<&'static Target> {
    let wanted = args.target.to_ascii_lowercase();
    if let Some(target) = driver_targets::targets().find(|target| target.id == wanted) {
        let firmware = asked_for(args);
        let other = firmware.is_some_and(|firmware| firmware != target.firmware)
            || args.disk_bus.as_ref().is_some_and(|bus| bus != target.disk_bus);
        return match other {
            true => Err(Error::usage(format!("--target {wanted} says firmware and controller already"))
                .hint("name the platform alone, as in --target kvm --firmware bios --disk-bus sata")),
            false => Ok(target),
        };
    }
    let (platform, by_name) = match (wanted.strip_suffix("-bios"), wanted.strip_suffix("-uefi")) {
        (Some(platform), _) => (platform, Some(Firmware::Bios)),
        (_, Some(platform)) => (platform, Some(Firmware::Uefi)),
        _ => (wanted.as_str(), None),
    };
    let platform = Platform::from_str(platform, true).map_err(|_| {
        let known: Vec<&str> = driver_targets::targets().map(|target| target.id).collect();
        Error::usage(format!("'{wanted}' is no target"))
            .hint(format!("known are the platforms of migrate --to, and {}", known.join(", ")))
    })?;
    let firmware = by_name.or(asked_for(args)).or(of_machine(machine)).unwrap_or_else(|| of_guest(guest));
    let platform = super::migrate::platform_of(platform);
    driver_targets::target(platform, firmware, args.disk_bus.as_deref()).ok_or_else(|| {
        let there = driver_targets::targets().filter(|target| target.platform == platform);
        let there: Vec<&str> = there.map(|target| target.id).collect();
        Error::usage(format!("{} has no such machine", platform.name()))
            .hint(format!("known are {}", there.join(", ")))
    })
}

fn asked_for(args: &BootTestArgs) -> Option<Firmware> {
    match args.firmware {
        FirmwareKind::Bios => Some(Firmware::Bios),
        FirmwareKind::Uefi => Some(Firmware::Uefi),
        FirmwareKind::Auto => None,
    }
}

fn of_machine(machine: Option<&Machine>) -> Option<Firmware> {
    Some(match machine?.firmware.kind {
        MachineFirmware::Bios => Firmware::Bios,
        MachineFirmware::Uefi => Firmware::Uefi,
    })
}

/// What the guest starts by as it is, UEFI first; a BIOS says clearest that there is nothing to start.
fn of_guest(guest: Option<&Guest>) -> Firmware {
    match guest.map(|guest| &guest.boot) {
        Some(boot) if boot.uefi.is_some() && (boot.uefi_copy.is_none() || boot.bios.is_none()) => {
            Firmware::Uefi
        }
        _ => Firmware::Bios,
    }
}

fn human(report: &Report, folder: &Path) -> String {
    let verdict = match report.verdict {
        Verdict::Passed => "PASSED",
        Verdict::Failed => "FAILED",
        Verdict::Undecided => "UNDECIDED",
    };
    let mut text = format!("{verdict} after {:.0} s: {}\n", report.seconds, report.about);
    if let (Some(place), Some(line), Some(rule)) = (report.place, &report.line, report.rule) {
        text.push_str(&format!("  {place}: {} [{rule}]\n", safe(line)));
    }
    report.observations.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
    text.push_str(&format!("\nTarget: {}\n", report.target_name));
    if let Some(machine) = &report.machine {
        let by = match machine.accelerator {
            Accelerator::Kvm => "KVM",
            Accelerator::Tcg => "emulation, which is slow",
        };
        let adapter = machine.adapter.unwrap_or("no adapter");
        text.push_str(&format!(
            "Started on: QEMU {} ({by}), board {}, disks on {}, {adapter}, {} MiB of memory\n",
            safe(&machine.qemu),
            machine.board,
            machine.controller,
            report.memory_mib
        ));
    }
    report.differences.iter().for_each(|line| text.push_str(&format!("Not tried: {line}\n")));
    if report.reboots > 0 {
        text.push_str(&format!("It started over {} times\n", report.reboots));
    }
    let lines = if report.place == Some("screen") || report.console.is_empty() {
        &report.screen
    } else {
        &report.console
    };
    if report.verdict != Verdict::Passed && !lines.is_empty() {
        text.push_str("\nIts last lines\n");
        let skipped = lines.len().saturating_sub(12);
        lines.iter().skip(skipped).for_each(|line| text.push_str(&format!("  | {}\n", safe(line))));
    }
    text.push_str(&format!("\nWritten to {}\n", safe(&folder.display().to_string())));
    report.files.iter().for_each(|file| text.push_str(&format!("  {file}\n")));
    text
}

/// What a report of a migration says about it, for people.
pub(crate) fn line_of(value: &serde_json::Value) -> String {
    let word =
        |name: &str| value.get(name).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    let verdict = word("verdict");
    let what = if verdict == "not-run" { word("reason") } else { word("about") };
    let seconds = value.get("seconds").and_then(serde_json::Value::as_f64);
    let after =
        seconds.map(|seconds| format!(" after {} s", Duration::from_secs_f64(seconds.max(0.0)).as_secs()));
    let line = Some(word("line")).filter(|line| !line.is_empty()).map(|line| format!(": {line}"));
    safe(&format!("{verdict}{}: {what}{}", after.unwrap_or_default(), line.unwrap_or_default()))
}
