//! The page of one job.

use super::{Shown, badge, frame, maps, sections, verdict};
use crate::model::{DiskReport, JobReport};
use crate::wording::{counted, duration, moment, rate};
use format_core::units::format_size;
use maud::{Markup, html};
use std::path::Path;

pub(super) fn page(job: &JobReport, folder: &Path) -> Markup {
    let head = html! { p.kind { "Report of a job" } h1 { (Shown(job.name())) } };
    let body = html! {
        (verdict(job.state, &job.headline(), &html! {
            @if job.state.needs_attention() { (sections::trouble(job)) }
            @else if let Some(advice) = job.advice() { p.step { b { "Next: " } (Shown(&advice)) } }
        }))
        section { h2 { "At a glance" } (facts(job)) }
        @if !job.warnings.is_empty() { section { h2 { "Warnings" } (sections::warnings(&job.warnings)) } }
        @if job.boot_test.is_some() { section { h2 { "Boot test" } (sections::boot_test(job, folder, true)) } }
        @if !job.disks.is_empty() {
            section { h2 { "Disks" } @for disk in &job.disks { (disk_card(disk, true)) } }
        }
        @if !job.stages.is_empty() { section { h2 { "Speed" } (sections::speed(&job.stages)) } }
        @if !job.fixups.is_empty() { section { h2 { "Fixups" } (sections::fixups(job)) } }
        @if !job.changes.is_empty() {
            section { h2 { "Changed in the guest" } (sections::changes(&job.changes)) }
        }
        @if let Some(machine) = &job.machine { section { h2 { "Machine" } (sections::machine(machine)) } }
        @if !job.attempts.is_empty() { section { h2 { "Attempts" } (sections::attempts(&job.attempts)) } }
        @if !job.evidence.is_empty() { section { h2 { "Files" } (sections::evidence(&job.evidence)) } }
        @if !job.command.is_empty() || !job.environment.is_empty() {
            section { h2 { "How it was done" } (sections::circumstances(job)) }
        }
    };
    let foot = html! {
        p { "Job " code { (Shown(&job.id)) } @if let Some(tool) = job.environment.get("program") { ", " (Shown(tool)) } }
    };
    frame(&job.headline(), &head, &body, &foot)
}

/// What a job was about, in a list.
pub(super) fn facts(job: &JobReport) -> Markup {
    let began = job.attempts.first().and_then(|attempt| attempt.began.as_deref());
    let data = job.data_bytes();
    html! {
        dl.facts {
            dt { "State" } dd { (badge(job.state)) @if job.dry_run { " dry run, nothing was written" } }
            @if !job.sources.is_empty() {
                dt { "Source" } dd { @for source in &job.sources { div { (Shown(source)) } } }
            }
            @if let Some(guest) = &job.guest {
                dt { "Guest" } dd {
                    (Shown(&guest.name))
                    @if let Some(architecture) = &guest.architecture { ", " (Shown(architecture)) }
                    @if let Some(hostname) = &guest.hostname { ", host name " (Shown(hostname)) }
                }
            }
            @if let Some(platform) = &job.platform { dt { "Goes to" } dd { (Shown(platform)) } }
            @if let Some(target) = &job.target { dt { "Written to" } dd { (Shown(target)) } }
            @if let Some(began) = began { dt { "Began" } dd { (Shown(&moment(began))) } }
            @if let Some(took) = job.duration() {
                dt { "Took" } dd {
                    (duration(took))
                    @if job.attempts.len() > 1 { " in " (counted(job.attempts.len() as u64, "attempt")) }
                }
            }
            @if data > 0 {
                dt { "Data" } dd {
                    (format_size(data))
                    @if let Some(rate) = job.duration().and_then(|took| rate(data, took)) { ", " (rate) }
                }
            }
        }
    }
}

/// A disk: from where to where, its digest and what it proves, and the maps.
pub(super) fn disk_card(disk: &DiskReport, with_maps: bool) -> Markup {
    let format =
        |format: &Option<String>| format.as_ref().map(|format| format!(" ({format})")).unwrap_or_default();
    let changed = disk.changed.iter().fold(0_u64, |sum, (_, len)| sum.saturating_add(*len));
    html! {
        article.card {
            h3 { (Shown(file_name(&disk.target))) span.dim.small { (format_size(disk.virtual_size)) } }
            dl.facts {
                dt { "From" } dd {
                    (Shown(&disk.source)) (Shown(&format(&disk.source_format)))
                    @if let Some(size) = disk.source_file_size { ", file of " (format_size(size)) }
                }
                dt { "To" } dd {
                    (Shown(&disk.target)) " (" (Shown(&disk.target_format)) ")"
                    @if let Some(size) = disk.target_file_size { ", file of " (format_size(size)) }
                }
                @if let Some(data) = disk.data_bytes { dt { "Data" } dd { (format_size(data)) } }
                @if changed > 0 { dt { "Changed" } dd { (format_size(changed)) " by fixups" } }
                @if disk.unreadable_bytes > 0 {
                    dt { "Lost" } dd { b { (format_size(disk.unreadable_bytes)) } " could not be read and are zeros" }
                }
                @if disk.target_file_size.is_some() || disk.digest.is_some() {
                    dt { "Proof" } dd { (disk.proof_words()) }
                }
                @if let Some(digest) = &disk.digest { dt { "Digest" } dd { code { (Shown(digest)) } } }
                @if let Some(digest) = &disk.source_digest { dt { "Of the source" } dd { code { (Shown(digest)) } } }
                @for (kind, hash) in &disk.hashes { dt { (Shown(kind)) } dd { code { (Shown(hash)) } } }
            }
            @if with_maps { (maps::maps(disk)) }
        }
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(path)
}
