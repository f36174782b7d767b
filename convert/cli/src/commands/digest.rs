//! `rehome digest`

use crate::args::DigestArgs;
use crate::output::{Printer, hash_lines, safe};
use convert_engine::{Control, Hashes, hash_disk};
use format_core::{Result, open_image};
use serde::Serialize;
use std::process::ExitCode;

#[derive(Serialize)]
struct Outcome {
    image: String,
    algorithm: &'static str,
    digest: String,
    hashes: Hashes,
    virtual_size: u64,
    data_bytes: u64,
}

pub(crate) fn run(args: &DigestArgs, printer: &Printer, control: Control<'_>) -> Result<ExitCode> {
    let opened = open_image(&args.image, &args.open.options()?)?;
    printer.warnings(&opened.warnings);
    let read = hash_disk(&opened.disk, "digest", &args.also.kinds, control)?;
    let outcome = Outcome {
        image: args.image.display().to_string(),
        algorithm: "rehome-disk-digest-v1",
        digest: read.blocks.digest()?.to_hex().to_string(),
        hashes: read.hashes,
        virtual_size: opened.disk.virtual_size(),
        data_bytes: read.read,
    };
    printer.result(&outcome, |o| format!("{}  {}\n{}", o.digest, safe(&o.image), hash_lines(&o.hashes)))?;
    Ok(ExitCode::SUCCESS)
}
