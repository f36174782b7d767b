//! A target that is a pipe with the image and its manifest in a tar archive.

use crate::args::ConvertArgs;
use crate::commands::convert::is_pipe;
use convert_engine::{Archive, ConvertOutcome, ImageFacts, Manifest, SourceFacts};
use format_core::{Error, Format, PipeTarget, Result};

/// The archive that was asked for.
///
/// # Errors
/// `Usage` for a target that is no pipe, a format that is not raw, or a name that cannot be.
pub(crate) fn archive_of(args: &ConvertArgs, format: &Format) -> Result<Option<Archive>> {
    let Some(name) = &args.tar else { return Ok(None) };
    if !is_pipe(&args.target) {
        return Err(Error::usage("--tar is for a pipe: write '-' as the target"));
    }
    if format.name != "raw" {
        let text =
            format!("an archive tells the image's size before its first byte, which {} cannot", format.name);
        return Err(Error::usage(text).hint("leave -O away, the image is raw then"));
    }
    Archive::new(name, Box::new(std::io::stdout())).map(Some)
}

/// The pipe, or the member of the archive for an image of `size` bytes.
pub(crate) fn pipe(archive: Option<&Archive>, size: u64) -> Result<PipeTarget> {
    Ok(PipeTarget::new(match archive {
        Some(archive) => Box::new(archive.image(size)?),
        None => Box::new(std::io::stdout()),
    }))
}

/// Makes the manifest of the image in the archive.
pub(crate) fn add_manifest(
    archive: Option<&Archive>,
    done: &mut ConvertOutcome,
    format: &Format,
    source: SourceFacts,
) -> Result<()> {
    if let Some(archive) = archive {
        let blocks = &done.copy.blocks;
        let image = ImageFacts {
            name: archive.name().into(),
            format: format.name.into(),
            file_size: blocks.virtual_size(),
        };
        let hashes = done.copy.hashes.clone();
        done.manifest = Some(Manifest { hashes, ..Manifest::of_image(image, blocks, source)? });
    }
    Ok(())
}

/// Ends the archive with the manifest, which is then no file of its own any more.
pub(crate) fn finish(archive: Option<Archive>, done: &mut ConvertOutcome) -> Result<()> {
    match archive.zip(done.manifest.as_ref()) {
        Some((archive, manifest)) => {
            archive.finish(manifest, &done.copy.blocks)?;
            done.manifest = None;
            Ok(())
        }
        None => Ok(()),
    }
}
