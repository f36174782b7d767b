//! Reports as one page of plain text, for mail and terminals: at most 60 lines of 80 columns, the first of them the verdict.

use crate::batch::{BatchReport, Totals};
use crate::model::{DiskReport, JobReport, State};
use crate::wording::{ORDER, counted, duration, grouped, moment, rate, shown};
use format_core::units::format_size;
use std::collections::BTreeMap;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Lines of the page.
const LINES: usize = 60;
/// Columns of the page.
const COLUMNS: usize = 80;
/// A sentence of somebody else's takes no more lines than this.
const MOST_WRAPPED: usize = 3;
/// Where facts begin.
const INDENT: usize = 12;

/// A page that is filled from above. What does not fit is counted by those who fill it.
#[derive(Default)]
struct Page {
    lines: Vec<String>,
}

impl Page {
    fn line(&mut self, text: &str) {
        if self.lines.len() < LINES {
            self.lines.push(fit(text, COLUMNS));
        }
    }

    fn left(&self) -> usize {
        LINES.saturating_sub(self.lines.len())
    }

    fn heading(&mut self, text: &str) {
        if self.left() > 2 {
            self.line("");
            self.line(text);
        }
    }

    /// A name and what is to be said about it.
    fn fact(&mut self, name: &str, value: &str) {
        let indent = " ".repeat(INDENT);
        for (index, line) in wrapped(value, COLUMNS - INDENT).iter().enumerate() {
            let start = if index == 0 { format!("{name:<INDENT$}") } else { indent.clone() };
            self.line(&format!("{start}{line}"));
        }
    }

    fn text(self) -> String {
        self.lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
    }
}

/// `text` cut to `width` columns.
fn fit(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut used = 0;
    let fitting = text.chars().take_while(|c| {
        used += c.width().unwrap_or(0);
        used < width
    });
    fitting.collect::<String>() + "…"
}

/// Foreign text in a few lines; a word that is longer than a line is broken.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let text = shown(text);
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let mut word = word;
        while !word.is_empty() {
            let Some(line) = lines.last_mut() else { break };
            let space = usize::from(!line.is_empty());
            let room = width.saturating_sub(line.width() + space);
            if word.width() <= room {
                line.push_str(if space == 1 { " " } else { "" });
                line.push_str(word);
                break;
            }
            if space == 1 {
                lines.push(String::new());
                continue;
            }
            let (piece, rest) = split(word, width);
            line.push_str(piece);
            word = rest;
            lines.push(String::new());
        }
    }
    lines.retain(|line| !line.is_empty());
    if lines.len() > MOST_WRAPPED {
        lines.truncate(MOST_WRAPPED);
        if let Some(last) = lines.last_mut() {
            *last = fit(&format!("{last} …"), width);
        }
    }
    lines
}

/// The part of a word that fits, at least one character of it, and the rest.
fn split(word: &str, width: usize) -> (&str, &str) {
    let mut used = 0;
    let at = word.char_indices().skip(1).find(|(at, _)| {
        used = word.get(..*at).map_or(0, UnicodeWidthStr::width);
        let next = word.get(*at..).and_then(|rest| rest.chars().next()).and_then(char::width).unwrap_or(0);
        used + next > width
    });
    word.split_at(at.map_or(word.len(), |(at, _)| at))
}

fn verdict(state: State, headline: &str) -> String {
    format!("{}: {}", state.word().to_uppercase(), shown(headline))
}

/// The page of one job.
#[must_use]
pub fn job(report: &JobReport) -> String {
    let mut page = Page::default();
    page.line(&verdict(report.state, &report.headline()));
    page.line("");
    if report.state.needs_attention() {
        trouble(&mut page, report);
    } else if let Some(advice) = report.advice() {
        page.fact("Next", &advice);
    }
    job_facts(&mut page, report);
    if !report.disks.is_empty() {
        page.heading("Disks");
        let shown = report.disks.iter().take(6);
        shown.for_each(|disk| disk_lines(&mut page, disk));
        more(&mut page, report.disks.len(), 6, "disk");
    }
    let done: Vec<_> = report.fixups.iter().filter(|fixup| fixup.status == "planned").collect();
    if !done.is_empty() {
        page.heading(if report.dry_run || report.state != State::Done { "Planned" } else { "Changed" });
        done.iter().take(12).for_each(|fixup| {
            page.line(&format!("  {} ({})", shown(&fixup.title), counted(fixup.edits, "change")));
        });
        more(&mut page, done.len(), 12, "fixup");
    }
    if !report.warnings.is_empty() {
        page.heading("Warnings");
        report.warnings.iter().take(6).for_each(|warning| page.fact("  -", &warning.message));
        more(&mut page, report.warnings.len(), 6, "warning");
    }
    page.text()
}

fn job_facts(page: &mut Page, report: &JobReport) {
    report.sources.iter().take(4).for_each(|source| page.fact("Source", source));
    if let Some(guest) = &report.guest {
        page.fact("Guest", &guest.name);
    }
    if let Some(platform) = &report.platform {
        page.fact("Goes to", platform);
    }
    if let Some(target) = &report.target {
        page.fact("Written to", target);
    }
    if let Some(began) = report.attempts.first().and_then(|attempt| attempt.began.as_deref()) {
        page.fact("Began", &moment(began));
    }
    if let Some(took) = report.duration() {
        let speed = rate(report.data_bytes(), took).map(|rate| format!(", {rate}")).unwrap_or_default();
        page.fact("Took", &format!("{}{speed}", duration(took)));
    }
    if let Some(test) = &report.boot_test {
        page.fact("Boot test", &format!("{}: {}", test.verdict, test.about));
    }
}

fn disk_lines(page: &mut Page, disk: &DiskReport) {
    let data = disk.data_bytes.map(|bytes| format!(", {} of data", format_size(bytes))).unwrap_or_default();
    let format = shown(&disk.target_format);
    page.line(&format!("  {} ({format}, {}{data})", shown(&disk.target), format_size(disk.virtual_size)));
    if let Some(digest) = &disk.digest {
        page.line(&format!("    {}", shown(digest)));
        page.line(&format!("    {}", disk.proof_words()));
    }
}

/// Why, and what next.
fn trouble(page: &mut Page, job: &JobReport) {
    if let Some(cause) = job.cause() {
        page.fact("Cause", &cause);
    }
    if let Some(advice) = job.advice() {
        page.fact("Next", &advice);
    }
    if let Some(code) = job.exit_code {
        page.fact("Exit code", &code.to_string());
    }
}

fn more(page: &mut Page, all: usize, shown: usize, noun: &str) {
    if let Some(rest) = all.checked_sub(shown).filter(|rest| *rest > 0) {
        page.line(&format!("  … {}", counted(rest as u64, &format!("more {noun}"))));
    }
}

/// The page of a batch.
#[must_use]
pub fn batch(report: &BatchReport) -> String {
    let totals = Totals::of(&report.jobs);
    let mut page = Page::default();
    page.line(&verdict(report.state(), &report.headline()));
    page.line("");
    page.fact("Batch", report.name());
    if let Some(began) = &report.began {
        let until = report.ended.as_ref().map(|ended| format!(" until {}", moment(ended)));
        page.fact("Time", &format!("{}{}", moment(began), until.unwrap_or_else(|| ", not ended".into())));
    }
    if let Some(host) = &report.host {
        page.fact("Host", &format!("{host}, {}", report.tool));
    }
    let count = |state: &State| totals.count(*state);
    for state in ORDER.iter().rev().filter(|state| count(state) > 0) {
        page.line(&format!("  {:<15} {:>7}", state.word(), grouped(count(state))));
    }
    if totals.disks > 0 {
        page.fact(
            "Written",
            &format!(
                "{}, {} of data in {} of image files",
                counted(totals.disks, "disk"),
                format_size(totals.data_bytes),
                format_size(totals.written_bytes)
            ),
        );
    }
    if let Some((began, ended)) = report.span() {
        let speed = rate(totals.data_bytes, ended - began).map(|rate| format!(", {rate}"));
        page.fact("Took", &format!("{}{}", duration(ended - began), speed.unwrap_or_default()));
    }
    attention(&mut page, report);
    warnings(&mut page, report);
    page.text()
}

fn attention(page: &mut Page, report: &BatchReport) {
    let mut jobs: Vec<_> = report.jobs.iter().filter(|job| job.state.needs_attention()).collect();
    if jobs.is_empty() {
        return;
    }
    jobs.sort_by_key(|job| ORDER.iter().position(|state| *state == job.state));
    page.heading("What to do");
    // The warnings below get six lines.
    let mut told = 0;
    for job in &jobs {
        if page.left() < 16 {
            break;
        }
        page.line(&format!("  {} {}", shown(job.name()), job.state.word()));
        for (name, text) in [("    cause", job.cause()), ("    next", job.advice())] {
            if let Some(text) = text {
                page.fact(name, &text);
            }
        }
        told += 1;
    }
    more(page, jobs.len(), told, "job");
    if let Some(retry) = &report.retry {
        page.fact("Then run", retry);
    }
}

fn warnings(page: &mut Page, report: &BatchReport) {
    let mut codes: BTreeMap<&str, u64> = BTreeMap::new();
    report
        .jobs
        .iter()
        .flat_map(|job| &job.warnings)
        .for_each(|warning| *codes.entry(&warning.code).or_default() += 1);
    if codes.is_empty() {
        return;
    }
    let mut codes: Vec<_> = codes.into_iter().collect();
    codes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    page.heading("Warnings");
    codes
        .iter()
        .take(5)
        .for_each(|(code, count)| page.line(&format!("  {:>7}  {}", grouped(*count), shown(code))));
    more(page, codes.len(), 5, "kind");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_words_are_broken_and_long_texts_cut() {
        assert_eq!(wrapped("aa bb cc", 5), ["aa bb", "cc"]);
        assert_eq!(wrapped("abcdefgh ij", 5), ["abcde", "fgh", "ij"]);
        assert_eq!(wrapped("漢字漢字", 5), ["漢字", "漢字"]);
        assert_eq!(wrapped("a b c d e", 1), ["a", "b", "…"]);
        assert_eq!(wrapped("", 9), [""; 0]);
        assert_eq!(fit("漢字漢字", 5), "漢字…");
    }
}
