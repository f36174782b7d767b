//! A Windows that sleeps in the volume: whether there is one, and giving it up when the caller asks for that.
//!
//! A hibernation and a shutdown with Fast Startup leave the same file, `hiberfil.sys` in the root folder, whose first
//! page is the header of the memory image (`PO_MEMORY_IMAGE`). Its signature says whether the image will be used.
//! Nothing that is documented in the header tells the two apart, so both are always named.
//!
//! Giving it up changes as little as can be. A header of zeros is what Windows 8 and later leave when they have started
//! from an image (forensic documentation: artefacts.help, "hiberfil.sys"; Volatility, "Microsoft Hibernation Files"), and
//! what ntfs-3g takes for "no image"; the file itself, and the rest of the image, stay. A file that is too short for an
//! image is removed, as `ntfs-3g -o remove_hiberfile` does. Signatures: Volatility and Hibr2Bin. Not verified by a start of
//! Windows.

use crate::error::NtfsError;
use crate::folder;
use crate::inode::Inode;
use crate::layout::{ROOT, units};
use crate::mft::Reader;
use crate::own::Own;
use crate::record::Body;
use format_core::Result;
use std::fmt;

/// Where Windows keeps it.
pub(crate) const PATH: &str = "/hiberfil.sys";
/// Bytes of the header: a page.
const HEADER: u64 = 4096;

/// How to open a volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Gives up a hibernated Windows (and one that was shut down with Fast Startup), where nothing else stands in the
    /// way of editing. What was open in it and not saved is lost, like with the power cut.
    pub discard_hibernation: bool,
}

/// What opening changed on the volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opening {
    /// A hibernation that was given up.
    pub hibernation: Option<Discarded>,
}

/// What was done to a hibernation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discarded {
    /// The first 4096 bytes of `/hiberfil.sys`, the header of its memory image, are zeros now.
    Header {
        /// Bytes of the file, as before.
        size: u64,
    },
    /// `/hiberfil.sys` was too short for an image, which a volume has while Windows on another one sleeps, and is gone.
    ShortFile {
        /// Bytes that it had.
        size: u64,
    },
}

impl fmt::Display for Discarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header { size } => write!(
                f,
                "gave up the hibernated Windows: zeroed the first {HEADER} bytes of {PATH} ({size:#x} bytes)"
            ),
            Self::ShortFile { size } => {
                write!(f, "gave up the hibernated Windows: removed {PATH} ({size:#x} bytes)")
            }
        }
    }
}

/// A Windows that sleeps.
pub(crate) enum Sleeper {
    /// The file has a header that will be used.
    Live(Inode),
    /// The file is too short to have one.
    Short { size: u64 },
}

impl Sleeper {
    /// Looks for one.
    ///
    /// # Errors
    /// `Corrupt` for metadata on the way; what the volume reports.
    pub(crate) fn find(reader: &Reader) -> Result<Option<Self>> {
        let root = reader.inode(ROOT)?;
        let Some(found) = folder::find(reader, &root, &units("hiberfil.sys"))? else { return Ok(None) };
        let file = reader.inode(found.reference)?;
        let Some(data) = file.data() else { return Ok(None) };
        if data.size() < HEADER {
            return Ok(Some(Self::Short { size: data.size() }));
        }
        let mut signature = [0; 4];
        reader.read(data, 0, &mut signature)?;
        // "hibr" is the usual one, "brkp" asks for a debugger, "horm" (Hibernate Once, Resume Many) is used at every start.
        // "wake" and "rstr" are left behind by a start from the image; ntfs-3g, too, takes both for "no image".
        let live = matches!(&signature.to_ascii_lowercase()[..], b"hibr" | b"brkp" | b"horm");
        Ok(live.then_some(Self::Live(file)))
    }

    pub(crate) fn what(&self) -> &'static str {
        match self {
            Self::Live(_) => "hiberfil.sys has a live header",
            Self::Short { .. } => "hiberfil.sys is a short one",
        }
    }

    pub(crate) fn discarded(&self) -> Discarded {
        match self {
            Self::Live(file) => Discarded::Header { size: file.data().map_or(0, |data| data.size()) },
            Self::Short { size } => Discarded::ShortFile { size: *size },
        }
    }
}

/// Zeroes the header of the image in `file`.
///
/// # Errors
/// `NeedsPerson` when the file is not one as Windows makes it, or its clusters are not its own; what the volume reports.
pub(crate) fn zero_header(reader: &Reader, own: &Own, file: &Inode) -> Result<()> {
    let refuse = |reason: &str| NtfsError::Unsafe { what: PATH.into(), reason: reason.into() };
    own.check_apart(reader, &[file], PATH)?;
    let data = file.data().filter(|data| data.flags == 0);
    let mapping = match data.map(|data| &data.body) {
        Some(Body::Mapped(mapping)) => mapping,
        _ => return Err(refuse("it is compressed, encrypted or sparse, which Windows never makes it").into()),
    };
    let cluster = reader.boot.cluster;
    // What was never written reads as zeros anyway.
    let mut left = HEADER.min(mapping.initialized);
    for run in &mapping.runs {
        let now = left.min(run.len.saturating_mul(cluster));
        let place = run.lcn.ok_or_else(|| refuse("its header lies in a hole"))?;
        if now == 0 {
            break;
        }
        reader.io.write(place * cluster, &vec![0; now as usize])?;
        left -= now;
    }
    if left > 0 {
        return Err(refuse("it has no clusters for its header").into());
    }
    Ok(())
}
