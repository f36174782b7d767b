//! `rehome compare`

use crate::args::CompareArgs;
use crate::output::Printer;
use convert_engine::{Comparison, Control, compare_disks};
use format_core::{Result, open_image};
use std::process::ExitCode;

pub(crate) fn run(args: &CompareArgs, printer: &Printer, control: Control<'_>) -> Result<ExitCode> {
    let a = open_image(&args.a, &args.open.options_a()?)?;
    let b = open_image(&args.b, &args.open.options_b()?)?;
    printer.warnings(&a.warnings);
    printer.warnings(&b.warnings);
    let found = compare_disks(&a.disk, &b.disk, args.strict, control)?;
    printer.result(&found, human)?;
    Ok(ExitCode::from(u8::from(!found.same)))
}

fn human(found: &Comparison) -> String {
    match (found.same, found.first_difference) {
        (true, _) if found.size_a == found.size_b => "the disks are the same\n".into(),
        (true, _) => format!(
            "the disks are the same; one is longer and ends in zeros ({} and {} bytes)\n",
            found.size_a, found.size_b
        ),
        (false, Some(at)) => format!("the disks differ, first at offset {at} ({at:#x})\n"),
        (false, None) => format!("the disks differ in size: {} and {} bytes\n", found.size_a, found.size_b),
    }
}
