//! A conversion from its first stage to its last.

use crate::manifest::{ImageFacts, Manifest, SourceFacts, blocks_path, manifest_path};
use crate::observer::Control;
use crate::pipeline::{CopyOutcome, copy_disk};
use format_core::units::align_up;
use format_core::{
    ChainLink, CreateRequest, Disk, Error, ErrorKind, FileTarget, Format, OpenedImage, Result, Sink, Warning,
};
use std::collections::BTreeMap;
use std::path::Path;

/// What to convert into what.
pub struct ConvertRequest<'a> {
    /// The opened source.
    pub source: &'a OpenedImage,
    /// The disk to write: the source's own, or it with an overlay on top.
    pub disk: &'a Disk,
    /// The image to write.
    pub target: &'a Path,
    /// Its format.
    pub format: &'static Format,
    /// `-o` options for the writer.
    pub options: BTreeMap<String, String>,
    /// Whether an existing image is replaced.
    pub replace: bool,
}

/// What a conversion did.
#[derive(Debug)]
pub struct ConvertOutcome {
    /// The manifest of the image, not saved yet: the caller may add to it.
    pub manifest: Manifest,
    /// What the copy read and wrote, with the block hashes.
    pub copy: CopyOutcome,
    /// What a person should know.
    pub warnings: Vec<Warning>,
}

/// Starts writing an image. The second value is the size that its disk will have: the format may round up.
///
/// # Errors
/// `Usage` for an option that the format does not know; `Unsupported` when it cannot be written; as
/// [`FileTarget::create`].
fn open_target(
    path: &Path,
    format: &'static Format,
    virtual_size: u64,
    options: BTreeMap<String, String>,
    replace: bool,
    sources: Vec<(u64, u64)>,
) -> Result<(Box<dyn Sink>, u64)> {
    let create = format.create.ok_or_else(|| {
        Error::unsupported(format!("{} images cannot be written", format.name))
            .hint("'rehome formats' lists the formats that can")
    })?;
    for key in options.keys() {
        if !format.create_options.iter().any(|option| option.key == key) {
            let known: Vec<_> = format.create_options.iter().map(|option| option.key).collect();
            let known =
                if known.is_empty() { "it has none".into() } else { format!("it has {}", known.join(", ")) };
            return Err(Error::usage(format!("{} has no option {key:?}: {known}", format.name)));
        }
    }
    let mut request = CreateRequest { virtual_size, options, parent: None };
    request.virtual_size = align_up(virtual_size, (format.size_step)(&request))
        .ok_or_else(|| Error::usage(format!("a disk of {virtual_size:#x} bytes cannot be rounded up")))?;
    let target = FileTarget::create(path, replace)?.sparing(sources);
    Ok((create(Box::new(target), &request)?, request.virtual_size))
}

/// Copies the disk into a new image and gives it its name. The manifest is made but not saved.
///
/// # Errors
/// What source, target and host report; nothing is left under the target's name then.
pub fn convert(request: ConvertRequest<'_>, control: Control<'_>) -> Result<ConvertOutcome> {
    let ConvertRequest { source, disk, target, format, options, replace } = request;
    refuse_sources(target, [source])?;
    let named = |e: Error| e.context(format!("write {}", target.display()));
    let files = source.chain.iter().flat_map(ChainLink::file_ids).collect();
    let (sink, size) =
        open_target(target, format, disk.virtual_size(), options, replace, files).map_err(named)?;
    let copy = copy_disk(&disk.grown_to(size), sink.as_ref(), control)?;
    sink.finish().map_err(named)?;
    let manifest = Manifest::new(target, format.name, &copy.blocks, source_facts(source))?;
    let mut warnings = Vec::new();
    if size != disk.virtual_size() {
        let (from, name) = (disk.virtual_size(), format.name);
        let text =
            format!("{name} cannot hold a disk of {from} bytes: it has {size} bytes now, the rest is zeros");
        warnings.push(Warning::new("disk-size-rounded", text));
    }
    Ok(ConvertOutcome { manifest, copy, warnings })
}

fn source_facts(source: &OpenedImage) -> SourceFacts {
    let file = |link: &format_core::ChainLink| ImageFacts {
        name: link.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        format: link.format.name.into(),
        file_size: link.file_size,
    };
    SourceFacts { files: source.chain.iter().map(file).collect(), digest: None }
}

/// Refuses to write an image, its manifest or their partial files where a file of one of the `sources` lies: replacing a
/// source by its own copy would leave neither if anything went wrong, and partial files are emptied when a run starts.
///
/// # Errors
/// `Usage` with the names of both, and when one of the names is too long for the host.
pub fn refuse_sources<'a>(target: &Path, sources: impl IntoIterator<Item = &'a OpenedImage>) -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    let links: Vec<_> = sources.into_iter().flat_map(|source| &source.chain).collect();
    for path in [target.to_owned(), manifest_path(target), blocks_path(target)] {
        for path in [FileTarget::partial_path(&path), path] {
            let found = match std::fs::metadata(&path) {
                Ok(found) => found,
                // Found out now, not when the copy is done and its manifest cannot be written.
                Err(e) if e.kind() == std::io::ErrorKind::InvalidFilename => {
                    let what = format!("the name {} would be needed", path.display());
                    return Err(Error::io(what, e).with_kind(ErrorKind::Usage));
                }
                Err(_) => continue,
            };
            let own = links.iter().find(|link| link.file_ids().any(|id| id == (found.dev(), found.ino())));
            if let Some(link) = own {
                let (written, read) = (path.display(), link.path.display());
                return Err(Error::usage(format!(
                    "{written} would be written, and is a file of the source: {read}"
                ))
                .hint("choose another name for the target, or move the source first"));
            }
        }
    }
    Ok(())
}
