//! A disk of another machine: its bytes by NBD, and its side.

use crate::compressed::CompressedConnector;
use crate::far_side::FarSide;
use crate::program::FarProgram;
use convert_nbd::{ClientLimits, CommandConnector, Connector, NbdDisk};
use format_core::Result;
use std::sync::Arc;

/// Opens the disk that is called `disk` there; with `skip_free`, its side says what its file systems do not use
/// ([`Side::free`](crate::Side::free)). The program there is kept for as long as the side lives. Its bytes come compressed where that was
/// wished and is known there.
///
/// # Errors
/// What the other side says; as the connections.
pub fn open_ssh_disk(
    program: &Arc<FarProgram>,
    disk: &str,
    skip_free: bool,
    limits: &ClientLimits,
) -> Result<(NbdDisk, Arc<FarSide>)> {
    let words = |what: &[&str]| program.words(&[&["agent"], what, &["--", disk]].concat());
    // Its first line says whether the disk can be opened there; NBD would only break.
    let side = FarSide::start(&words(&["session"]), skip_free)?.keeping(Arc::clone(program));
    let connector: Arc<dyn Connector> = if program.compresses() && side.hello().compresses {
        let plain = CommandConnector::new(words(&["serve", "--compress"]));
        Arc::new(CompressedConnector::new(Arc::new(plain)))
    } else {
        Arc::new(CommandConnector::new(words(&["serve"])))
    };
    let bytes = NbdDisk::over(connector, "", limits)?;
    Ok((bytes, Arc::new(side)))
}
