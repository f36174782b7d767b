//! GUIDs as the boot configuration holds them: 16 bytes, the first three fields little-endian.

use std::fmt;
use std::str::FromStr;

/// A GUID, by its bytes as they are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Guid(pub(crate) [u8; 16]);

/// Which byte is stored first, second, … by its place in the text.
const ORDER: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, stored) in ORDER.into_iter().enumerate() {
            if matches!(place, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{:02x}", self.0[stored])?;
        }
        Ok(())
    }
}

/// The text is no GUID.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoGuid;

impl FromStr for Guid {
    type Err = NoGuid;

    /// Reads `01234567-89ab-cdef-0123-456789abcdef`, in either case, with or without braces.
    fn from_str(text: &str) -> Result<Self, NoGuid> {
        let bare = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text);
        if !bare.split('-').map(str::len).eq([8, 4, 4, 4, 12]) {
            return Err(NoGuid);
        }
        let digits: Vec<u8> = bare.bytes().filter(|byte| *byte != b'-').collect();
        let mut guid = Self::default();
        for (pair, stored) in digits.chunks_exact(2).zip(ORDER) {
            let digit = |at: usize| pair.get(at).and_then(|byte| char::from(*byte).to_digit(16));
            let (high, low) = digit(0).zip(digit(1)).ok_or(NoGuid)?;
            guid.0[stored] = u8::try_from(high << 4 | low).map_err(|_| NoGuid)?;
        }
        Ok(guid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_three_fields_are_stored_with_their_last_byte_first() {
        let guid: Guid = "{33221100-5544-7766-8899-AABBCCDDEEFF}".parse().unwrap();
        let stored = [0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd];
        assert_eq!(guid.0[..14], stored);
        assert_eq!(guid.to_string(), "33221100-5544-7766-8899-aabbccddeeff");
    }

    #[test]
    fn what_is_no_guid_is_refused() {
        for text in [
            "",
            "{}",
            "33221100-5544-7766-8899-aabbccddeef",
            "33221100-5544-7766-8899-aabbccddeefg",
            "3322110-05544-7766-8899-aabbccddeeff",
            "+3221100-5544-7766-8899-aabbccddeeff",
            "33221100-5544-7766-8899-aabbccddeeé",
        ] {
            assert_eq!(text.parse::<Guid>(), Err(NoGuid), "{text}");
        }
    }
}
