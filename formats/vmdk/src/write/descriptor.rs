//! The text descriptor of a new disk.

use super::options::{CreateType, Plan};
use crate::layout::SECTOR;
use format_core::units::GIB;
use std::fmt::Write;
use uuid::Uuid;

/// `parentCID` of a disk without a parent.
const NO_PARENT: u32 = u32::MAX;

/// How a disk is told from its other states.
#[derive(Clone, Debug)]
pub(crate) struct ContentId {
    pub(crate) cid: u32,
    /// `ddb.longContentID`: 128 bits of which the last 32 are the CID.
    pub(crate) long: Option<u128>,
}

impl ContentId {
    /// The one that was asked for, else a random one.
    pub(crate) fn new(plan: &Plan) -> Self {
        let random = Uuid::new_v4().as_u128();
        // Neither "no parent" nor VMware's "not yet written", nor zero.
        let cid = plan.cid.unwrap_or((random as u32 & 0x7fff_ffff).max(1));
        Self { cid, long: Some(random >> 32 << 32 | u128::from(cid)) }
    }
}

/// One extent line.
pub(crate) struct ExtentLine<'a> {
    pub(crate) sectors: u64,
    pub(crate) file: &'a str,
}

/// The whole text.
pub(crate) fn text<'a>(plan: &Plan, id: &ContentId, extents: impl Iterator<Item = ExtentLine<'a>>) -> String {
    let mut text = String::from("# Disk DescriptorFile\nversion=1\nencoding=\"UTF-8\"\n");
    let mut line = |line: std::fmt::Arguments<'_>| {
        // Writing to a String cannot fail.
        let _ = text.write_fmt(line);
        text.push('\n');
    };
    let parent_cid = plan.parent.as_ref().map_or(NO_PARENT, |parent| parent.cid);
    line(format_args!("CID={:08x}\nparentCID={parent_cid:08x}", id.cid));
    line(format_args!("createType=\"{}\"", plan.create_type.name()));
    if let Some(parent) = &plan.parent {
        line(format_args!("parentFileNameHint=\"{}\"", parent.name));
    }
    line(format_args!("\n# Extent description"));
    for ExtentLine { sectors, file } in extents {
        match plan.create_type {
            CreateType::Vmfs => line(format_args!("RW {sectors} VMFS \"{file}\"")),
            flat if flat.is_flat() => line(format_args!("RW {sectors} FLAT \"{file}\" 0")),
            _ => line(format_args!("RW {sectors} SPARSE \"{file}\"")),
        }
    }
    let Geometry { cylinders, heads, sectors } = geometry(plan);
    line(format_args!("\n# The Disk Data Base\n#DDB\n\nddb.adapterType = \"{}\"", plan.adapter_type));
    line(format_args!("ddb.geometry.cylinders = \"{cylinders}\"\nddb.geometry.heads = \"{heads}\""));
    line(format_args!("ddb.geometry.sectors = \"{sectors}\""));
    if let Some(long) = id.long {
        line(format_args!("ddb.longContentID = \"{long:032x}\""));
    }
    line(format_args!("ddb.toolsVersion = \"{}\"", plan.tools_version));
    line(format_args!("ddb.virtualHWVersion = \"{}\"", plan.hw_version));
    text
}

struct Geometry {
    cylinders: u64,
    heads: u64,
    sectors: u64,
}

/// What VMware's BIOS makes of a disk of this size at this controller.
fn geometry(plan: &Plan) -> Geometry {
    let (heads, sectors, most) = match plan.capacity_sectors.saturating_mul(SECTOR) {
        _ if plan.adapter_type == "ide" => (16, 63, 16_383),
        0..GIB => (64, 32, 65_535),
        size if size < 2 * GIB => (128, 32, 65_535),
        _ => (255, 63, 65_535),
    };
    Geometry { cylinders: (plan.capacity_sectors / (heads * sectors)).clamp(1, most), heads, sectors }
}
