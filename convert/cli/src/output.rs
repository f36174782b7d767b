//! What goes to stdout and stderr, and with which exit code a run ends.

use crate::args::OutputKind;
use clap::error::ContextKind;
use convert_engine::Hashes;
use format_core::{Error, ErrorKind, Result, Warning, printable_json, printable_lines, steers};
use rustix::io::Errno;
use serde::Serialize;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

/// Prints results the way the operator asked for.
#[derive(Clone, Copy)]
pub(crate) struct Printer {
    kind: OutputKind,
    on_stderr: bool,
}

impl Printer {
    pub(crate) fn new(kind: OutputKind) -> Self {
        Self { kind, on_stderr: false }
    }

    /// The same, where stdout carries an image.
    pub(crate) fn on_stderr(&self) -> Self {
        Self { kind: self.kind, on_stderr: true }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.kind == OutputKind::Json
    }

    /// Prints `value` as JSON, or what `human` makes of it.
    pub(crate) fn result<T: Serialize>(&self, value: &T, human: impl FnOnce(&T) -> String) -> Result<()> {
        let text = match self.kind {
            // Its parts are `safe`; what was forgotten cannot steer a terminal either.
            OutputKind::Human => printable_lines(&human(value)),
            OutputKind::Json => {
                let json = serde_json::to_string_pretty(value)
                    .map_err(|e| Error::contract("the result cannot be written as JSON").with_source(e))?;
                printable_json(&json) + "\n"
            }
        };
        if self.on_stderr {
            to_stderr(text.trim_end_matches('\n'));
            return Ok(());
        }
        to_stdout(&text)
    }

    /// Tells people about `warnings` on stderr; in JSON they are part of the result.
    pub(crate) fn warnings(&self, warnings: &[Warning]) {
        if self.kind == OutputKind::Human {
            for warning in warnings {
                to_stderr(&format!("warning: {} [{}]", safe(&warning.message), warning.code));
            }
        }
    }

    /// Tells people about one warning, as [`Printer::warnings`] does.
    pub(crate) fn warning(&self, message: &str, code: &str) {
        if self.kind == OutputKind::Human {
            to_stderr(&format!("warning: {} [{code}]", safe(message)));
        }
    }

    /// Tells people about an error on stderr, and gives the next step where one is known.
    pub(crate) fn say(&self, error: &Error) -> Option<String> {
        to_stderr(&format!("error: {}", safe(&error.to_string())));
        let hint = hint_of(error);
        if let Some(hint) = &hint {
            to_stderr(&format!("\nhint: {}", safe(hint)));
        }
        // For people alone: what a program reads on stderr stays as it was, and its JSON has the code.
        if std::io::IsTerminal::is_terminal(&std::io::stderr()) {
            to_stderr(&format!("more: rehome explain {}", error.code().id));
        }
        hint
    }

    /// Prints the error where it belongs and gives its exit code.
    pub(crate) fn error(&self, error: &Error) -> ExitCode {
        let hint = self.say(error);
        let code = error.kind().exit_code();
        if self.kind == OutputKind::Json {
            print_error(error, hint.as_deref(), self.on_stderr);
        }
        ExitCode::from(code)
    }
}

/// Prints what is wrong with the arguments, or the help that was asked for. A program that asked for JSON gets its error
/// as JSON here too.
pub(crate) fn not_understood(error: &clap::Error, args: impl Iterator<Item = OsString>) -> ExitCode {
    let args: Vec<_> = args.collect();
    // Names of files that a shell put there: clap would repeat them as they are.
    if args.iter().any(|arg| arg.to_string_lossy().contains(steers)) && error.use_stderr() {
        to_stderr(&format!("error: {}\n\nFor more information, try '--help'.", without_text(error)));
    } else {
        // As with clap's own exit: nobody may be listening.
        let _ = error.print();
    }
    if !error.use_stderr() {
        return ExitCode::SUCCESS;
    }
    let is_json = args.iter().any(|arg| arg == "--output=json")
        || args.windows(2).any(|pair| pair[0] == "--output" && pair[1] == "json");
    if is_json {
        let text = error.to_string();
        let line = text.lines().next().unwrap_or_default();
        let message = line.strip_prefix("error: ").unwrap_or(line);
        // A lone dash: stdout was to carry an image.
        print_error(&Error::usage(message), None, args.iter().any(|arg| arg == "-"));
    }
    ExitCode::from(ErrorKind::Usage.exit_code())
}

/// What clap found, and in which argument.
fn without_text(error: &clap::Error) -> String {
    let kinds = [ContextKind::InvalidSubcommand, ContextKind::InvalidArg, ContextKind::InvalidValue];
    let found = kinds
        .iter()
        .filter_map(|kind| error.get(*kind))
        .map(|value| format!(": {}", safe(&value.to_string())));
    error.kind().as_str().unwrap_or("the arguments make no sense").to_owned() + &found.collect::<String>()
}

/// An error as it stands in JSON.
pub(crate) fn error_json(error: &Error, hint: Option<&str>) -> serde_json::Value {
    serde_json::json!({ "error": {
        "code": error.code().id,
        "kind": error.kind().name(),
        "exit_code": error.kind().exit_code(),
        "message": error.to_string(),
        "offset": error.offset(),
        "hint": hint,
    }})
}

/// Prints an error as JSON. Its exit code tells already, so a closed stdout cannot make it worse.
fn print_error(error: &Error, hint: Option<&str>, on_stderr: bool) {
    let value = error_json(error, hint);
    if on_stderr {
        to_stderr(&printable_json(&format!("{value:#}")));
    } else {
        let _ = to_stdout(&printable_json(&format!("{value:#}\n")));
    }
}

/// What the error says should be done next, and what can be said without it.
pub(crate) fn hint_of(error: &Error) -> Option<String> {
    let own = error.hint_text().or_else(|| next_step(error));
    let refused = is_refusal(error) && convert_sandbox::state().is_confining();
    match (own, refused) {
        (own, false) => own.map(str::to_owned),
        (None, true) => Some(REFUSED.to_owned()),
        (Some(own), true) => Some(format!("{own}; {REFUSED}")),
    }
}

/// Nobody can tell from the answer whether it was the system's own permissions.
const REFUSED: &str = "if its permissions allow that, rehome's sandbox refused it: try --no-sandbox, and when that helps, report it";

/// Whether the system refused something as the sandbox does (EPERM, EACCES, ENOSYS).
fn is_refusal(error: &Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(found) = cause {
        if let Some(found) = found.downcast_ref::<std::io::Error>() {
            let answers = [Errno::PERM, Errno::ACCESS, Errno::NOSYS].map(Errno::raw_os_error);
            return found.raw_os_error().is_some_and(|number| answers.contains(&number));
        }
        cause = found.source();
    }
    false
}

/// What can be done about an error of the system that was met far below.
fn next_step(error: &Error) -> Option<&'static str> {
    let cause = std::error::Error::source(error)?.downcast_ref::<std::io::Error>()?;
    match cause.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            Some("make room, then run the same command again; 'rehome measure' tells how much an image needs")
        }
        _ => None,
    }
}

/// Text from images, guests and file names as one line, with everything that could steer a terminal made visible.
pub(crate) fn safe(text: &str) -> String {
    format_core::printable(text)
}

/// A line for people, or several. Where nobody listens or the log is full, the work and its exit code still count.
pub(crate) fn to_stderr(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", printable_lines(line));
}

/// A line for programs.
pub(crate) fn json_to_stderr(line: &str) {
    to_stderr(&printable_json(line));
}

/// A reader that went away (`| head`) is no failure of ours.
pub(crate) fn to_stdout(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::io("cannot write to stdout", e).with_kind(ErrorKind::Io))
        }
        _ => Ok(()),
    }
}

/// A line for each hash of the whole disk.
pub(crate) fn hash_lines(hashes: &Hashes) -> String {
    hashes.iter().map(|(kind, hash)| format!("{kind:<8} {}\n", safe(hash))).collect()
}

/// `1 block`, `2 blocks`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// What a list of `count` lines says of those behind the first `shown`.
pub(crate) fn more(count: u64, shown: usize) -> String {
    let rest = count.saturating_sub(shown as u64);
    if rest == 0 { String::new() } else { format!("    … and {rest} more\n") }
}

/// Columns are not made wider than this for one long cell: a guest chooses what is in it.
const WIDEST: usize = 120;

/// Rows as columns, two spaces apart.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0).min(WIDEST)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::from(" ");
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!(" {cell:<width$} "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use convert_sandbox::{Sandbox, settle};

    #[test]
    fn what_the_sandbox_may_have_refused_is_said_to_be_that() {
        settle(Sandbox { landlock: Some(7), ..Sandbox::off("a test") });
        let failed = |number| Error::io("cannot open x", std::io::Error::from_raw_os_error(number));
        // EPERM, EACCES, ENOSYS
        for number in [1, 13, 38] {
            let hint = hint_of(&failed(number)).unwrap();
            assert!(hint.contains("--no-sandbox") && hint.contains("report"), "{number}: {hint}");
        }
        let hint = hint_of(&failed(13).hint("do this")).unwrap();
        assert!(hint.starts_with("do this; ") && hint.contains("--no-sandbox"), "{hint}");
        // A gate of our own is no system that refuses, and neither is a missing file.
        let gate = Error::new(ErrorKind::Denied, "outside its folder").hint("allow it");
        assert_eq!(hint_of(&gate).as_deref(), Some("allow it"));
        assert!(hint_of(&failed(2)).is_none_or(|hint| !hint.contains("--no-sandbox")));
    }

    #[test]
    fn a_cell_of_any_length_is_printed() {
        let rows = [["a", "b"], ["long", "c"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&rows), "  a     b\n  long  c\n");
        // More than the formatting of the standard library can pad.
        let (long, short) = ("x".repeat(100_000), String::from("x"));
        let text = table(&[vec![long.clone(), short.clone()], vec![short.clone(), short]]);
        assert!(
            text.starts_with(&format!("  {long}  x\n")) && text.len() < long.len() + 300,
            "{}",
            text.len()
        );
    }
}
