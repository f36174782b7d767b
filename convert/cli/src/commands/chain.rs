//! `rehome chain`

use crate::args::ChainListArgs;
use crate::output::{Printer, counted, error_json, hint_of, safe, table};
use convert_engine::{Chain, ChainImage, Control, FolderChains, TreeImage, chain_of, chains_in_folder};
use format_core::units::format_size;
use format_core::{Error, OpenOptions, Point, Result, Score, SourceFolder, Warning};
use serde::Serialize;
use serde_json::{Value, json};
use std::path::Path;
use std::process::ExitCode;

#[derive(Serialize)]
struct Outcome {
    /// The images, top first.
    chain: Vec<ChainImage>,
    total: Total,
    /// The points in time of a backup that holds several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    points: Vec<Value>,
    warnings: Vec<Warning>,
    #[serde(flatten)]
    error: Option<Value>,
}

#[derive(Serialize)]
struct FolderOutcome {
    folder: String,
    /// The images, by their paths.
    images: Vec<TreeImage>,
    /// Those that are nobody's parent.
    tops: Vec<usize>,
    total: Total,
    warnings: Vec<Warning>,
    /// All that is broken; the exit code is the first's.
    errors: Vec<Value>,
}

#[derive(Serialize)]
struct Total {
    images: usize,
    file_size: u64,
    allocated_size: u64,
    held_bytes: u64,
}

impl Total {
    fn of<'a>(images: impl Iterator<Item = &'a ChainImage>) -> Self {
        let empty = Self { images: 0, file_size: 0, allocated_size: 0, held_bytes: 0 };
        images.fold(empty, |sum, image| Self {
            images: sum.images + 1,
            file_size: sum.file_size.saturating_add(image.file_size),
            allocated_size: sum.allocated_size.saturating_add(image.allocated_size),
            held_bytes: sum.held_bytes.saturating_add(image.held_bytes.unwrap_or(0)),
        })
    }

    fn line(&self) -> String {
        format!(
            "{}: {} in files, {} on the host, {} of data held\n",
            counted(self.images as u64, "image"),
            format_size(self.file_size),
            format_size(self.allocated_size),
            format_size(self.held_bytes)
        )
    }
}

pub(crate) fn run(args: &ChainListArgs, printer: &Printer, control: Control<'_>) -> Result<ExitCode> {
    if args.chain.ignore_parent {
        return Err(Error::usage("a chain is looked at with its parents: leave --ignore-parent away"));
    }
    let options = args.chain.options(args.format.as_deref())?;
    let is_image = |format: &&format_core::Format| {
        format.folder_entry.is_some_and(|entry| args.image.join(entry).is_file())
    };
    // A backup that is a folder has points in time; any other folder is looked through.
    let backup = SourceFolder::open(&args.image).ok().filter(|_| args.image.is_dir());
    let is_backup = |format: &format_core::Format| {
        format.open_container.is_some()
            && backup.as_ref().is_some_and(|folder| (format.probe_folder)(folder) == Score::Magic)
    };
    let is_one = |format: &&format_core::Format| is_image(format) || is_backup(format);
    if args.image.is_dir() && !options.formats.iter().any(is_one) {
        return folder(&args.image, &options, printer, control);
    }
    let Chain { images, warnings, error, points } = chain_of(&args.image, &options, control)?;
    let shown = error.as_ref().map(|error| error_json(error, hint_of(error).as_deref()));
    let total = Total::of(images.iter());
    let points = points.iter().enumerate().map(point).collect();
    let outcome = Outcome { chain: images, total, points, warnings, error: shown };
    printer.result(&outcome, human)?;
    printer.warnings(&outcome.warnings);
    Ok(verdict(error.as_ref(), printer))
}

fn verdict(error: Option<&Error>, printer: &Printer) -> ExitCode {
    match error {
        None => ExitCode::SUCCESS,
        Some(error) => {
            printer.say(error);
            ExitCode::from(error.kind().exit_code())
        }
    }
}

fn point((index, point): (usize, &Point)) -> Value {
    let Point { id, time, virtual_size, is_chosen } = point;
    json!({ "index": index, "id": id, "time": time, "virtual_size": virtual_size, "is_chosen": is_chosen })
}

fn human(o: &Outcome) -> String {
    let folder = o.chain.first().and_then(|top| Path::new(&top.path).parent().map(Path::to_owned));
    let mut rows = vec![heading()];
    rows.extend(o.chain.iter().map(|image| row(image, folder.as_deref(), "")));
    let mut text = table(&rows);
    text.push_str(&identities(o.chain.iter(), folder.as_deref()));
    text.push_str(&o.total.line());
    if !o.points.is_empty() {
        text.push_str("points in time, which share their data and are no chain:\n");
        for point in &o.points {
            text.push_str(&format!("    {}  {}\n", point["index"], safe(point["id"].as_str().unwrap_or(""))));
        }
    }
    text
}

fn heading() -> Vec<String> {
    ["image", "format", "disk", "file", "holds", "changed", "state"].map(str::to_owned).to_vec()
}

fn row(image: &ChainImage, folder: Option<&Path>, indent: &str) -> Vec<String> {
    vec![
        format!("{indent}{}", shown(&image.path, folder)),
        image.format.to_owned(),
        format_size(image.virtual_size),
        format_size(image.file_size),
        image.held_bytes.map_or("?".into(), format_size),
        image.modified.clone().unwrap_or_else(|| "?".into()),
        image.state.name().to_owned(),
    ]
}

/// The name alone for what lies in the folder.
fn shown(path: &str, folder: Option<&Path>) -> String {
    let path = Path::new(path.strip_prefix("./").unwrap_or(path));
    let inside = folder.and_then(|folder| path.strip_prefix(folder).ok());
    safe(&inside.unwrap_or(path).display().to_string())
}

/// Who is who, for formats that know it.
fn identities<'a>(images: impl Iterator<Item = &'a ChainImage>, folder: Option<&Path>) -> String {
    let mut text = String::new();
    for image in images {
        let parent = image.parent.as_ref().map(|parent| {
            let name = parent.names.first().map_or("a file that it does not name".into(), |name| safe(name));
            let identity = parent.identity.as_ref().map(|id| format!(" ({})", safe(id))).unwrap_or_default();
            format!("is a difference to {name}{identity}")
        });
        let own = image.identity.as_ref().map(|id| format!("has the identity {}", safe(id)));
        let facts: Vec<_> = own.into_iter().chain(parent).collect();
        if !facts.is_empty() {
            text.push_str(&format!("  {} {}\n", shown(&image.path, folder), facts.join(" and ")));
        }
    }
    text
}

fn folder(path: &Path, options: &OpenOptions, printer: &Printer, control: Control<'_>) -> Result<ExitCode> {
    let found = chains_in_folder(path, options, control)?;
    let text = trees(&found, path);
    let FolderChains { images, tops, warnings, errors } = found;
    let shown = errors.iter().map(|error| error_json(error, hint_of(error).as_deref()).take()).collect();
    let outcome = FolderOutcome {
        folder: path.display().to_string(),
        total: Total::of(images.iter().map(|image| &image.image)),
        images,
        tops,
        warnings,
        errors: shown,
    };
    printer.result(&outcome, |o| text + &o.total.line())?;
    printer.warnings(&outcome.warnings);
    for error in errors.iter().skip(1) {
        printer.say(error);
    }
    Ok(verdict(errors.first(), printer))
}

/// All trees, each from its base on.
fn trees(found: &FolderChains, folder: &Path) -> String {
    let parent = |image: &TreeImage| {
        let found = image.parent_index.and_then(|at| found.images.get(at));
        found.map_or_else(String::new, |parent| shown(&parent.image.path, Some(folder)))
    };
    let mut rows = vec![[heading(), vec!["parent".into()]].concat()];
    let mut seen = vec![false; found.images.len()];
    // What has no root is its own ancestor: shown, so that it is not missed.
    for start in found.roots().into_iter().chain(0..found.images.len()) {
        let mut open = vec![(start, 0)];
        while let Some((at, depth)) = open.pop() {
            let (Some(image), Some(seen)) = (found.images.get(at), seen.get_mut(at)) else { continue };
            if std::mem::replace(seen, true) {
                continue;
            }
            let row = row(&image.image, Some(folder), &"  ".repeat(depth));
            rows.push([row, vec![parent(image)]].concat());
            let deeper = if image.children.len() > 1 { depth + 1 } else { depth };
            open.extend(image.children.iter().rev().map(|child| (*child, deeper)));
        }
    }
    if rows.len() == 1 {
        return format!("no image in {}\n", safe(&folder.display().to_string()));
    }
    table(&rows)
}
