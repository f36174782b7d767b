//! `rehome support-bundle`

use crate::args::SupportArgs;
use crate::output::{Printer, safe};
use convert_doctor::host;
use convert_support::{Listing, Request};
use format_core::{Error, Result};
use std::os::unix::fs::MetadataExt;
use std::process::ExitCode;

const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(crate) fn run(args: &SupportArgs, printer: &Printer) -> Result<ExitCode> {
    let program = std::env::current_exe().map_err(|e| Error::io("cannot tell where this program is", e))?;
    let report = host::examine(&host::Request::default());
    let request = Request {
        program,
        version: VERSION.into(),
        state: args.state.clone(),
        job: args.job.clone(),
        files: args.file.clone(),
        images: args.image.clone(),
        host: serde_json::to_value(report)
            .map_err(|e| Error::contract("the host's report is no JSON").with_source(e))?,
        output: args.out.clone(),
        max_size: args.max_size,
        split: args.split,
        force: args.force,
    };
    if request.split == Some(0) {
        return Err(Error::usage("--split takes a size above zero"));
    }
    let id = |path: &std::path::Path| path.metadata().ok().map(|found| (found.dev(), found.ino()));
    let given = request.images.iter().chain(&request.files);
    if let Some(read) = given.clone().find(|path| id(path).is_some() && id(path) == id(&request.output)) {
        return Err(Error::usage(format!("{} would be replaced by the archive of it", read.display()))
            .hint("choose another name with -o"));
    }
    let listing =
        if args.list { convert_support::list(&request)? } else { convert_support::bundle(&request)? };
    printer.result(&listing, human)?;
    Ok(ExitCode::SUCCESS)
}

fn human(listing: &Listing) -> String {
    let mut text: String = listing.text(VERSION).lines().map(|line| safe(line) + "\n").collect();
    for path in &listing.written {
        text.push_str(&format!("\nwritten: {}", safe(&path.display().to_string())));
    }
    if !listing.written.is_empty() {
        text.push('\n');
    }
    text
}
