//! The check of an expanding image, or of all the files that a descriptor names.

use crate::descriptor::{ImageEntry, StorageEntry, is_descriptor};
use crate::error::ParallelsError;
use crate::expanding::{entry_at, load, page_of};
use crate::layout::MAX_FILES;
use crate::open::{Beside, descriptor_beside, load_descriptor, load_head};
use crate::parse::{Image, has_magic};
use format_core::{CheckReport, Claims, Error, LayerContext, Result, Severity, Storage};
use std::sync::Arc;

pub(crate) fn check(storage: Arc<dyn Storage>, context: &LayerContext) -> Result<CheckReport> {
    let head = load_head(storage.as_ref())?;
    if !is_descriptor(&head) {
        return match has_magic(&head) {
            true => check_image(storage.as_ref()),
            false => check_bare(storage.as_ref(), context),
        };
    }
    let descriptor = load_descriptor(storage.as_ref())?;
    let mut whole = CheckReport::default();
    let of = |storage: &'_ StorageEntry| storage.images.len();
    if descriptor.storages.iter().map(of).sum::<usize>() > MAX_FILES {
        return Err(ParallelsError::TooManyFiles { limit: MAX_FILES }.into());
    }
    let images =
        descriptor.storages.iter().flat_map(|entry| entry.images.iter().map(move |image| (entry, image)));
    for (entry, image) in images {
        let failed = |e: Error| e.context(format!("check {:?}", image.file));
        let file = context.gate.open(&image.file).map_err(failed)?.storage;
        if image.is_plain {
            check_plain(entry, image, file.size(), &mut whole);
            continue;
        }
        add(&mut whole, check_image(&file).map_err(failed)?, &image.file);
    }
    // Which files lie over which has to make sense too.
    descriptor.ancestry(descriptor.top()?)?;
    Ok(whole)
}

/// Checks a file that only the descriptor beside it can tell from any other.
fn check_bare(storage: &dyn Storage, context: &LayerContext) -> Result<CheckReport> {
    let mut report = CheckReport::default();
    match &descriptor_beside(context)? {
        Beside::Found(name, descriptor) => match descriptor.image_of(name) {
            Some((entry, image)) if image.is_plain => check_plain(entry, image, storage.size(), &mut report),
            _ => return Err(ParallelsError::NotParallels.into()),
        },
        _ => return Err(ParallelsError::NotParallels.into()),
    }
    Ok(report)
}

/// All that can be wrong with a plain image is its length.
fn check_plain(entry: &StorageEntry, image: &ImageEntry, found: u64, report: &mut CheckReport) {
    let (wanted, file) = (entry.end - entry.start, image.file.clone());
    report.image_end = report.image_end.max(found);
    if found < wanted {
        let short = ParallelsError::ShortImage { file, found, wanted }.to_string();
        match entry.images.len() {
            1 => report.error(short, None),
            // The disk may have grown since.
            _ => report.note(short, None),
        }
    }
}

/// Adds what was found in one file.
fn add(whole: &mut CheckReport, part: CheckReport, file: &str) {
    let (errors, leaks) = (whole.errors + part.errors, whole.leaks + part.leaks);
    let leaked_bytes = whole.leaked_bytes.saturating_add(part.leaked_bytes);
    for finding in part.findings {
        let message = format!("{file:?}: {}", finding.message);
        match finding.severity {
            Severity::Error => whole.error(message, finding.at),
            Severity::Leak => whole.leak(message, finding.at.unwrap_or(0), 0),
            Severity::Note => whole.note(message, finding.at),
        }
    }
    // Each file keeps its first findings only, but counts them all.
    (whole.errors, whole.leaks, whole.leaked_bytes) = (errors, leaks, leaked_bytes);
    whole.total_chunks += part.total_chunks;
    whole.allocated_chunks += part.allocated_chunks;
    whole.fragmented_chunks += part.fragmented_chunks;
    whole.image_end = whole.image_end.max(part.image_end);
}

fn check_image(storage: &dyn Storage) -> Result<CheckReport> {
    let image = load(storage)?;
    let size = storage.size();
    let mut report = CheckReport { total_chunks: image.clusters(), ..CheckReport::default() };
    if image.in_use {
        report.error(
            "the image was not closed by the last program that wrote it, or is still in use",
            Some(44),
        );
    }
    if !image.is_data_sound {
        report.error("data_off is not behind the BAT, or outside the file", Some(48));
    }
    report.image_end = image.data;
    // Clusters of the file by their number from the start of the data.
    let mut claims = Claims::new(image.cluster_size);
    let (mut cluster, mut last) = (0, None);
    while cluster < image.bat_entries {
        let (page_at, length, _) = page_of(&image, cluster);
        let mut page = vec![0; length];
        storage.read_exact_at(page_at, &mut page)?;
        for place in (0..length).step_by(4) {
            let entry = entry_at(&page, place).unwrap_or(0);
            let at = page_at + place as u64;
            let here = check_entry(&image, cluster, entry, at, &mut claims, &mut report)?;
            if let Some(host) = here {
                report.allocated_chunks += 1;
                let follows = last.is_none_or(|last: u64| last.checked_add(image.cluster_size) == Some(host));
                report.fragmented_chunks += u64::from(!follows);
                report.image_end = report.image_end.max(host.saturating_add(image.cluster_len(cluster)));
            }
            last = here;
            cluster += 1;
        }
    }
    find_leaks(&image, size, &claims, &mut report);
    Ok(report)
}

/// Where the entry's cluster is, if that is a place for one.
fn check_entry(
    image: &Image,
    cluster: u64,
    entry: u32,
    at: u64,
    claims: &mut Claims,
    report: &mut CheckReport,
) -> Result<Option<u64>> {
    let host = match image.place(cluster, entry) {
        Err(error) => {
            report.error(error.to_string(), Some(at));
            return Ok(None);
        }
        Ok(None) => return Ok(None),
        Ok(Some(host)) => host,
    };
    if cluster >= image.clusters() {
        // Data that the guest cannot see: the size in the header is not the one with which they were written.
        let clusters = image.clusters();
        report.error(format!("cluster {cluster} is in the file, the disk has {clusters}"), Some(at));
    }
    let Some(inside) = host.checked_sub(image.data) else {
        let data = image.data;
        report.error(format!("cluster {cluster} is at {host:#x}, before the data at {data:#x}"), Some(at));
        return Ok(Some(host));
    };
    if !inside.is_multiple_of(image.cluster_size) {
        // It may lie in the halves of two others.
        report.error(
            format!("cluster {cluster} at {host:#x} is no whole number of clusters behind the data"),
            Some(at),
        );
        return Ok(Some(host));
    }
    if claims.claim(inside, image.cluster_size)? > 0 {
        report.error(format!("cluster {cluster} shares its place {host:#x} with another"), Some(at));
    }
    Ok(Some(host))
}

fn find_leaks(image: &Image, size: u64, claims: &Claims, report: &mut CheckReport) {
    if image.extension.is_some() {
        report.note(
            "the image has a format extension: clusters that nothing uses are not looked for",
            Some(56),
        );
        return;
    }
    let in_file = size.saturating_sub(image.data).div_ceil(image.cluster_size);
    let leaked = in_file.saturating_sub(claims.count());
    let place = |number: u64| number.saturating_mul(image.cluster_size);
    let Some(first) = (0..in_file).find(|&number| !claims.contains(place(number))) else { return };
    if leaked > 0 {
        let message = format!("{leaked} clusters of the file belong to no cluster of the disk");
        report.leak(message, image.data.saturating_add(place(first)), place(leaked));
        report.leaks += leaked - 1;
    }
}
