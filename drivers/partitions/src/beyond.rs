//! What an MBR has beyond the end of its disk: data that an image lacks, or an end that was rounded.

use crate::mbr::Beyond;
use driver_core::PartitionFacts;
use format_core::{Overlay, Result, is_zero};

/// The largest cylinder: 255 heads, 63 sectors. Images whose size is a number of cylinders (VHD), or that a tool copied in
/// whole ones, lack less than that of the disk's end.
const CYLINDER: u64 = 255 * 63 * 512;
/// Everything that a partition can hold says so in its first bytes: the last are the labels of ZFS, 512 KiB.
const LABELS: u64 = 1 << 20;

/// Whether it can be that nothing of value lies there, and what it is.
///
/// # Errors
/// What the disk reports.
pub(crate) fn judge(
    beyond: &Beyond,
    partitions: &[PartitionFacts],
    overlay: &Overlay,
) -> Result<(bool, String)> {
    let disk_size = overlay.base().virtual_size();
    Ok(match *beyond {
        Beyond::Cut { number, end } => {
            let over = end - disk_size.min(end);
            let text = format!("partition {number} ends at {end:#x}, {over:#x} bytes beyond the disk");
            let partition = partitions.iter().find(|partition| partition.number == number);
            let blank = match partition {
                Some(partition) => is_blank(partition, overlay)?,
                None => false,
            };
            match (over < CYLINDER, blank) {
                (true, _) => {
                    (true, format!("{text}, as where a size is rounded: it is cut there, as Linux does"))
                }
                (false, true) => {
                    (true, format!("{text}, and it begins with zeros only, as one without content"))
                }
                (false, false) => (false, text),
            }
        }
        Beyond::Partition { number, start } => {
            (false, format!("partition {number} begins at {start:#x}, the disk ends at {disk_size:#x}"))
        }
        Beyond::Table { number, start } => (
            false,
            format!(
                "the table of logical partition {number} is at {start:#x}, the disk ends at {disk_size:#x}"
            ),
        ),
    })
}

fn is_blank(partition: &PartitionFacts, overlay: &Overlay) -> Result<bool> {
    if partition.size < LABELS {
        return Ok(false);
    }
    let mut first = vec![0; LABELS as usize];
    overlay.read_merged_at(partition.start, &mut first)?;
    Ok(is_zero(&first))
}
