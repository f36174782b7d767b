//! minisign: signed by its own program, which asks for the key's password, and verified here.

use super::tool::run;
use super::{Finding, MOST_KEY, Scheme, SignatureState, Trust, other_scheme, read, ssh};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use format_core::{Error, Result};
use minisign_verify::{PublicKey, Signature};
use std::path::Path;
use std::process::{Command, Stdio};

const COMMENT: &[u8] = b"untrusted comment:";

/// The line below the comment, decoded.
fn payload(bytes: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let line =
        text.lines().find(|line| !line.starts_with("untrusted comment:") && !line.trim().is_empty())?;
    BASE64_STANDARD.decode(line.trim()).ok()
}

/// A key is 158 bytes of which the first two name the algorithm.
pub(super) fn is_secret_key(bytes: &[u8]) -> bool {
    bytes.starts_with(COMMENT)
        && payload(bytes).is_some_and(|payload| payload.len() == 158 && payload.starts_with(b"Ed"))
}

/// 74 bytes: algorithm (`Ed`, or `ED` of a hash), key id, signature.
pub(super) fn is_signature(bytes: &[u8]) -> bool {
    let algorithm = |payload: &[u8]| payload.starts_with(b"Ed") || payload.starts_with(b"ED");
    bytes.starts_with(COMMENT)
        && payload(bytes).is_some_and(|payload| payload.len() == 74 && algorithm(&payload))
}

/// A public key and its id as minisign prints it, from a file's text, with or without the comment.
pub(super) fn public_key(text: &str) -> Option<(PublicKey, String)> {
    let payload = payload(text.as_bytes())?;
    let id = payload.get(2..10).filter(|_| payload.len() == 42 && payload.starts_with(b"Ed"))?;
    let key = PublicKey::from_base64(&BASE64_STANDARD.encode(&payload)).ok()?;
    Some((key, id.iter().rev().map(|byte| format!("{byte:02X}")).collect()))
}

pub(super) fn sign(bytes: &[u8], report: &Path, key: &Path) -> Result<Vec<u8>> {
    let failed = |e| Error::io("cannot write a temporary file", e);
    let folder = tempfile::tempdir().map_err(failed)?;
    let (message, signature) = (folder.path().join("report"), folder.path().join("report.minisig"));
    std::fs::write(&message, bytes).map_err(failed)?;
    let name = report.file_name().unwrap_or_default().to_string_lossy();
    // A control character would end the line that the comment is.
    let comment = format!("rehome report {}", driver_core::printable(&name));
    let mut command = Command::new("minisign");
    command.arg("-S").arg("-s").arg(key).arg("-m").arg(&message).arg("-x").arg(&signature);
    command.args(["-t", &comment, "-c", "signature of a rehome report"]);
    let said = run(&mut command, Stdio::inherit(), "minisign")?;
    match read(&signature, MOST_KEY) {
        Ok(signature) if said.status.success() && is_signature(&signature) => Ok(signature),
        _ => Err(Error::needs_person(format!(
            "minisign does not sign with {}: {}",
            key.display(),
            said.complaint()
        ))
        .hint("where the key has a password, give it as a line on stdin")),
    }
}

pub(super) fn verify(bytes: &[u8], signature: &[u8], trust: Trust<'_>) -> Result<Finding> {
    let path = match trust {
        Trust::Key(path) => path,
        Trust::Signers(_) => return Ok(other_scheme(Scheme::Minisign, Scheme::Ssh)),
        Trust::Nobody => {
            return Err(Error::usage("a minisign signature proves nothing without the public key")
                .hint("name it with --public-key"));
        }
    };
    let text = String::from_utf8_lossy(&read(path, MOST_KEY)?).into_owned();
    let Some((key, id)) = public_key(&text) else {
        if ssh::public_key(&text).is_some() {
            return Ok(other_scheme(Scheme::Minisign, Scheme::Ssh));
        }
        return Err(Error::usage(format!("{} is no public key", path.display())));
    };
    let text = String::from_utf8_lossy(signature);
    let signature = Signature::decode(&text).map_err(|e| Error::corrupt("the signature").with_source(e))?;
    Ok(match key.verify(bytes, &signature, true) {
        Ok(()) => Finding {
            state: SignatureState::Good,
            signer: None,
            says: format!("signed with the named key {id}"),
            key: Some(id),
        },
        Err(minisign_verify::Error::UnexpectedKeyId) => Finding {
            state: SignatureState::OtherSigner,
            signer: None,
            key: None,
            says: format!("signed with another key than the named one, {id}"),
        },
        Err(_) => Finding {
            state: SignatureState::Bad,
            signer: None,
            key: None,
            says: "the signature does not fit: the report is not what was signed".into(),
        },
    })
}
