//! The version that a kernel image says it has: some distributions do not put it into the file's name.
//!
//! Source: kernel documentation, "The Linux/x86 Boot Protocol": `HdrS` at 0x202, and at 0x20e the place of the version's text,
//! counted from 0x200.

/// The version in the head of an x86 image (`6.12.1-arch1-1`); `None` where it has none.
pub(crate) fn version(image: &[u8]) -> Option<String> {
    if image.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let place = u16::from_le_bytes(image.get(0x20e..0x210)?.try_into().ok()?);
    if place == 0 {
        return None;
    }
    let text = image.get(usize::from(place).checked_add(0x200)?..)?;
    let end = text.iter().take(256).position(|&byte| byte == b' ' || byte == 0)?;
    let version = std::str::from_utf8(text.get(..end)?).ok()?;
    let plain = !version.is_empty() && version.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
    plain.then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_name_their_version() {
        let mut image = vec![0u8; 0x400];
        assert_eq!(version(&image), None);
        image[0x202..0x206].copy_from_slice(b"HdrS");
        assert_eq!(version(&image), None, "no text");
        image[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
        image[0x300..0x310].copy_from_slice(b"6.6.63-0-lts (b)");
        assert_eq!(version(&image).as_deref(), Some("6.6.63-0-lts"));
        image[0x20e..0x210].copy_from_slice(&0xffff_u16.to_le_bytes());
        assert_eq!(version(&image), None, "outside of the image");
        assert_eq!(version(b"MZ"), None);
    }
}
