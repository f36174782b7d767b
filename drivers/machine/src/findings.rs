//! What a reader gathers on its way: warnings, and where each value came from.

use std::collections::BTreeMap;

use crate::error::shown;
use crate::validate::{is_refused, name_fault, plain_text_fault};
use crate::{MacAddress, Warning};

/// More say nothing new; a hostile description could ask for any number.
const MAX_WARNINGS: usize = 200;

/// Longest notes of a machine, in characters.
const MAX_NOTES: usize = 1024;

/// Warnings and provenance of one machine.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub warnings: Vec<Warning>,
    pub provenance: BTreeMap<String, String>,
}

impl Findings {
    /// Adds a warning, once.
    pub(crate) fn warn(&mut self, code: &'static str, message: impl Into<String>) {
        let warning = Warning::new(code, message);
        if self.warnings.len() < MAX_WARNINGS && !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// Notes the fact a field was taken from.
    pub(crate) fn known(&mut self, field: impl Into<String>, from: impl Into<String>) {
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

    /// Foreign text as a value of the model, or a warning that it was left out.
    pub(crate) fn text(&mut self, code: &'static str, what: &str, text: Option<&str>) -> Option<String> {
        let text = text?.trim();
        if text.is_empty() {
            return None;
        }
        match plain_text_fault(text) {
            None => Some(text.to_owned()),
            Some(fault) => {
                self.warn(code, format!("{what} is left out: {fault}"));
                None
            }
        }
    }

    /// Foreign text as the machine's name, or `fallback` with a warning.
    pub(crate) fn name(&mut self, code: &'static str, text: Option<&str>, fallback: &str) -> String {
        let text = text.map(str::trim).unwrap_or_default();
        match name_fault(text) {
            None => text.to_owned(),
            Some(fault) => {
                self.warn(code, format!("the name {fault}; the machine is called {}", shown(fallback)));
                fallback.to_owned()
            }
        }
    }

    /// A hardware address, or a warning that the target chooses one. `seen` holds the addresses before it.
    pub(crate) fn mac(
        &mut self,
        code: &'static str,
        which: &str,
        text: Option<&str>,
        seen: &[crate::Nic],
    ) -> Option<MacAddress> {
        let text = text?.trim();
        match text.parse::<MacAddress>() {
            Ok(mac) if seen.iter().any(|nic| nic.mac == Some(mac)) => {
                self.warn(code, format!("{which}: {mac} is used twice; the target chooses another"));
                None
            }
            Ok(mac) => Some(mac),
            Err(fault) => {
                self.warn(code, format!("{which}: {fault}; the target chooses one"));
                None
            }
        }
    }
}
