//! `rehome agent`: at a source's side, started by `capture` over SSH.

use crate::args::{AgentCommand, AgentDisk};
use convert_capture::{Hello, MachineFacts, Roots, serve_session, volatile_facts};
use convert_nbd::{DiskExport, Exports, converse};
use format_all::FORMATS;
use format_core::{Disk, Error, OpenOptions, Result, open_image, printable_json};
use serde::Serialize;
use std::fs::File;
use std::io::{BufReader, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) fn run(command: &AgentCommand, interrupted: &AtomicBool) -> Result<ExitCode> {
    match command {
        AgentCommand::Facts { volatile: true, .. } => print(&volatile_facts(&Roots::default()))?,
        AgentCommand::Facts { disk, .. } => print(&MachineFacts::read(&Roots::default(), disk)?)?,
        AgentCommand::Serve(args) => serve(args, interrupted)?,
        AgentCommand::Session(args) => session(args)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn print(value: &impl Serialize) -> Result<()> {
    let json = serde_json::to_string(value).map_err(|e| Error::contract("no JSON").with_source(e))?;
    let written = std::io::stdout().write_all(printable_json(&json).as_bytes());
    written.map_err(|e| Error::io("cannot write to stdout", e))
}

/// The disk as a whole, with what a person should know. It is never taken for anything but raw.
pub(super) fn open_disk(path: &Path, skip_free: bool) -> Result<(Disk, Vec<String>)> {
    let opened = open_image(path, &OpenOptions::new(FORMATS, Some(super::format_named("raw")?)))?;
    let mut notes: Vec<_> = opened.warnings.iter().map(|warning| warning.message.clone()).collect();
    if !skip_free {
        return Ok((opened.disk, notes));
    }
    let (disk, said) = super::free_space::without_free(&opened.disk)?;
    notes.extend(said);
    Ok((disk, notes))
}

fn serve(args: &AgentDisk, interrupted: &AtomicBool) -> Result<()> {
    let (disk, _) = open_disk(&args.disk, args.skip_free)?;
    let mut exports = Exports::default();
    exports.add("", &args.disk.display().to_string(), Arc::new(DiskExport::new(disk)))?;
    // The library's own standard output keeps back what does not end a line.
    let output = std::io::stdout().as_fd().try_clone_to_owned().map(File::from);
    let output = output.map_err(|e| Error::io("cannot write to stdout", e))?;
    let input = BufReader::new(std::io::stdin().lock());
    let tell = |error: &Error| crate::output::to_stderr(&format!("warning: {error}"));
    converse(input, output, &exports, &tell, || Ok(()), || interrupted.load(Ordering::Relaxed))
}

fn session(args: &AgentDisk) -> Result<()> {
    let (disk, notes) = open_disk(&args.disk, args.skip_free)?;
    let facts = MachineFacts::read(&Roots::default(), std::slice::from_ref(&args.disk));
    let known = facts.ok().and_then(|facts| facts.disks.first().map(|disk| disk.identity()));
    let hello = Hello {
        rehome_session: 1,
        program: env!("CARGO_PKG_VERSION").into(),
        size: disk.virtual_size(),
        identity: known.unwrap_or_else(|| format!("{}, {} bytes", args.disk.display(), disk.virtual_size())),
        notes,
    };
    let (input, output) = (BufReader::new(std::io::stdin().lock()), std::io::stdout().lock());
    serve_session(&disk, &hello, input, output)
}
