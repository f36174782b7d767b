//! `rehome cat`

use super::look::{PIECE, found, tree};
use crate::args::CatArgs;
use crate::output::Printer;
use driver_core::FileKind;
use format_core::{Error, ErrorKind, Result};
use std::io::Write;
use std::process::ExitCode;

pub(crate) fn run(args: &CatArgs, printer: &Printer) -> Result<ExitCode> {
    let (tree, _) = tree(&args.place, printer)?;
    if found(&tree, &args.path)?.kind != FileKind::File {
        return Err(
            Error::usage(format!("{:?} is no regular file", args.path)).hint("list it with 'rehome ls'")
        );
    }
    let file = tree.open_file(&args.path)?;
    let mut stdout = std::io::stdout().lock();
    let (mut at, mut buf) = (0, vec![0; PIECE]);
    while at < file.size() {
        let len = (file.size() - at).min(PIECE as u64) as usize;
        let piece = buf.get_mut(..len).unwrap_or_default();
        file.read_at(at, piece)?;
        match stdout.write_all(piece) {
            Ok(()) => at += len as u64,
            // A reader that went away (`| head`) is no failure of ours.
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
            Err(e) => return Err(Error::io("cannot write to stdout", e).with_kind(ErrorKind::Io)),
        }
    }
    match stdout.flush() {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::io("cannot write to stdout", e).with_kind(ErrorKind::Io))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}
