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
    write: bool,
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
            read: format.open_layer.is_some(),
            write: format.create.is_some(),
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
    let mut lines = vec![["FORMAT", "READ", "WRITE", "EXTENSIONS", ""].map(str::to_owned).to_vec()];
    for row in rows {
        let extensions = row.extensions.join(" ");
        lines.push(vec![row.name.into(), yes(row.read), yes(row.write), extensions, row.description.into()]);
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
