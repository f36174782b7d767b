//! Finds the folders of a backup, whichever of them the operator named.

use crate::error::WsbError;
use crate::layout::{BACKUP_PREFIX, IMAGE_EXTENSIONS, MAX_VOLUMES, MEDIA_ID, ROOT, SPECS};
use crate::name;
use format_core::{FolderEntry, Result, Score, SourceFolder};

/// A point in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Backup {
    /// Its folder's name.
    pub(crate) name: String,
    /// That folder, in the one that the operator named; empty when it is that one.
    pub(crate) path: String,
    pub(crate) time: Option<i64>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tree {
    /// The computer's name, where its folder is among those below the one that was named, or is it.
    pub(crate) host: Option<String>,
    /// Oldest first.
    pub(crate) backups: Vec<Backup>,
}

pub(crate) fn probe(folder: &SourceFolder) -> Score {
    let is_file = |name: &str| folder.file_size(name).is_ok_and(|size| size.is_some());
    let is_backup = is_file(SPECS);
    let is_host = || is_file(MEDIA_ID) && folder.has_folder("Catalog");
    let is_root = || is_called(folder, ROOT) && hosts_in(folder, "").is_ok_and(|hosts| !hosts.is_empty());
    if is_backup || folder.has_folder(ROOT) || is_host() || is_root() { Score::Magic } else { Score::No }
}

fn own_name(folder: &SourceFolder) -> Option<String> {
    let path = folder.path().canonicalize().ok()?;
    path.file_name().and_then(|name| name.to_str()).map(str::to_owned)
}

fn is_called(folder: &SourceFolder, name: &str) -> bool {
    own_name(folder).is_some_and(|own| own.eq_ignore_ascii_case(name))
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

fn is_image(entry: &FolderEntry) -> bool {
    let extension = entry.name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    !entry.is_folder && extension.is_some_and(|extension| IMAGE_EXTENSIONS.contains(&extension.as_str()))
}

/// The folders of points in time in `inside`.
fn backups_in(folder: &SourceFolder, inside: &str) -> Result<Vec<Backup>> {
    let entries = folder.entries(inside)?;
    let found = entries.into_iter().filter(|entry| entry.is_folder && entry.name.starts_with(BACKUP_PREFIX));
    let mut backups: Vec<_> = found
        .map(|entry| Backup {
            path: join(inside, &entry.name),
            time: name::time(&entry.name),
            name: entry.name,
        })
        .collect();
    // Names sort as their times do; what has no time comes first.
    backups.sort_by(|a, b| (a.time, &a.name).cmp(&(b.time, &b.name)));
    Ok(backups)
}

/// The folders of computers in `inside`: those that hold points in time.
fn hosts_in(folder: &SourceFolder, inside: &str) -> Result<Vec<String>> {
    let mut hosts = Vec::new();
    for entry in folder.entries(inside)?.into_iter().filter(|entry| entry.is_folder) {
        if !backups_in(folder, &join(inside, &entry.name))?.is_empty() {
            hosts.push(entry.name);
        }
    }
    Ok(hosts)
}

/// Looks for points in time below `folder`, or for one that it is itself.
pub(crate) fn find(folder: &SourceFolder) -> Result<Tree> {
    let own = own_name(folder);
    if folder.file_size(SPECS)?.is_some() || folder.entries("")?.iter().any(is_image) {
        let name = own.unwrap_or_else(|| folder.path().display().to_string());
        let backup = Backup { time: name::time(&name), name, path: String::new() };
        return Ok(Tree { host: None, backups: vec![backup] });
    }
    let direct = backups_in(folder, "")?;
    if !direct.is_empty() {
        return Ok(Tree { host: own, backups: direct });
    }
    let root = if folder.has_folder(ROOT) { ROOT } else { "" };
    let hosts = hosts_in(folder, root)?;
    match hosts.as_slice() {
        [] => Err(WsbError::NoHost(folder.path().display().to_string()).into()),
        [host] => Ok(Tree { host: Some(host.clone()), backups: backups_in(folder, &join(root, host))? }),
        _ => Err(WsbError::Hosts(hosts).into()),
    }
}

/// The images of volumes in a backup, those of one disk by their place on it.
pub(crate) fn volumes(folder: &SourceFolder, backup: &Backup) -> Result<Vec<String>> {
    let entries = folder.entries(&backup.path)?;
    let mut names: Vec<_> = entries.into_iter().filter(is_image).map(|entry| entry.name).collect();
    if names.is_empty() {
        return Err(WsbError::NoVolume(backup.name.clone()).into());
    }
    if names.len() > MAX_VOLUMES {
        let (name, found, most) = (backup.name.clone(), names.len(), MAX_VOLUMES);
        return Err(WsbError::TooMany { name, found, most }.into());
    }
    let key = |name: &String| {
        let origin = name::origin(name).map(|origin| (origin.signature, origin.offset));
        (origin.is_none(), origin, name.clone())
    };
    names.sort_by_cached_key(key);
    Ok(names)
}

/// Whether Windows finished the backup: the last files that it writes are there.
pub(crate) fn is_finished(folder: &SourceFolder, backup: &Backup) -> Result<bool> {
    Ok(folder.file_size(&join(&backup.path, SPECS))?.is_some())
}

/// The path of an image in the folder that was named.
pub(crate) fn image_path(backup: &Backup, volume: &str) -> String {
    join(&backup.path, volume)
}
