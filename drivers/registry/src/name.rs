//! Names of keys and values: how they are stored, compared, hashed and hinted at.
//!
//! Source: specification, "Key node", "Key value", "Fast leaf", "Hash leaf".

use crate::error::{Fault, Result};
use crate::fields::units;
use crate::upcase::upcase;
use std::cmp::Ordering;
use std::fmt;

/// A name as it is stored: one byte for each character when all are below U+0100, else UTF-16LE.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoredName<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) is_compressed: bool,
}

impl<'a> StoredName<'a> {
    pub(crate) fn units(self) -> impl Iterator<Item = u16> + 'a {
        let (narrow, wide) = if self.is_compressed { (self.bytes, &[][..]) } else { (&[][..], self.bytes) };
        narrow.iter().map(|byte| u16::from(*byte)).chain(units(wide))
    }

    /// Whether this is `name` but for upper and lower case.
    pub(crate) fn is(self, name: &[u16]) -> bool {
        self.units().map(upcase).eq(name.iter().copied().map(upcase))
    }

    pub(crate) fn to_name(self) -> Name {
        Name(self.units().collect())
    }
}

/// The order of keys in lists: by code units in upper case.
pub(crate) fn order(a: impl Iterator<Item = u16>, b: impl Iterator<Item = u16>) -> Ordering {
    a.map(upcase).cmp(b.map(upcase))
}

/// The name of a key or a value: UTF-16 code units, which need not be valid text. Shown with U+FFFD for what is not.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(pub(crate) Vec<u16>);

impl Name {
    /// The code units.
    #[must_use]
    pub fn units(&self) -> &[u16] {
        &self.0
    }

    /// Whether both are the same but for upper and lower case, as the kernel sees it.
    #[must_use]
    pub fn is(&self, other: &str) -> bool {
        self.0.iter().copied().map(upcase).eq(other.encode_utf16().map(upcase))
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Self(text.encode_utf16().collect())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf16_lossy(&self.0))
    }
}

/// A name in the form in which it is stored.
pub(crate) struct Encoded {
    pub(crate) bytes: Vec<u8>,
    pub(crate) is_compressed: bool,
}

pub(crate) fn encode(name: &[u16]) -> Encoded {
    let narrow: Option<Vec<u8>> = name.iter().map(|unit| u8::try_from(*unit).ok()).collect();
    match narrow {
        Some(bytes) => Encoded { bytes, is_compressed: true },
        None => {
            Encoded { bytes: name.iter().flat_map(|unit| unit.to_le_bytes()).collect(), is_compressed: false }
        }
    }
}

/// The hash in an `lh` list.
pub(crate) fn hash(name: impl Iterator<Item = u16>) -> u32 {
    name.fold(0u32, |hash, unit| hash.wrapping_mul(37).wrapping_add(u32::from(upcase(unit))))
}

/// The hint in an `lf` list: the first four characters, filled from the last of them until one is no single byte.
pub(crate) fn hint(name: impl Iterator<Item = u16>) -> [u8; 4] {
    let start: Vec<u16> = name.take(4).collect();
    let mut hint = [0; 4];
    for (place, unit) in hint.iter_mut().zip(&start).rev() {
        match u8::try_from(*unit) {
            Ok(byte) => *place = byte,
            Err(_) => break,
        }
    }
    hint
}

/// The names in a path. Backslashes at the ends, and doubled ones, mean nothing.
pub(crate) fn components(path: &str) -> impl Iterator<Item = &str> {
    path.split('\\').filter(|part| !part.is_empty())
}

/// A name that a new key or value may have.
pub(crate) fn checked(what: &'static str, name: &str, limit: usize) -> Result<Vec<u16>> {
    let units: Vec<u16> = name.encode_utf16().collect();
    if units.contains(&0) {
        return Err(Fault::Usage(format!("{what} {name:?} holds a zero character")));
    }
    if units.len() > limit {
        return Err(Fault::Usage(format!(
            "{what} {name:?} has {} characters, at most {limit} are possible",
            units.len()
        )));
    }
    Ok(units)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wide(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    #[test]
    fn narrow_names_take_a_byte_for_each_character() {
        let narrow = encode(&wide("aÿ"));
        assert!(narrow.is_compressed && narrow.bytes == [0x61, 0xff]);
        let name = encode(&wide("aĀ"));
        assert!(!name.is_compressed && name.bytes == [0x61, 0, 0, 1]);
        let stored = StoredName { bytes: &name.bytes, is_compressed: false };
        assert!(stored.is(&wide("Aā")) && !stored.is(&wide("A")));
        assert_eq!(stored.to_name().to_string(), "aĀ");
    }

    #[test]
    fn hints_stop_at_the_last_wide_character() {
        let hint = |text: &str| super::hint(text.encode_utf16());
        assert_eq!(&hint("Control"), b"Cont");
        assert_eq!(&hint("ab"), b"ab\0\0");
        assert_eq!(&hint("aЖcd"), b"\0\0cd");
        assert_eq!(&hint("abcЖd"), b"\0\0\0\0");
        assert_eq!(&hint("abcdЖ"), b"abcd");
    }

    #[test]
    fn hashes_ignore_case() {
        assert_eq!(hash("ab".encode_utf16()), 37 * 65 + 66);
        assert_eq!(hash("Жж".encode_utf16()), hash("жЖ".encode_utf16()));
    }

    #[test]
    fn keys_are_ordered_by_upper_case() {
        let order = |a: &str, b: &str| super::order(a.encode_utf16(), b.encode_utf16());
        assert_eq!(order("a", "B"), Ordering::Less);
        assert_eq!(order("_", "a"), Ordering::Greater);
        assert_eq!(order("ab", "ABC"), Ordering::Less);
        assert_eq!(order("É", "é"), Ordering::Equal);
    }
}
