//! The images that a target takes.

use crate::choose::Choice;
use convert_engine::size_in;
use driver_core::DefinitionKind;
use format_core::{Error, Format, Result};
use std::collections::BTreeMap;

pub(crate) fn target_format(name: &str) -> Result<&'static Format> {
    let found = format_all::FORMATS.iter().find(|format| format.is_called(name));
    found.copied().ok_or_else(|| Error::contract(format!("the target wants {name}, which is no format")))
}

pub(crate) fn image_options(kind: &DefinitionKind) -> BTreeMap<String, String> {
    kind.image_options.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

/// Disks whose size the target's images cannot have: growing them moves the end that a GPT's backup lies at.
pub(crate) fn unfit_sizes(sizes: &[u64], choice: &Choice) -> Result<Vec<String>> {
    let (format, options) =
        (target_format(choice.definition.image_format)?, image_options(choice.definition));
    let mut unfit = Vec::new();
    for (index, size) in sizes.iter().enumerate() {
        let (needed, _) = size_in(format, *size, &options)?;
        if needed != *size {
            unfit.push(format!(
                "disk {index} has {size} bytes, which {} does not take: grow it first with 'rehome convert --size {needed}'",
                choice.target.name
            ));
        }
    }
    Ok(unfit)
}
