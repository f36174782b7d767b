//! What a server exports.

use super::address::NbdAddress;
use super::disk::NbdDisk;
use super::endpoint::Endpoint;
use super::facts::Gathered;
use super::fault::Fault;
use super::haggle::Ended;
use super::limits::ClientLimits;
use crate::wire::option;
use format_core::{Result, printable};

/// Exports that are listed; a server with more of them is refused.
const MAX_EXPORTS: usize = 10_000;
/// Exports whose sizes are asked for: each costs a question, and all of them have to fit into the time of a handshake.
const MAX_SIZES: usize = 256;
/// A description is shown no further.
const MAX_DESCRIPTION: usize = 200;

/// An export as its server lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NbdExport {
    /// As it is asked for; it can hold any character.
    pub name: String,
    /// For people, made printable.
    pub description: String,
    /// In bytes, where the server tells; of the first 256 exports alone.
    pub size: Option<u64>,
}

impl NbdDisk {
    /// The exports of the server at `address`, whatever export that names.
    ///
    /// # Errors
    /// As [`NbdDisk::connect`]; `Denied` or `Unsupported` when the server does not list.
    pub fn list(address: &NbdAddress, limits: &ClientLimits) -> Result<Vec<NbdExport>> {
        let endpoint = Endpoint::of(address, limits)?;
        list(&endpoint).map_err(|fault| endpoint.named(fault.into_error()))
    }
}

fn list(endpoint: &Endpoint) -> Result<Vec<NbdExport>, Fault> {
    let (mut haggle, _clock) = endpoint.haggle(endpoint.limits.handshake)?;
    let (names, ended) = haggle.list(MAX_EXPORTS)?;
    if let Some(error) = ended.into_error("a list of the exports") {
        return Err(Fault::Final(error));
    }
    let mut exports = Vec::new();
    for (name, description) in names {
        let mut gathered = Gathered::default();
        let is_told = exports.len() < MAX_SIZES
            && matches!(haggle.info(option::INFO, &name, &mut gathered)?, Ended::Done);
        let size = gathered.export.filter(|_| is_told).map(|(size, _)| size);
        let description = printable(&description.chars().take(MAX_DESCRIPTION).collect::<String>());
        exports.push(NbdExport { name, description, size });
    }
    haggle.leave();
    Ok(exports)
}
