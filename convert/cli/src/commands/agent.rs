//! `rehome agent`: at a source's side, started by `capture` over SSH.

use crate::args::{AgentCommand, AgentDisk, AgentServe};
use convert_capture::{
    CompressingWriter, Hello, MachineFacts, Roots, serve_session, serve_snapshots, volatile_facts,
};
use convert_nbd::{DiskExport, Exports, converse};
use format_core::{
    DenyAll, DirectDevice, Disk, Error, FileStorage, LayerContext, Result, Storage, printable_json,
};
use serde::Serialize;
use std::fs::File;
use std::io::{BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) fn run(command: &AgentCommand, interrupted: &AtomicBool) -> Result<ExitCode> {
    match command {
        AgentCommand::Facts { volatile: true, .. } => print(&volatile_facts(&Roots::default()))?,
        AgentCommand::Facts { disk, .. } => {
            let mut facts = MachineFacts::read(&Roots::default(), disk)?;
            facts.ask_health();
            print(&facts)?;
        }
        AgentCommand::Serve(args) => serve(args, interrupted)?,
        AgentCommand::Session(args) => session(args)?,
        AgentCommand::Snapshot { size, volumes } => {
            serve_snapshots(volumes, *size, std::io::stdin(), std::io::stdout())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print(value: &impl Serialize) -> Result<()> {
    let json = serde_json::to_string(value).map_err(|e| Error::contract("no JSON").with_source(e))?;
    let written = std::io::stdout().write_all(printable_json(&json).as_bytes());
    written.map_err(|e| Error::io("cannot write to stdout", e))
}

/// The disk as a whole, with what a person should know. It is never taken for anything but raw. A device may be in use, so its cache
/// is passed by.
pub(super) fn open_disk(path: &Path) -> Result<(Disk, Vec<String>)> {
    let is_device = path.metadata().is_ok_and(|found| found.file_type().is_block_device());
    let storage: Arc<dyn Storage> = match is_device {
        true => Arc::new(DirectDevice::open(path)?),
        false => Arc::new(FileStorage::open(path)?),
    };
    let disk = whole(storage)?;
    let notes = disk
        .layers()
        .iter()
        .flat_map(|layer| layer.warnings())
        .map(|warning| warning.message.clone())
        .collect();
    Ok((disk, notes))
}

/// The disk whose bytes these are.
pub(crate) fn whole(storage: Arc<dyn Storage>) -> Result<Disk> {
    let raw = super::format_named("raw")?;
    let open = raw.open_layer.ok_or_else(|| Error::contract("raw disks cannot be read"))?;
    Disk::new(vec![Arc::from(open(storage, &LayerContext::new(Arc::new(DenyAll)))?)])
}

fn serve(args: &AgentServe, interrupted: &AtomicBool) -> Result<()> {
    let path = &args.disk.disk;
    let (disk, _) = open_disk(path)?;
    let mut exports = Exports::default();
    exports.add("", &path.display().to_string(), Arc::new(DiskExport::new(disk)))?;
    // The library's own standard output keeps back what does not end a line.
    let output = std::io::stdout().as_fd().try_clone_to_owned().map(File::from);
    let output = output.map_err(|e| Error::io("cannot write to stdout", e))?;
    let output: Box<dyn Write> = match args.compress {
        false => Box::new(output),
        true => {
            Box::new(CompressingWriter::new(output).map_err(|e| Error::io("cannot start to compress", e))?)
        }
    };
    let input = BufReader::new(std::io::stdin().lock());
    let tell = |error: &Error| crate::output::to_stderr(&format!("warning: {error}"));
    converse(input, output, &exports, &tell, || Ok(()), || interrupted.load(Ordering::Relaxed))
}

fn session(args: &AgentDisk) -> Result<()> {
    let (disk, notes) = open_disk(&args.disk)?;
    let facts = MachineFacts::read(&Roots::default(), std::slice::from_ref(&args.disk));
    let known = facts.ok().and_then(|facts| facts.disks.first().map(|disk| disk.identity()));
    let hello = Hello {
        rehome_session: 1,
        program: env!("CARGO_PKG_VERSION").into(),
        size: disk.virtual_size(),
        identity: known.unwrap_or_else(|| format!("{}, {} bytes", args.disk.display(), disk.virtual_size())),
        notes,
        compresses: true,
    };
    let (input, output) = (BufReader::new(std::io::stdin().lock()), std::io::stdout().lock());
    serve_session(&disk, &super::free_space::free_of, &hello, input, output)
}
