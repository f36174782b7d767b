//! A chain of differences from its top to its base, or as much of it as there is.
//!
//! ```text
//!  the whole chain opens ─▶ its images
//!  it does not           ─▶ each image alone, from the top down to the break, and the reason of the break
//! ```

mod alone;
mod folder;

use alone::may_name_files;
pub(crate) use alone::{Alone, folder_of, image_format};
pub(crate) use folder::images_in;
pub use folder::{FolderChains, TreeImage, chains_in_folder};

use crate::clock::{age, rfc3339};
use crate::observer::Control;
use format_core::{Error, ErrorKind, MAX_CHAIN, OpenOptions, ParentRef, Point, Result, Warning, open_images};
use serde::Serialize;
use std::path::Path;
use std::time::SystemTime;

/// How an image of a chain stands to its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageState {
    /// It holds everything itself.
    Base,
    /// Its parent is there.
    Ok,
    /// The file of its parent is not there.
    ParentMissing,
    /// What is found as its parent is another image, or was changed.
    ParentChanged,
    /// It may not name the file that it names.
    ParentDenied,
    /// Its parent cannot be opened.
    ParentUnreadable,
}

impl ImageState {
    /// For tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Ok => "ok",
            Self::ParentMissing => "parent missing",
            Self::ParentChanged => "parent changed",
            Self::ParentDenied => "parent denied",
            Self::ParentUnreadable => "parent unreadable",
        }
    }

    fn of_error(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::SourceMissing => Self::ParentMissing,
            ErrorKind::Denied => Self::ParentDenied,
            _ => Self::ParentUnreadable,
        }
    }
}

/// How an image names its parent.
#[derive(Clone, Debug, Serialize)]
pub struct ParentFacts {
    /// The file names that it tries, in order.
    pub names: Vec<String>,
    /// The format that it says its parent has.
    pub format: Option<String>,
    /// The identity that its parent must have.
    pub identity: Option<String>,
}

/// One image of a chain.
#[derive(Clone, Debug, Serialize)]
pub struct ChainImage {
    /// Where it lies.
    pub path: String,
    /// Its format.
    pub format: &'static str,
    /// Size of the disk in bytes.
    pub virtual_size: u64,
    /// Size of its files in bytes.
    pub file_size: u64,
    /// Bytes that its files occupy on the host.
    pub allocated_size: u64,
    /// Bytes of the disk that it holds itself; `None` where its tables cannot be read to their end.
    pub held_bytes: Option<u64>,
    /// When its file was last changed, UTC, RFC 3339.
    pub modified: Option<String>,
    /// How long ago that was, in seconds.
    pub age_seconds: Option<u64>,
    /// What its children must name.
    pub identity: Option<String>,
    /// How it names its parent, where it is a difference.
    pub parent: Option<ParentFacts>,
    /// How it stands to its parent.
    pub state: ImageState,
}

/// A chain, top first.
#[derive(Debug)]
pub struct Chain {
    /// The images, as far as they were found.
    pub images: Vec<ChainImage>,
    /// What a person should know.
    pub warnings: Vec<Warning>,
    /// Why the chain cannot be opened.
    pub error: Option<Error>,
    /// The points in time of a backup that holds several: they share data and are no chain.
    pub points: Vec<Point>,
}

/// Looks at the chain under the image at `path`.
///
/// # Errors
/// What opening the top image alone reports, and `Temporary` when interrupted. A break further down is part of the result.
pub fn chain_of(path: &Path, options: &OpenOptions, control: Control<'_>) -> Result<Chain> {
    let (found, error, mut warnings, points) = match open_images(path, options) {
        Ok(opened) => {
            // All disks of a backup, which has the same points for each.
            let inside = opened.first().and_then(|opened| opened.inside.as_ref());
            let points = inside.map(|inside| inside.container.points().to_vec());
            let found = Found::whole(opened.iter().flat_map(Alone::of_opened).collect());
            let mut warnings = Vec::<Warning>::new();
            for warning in opened.into_iter().flat_map(|opened| opened.warnings) {
                // What is said of the whole backup is said with each disk.
                if !warnings.contains(&warning) {
                    warnings.push(warning);
                }
            }
            (found, None, warnings, points.unwrap_or_default())
        }
        Err(error) => match walk(path, options) {
            Ok(found) => {
                let hint = next_step(&found, options, &error);
                let error = if let Some(hint) = hint { error.hint(hint) } else { error };
                (found, Some(error), Vec::new(), Vec::new())
            }
            // The top itself cannot be opened: then the first error tells why.
            Err(_) => return Err(error),
        },
    };
    warnings.extend(newer_parents(&found.images));
    let images = found.images.iter().zip(&found.states);
    let images = images.map(|(image, state)| facts(image, *state, control)).collect::<Result<_>>()?;
    Ok(Chain { images, warnings, error, points })
}

/// Images that were opened one by one.
pub(crate) struct Found {
    pub(crate) images: Vec<Alone>,
    pub(crate) states: Vec<ImageState>,
}

impl Found {
    fn whole(images: Vec<Alone>) -> Self {
        let states = images.iter().map(|image| match image.layer.parent() {
            Some(_) => ImageState::Ok,
            None => ImageState::Base,
        });
        Self { states: states.collect(), images }
    }
}

/// The images from the top down to where it does not go on.
fn walk(path: &Path, options: &OpenOptions) -> Result<Found> {
    let (mut images, mut states) = (Vec::<Alone>::new(), Vec::new());
    let mut next = Some((path.to_owned(), options.format));
    let mut options = options.clone();
    while let Some((path, format)) = next.take() {
        let image = match Alone::open(&path, format, &options) {
            Ok(image) => image,
            Err(e) if images.is_empty() => return Err(e),
            Err(e) => {
                end_with(&mut states, ImageState::of_error(&e));
                break;
            }
        };
        options.access.snapshot = None;
        let is_seen = images.iter().any(|seen| seen.link.file_id == image.link.file_id);
        if is_seen || images.len() >= MAX_CHAIN {
            end_with(&mut states, ImageState::ParentUnreadable);
            break;
        }
        if let Some(wanted) = wanted_by(images.last())
            && !image.layer.is_identified_by(wanted)
        {
            end_with(&mut states, ImageState::ParentChanged);
        }
        let parent = image.layer.parent().cloned();
        let may_name = may_name_files(&image.link, format.is_some());
        images.push(image);
        states.push(if parent.is_some() { ImageState::Ok } else { ImageState::Base });
        let (Some(parent), Some(child)) = (parent, images.last()) else { break };
        if !may_name {
            end_with(&mut states, ImageState::ParentDenied);
            break;
        }
        match child.find_parent(&parent, &options, &images) {
            Ok(found) => next = Some(found),
            Err(e) => end_with(&mut states, ImageState::of_error(&e)),
        }
    }
    Ok(Found { images, states })
}

fn wanted_by(child: Option<&Alone>) -> Option<&str> {
    child?.layer.parent()?.identity.as_deref()
}

fn end_with(states: &mut [ImageState], state: ImageState) {
    if let Some(last) = states.last_mut() {
        *last = state;
    }
}

/// What can be done about a parent that is missing or another one: its folder may well hold the right file.
fn next_step(found: &Found, options: &OpenOptions, error: &Error) -> Option<String> {
    let broken = found.states.iter().position(|state| !matches!(state, ImageState::Ok | ImageState::Base))?;
    let (child, state) = (found.images.get(broken)?, *found.states.get(broken)?);
    let parent = child.layer.parent()?;
    if let (Some(wanted), ImageState::ParentMissing | ImageState::ParentChanged) = (&parent.identity, state)
        && let Some(path) = folder::image_with_identity(&child.folder(), wanted, child, options)
    {
        return Some(format!("{} has the identity that is wanted: add --parent {0}", path.display()));
    }
    if state != ImageState::ParentMissing || error.hint_text().is_some() {
        return None;
    }
    let name = parent.names.first()?;
    let child = child.link.path.display();
    Some(match parent.identity {
        Some(_) => format!("{child} names {name}: put it back there, or say where it is with --parent FILE"),
        None => format!("{child} names {name} and no identity: put it back there, under that name"),
    })
}

/// Formats without identities leave only the time to tell that a parent was written to.
fn newer_parents(images: &[Alone]) -> Vec<Warning> {
    let modified = |image: &Alone| image.link.path.metadata().and_then(|found| found.modified()).ok();
    let newer = |pair: &[Alone]| {
        let [child, parent] = pair else { return None };
        // A base, and the next disk of a backup.
        let named = child.layer.parent()?;
        if named.identity.is_some() || modified(parent)? <= modified(child)? {
            return None;
        }
        let text = format!(
            "{} was changed after {}, which is a difference to it: if its disk was, all that is based on it is damaged",
            parent.link.path.display(),
            child.link.path.display()
        );
        Some(Warning::new("parent-newer", text))
    };
    images.windows(2).filter_map(newer).collect()
}

/// What is told about one image.
fn facts(image: &Alone, state: ImageState, control: Control<'_>) -> Result<ChainImage> {
    let Alone { link, layer } = image;
    control.check()?;
    let modified = link.path.metadata().and_then(|found| found.modified()).ok();
    Ok(ChainImage {
        path: link.path.display().to_string(),
        format: link.format.name,
        virtual_size: link.virtual_size,
        file_size: link.parts.iter().fold(link.file_size, |sum, part| sum.saturating_add(part.file_size)),
        allocated_size: link
            .parts
            .iter()
            .fold(link.allocated_size, |sum, part| sum.saturating_add(part.allocated_size)),
        held_bytes: match image.held_bytes(control) {
            Err(e) if e.kind() == ErrorKind::Temporary => return Err(e),
            other => other.ok(),
        },
        modified: modified.map(rfc3339),
        age_seconds: modified.map(|time: SystemTime| age(time).as_secs()),
        identity: layer.identity().map(str::to_owned),
        parent: layer.parent().map(parent_facts),
        state,
    })
}

fn parent_facts(parent: &ParentRef) -> ParentFacts {
    let ParentRef { names, format, identity } = parent.clone();
    ParentFacts { names, format, identity }
}
