//! Secrets in files.

use format_core::{Error, Result};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use zeroize::Zeroizing;

/// More than any token or key has, in bytes.
const MAX_SECRET: u64 = 64 << 10;

/// The text of a file that only its owner may read, without the newline at its end.
///
/// # Errors
/// `SourceMissing` or `Io` where it cannot be read, `Denied` where others may read it, `Usage` where it holds no text.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<String>> {
    let shown = path.display();
    let mut file =
        std::fs::File::open(path).map_err(|e| Error::io(format!("cannot open the secret in {shown}"), e))?;
    let facts = file.metadata().map_err(|e| Error::io(format!("cannot examine {shown}"), e))?;
    if facts.is_file() && facts.mode() & 0o077 != 0 {
        return Err(Error::new(
            format_core::ErrorKind::Denied,
            format!("{shown} holds a secret and has mode {:04o}: others may read it", facts.mode() & 0o7777),
        )
        .hint(format!("chmod 600 {shown}")));
    }
    // Room for all of it from the start: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(facts.len().clamp(1024, MAX_SECRET + 1) as usize + 64));
    let taken = Read::by_ref(&mut file).take(MAX_SECRET + 1).read_to_end(&mut bytes);
    taken.map_err(|e| Error::io(format!("cannot read {shown}"), e))?;
    if bytes.len() as u64 > MAX_SECRET {
        return Err(Error::usage(format!("{shown} has more than {MAX_SECRET} bytes: that is no secret")));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| Error::usage(format!("{shown} holds no text")))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(Error::usage(format!("{shown} is empty")));
    }
    Ok(Zeroizing::new(text.to_owned()))
}

/// As [`read`], of one line that goes into a header.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_line(path: &Path) -> Result<Zeroizing<String>> {
    let text = read(path)?;
    if text.chars().any(char::is_control) {
        return Err(Error::usage(format!("{} has more than one line", path.display())));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use format_core::ErrorKind;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_secret_is_one_only_while_nobody_else_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let put = |text: &[u8], mode| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        put(b"user:word\r\n", 0o600);
        assert_eq!(read_line(&path).unwrap().as_str(), "user:word");
        put(b"a\nb\n", 0o600);
        assert_eq!(read_line(&path).unwrap_err().kind(), ErrorKind::Usage);
        assert_eq!(read(&path).unwrap().as_str(), "a\nb");
        for mode in [0o640, 0o604, 0o620] {
            put(b"user:word", mode);
            assert_eq!(read(&path).unwrap_err().kind(), ErrorKind::Denied);
        }
        put(b"\n", 0o600);
        assert_eq!(read(&path).unwrap_err().kind(), ErrorKind::Usage);
        put(&vec![b'a'; 70_000], 0o600);
        assert_eq!(read(&path).unwrap_err().kind(), ErrorKind::Usage);
    }
}
