//! `rehome create`

use crate::args::CreateArgs;
use crate::commands::{file_format, key_values};
use crate::output::{Printer, safe};
use convert_engine::create_image;
use format_core::units::format_size;
use format_core::{Error, Result, open_image};
use serde::Serialize;
use std::process::ExitCode;

#[derive(Serialize)]
struct Outcome {
    target: String,
    format: &'static str,
    virtual_size: u64,
    base: Option<String>,
}

pub(crate) fn run(args: &CreateArgs, printer: &Printer) -> Result<ExitCode> {
    let format = file_format(args.target_format.as_deref(), &args.target)?;
    let options = key_values(&args.options)?;
    let chain = args.chain.options(args.base_format.as_deref())?;
    let base = args.base.as_ref().map(|base| open_image(base, &chain)).transpose()?;
    if let Some(base) = &base {
        printer.warnings(&base.warnings);
    }
    let size = args.size.or(base.as_ref().map(|base| base.disk.virtual_size()));
    let size =
        size.ok_or_else(|| Error::usage("the size of the disk is missing").hint("add it, for example 40G"))?;
    let virtual_size = create_image(&args.target, args.force, format, size, options, base.as_ref())?;
    let outcome = Outcome {
        target: args.target.display().to_string(),
        format: format.name,
        virtual_size,
        base: args.base.as_ref().map(|base| base.display().to_string()),
    };
    printer.result(&outcome, human)?;
    Ok(ExitCode::SUCCESS)
}

fn human(o: &Outcome) -> String {
    let base = o.base.as_ref().map(|base| format!(" on top of {}", safe(base))).unwrap_or_default();
    format!("{} ({}, {} disk{base})\n", safe(&o.target), o.format, format_size(o.virtual_size))
}
