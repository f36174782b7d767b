//! `rehome serve`

use crate::args::ServeArgs;
use crate::output::{Printer, safe, to_stderr};
use convert_nbd::{Address, DiskExport, Export, Exports, Limits, Listener, OverlayExport, Server};
use format_core::units::format_size;
use format_core::{Error, Overlay, Result, Warning, open_image};
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// A hostile client must not fill a log.
const MAX_LINES: u32 = 1000;

#[derive(Serialize)]
struct Outcome {
    exports: Vec<Served>,
    warnings: Vec<Warning>,
}

#[derive(Serialize)]
struct Served {
    name: String,
    image: String,
    virtual_size: u64,
    writable: bool,
    uri: String,
}

pub(crate) fn run(args: &ServeArgs, printer: &Printer, interrupted: &AtomicBool) -> Result<ExitCode> {
    let names = names(args)?;
    let options = args.open.options()?;
    let (mut exports, mut served, mut warnings) = (Exports::default(), Vec::new(), Vec::new());
    for (image, name) in args.images.iter().zip(names) {
        let opened = open_image(image, &options)?;
        warnings.extend(opened.warnings);
        let virtual_size = opened.disk.virtual_size();
        let export: Arc<dyn Export> = match args.overlay {
            true => Arc::new(OverlayExport::new(Overlay::new(opened.disk))),
            false => Arc::new(DiskExport::new(opened.disk)),
        };
        exports.add(&name, &image.display().to_string(), export)?;
        let image = image.display().to_string();
        served.push(Served { name, image, virtual_size, writable: args.overlay, uri: String::new() });
    }
    // A folder that only its owner can look into, gone at the end.
    let private = match &args.listen {
        Some(_) => None,
        None => Some(private_folder()?),
    };
    let address = match (&args.listen, &private) {
        (Some(address), _) => address.clone(),
        (None, Some(folder)) => Address::Unix(folder.path().join("nbd")),
        (None, None) => return Err(Error::contract("no address to listen at")),
    };
    let listener = Listener::bind(&address)?;
    served.iter_mut().for_each(|served| served.uri = listener.uri(&served.name));
    printer.warnings(&warnings);
    printer.result(&Outcome { exports: served, warnings }, human)?;
    let lines = AtomicU32::new(0);
    let server = Server::new(exports, Limits::default(), move |error| {
        let line = lines.fetch_add(1, Ordering::Relaxed);
        if line < MAX_LINES {
            to_stderr(&format!("warning: {}", safe(&error.to_string())));
        } else if line == MAX_LINES {
            to_stderr("warning: more of the like is not said");
        }
    });
    server.run(&listener, interrupted, args.once)?;
    Ok(ExitCode::SUCCESS)
}

fn private_folder() -> Result<tempfile::TempDir> {
    let made = tempfile::Builder::new().prefix("rehome-").tempdir();
    made.map_err(|e| Error::io("cannot make a folder for the socket", e).hint("name a place with --listen"))
}

/// The names of the exports, in the order of the images.
fn names(args: &ServeArgs) -> Result<Vec<String>> {
    if !args.export.is_empty() && args.export.len() != args.images.len() {
        let (names, images) = (args.export.len(), args.images.len());
        return Err(Error::usage(format!("--export is given {names} times for {images} images")));
    }
    let names: Vec<String> = match args.images.as_slice() {
        _ if !args.export.is_empty() => args.export.clone(),
        [_] => vec![String::new()],
        images => images.iter().map(|image| file_name(image)).collect(),
    };
    let distinct: BTreeSet<&String> = names.iter().collect();
    if distinct.len() < names.len() {
        return Err(Error::usage("two exports would have the same name")
            .hint("name them: --export, once for each image"));
    }
    Ok(names)
}

fn file_name(image: &Path) -> String {
    image.file_name().unwrap_or(image.as_os_str()).to_string_lossy().into_owned()
}

fn human(outcome: &Outcome) -> String {
    let mut text = String::new();
    for served in &outcome.exports {
        let access = if served.writable { "written into an overlay that is dropped" } else { "read-only" };
        let (image, size) = (safe(&served.image), format_size(served.virtual_size));
        text.push_str(&format!("{image}: {size}, {access}\n  {}\n", served.uri));
    }
    text + "Ctrl-C ends.\n"
}
