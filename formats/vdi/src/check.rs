//! The check of one file: every entry of the map, and every block of the file.

use crate::layout::SECTOR;
use crate::map::{Place, entry_at};
use crate::parse::Image;
use crate::read::load;
use format_core::{CheckReport, Claims, LayerContext, Result, Storage};
use std::sync::Arc;

pub(crate) fn check(storage: Arc<dyn Storage>, _: &LayerContext) -> Result<CheckReport> {
    let image = load(storage.as_ref())?;
    let size = storage.size();
    let mut report = CheckReport { total_chunks: image.disk_blocks(), ..CheckReport::default() };
    report.image_end = image.data;
    for (what, at) in [("the block map", image.map), ("the data area", image.data)] {
        if !at.is_multiple_of(SECTOR) {
            report.error(format!("{what} is at {at:#x}, within a sector"), None);
        }
    }
    // Blocks of the file by their number.
    let mut claims = Claims::new(1);
    let (mut block, mut last) = (0, None);
    while block < image.blocks {
        let (page_at, length, _) = image.page_of(block);
        let mut page = vec![0; length];
        storage.read_exact_at(page_at, &mut page)?;
        for place in (0..length).step_by(4) {
            let at = page_at.saturating_add(place as u64);
            let entry = entry_at(&page, place).unwrap_or(0);
            let before = last.take();
            match image.place(block, entry, size) {
                Err(error) => report.error(error.to_string(), Some(at)),
                Ok(Place::Host(host)) => {
                    if block >= image.disk_blocks() {
                        report.error(beyond(&image, block), Some(at));
                    }
                    if claims.claim(entry.into(), 1)? > 0 {
                        let message = format!("block {block} shares block {entry} of the file with another");
                        report.error(message, Some(at));
                    }
                    report.allocated_chunks += 1;
                    let follows = before.is_none_or(|before: u32| before.checked_add(1) == Some(entry));
                    report.fragmented_chunks += u64::from(!follows);
                    report.image_end = report.image_end.max(host.saturating_add(image.block_len(block)));
                    last = Some(entry);
                }
                Ok(Place::Free | Place::Zero) => {}
            }
            block += 1;
        }
    }
    let (said, found) = (image.allocated, report.allocated_chunks);
    if said != found {
        // VirtualBox puts the next block behind that many: over another one.
        report.error(format!("the header counts {said} allocated blocks, the map has {found}"), None);
    }
    find_leaks(&image, size, &claims, &mut report);
    Ok(report)
}

/// Data that the guest cannot see: the size in the header is not the one with which they were written.
fn beyond(image: &Image, block: u64) -> String {
    format!("block {block} has a place in the file, the disk has {:#x} blocks", image.disk_blocks())
}

fn find_leaks(image: &Image, size: u64, claims: &Claims, report: &mut CheckReport) {
    let stride = image.stride();
    let in_file = size.saturating_sub(image.data).div_ceil(stride);
    // Blocks that are claimed lie in the file, whole or as far as the disk needs them.
    let leaked = in_file.saturating_sub(claims.count());
    let first = (0..in_file).find(|&number| number > u32::MAX.into() || !claims.contains(number));
    let Some(first) = first.filter(|_| leaked > 0) else { return };
    let at = image.data.saturating_add(first.saturating_mul(stride));
    let message = format!("{leaked} blocks of the file belong to no block of the disk");
    report.leak(message, at, leaked.saturating_mul(stride));
    report.leaks += leaked - 1;
}
