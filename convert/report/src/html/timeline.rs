//! When which job ran: a row for each of a few, and lanes for many.

use super::charts::{WIDTH, number};
use super::{Shown, fill};
use crate::batch::BatchReport;
use crate::model::{Attempt, JobReport, State};
use crate::wording::{clock, counted, duration, shown};
use maud::{Markup, html};
use std::collections::BTreeMap;

/// A wave of more jobs is drawn in lanes.
const MOST_ROWS: usize = 40;
/// Height of a lane in the plot's own units, gap included.
const LANE: usize = 10;

/// One attempt of a job.
struct Bar<'a> {
    job: &'a JobReport,
    span: (f64, f64),
    state: State,
}

/// The jobs by waves over the time of the whole batch.
pub(super) fn timeline(report: &BatchReport) -> Markup {
    let Some(whole) = report.span().filter(|span| span.1 > span.0) else { return html! {} };
    let mut waves: BTreeMap<u32, Vec<&JobReport>> = BTreeMap::new();
    for job in report.jobs.iter().filter(|job| job.attempts.iter().any(|attempt| attempt.span().is_some())) {
        waves.entry(job.wave).or_default().push(job);
    }
    if waves.is_empty() {
        return html! {};
    }
    let several = waves.len() > 1;
    html! {
        section {
            h2 { "Timeline" }
            @for (wave, jobs) in &waves {
                @if several { h4 { "Wave " (wave + 1) ", " (counted(jobs.len() as u64, "job")) } }
                @if jobs.len() <= MOST_ROWS {
                    (rows(jobs, whole))
                    div.axisrow { (axis(whole)) }
                } @else {
                    (lanes(jobs, whole))
                    (axis(whole))
                }
            }
            @if report.jobs.iter().any(|job| job.attempts.len() > 1) {
                p.dim.small { "A job that was tried again has a bar for each attempt, in the colour of how that one ended." }
            }
        }
    }
}

fn axis((began, ended): (f64, f64)) -> Markup {
    html! {
        div.axis {
            span { (clock(began, ended)) " UTC" }
            span { (clock((began + ended) / 2.0, ended)) }
            span { (clock(ended, began)) }
        }
    }
}

/// How an attempt ended: what the job came to is that of its last one.
fn ended(job: &JobReport, attempt: &Attempt, is_last: bool) -> State {
    match attempt.exit_code {
        _ if is_last => job.state,
        Some(code) => State::of_exit_code(code),
        None => State::Interrupted,
    }
}

fn bars<'a>(job: &'a JobReport) -> impl Iterator<Item = Bar<'a>> {
    let last = job.attempts.len().saturating_sub(1);
    job.attempts.iter().enumerate().filter_map(move |(index, attempt)| {
        Some(Bar { job, span: attempt.span()?, state: ended(job, attempt, index == last) })
    })
}

/// Where a span lies in the plot; one that is too short to be seen gets a little width.
fn place(span: (f64, f64), whole: (f64, f64)) -> (String, String) {
    let scale = WIDTH / (whole.1 - whole.0);
    let start = ((span.0 - whole.0) * scale).clamp(0.0, WIDTH - 1.5);
    let width = ((span.1 - span.0) * scale).clamp(1.5, WIDTH - start);
    (number(start), number(width))
}

fn rows(jobs: &[&JobReport], whole: (f64, f64)) -> Markup {
    html! {
        ul.rows {
            @for job in jobs {
                @let took = job.duration().map(duration).unwrap_or_default();
                @let label = format!("{}: {}, {}", shown(job.name()), job.state.word(), took);
                li {
                    span.label title=(Shown(job.name())) { (Shown(job.name())) }
                    svg viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" aria-label=(label) {
                        @for bar in bars(job) {
                            @let (x, width) = place(bar.span, whole);
                            rect.(fill(bar.state)) x=(x) width=(width) height="10" {}
                        }
                    }
                    span.took { (took) }
                }
            }
        }
    }
}

/// As many lanes as jobs ran at once: each attempt is in the first lane that is free when it begins.
fn lanes(jobs: &[&JobReport], whole: (f64, f64)) -> Markup {
    let mut all: Vec<Bar<'_>> = jobs.iter().flat_map(|job| bars(job)).collect();
    all.sort_by(|a, b| a.span.0.total_cmp(&b.span.0));
    let mut free: Vec<f64> = Vec::new();
    let mut placed = Vec::with_capacity(all.len());
    for bar in all {
        let lane = free.iter().position(|until| *until <= bar.span.0).unwrap_or(free.len());
        match free.get_mut(lane) {
            Some(until) => *until = bar.span.1,
            None => free.push(bar.span.1),
        }
        placed.push((lane, bar));
    }
    let height = free.len() * LANE;
    let label = format!("{} in {}", counted(jobs.len() as u64, "job"), counted(free.len() as u64, "lane"));
    let view = format!("0 0 1000 {height}");
    html! {
        svg.lanes viewBox=(view) height=((free.len() * 13).clamp(26, 520)) preserveAspectRatio="none" role="img" aria-label=(label) {
            @for (lane, bar) in &placed {
                @let (x, width) = place(bar.span, whole);
                rect.(fill(bar.state)) x=(x) y=(lane * LANE + 1) width=(width) height="8" {
                    title { (Shown(bar.job.name())) ": " (bar.state.word()) ", " (duration(bar.span.1 - bar.span.0)) }
                }
            }
        }
    }
}
