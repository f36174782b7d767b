//! From a file to a layer: a descriptor, or an image with or without a descriptor beside it.

use crate::bundle::Bundle;
use crate::descriptor::{Descriptor, is_descriptor};
use crate::error::ParallelsError;
use crate::expanding::Expanding;
use crate::layout::{DESCRIPTOR_NAME, MAX_DESCRIPTOR};
use crate::parse::has_magic;
use format_core::{ErrorKind, Format, Layer, LayerContext, Result, Score, Storage, Warning};
use std::sync::Arc;

pub(crate) fn probe(head: &[u8], _: &[u8]) -> Score {
    if has_magic(head) || is_descriptor(head) { Score::Magic } else { Score::No }
}

/// The first bytes of a file, as many as a probe sees.
pub(crate) fn load_head(storage: &dyn Storage) -> Result<Vec<u8>> {
    let mut head = vec![0; storage.size().min(Format::PROBE_LEN as u64) as usize];
    storage.read_exact_at(0, &mut head)?;
    Ok(head)
}

pub(crate) fn load_descriptor(storage: &dyn Storage) -> Result<Descriptor> {
    let size = storage.size();
    if size > MAX_DESCRIPTOR {
        return Err(ParallelsError::DescriptorSize { size }.into());
    }
    let mut text = vec![0; size as usize];
    storage.read_exact_at(0, &mut text)?;
    Ok(Descriptor::parse(&text)?)
}

pub(crate) fn open(storage: Arc<dyn Storage>, context: &LayerContext) -> Result<Box<dyn Layer>> {
    let head = load_head(storage.as_ref())?;
    let wanted = context.access.snapshot.as_deref();
    if is_descriptor(&head) {
        let descriptor = load_descriptor(storage.as_ref())?;
        let guid = wanted.map_or_else(|| descriptor.top(), |wanted| descriptor.snapshot(wanted))?;
        return Ok(Box::new(Bundle::open(&descriptor, guid, context.gate.as_ref())?));
    }
    let beside = descriptor_beside(context)?;
    if let Beside::Found(name, descriptor) = &beside
        && let Some((_, image)) = descriptor.image_of(name)
    {
        let state = image.guid;
        let storages = descriptor.storages.len();
        if storages > 1 {
            return Err(ParallelsError::OnePart { file: name.clone(), storages }.into());
        }
        let guid = wanted.map_or(Ok(state), |wanted| descriptor.snapshot(wanted))?;
        let mut bundle = Bundle::open(descriptor, guid, context.gate.as_ref())?;
        if wanted.is_none() && descriptor.top().ok() != Some(guid) {
            let message =
                format!("{name:?} holds a snapshot, the current state of the disk is in another file");
            bundle.warn(Warning::new("parallels-not-current", message));
        }
        return Ok(Box::new(bundle));
    }
    if !has_magic(&head) {
        return Err(ParallelsError::NotParallels.into());
    }
    if wanted.is_some() {
        return Err(ParallelsError::NoSnapshots.into());
    }
    let mut image = Expanding::open(storage)?;
    if matches!(beside, Beside::Denied) {
        let message = "whether the image is a difference to another one is said by a file beside it, which must not be \
                       read: the format was only guessed";
        image.warn(Warning::new("parallels-alone", message));
    }
    Ok(Box::new(image))
}

/// What is in the file's folder.
pub(crate) enum Beside {
    Nothing,
    Denied,
    /// The file's own name, and the descriptor.
    Found(String, Descriptor),
}

pub(crate) fn descriptor_beside(context: &LayerContext) -> Result<Beside> {
    let Some(name) = &context.name else { return Ok(Beside::Nothing) };
    match context.gate.open(DESCRIPTOR_NAME) {
        Ok(found) => {
            let descriptor = load_descriptor(&found.storage)
                .map_err(|e| e.context(format!("read {DESCRIPTOR_NAME}, which lies beside the image")))?;
            Ok(Beside::Found(name.clone(), descriptor))
        }
        Err(e) if e.kind() == ErrorKind::SourceMissing => Ok(Beside::Nothing),
        Err(e) if e.kind() == ErrorKind::Denied => Ok(Beside::Denied),
        Err(e) => Err(e),
    }
}
