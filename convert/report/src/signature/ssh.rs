//! SSHSIG through the system's `ssh-keygen -Y`.

use super::tool::{Said, run, unnamed};
use super::{Finding, MOST_KEY, Scheme, SignatureState, Trust, minisign, other_scheme, read};
use format_core::{Error, Result};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// A signature for another purpose is not one of a report.
const NAMESPACE: &str = "rehome-report";
const PACKAGE: &str = "openssh-client";
/// The name that a lone public key goes by.
const NAMED: &str = "signer";

pub(super) fn is_signature(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"-----BEGIN SSH SIGNATURE-----")
}

/// Whether it is one public key as `ssh-keygen` writes it.
pub(super) fn public_key(text: &str) -> Option<(&str, &str)> {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let (line, rest) = (lines.next()?, lines.next());
    let mut words = line.split_whitespace();
    let (kind, key) = (words.next()?, words.next()?);
    let is_kind = ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"].iter().any(|start| kind.starts_with(start));
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-@.+/=".contains(c);
    (rest.is_none() && is_kind && [kind, key].iter().all(|word| word.chars().all(is_plain)))
        .then_some((kind, key))
}

fn keygen(action: &str, bytes: &[u8], args: &[&std::ffi::OsStr]) -> Result<Said> {
    let mut command = Command::new("ssh-keygen");
    command.args(["-Y", action]).args(args);
    run(&mut command, Stdio::from(unnamed(bytes)?), PACKAGE)
}

/// The signature, and the fingerprint of the key.
pub(super) fn sign(bytes: &[u8], key: &Path) -> Result<(Vec<u8>, Option<String>)> {
    let said = keygen("sign", bytes, &["-n".as_ref(), NAMESPACE.as_ref(), "-f".as_ref(), key.as_os_str()])?;
    if !said.status.success() || !is_signature(&said.stdout) {
        let text = format!("ssh-keygen does not sign with {}: {}", key.display(), said.complaint());
        return Err(Error::needs_person(text).hint(format!(
            "see that 'ssh-keygen -Y sign -n {NAMESPACE} -f {} FILE' works; with an agent, name the .pub file",
            key.display()
        )));
    }
    let signature = file_of(&said.stdout)?;
    match fits(bytes, signature.path())? {
        Some(fingerprint) => Ok((said.stdout, Some(fingerprint))),
        None => Err(Error::contract("ssh-keygen does not accept the signature that it made")),
    }
}

/// The fingerprint of the key that signed `bytes`; `None` when the signature is not one of them.
fn fits(bytes: &[u8], signature: &Path) -> Result<Option<String>> {
    let args = ["-n".as_ref(), NAMESPACE.as_ref(), "-s".as_ref(), signature.as_os_str()];
    let said = keygen("check-novalidate", bytes, &args)?;
    let text = String::from_utf8_lossy(&said.stdout);
    let fingerprint = text.split_whitespace().find(|word| word.starts_with("SHA256:")).map(str::to_owned);
    Ok(fingerprint.filter(|_| said.status.success()))
}

fn file_of(bytes: &[u8]) -> Result<tempfile::NamedTempFile> {
    let failed = |e| Error::io("cannot write a temporary file", e);
    let mut file = tempfile::NamedTempFile::new().map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.flush()).map_err(failed)?;
    Ok(file)
}

pub(super) fn verify(bytes: &[u8], signature: &[u8], trust: Trust<'_>) -> Result<Finding> {
    let signature = file_of(signature)?;
    let key_line;
    let (signers, of_list) = match trust {
        Trust::Nobody => (None, false),
        Trust::Signers(path) => {
            // Read here, so that a file that is missing is told as one.
            key_line = file_of(&read(path, MOST_KEY)?)?;
            (Some(key_line.path()), true)
        }
        Trust::Key(path) => {
            let text = String::from_utf8_lossy(&read(path, MOST_KEY)?).into_owned();
            let Some((kind, key)) = public_key(&text) else {
                if minisign::public_key(&text).is_some() {
                    return Ok(other_scheme(Scheme::Ssh, Scheme::Minisign));
                }
                return Err(Error::usage(format!("{} is not one public key", path.display()))
                    .hint("name the file that ends with .pub; a list of signers goes with --signers"));
            };
            key_line = file_of(format!("{NAMED} namespaces=\"{NAMESPACE}\" {kind} {key}\n").as_bytes())?;
            (Some(key_line.path()), false)
        }
    };
    let Some(fingerprint) = fits(bytes, signature.path())? else {
        return Ok(Finding {
            state: SignatureState::Bad,
            signer: None,
            key: None,
            says: "the signature does not fit: the report is not what was signed, or it was signed for another purpose"
                .into(),
        });
    };
    let Some(signers) = signers else {
        return Ok(Finding {
            state: SignatureState::IntegrityOnly,
            signer: None,
            says: format!(
                "the report is unchanged since the key {fingerprint} signed it; whose key that is was not asked, so anyone may have \
                 signed it"
            ),
            key: Some(fingerprint),
        });
    };
    let signer = signer(bytes, signature.path(), signers)?;
    Ok(match signer {
        Some(name) => Finding {
            state: SignatureState::Good,
            says: match of_list {
                true => format!("signed by {} with the key {fingerprint}", driver_core::printable(&name)),
                false => format!("signed with the named key {fingerprint}"),
            },
            signer: Some(name).filter(|_| of_list),
            key: Some(fingerprint),
        },
        None => Finding {
            state: SignatureState::OtherSigner,
            signer: None,
            says: format!("signed with the key {fingerprint}, which is not one of those that count"),
            key: Some(fingerprint),
        },
    })
}

/// Who of `signers` signed `bytes`.
fn signer(bytes: &[u8], signature: &Path, signers: &Path) -> Result<Option<String>> {
    let files = ["-s".as_ref(), signature.as_os_str(), "-f".as_ref(), signers.as_os_str()];
    let found = keygen("find-principals", &[], &files)?;
    if !found.status.success() {
        return Ok(None);
    }
    let names = String::from_utf8_lossy(&found.stdout).into_owned();
    for name in names.lines().map(str::trim).filter(|name| !name.is_empty()) {
        let mut args = vec!["-n".as_ref(), NAMESPACE.as_ref(), "-I".as_ref(), name.as_ref()];
        args.extend(files);
        if keygen("verify", bytes, &args)?.status.success() {
            return Ok(Some(name.to_owned()));
        }
    }
    Ok(None)
}
