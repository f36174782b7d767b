//! `rehome ls`

use super::look::{found, mode_text, tree};
use crate::args::LsArgs;
use crate::output::{Printer, safe, table};
use driver_core::{FileKind, FileMeta, GuestTree};
use format_core::{Result, Warning};
use serde::Serialize;
use std::process::ExitCode;

#[derive(Serialize)]
struct Outcome {
    path: String,
    entries: Vec<Row>,
    warnings: Vec<Warning>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    kind: FileKind,
    /// `None` for a name that cannot be opened.
    #[serde(flatten)]
    facts: Option<Facts>,
    /// Where a link points.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
}

#[derive(Serialize)]
struct Facts {
    #[serde(skip)]
    text: String,
    /// Octal.
    mode: String,
    uid: u32,
    gid: u32,
    size: u64,
    inode: u64,
}

impl Facts {
    fn of(meta: &FileMeta) -> Self {
        let FileMeta { mode, uid, gid, size, inode, .. } = *meta;
        Self { text: mode_text(meta), mode: format!("{mode:04o}"), uid, gid, size, inode }
    }
}

pub(crate) fn run(args: &LsArgs, printer: &Printer) -> Result<ExitCode> {
    let (tree, warnings) = tree(&args.place, printer)?;
    let meta = found(&tree, &args.path).or_else(|error| match tree.link_metadata(&args.path) {
        // A link to nothing is something to list.
        Ok(Some(meta)) => Ok(meta),
        _ => Err(error),
    })?;
    let mut entries = Vec::new();
    if meta.kind == FileKind::Folder {
        for entry in tree.read_dir(&args.path)? {
            let path = format!("{}/{}", args.path.trim_end_matches('/'), entry.name);
            entries.push(row(&tree, entry.name, entry.kind, &path));
        }
    } else {
        let name = args.path.trim_end_matches('/').to_owned();
        entries.push(row(&tree, name, meta.kind, &args.path));
    }
    let outcome = Outcome { path: args.path.clone(), entries, warnings };
    printer.result(&outcome, human)?;
    Ok(ExitCode::SUCCESS)
}

/// One that cannot be looked at is listed all the same: the others count.
fn row(tree: &GuestTree, name: String, kind: FileKind, path: &str) -> Row {
    let meta = tree.link_metadata(path).ok().flatten();
    let kind = meta.map_or(kind, |meta| meta.kind);
    let target = if kind == FileKind::Link { tree.read_link(path).ok() } else { None };
    Row { name, kind, facts: meta.as_ref().map(Facts::of), target }
}

fn human(outcome: &Outcome) -> String {
    let cells = |row: &Row| {
        let name = safe(&row.name);
        let name =
            row.target.as_ref().map_or_else(|| name.clone(), |target| format!("{name} -> {}", safe(target)));
        let facts = match &row.facts {
            Some(facts) => {
                [facts.text.clone(), facts.uid.to_string(), facts.gid.to_string(), facts.size.to_string()]
            }
            None => ["cannot be opened", "-", "-", "-"].map(str::to_owned),
        };
        facts.into_iter().chain([name]).collect()
    };
    table(&outcome.entries.iter().map(cells).collect::<Vec<_>>())
}
