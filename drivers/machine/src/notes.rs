//! What a reader gathers beside the machine itself.

use std::collections::BTreeMap;

use crate::Warning;
use crate::validate::is_refused;

/// Longest notes of a machine, in characters.
const MAX_NOTES: usize = 1024;

/// Warnings, and where each field of the machine was known from.
#[derive(Default)]
pub(crate) struct Notes {
    pub(crate) warnings: Vec<Warning>,
    pub(crate) provenance: BTreeMap<String, String>,
}

impl Notes {
    pub(crate) fn warn(&mut self, code: &'static str, message: impl Into<String>) {
        self.warnings.push(Warning::new(code, message));
    }

    pub(crate) fn known(&mut self, field: &str, from: impl Into<String>) {
        let from: String = from.into();
        self.provenance.insert(field.into(), from.chars().flat_map(char::escape_debug).take(200).collect());
    }

    /// Foreign text of several lines as the one line of [`crate::Machine::notes`]; what is cut is a warning.
    pub(crate) fn one_line(&mut self, code: &'static str, text: &str) -> Option<String> {
        let spaced: String = text.chars().map(|c| if is_refused(c) { ' ' } else { c }).collect();
        let words = spaced.split(' ').filter(|word| !word.is_empty());
        let line: String = words.collect::<Vec<_>>().join(" ");
        if line.chars().count() > MAX_NOTES {
            self.warn(code, format!("the notes are cut after {MAX_NOTES} characters"));
        }
        let line: String = line.chars().take(MAX_NOTES).collect();
        (!line.is_empty()).then_some(line)
    }
}
