//! `rehome batch schema`

use crate::output::to_stdout;
use format_core::{Error, Result};
use std::process::ExitCode;

pub(crate) fn run() -> Result<ExitCode> {
    let text = serde_json::to_string_pretty(&convert_job_file::schema())
        .map_err(|e| Error::contract("the schema cannot be written as JSON").with_source(e))?;
    to_stdout(&(text + "\n"))?;
    Ok(ExitCode::SUCCESS)
}
