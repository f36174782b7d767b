//! Reports as pages: one file each, without scripts and without anything from elsewhere.
//!
//! What browsers may do with a page is in the page: its policy allows the one style sheet, by its hash, and images within the page. Foreign
//! text gets there through `Shown` alone.

mod batch;
mod charts;
mod job;
mod maps;
mod sections;
mod timeline;

use crate::batch::BatchReport;
use crate::model::{JobReport, State};
use crate::wording::{shown, shown_lines};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, Render, html};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Colours for light and dark, a layout for phones, desks and paper.
const STYLE: &str = include_str!("style.css");

/// A larger screenshot is not put into a page.
const MOST_SHOT: u64 = 2 << 20;

/// The page of one job. Paths in the report are those seen from `folder`, its own: the screenshot of a boot test is read from there.
#[must_use]
pub fn job(report: &JobReport, folder: &Path) -> String {
    job::page(report, folder).into_string()
}

/// The page of a batch; see [`job`].
#[must_use]
pub fn batch(report: &BatchReport, folder: &Path) -> String {
    batch::page(report, folder).into_string()
}

/// Foreign text: what could steer is made visible, and what means something in HTML is escaped.
struct Shown<'a>(&'a str);

impl Render for Shown<'_> {
    fn render_to(&self, buffer: &mut String) {
        shown(self.0).as_str().render_to(buffer);
    }
}

/// The same with its line breaks.
struct Lines<'a>(&'a str);

impl Render for Lines<'_> {
    fn render_to(&self, buffer: &mut String) {
        shown_lines(self.0).as_str().render_to(buffer);
    }
}

/// A page around its parts.
fn frame(title: &str, head: &Markup, body: &Markup, foot: &Markup) -> Markup {
    let hash = BASE64_STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; img-src data:; base-uri 'none'; form-action 'none'"
    );
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width,initial-scale=1";
                meta name="referrer" content="no-referrer";
                meta name="color-scheme" content="light dark";
                title { (Shown(title)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header.top { (head) }
                main { (body) }
                footer { (foot) }
            }
        }
    }
}

/// The class that gives a state its colour.
fn tone(state: State) -> &'static str {
    match state {
        State::Waiting => "t-waiting",
        State::Running => "t-running",
        State::Done => "t-done",
        State::Failed => "t-failed",
        State::Held => "t-held",
        State::Interrupted => "t-interrupted",
        State::Cancelled => "t-cancelled",
    }
}

/// The same for a shape.
fn fill(state: State) -> &'static str {
    match state {
        State::Waiting => "f-waiting",
        State::Running => "f-running",
        State::Done => "f-done",
        State::Failed => "f-failed",
        State::Held => "f-held",
        State::Interrupted => "f-interrupted",
        State::Cancelled => "f-cancelled",
    }
}

/// A state in its colour; the word alone says it, too.
fn badge(state: State) -> Markup {
    html! { span.badge.(tone(state)) { (state.word()) } }
}

/// The verdict of a page.
fn verdict(state: State, says: &str, more: &Markup) -> Markup {
    html! {
        div.verdict.(tone(state)) {
            p.say { (Shown(says)) }
            (more)
        }
    }
}

/// A PNG file as part of the page. What is no PNG file, no file, or very large is left out: the report can come from anyone.
fn picture(folder: &Path, path: &str) -> Option<String> {
    let path = folder.join(path);
    if !path.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MOST_SHOT + 1).read_to_end(&mut bytes).ok()?;
    let is_png = bytes.starts_with(b"\x89PNG\r\n\x1a\n") && bytes.len() as u64 <= MOST_SHOT;
    is_png.then(|| format!("data:image/png;base64,{}", BASE64_STANDARD.encode(bytes)))
}
