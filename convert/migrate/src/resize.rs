//! The same disk with another size.

use driver_core::TableKind;
use driver_partitions::{move_gpt_backup, read_table};
use format_core::{Disk, Error, ExtentKind, Overlay, Result, Warning, is_zero};

/// Microsoft's dynamic disks (LDM) keep their database at the end of the disk, outside the partitions.
const LDM: [&str; 3] =
    ["0x42", "5808c8aa-7e8f-42e0-85d2-e1e90434cfb3", "af9b60a0-1431-4f62-bc68-3311714a69ad"];
const STEP: usize = 1 << 20;

/// The disk with `size` bytes: zeros at its end, or less of it where nothing is lost. A GPT's backup is moved to the new
/// end. The source stays as it is.
///
/// # Errors
/// `Usage` when a partition or data would be cut; what the disk and its partition table report.
pub fn resize_disk(disk: &Disk, size: u64) -> Result<(Disk, Vec<Warning>)> {
    let old = disk.virtual_size();
    if size == old {
        return Ok((disk.clone(), Vec::new()));
    }
    let mut warnings = Vec::new();
    if size < old {
        warnings.extend(check_cut(disk, size)?);
    }
    let resized = if size < old { disk.cut_to(size) } else { disk.grown_to(size) };
    let overlay = Overlay::new(resized);
    if move_gpt_backup(&overlay)? {
        let text = "the backup of the GPT was moved to the new end of the disk";
        warnings.push(Warning::new("gpt-backup-moved", text));
    } else if read_table(&Overlay::new(disk.clone()))?.0.table == TableKind::Gpt {
        // The backup, the only table there is, would not be at the end any more, where it is looked for.
        return Err(Error::corrupt("the primary GPT is missing, only its backup is there")
            .hint("repair the table with sgdisk or gdisk on a copy, or leave the size as it is"));
    }
    Ok((overlay.disk(), warnings))
}

/// Refuses to cut what is used. What lies outside all partitions may go, and is said.
fn check_cut(disk: &Disk, size: u64) -> Result<Option<Warning>> {
    let (facts, obstacles) = read_table(&Overlay::new(disk.clone()))?;
    let refuse = |text: String| {
        Error::usage(format!("the disk cannot be cut to {size} bytes: {text}"))
            .hint("shrink the last partition in the guest first, or choose a larger size")
    };
    if let Some(obstacle) = facts.cut_off.iter().chain(&obstacles).next() {
        return Err(refuse(format!("its partition table is not whole: {obstacle}")));
    }
    let loses = facts.partitions.iter().find(|p| p.start.saturating_add(p.size) > size);
    match (facts.table, loses) {
        (TableKind::None, _) if has_data(disk, size)? => {
            Err(refuse("it has no partition table and data beyond that".into()))
        }
        (TableKind::None, _) => Ok(None),
        (_, Some(p)) => {
            Err(refuse(format!("partition {} ends at {}", p.number, p.start.saturating_add(p.size))))
        }
        (_, None) if facts.partitions.iter().any(|p| LDM.contains(&p.type_id.as_str())) => {
            Err(refuse("it is a dynamic disk, which keeps its volumes' database at its end".into()))
        }
        (TableKind::Mbr, None) if has_data(disk, size)? => {
            let text = "there are bytes behind the last partition that no partition covers: they are cut off";
            Ok(Some(Warning::new("unpartitioned-data-cut", text)))
        }
        _ => Ok(None),
    }
}

/// Whether anything but zeros lies from `start` on.
fn has_data(disk: &Disk, start: u64) -> Result<bool> {
    let mut buf = vec![0; STEP];
    for extent in disk.extents(start, disk.virtual_size()) {
        let extent = extent?;
        let mut at = extent.offset;
        while extent.kind == ExtentKind::Data && at < extent.end() {
            let part = &mut buf[..(extent.end() - at).min(STEP as u64) as usize];
            disk.read_exact_at(at, part)?;
            if !is_zero(part) {
                return Ok(true);
            }
            at += part.len() as u64;
        }
    }
    Ok(false)
}
