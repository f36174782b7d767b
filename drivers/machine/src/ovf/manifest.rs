//! The manifest of a package: a line with the SHA-256 of each file (DSP0243 section 6).

use crate::MachineError;
use crate::error::shown;
use crate::validate::plain_text_fault;

/// A file of the package and its SHA-256, which the caller computed over the finished file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digested {
    /// Name as in the envelope's References, or of the envelope itself.
    pub file: String,
    /// SHA-256 of the file's bytes.
    pub sha256: [u8; 32],
}

/// The text of `NAME.mf` for `files`, the envelope first.
///
/// # Errors
/// Kind `Invalid` for a name with control characters: it would be another line.
pub fn manifest(files: &[Digested]) -> Result<String, MachineError> {
    let mut text = String::new();
    for Digested { file, sha256 } in files {
        if let Some(fault) = plain_text_fault(file) {
            return Err(MachineError::field("manifest", format!("file name {} {fault}", shown(file))));
        }
        let digits: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        text.push_str(&format!("SHA256({file})= {digits}\n"));
    }
    Ok(text)
}
