//! Changed ranges by a bitmap that QEMU keeps (`docs/interop/nbd.rst` of QEMU: `qemu:dirty-bitmap`, its lowest bit is "dirty").

use super::endpoint::Endpoint;
use super::extents::ask;
use super::facts::listed;
use super::fault::Fault;
use super::pool::Pool;
use crate::wire::{MAX_STRING, option};
use format_core::{AscendingRanges, Error, ErrorKind, RangeSet, Result};

/// Contexts of a server that a message can name.
const MAX_CONTEXTS: usize = 1000;

/// The dirty ranges of the bitmap `name`.
pub(crate) fn dirty(endpoint: &Endpoint, name: &str) -> Result<RangeSet> {
    let wanted = format!("qemu:dirty-bitmap:{name}");
    if name.is_empty() || wanted.len() > MAX_STRING || wanted.contains('\0') {
        return Err(Error::usage("the name of a bitmap has 1 to 4000 bytes and no NUL").in_format("nbd"));
    }
    let mut endpoint = endpoint.clone();
    endpoint.limits.connections = 1;
    let pool = Pool::connect(endpoint, vec![wanted.clone()])?;
    let Some(context) = pool.facts.context(&wanted) else {
        return Err(pool.endpoint.named(missing(&pool.endpoint, name)));
    };
    let (mut ranges, mut at) = (AscendingRanges::default(), 0);
    while at < pool.facts.size {
        let runs = ask(&pool, &wanted, context, |flags| flags & 1 == 0, at)?;
        for (start, end, is_clean) in runs.iter() {
            if !is_clean {
                ranges.add(start, end);
            }
        }
        at = runs.end();
    }
    Ok(ranges.into_set())
}

fn missing(endpoint: &Endpoint, name: &str) -> Error {
    let text = format!("the export has no bitmap {:?}", format_core::printable(name));
    let error = Error::new(ErrorKind::SourceMissing, text).in_format("nbd");
    match contexts(endpoint) {
        Ok(names) => error
            .context(format!("its metadata contexts are {}", listed(&names)))
            .hint("qemu-nbd exports the bitmap NAME with -B NAME"),
        Err(_) => error,
    }
}

/// What the server tells of its metadata contexts.
fn contexts(endpoint: &Endpoint) -> Result<Vec<String>, Fault> {
    let (mut haggle, _clock) = endpoint.haggle(endpoint.limits.handshake)?;
    let mut found = Vec::new();
    if haggle.agree_on_structure()? {
        let all = haggle.contexts(option::LIST_META_CONTEXT, &endpoint.export, &[], MAX_CONTEXTS)?;
        found = all.into_iter().map(|(name, _)| name).collect();
    }
    haggle.leave();
    Ok(found)
}
