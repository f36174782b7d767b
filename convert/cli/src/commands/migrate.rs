//! `rehome migrate`

use crate::args::{FirmwareKind, GenerationKind, IdentityKind, MacWish, MigrateArgs, Platform, XenKind};
use crate::commands::boot_test;
use crate::limits;
use crate::output::{Printer, counted, safe};
use crate::progress::Progress;
use crate::remotes::Addresses;
use crate::spool::spool_in;
use convert_engine::Control;
use convert_migrate::{
    AdapterReport, AdapterWishes, EditReport, Editor, EditorReport, MigrateReport, MigrateRequest, Wish,
    migrate, write_feedback,
};
use driver_core::{Firmware, IdentityWishes, NetworkWishes, Status, Wishes};
use format_core::units::format_size;
use format_core::{Error, ErrorKind, OpenOptions, Result};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// More lines of one edit are counted.
const MOST_LINES: usize = 40;
/// Characters of a line that are shown of an edit.
const LONGEST_LINE: usize = 1000;

pub(crate) fn run(
    args: &MigrateArgs,
    printer: &Printer,
    control: Control<'_>,
    progress: &Progress,
) -> Result<ExitCode> {
    if args.open.chain.ignore_parent {
        return Err(Error::usage("a disk without its parent is no machine to migrate")
            .hint("name the parent with --parent"));
    }
    let folder = tempfile::tempdir().map_err(|e| Error::io("cannot make a temporary folder", e))?;
    let machine = Addresses::new(&args.open.chain).machines(&args.machine, folder.path())?;
    let request = MigrateRequest {
        sources: args.sources.clone(),
        open: OpenOptions { spool: spool_in(spool_folder(args)), ..args.open.options()? },
        wish: wish(args)?,
        out: args.out.clone(),
        machine,
        instance: args.instance.clone(),
        extra_modules: args.add_module.clone(),
        adapters: adapters(args)?,
        wishes: Wishes {
            network: NetworkWishes {
                adapters: Vec::new(),
                static_addresses: args.static_ip.clone(),
                keep_mtu: args.keep_mtu,
            },
            identity: IdentityWishes {
                machine_id: args.regenerate.contains(&IdentityKind::MachineId),
                ssh_host_keys: args.regenerate.contains(&IdentityKind::SshHostKeys),
            },
            rebuild_initramfs: args.rebuild_initramfs,
            rebuild_menu: args.rebuild_menu,
            // They are chosen when the guest is known.
            drivers: Vec::new(),
        },
        editor: args.editor.wish(args.trim, args.open.passphrases()?),
        virtio_win: args.virtio_win.clone(),
        discard_hibernation: args.discard_hibernation,
        max_memory: limits::max_memory(),
        dry_run: args.dry_run,
        replace: args.force,
    };
    // Noticed before hours of copying.
    if let Some(path) = args.collect_feedback.as_ref().filter(|path| path.symlink_metadata().is_ok()) {
        let text = format!("{} is there already", path.display());
        return Err(Error::new(ErrorKind::Destination, text).hint("name a new file with --collect-feedback"));
    }
    boot_test::check(&args.boot, request.wish.firmware)?;
    let mut report = migrate(&request, control)?;
    if let Some(path) = &args.collect_feedback {
        write_feedback(path, &report)?;
    }
    let code = match report.outcome {
        "blocked" => ErrorKind::NeedsPerson.exit_code(),
        "done" if args.boot.boot_test => {
            boot_test::after_migration(&args.boot, &mut report, printer, progress, control.interrupted)?
        }
        _ => 0,
    };
    printer.result(&report, human)?;
    Ok(ExitCode::from(code))
}

/// Beside the folder that is written: it may not be there yet.
fn spool_folder(args: &MigrateArgs) -> PathBuf {
    let beside = args.out.parent().filter(|parent| !parent.as_os_str().is_empty());
    args.open.chain.spool.clone().unwrap_or_else(|| beside.map_or_else(|| ".".into(), Path::to_owned))
}

fn adapters(args: &MigrateArgs) -> Result<AdapterWishes> {
    let pair = |wish: &MacWish| match wish {
        MacWish::Pair(pair) => Some(*pair),
        MacWish::Keep | MacWish::New => None,
    };
    let new_macs = args.mac.contains(&MacWish::New);
    if new_macs && args.mac.contains(&MacWish::Keep) {
        return Err(Error::usage("--mac cannot be keep and new at once"));
    }
    let macs = args.mac.iter().filter_map(pair).collect();
    Ok(AdapterWishes { new_macs, macs, networks: args.network_map.clone() })
}

/// The platform by its name on the command line.
pub(crate) fn platform_of(name: Platform) -> driver_core::Platform {
    match name {
        Platform::Hyperv => driver_core::Platform::HyperV,
        Platform::Kvm => driver_core::Platform::Kvm,
        Platform::Proxmox => driver_core::Platform::Proxmox,
        Platform::Vmware => driver_core::Platform::Vmware,
        Platform::Virtualbox => driver_core::Platform::VirtualBox,
        Platform::Xen => driver_core::Platform::Xen,
        Platform::KubeVirt => driver_core::Platform::KubeVirt,
        Platform::Azure => driver_core::Platform::Azure,
        Platform::Gcp => driver_core::Platform::Gcp,
        Platform::Aws => driver_core::Platform::Aws,
    }
}

fn wish(args: &MigrateArgs) -> Result<Wish> {
    let platform = platform_of(args.to);
    let firmware = match (args.firmware, args.generation) {
        (FirmwareKind::Bios, _) | (_, Some(GenerationKind::One)) => Some(Firmware::Bios),
        (FirmwareKind::Uefi, _) | (_, Some(GenerationKind::Two)) => Some(Firmware::Uefi),
        (FirmwareKind::Auto, _) => None,
    };
    let firmware = match args.xen_type {
        Some(_) if platform != driver_core::Platform::Xen => {
            return Err(Error::usage("--xen-type is about --to xen only"));
        }
        Some(XenKind::Pvh) if firmware.is_some() => {
            return Err(
                Error::usage("a PVH guest has no firmware").hint("leave --firmware and --generation away")
            );
        }
        Some(XenKind::Pvh) => Some(Firmware::Host),
        Some(XenKind::Hvm) | None => firmware,
    };
    Ok(Wish {
        platform,
        firmware,
        disk_bus: args.disk_bus.clone(),
        definition: args.definition.clone(),
        wrap: args.wrap,
    })
}

fn human(report: &MigrateReport) -> String {
    let choice = &report.choice;
    let mut text = format!("Target: {}, because it {}\n", choice.target.name, safe(&choice.reason));
    let secure_boot = if choice.secure_boot { "on" } else { "off" };
    text.push_str(&format!("Secure Boot: {secure_boot}, {}\n", choice.secure_boot_reason));
    let machine = &report.machine;
    text.push_str(&format!(
        "Machine: {}, {}, {} MiB of memory, {}\n",
        safe(&machine.name),
        counted(machine.cpu.count.into(), "CPU"),
        machine.memory_mib,
        counted(machine.nics.len() as u64, "network adapter")
    ));
    report.adapters.iter().for_each(|adapter| text.push_str(&adapter_line(adapter)));
    text.push_str(&editor_lines(&report.editor));
    report.replays.iter().for_each(|line| text.push_str(&format!("Replayed: {}\n", safe(line))));
    text.push_str(&fixup_lines(report));
    for disk in &report.disks {
        text.push_str(&disk_lines(disk));
    }
    if !report.warnings.is_empty() {
        text.push_str("\nWarnings\n");
        for warning in &report.warnings {
            text.push_str(&format!("  {} [{}]\n", safe(&warning.message), warning.code));
        }
    }
    if !report.obstacles.is_empty() {
        text.push_str("\nBLOCKED: nothing was written, because\n");
        report.obstacles.iter().for_each(|obstacle| text.push_str(&format!("  {}\n", safe(obstacle))));
    }
    if !report.files.is_empty() {
        text.push_str(&format!("\nWritten to {}\n", safe(&report.out.display().to_string())));
        report.files.iter().for_each(|file| text.push_str(&format!("  {}\n", safe(file))));
    }
    if let Some(found) = &report.boot_test {
        text.push_str(&format!("\nBoot test: {}\n", boot_test::line_of(found)));
    }
    text.push_str(&format!("\nNext: {}\n", safe(&report.next_step)));
    text
}

/// Who edited, why, and what was run for it.
fn editor_lines(editor: &EditorReport) -> String {
    let name = match editor.editor {
        Editor::MicroVm => "micro-VM",
        Editor::Auto | Editor::Native => "native",
    };
    let because = if editor.reasons.is_empty() { "" } else { ", because" };
    let mut text = format!("Editor: {name}{because}\n");
    text.push_str(&detail_lines(
        &editor.reasons.iter().map(|reason| safe(reason)).collect::<Vec<_>>(),
        3,
        "  ",
    ));
    if let (Some(microvm), Some(seconds)) = (&editor.microvm, editor.start_seconds) {
        let total =
            editor.total_seconds.map(|total| format!(", ended after {total:.1} s")).unwrap_or_default();
        text.push_str(&format!("  {}, started in {seconds:.1} s{total}\n", safe(microvm)));
    }
    for run in &editor.commands {
        text.push_str(&format!("  ran {} ({:.0} s)\n", safe(&run.command), run.seconds));
    }
    for check in &editor.checks {
        let verdict = match (&check.tool, check.clean) {
            (Some(tool), Some(true)) => format!("clean, says {tool}"),
            (Some(tool), Some(false)) => format!("has faults, says {tool}"),
            (Some(tool), None) => format!("not checked: {tool} did not come to an end"),
            (None, _) => "not checked: the guest has no checker for it".to_owned(),
        };
        text.push_str(&format!("  {} {}\n", safe(&check.point), safe(&verdict)));
    }
    if let Some(bytes) = editor.trimmed_bytes {
        text.push_str(&format!("  {} of free space given back\n", format_size(bytes)));
    }
    text
}

/// Where an adapter was, and where it will be.
fn adapter_line(adapter: &AdapterReport) -> String {
    let place = |mac: Option<String>, unknown: &str, network: &Option<String>| {
        let network = network.as_ref().map(|network| format!(" in {}", safe(network))).unwrap_or_default();
        format!("{}{network}", mac.unwrap_or_else(|| unknown.into()))
    };
    let from = place(adapter.source_mac.map(String::from), "an unknown address", &adapter.source_network);
    let to = place(adapter.mac.map(String::from), "an address of the target's choice", &adapter.network);
    format!("Adapter: {from} -> {to}\n")
}

/// One edit. What edits of a hive have in common with the one before is not said again.
fn edit_lines(edit: &EditReport, last: Option<&EditReport>) -> String {
    let is_key = |edit: &EditReport| edit.action.ends_with("-value") || edit.action.ends_with("-key");
    let key = |edit: &EditReport| {
        edit.detail.lines().next().filter(|line| line.starts_with('[')).map(str::to_owned)
    };
    let last = last.filter(|last| is_key(last) && is_key(edit) && last.path == edit.path);
    let action = if is_key(edit) { "change" } else { edit.action };
    let mut text = String::new();
    if last.is_none_or(|last| last.reason != edit.reason) {
        text.push_str(&format!("      {action} {}: {}\n", safe(&edit.path), safe(&edit.reason)));
    }
    let repeated = last.and_then(key).filter(|line| key(edit).as_ref() == Some(line)).is_some();
    let lines = edit
        .detail
        .lines()
        .skip(usize::from(repeated))
        .filter(|line| !line.starts_with("@@") && !line.starts_with("---") && !line.starts_with("+++"));
    text + &detail_lines(&lines.collect::<Vec<_>>(), MOST_LINES, "          ")
}

fn fixup_lines(report: &MigrateReport) -> String {
    let mut text = String::from("\nFixups\n");
    let mut edits = report.edits.iter();
    for fixup in &report.fixups {
        let mark = match fixup.status {
            Status::Planned => "+",
            Status::NothingToDo => "=",
            Status::NotApplicable => "-",
            Status::LeftOut => "~",
            Status::Cannot => "!",
        };
        let note = match (fixup.status, &fixup.reason) {
            (Status::NothingToDo, None) => ": already right".to_owned(),
            (_, Some(reason)) => format!(": {}", safe(reason)),
            (_, None) => String::new(),
        };
        text.push_str(&format!("  {mark} {} ({}){note}\n", fixup.title, fixup.id));
        if let Some(step) = &fixup.next_step {
            text.push_str(&format!("      next: {}\n", safe(step)));
        }
        let mut last: Option<&EditReport> = None;
        for edit in edits.by_ref().take(fixup.edits) {
            text.push_str(&edit_lines(edit, last));
            last = Some(edit);
        }
    }
    text
}

/// A line as far as somebody reads it: a guest's file may be one line of megabytes.
fn beginning(line: &str) -> String {
    let mut rest = line.char_indices().skip(LONGEST_LINE);
    match rest.next() {
        Some((end, _)) => format!("{}… ({} bytes)", line.get(..end).unwrap_or_default(), line.len()),
        None => line.to_owned(),
    }
}

/// Lines behind `indent`: all of a few, and how many more there are.
fn detail_lines(lines: &[impl AsRef<str>], most: usize, indent: &str) -> String {
    let shown = lines.iter().take(most).map(|line| format!("{indent}{}\n", beginning(line.as_ref())));
    let mut text: String = shown.collect();
    if let Some(more) = lines.len().checked_sub(most).filter(|more| *more > 0) {
        text.push_str(&format!("{indent}… {}; --output json has them\n", counted(more as u64, "more line")));
    }
    text
}

fn disk_lines(disk: &convert_migrate::DiskReport) -> String {
    let source = disk.source.first();
    let path = source.map(|file| safe(&file.path.display().to_string())).unwrap_or_default();
    let from = source.map_or("", |file| file.format);
    let mut text = format!(
        "\nDisk {path} ({from}) -> {} ({}), {}\n",
        safe(&disk.file),
        disk.format,
        format_size(disk.virtual_size)
    );
    if let Some(wrapped) = &disk.wrapped {
        text.push_str(&format!(
            "  wrapped: MBR {}, the source's {} are partition 1 from {:#x} on, no boot loader\n",
            wrapped.disk_id,
            format_size(wrapped.source_size),
            wrapped.offset
        ));
    }
    if let (Some(digest), Some(source_digest)) = (&disk.digest, &disk.source_digest) {
        text.push_str(&format!("  source digest {source_digest}\n  target digest {digest}\n"));
    }
    if let (Some(data), Some(size), Some(blocks)) = (disk.data_bytes, disk.file_size, disk.differing_blocks) {
        let changed: u64 = disk.changed.iter().map(|(_, len)| len).sum();
        text.push_str(&format!(
            "  {} of data, file of {}; read back and compared with the source: only the {} \
             that fixups wrote differ ({} of 4 MiB)\n",
            format_size(data),
            format_size(size),
            format_size(changed),
            counted(blocks, "block")
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_megabytes_is_shown_as_far_as_somebody_reads() {
        assert_eq!(beginning("+é"), "+é");
        let long = "é".repeat(1 << 20);
        let shown = beginning(&long);
        assert!(shown.starts_with("éé") && shown.ends_with("… (2097152 bytes)"), "{}", shown.len());
        assert!(shown.chars().count() < LONGEST_LINE + 40);
    }

    #[test]
    fn what_is_not_shown_of_an_edit_is_counted() {
        let lines: Vec<String> = (0..43).map(|number| format!("+{number}")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let shown =
            |count: usize| detail_lines(lines.get(..count).unwrap_or_default(), MOST_LINES, "          ");
        assert_eq!(shown(40).lines().count(), 40);
        assert!(
            shown(41).ends_with("+39\n          … 1 more line; --output json has them\n"),
            "{}",
            shown(41)
        );
        assert!(shown(43).ends_with("… 3 more lines; --output json has them\n"));
    }
}
