//! `rehome formats`

use crate::output::{Printer, table};
use format_all::FORMATS;
use format_core::Result;
use serde::Serialize;
use std::process::ExitCode;

#[derive(Serialize)]
struct Row {
    name: &'static str,
    aliases: &'static [&'static str],
    extensions: &'static [&'static str],
    description: &'static str,
    read: bool,
    /// Whether it is read from a pipe without a temporary file.
    stream: bool,
    /// Whether it can hold several disks, or more than a disk.
    several_disks: bool,
    points_in_time: bool,
    write: bool,
    /// Whether `delta` can write it.
    write_difference: bool,
    check: bool,
    /// For a format that is only recognised: how to get at the disk.
    way_out: Option<&'static str>,
    options: Vec<OptionRow>,
}

#[derive(Serialize)]
struct OptionRow {
    key: &'static str,
    values: &'static str,
    default: &'static str,
    help: &'static str,
}

pub(crate) fn run(printer: &Printer) -> Result<ExitCode> {
    let rows: Vec<Row> = FORMATS
        .iter()
        .map(|format| Row {
            name: format.name,
            aliases: format.aliases,
            extensions: format.extensions,
            description: format.description,
            read: format.is_readable(),
            stream: format.open_stream.is_some() || format.unpack.is_some(),
            several_disks: format.open_container.is_some(),
            points_in_time: format.has_points,
            write: format.create.is_some(),
            write_difference: format.can_differ,
            check: format.check.is_some() || format.open_container.is_some(),
            way_out: format.way_out,
            options: format
                .create_options
                .iter()
                .map(|o| OptionRow { key: o.key, values: o.values, default: o.default, help: o.help })
                .collect(),
        })
        .collect();
    printer.result(&rows, |rows| human(rows))?;
    Ok(ExitCode::SUCCESS)
}

fn human(rows: &[Row]) -> String {
    let yes = |yes: bool| if yes { "yes" } else { "-" }.to_owned();
    let mut lines =
        vec![["FORMAT", "READ", "WRITE", "DELTA", "CHECK", "EXTENSIONS", ""].map(str::to_owned).to_vec()];
    for row in rows {
        let extensions = row.extensions.join(" ");
        let able = [row.read, row.write, row.write_difference, row.check].map(yes);
        let words = [extensions, row.description.to_owned()];
        lines.push(std::iter::once(row.name.to_owned()).chain(able).chain(words).collect());
    }
    let mut text = table(&lines);
    for row in rows.iter().filter(|row| !row.options.is_empty()) {
        text.push_str(&format!("\nOptions of {} (-o KEY=VALUE)\n", row.name));
        let options = row.options.iter();
        let cells = options
            .map(|o| vec![o.key.into(), o.values.into(), format!("default {}", o.default), o.help.into()]);
        text.push_str(&table(&cells.collect::<Vec<_>>()));
    }
    text
}
