//! What install sections say, followed within bounds.
//!
//! Sections refer to sections, and many devices to the same ones: a small file can ask for very much work and memory. So
//! everything that is looked at or kept is charged.

use crate::inf::Inf;
use crate::lines::Line;
use crate::target::{Arch, decorated};
use format_core::{Error, ErrorKind, Result};
use std::collections::BTreeSet;

/// What one INF file may cost: bytes that are kept, and [`VISIT`] for every entry that is looked at.
pub(crate) const MAX_COST: usize = 32 << 20;
const VISIT: usize = 16;

/// Most notes that are kept of one INF file.
const MAX_NOTES: usize = 32;

pub(crate) struct Reader<'a> {
    pub(crate) inf: &'a Inf,
    pub(crate) arch: Arch,
    pub(crate) notes: Vec<String>,
    cost: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(inf: &'a Inf, arch: Arch) -> Self {
        Self { inf, arch, notes: Vec::new(), cost: 0 }
    }

    /// What was charged so far.
    pub(crate) fn cost(&self) -> usize {
        self.cost
    }

    pub(crate) fn charge(&mut self, bytes: usize) -> Result<()> {
        self.cost = self.cost.saturating_add(bytes);
        if self.cost <= MAX_COST {
            return Ok(());
        }
        let message =
            format!("its sections refer to each other for more than {} MiB of content", MAX_COST >> 20);
        Err(Error::new(ErrorKind::Limit, message).in_format("inf"))
    }

    /// Remembers something that could not be followed.
    pub(crate) fn note(&mut self, note: String) {
        if self.notes.len() < MAX_NOTES && !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// The entries of a section. `None`: there is none.
    pub(crate) fn section(&mut self, name: &str) -> Result<Option<&'a [Line]>> {
        let lines = self.inf.section(name);
        self.charge(VISIT * (1 + lines.map_or(0, <[Line]>::len)))?;
        Ok(lines)
    }

    /// The install section that Windows takes for `name`: that with the most exact platform extension.
    pub(crate) fn install_section(&self, name: &str) -> Option<String> {
        decorated(name, self.arch).into_iter().find(|name| self.inf.section(name).is_some())
    }

    /// The entries of a section and of those that it needs. What it needs of other INF files is noted: they are Windows'
    /// own. Needs are not nested, as documented.
    pub(crate) fn with_needs(&mut self, name: &str) -> Result<Vec<&'a Line>> {
        let Some(own) = self.section(name)? else { return Ok(Vec::new()) };
        let mut lines: Vec<&Line> = own.iter().collect();
        let mut seen = BTreeSet::from([name.to_lowercase()]);
        for needed in own.iter().filter(|line| line.is("Needs")).flat_map(|line| &line.fields) {
            self.charge(VISIT)?;
            if needed.is_empty() || !seen.insert(needed.to_lowercase()) {
                continue;
            }
            match self.section(needed)? {
                Some(more) => lines.extend(more),
                None => self.note(format!("[{name}] needs [{needed}], which is in an INF file of Windows")),
            }
        }
        Ok(lines)
    }

    /// All fields of all directives of that name, each spelling once.
    pub(crate) fn listed(&mut self, lines: &[&'a Line], directive: &str) -> Result<Vec<&'a str>> {
        let mut seen = BTreeSet::new();
        let mut listed = Vec::new();
        for field in lines.iter().filter(|line| line.is(directive)).flat_map(|line| &line.fields) {
            self.charge(VISIT)?;
            if !field.is_empty() && seen.insert(field.to_lowercase()) {
                listed.push(field.as_str());
            }
        }
        Ok(listed)
    }
}
