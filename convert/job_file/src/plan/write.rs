//! A plan as TOML that reads back to the same jobs.

use super::{Plan, PlannedJob};
use format_core::{Error, Result};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The plan as a job file, with comments for who edits it.
///
/// # Errors
/// `Usage` for paths that are not UTF-8, which no job file can name.
pub fn write(plan: &Plan) -> Result<String> {
    let mut text = String::from(
        "# A job file of rehome. 'rehome batch schema' prints the schema of what can be said here.\n\
         # Look through it, then: rehome batch check FILE; rehome batch run FILE\n",
    );
    plan.comments.iter().for_each(|line| comment(&mut text, line));
    if !plan.skipped.is_empty() {
        text.push_str("#\n# Not taken:\n");
        plan.skipped
            .iter()
            .for_each(|(path, why)| comment(&mut text, &format!("  {} {why}", path.display())));
    }
    text.push_str("version = 1\n");
    if let Some(output) = &plan.wish.output {
        text.push_str("\n[batch]\n# Must exist. Each job writes into a folder of its own there.\n");
        field(&mut text, "output", &path(output)?);
    }
    text.push_str("\n[defaults]\n");
    if let Some(to) = plan.wish.to {
        field(&mut text, "to", &quoted(to.word()));
        text.push_str("# network_map = { \"VM Network\" = \"LAN\", \"*\" = \"LAN\" }\n");
    }
    if let Some(format) = &plan.wish.target_format {
        field(&mut text, "target_format", &quoted(format));
        field(&mut text, "verify", "true");
    }
    for job in &plan.jobs {
        text.push_str("\n[[job]]\n");
        write_job(&mut text, job)?;
    }
    Ok(text)
}

fn write_job(text: &mut String, job: &PlannedJob) -> Result<()> {
    job.comments.iter().for_each(|line| comment(text, line));
    field(text, "id", &quoted(&job.id));
    job.title.iter().for_each(|title| field(text, "title", &quoted(title)));
    field(text, "source", &paths(&job.sources)?);
    match &job.format {
        Some(format) => field(text, "format", &quoted(format)),
        None => text.push_str("# format = \"…\"  pins what the source is\n"),
    }
    if !job.machine.is_empty() {
        field(text, "machine", &paths(&job.machine)?);
    }
    job.to.iter().for_each(|to| field(text, "to", &quoted(to.word())));
    job.firmware.iter().for_each(|firmware| field(text, "firmware", &quoted(firmware.word())));
    if !job.networks.is_empty() {
        let pairs: Vec<_> =
            job.networks.iter().map(|(from, to)| format!("{} = {}", key(from), quoted(to))).collect();
        field(text, "network_map", &format!("{{ {} }}", pairs.join(", ")));
    }
    if !job.key_file.is_empty() {
        field(text, "key_file", &paths(&job.key_file)?);
    }
    job.wave.iter().for_each(|wave| field(text, "wave", &wave.to_string()));
    job.priority.iter().for_each(|priority| field(text, "priority", &priority.to_string()));
    if let Some(output) = &job.output {
        field(text, "output", &path(output)?);
    }
    Ok(())
}

fn field(text: &mut String, name: &str, value: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{name} = {value}");
}

/// Names of files come in here: nothing of them ends the line.
fn comment(text: &mut String, line: &str) {
    let line: String = line.chars().map(|c| if format_core::steers(c) { '\u{fffd}' } else { c }).collect();
    let _ = writeln!(text, "# {line}");
}

/// A basic string. A dollar would begin a variable.
fn quoted(value: &str) -> String {
    key(&value.replace('$', "$$"))
}

fn key(value: &str) -> String {
    let mut text = String::from("\"");
    for c in value.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            c if c.is_control()
                || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                let _ = write!(text, "\\u{:04X}", u32::from(c));
            }
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

fn path(path: &Path) -> Result<String> {
    let text = path.to_str().ok_or_else(|| {
        Error::usage(format!("the name {} is not UTF-8, and job files are", path.display()))
            .hint("rename the file, or make a link to it")
    })?;
    Ok(quoted(text))
}

fn paths(list: &[PathBuf]) -> Result<String> {
    match list {
        [one] => path(one),
        several => {
            let quoted: Result<Vec<_>> = several.iter().map(|one| path(one)).collect();
            Ok(format!("[{}]", quoted?.join(", ")))
        }
    }
}
