//! Reading a job file: text, values, variables, model.

use crate::decode::DecodeError;
use crate::fault::{Fault, Result};
use crate::model::{Model, Words};
use crate::node::{MOST_NODES, Node, Value};
use crate::notation;
use crate::secrets;
use crate::text::{Notation, Text};
use crate::variables::{self, Environment};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

/// The notation that this program reads.
pub const VERSION: u32 = 1;

/// What only a job itself can say.
const NOT_FOR_ALL: [&str; 5] = ["id", "title", "source", "output", "target"];

/// A job file that was understood. Each job already has what the defaults say.
#[derive(Clone, Debug)]
pub struct JobFile {
    /// What it says.
    pub model: Model,
    /// The text it was read from.
    pub text: Text,
    /// The variables that it uses, and what they were.
    pub variables: BTreeMap<String, String>,
    tree: Node,
    /// The fields that each job says itself.
    own: Vec<BTreeSet<String>>,
}

impl JobFile {
    /// Reads the file at `path`, with variables of the process's environment; `-` is stdin.
    ///
    /// # Errors
    /// What [`Text::read`] and [`JobFile::parse`] say.
    pub fn read(path: &Path, notation: Option<Notation>) -> Result<Self> {
        let environment = |name: &str| std::env::var(name).ok();
        Self::parse(Text::read(path, notation)?, &environment)
    }

    /// Understands `text`.
    ///
    /// # Errors
    /// `Usage` with the place of what is wrong, `Limit` where it is too much.
    pub fn parse(text: Text, environment: Environment<'_>) -> Result<Self> {
        let mut tree = notation::parse(&text)?;
        secrets::refuse(&text, &tree)?;
        check_version(&text, &tree)?;
        let variables = variables::expand(&text, &mut tree, environment)?;
        secrets::refuse(&text, &tree)?;
        check_defaults(&text, &tree)?;
        let given: Model = decode(&text, &tree)?;
        if given.job.is_empty() {
            return Err(Fault::at(&text, &(0..0), "the file has no job")
                .hint("begin one with [[job]] and source = \"FILE\""));
        }
        let own = inherit(&text, &mut tree)?;
        // Where the defaults do not fit, that was said before: this cannot fail but for what the two do together.
        let model = decode(&text, &tree)?;
        Ok(Self { model, text, variables, tree, own })
    }

    /// BLAKE3 of the text, in hexadecimal digits.
    #[must_use]
    pub fn digest(&self) -> String {
        blake3::hash(self.text.content.as_bytes()).to_hex().to_string()
    }

    /// Where the field `name` of the job stands, else the job.
    pub(crate) fn span(&self, job: usize, name: &str) -> Range<usize> {
        let job = self.tree.get("job").and_then(|jobs| jobs.items().get(job));
        let field = job.and_then(|job| job.get(name)).or(job);
        let span = field.map_or(0..0, |node| node.span.clone());
        // A whole table is marked by its first line.
        match field.map(|node| &node.value) {
            Some(Value::Map(_)) => span.start..span.start,
            _ => span,
        }
    }

    /// Whether the job says this itself, so that it means it.
    pub(crate) fn says(&self, job: usize, name: &str) -> bool {
        self.own.get(job).is_some_and(|own| own.contains(name))
    }

    /// A fault of that field.
    pub(crate) fn fault(&self, job: usize, name: &str, message: impl AsRef<str>) -> Fault {
        Fault::at(&self.text, &self.span(job, name), message)
    }
}

fn decode<'t, T: Deserialize<'t>>(text: &Text, tree: &'t Node) -> Result<T> {
    T::deserialize(tree).map_err(|DecodeError { span, message, hint }| {
        let fault = Fault::at(text, &span.unwrap_or_else(|| tree.span.clone()), message);
        match hint {
            Some(hint) => fault.hint(hint),
            None => fault,
        }
    })
}

/// Looked at first: what another version says otherwise is no mistake.
fn check_version(text: &Text, tree: &Node) -> Result<()> {
    if !matches!(tree.value, Value::Map(_)) {
        return Err(Fault::at(text, &(0..0), format!("a job file is a table, not {}", tree.kind())));
    }
    let Some(node) = tree.get("version") else {
        return Err(Fault::at(text, &(0..0), "the field \"version\" is missing")
            .hint("begin the file with version = 1"));
    };
    let number = match &node.value {
        Value::Int(number) => Some(*number),
        Value::Text { text, .. } => text.parse().ok(),
        _ => None,
    };
    match number {
        Some(1) => Ok(()),
        Some(other) => Err(Fault::at(text, &node.span, format!("version {other} of job files is not known"))
            .hint("this program reads version 1")
            .kind(format_core::ErrorKind::Unsupported)),
        None => Err(Fault::at(text, &node.span, "the version is a number").hint("write version = 1")),
    }
}

fn check_defaults(text: &Text, tree: &Node) -> Result<()> {
    let defaults = tree.get("defaults").map(Node::entries).unwrap_or_default();
    match defaults.iter().find(|(key, _)| NOT_FOR_ALL.contains(&key.name.as_str())) {
        Some((key, _)) => {
            Err(Fault::at(text, &key.span, format!("{:?} cannot be the same for all jobs", key.name))
                .hint("say it in each [[job]]"))
        }
        None => Ok(()),
    }
}

/// Gives each job what the defaults say and it does not. What each says itself comes back.
///
/// # Errors
/// `Limit` when the copies would be more values than a file may have.
fn inherit(text: &Text, tree: &mut Node) -> Result<Vec<BTreeSet<String>>> {
    let weight: usize = tree.get("defaults").map_or(0, Node::weight);
    let jobs = tree.get("job").map_or(0, |jobs| jobs.items().len());
    if weight.saturating_mul(jobs) > 4 * MOST_NODES {
        let span = tree.get("defaults").map_or(0..0, |defaults| defaults.span.clone());
        let message = format!("the defaults have {weight} values, too many for each of {jobs} jobs");
        return Err(Fault::at(text, &span, message).kind(format_core::ErrorKind::Limit));
    }
    let defaults = tree.get("defaults").map(Node::entries).unwrap_or_default().to_vec();
    let Value::Map(entries) = &mut tree.value else { return Ok(Vec::new()) };
    let Some((_, jobs)) = entries.iter_mut().find(|(key, _)| key.name == "job") else {
        return Ok(Vec::new());
    };
    let Value::List(jobs) = &mut jobs.value else { return Ok(Vec::new()) };
    let mut own = Vec::with_capacity(jobs.len());
    for job in jobs {
        let Value::Map(fields) = &mut job.value else { continue };
        let known: BTreeSet<String> = fields.iter().map(|(key, _)| key.name.clone()).collect();
        fields.extend(defaults.iter().filter(|(key, _)| !known.contains(&key.name)).cloned());
        own.push(known);
    }
    Ok(own)
}

/// The words of a field.
impl Words {
    /// As text.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}
