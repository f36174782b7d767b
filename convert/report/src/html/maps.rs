//! Which parts of a disk hold data, as a map of cells: read like a page, from the left to the right and downwards.

use crate::allocation::Allocation;
use crate::model::DiskReport;
use format_core::units::format_size;
use maud::{Markup, html};

/// Cells in a row.
const COLUMNS: usize = 64;

/// The maps of a disk before and after, as far as they are known.
pub(super) fn maps(disk: &DiskReport) -> Markup {
    let both = disk.before.is_some() && disk.after.is_some();
    html! {
        @if disk.before.is_some() || disk.after.is_some() {
            div.maps {
                @if let Some(map) = &disk.before { (figure("Source", map, &[])) }
                @if let Some(map) = &disk.after { (figure("Target", map, &disk.changed)) }
            }
            ul.legend.dim {
                li { (key("map", "a5")) "data" }
                li { (key("map", "a2")) "partly data" }
                li { (key("empty", "a5")) "empty" }
                @if disk.after.is_some() && !disk.changed.is_empty() { li { (key("chg", "a5")) "changed for the target" } }
                @if let (true, Some(map)) = (both, &disk.after) {
                    li { "one cell is " (format_size(map.virtual_size / u64::from(map.cells.max(1)))) }
                }
            }
        }
    }
}

/// A square for the legend.
fn key(class: &str, shade: &str) -> Markup {
    html! { svg viewBox="0 0 1 1" aria-hidden="true" { rect.(class).(shade) width="1" height="1" {} } }
}

fn figure(name: &str, map: &Allocation, changed: &[(u64, u64)]) -> Markup {
    let shares = map.shares();
    let rows = shares.len().div_ceil(COLUMNS).max(1);
    let percent =
        (u128::from(map.data_bytes) * 100).checked_div(u128::from(map.virtual_size)).unwrap_or(0).min(100);
    let about =
        format!("{} of data on {} ({percent} %)", format_size(map.data_bytes), format_size(map.virtual_size));
    let marks = marked(map, shares.len(), changed);
    let view = format!("0 0 {COLUMNS} {rows}");
    let label = format!("Map of the {}: {about}", name.to_lowercase());
    html! {
        figure {
            figcaption { (name) ": " (about) }
            svg.map viewBox=(view) role="img" aria-label=(label) shape-rendering="crispEdges" {
                @for shade in 1..=5_u8 {
                    @let path = path(shares.iter().map(|share| class(*share) == shade), 0.0);
                    @if !path.is_empty() { path class=(format_args!("a{shade}")) d=(path) {} }
                }
                @let path = path(marks.into_iter(), 0.2);
                @if !path.is_empty() { path.chg d=(path) {} }
            }
        }
    }
}

/// 0 is empty, 5 full.
fn class(share: u8) -> u8 {
    match share {
        0 => 0,
        1..25 => 1,
        25..50 => 2,
        50..75 => 3,
        75..100 => 4,
        _ => 5,
    }
}

/// A rectangle for each run of cells of a row, `inset` smaller above and below.
fn path(cells: impl Iterator<Item = bool>, inset: f32) -> String {
    let mut path = String::new();
    let mut run: Option<(usize, usize)> = None;
    let mut close = |run: Option<(usize, usize)>| {
        if let Some((start, len)) = run {
            let (x, y, height) = (start % COLUMNS, (start / COLUMNS) as f32 + inset, 1.0 - 2.0 * inset);
            path.push_str(&format!("M{x} {y}h{len}v{height}h-{len}z"));
        }
    };
    for (index, is_in) in cells.enumerate() {
        run = match run {
            Some((start, len)) if is_in && index % COLUMNS != 0 => Some((start, len + 1)),
            last => {
                close(last);
                is_in.then_some((index, 1))
            }
        };
    }
    close(run);
    path
}

/// The cells in which something was changed.
fn marked(map: &Allocation, cells: usize, changed: &[(u64, u64)]) -> Vec<bool> {
    let mut marks = vec![false; cells];
    let cell = |offset: u64| {
        let at = (u128::from(offset) * cells as u128).checked_div(u128::from(map.virtual_size));
        usize::try_from(at.unwrap_or(0)).unwrap_or(usize::MAX)
    };
    for (offset, len) in changed.iter().filter(|(_, len)| *len > 0) {
        let (first, last) = (cell(*offset), cell(offset.saturating_add(len - 1)));
        marks.iter_mut().take(last.saturating_add(1)).skip(first).for_each(|mark| *mark = true);
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_end_with_their_row() {
        let cells = (0..130).map(|index| (62..66).contains(&index) || index == 129);
        assert_eq!(path(cells, 0.0), "M62 0h2v1h-2zM0 1h2v1h-2zM1 2h1v1h-1z");
    }

    #[test]
    fn changed_cells_are_those_that_a_range_touches() {
        let map = Allocation { virtual_size: 100, cells: 10, ..Allocation::default() };
        let marks = marked(&map, 10, &[(19, 2), (95, 1000), (50, 0)]);
        let touched: Vec<_> = (0..10).filter(|index| marks[*index]).collect();
        assert_eq!(touched, [1, 2, 9]);
    }
}
