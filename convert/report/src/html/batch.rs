//! The page of a batch.

use super::job::{disk_card, facts};
use super::timeline::timeline;
use super::{Shown, badge, charts, frame, sections, verdict};
use crate::batch::{BatchReport, Totals};
use crate::model::{JobReport, State};
use crate::wording::{ORDER, counted, duration, grouped, moment};
use format_core::units::format_size;
use maud::{Markup, PreEscaped, html};
use std::collections::BTreeMap;
use std::path::Path;

/// Jobs that a person has to act on, shown in full; more are in a table.
const MOST_CARDS: usize = 50;
/// Kinds of warnings.
const MOST_WARNINGS: usize = 100;
/// A list of more jobs is folded.
const MOST_OPEN: usize = 30;
/// Details of jobs come to an end here, so that a page opens at once on a phone; the jobs' own pages and the JSON have the rest.
const DETAILS: usize = 900 << 10;
/// Screenshots are large: the first few are shown.
const MOST_SHOTS: usize = 6;

pub(super) fn page(report: &BatchReport, folder: &Path) -> Markup {
    let totals = Totals::of(&report.jobs);
    let span = report.span();
    let head = html! { p.kind { "Report of a batch" } h1 { (Shown(report.name())) } };
    let body = html! {
        (verdict(report.state(), &report.headline(), &html! {
            @if totals.jobs > 0 { (charts::share_bar(&totals)) }
            (when(report))
        }))
        (attention(report, folder))
        @if totals.jobs > 0 {
            section { h2 { "Totals" } (charts::tiles(&totals, span.map(|span| span.1 - span.0))) }
        }
        (timeline(report))
        (warnings(report))
        (all_jobs(report))
        (details(report))
        @if !report.evidence.is_empty() { section { h2 { "Files" } (sections::evidence(&report.evidence)) } }
    };
    let foot = html! {
        p {
            "Batch " code { (Shown(&report.id)) }
            @if !report.tool.is_empty() { ", " (Shown(&report.tool)) }
            @if let Some(made) = &report.made { ", report of " (Shown(&moment(made))) }
        }
    };
    frame(&format!("{}: {}", report.name(), report.headline()), &head, &body, &foot)
}

fn when(report: &BatchReport) -> Markup {
    html! {
        p.dim {
            @if let Some(began) = &report.began { (Shown(&moment(began))) }
            @match &report.ended {
                Some(ended) => { " until " (Shown(&moment(ended))) }
                None if report.began.is_some() => ", not ended",
                None => "",
            }
            @if let Some(host) = &report.host { " on " (Shown(host)) }
        }
        @if let Some(retry) = report.retry.as_ref().filter(|_| report.state().needs_attention()) {
            p.step { b { "When the causes are mended: " } code { (Shown(retry)) } }
        }
    }
}

/// In the order in which people look.
fn ordered(jobs: &[JobReport]) -> Vec<&JobReport> {
    let rank = |state: State| ORDER.iter().position(|other| *other == state);
    let mut jobs: Vec<&JobReport> = jobs.iter().collect();
    jobs.sort_by_key(|job| (rank(job.state), job.wave));
    jobs
}

fn attention(report: &BatchReport, folder: &Path) -> Markup {
    let jobs: Vec<_> = ordered(&report.jobs).into_iter().filter(|job| job.state.needs_attention()).collect();
    if jobs.is_empty() {
        return html! {};
    }
    let (cards, rest) = jobs.split_at(MOST_CARDS.min(jobs.len()));
    let mut shots = MOST_SHOTS;
    let mut card = |job: &JobReport| {
        let has_shot = job.boot_test.as_ref().is_some_and(|test| test.screenshot.is_some());
        let with_picture = has_shot && shots > 0;
        shots -= usize::from(with_picture);
        html! {
            article.card {
                h3 { (badge(job.state)) (Shown(job.name())) @if job.name() != job.id { span.dim.small { (Shown(&job.id)) } } }
                @if let Some(source) = job.sources.first() { p.dim.small { (Shown(source)) } }
                (sections::trouble(job))
                @if with_picture { (sections::boot_test(job, folder, true)) }
            }
        }
    };
    html! {
        section {
            h2 { "What to do" }
            @for job in cards { (card(job)) }
            @if !rest.is_empty() {
                details {
                    summary { (counted(rest.len() as u64, "more job")) }
                    table.stack {
                        thead { tr { th scope="col" { "Job" } th scope="col" { "State" } th scope="col" { "Cause" } th scope="col" { "Next" } } }
                        tbody {
                            @for job in rest {
                                tr {
                                    th scope="row" { (Shown(job.name())) }
                                    td data-label="State" { (job.state.word()) }
                                    td data-label="Cause" { span { (Shown(&job.cause().unwrap_or_default())) } }
                                    td data-label="Next" { span { (Shown(&job.advice().unwrap_or_default())) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// By their codes: a thousand machines of one kind have the same ones.
fn warnings(report: &BatchReport) -> Markup {
    let mut kinds: BTreeMap<&str, (u64, &str, &str)> = BTreeMap::new();
    for job in &report.jobs {
        for warning in &job.warnings {
            kinds.entry(&warning.code).or_insert((0, &warning.message, job.name())).0 += 1;
        }
    }
    if kinds.is_empty() {
        return html! {};
    }
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by_key(|(_, (count, _, _))| std::cmp::Reverse(*count));
    html! {
        section {
            h2 { "Warnings" }
            table.stack {
                thead { tr { th scope="col" { "Code" } th.n scope="col" { "How often" } th scope="col" { "For example" } } }
                tbody {
                    @for (code, (count, message, job)) in kinds.iter().take(MOST_WARNINGS) {
                        tr {
                            th scope="row" { code { (Shown(code)) } }
                            td.n data-label="How often" { (grouped(*count)) }
                            td data-label="Example" { span { (Shown(message)) " " span.dim { "(" (Shown(job)) ")" } } }
                        }
                    }
                }
            }
            @if kinds.len() > MOST_WARNINGS { p.dim { (counted((kinds.len() - MOST_WARNINGS) as u64, "more kind")) " in the report as JSON" } }
        }
    }
}

fn all_jobs(report: &BatchReport) -> Markup {
    if report.jobs.is_empty() {
        return html! {};
    }
    let has_guest = report.jobs.iter().any(|job| job.guest.is_some());
    html! {
        details.all open[report.jobs.len() <= MOST_OPEN] {
            summary { "All " (counted(report.jobs.len() as u64, "job")) }
            table.stack {
                thead {
                    tr {
                        th scope="col" { "Job" } th scope="col" { "State" }
                        @if has_guest { th scope="col" { "Guest" } }
                        th scope="col" { "Goes to" } th.n scope="col" { "Data" } th.n scope="col" { "Took" }
                    }
                }
                tbody { @for job in ordered(&report.jobs) { (row(job, has_guest)) } }
            }
        }
    }
}

fn row(job: &JobReport, has_guest: bool) -> Markup {
    let to = job.platform.as_deref().or(job.disks.first().map(|disk| disk.target_format.as_str()));
    html! {
        tr {
            th scope="row" {
                @match job.page.as_deref().filter(|page| is_link(page)) {
                    Some(page) => a href=(Shown(page)) { (Shown(job.name())) },
                    None => (Shown(job.name())),
                }
            }
            td data-label="State" { span { (badge(job.state)) } }
            @if has_guest { td data-label="Guest" { (Shown(job.guest.as_ref().map_or("–", |guest| &guest.name))) } }
            td data-label="Goes to" { (Shown(to.unwrap_or("–"))) }
            td.n data-label="Data" { (match job.data_bytes() { 0 => "–".to_owned(), bytes => format_size(bytes) }) }
            td.n data-label="Took" { (job.duration().map(duration).unwrap_or_else(|| "–".into())) }
        }
    }
}

/// A page below the report's own folder, and nothing that a browser would run or fetch from elsewhere.
fn is_link(page: &str) -> bool {
    let plain = |part: &str| !part.is_empty() && part != ".." && !part.contains([':', '\\', '%', '?', '#']);
    page.ends_with(".html") && page.split('/').all(plain)
}

fn details(report: &BatchReport) -> Markup {
    let mut pieces = String::new();
    let mut left_out = 0;
    for job in ordered(&report.jobs) {
        if pieces.len() >= DETAILS {
            left_out += 1;
            continue;
        }
        let piece = detail(job).into_string();
        // One job of many megabytes does not take the place of all others.
        if piece.len() > DETAILS / 4 {
            left_out += 1;
            continue;
        }
        pieces.push_str(&piece);
    }
    html! {
        @if !pieces.is_empty() {
            details.all {
                summary { "Details of each job" }
                (PreEscaped(pieces))
                @if left_out > 0 { p.dim { (counted(left_out, "more job")) " in the report as JSON" } }
            }
        }
    }
}

fn detail(job: &JobReport) -> Markup {
    html! {
        details.job {
            summary { (badge(job.state)) b { (Shown(job.name())) } @if let Some(took) = job.duration() { span.dim { (duration(took)) } } }
            div {
                @if job.state.needs_attention() { (sections::trouble(job)) h4 { "Facts" } }
                (facts(job))
                @if !job.disks.is_empty() { h4 { "Disks" } @for disk in &job.disks { (disk_card(disk, true)) } }
                @if !job.warnings.is_empty() { h4 { "Warnings" } (sections::warnings(&job.warnings)) }
                @if job.boot_test.is_some() { h4 { "Boot test" } (sections::boot_test(job, Path::new(""), false)) }
                @if !job.fixups.is_empty() { h4 { "Fixups" } (sections::fixups(job)) }
                @if !job.changes.is_empty() { h4 { "Changed in the guest" } (sections::changes(&job.changes)) }
                @if job.attempts.len() > 1 { h4 { "Attempts" } (sections::attempts(&job.attempts)) }
                @if !job.evidence.is_empty() { h4 { "Files" } (sections::evidence(&job.evidence)) }
                @if !job.command.is_empty() { h4 { "Command" } (sections::circumstances(job)) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_pages_beside_the_report_only() {
        assert!(is_link("jobs/web-01.html") && is_link("a.html"));
        for page in [
            "javascript:alert(1).html",
            "//evil.html",
            "/etc/a.html",
            "../a.html",
            "a",
            "x%2f.html",
            "http://a.html",
        ] {
            assert!(!is_link(page), "{page}");
        }
    }
}
