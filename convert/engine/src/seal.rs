//! The seal of a manifest: a hash of everything that it says, so that damage shows wherever it is.
//!
//! White space and the order of keys say nothing and are not covered. A seal is no signature: whoever changes a manifest on
//! purpose can seal it again, and a signed report names its hash.

use format_core::{Error, Result};
use serde_json::Value;

const CONTEXT: &str = "rehome 2026-11 seal of a manifest";
/// The key that holds it.
const KEY: &str = "seal";

/// The seal of a JSON object, whether it has one already or not.
///
/// # Errors
/// `Contract` never in practice.
pub(crate) fn seal_of(value: &Value) -> Result<String> {
    let mut value = value.clone();
    if let Value::Object(fields) = &mut value {
        fields.remove(KEY);
    }
    // Whatever other crates ask of the library.
    value.sort_all_objects();
    let text = serde_json::to_vec(&value)
        .map_err(|e| Error::contract("the manifest cannot be sealed").with_source(e))?;
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    hasher.update(&text);
    Ok(hasher.finalize().to_hex().to_string())
}

/// Compares the seal that a JSON object has.
///
/// # Errors
/// `Corrupt` when it has another, or none although it `must` have one.
pub(crate) fn check(value: &Value, must: bool) -> Result<()> {
    let hint = "take it from a backup, or convert again: what it says cannot be relied on";
    let found = match value.get(KEY) {
        None if must => return Err(Error::corrupt("it has lost its seal").hint(hint)),
        None => return Ok(()),
        Some(found) => found.as_str().unwrap_or_default(),
    };
    let wanted = seal_of(value)?;
    if found == wanted {
        return Ok(());
    }
    Err(Error::corrupt(format!(
        "it was changed after it was written: its content has the seal {wanted}, not the one in it"
    ))
    .hint(hint))
}
