//! `rehome explain`

use crate::args::ExplainArgs;
use crate::output::Printer;
use convert_doctor::explain::{self, Explanation};
use format_core::{Error, Result};
use std::process::ExitCode;

pub(crate) fn run(args: &ExplainArgs, printer: &Printer) -> Result<ExitCode> {
    let found = match &args.code {
        None => explain::all(),
        Some(code) => explain::find(code),
    };
    if let (Some(code), true) = (&args.code, found.is_empty()) {
        let like = explain::like(code);
        let error = Error::usage(format!("there is no code {code:?}"));
        return Err(match like.is_empty() {
            true => error.hint("'rehome explain' lists all of them"),
            false => error.hint(format!("perhaps {}; 'rehome explain' lists all of them", like.join(", "))),
        });
    }
    printer.result(&found, |found| match args.code {
        None => found.iter().map(line).collect(),
        Some(_) => found.iter().map(page).collect::<Vec<_>>().join("\n"),
    })?;
    Ok(ExitCode::SUCCESS)
}

fn line(one: &Explanation) -> String {
    let exit = one.exit_code.map(|code| code.to_string()).unwrap_or_default();
    format!("{:<28} {exit:>3}  {}\n", one.code, one.cause)
}

fn page(one: &Explanation) -> String {
    let mut text = format!("{} ({})\n", one.code, one.severity);
    let mut row = |name: &str, value: &str| text.push_str(&format!("  {name:<12}{value}\n"));
    row("cause", &one.cause);
    row("next step", one.next_step);
    if let Some(stage) = one.stage {
        row("stage", stage);
    }
    if let (Some(exit), Some(kind)) = (one.exit_code, one.kind) {
        row("exit code", &format!("{exit} ({kind})"));
    }
    if let Some(batch) = one.batch {
        row("batches", batch);
    }
    for alias in &one.aliases {
        let name = alias.name.map(|name| format!(" {name}")).unwrap_or_default();
        let doubt = if alias.same { "" } else { ", the nearest: its maker publishes no list" };
        row("also", &format!("{}{name} of {}{doubt}", alias.number, alias.product));
    }
    text
}
