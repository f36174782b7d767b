//! `rehome mount`

use crate::args::MountArgs;
use crate::commands::open_all;
use crate::output::{Printer, safe, table, to_stderr};
use convert_migrate::{Look, Passphrase, look_into, volumes};
use convert_mount::{Contents, Options, Tree};
use driver_core::{GuestFs, GuestTree, Volume, VolumeId};
use driver_partitions::Window;
use format_core::units::format_size;
use format_core::{Disk, Error, Overlay, Result, Warning};
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// A hostile image must not fill a log.
const MAX_LINES: u32 = 1000;

#[derive(Serialize)]
struct Outcome {
    folder: PathBuf,
    /// What is at which path below it.
    places: Vec<Place>,
    /// What is not shown, and why, one sentence each.
    obstacles: Vec<String>,
    replays: Vec<String>,
    warnings: Vec<Warning>,
}

#[derive(Serialize)]
struct Place {
    path: String,
    /// `disk`, `partition`, `volume`, or the kind of a file system; `guest` for its own tree.
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
}

pub(crate) fn run(args: &MountArgs, printer: &Printer, interrupted: &AtomicBool) -> Result<ExitCode> {
    let (images, dir) = match args.paths.split_last() {
        Some((dir, images)) if !images.is_empty() => (images, dir),
        _ => return Err(Error::usage("an image and a folder to mount it on have to be named")),
    };
    let options = args.open.options()?;
    let (mut disks, mut warnings) = (Vec::new(), Vec::new());
    for opened in open_all(images, &options)? {
        warnings.extend(opened.warnings);
        disks.push(opened.disk);
    }
    let keys = args.open.passphrases()?;
    let look = look_into(&overlays(&disks), &keys)?;
    let mut shown = Shown::default();
    shown.bytes(&disks, &look, &keys)?;
    let (obstacles, replays) = shown.file_systems(look)?;
    let outcome = Outcome { folder: dir.clone(), places: shown.places, obstacles, replays, warnings };
    printer.warnings(&outcome.warnings);
    let lines = AtomicU32::new(0);
    let report = move |error: &Error| {
        let line = lines.fetch_add(1, Ordering::Relaxed);
        if line < MAX_LINES {
            to_stderr(&format!("warning: {}", safe(&error.to_string())));
        } else if line == MAX_LINES {
            to_stderr("warning: more of the like is not said");
        }
    };
    let options =
        Options { folder: dir, allow_other: args.allow_other, interrupted, report: Arc::new(report) };
    convert_mount::mount(&shown.contents, &options, || printer.result(&outcome, human))?;
    Ok(ExitCode::SUCCESS)
}

fn overlays(disks: &[Disk]) -> Vec<Arc<Overlay>> {
    disks.iter().map(|disk| Overlay::new(disk.clone())).collect()
}

#[derive(Default)]
struct Shown {
    contents: Contents,
    places: Vec<Place>,
}

impl Shown {
    /// Disks, partitions and volumes as they lie in the images: the replays are in overlays of their own.
    fn bytes(&mut self, disks: &[Disk], look: &Look, keys: &[Passphrase]) -> Result<()> {
        let untouched = overlays(disks);
        for (number, overlay) in untouched.iter().enumerate() {
            let size = overlay.base().virtual_size();
            let whole = driver_core::PartitionFacts { size, ..Default::default() };
            let path = if disks.len() == 1 { "disk.raw".into() } else { format!("disk{number}.raw") };
            self.volume(path, "disk", Arc::new(Window::of_partition(overlay, &whole)?));
        }
        for (id, volume) in volumes(&untouched, keys)? {
            let (folder, kind) = match id {
                VolumeId::Partition { .. } => ("partitions", "partition"),
                VolumeId::Mapped { .. } => ("volumes", "volume"),
            };
            self.volume(format!("{folder}/{}.raw", look.name(id)), kind, volume);
        }
        Ok(())
    }

    /// File systems and the guest's tree; gives why something is not shown, and what was replayed.
    fn file_systems(&mut self, mut look: Look) -> Result<(Vec<String>, Vec<String>)> {
        let mut obstacles = std::mem::take(&mut look.guest.obstacles);
        for (id, fs) in std::mem::take(&mut look.file_systems) {
            let path = format!("fs/{}", look.name(id));
            match fs {
                Ok(fs) => {
                    let kind = fs.kind();
                    let mut tree = GuestTree::new();
                    tree.mount("/", Box::new(fs));
                    self.tree(path, kind, Tree::new(tree, Vec::new()));
                }
                Err(error) => obstacles.push(format!("{path}: {error}")),
            }
        }
        if let Some(tree) = look.tree {
            let points = look.guest.mounts.into_iter().map(|mount| mount.point).collect();
            self.tree("guest".into(), "guest", Tree::new(tree, points));
        }
        Ok((obstacles, look.replays))
    }

    fn volume(&mut self, path: String, kind: &str, volume: Arc<dyn Volume>) {
        let size = Some(volume.size());
        let path = self.contents.add_volume(&path, volume);
        self.places.push(Place { path, kind: kind.into(), size });
    }

    fn tree(&mut self, path: String, kind: &str, tree: Tree) {
        let path = self.contents.add_tree(&path, tree);
        self.places.push(Place { path, kind: kind.into(), size: None });
    }
}

fn human(outcome: &Outcome) -> String {
    let row = |place: &Place| {
        let size = place.size.map(format_size).unwrap_or_default();
        [place.path.as_str(), &place.kind, &size].map(safe).to_vec()
    };
    let mut text = table(&outcome.places.iter().map(row).collect::<Vec<_>>());
    for (title, lines) in [("Replayed in memory", &outcome.replays), ("Not shown", &outcome.obstacles)] {
        if !lines.is_empty() {
            text.push_str(&format!("{title}\n"));
            lines.iter().for_each(|line| text.push_str(&format!("  {}\n", safe(line))));
        }
    }
    let folder = safe(&outcome.folder.display().to_string());
    text + &format!("Mounted on {folder}. Ctrl-C, or 'umount {folder}', ends.\n")
}
