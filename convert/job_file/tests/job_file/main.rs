//! Job files as people write them, and as nobody should.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod commands;
mod conflicts;
mod emitted;
mod errors;
mod hostile;
mod notations;
mod plans;
mod shards;

use convert_job_file::{Fault, JobFile, Notation, Resolved, Text};

/// The environment of all tests.
pub(crate) fn environment(name: &str) -> Option<String> {
    match name {
        "ROOT" => Some("/srv".into()),
        "JOBS" => Some("7".into()),
        "EMPTY" => Some(String::new()),
        "ODD" => Some("a $b ${c} \"d\"".into()),
        _ => None,
    }
}

pub(crate) fn text(notation: Notation, content: &str) -> Text {
    let name = if notation == Notation::Toml { "jobs.toml" } else { "jobs.yaml" };
    Text { name: name.into(), folder: "/batch".into(), notation, content: content.into() }
}

pub(crate) fn parse(notation: Notation, content: &str) -> Result<JobFile, Fault> {
    JobFile::parse(text(notation, content), &environment)
}

pub(crate) fn resolve(notation: Notation, content: &str) -> Result<Resolved, Fault> {
    parse(notation, content)?.resolve()
}

pub(crate) fn toml(content: &str) -> Resolved {
    resolve(Notation::Toml, &format!("version = 1\n{content}")).unwrap()
}

/// The words of the job's command, as text.
pub(crate) fn words(resolved: &Resolved, job: usize) -> Vec<String> {
    resolved.jobs[job].command().into_iter().map(|word| word.into_string().unwrap()).collect()
}
