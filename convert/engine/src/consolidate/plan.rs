//! What a consolidation would do, and why it would not: everything is looked at before anything is written.

use super::away::{refuse_taken, usable};
use super::forks::refuse_forks;
use super::host::{FileFacts, free_bytes, look, refuse_in_use};
use super::kinship::Removed;
use super::{ConsolidatePlan, ConsolidateRequest, PlannedFile};
use crate::chain::folder_of;
use crate::manifest::{blocks_path, manifest_path};
use crate::observer::Control;
use crate::reading::data_bytes;
use crate::run::size_in;
use format_core::units::format_size;
use format_core::{ChainLink, Disk, Error, ErrorKind, Layer, OpenedImage, Result, Warning, open_image};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Formats of which a full image can take the place of a difference.
const FORMATS: [&str; 4] = ["qcow2", "vhdx", "vhd", "vmdk"];

/// A chain and what is to become of it.
pub(super) struct Prepared {
    pub(super) plan: ConsolidatePlan,
    /// The layers, top first.
    pub(super) layers: Vec<Arc<dyn Layer>>,
    /// The oldest kept point with all its parents.
    pub(super) oldest: OpenedImage,
    /// The files of the kept points, top first.
    pub(super) paths: Vec<PathBuf>,
    pub(super) replaced: FileFacts,
    pub(super) kept: Vec<FileFacts>,
    pub(super) old: Vec<FileFacts>,
    /// Where old files go that are kept.
    pub(super) keep_old: Option<PathBuf>,
    pub(super) options: BTreeMap<String, String>,
    pub(super) warnings: Vec<Warning>,
}

/// Where the files lie: the canonical folder of the top image, and its name.
pub(super) fn place_of(top: &Path) -> Result<(PathBuf, String)> {
    let found = look(top)?;
    if !found.is_file() {
        let text = format!("{} is no regular file", top.display());
        return Err(Error::unsupported(text).hint("name the image's own file, not a link or a device"));
    }
    let folder = folder_of(top).canonicalize();
    let folder = folder.map_err(|e| Error::io(format!("cannot examine {}", top.display()), e))?;
    Ok((folder, FileFacts::of(top)?.name))
}

/// What was found.
pub(super) enum Look {
    /// The chain has no more images than are to be kept.
    Short,
    /// There is something to do.
    Long(Box<Prepared>),
}

/// Looks at the chain.
///
/// # Errors
/// As [`super::consolidate`].
pub(super) fn prepare(
    request: &ConsolidateRequest<'_>,
    folder: &Path,
    name: &str,
    control: Control<'_>,
) -> Result<Look> {
    let opened = open_image(&folder.join(name), request.open)?;
    if opened.inside.is_some() {
        let text = "the points of a backup share their data: there is no chain to be consolidated";
        return Err(Error::unsupported(text).hint("expire points with the backup's own program"));
    }
    if request.keep == 0 {
        return Err(Error::usage("at least one point has to be kept"));
    }
    let (chain, layers) = (&opened.chain, opened.disk.layers().to_vec());
    if chain.len() <= request.keep {
        return Ok(Look::Short);
    }
    let (kept, older) = chain.split_at(request.keep);
    let (Some(oldest), Some(layer)) = (kept.last(), layers.get(request.keep - 1)) else {
        return Err(Error::contract("a chain without the image that is kept"));
    };
    check_kept(kept, folder)?;
    check_content(std::iter::once(oldest).chain(older), layers.iter().skip(request.keep - 1))?;
    check_format(oldest, layer.as_ref(), request.keep.checked_sub(2).and_then(|child| layers.get(child)))?;
    let options = writer_options(oldest, layer.as_ref(), request)?;
    let (old, left) = old_files(kept, older, folder)?;
    let (replaced, keep_old) = (facts_of(oldest)?, usable(request.keep_old, folder)?);
    if let Some(away) = &keep_old {
        refuse_taken(away, old.iter().chain([&replaced]))?;
    }
    for (index, link) in chain.iter().enumerate().filter(|(_, link)| is_in(&link.path, folder)) {
        refuse_in_use(&link.path, index >= request.keep - 1)?;
    }
    let images = older.iter().zip(layers.iter().skip(request.keep).map(AsRef::as_ref));
    let images = images.map(|(link, layer)| (link.path.as_path(), layer));
    let images = images.filter(|(path, _)| is_in(path, folder)).collect();
    let removed = Removed { images, files: numbers(&old, folder)? };
    let own = chain.iter().flat_map(ChainLink::file_ids).collect();
    refuse_forks(folder, &own, &removed, request.open, control)?;
    let disk = Disk::new(layers.iter().skip(request.keep - 1).cloned().collect())?;
    let below = chain.iter().skip(request.keep - 1).cloned().collect();
    let mut warnings = opened.warnings.clone();
    warnings.extend(left.iter().map(|path| left_alone(path)));
    let plan = ConsolidatePlan {
        top: folder.join(name).display().to_string(),
        images: chain.len(),
        left: left.iter().map(|path| path.display().to_string()).collect(),
        ..planned_files(kept, oldest, &old, folder)?
    };
    Ok(Look::Long(Box::new(Prepared {
        plan: with_room(plan, &disk, folder, control)?,
        replaced,
        keep_old,
        kept: kept.iter().take(request.keep - 1).map(facts_of).collect::<Result<_>>()?,
        paths: kept.iter().map(|link| link.path.clone()).collect(),
        oldest: OpenedImage { disk, chain: below, warnings: Vec::new(), inside: None },
        layers,
        old,
        options,
        warnings,
    })))
}

/// The file that was opened, which must be the one with that name still.
fn facts_of(link: &ChainLink) -> Result<FileFacts> {
    let facts = FileFacts::of(&link.path)?;
    if facts.inode == link.file_id.1 {
        return Ok(facts);
    }
    let text = format!("{} was replaced while it was looked at", link.path.display());
    Err(Error::new(ErrorKind::Temporary, text).hint("run this again"))
}

/// What becomes of the files.
fn planned_files(
    kept: &[ChainLink],
    oldest: &ChainLink,
    old: &[FileFacts],
    folder: &Path,
) -> Result<ConsolidatePlan> {
    Ok(ConsolidatePlan {
        kept: kept.iter().map(|link| link.path.display().to_string()).collect(),
        full: oldest.path.display().to_string(),
        format: oldest.format.name,
        removed: old.iter().map(|file| planned(folder, file)).collect(),
        replaced: planned(folder, &facts_of(oldest)?),
        ..ConsolidatePlan::default()
    })
}

/// The same with the room that is needed and that is there.
fn with_room(
    plan: ConsolidatePlan,
    disk: &Disk,
    folder: &Path,
    control: Control<'_>,
) -> Result<ConsolidatePlan> {
    let data_bytes = data_bytes(disk, control)?;
    // The tables of all formats are smaller.
    let needed_bytes = data_bytes.saturating_add(data_bytes / 64).saturating_add(8 << 20);
    Ok(ConsolidatePlan { data_bytes, needed_bytes, free_bytes: free_bytes(folder)?, ..plan })
}

/// The files with their device and inode numbers.
fn numbers(files: &[FileFacts], folder: &Path) -> Result<Vec<((u64, u64), PathBuf)>> {
    let numbered = |file: &FileFacts| {
        let path = folder.join(&file.name);
        look(&path).map(|found| ((found.dev(), found.ino()), path))
    };
    files.iter().map(numbered).collect()
}

fn is_in(path: &Path, folder: &Path) -> bool {
    folder_of(path).canonicalize().is_ok_and(|own| own == folder)
}

/// The kept points have to be plain files of the folder, the oldest one with no other name.
fn check_kept(kept: &[ChainLink], folder: &Path) -> Result<()> {
    for link in kept {
        let path = link.path.display();
        if !is_in(&link.path, folder) {
            return Err(Error::unsupported(format!("{path} is kept and lies in another folder"))
                .hint("bring the kept images into one folder"));
        }
        if !look(&link.path)?.is_file() {
            return Err(Error::unsupported(format!("{path} is a link or a device, no file of its own")));
        }
    }
    kept.last().map_or(Ok(()), |oldest| refuse_links(&oldest.path))
}

/// A file with two names would be removed under one and stay under the other.
fn refuse_links(path: &Path) -> Result<()> {
    let found = look(path)?;
    if found.is_file() && found.nlink() == 1 {
        return Ok(());
    }
    let text = format!("{} has further names (hard links) or is one (a symbolic link)", path.display());
    Err(Error::unsupported(text).hint("it would be replaced or removed under this name alone: copy it first"))
}

/// What the new image would not hold must not be there.
fn check_content<'a>(
    links: impl Iterator<Item = &'a ChainLink>,
    layers: impl Iterator<Item = &'a Arc<dyn Layer>>,
) -> Result<()> {
    for (link, layer) in links.zip(layers) {
        let (details, path) = (layer.details(), link.path.display());
        let has =
            |key: &str| details.get(key).is_some_and(|found| found.as_array().is_none_or(|l| !l.is_empty()));
        if has("snapshots") {
            return Err(Error::needs_person(format!("{path} holds internal snapshots, which would be lost"))
                .hint("convert each with -l first, or delete them with qemu-img snapshot -d"));
        }
        if has("bitmaps") {
            let text = format!("{path} holds bitmaps of a backup program, which would be lost");
            return Err(Error::needs_person(text).hint("remove them with qemu-img bitmap --remove"));
        }
        if has("encrypt") {
            return Err(Error::unsupported(format!("{path} is encrypted, the new image would not be"))
                .hint("flatten it into a place that may hold the plain disk"));
        }
    }
    Ok(())
}

/// The new image must be found by the child of the old one.
fn check_format(link: &ChainLink, layer: &dyn Layer, child: Option<&Arc<dyn Layer>>) -> Result<()> {
    let (path, format) = (link.path.display(), link.format.name);
    if !FORMATS.contains(&format) {
        let text = format!("{path} is a {format} image, which no full image can take the place of");
        return Err(Error::unsupported(text).hint("rehome flatten writes a full image under another name"));
    }
    let wanted = child.and_then(|child| child.parent()).and_then(|parent| parent.identity.as_deref());
    match wanted {
        Some(wanted) if layer.identity() != Some(wanted) => {
            let text = format!("the child of {path} knows it by {wanted}, which cannot be written");
            Err(Error::unsupported(text).hint("merge the images with the hypervisor that made them"))
        }
        _ => Ok(()),
    }
}

/// The options of the new image: like the old one where that shows, else what the operator says.
fn writer_options(
    link: &ChainLink,
    layer: &dyn Layer,
    request: &ConsolidateRequest<'_>,
) -> Result<BTreeMap<String, String>> {
    let details = layer.details();
    let text = |key: &str| match details.get(key)? {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        serde_json::Value::Bool(value) => Some(if *value { "on" } else { "off" }.to_owned()),
        _ => None,
    };
    let identity = layer.identity().map(str::to_owned);
    let (format, chunk) = (link.format, layer.chunk_size().to_string());
    let (like, own): (Vec<_>, Vec<_>) = match format.name {
        "qcow2" => (
            vec![
                ("cluster_size", Some(chunk)),
                ("compat", text("compat")),
                ("extended_l2", text("extended-l2")),
            ],
            vec![],
        ),
        "vhdx" => (
            vec![("block_size", Some(chunk)), ("logical_sector_size", text("logical-sector-size"))],
            vec![("identity", identity), ("disk_id", text("virtual-disk-id"))],
        ),
        // One file takes the place of one file.
        "vmdk" => (
            vec![("adapter_type", text("adapter-type")), ("hwversion", text("hw-version"))],
            vec![("identity", identity), ("subformat", Some("monolithicSparse".into()))],
        ),
        _ => (vec![], vec![("identity", identity)]),
    };
    if let Some((key, _)) = own.iter().find(|(key, _)| request.options.contains_key(*key)) {
        return Err(Error::usage(format!("-o {key} is what it has to be: leave it away")));
    }
    let mut options = request.options.clone();
    for (key, value) in like.into_iter().chain(own) {
        if let Some(value) = value {
            options.entry(key.to_owned()).or_insert(value);
        }
    }
    let (size, _) = size_in(format, layer.virtual_size(), &options)?;
    if size != layer.virtual_size() {
        let (own, path) = (layer.virtual_size(), link.path.display());
        return Err(Error::unsupported(format!(
            "{path} has a disk of {own} bytes, the new image would have {size}"
        )));
    }
    Ok(options)
}

/// The files that nobody needs any more, and those that are left because they lie elsewhere: others may be based on them.
fn old_files(
    kept: &[ChainLink],
    older: &[ChainLink],
    folder: &Path,
) -> Result<(Vec<FileFacts>, Vec<PathBuf>)> {
    let (mut old, mut left) = (Vec::<FileFacts>::new(), Vec::new());
    let needed: Vec<_> = kept.iter().rev().skip(1).flat_map(ChainLink::file_ids).collect();
    let oldest = kept.last();
    let parts = oldest.iter().flat_map(|link| link.parts.iter().map(|part| (&part.path, part.file_id)));
    let files = older.iter().flat_map(|link| {
        let parts = link.parts.iter().map(|part| (&part.path, part.file_id));
        std::iter::once((&link.path, link.file_id)).chain(parts)
    });
    for (path, file_id) in files.chain(parts) {
        if needed.contains(&file_id) || oldest.is_some_and(|link| link.file_id == file_id) {
            continue;
        }
        if !is_in(path, folder) {
            left.push(path.clone());
            continue;
        }
        refuse_links(path)?;
        for path in [path.clone(), manifest_path(path), blocks_path(path)] {
            if path.symlink_metadata().is_ok_and(|found| found.is_file()) {
                let facts = FileFacts::of(&path)?;
                if !old.iter().any(|file| file.inode == facts.inode) {
                    old.push(facts);
                }
            }
        }
    }
    Ok((old, left))
}

fn left_alone(path: &Path) -> Warning {
    let text = format!(
        "{} is not needed by these points any more, but lies in another folder: it stays, others may be based on it",
        path.display()
    );
    Warning::new("left-alone", text)
}

fn planned(folder: &Path, file: &FileFacts) -> PlannedFile {
    let path = folder.join(&file.name);
    let allocated_size = look(&path).map_or(0, |found| found.blocks().saturating_mul(512));
    PlannedFile { path: path.display().to_string(), file_size: file.size, allocated_size }
}

/// # Errors
/// `Temporary` when the new image does not fit beside the old ones.
pub(super) fn check_space(plan: &ConsolidatePlan) -> Result<()> {
    if plan.needed_bytes <= plan.free_bytes {
        return Ok(());
    }
    let (needed, free) = (format_size(plan.needed_bytes), format_size(plan.free_bytes));
    let text = format!("the new image needs up to {needed}, {free} are free");
    let hint = "the old images go only when the new one is proven: make room, then run this again";
    Err(Error::new(ErrorKind::Temporary, text).hint(hint))
}
