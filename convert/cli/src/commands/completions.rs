//! `rehome completions`

use crate::args::CompletionsArgs;
use crate::output::to_stdout;
use format_core::{Error, Result};
use std::process::ExitCode;

pub(crate) fn run(args: &CompletionsArgs) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::command(), "rehome", &mut script);
    let script =
        String::from_utf8(script).map_err(|e| Error::contract("the script is no text").with_source(e))?;
    to_stdout(&script)?;
    Ok(ExitCode::SUCCESS)
}
