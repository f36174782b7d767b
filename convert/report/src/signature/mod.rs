//! Signatures of reports: by SSH keys through the system's `ssh-keygen`, so that agents and keys in hardware work, or by minisign keys.
//!
//! Keys stay with those programs. What is signed are the bytes of the report's file, and the report names the files of its jobs with their
//! digests. A signature alone shows that nothing was changed since somebody signed it; who that was is only known
//! when the operator names the key or a list of signers.

mod minisign;
mod ssh;
mod tool;

use crate::document::Report;
use crate::evidence::FileState;
use format_core::{Error, ErrorKind, FileTarget, Result, TargetStorage};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// A report of a hundred thousand jobs is smaller.
const MOST_REPORT: u64 = 512 << 20;
/// Keys, signatures and lists of signers are small.
const MOST_KEY: u64 = 1 << 20;

/// The kind of a key or of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// SSHSIG.
    Ssh,
    /// minisign.
    Minisign,
}

impl Scheme {
    /// What is added to a report's name to name its signature.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Ssh => ".sig",
            Self::Minisign => ".minisig",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ssh => "SSH",
            Self::Minisign => "minisign",
        }
    }
}

/// Whose signature counts.
#[derive(Clone, Copy, Debug)]
pub enum Trust<'a> {
    /// Nobody was named: only whether the report is what was signed.
    Nobody,
    /// Those of a list as OpenSSH has them (`allowed_signers`).
    Signers(&'a Path),
    /// This public key's: a file of one SSH or minisign key.
    Key(&'a Path),
}

/// A signature that was made.
#[derive(Clone, Debug, Serialize)]
pub struct Signed {
    /// The signature's file.
    pub signature: PathBuf,
    /// Its kind.
    pub scheme: Scheme,
    /// The key: the fingerprint as OpenSSH prints it, or minisign's key id. `None` where the signature does not tell.
    pub key: Option<String>,
}

/// What a signature and the files that it covers are worth.
#[derive(Clone, Debug, Serialize)]
pub struct Verification {
    /// Whether everything that was asked holds: the signature, its signer, and each named file.
    pub ok: bool,
    /// What was found about the signature.
    pub signature: SignatureState,
    /// Its kind.
    pub scheme: Scheme,
    /// Who signed it, where the list of signers says so.
    pub signer: Option<String>,
    /// The key that signed it, as in [`Signed::key`].
    pub key: Option<String>,
    /// What that means, in a sentence.
    pub says: String,
    /// The files that the report names. None are looked at when the signature does not hold.
    pub files: Vec<CheckedFile>,
}

/// What was found about a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignatureState {
    /// Good, by who was named.
    Good,
    /// The report is what was signed; nobody said whose key counts.
    IntegrityOnly,
    /// The report is what was signed, by a key that does not count.
    OtherSigner,
    /// It does not fit the report.
    Bad,
}

/// A file that a report names.
#[derive(Clone, Debug, Serialize)]
pub struct CheckedFile {
    /// As the report names it.
    pub path: String,
    /// What it is now.
    pub state: FileState,
}

/// What a scheme found.
struct Finding {
    state: SignatureState,
    signer: Option<String>,
    key: Option<String>,
    says: String,
}

/// Signs the report in the file `report` and writes the signature beside it.
///
/// # Errors
/// `SourceMissing` when report or key are not there; `Destination` when there is a signature and it is not to be replaced;
/// `NeedsPerson` when the key does not sign; `Unsupported` when the program that signs is not installed.
pub fn sign(report: &Path, key: &Path, replace: bool) -> Result<Signed> {
    let bytes = read(report, MOST_REPORT)?;
    let scheme = if minisign::is_secret_key(&read(key, MOST_KEY)?) { Scheme::Minisign } else { Scheme::Ssh };
    let path = beside(report, scheme);
    if !replace && path.symlink_metadata().is_ok() {
        return Err(Error::new(ErrorKind::Destination, format!("{} already exists", path.display()))
            .hint("add --force to replace it"));
    }
    let (signature, key) = match scheme {
        Scheme::Ssh => ssh::sign(&bytes, key)?,
        Scheme::Minisign => (minisign::sign(&bytes, report, key)?, None),
    };
    let file = Box::new(FileTarget::create(&path, replace)?);
    file.write_all_at(0, &signature)?;
    file.commit()?;
    Ok(Signed { signature: path, scheme, key })
}

/// Checks a report against its signature, by default the one beside it, and each file that it names.
///
/// # Errors
/// What reading the files reports; `Usage` when a minisign signature is to be checked without a key, or when a list of signers or a key
/// is none. A signature that does not hold is no error, but a [`Verification`] that is not `ok`.
pub fn verify(report: &Path, signature: Option<&Path>, trust: Trust<'_>) -> Result<Verification> {
    // Read once: what is checked and what is parsed are the same bytes.
    let bytes = read(report, MOST_REPORT)?;
    let path = match signature {
        Some(path) => path.to_owned(),
        None => found_beside(report)?,
    };
    let signature = read(&path, MOST_KEY)?;
    let scheme = if ssh::is_signature(&signature) {
        Scheme::Ssh
    } else if minisign::is_signature(&signature) {
        Scheme::Minisign
    } else {
        return Err(Error::corrupt(format!("{} is no signature of SSH or minisign", path.display())));
    };
    let finding = match scheme {
        Scheme::Ssh => ssh::verify(&bytes, &signature, trust)?,
        Scheme::Minisign => minisign::verify(&bytes, &signature, trust)?,
    };
    let Finding { state, signer, key, says } = finding;
    let holds = matches!(state, SignatureState::Good | SignatureState::IntegrityOnly);
    let files = if holds { check_files(report, &bytes) } else { Vec::new() };
    let ok = holds && files.iter().all(|file| file.state == FileState::Same);
    Ok(Verification { ok, signature: state, scheme, signer, key, says, files })
}

/// A page or a text names no files, and is signed all the same.
fn check_files(path: &Path, bytes: &[u8]) -> Vec<CheckedFile> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let Ok(report) = Report::parse(bytes, "") else { return Vec::new() };
    let check =
        |file: &crate::model::Evidence| CheckedFile { path: file.path.clone(), state: file.check(folder) };
    report.evidence().map(check).collect()
}

fn beside(report: &Path, scheme: Scheme) -> PathBuf {
    let mut name = report.as_os_str().to_owned();
    name.push(scheme.suffix());
    PathBuf::from(name)
}

fn found_beside(report: &Path) -> Result<PathBuf> {
    let both = [Scheme::Ssh, Scheme::Minisign].map(|scheme| beside(report, scheme));
    let [ssh, minisign] = &both;
    // What is no file would be waited for.
    match (ssh.is_file(), minisign.is_file()) {
        (true, true) => Err(Error::usage(format!("there are {} and {}", ssh.display(), minisign.display()))
            .hint("name one with --signature")),
        (true, false) => Ok(ssh.clone()),
        (false, true) => Ok(minisign.clone()),
        (false, false) => {
            let text = format!("there is no signature {} or {}", ssh.display(), minisign.display());
            Err(Error::new(ErrorKind::SourceMissing, text)
                .hint("name it with --signature, or sign with 'rehome report sign'"))
        }
    }
}

fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    format_core::read_small_file(path, most)
}

/// A signature of one kind where a key of the other was named.
fn other_scheme(signature: Scheme, key: Scheme) -> Finding {
    Finding {
        state: SignatureState::OtherSigner,
        signer: None,
        key: None,
        says: format!(
            "the signature is one of {}, and the named key is one of {}",
            signature.name(),
            key.name()
        ),
    }
}
