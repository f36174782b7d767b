//! `rehome measure`

use crate::args::MeasureArgs;
use crate::commands::{format_named, key_values};
use crate::output::Printer;
use convert_engine::{Control, Measurement, measure};
use format_core::units::format_size;
use format_core::{Disk, Error, Result, open_image};
use std::process::ExitCode;

pub(crate) fn run(args: &MeasureArgs, printer: &Printer, control: Control<'_>) -> Result<ExitCode> {
    let format = format_named(&args.target_format)?;
    let options = key_values(&args.options)?;
    let disk = match (&args.image, args.size) {
        (Some(image), _) => {
            let opened = open_image(image, &args.open.options()?)?;
            printer.warnings(&opened.warnings);
            opened.disk
        }
        (None, Some(size)) => Disk::blank(size),
        (None, None) => return Err(Error::usage("an image or --size is needed")),
    };
    let found = measure(&disk, format, &options, control)?;
    printer.result(&found, human)?;
    Ok(ExitCode::SUCCESS)
}

fn human(found: &Measurement) -> String {
    format!(
        "required size: {} ({})\nfully allocated size: {} ({})\n",
        found.required,
        format_size(found.required),
        found.fully_allocated,
        format_size(found.fully_allocated)
    )
}
