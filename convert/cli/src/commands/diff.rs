//! `rehome diff`

use crate::args::DiffArgs;
use crate::output::{Printer, counted, more, safe, table};
use convert_engine::{ChangedRange, Control, Differences, MANIFEST_SUFFIX, diff_disks, diff_manifest};
use convert_migrate::{Located, Place, locate};
use format_core::units::format_size;
use format_core::{Error, Result, Warning, open_image};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

/// Ranges and owners that people are shown.
const SHOWN: usize = 20;

#[derive(Serialize)]
struct Outcome {
    a: String,
    b: String,
    #[serde(flatten)]
    differences: Differences,
    /// What lies in the differing ranges of the first disk.
    places_a: Located,
    /// The same of the second one; `None` for a manifest.
    places_b: Option<Located>,
    warnings: Vec<Warning>,
}

pub(crate) fn run(args: &DiffArgs, printer: &Printer, control: Control<'_>) -> Result<ExitCode> {
    if is_manifest(&args.a) {
        return Err(Error::usage(format!(
            "{} is a manifest, and the first one must be an image",
            args.a.display()
        ))
        .hint("name the image first, then the manifest"));
    }
    let a = open_image(&args.a, &args.open.options_a()?)?;
    printer.warnings(&a.warnings);
    let mut warnings = a.warnings;
    let (differences, b) = if is_manifest(&args.b) {
        (diff_manifest(&a.disk, &args.b, control)?, None)
    } else {
        let b = open_image(&args.b, &args.open.options_b()?)?;
        printer.warnings(&b.warnings);
        warnings.extend(b.warnings);
        (diff_disks(&a.disk, &b.disk, control)?, Some(b.disk))
    };
    let ranges = &differences.differing.ranges;
    let outcome = Outcome {
        a: args.a.display().to_string(),
        b: args.b.display().to_string(),
        places_a: locate(&a.disk, ranges, control)?,
        places_b: b.map(|disk| locate(&disk, ranges, control)).transpose()?,
        differences,
        warnings,
    };
    printer.result(&outcome, human)?;
    Ok(ExitCode::from(u8::from(!outcome.differences.same)))
}

fn is_manifest(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(MANIFEST_SUFFIX.as_bytes())
}

fn human(o: &Outcome) -> String {
    let found = &o.differences;
    let mut text = String::new();
    if found.size_a != found.size_b {
        text.push_str(&format!(
            "the sizes differ: {} and {} bytes; compared are the first {}\n",
            found.size_a, found.size_b, found.compared
        ));
    }
    if found.differing.count == 0 {
        let what = if found.same { "the disks are the same" } else { "no difference in what was compared" };
        return text + what + "\n";
    }
    text.push_str(&format!(
        "{} of {} bytes differ, in {} (told in steps of {})\n\nRanges\n",
        found.differing.bytes,
        found.compared,
        counted(found.differing.count, "range"),
        format_size(found.granularity)
    ));
    text.push_str(&table(&found.differing.ranges.iter().take(SHOWN).map(range_row).collect::<Vec<_>>()));
    text.push_str(&more(found.differing.count, SHOWN));
    text.push_str("\nWhat lies there\n");
    text.push_str(&owner_table(o));
    let gaps_b = o.places_b.iter().flat_map(|places| &places.gaps);
    let gaps: Vec<_> = o.places_a.gaps.iter().chain(gaps_b).collect();
    if !gaps.is_empty() {
        text.push_str("\nCould not be looked at\n");
        gaps.iter().take(SHOWN).for_each(|gap| text.push_str(&format!("  {}\n", safe(gap))));
        text.push_str(&more(gaps.len() as u64, SHOWN));
    }
    text
}

fn range_row(range: &ChangedRange) -> Vec<String> {
    vec![format!("{:#x}", range.offset), format_size(range.len)]
}

/// Where something lies, and what.
type OwnerName = (Option<u32>, String, String);

/// What the two disks have of one owner: bytes, and where they begin.
#[derive(Default)]
struct Shares {
    first: Option<u64>,
    a: u64,
    b: u64,
}

/// A line for each owner, by the place of its first byte.
fn owner_table(o: &Outcome) -> String {
    let mut owners: BTreeMap<OwnerName, Shares> = BTreeMap::new();
    let b = o.places_b.iter().flat_map(|located| located.places.iter().map(|place| (place, false)));
    for (place, is_a) in o.places_a.places.iter().map(|place| (place, true)).chain(b) {
        let shares = owners.entry(owner_name(place)).or_default();
        shares.first = Some(shares.first.map_or(place.offset, |first| first.min(place.offset)));
        *(if is_a { &mut shares.a } else { &mut shares.b }) += place.len;
    }
    let mut owners: Vec<_> = owners.into_iter().collect();
    owners.sort_by_key(|(_, shares)| shares.first);
    let row = |((_, whose, what), shares): &(OwnerName, Shares)| {
        let side = match (shares.a, shares.b, &o.places_b) {
            (.., None) => "",
            (_, 0, _) => "only in A",
            (0, ..) => "only in B",
            _ => "in both",
        };
        let first = format!("{:#x}", shares.first.unwrap_or(0));
        vec![first, format_size(shares.a.max(shares.b)), whose.clone(), what.clone(), side.to_owned()]
    };
    let rows: Vec<_> = owners.iter().take(SHOWN).map(row).collect();
    table(&rows) + &more(owners.len() as u64, SHOWN)
}

fn owner_name(place: &Place) -> OwnerName {
    let file_system = place.file_system.as_deref().unwrap_or("not recognised");
    let whose = match place.partition {
        None => "-".to_owned(),
        Some(0) => format!("disk ({file_system})"),
        Some(number) => format!("partition {number} ({file_system})"),
    };
    let part = place.part.as_deref();
    let what = match (place.kind, part) {
        ("file", part) => {
            let inode = place.inode.unwrap_or(0);
            let paths =
                if place.paths.is_empty() { format!("inode {inode}") } else { place.paths.join(", ") };
            part.map_or(paths.clone(), |part| format!("{part} of {paths}"))
        }
        ("metadata", Some(part)) => format!("file system: {part}"),
        ("free", _) => "free space".to_owned(),
        ("unknown", _) => "not known".to_owned(),
        (kind, _) => kind.to_owned(),
    };
    (place.partition, safe(&whose), safe(&what))
}
