//! Pax records: what a header cannot say.

use crate::error::TarError;

/// What the records of one member say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pax {
    pub(crate) path: Option<String>,
    pub(crate) link: Option<String>,
    pub(crate) size: Option<u64>,
    pub(crate) sparse: Sparse,
    /// What star says the size with holes is.
    pub(crate) star_size: Option<u64>,
}

/// What GNU tar says about a sparse member.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sparse {
    pub(crate) major: Option<u64>,
    pub(crate) minor: Option<u64>,
    pub(crate) name: Option<String>,
    pub(crate) real_size: Option<u64>,
    /// Offsets and lengths in turns, of versions 0.0 and 0.1.
    pub(crate) numbers: Option<Vec<u64>>,
}

impl Pax {
    /// Adds the records in `bytes`.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Result<(), TarError> {
        let mut at = 0;
        // GNU tar pads nothing, others pad with zeros.
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty() && !format_core::is_zero(rest))
        {
            let (len, key, value) = record(rest).ok_or(TarError::PaxRecord { at })?;
            self.take(&key, value)?;
            at += len;
        }
        Ok(())
    }

    /// A global header may say what is no business of ours, and nothing else.
    pub(crate) fn refuse_global(&self) -> Result<(), TarError> {
        let sparse = &self.sparse;
        let known = [
            ("path", self.path.is_some()),
            ("linkpath", self.link.is_some()),
            ("size", self.size.is_some()),
            ("SCHILY.realsize", self.star_size.is_some()),
            ("GNU.sparse", sparse.real_size.is_some() || sparse.major.is_some() || sparse.numbers.is_some()),
        ];
        match known.into_iter().find(|(_, is_there)| *is_there) {
            Some((key, _)) => Err(TarError::Global { key: key.to_owned() }),
            None => Ok(()),
        }
    }

    fn take(&mut self, key: &str, value: &[u8]) -> Result<(), TarError> {
        let text = || String::from_utf8_lossy(value).into_owned();
        let number = || number(key, value);
        let sparse = &mut self.sparse;
        match key {
            "path" => self.path = Some(text()),
            "linkpath" => self.link = Some(text()),
            "size" => self.size = Some(number()?),
            "SCHILY.realsize" => self.star_size = Some(number()?),
            "GNU.sparse.major" => sparse.major = Some(number()?),
            "GNU.sparse.minor" => sparse.minor = Some(number()?),
            "GNU.sparse.name" => sparse.name = Some(text()),
            "GNU.sparse.realsize" | "GNU.sparse.size" => sparse.real_size = Some(number()?),
            "GNU.sparse.offset" | "GNU.sparse.numbytes" => {
                let numbers = sparse.numbers.get_or_insert_default();
                // They come in pairs, the offset first.
                if numbers.len() % 2 != usize::from(key == "GNU.sparse.numbytes") {
                    return Err(TarError::PaxNumber { key: key.to_owned(), value: text() });
                }
                numbers.push(number()?);
            }
            "GNU.sparse.map" => {
                let parts = value.split(|byte| *byte == b',').filter(|part| !part.is_empty());
                let numbers = parts.map(|part| self::number(key, part)).collect::<Result<_, _>>()?;
                sparse.numbers = Some(numbers);
            }
            _ => {}
        }
        Ok(())
    }
}

/// The length of the first record in `bytes`, its key and its value.
fn record(bytes: &[u8]) -> Option<(usize, String, &[u8])> {
    let space = bytes.iter().take(20).position(|byte| *byte == b' ')?;
    let len: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
    let (last, body) = bytes.get(space + 1..len)?.split_last()?;
    let equals = body.iter().position(|byte| *byte == b'=')?;
    let (key, value) = (body.get(..equals)?, body.get(equals + 1..)?);
    (*last == b'\n').then(|| (len, String::from_utf8_lossy(key).into_owned(), value))
}

pub(crate) fn number(key: &str, value: &[u8]) -> Result<u64, TarError> {
    let digits = value.iter().all(u8::is_ascii_digit).then_some(value);
    let parsed =
        digits.and_then(|digits| std::str::from_utf8(digits).ok()).and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| {
        let shown = &value[..value.len().min(40)];
        TarError::PaxNumber { key: key.to_owned(), value: String::from_utf8_lossy(shown).into_owned() }
    })
}
