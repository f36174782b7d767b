//! A conversion from its first stage to its last.

use crate::far_end::refuse_differences;
use crate::manifest::{ImageFacts, Manifest, SourceFacts};
use crate::observer::Control;
use crate::pipeline::{CopyOutcome, Origin, Proof, copy};
use crate::source_proof::with_source_proof;
use crate::sources::{SourceFile, refuse_source_files};
use crate::watch::{Watch, reads_as};
use format_core::units::align_up;
use format_core::{
    ChunkStream, CreateRequest, DeviceTarget, Disk, Error, FileTarget, Format, OpenedImage, ParentImage,
    PipeTarget, Result, Sink, StreamChunk, TargetStorage, Warning,
};
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Where an image is written.
pub enum Destination<'a> {
    /// A file, `NAME.partial` until it is complete.
    File {
        /// Its final name.
        path: &'a Path,
        /// Whether an existing image is replaced.
        replace: bool,
    },
    /// A block device, overwritten in place.
    Device(DeviceTarget),
    /// A pipe.
    Pipe(PipeTarget),
    /// What lies at an address: an export, an object, a snapshot.
    Remote(Box<dyn TargetStorage>),
}

/// What to convert into what.
pub struct ConvertRequest<'a> {
    /// The opened source.
    pub source: &'a OpenedImage,
    /// The disk to write: the source's own, or it with something on top.
    pub disk: &'a Disk,
    /// Where to.
    pub target: Destination<'a>,
    /// The format to write.
    pub format: &'static Format,
    /// `-o` options for the writer.
    pub options: BTreeMap<String, String>,
    /// Write only what differs from this image, which becomes the new image's parent.
    pub base: Option<&'a OpenedImage>,
    /// What is taken of the disk in the same pass.
    pub proof: Proof<'a>,
}

/// What a conversion did.
#[derive(Debug)]
pub struct ConvertOutcome {
    /// The manifest of the image, not saved yet: the caller may add to it. There is none for devices and pipes, which
    /// have no place beside them.
    pub manifest: Option<Manifest>,
    /// What the copy read and wrote, with the block hashes.
    pub copy: CopyOutcome,
    /// Bytes of data that an interrupted run had copied already, where this one went on with it.
    pub resumed_from: Option<u64>,
    /// What a person should know.
    pub warnings: Vec<Warning>,
}

impl ConvertOutcome {
    /// The manifest of an image that was written to a file.
    ///
    /// # Errors
    /// `Contract` for devices and pipes.
    pub fn into_manifest(self) -> Result<(Manifest, CopyOutcome)> {
        let manifest = self.manifest.ok_or_else(|| Error::contract("only a file has a manifest"))?;
        Ok((manifest, self.copy))
    }
}

/// A sink for a disk of `virtual_size` bytes. The second value is the size that its disk will have: the format may
/// round up.
///
/// # Errors
/// `Usage` for an option that the format does not know; `Unsupported` when it cannot be written; what the format says.
pub(crate) fn open_sink(
    target: Box<dyn TargetStorage>,
    format: &'static Format,
    virtual_size: u64,
    options: BTreeMap<String, String>,
    parent: Option<ParentImage>,
) -> Result<(Box<dyn Sink>, u64)> {
    let request = create_request(format, virtual_size, options, parent)?;
    let create = format.create.ok_or_else(|| cannot_write(format))?;
    Ok((create(target, &request)?, request.virtual_size))
}

fn cannot_write(format: &Format) -> Error {
    Error::unsupported(format!("{} images cannot be written", format.name))
        .hint("'rehome formats' lists the formats that can")
}

/// The checked request, its size rounded up to what the format can hold.
pub(crate) fn create_request(
    format: &'static Format,
    virtual_size: u64,
    options: BTreeMap<String, String>,
    parent: Option<ParentImage>,
) -> Result<CreateRequest> {
    if format.create.is_none() {
        return Err(cannot_write(format));
    }
    for key in options.keys() {
        if !format.create_options.iter().any(|option| option.key == key) {
            let known: Vec<_> = format.create_options.iter().map(|option| option.key).collect();
            let known =
                if known.is_empty() { "it has none".into() } else { format!("it has {}", known.join(", ")) };
            return Err(Error::usage(format!("{} has no option {key:?}: {known}", format.name)));
        }
    }
    if parent.is_some() && !format.can_differ {
        return Err(Error::unsupported(format!("{} images with a parent cannot be written", format.name)));
    }
    let mut request = CreateRequest { virtual_size, options, parent };
    request.virtual_size = align_up(virtual_size, (format.size_step)(&request))
        .ok_or_else(|| Error::usage(format!("a disk of {virtual_size:#x} bytes cannot be rounded up")))?;
    Ok(request)
}

/// The size of a disk of `virtual_size` bytes in that format, which may round up; a warning says so.
///
/// # Errors
/// As [`convert`] for a format that cannot be written or an option that it does not know.
pub fn size_in(
    format: &'static Format,
    virtual_size: u64,
    options: &BTreeMap<String, String>,
) -> Result<(u64, Vec<Warning>)> {
    let size = create_request(format, virtual_size, options.clone(), None)?.virtual_size;
    Ok((size, size_warning(format, virtual_size, size)))
}

/// Copies the disk into a new image and gives it its name. The manifest is made but not saved.
///
/// # Errors
/// What source, target and host report; nothing is left under the target's name then.
pub fn convert(request: ConvertRequest<'_>, control: Control<'_>) -> Result<ConvertOutcome> {
    let ConvertRequest { source, disk, target, format, options, base, proof } = request;
    let mut warnings = discarded_run(&target);
    let files = SourceFile::of_images(std::iter::once(source).chain(base));
    let watch = Watch::begin(&files)?;
    let (target, path) = open_target(target, &files)?;
    let named = |e: Error| match path {
        Some(path) => e.context(format!("write {}", path.display())),
        None => e,
    };
    let parent = match (base, path) {
        (None, _) => None,
        (Some(image), Some(path)) => Some(parent_image(format, image, path)?),
        (Some(_), None) => return Err(Error::usage("an image with a parent has to be a file beside it")),
    };
    let (sink, size) = open_sink(target, format, disk.virtual_size(), options, parent).map_err(named)?;
    let disk_written = disk.grown_to(size);
    let origin = match base {
        None => Origin::Disk(&disk_written),
        Some(image) => Origin::Difference { base: &image.disk, disk: &disk_written },
    };
    let work = || with_source_proof(source, control, || copy(origin, sink.as_ref(), proof, control));
    let copy =
        watch.over(work, |copy| Ok(proof.digest && reads_as(&copy.blocks, &disk_written, control)?))?;
    if base.is_none() {
        refuse_differences(source, &copy.blocks)?;
    }
    let described = path.filter(|_| proof.digest);
    if let (Some(path), None) = (path, described) {
        // That of an older image would tell of this one what is not true.
        Manifest::remove(path)?;
    }
    sink.finish().map_err(named)?;
    let manifest = described.map(|path| manifest_of(path, format, &copy, source)).transpose()?;
    warnings.extend(size_warning(format, disk.virtual_size(), size));
    Ok(ConvertOutcome { manifest, copy, resumed_from: None, warnings })
}

/// The manifest of the image that was written at `path`.
pub(crate) fn manifest_of(
    path: &Path,
    format: &Format,
    copy: &CopyOutcome,
    source: &OpenedImage,
) -> Result<Manifest> {
    Manifest::of_copy(path, format.name, copy, SourceFacts::of_image(source))
}

/// What to convert from a pipe into what.
pub struct StreamRequest<'a> {
    /// The opened pipe.
    pub stream: Box<dyn ChunkStream>,
    /// What the manifest calls it.
    pub name: &'a str,
    /// Which file the pipe is, when it was redirected.
    pub input: &'a [SourceFile],
    /// Where to.
    pub target: Destination<'a>,
    /// The format to write.
    pub format: &'static Format,
    /// `-o` options for the writer.
    pub options: BTreeMap<String, String>,
    /// What is taken of the disk in the same pass.
    pub proof: Proof<'a>,
}

/// As [`convert`] for what comes through a pipe.
///
/// # Errors
/// As [`convert`].
pub fn convert_stream(request: StreamRequest<'_>, control: Control<'_>) -> Result<ConvertOutcome> {
    let StreamRequest { stream, name, input, target, format, options, proof } = request;
    let discarded = discarded_run(&target);
    let watch = Watch::begin(input)?;
    let (target, path) = open_target(target, input)?;
    let named = |e: Error| match path {
        Some(path) => e.context(format!("write {}", path.display())),
        None => e,
    };
    let (virtual_size, source_format) = (stream.virtual_size(), stream.format());
    let told = Arc::new(Mutex::new(stream.warnings().to_vec()));
    let stream = Box::new(Told { stream, warnings: Arc::clone(&told) });
    let (sink, size) = open_sink(target, format, virtual_size, options, None).map_err(named)?;
    let work = || copy(Origin::Stream { stream, size }, sink.as_ref(), proof, control);
    // What came through it once does not come again.
    let copy = watch.over(work, |_| Ok(false))?;
    let mut warnings = told.lock().unwrap_or_else(PoisonError::into_inner).clone();
    warnings.extend(discarded);
    let described = path.filter(|_| proof.digest);
    if let (Some(path), None) = (path, described) {
        Manifest::remove(path)?;
    }
    sink.finish().map_err(named)?;
    let files = vec![ImageFacts { name: name.into(), format: source_format.into(), file_size: 0 }];
    let facts = SourceFacts { files, identity: None, digest: None, offset: None, device: None };
    let manifest = described.map(|path| Manifest::of_copy(path, format.name, &copy, facts)).transpose()?;
    warnings.extend(size_warning(format, virtual_size, size));
    Ok(ConvertOutcome { manifest, copy, resumed_from: None, warnings })
}

/// A stream whose warnings outlive it: some are only known at its end.
struct Told {
    stream: Box<dyn ChunkStream>,
    warnings: Arc<Mutex<Vec<Warning>>>,
}

impl ChunkStream for Told {
    fn format(&self) -> &'static str {
        self.stream.format()
    }

    fn virtual_size(&self) -> u64 {
        self.stream.virtual_size()
    }

    fn next_chunk(&mut self) -> Result<Option<StreamChunk>> {
        let chunk = self.stream.next_chunk()?;
        if chunk.is_none() {
            *self.warnings.lock().unwrap_or_else(PoisonError::into_inner) = self.stream.warnings().to_vec();
        }
        Ok(chunk)
    }

    fn warnings(&self) -> &[Warning] {
        self.stream.warnings()
    }
}

/// Writes an image that reads as zeros, or as its parent.
///
/// # Errors
/// As [`convert`].
pub fn create_image(
    path: &Path,
    replace: bool,
    format: &'static Format,
    virtual_size: u64,
    options: BTreeMap<String, String>,
    parent: Option<&OpenedImage>,
) -> Result<u64> {
    let files = SourceFile::of_images(parent);
    let (target, _) = open_target(Destination::File { path, replace }, &files)?;
    let named = |e: Error| e.context(format!("write {}", path.display()));
    let parent = parent.map(|image| parent_image(format, image, path)).transpose()?;
    let (sink, size) = open_sink(target, format, virtual_size, options, parent).map_err(named)?;
    sink.finish().map_err(named)?;
    Ok(size)
}

/// A run that keeps no journal starts over what another left that could have been gone on with.
fn discarded_run(target: &Destination<'_>) -> Vec<Warning> {
    let Destination::File { path, .. } = target else { return Vec::new() };
    let is_there = |path: &Path| path.symlink_metadata().is_ok();
    if !is_there(&FileTarget::partial_path(path)) || !is_there(&FileTarget::journal_path(path)) {
        return Vec::new();
    }
    let text = format!(
        "an unfinished run of {} is started over: a run like this one does not go on with another's",
        path.display()
    );
    vec![Warning::new("started-over", text)]
}

type OpenedTarget<'a> = (Box<dyn TargetStorage>, Option<&'a Path>);

fn open_target<'a>(target: Destination<'a>, sources: &[SourceFile]) -> Result<OpenedTarget<'a>> {
    match target {
        Destination::File { path, replace } => {
            refuse_source_files(path, sources)?;
            let files = sources.iter().map(|source| source.file_id).collect();
            let target = FileTarget::create(path, replace)
                .map_err(|e| e.context(format!("write {}", path.display())))?;
            Ok((Box::new(target.sparing(files)), Some(path)))
        }
        Destination::Device(device) => Ok((Box::new(device), None)),
        Destination::Pipe(pipe) => Ok((Box::new(pipe), None)),
        Destination::Remote(target) => Ok((target, None)),
    }
}

/// Formats whose children QEMU reads without their parents, or not at all. What it calls raw is one file.
const ALONE_IN_QEMU: [&str; 4] = ["vhd", "vhdx", "vdi", "parallels"];

/// Refuses a base that the hypervisor of the child would read otherwise than we do.
fn refuse_partial_base(format: &Format, image: &OpenedImage) -> Result<()> {
    for (link, layer) in
        image.chain.iter().zip(image.disk.layers()).filter(|(l, _)| l.format.name != format.name)
    {
        let own = link.format.name;
        let reason = match own {
            "raw" if !link.parts.is_empty() => "consists of several files",
            _ if ALONE_IN_QEMU.contains(&own) && layer.parent().is_some() => "is a difference itself",
            _ => continue,
        };
        let (path, name) = (link.path.display(), format.name);
        return Err(Error::unsupported(format!(
            "the {own} image {path} {reason}, which no {name} image can be based on"
        ))
        .hint("flatten the base into one image first"));
    }
    Ok(())
}

/// What a child at `child` has to know of its parent.
fn parent_image(format: &Format, image: &OpenedImage, child: &Path) -> Result<ParentImage> {
    refuse_partial_base(format, image)?;
    let (Some(layer), Some(link)) = (image.disk.layers().first(), image.chain.first()) else {
        return Err(Error::contract("an image without layers"));
    };
    let failed = |e| Error::io(format!("cannot examine {}", link.path.display()), e);
    let path = link.path.canonicalize().map_err(failed)?;
    let folder = match child.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let folder = folder.canonicalize().map_err(failed)?;
    let name = relative(&folder, &path);
    let Some(name) = name.to_str() else {
        return Err(Error::usage(format!("the name {} cannot be written into an image", path.display())));
    };
    Ok(ParentImage {
        name: name.into(),
        format: link.format.name,
        virtual_size: image.disk.virtual_size(),
        identity: layer.identity().map(str::to_owned),
        chunk_size: layer.chunk_size(),
        modified: path.metadata().and_then(|found| found.modified()).ok(),
        details: layer.details(),
        path,
    })
}

/// `path` as seen from `folder`; both are absolute and without links.
fn relative(folder: &Path, path: &Path) -> PathBuf {
    let same = folder.components().zip(path.components()).take_while(|(a, b)| a == b).count();
    let up = folder.components().skip(same).map(|_| Component::ParentDir);
    up.chain(path.components().skip(same)).collect()
}

pub(crate) fn size_warning(format: &Format, from: u64, size: u64) -> Vec<Warning> {
    if size == from {
        return Vec::new();
    }
    let name = format.name;
    let text =
        format!("{name} cannot hold a disk of {from} bytes: it has {size} bytes now, the rest is zeros");
    vec![Warning::new("disk-size-rounded", text)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_named_as_seen_from_the_child() {
        for (folder, path, name) in [
            ("/vm", "/vm/base.qcow2", "base.qcow2"),
            ("/vm/children", "/vm/base.qcow2", "../base.qcow2"),
            ("/vm", "/srv/base", "../srv/base"),
        ] {
            assert_eq!(relative(Path::new(folder), Path::new(path)), Path::new(name));
        }
    }
}
