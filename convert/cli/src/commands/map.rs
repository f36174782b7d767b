//! `rehome map`

use crate::args::MapArgs;
use crate::output::{Printer, safe, to_stdout};
use format_core::{Error, ExtentKind, MapEntry, OpenedImage, Result, open_image};
use serde::Serialize;
use std::process::ExitCode;

/// One run, with the keys of `qemu-img map --output json`.
#[derive(Serialize)]
struct Row {
    start: u64,
    length: u64,
    depth: usize,
    present: bool,
    zero: bool,
    data: bool,
    compressed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(skip)]
    file: String,
}

impl Row {
    fn new(entry: &MapEntry, opened: &OpenedImage) -> Self {
        let file = opened.chain.get(entry.depth).map(|link| link.path.display().to_string());
        Self {
            start: entry.offset,
            length: entry.len,
            depth: entry.depth,
            present: entry.kind != ExtentKind::Unallocated,
            zero: entry.kind != ExtentKind::Data,
            data: entry.kind == ExtentKind::Data,
            compressed: entry.is_compressed,
            offset: entry.host_offset,
            file: file.unwrap_or_default(),
        }
    }

    /// Whether `next` only goes on with this run.
    fn joins(&self, next: &Self) -> bool {
        let what = |row: &Self| (row.depth, row.present, row.zero, row.compressed);
        what(self) == what(next) && self.offset.map(|at| at + self.length) == next.offset
    }
}

pub(crate) fn run(args: &MapArgs, printer: &Printer) -> Result<ExitCode> {
    let opened = open_image(&args.image, &args.open.options()?)?;
    printer.warnings(&opened.warnings);
    // A map of a large disk is long. It is printed as it is found, so it is walked once before: what is printed is whole.
    walk(&opened, |_| Ok(()))?;
    if !printer.is_json() {
        to_stdout(&format!("{:<18} {:<18} {:<18} File\n", "Offset", "Length", "Mapped to"))?;
        walk(&opened, |row| if row.data { to_stdout(&human(row)) } else { Ok(()) })?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut before = "[\n  ";
    walk(&opened, |row| {
        let json = serde_json::to_string(row)
            .map_err(|e| Error::contract("the result cannot be written as JSON").with_source(e))?;
        to_stdout(&format!("{before}{json}"))?;
        before = ",\n  ";
        Ok(())
    })?;
    to_stdout(if before.starts_with('[') { "[]\n" } else { "\n]\n" })?;
    Ok(ExitCode::SUCCESS)
}

/// Visits the runs of the disk, joined where they only go on.
fn walk(opened: &OpenedImage, mut visit: impl FnMut(&Row) -> Result<()>) -> Result<()> {
    let mut pending: Option<Row> = None;
    let mut at = 0;
    while at < opened.disk.virtual_size() {
        let entry = opened.disk.map_at(at)?;
        at += entry.len;
        let row = Row::new(&entry, opened);
        match &mut pending {
            Some(last) if last.joins(&row) => last.length += row.length,
            _ => {
                if let Some(row) = pending.replace(row) {
                    visit(&row)?;
                }
            }
        }
    }
    pending.iter().try_for_each(visit)
}

fn human(row: &Row) -> String {
    let place = match row.offset {
        Some(offset) => format!("{offset:#x}"),
        None if row.compressed => "compressed".into(),
        None => "encoded".into(),
    };
    format!("{:<#18x} {:<#18x} {place:<18} {}\n", row.start, row.length, safe(&row.file))
}
