//! A list of machines as CSV: of one's own making, or what RVTools exports.

use super::{PlannedJob, name_all};
use crate::model::{Firmware, Platform};
use format_core::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// As many disks as a machine can have.
const MOST_DISKS: usize = 256;

/// Which folder holds what VMware calls `[NAME]`.
pub type Datastores = BTreeMap<String, PathBuf>;

/// What a column means, by the names it goes by.
const COLUMNS: [(Column, &[&str]); 12] = [
    (Column::Id, &["id", "vm", "name", "vm name"]),
    (Column::Source, &["source", "path", "disk path", "file", "image"]),
    (Column::To, &["to", "platform"]),
    (Column::Network, &["network", "network map", "networks"]),
    (Column::Machine, &["machine", "definition"]),
    (Column::Format, &["format"]),
    (Column::Firmware, &["firmware"]),
    (Column::Wave, &["wave"]),
    (Column::Priority, &["priority"]),
    (Column::Output, &["output"]),
    (Column::Title, &["title", "annotation", "notes"]),
    (Column::KeyFile, &["key file"]),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    Id,
    Source,
    To,
    Network,
    Machine,
    Format,
    Firmware,
    Wave,
    Priority,
    Output,
    Title,
    KeyFile,
}

/// Jobs of a list with a header, and the columns that mean nothing here. `name` is the list's name in messages; paths in it are relative
/// to `folder`. Rows of the same machine are disks of one job.
///
/// # Errors
/// `Usage` with row and column of what cannot be read.
pub fn parse_list(
    content: &str,
    name: &str,
    folder: &Path,
    datastores: &Datastores,
) -> Result<(Vec<PlannedJob>, Vec<String>)> {
    let content = content.strip_prefix('\u{feff}').unwrap_or(content);
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter(content))
        .trim(csv::Trim::All)
        .from_reader(content.as_bytes());
    let header = reader.headers().map_err(|e| broken(name, &e))?.clone();
    let meanings: Vec<Option<Column>> = header.iter().map(meaning).collect();
    let list = List { name, folder, datastores, header: &header };
    if !meanings.contains(&Some(Column::Source)) {
        return Err(list
            .wrong(1, 0, "no column names the sources")
            .hint("call one of the columns source, or as RVTools does Path"));
    }
    for (at, column) in meanings.iter().enumerate().filter(|(_, column)| column.is_some()) {
        if meanings[..at].contains(column) {
            return Err(list.wrong(1, at, "another column means the same"));
        }
    }
    let unused = header.iter().zip(&meanings).filter(|(_, column)| column.is_none());
    let unused = unused.map(|(name, _)| name.to_owned()).filter(|name| !name.is_empty()).collect();
    let mut jobs: Vec<PlannedJob> = Vec::new();
    let mut rows: BTreeMap<String, usize> = BTreeMap::new();
    for record in reader.records() {
        let record = record.map_err(|e| broken(name, &e))?;
        let line = record.position().map_or(0, csv::Position::line);
        let job = list.job(line, &record, &meanings)?;
        match rows.get(&job.id.to_lowercase()).and_then(|at| jobs.get_mut(*at)) {
            Some(first) if !job.id.is_empty() => list.join(line, first, job)?,
            _ => {
                rows.insert(job.id.to_lowercase(), jobs.len());
                jobs.push(job);
            }
        }
    }
    if jobs.is_empty() {
        return Err(list.wrong(2, 0, "the list has no machine"));
    }
    for job in jobs.iter_mut().filter(|job| !job.id.is_empty()) {
        job.title = job.title.take().or_else(|| Some(job.id.clone()));
        job.id = crate::resolve::id_of_name(&job.id);
    }
    // Names that were different may not be so any more.
    let mut seen = std::collections::BTreeSet::new();
    jobs.iter_mut().filter(|job| !seen.insert(job.id.to_lowercase())).for_each(|job| job.id.clear());
    name_all(&mut jobs);
    Ok((jobs, unused))
}

/// Excel separates by semicolons where the comma is in numbers.
fn delimiter(content: &str) -> u8 {
    let header = content.lines().next().unwrap_or_default();
    let count = |wanted: char| header.chars().filter(|c| *c == wanted).count();
    [(',', b','), (';', b';'), ('\t', b'\t')]
        .iter()
        .rev()
        .max_by_key(|(c, _)| count(*c))
        .map_or(b',', |(_, byte)| *byte)
}

fn meaning(name: &str) -> Option<Column> {
    let plain = name.to_lowercase().replace(['_', '-'], " ");
    COLUMNS.iter().find(|(_, names)| names.contains(&plain.as_str())).map(|(column, _)| *column)
}

fn broken(name: &str, error: &csv::Error) -> Error {
    let line = error.position().map_or(0, csv::Position::line);
    let what = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("there are {len} columns and not {expected_len} as in the header")
        }
        csv::ErrorKind::Utf8 { .. } => "this is not UTF-8".to_owned(),
        _ => "this is no CSV".to_owned(),
    };
    Error::usage(format!("{name}:{line}: {what}")).hint("put values with commas or quotes into quotes")
}

struct List<'l> {
    name: &'l str,
    folder: &'l Path,
    datastores: &'l Datastores,
    header: &'l csv::StringRecord,
}

impl List<'_> {
    fn wrong(&self, line: u64, column: usize, what: &str) -> Error {
        let title = self.header.get(column).unwrap_or_default();
        let column = column + 1;
        Error::usage(format!("{}:{line}: column {column} ({title:?}): {what}", self.name))
    }

    fn job(&self, line: u64, record: &csv::StringRecord, meanings: &[Option<Column>]) -> Result<PlannedJob> {
        let mut job = PlannedJob::default();
        for (at, (value, meaning)) in record.iter().zip(meanings).enumerate() {
            let Some(meaning) = meaning else { continue };
            if value.is_empty() {
                if *meaning == Column::Source {
                    return Err(self.wrong(line, at, "the source is missing"));
                }
                continue;
            }
            self.put(&mut job, *meaning, value, line, at)?;
        }
        Ok(job)
    }

    fn put(&self, job: &mut PlannedJob, meaning: Column, value: &str, line: u64, at: usize) -> Result<()> {
        let number = || self.wrong(line, at, &format!("{value:?} is no number that is possible here"));
        match meaning {
            Column::Id => job.id = value.to_owned(),
            Column::Source => self.source(job, value, line, at)?,
            Column::To => {
                let known = Platform::ALL.iter().find(|to| to.word().eq_ignore_ascii_case(value));
                let words: Vec<_> = Platform::ALL.iter().map(|to| to.word()).collect();
                let text = format!("{value:?} is no platform: possible are {}", words.join(", "));
                job.to = Some(*known.ok_or_else(|| self.wrong(line, at, &text))?);
            }
            Column::Network => {
                for pair in value.split([';', '|']).filter(|pair| !pair.trim().is_empty()) {
                    let (from, to) = pair.rsplit_once('=').ok_or_else(|| {
                        self.wrong(line, at, &format!("{pair:?} is no SOURCE=TARGET"))
                            .hint("write LAN1=LAN;LAN2=DMZ, or *=LAN for all")
                    })?;
                    job.networks.insert(from.trim().to_owned(), to.trim().to_owned());
                }
            }
            Column::Machine => job.machine.push(self.path(value, line, at)?),
            Column::Format => job.format = Some(value.to_owned()),
            Column::Firmware => {
                job.firmware = Some(match value.to_lowercase().as_str() {
                    "efi" | "uefi" => Firmware::Uefi,
                    "bios" => Firmware::Bios,
                    "auto" => Firmware::Auto,
                    _ => return Err(self.wrong(line, at, &format!("{value:?} is neither bios nor uefi"))),
                });
            }
            Column::Wave => {
                job.wave = Some(value.parse().ok().filter(|wave| *wave <= 100_000).ok_or_else(number)?)
            }
            Column::Priority => job.priority = Some(value.parse().map_err(|_| number())?),
            Column::Output => job.output = Some(PathBuf::from(value)),
            Column::Title => job.title = Some(value.to_owned()),
            Column::KeyFile => job.key_file.push(self.path(value, line, at)?),
        }
        Ok(())
    }

    /// RVTools names a machine's VMX in one list and its disks in another.
    fn source(&self, job: &mut PlannedJob, value: &str, line: u64, at: usize) -> Result<()> {
        let path = self.path(value, line, at)?;
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("vmx")) {
            job.comments.push(
                "the list names the machine's description; further disks of it are to be added here".into(),
            );
            job.sources.push(path.with_extension("vmdk"));
            job.machine.push(path);
        } else {
            job.sources.push(path);
        }
        Ok(())
    }

    fn path(&self, value: &str, line: u64, at: usize) -> Result<PathBuf> {
        let Some((store, rest)) = value.strip_prefix('[').and_then(|rest| rest.split_once(']')) else {
            return Ok(self.folder.join(value));
        };
        let folder = self.datastores.get(store).ok_or_else(|| {
            self.wrong(line, at, &format!("nothing says where the datastore {store:?} is"))
                .hint("say it with --datastore NAME=DIR")
        })?;
        let rest = rest.trim().trim_start_matches('/');
        if rest.split('/').any(|part| part == "..") {
            return Err(self.wrong(line, at, "the path leads out of its datastore"));
        }
        Ok(folder.join(rest))
    }

    /// One more disk of the machine.
    fn join(&self, line: u64, first: &mut PlannedJob, more: PlannedJob) -> Result<()> {
        if more.to != first.to || more.wave != first.wave || more.output != first.output {
            let text = format!("two rows of {:?} say different things of the machine", first.id);
            return Err(self
                .wrong(line, 0, &text)
                .hint("give rows of one machine the same platform, wave and output"));
        }
        if first.sources.len() >= MOST_DISKS {
            let text =
                format!("{:?} has more than {MOST_DISKS} rows: no machine has so many disks", first.id);
            return Err(self.wrong(line, 0, &text));
        }
        if more.format != first.format {
            first.format = None;
        }
        first.sources.extend(more.sources);
        first.networks.extend(more.networks);
        let known = first.machine.clone();
        first.machine.extend(more.machine.into_iter().filter(|path| !known.contains(path)));
        Ok(())
    }
}
