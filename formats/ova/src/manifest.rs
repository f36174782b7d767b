//! The manifest: a line with a digest for each file of the package.

use crate::error::OvaError;
use format_core::{Error, Result, Storage, Tick};
use sha2::Digest;
use std::collections::HashMap;

/// Read at once.
const PART: usize = 1 << 20;

/// Which digest a line has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Sha1,
    Sha256,
    Sha512,
}

/// A line of the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) algorithm: Algorithm,
    /// In lower case.
    pub(crate) digits: String,
}

/// A manifest, and what of it is not understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) lines: Vec<Line>,
    /// Names of digests that are not computed here.
    pub(crate) unknown: Vec<String>,
    /// Where the lines of a name are: a stranger's manifest may have very many.
    by_name: HashMap<String, Vec<usize>>,
}

impl Algorithm {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha512 => "SHA512",
        }
    }

    fn digits(self) -> usize {
        match self {
            Self::Sha1 => 40,
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }

    fn of(name: &str) -> Option<Self> {
        match name.to_ascii_uppercase().replace('-', "").as_str() {
            "SHA1" => Some(Self::Sha1),
            "SHA256" => Some(Self::Sha256),
            "SHA512" => Some(Self::Sha512),
            _ => None,
        }
    }
}

impl Manifest {
    pub(crate) fn parse(text: &str) -> Result<Self, OvaError> {
        let mut manifest = Self::default();
        for (number, text) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
            let text = text.trim();
            if text.is_empty() {
                continue;
            }
            let (algorithm, name, digits) = split(text).ok_or(OvaError::ManifestLine { line: number })?;
            let Some(algorithm) = Algorithm::of(algorithm) else {
                manifest.unknown.push(algorithm.chars().take(40).collect());
                continue;
            };
            let (wanted, found) = (algorithm.digits(), digits.len());
            if found != wanted {
                let algorithm = algorithm.name();
                return Err(OvaError::ManifestDigits { line: number, algorithm, wanted, found });
            }
            manifest.add(Line { name: name.to_owned(), algorithm, digits: digits.to_ascii_lowercase() })?;
        }
        Ok(manifest)
    }

    fn add(&mut self, line: Line) -> Result<(), OvaError> {
        let same = self.of(&line.name).find(|other| other.algorithm == line.algorithm);
        match same {
            Some(other) if *other != line => Err(OvaError::ManifestTwice { name: line.name }),
            Some(_) => Ok(()),
            None => {
                self.by_name.entry(line.name.clone()).or_default().push(self.lines.len());
                self.lines.push(line);
                Ok(())
            }
        }
    }

    /// The lines for a file.
    pub(crate) fn of<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Line> + use<'a> {
        let places = self.by_name.get(name).map_or(&[][..], Vec::as_slice);
        places.iter().filter_map(|place| self.lines.get(*place))
    }
}

/// `SHA256(name)= digits`, with spaces where programs put them; a name may have brackets.
fn split(text: &str) -> Option<(&str, &str, &str)> {
    let (algorithm, rest) = text.split_once('(')?;
    let (name, digits) = rest.rsplit_once(')')?;
    let (digits, name) =
        (digits.trim_start().strip_prefix('=')?.trim(), name.strip_prefix("./").unwrap_or(name));
    let is_word =
        |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let are_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_word(algorithm.trim()) && are_digits && !name.is_empty()).then(|| (algorithm.trim(), name, digits))
}

/// A digest that is being taken.
enum Hasher {
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
}

impl Hasher {
    fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha1 => Self::Sha1(sha1::Sha1::new()),
            Algorithm::Sha256 => Self::Sha256(sha2::Sha256::new()),
            Algorithm::Sha512 => Self::Sha512(sha2::Sha512::new()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(hasher) => hasher.update(bytes),
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    fn digits(self) -> String {
        match self {
            Self::Sha1(hasher) => hex(&hasher.finalize()),
            Self::Sha256(hasher) => hex(&hasher.finalize()),
            Self::Sha512(hasher) => hex(&hasher.finalize()),
        }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Compares a file with a line of the manifest.
pub(crate) fn compare(line: &Line, storage: &dyn Storage, tick: Tick<'_>) -> Result<()> {
    let (mut hasher, mut at, mut buf) = (Hasher::new(line.algorithm), 0, vec![0; PART]);
    while at < storage.size() {
        let len = (storage.size() - at).min(PART as u64);
        let part = &mut buf[..len as usize];
        storage.read_exact_at(at, part)?;
        hasher.update(part);
        tick(len)?;
        at += len;
    }
    let found = hasher.digits();
    if found == line.digits {
        return Ok(());
    }
    let (algorithm, name) = (line.algorithm.name(), line.name.clone());
    Err(Error::from(OvaError::Digest { algorithm, name, found, said: line.digits.clone() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_manifest_is_read_at_once() {
        let line = |number: u32| format!("SHA1(file{number})= {number:040x}\n");
        let text: String = (0..200_000).map(line).collect();
        let started = std::time::Instant::now();
        let manifest = Manifest::parse(&text).unwrap();
        assert_eq!(manifest.of("file199999").count(), 1);
        assert_eq!(manifest.of("file").count(), 0);
        assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
        let twice = format!("{text}SHA1(file7)= {:040x}\n", 8);
        assert_eq!(Manifest::parse(&twice), Err(OvaError::ManifestTwice { name: "file7".into() }));
    }

    #[test]
    fn lines_of_all_programs() {
        let digits = "0".repeat(64);
        let text = format!(
            "\u{feff}SHA256(a b.ovf)= {digits}\r\n\nSHA256 (x (1).vmdk) ={}\nsha-1(c)= {}\nMD5(d)= 00\n",
            digits.to_uppercase(),
            "1".repeat(40)
        );
        let manifest = Manifest::parse(&text).unwrap();
        let names: Vec<_> = manifest.lines.iter().map(|line| (line.name.as_str(), line.algorithm)).collect();
        use Algorithm::{Sha1, Sha256};
        assert_eq!(names, [("a b.ovf", Sha256), ("x (1).vmdk", Sha256), ("c", Sha1)]);
        assert_eq!(manifest.unknown, ["MD5"]);
        for text in ["x", "SHA256 a= 00", "SHA256(a)", "SHA256(a)= xx", "SHA256()= 00", "(a)= 00"] {
            assert_eq!(Manifest::parse(text), Err(OvaError::ManifestLine { line: 1 }), "{text}");
        }
        assert!(matches!(Manifest::parse("SHA1(a)= 00"), Err(OvaError::ManifestDigits { .. })));
    }
}
