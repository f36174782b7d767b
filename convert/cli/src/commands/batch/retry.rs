//! `rehome batch retry`

use crate::args::BatchRetryArgs;
use crate::output::{Printer, counted};
use convert_batch::{RetryWish, StateFolder, retry};
use format_core::Result;
use std::process::ExitCode;

pub(super) fn run(args: &BatchRetryArgs, printer: &Printer) -> Result<ExitCode> {
    let folder = StateFolder::open(&args.state.state)?;
    let wish = if args.failed { RetryWish::AllFailed } else { RetryWish::These(args.ids.clone()) };
    let ids = retry(&folder, &folder.load()?, &wish)?;
    printer.result(&serde_json::json!({ "waiting": ids }), |_| {
        format!("{} will start again with the next 'rehome batch run'\n", counted(ids.len() as u64, "job"))
    })?;
    Ok(ExitCode::SUCCESS)
}
