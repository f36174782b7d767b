//! What opens a keyslot.

use format_core::{Error, ErrorKind, Result};
use std::fmt;
use zeroize::Zeroizing;

/// Bytes of a passphrase at most: cryptsetup(8) reads no longer key files.
pub const MAX_PASSPHRASE: usize = 8 << 20;

/// A passphrase, or the content of a key file. It is never printed, and overwritten in memory when it is dropped.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<Vec<u8>>);

impl Passphrase {
    /// What a key file holds, every byte of it, a newline at its end too (`cryptsetup --key-file`).
    ///
    /// # Errors
    /// `Limit` above [`MAX_PASSPHRASE`].
    pub fn from_key_file(content: Vec<u8>) -> Result<Self> {
        let content = Zeroizing::new(content);
        if content.len() > MAX_PASSPHRASE {
            return Err(Error::new(
                ErrorKind::Limit,
                format!("a key file of {} bytes, {MAX_PASSPHRASE} are possible", content.len()),
            ));
        }
        Ok(Self(content))
    }

    /// The first line of a text, without its newline: what somebody would type.
    ///
    /// # Errors
    /// As [`Passphrase::from_key_file`].
    pub fn from_text(text: Vec<u8>) -> Result<Self> {
        let text = Zeroizing::new(text);
        let line = text.split(|&byte| byte == b'\n').next().unwrap_or_default();
        Self::from_key_file(line.to_vec())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(a passphrase)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_counts_whole_and_of_a_text_the_first_line() {
        let secret = b"open sesame\nsecond\n".to_vec();
        assert_eq!(Passphrase::from_key_file(secret.clone()).unwrap().bytes(), secret);
        let typed = Passphrase::from_text(secret).unwrap();
        assert_eq!(typed.bytes(), b"open sesame");
        assert_eq!(Passphrase::from_text(b"no newline".to_vec()).unwrap().bytes(), b"no newline");
        assert!(!format!("{typed:?}").contains("sesame"));
        let error = Passphrase::from_key_file(vec![0; MAX_PASSPHRASE + 1]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
    }
}
