//! The data of values: bytes with a type, and what the usual types mean.
//!
//! Source: specification, "Data types"; "Registry value types" of the Windows documentation for strings.

use crate::fields::units;
use std::fmt;

/// The type of a value's data. Any number is possible; those of the system have names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(pub u32);

impl Kind {
    /// `REG_NONE`
    pub const NONE: Self = Self(0);
    /// `REG_SZ`: text.
    pub const STRING: Self = Self(1);
    /// `REG_EXPAND_SZ`: text with names of environment variables.
    pub const EXPAND_STRING: Self = Self(2);
    /// `REG_BINARY`
    pub const BINARY: Self = Self(3);
    /// `REG_DWORD`: 32 bits, little-endian.
    pub const DWORD: Self = Self(4);
    /// `REG_DWORD_BIG_ENDIAN`
    pub const DWORD_BIG_ENDIAN: Self = Self(5);
    /// `REG_LINK`: where a symbolic link points.
    pub const LINK: Self = Self(6);
    /// `REG_MULTI_SZ`: a list of texts.
    pub const MULTI_STRING: Self = Self(7);
    /// `REG_RESOURCE_LIST`
    pub const RESOURCE_LIST: Self = Self(8);
    /// `REG_FULL_RESOURCE_DESCRIPTOR`
    pub const FULL_RESOURCE_DESCRIPTOR: Self = Self(9);
    /// `REG_RESOURCE_REQUIREMENTS_LIST`
    pub const RESOURCE_REQUIREMENTS_LIST: Self = Self(10);
    /// `REG_QWORD`: 64 bits, little-endian.
    pub const QWORD: Self = Self(11);
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            0 => "REG_NONE",
            1 => "REG_SZ",
            2 => "REG_EXPAND_SZ",
            3 => "REG_BINARY",
            4 => "REG_DWORD",
            5 => "REG_DWORD_BIG_ENDIAN",
            6 => "REG_LINK",
            7 => "REG_MULTI_SZ",
            8 => "REG_RESOURCE_LIST",
            9 => "REG_FULL_RESOURCE_DESCRIPTOR",
            10 => "REG_RESOURCE_REQUIREMENTS_LIST",
            11 => "REG_QWORD",
            other => return write!(f, "type {other:#x}"),
        };
        f.write_str(name)
    }
}

/// A value without its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Value {
    /// What the bytes are said to be. Nothing guarantees that they are.
    pub kind: Kind,
    /// The bytes as they are stored.
    pub data: Vec<u8>,
}

impl Value {
    /// Any bytes of any type.
    #[must_use]
    pub fn raw(kind: Kind, data: impl Into<Vec<u8>>) -> Self {
        Self { kind, data: data.into() }
    }

    /// `REG_SZ`, with its terminator.
    #[must_use]
    pub fn string(text: &str) -> Self {
        Self::raw(Kind::STRING, terminated(text))
    }

    /// `REG_EXPAND_SZ`, with its terminator.
    #[must_use]
    pub fn expand_string(text: &str) -> Self {
        Self::raw(Kind::EXPAND_STRING, terminated(text))
    }

    /// `REG_MULTI_SZ`: each text with its terminator, and the empty one that ends the list. Empty texts cannot be in such
    /// a list and are left out.
    #[must_use]
    pub fn multi_string<S: AsRef<str>>(texts: &[S]) -> Self {
        let texts = texts.iter().map(AsRef::as_ref).filter(|text| !text.is_empty());
        let mut data: Vec<u8> = texts.flat_map(terminated).collect();
        data.extend([0, 0]);
        Self::raw(Kind::MULTI_STRING, data)
    }

    /// `REG_DWORD`
    #[must_use]
    pub fn dword(number: u32) -> Self {
        Self::raw(Kind::DWORD, number.to_le_bytes())
    }

    /// `REG_QWORD`
    #[must_use]
    pub fn qword(number: u64) -> Self {
        Self::raw(Kind::QWORD, number.to_le_bytes())
    }

    /// `REG_BINARY`
    #[must_use]
    pub fn binary(data: impl Into<Vec<u8>>) -> Self {
        Self::raw(Kind::BINARY, data)
    }

    /// The text of `REG_SZ`, `REG_EXPAND_SZ` and `REG_LINK`, up to its first zero character or, without one, its end.
    /// `None`: another type, or no valid UTF-16.
    #[must_use]
    pub fn as_str(&self) -> Option<String> {
        if !matches!(self.kind, Kind::STRING | Kind::EXPAND_STRING | Kind::LINK) {
            return None;
        }
        let text: Vec<u16> = units(&self.data).take_while(|unit| *unit != 0).collect();
        String::from_utf16(&text).ok()
    }

    /// The texts of `REG_MULTI_SZ` up to the first empty one, whether or not the last has its terminator. `None`: another
    /// type, or no valid UTF-16.
    #[must_use]
    pub fn as_multi_str(&self) -> Option<Vec<String>> {
        if self.kind != Kind::MULTI_STRING {
            return None;
        }
        let all: Vec<u16> = units(&self.data).collect();
        let texts = all.split(|unit| *unit == 0).take_while(|text| !text.is_empty());
        texts.map(|text| String::from_utf16(text).ok()).collect()
    }

    /// The number of `REG_DWORD` and `REG_DWORD_BIG_ENDIAN`. `None`: another type, or not 4 bytes.
    #[must_use]
    pub fn as_u32(&self) -> Option<u32> {
        let bytes = self.data.as_slice().try_into().ok()?;
        match self.kind {
            Kind::DWORD => Some(u32::from_le_bytes(bytes)),
            Kind::DWORD_BIG_ENDIAN => Some(u32::from_be_bytes(bytes)),
            _ => None,
        }
    }

    /// The number of `REG_QWORD`, or of the 32-bit types. `None`: another type, or not as many bytes.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match self.kind {
            Kind::QWORD => Some(u64::from_le_bytes(self.data.as_slice().try_into().ok()?)),
            _ => self.as_u32().map(u64::from),
        }
    }
}

/// UTF-16LE with a zero character behind it.
fn terminated(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_with_and_without_terminator() {
        assert_eq!(Value::string("é").data, [0xe9, 0, 0, 0]);
        for data in [&b"a\0b\0"[..], b"a\0b\0\0\0", b"a\0b\0\0\0c\0\0\0", b"a\0b\0c"] {
            assert_eq!(Value::raw(Kind::EXPAND_STRING, data).as_str().unwrap(), "ab");
        }
        assert_eq!(Value::raw(Kind::STRING, []).as_str().unwrap(), "");
        assert_eq!(Value::raw(Kind::STRING, [0, 0xd8]).as_str(), None);
        assert_eq!(Value::raw(Kind::BINARY, *b"a\0").as_str(), None);
    }

    #[test]
    fn lists_of_strings_with_and_without_their_ends() {
        assert_eq!(Value::multi_string(&["a", "", "b"]).data, *b"a\0\0\0b\0\0\0\0\0");
        for data in
            [&b"a\0\0\0b\0"[..], b"a\0\0\0b\0\0\0", b"a\0\0\0b\0\0\0\0\0", b"a\0\0\0b\0\0\0\0\0c\0\0\0\0\0"]
        {
            assert_eq!(Value::raw(Kind::MULTI_STRING, data).as_multi_str().unwrap(), ["a", "b"]);
        }
        assert_eq!(Value::raw(Kind::MULTI_STRING, []).as_multi_str().unwrap(), [""; 0]);
        assert_eq!(Value::string("a").as_multi_str(), None);
    }

    #[test]
    fn numbers_have_their_size() {
        assert_eq!(Value::dword(0x0102_0304).as_u32(), Some(0x0102_0304));
        assert_eq!(Value::raw(Kind::DWORD_BIG_ENDIAN, [1, 2, 3, 4]).as_u32(), Some(0x0102_0304));
        assert_eq!(Value::qword(u64::MAX).as_u64(), Some(u64::MAX));
        assert_eq!(Value::dword(7).as_u64(), Some(7));
        assert_eq!(Value::raw(Kind::DWORD, [1]).as_u32(), None);
        assert_eq!(Value::qword(1).as_u32(), None);
    }
}
