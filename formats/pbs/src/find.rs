//! Which snapshot the operator means: a folder of one, of a group, of a datastore, or an index.

use crate::layout::{CHUNKS, DYNAMIC_MAGIC, FIXED_MAGIC, KINDS, MANIFEST, MAX_NAMESPACES, NAMESPACES};
use crate::store::above;
use format_core::{Error, Point, Result, Score, SourceFolder, Storage};

/// Groups that a message lists.
const LISTED: usize = 10;

/// Entries of a folder that are looked at to know what it is.
const FEW: usize = 16;

/// The snapshot that is read.
#[derive(Debug)]
pub(crate) struct Found {
    /// Where it lies below the folder that was named: nothing, or with a `/` at its end.
    pub(crate) prefix: String,
    /// The snapshots of its group, oldest first; none where the snapshot itself was named.
    pub(crate) points: Vec<Point>,
    /// Snapshots of the group that were passed over because they were not finished.
    pub(crate) unfinished: Vec<String>,
}

/// Judges a folder by a few names in it.
pub(crate) fn probe_folder(folder: &SourceFolder) -> Score {
    let is_it = matches!(folder.file_size(MANIFEST), Ok(Some(_)))
        || above(folder).is_some() && (has_groups(folder) || has_snapshot(folder, "") || is_within(folder))
        || is_without_store(folder);
    if is_it { Score::Magic } else { Score::No }
}

/// A part of a datastore that was copied without its chunks, which is told when they are needed. Names are not enough here.
fn is_without_store(folder: &SourceFolder) -> bool {
    let is_group = |prefix: &str| {
        let mut names = folders_in(folder, prefix).into_iter().filter(|name| parse_time(name).is_some());
        names.any(|name| is_surely_snapshot(folder, &format!("{prefix}{name}/")))
    };
    let has_group = |prefix: &str| {
        let names = folders_in(folder, prefix);
        names.iter().take(FEW).any(|name| is_group(&format!("{prefix}{name}/")))
    };
    is_surely_snapshot(folder, "")
        || is_group("")
        || has_group("")
        || KINDS.iter().any(|kind| has_group(&format!("{kind}/")))
}

/// Whether a manifest, or what begins as an index, lies at `prefix`.
fn is_surely_snapshot(folder: &SourceFolder, prefix: &str) -> bool {
    let is_index = |name: &str| {
        let mut magic = [0; 8];
        let file = folder.piece(&format!("{prefix}{name}"));
        file.is_ok_and(|file| file.size() >= 8 && file.read_exact_at(0, &mut magic).is_ok())
            && [FIXED_MAGIC, DYNAMIC_MAGIC].contains(&magic)
    };
    matches!(folder.file_size(&format!("{prefix}{MANIFEST}")), Ok(Some(_)))
        || index_names(folder, prefix).iter().take(FEW).any(|name| is_index(name))
}

/// A root or a namespace.
fn has_groups(folder: &SourceFolder) -> bool {
    KINDS.iter().chain([&NAMESPACES]).any(|name| folder.has_folder(name))
}

/// A group, or the folder of groups of one kind.
fn is_within(folder: &SourceFolder) -> bool {
    let folders = folders_in(folder, "");
    folders.iter().any(|name| parse_time(name).is_some() && has_snapshot(folder, &format!("{name}/")))
        || folders.iter().take(FEW).any(|name| !snapshots(folder, &format!("{name}/")).is_empty())
}

/// Finds the snapshot in the folder that was named.
pub(crate) fn find(folder: &SourceFolder, at: Option<&str>) -> Result<Found> {
    if has_snapshot(folder, "") {
        return Ok(Found { prefix: String::new(), points: Vec::new(), unfinished: Vec::new() });
    }
    if !snapshots(folder, "").is_empty() {
        return in_group(folder, "", at);
    }
    let mut groups = Vec::new();
    add_groups(folder, "", 0, &mut groups);
    match groups.as_slice() {
        [group] => in_group(folder, &format!("{group}/"), at),
        [] => Err(Error::unsupported(format!("there is no snapshot in {}", folder.path().display()))
            .hint("name the folder of a snapshot, such as …/vm/100/2026-11-29T02:00:00Z")
            .in_format(crate::FORMAT.name)),
        several => {
            let names: Vec<_> = several.iter().take(LISTED).map(String::as_str).collect();
            let more = several.len().saturating_sub(LISTED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let text = format!("the datastore holds backups of {} machines", several.len());
            Err(Error::usage(text)
                .hint(format!("name the folder of one of them: {}{more}", names.join(", ")))
                .in_format(crate::FORMAT.name))
        }
    }
}

/// Chooses one of a group's snapshots. Those without a manifest were not finished, and only taken when there are no others.
fn in_group(folder: &SourceFolder, group: &str, at: Option<&str>) -> Result<Found> {
    let is_finished =
        |name: &&String| matches!(folder.file_size(&format!("{group}{name}/{MANIFEST}")), Ok(Some(_)));
    let all = snapshots(folder, group);
    let (finished, mut unfinished): (Vec<_>, Vec<_>) = all.iter().partition(is_finished);
    let taken = if finished.is_empty() { std::mem::take(&mut unfinished) } else { finished };
    let point = |name: &String| Point {
        id: name.clone(),
        time: parse_time(name),
        virtual_size: None,
        is_chosen: false,
    };
    let mut points: Vec<_> = taken.into_iter().map(point).collect();
    points.sort_by_key(|point| point.time);
    let chosen = Point::choose(&points, at).map_err(|e| e.in_format(crate::FORMAT.name))?;
    let mut prefix = group.to_owned();
    for (number, point) in points.iter_mut().enumerate() {
        point.is_chosen = number == chosen;
        if point.is_chosen {
            prefix.push_str(&point.id);
            prefix.push('/');
        }
    }
    Ok(Found { prefix, points, unfinished: unfinished.into_iter().cloned().collect() })
}

/// The folders of snapshots in the group at `prefix`.
fn snapshots(folder: &SourceFolder, prefix: &str) -> Vec<String> {
    let names = folders_in(folder, prefix).into_iter().filter(|name| parse_time(name).is_some());
    names.filter(|name| has_snapshot(folder, &format!("{prefix}{name}/"))).collect()
}

/// Whether a manifest or an index lies at `prefix`.
fn has_snapshot(folder: &SourceFolder, prefix: &str) -> bool {
    matches!(folder.file_size(&format!("{prefix}{MANIFEST}")), Ok(Some(_)))
        || !index_names(folder, prefix).is_empty()
}

/// The files at `prefix` that are called as indexes are.
fn index_names(folder: &SourceFolder, prefix: &str) -> Vec<String> {
    let files = folder.entries(prefix).unwrap_or_default().into_iter().filter(|entry| !entry.is_folder);
    let is_index = |name: &String| name.ends_with(".fidx") || name.ends_with(".didx");
    files.map(|entry| entry.name).filter(is_index).collect()
}

/// Adds the groups below `prefix`, in all namespaces.
fn add_groups(folder: &SourceFolder, prefix: &str, depth: usize, groups: &mut Vec<String>) {
    let mut add = |inside: String| {
        for name in folders_in(folder, &inside) {
            let group = format!("{inside}{name}");
            if !snapshots(folder, &format!("{group}/")).is_empty() {
                groups.push(group);
            }
        }
    };
    for kind in KINDS {
        add(format!("{prefix}{kind}/"));
    }
    if depth == 0 {
        add(String::new());
    }
    if depth < MAX_NAMESPACES {
        for name in folders_in(folder, &format!("{prefix}{NAMESPACES}/")) {
            add_groups(folder, &format!("{prefix}{NAMESPACES}/{name}/"), depth + 1, groups);
        }
    }
}

fn folders_in(folder: &SourceFolder, prefix: &str) -> Vec<String> {
    let entries = folder.entries(prefix.trim_end_matches('/')).unwrap_or_default();
    let folders = entries.into_iter().filter(|entry| entry.is_folder && entry.name != CHUNKS);
    folders.map(|entry| entry.name).collect()
}

/// Seconds since 1970 of a snapshot's name: `2026-11-29T02:00:00Z`; `None` for any other.
pub(crate) fn parse_time(name: &str) -> Option<i64> {
    let bytes = name.as_bytes();
    let shape = b"dddd-dd-ddTdd:dd:ddZ";
    let fits = bytes.len() == shape.len()
        && bytes.iter().zip(shape).all(|(byte, kind)| match kind {
            b'd' => byte.is_ascii_digit(),
            kind => byte == kind,
        });
    let number = |from: usize, to: usize| name.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4).filter(|_| fits)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Years begin in March here, so that the leap day is the last of one.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let days =
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_snapshots_are_times() {
        assert_eq!(parse_time("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(parse_time("2020-06-26T13:56:05Z"), Some(1_593_179_765));
        assert_eq!(parse_time("2024-02-29T12:00:00Z"), Some(1_709_208_000));
        for name in
            ["", "vm", "2020-06-26T13:56:05", "2020-13-26T13:56:05Z", "2020-06-26 13:56:05Z", "ääääääääää"]
        {
            assert_eq!(parse_time(name), None, "{name}");
        }
    }
}
