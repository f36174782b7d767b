//! Bringing an image that exists up to date with a source, by rewriting only what differs.
//!
//! The target's manifest is no proof of what it holds now: a test machine may have run on it. So both disks are read, and
//! the manifest is only compared with what the image says of itself.

mod copy;
mod hashes;
mod trust;

pub use copy::SyncTotals;

use crate::digest::BlockList;
use crate::manifest::{Manifest, SourceFacts, blocks_path, manifest_path};
use crate::observer::Control;
use crate::run::size_in;
use crate::sources::{SourceFile, refuse_source_file, refuse_source_files};
use crate::watch::{Watch, reads_as};
use copy::sync_disks;
use format_core::{
    DeviceInPlace, DeviceTarget, Disk, Error, ErrorKind, FileInPlace, FileTarget, Format, Layer,
    LayerContext, OpenOptions, OpenedImage, RangeSet, Remote, Result, Storage, Update, UpdateStorage,
    Warning, open_image,
};
pub use hashes::{differing as lag, source_blocks};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use trust::Before;

/// What is brought up to date.
pub enum SyncTarget<'a> {
    /// An image file.
    File {
        /// Its name.
        path: &'a Path,
        /// Its format where the operator named it; else its name and its bytes say it.
        format: Option<&'static Format>,
        /// The formats that it can have.
        formats: &'static [&'static Format],
    },
    /// A block device that holds the raw disk.
    Device {
        /// The device, open for us alone.
        device: DeviceTarget,
        /// Its name.
        path: &'a Path,
        /// The format of raw disks.
        format: &'static Format,
    },
}

/// What a synchronisation did.
#[derive(Debug)]
pub struct SyncOutcome {
    /// The format of the target.
    pub format: &'static Format,
    /// The hashes of the disk's blocks.
    pub blocks: BlockList,
    /// What was read and rewritten.
    pub totals: SyncTotals,
    /// The manifest to save; `None` for devices, and where the one that is there says the same.
    pub manifest: Option<Manifest>,
    /// Whether an interrupted run was completed.
    pub was_unfinished: bool,
    /// What a person should know.
    pub warnings: Vec<Warning>,
}

/// Makes the target's disk read as the source's. While it is half done, a file is called `NAME.partial`, with a marker
/// `NAME.partial.sync`; the same call goes on with that. Where nothing differs, nothing is touched. The manifest is made
/// but not saved.
///
/// # Errors
/// `Unsupported` for a target that cannot be changed in place; `Destination` when there is none, when it has another size,
/// or a needed name is taken; `Temporary` when it is in use or the run is interrupted; what source, target and host report.
pub fn sync(
    source: &OpenedImage,
    target: SyncTarget<'_>,
    changes: Changes<'_>,
    control: Control<'_>,
) -> Result<SyncOutcome> {
    match target {
        SyncTarget::File { path, format, formats } => {
            sync_file(source, path, (format, formats), changes, control)
                .map_err(|e| e.context(format!("bring {} up to date", path.display())))
        }
        SyncTarget::Device { device, path, format } => {
            sync_device(source, device, path, format, changes, control)
        }
    }
}

/// What is known of the ranges in which source and target differ.
#[derive(Clone, Copy, Debug)]
pub enum Changes<'a> {
    /// Nothing: both are read as a whole.
    Unknown,
    /// They differ nowhere else, as something at the source kept track, and as long as the target is what its manifest says; blocks that
    /// are not are read as a whole.
    Tracked(&'a RangeSet),
    /// The source's side takes hashes of its disk; of the source, only the leaves are read whose hashes are others.
    ByHashes(&'a dyn Remote),
}

fn sync_file(
    source: &OpenedImage,
    path: &Path,
    (format, formats): (Option<&'static Format>, &'static [&'static Format]),
    changes: Changes<'_>,
    control: Control<'_>,
) -> Result<SyncOutcome> {
    let sources = SourceFile::of_images([source]);
    refuse_source_files(path, &sources)?;
    let watch = Watch::begin(&sources)?;
    let marker = FileTarget::update_marker(path);
    if let Ok(found) = marker.metadata() {
        refuse_source_file(&marker, (found.dev(), found.ino()), &sources)?;
    }
    let unfinished = FileInPlace::unfinished(path)?;
    let noted =
        unfinished.as_deref().and_then(|name| formats.iter().find(|format| format.name == name).copied());
    let name = if unfinished.is_some() { FileTarget::partial_path(path) } else { path.to_owned() };
    let mut options = OpenOptions::new(formats, format.or(noted));
    // A difference is refused below, whether its parent is there or not.
    options.access.ignore_parents = true;
    let target = open_target(&name, &options)?;
    let format = target.chain.first().map(|link| link.format).ok_or_else(no_layer)?;
    let stale = vec![manifest_path(path), blocks_path(path)];
    let file = Arc::new(FileInPlace::open(path, format.name, stale)?);
    let same = target.chain.first().is_some_and(|link| file.is(link.file_id));
    if file.name() != name || !same {
        let text = format!("{} was replaced meanwhile", path.display());
        return Err(Error::new(ErrorKind::Temporary, text).hint("run the same command again"));
    }
    let update = open_update(format, &target, Arc::clone(&file) as Arc<dyn UpdateStorage>)?;
    let mut warnings = manifest_warning(path, format, update.virtual_size());
    let before = Before::of(path, format.name, update.virtual_size());
    let disk = source_disk(source, format, update.as_ref(), &mut warnings)?;
    if disk.virtual_size() > update.virtual_size() {
        update.grow_to(disk.virtual_size())?;
    }
    let old = target.disk.grown_to(disk.virtual_size());
    let work = || {
        let plan = before.plan(changes, &old, source.disk.virtual_size(), control)?;
        sync_disks(&disk, &old, update.as_ref(), plan.known(), control)
    };
    let (blocks, totals) =
        watch.over(work, |(blocks, _)| reads_as(blocks, &disk, control)).map_err(|e| next_step(e, &file))?;
    warnings.extend(before.warning(changes, totals.blocks_doubted));
    if file.is_begun() {
        update.finish().map_err(|e| next_step(e, &file))?;
    }
    file.commit()?;
    let manifest = manifest_unless_same(path, format, &blocks, SourceFacts::of_image(source))?;
    Ok(SyncOutcome { format, blocks, totals, manifest, was_unfinished: file.was_unfinished(), warnings })
}

/// A device has no name that could say that it is half done, and no manifest.
fn sync_device(
    source: &OpenedImage,
    device: DeviceTarget,
    path: &Path,
    format: &'static Format,
    changes: Changes<'_>,
    control: Control<'_>,
) -> Result<SyncOutcome> {
    let size = source.disk.virtual_size();
    let watch = Watch::begin(&SourceFile::of_images([source]))?;
    format_core::TargetStorage::set_len(&device, size)?;
    let storage = Arc::new(DeviceInPlace::new(device, path)?);
    let layer = open_layer(format, Arc::clone(&storage) as Arc<dyn Storage>)?;
    let old = Disk::new(vec![layer])?.cut_to(size);
    let open = format.open_update.ok_or_else(|| not_in_place(format))?;
    let update = open(storage)?;
    let before = Before::default();
    let work = || {
        let plan = before.plan(changes, &old, size, control)?;
        sync_disks(&source.disk, &old, update.as_ref(), plan.known(), control)
    };
    let (blocks, totals) = watch.over(work, |(blocks, _)| reads_as(blocks, &source.disk, control))?;
    update.finish()?;
    let (manifest, was_unfinished) = (None, false);
    let warnings = before.warning(changes, totals.blocks_doubted).into_iter().collect();
    Ok(SyncOutcome { format, blocks, totals, manifest, was_unfinished, warnings })
}

fn open_layer(format: &'static Format, storage: Arc<dyn Storage>) -> Result<Arc<dyn Layer>> {
    let open = format.open_layer.ok_or_else(|| not_in_place(format))?;
    Ok(Arc::from(open(storage, &LayerContext::new(Arc::new(format_core::DenyAll)))?))
}

fn open_target(path: &Path, options: &OpenOptions) -> Result<OpenedImage> {
    open_image(path, options).map_err(|e| match e.kind() {
        ErrorKind::SourceMissing => e
            .with_kind(ErrorKind::Destination)
            .hint("there is nothing to bring up to date: leave --sync away to write it anew"),
        ErrorKind::Usage => e.hint("name the target's format with -O"),
        // The key, if any, is the source's.
        ErrorKind::NeedsPerson => e.with_kind(ErrorKind::Unsupported).hint(
            "encrypted images are not changed in place: convert it anew, with --force and without --sync",
        ),
        _ => e,
    })
}

fn open_update(
    format: &'static Format,
    target: &OpenedImage,
    storage: Arc<dyn UpdateStorage>,
) -> Result<Box<dyn Update>> {
    let in_one_file = target.chain.len() == 1 && target.chain.iter().all(|link| link.parts.is_empty());
    if !in_one_file {
        return Err(Error::unsupported(
            "the target consists of several files: it cannot be changed in place",
        )
        .hint("convert it anew, with --force and without --sync"));
    }
    let open = format.open_update.ok_or_else(|| not_in_place(format))?;
    open(storage)
}

fn not_in_place(format: &Format) -> Error {
    Error::unsupported(format!("{} images cannot be changed in place", format.name))
        .hint("convert it anew, with --force and without --sync")
}

fn no_layer() -> Error {
    Error::contract("an image without layers")
}

/// The source's disk as the target holds it: the format may have rounded the size up.
fn source_disk(
    source: &OpenedImage,
    format: &'static Format,
    update: &dyn Update,
    warnings: &mut Vec<Warning>,
) -> Result<Disk> {
    let (own, wanted) = (update.virtual_size(), source.disk.virtual_size());
    let (rounded, remarks) = size_in(format, wanted, &BTreeMap::new())?;
    if own == rounded {
        warnings.extend(remarks);
        return Ok(source.disk.grown_to(own));
    }
    if own > rounded {
        let text = format!("the target's disk has {own} bytes, the source's has only {wanted}");
        return Err(Error::new(ErrorKind::Destination, text)
            .hint("a disk is not made smaller in place: convert it anew, with --force and without --sync"));
    }
    Ok(source.disk.grown_to(rounded))
}

/// What the manifest says, against what the image says of itself.
fn manifest_warning(path: &Path, format: &Format, size: u64) -> Vec<Warning> {
    let path = manifest_path(path);
    if path.symlink_metadata().is_err() {
        return Vec::new();
    }
    let text = match Manifest::load(&path) {
        Err(error) => format!("the target's manifest cannot be used: {error}"),
        Ok((manifest, _)) if manifest.virtual_size != size || manifest.image.format != format.name => {
            let (said, of) = (manifest.virtual_size, &manifest.image.format);
            let own = format.name;
            format!(
                "the target's manifest is about a {of} disk of {said} bytes, the image is {own} with {size} bytes"
            )
        }
        Ok(_) => return Vec::new(),
    };
    vec![Warning::new("sync-manifest-disagrees", format!("{text}; it is written anew"))]
}

/// A manifest for the image, unless the one that it has says the same of it.
fn manifest_unless_same(
    path: &Path,
    format: &Format,
    blocks: &BlockList,
    source: SourceFacts,
) -> Result<Option<Manifest>> {
    let new = Manifest::new(path, format.name, blocks, source)?;
    let same = Manifest::load(&manifest_path(path)).is_ok_and(|(old, _)| {
        old.digest == new.digest && old.image == new.image && old.unreadable.is_empty()
    });
    Ok((!same).then_some(new))
}

/// An error after the first change leaves an image that only this command completes.
fn next_step(error: Error, file: &FileInPlace) -> Error {
    if file.is_begun() {
        return error
            .hint("the target is half done and has no name: run the same command again to complete it");
    }
    error
}
