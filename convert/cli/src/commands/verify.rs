//! `rehome verify`

use crate::args::VerifyArgs;
use crate::output::{Printer, counted};
use convert_engine::{Control, Verification, manifest_path, verify_image};
use format_core::units::format_size;
use format_core::{Result, open_image};
use std::process::ExitCode;

pub(crate) fn run(args: &VerifyArgs, printer: &Printer, control: Control<'_>) -> Result<ExitCode> {
    let opened = open_image(&args.image, &args.open.options()?)?;
    printer.warnings(&opened.warnings);
    let manifest = args.manifest.clone().unwrap_or_else(|| manifest_path(&args.image));
    let found = verify_image(&opened.disk, &manifest, control)?;
    printer.result(&found, human)?;
    Ok(ExitCode::from(u8::from(!found.ok)))
}

fn human(found: &Verification) -> String {
    if found.ok {
        let lost = match found.unreadable_bytes {
            0 => String::new(),
            lost => format!(
                "but {} of it are zeros because the source could not be read there: the manifest lists them\n",
                format_size(lost)
            ),
        };
        return format!(
            "verified: all {} of the disk, digest {}\n{lost}",
            format_size(found.found_size),
            found.found
        );
    }
    let mut text =
        format!("NOT what the manifest says\n  expected {}\n  found    {}\n", found.expected, found.found);
    if found.expected_size != found.found_size {
        text.push_str(&format!("  size {} instead of {} bytes\n", found.found_size, found.expected_size));
    }
    if let Some(at) = found.first_difference {
        text.push_str(&format!(
            "  {} of 4 MiB, the first at {at:#x}\n",
            counted(found.differing_blocks, "differing block")
        ));
    }
    text
}
