//! From a file to its shape: headers, log, regions and metadata.

use crate::error::VhdxError;
use crate::layout::{
    HEADER_LEN, HEADER_OFFSETS, HEADER_SECTION, METADATA_TABLE_LEN, PARENT_LOCATOR, REGION_TABLE_LEN,
    REGION_TABLE_OFFSETS,
};
use crate::parse::{
    Facts, Headers, Items, LogState, MAX_LOG, ParentLocator, Region, Regions, parse_headers, parse_locator,
    parse_log, parse_metadata_table, parse_parameters, parse_region_table,
};
use crate::replay::Replayed;
use crate::table::Bat;
use format_core::{Error, Result, Storage, Warning};
use std::sync::Arc;
use uuid::Uuid;

/// An image whose structures were checked.
pub(crate) struct Loaded {
    /// The file as it is after its log was replayed.
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) headers: Headers,
    pub(crate) is_replayed: bool,
    pub(crate) facts: Facts,
    pub(crate) bat: Bat,
    pub(crate) unknown_regions: Vec<Region>,
    pub(crate) locator: Option<ParentLocator>,
    pub(crate) warnings: Vec<Warning>,
}

/// Reads everything in front of the blocks.
pub(crate) fn load(storage: Arc<dyn Storage>, ignore_checksums: bool) -> Result<Loaded> {
    let headers = load_headers(storage.as_ref(), ignore_checksums).map_err(|e| e.context("load headers"))?;
    let mut warnings = Vec::new();
    if headers.are_valid == [false; 2] {
        warnings.push(checksum_ignored("the headers"));
    }
    let (storage, is_replayed) = replay_log(storage, &headers, ignore_checksums, &mut warnings)
        .map_err(|e| e.context("replay log"))?;
    let log = (!headers.log_guid.is_nil())
        .then_some(Region { offset: headers.log_offset, length: headers.log_length });
    let regions = load_regions(storage.as_ref(), log, ignore_checksums, &mut warnings)?;
    let items = load_items(storage.as_ref(), &regions).map_err(|e| e.context("load metadata"))?;
    let load = |id| load_item(storage.as_ref(), &regions, &items, id);
    let facts = parse_parameters(load).map_err(|e| e.context("load metadata"))?;
    let parameters = facts.parameters;
    let (needed, length) = (parameters.bat_len(), regions.bat.length);
    if needed > length {
        return Err(VhdxError::BatTooSmall { needed, length }.into());
    }
    let locator = if parameters.has_parent {
        let bytes = load(PARENT_LOCATOR)?.ok_or(VhdxError::ItemMissing { name: "parent locator" })?;
        Some(parse_locator(&bytes)?)
    } else {
        None
    };
    let header_section = Region { offset: 0, length: HEADER_SECTION };
    let used = [header_section, regions.bat, regions.metadata].into_iter().chain(log).collect();
    let bat = Bat { parameters, region: regions.bat, used, file_size: storage.size() };
    Ok(Loaded {
        storage,
        headers,
        is_replayed,
        facts,
        bat,
        unknown_regions: regions.unknown,
        locator,
        warnings,
    })
}

/// The header that is to be believed.
pub(crate) fn load_headers(storage: &dyn Storage, ignore_checksums: bool) -> Result<Headers> {
    let size = storage.size();
    if size < HEADER_SECTION {
        return Err(VhdxError::TooShort { size }.into());
    }
    let mut identifier = [0; 8];
    storage.read_exact_at(0, &mut identifier)?;
    let [mut first, mut second] = [[0; HEADER_LEN]; 2];
    let [first_at, second_at] = HEADER_OFFSETS;
    storage.read_exact_at(first_at, &mut first)?;
    storage.read_exact_at(second_at, &mut second)?;
    Ok(parse_headers(identifier, &first, &second, size, ignore_checksums)?)
}

/// The file behind its log, and whether there was anything to replay.
fn replay_log(
    storage: Arc<dyn Storage>,
    headers: &Headers,
    ignore_checksums: bool,
    warnings: &mut Vec<Warning>,
) -> Result<(Arc<dyn Storage>, bool)> {
    if headers.log_guid.is_nil() {
        return Ok((storage, false));
    }
    let length = headers.log_length;
    if length > MAX_LOG {
        return Err(VhdxError::LogTooLarge { length, max: MAX_LOG }.into());
    }
    let mut log = vec![0; length as usize];
    storage.read_exact_at(headers.log_offset, &mut log)?;
    let mut state = parse_log(&log, headers.log_guid, true);
    if ignore_checksums && matches!(state, Err(VhdxError::LogBroken { .. })) {
        state = parse_log(&log, headers.log_guid, false);
        warnings.push(checksum_ignored("the log"));
    }
    let replay = match state? {
        LogState::Empty => {
            warnings.push(Warning::new(
                "vhdx-log-empty",
                "the image was not closed, but its log holds no writes that were under way",
            ));
            return Ok((storage, false));
        }
        LogState::Replay(replay) => replay,
    };
    let (flushed, size) = (replay.flushed_file_offset, storage.size());
    if size < flushed {
        return Err(VhdxError::CutOff { flushed, size }.into());
    }
    let (entries, changes) = (replay.entries, replay.changes.len());
    warnings.push(Warning::new(
        "vhdx-log-replayed",
        format!("the image was not closed: {entries} log entries with {changes} changes were replayed in memory, the file is as it was"),
    ));
    Ok((Arc::new(Replayed::new(storage, replay.changes, replay.last_file_offset)), true))
}

/// The first copy of the region table that is whole; with `ignore_checksums` the first that is there, where none is.
fn load_regions(
    storage: &dyn Storage,
    log: Option<Region>,
    ignore_checksums: bool,
    warnings: &mut Vec<Warning>,
) -> Result<Regions> {
    let checks: &[bool] = if ignore_checksums { &[true, false] } else { &[true] };
    for &checked in checks {
        for (copy, at) in REGION_TABLE_OFFSETS.into_iter().enumerate() {
            let mut bytes = vec![0; REGION_TABLE_LEN];
            storage.read_exact_at(at, &mut bytes)?;
            let found = parse_region_table(&bytes, log, storage.size(), checked);
            let Some(regions) = found.map_err(|e| Error::from(e).at(at))? else { continue };
            if !checked {
                warnings.push(checksum_ignored("the region table"));
            } else if copy > 0 {
                warnings.push(Warning::new(
                    "vhdx-region-table-damaged",
                    "the first copy of the region table is damaged, the second was taken",
                ));
            }
            return Ok(regions);
        }
    }
    Err(VhdxError::NoRegionTable.into())
}

fn checksum_ignored(what: &str) -> Warning {
    let text = format!("the checksums of {what} are wrong: what it says may be wrong, and so the disk");
    Warning::new("vhdx-checksum-ignored", text)
}

fn load_items(storage: &dyn Storage, regions: &Regions) -> Result<Items> {
    let mut bytes = vec![0; METADATA_TABLE_LEN];
    let Region { offset, length } = regions.metadata;
    storage.read_exact_at(offset, &mut bytes)?;
    parse_metadata_table(&bytes, length).map_err(|e| Error::from(e).at(offset))
}

/// Reads a metadata item; its place was checked to be in the region and at most 1 MiB long.
fn load_item(storage: &dyn Storage, regions: &Regions, items: &Items, id: Uuid) -> Result<Option<Vec<u8>>> {
    let Some(place) = items.find(id) else { return Ok(None) };
    let mut bytes = vec![0; place.length as usize];
    storage.read_exact_at(regions.metadata.offset.saturating_add(place.offset.into()), &mut bytes)?;
    Ok(Some(bytes))
}
