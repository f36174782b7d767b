//! The parts of a page that tell of one job.

use super::{Lines, Shown, charts, picture};
use crate::model::{Attempt, ChangeReport, Evidence, FixupReport, JobReport, MachineReport, WarningReport};
use crate::wording::{counted, duration, moment};
use format_core::units::format_size;
use maud::{Markup, html};
use std::path::Path;

/// More changes are counted: the JSON has them all.
const MOST_CHANGES: usize = 300;

/// What went wrong and what to do about it.
pub(super) fn trouble(job: &JobReport) -> Markup {
    let code = job.exit_code.filter(|_| job.state.needs_attention());
    let stage = job.error.as_ref().and_then(|error| error.stage.as_deref());
    let name = job.error.as_ref().and_then(|error| error.code.as_deref());
    html! {
        @if let Some(cause) = job.cause() { p { (Shown(&cause)) } }
        @for obstacle in job.obstacles.iter().skip(usize::from(job.error.is_none())) { p { (Shown(obstacle)) } }
        @if let Some(advice) = job.advice() { p.step { b { "Next: " } (Shown(&advice)) } }
        @if code.is_some() || stage.is_some() || name.is_some() {
            p.dim.small {
                @if let Some(name) = name { "code " (Shown(name)) ", " }
                @if let Some(code) = code { "exit code " (code) }
                @if let Some(stage) = stage { @if code.is_some() { ", " } "in the stage " (Shown(stage)) }
                @if job.attempts.len() > 1 { ", after " (counted(job.attempts.len() as u64, "attempt")) }
            }
        }
    }
}

/// The fixups: what was done first, then what was not, and those that are of no concern folded away.
pub(super) fn fixups(job: &JobReport) -> Markup {
    let rank = |fixup: &&FixupReport| match fixup.status.as_str() {
        "cannot" => 0,
        "left-out" => 1,
        "planned" => 2,
        "not-applicable" => 4,
        _ => 3,
    };
    let mut fixups: Vec<&FixupReport> = job.fixups.iter().collect();
    fixups.sort_by_key(rank);
    let (others, fixups): (Vec<_>, Vec<_>) = fixups.into_iter().partition(|fixup| rank(fixup) == 4);
    let has_written = job.state == crate::State::Done && !job.dry_run;
    html! {
        @if !fixups.is_empty() { (fixup_table(&fixups, has_written)) }
        @if !others.is_empty() {
            details {
                summary { (counted(others.len() as u64, "fixup")) " of no concern to this guest" }
                (fixup_table(&others, has_written))
            }
        }
    }
}

fn fixup_table(fixups: &[&FixupReport], has_written: bool) -> Markup {
    let result = |fixup: &FixupReport| match fixup.status.as_str() {
        "planned" if has_written => format!("done, {}", counted(fixup.edits, "change")),
        "planned" => format!("planned, {}", counted(fixup.edits, "change")),
        "nothing-to-do" => "already right".to_owned(),
        "not-applicable" => "does not concern it".to_owned(),
        "left-out" => "left to a person".to_owned(),
        "cannot" => "cannot be done".to_owned(),
        other => other.to_owned(),
    };
    html! {
        table.stack {
            thead { tr { th scope="col" { "Fixup" } th scope="col" { "Result" } th scope="col" { "Why" } } }
            tbody {
                @for fixup in fixups {
                    tr {
                        th scope="row" { (Shown(&fixup.title)) " " code.dim { (Shown(&fixup.id)) } }
                        td data-label="Result" { (Shown(&result(fixup))) }
                        td data-label="Why" {
                            div {
                                (Shown(fixup.reason.as_deref().unwrap_or("–")))
                                @if let Some(step) = &fixup.next_step { p { b { "Next: " } (Shown(step)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Changed files of the guest, each with what was changed in it and why.
pub(super) fn changes(changes: &[ChangeReport]) -> Markup {
    let shown = changes.get(..MOST_CHANGES.min(changes.len())).unwrap_or_default();
    let files = shown.chunk_by(|a, b| a.path == b.path);
    let rest = changes.len() - shown.len();
    html! {
        @for file in files {
            @if let Some(first) = file.first() {
                details {
                    summary {
                        code { (Shown(&first.path)) }
                        " " span.dim.small { @if file.len() > 1 { (counted(file.len() as u64, "change")) } @else { (Shown(&first.action)) } }
                    }
                    @for change in file {
                        p { (Shown(&change.reason)) }
                        @if !change.detail.trim().is_empty() { pre { (Lines(change.detail.trim_end())) } }
                    }
                }
            }
        }
        @if rest > 0 { p.dim { (counted(rest as u64, "more change")) " in the report as JSON" } }
    }
}

pub(super) fn warnings(warnings: &[WarningReport]) -> Markup {
    html! {
        table.stack {
            thead { tr { th scope="col" { "Warning" } th scope="col" { "Code" } } }
            tbody {
                @for warning in warnings {
                    tr { td { (Shown(&warning.message)) } td { code { (Shown(&warning.code)) } } }
                }
            }
        }
    }
}

/// The boot test with the last screen.
pub(super) fn boot_test(job: &JobReport, folder: &Path, with_picture: bool) -> Markup {
    let Some(test) = &job.boot_test else { return html! {} };
    let picture = test.screenshot.as_deref().filter(|_| with_picture).and_then(|path| picture(folder, path));
    let tone = match test.verdict.as_str() {
        "passed" => "t-done",
        "failed" => "t-failed",
        _ => "t-held",
    };
    html! {
        p {
            span.badge.(tone) { (Shown(&test.verdict)) } " " (Shown(&test.about))
            @if let Some(seconds) = test.seconds { ", after " (duration(seconds)) }
        }
        @if let Some(line) = &test.line { pre { (Shown(line)) } }
        @if let Some(machine) = &test.machine { p.dim.small { "Started on " (Shown(machine)) } }
        @if let Some(picture) = picture { img.shot src=(picture) alt={ "The screen at the end of the boot test: " (Shown(&test.about)) }; }
    }
}

pub(super) fn machine(machine: &MachineReport) -> Markup {
    let place = |mac: &Option<String>, network: &Option<String>, unknown: &str| {
        let mac = mac.clone().unwrap_or_else(|| unknown.to_owned());
        network.as_ref().map_or(mac.clone(), |network| format!("{mac} in {network}"))
    };
    html! {
        dl.facts {
            dt { "Name" } dd { (Shown(&machine.name)) }
            dt { "Processors" } dd { (machine.cpus) }
            dt { "Memory" } dd { (format_size(machine.memory_mib.saturating_mul(1 << 20))) }
            dt { "Firmware" } dd {
                (Shown(&machine.firmware.to_uppercase()))
                @if let Some(secure) = machine.secure_boot { ", Secure Boot " @if secure { "on" } @else { "off" } }
            }
        }
        @if !machine.adapters.is_empty() {
            h4 { "Network adapters" }
            table.stack {
                thead { tr { th scope="col" { "At the source" } th scope="col" { "At the target" } } }
                tbody {
                    @for adapter in &machine.adapters {
                        tr {
                            td data-label="Source" { span { (Shown(&place(&adapter.source_mac, &adapter.source_network, "address not known"))) } }
                            td data-label="Target" { span { (Shown(&place(&adapter.mac, &adapter.network, "address of the target's choice"))) } }
                        }
                    }
                }
            }
        }
    }
}

pub(super) fn attempts(attempts: &[Attempt]) -> Markup {
    let when = |time: &Option<String>| time.as_deref().map(moment).unwrap_or_else(|| "–".into());
    html! {
        table.stack {
            thead { tr { th scope="col" { "Attempt" } th scope="col" { "Began" } th scope="col" { "Took" } th scope="col" { "Ended with" } } }
            tbody {
                @for (index, attempt) in attempts.iter().enumerate() {
                    tr {
                        th scope="row" { (index + 1) }
                        td data-label="Began" { (Shown(&when(&attempt.began))) }
                        td data-label="Took" { (attempt.span().map(|span| duration(span.1 - span.0)).unwrap_or_else(|| "–".into())) }
                        td data-label="Ended with" {
                            span {
                                @match attempt.exit_code { Some(code) => { "exit code " (code) } None => "no exit code" }
                                @if let Some(message) = &attempt.message { ": " (Shown(message)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The files that a signature of the report covers.
pub(super) fn evidence(files: &[Evidence]) -> Markup {
    html! {
        table.stack {
            thead { tr { th scope="col" { "File" } th.n scope="col" { "Size" } th scope="col" { "BLAKE3" } } }
            tbody {
                @for file in files {
                    tr {
                        th scope="row" { code { (Shown(&file.path)) } }
                        td.n data-label="Size" { (format_size(file.size)) }
                        td data-label="BLAKE3" { code { (Shown(&file.blake3)) } }
                    }
                }
            }
        }
    }
}

/// How it can be done again: the command, and the versions that took part.
pub(super) fn circumstances(job: &JobReport) -> Markup {
    html! {
        @if !job.command.is_empty() { pre { (Shown(&command_line(&job.command))) } }
        @if !job.environment.is_empty() {
            dl.facts { @for (name, version) in &job.environment { dt { (Shown(name)) } dd { (Shown(version)) } } }
        }
    }
}

/// As a shell takes it.
pub(super) fn command_line(command: &[String]) -> String {
    let plain = |word: &str| {
        !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c))
    };
    let quoted =
        |word: &String| if plain(word) { word.clone() } else { format!("'{}'", word.replace('\'', "'\\''")) };
    command.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

pub(super) use charts::speed;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_pasted_into_a_shell() {
        let command = ["rehome", "convert", "it's a disk.vmdk", "$(reboot)", ""].map(str::to_owned);
        assert_eq!(command_line(&command), r"rehome convert 'it'\''s a disk.vmdk' '$(reboot)' ''");
    }
}
