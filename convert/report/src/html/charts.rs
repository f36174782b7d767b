//! Shares of a whole, and speed over time.

use super::fill;
use crate::batch::Totals;
use crate::model::StageReport;
use crate::wording::{ORDER, duration, grouped, rate};
use format_core::units::format_size;
use maud::{Markup, html};

/// Width of a plot in its own units; browsers stretch it.
pub(super) const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 200.0;

/// How many jobs stand how, as one bar.
pub(super) fn share_bar(totals: &Totals) -> Markup {
    let states: Vec<_> = ORDER.into_iter().rev().filter(|state| totals.count(*state) > 0).collect();
    let says = |state: &crate::model::State| format!("{} {}", totals.count(*state), state.word());
    let label = states.iter().map(says).collect::<Vec<_>>().join(", ");
    // One job of a thousand can be seen, too.
    let widths =
        || states.iter().map(|state| (totals.count(*state) as f64 / totals.jobs.max(1) as f64).max(0.012));
    let sum: f64 = widths().sum();
    let mut at = 0.0;
    let mut pieces = Vec::new();
    for (state, width) in states.iter().zip(widths()) {
        let width = width / sum * WIDTH;
        pieces.push((*state, at, width));
        at += width;
    }
    html! {
        svg.share viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" aria-label=(label) {
            @for (state, at, width) in pieces {
                // A thin gap tells neighbours apart where colours do not.
                rect.(fill(state)) x=(number(at)) width=(number(width - 3.0)) height="10" {}
            }
        }
        ul.legend {
            @for state in &states {
                li {
                    svg viewBox="0 0 1 1" aria-hidden="true" { rect.(fill(*state)) width="1" height="1" {} }
                    (totals.count(*state)) " " (state.word())
                }
            }
        }
    }
}

/// How fast the stages went, one after another.
pub(super) fn speed(stages: &[StageReport]) -> Markup {
    let curves: Vec<_> = stages.iter().filter(|stage| stage.samples.len() > 1).map(rates).collect();
    let total: f64 = curves.iter().filter_map(|curve| curve.last()).map(|point| point.0).sum();
    let top = curves.iter().flatten().map(|point| point.1).fold(0.0, f64::max);
    html! {
        @if total > 0.0 && top > 0.0 { (plot(&curves, total, top)) }
        table.stack {
            thead { tr { th scope="col" { "Stage" } th.n scope="col" { "Data" } th.n scope="col" { "Time" } th.n scope="col" { "On average" } } }
            tbody {
                @for (index, stage) in stages.iter().enumerate() {
                    tr {
                        th scope="row" {
                            span.legend {
                                span.(series(index)) { svg viewBox="0 0 1 1" aria-hidden="true" { rect.dot width="1" height="1" {} } }
                                (super::Shown(&stage.name)) @if !stage.ended { " (not finished)" }
                            }
                        }
                        td.n data-label="Data" { (format_size(stage.bytes)) }
                        td.n data-label="Time" { (duration(stage.seconds)) }
                        td.n data-label="On average" { (rate(stage.bytes, stage.seconds).unwrap_or_else(|| "–".into())) }
                    }
                }
            }
        }
    }
}

fn series(index: usize) -> &'static str {
    ["s0", "s1", "s2", "s3"].get(index % 4).copied().unwrap_or("s0")
}

/// Points in time and the speed until then, in bytes a second.
fn rates(stage: &StageReport) -> Vec<(f64, f64)> {
    let mut points = vec![];
    let mut last = (0.0, 0_u64);
    for (seconds, bytes) in &stage.samples {
        let (time, data) = (seconds - last.0, bytes.saturating_sub(last.1));
        // Two lines at nearly the same moment say nothing about speed.
        if time >= 0.001 && seconds.is_finite() {
            points.push((*seconds, data as f64 / time));
            last = (*seconds, *bytes);
        }
    }
    if let Some((_, rate)) = points.first().copied() {
        points.insert(0, (0.0, rate));
    }
    points
}

fn plot(curves: &[Vec<(f64, f64)>], total: f64, top: f64) -> Markup {
    let ceiling = round_up(top);
    let label = format!("Speed over {}, at most {}/s", duration(total), format_size(top as u64));
    let mut start = 0.0;
    let mut drawn = Vec::new();
    for curve in curves {
        let place = |(seconds, rate): &(f64, f64)| {
            let x = (start + seconds) / total * WIDTH;
            format!("{} {}", number(x), number(HEIGHT - rate / ceiling * HEIGHT))
        };
        let line = curve.iter().map(place).collect::<Vec<_>>().join("L");
        let end = start + curve.last().map_or(0.0, |point| point.0);
        let (left, right) = (number(start / total * WIDTH), number(end / total * WIDTH));
        let area = format!("M{left} {HEIGHT}L{line}L{right} {HEIGHT}z");
        drawn.push((format!("M{line}"), area));
        start = end;
    }
    html! {
        div.plot {
            div.y { span { (format_size(ceiling as u64)) "/s" } span { (format_size((ceiling / 2.0) as u64)) "/s" } span { "0" } }
            svg viewBox="0 0 1000 200" preserveAspectRatio="none" role="img" aria-label=(label) {
                path.grid d="M0 1H1000M0 100H1000" {}
                @for (index, (line, area)) in drawn.iter().enumerate() {
                    g.(series(index)) { path.area d=(area) {} path.curve d=(line) {} }
                }
            }
            div.x { span { "0" } span { (duration(total / 2.0)) } span { (duration(total)) } }
        }
    }
}

/// The next of 1, 2, 5, 10, 20, 50, … of a power of 1024: what an axis ends with.
fn round_up(top: f64) -> f64 {
    let mut unit = 1.0;
    while top >= unit * 1024.0 {
        unit *= 1024.0;
    }
    let steps = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1024.0];
    steps.iter().map(|step| step * unit).find(|step| *step >= top).unwrap_or(top)
}

/// With one decimal at most: a page of a thousand jobs has many of them.
pub(super) fn number(value: f64) -> String {
    let tenths = (value * 10.0).round() / 10.0;
    format!("{tenths}")
}

/// What the tiles of a batch say of its jobs.
pub(super) fn tiles(totals: &Totals, took: Option<f64>) -> Markup {
    html! {
        dl.tiles {
            div { dt { "Disks written" } dd { (grouped(totals.disks)) } }
            div { dt { "Size of the disks" } dd { (format_size(totals.virtual_bytes)) } }
            div { dt { "Data copied" } dd { (format_size(totals.data_bytes)) } }
            div { dt { "Image files" } dd { (format_size(totals.written_bytes)) } }
            @if let Some(took) = took {
                div { dt { "Time" } dd { (duration(took)) } }
                @if let Some(rate) = rate(totals.data_bytes, took) { div { dt { "On average" } dd { (rate) } } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_is_that_between_two_lines() {
        let stage = StageReport { samples: vec![(1.0, 10), (1.0, 10), (3.0, 50)], ..StageReport::default() };
        assert_eq!(rates(&stage), [(0.0, 10.0), (1.0, 10.0), (3.0, 20.0)]);
    }

    #[test]
    fn axes_end_with_round_numbers() {
        const MIB: f64 = 1048576.0;
        let ends = [3.0, 999.0, 1023.5, 61.0 * MIB, 700.0 * MIB].map(round_up);
        assert_eq!(ends, [5.0, 1024.0, 1024.0, 100.0 * MIB, 1024.0 * MIB]);
    }
}
