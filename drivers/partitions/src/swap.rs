//! Linux's swap areas: what they hold is nothing to a machine that starts, unless it sleeps in them.

use driver_core::Volume;
use driver_core::block::le32;
use format_core::Result;
use std::ops::Range;

/// The page size of all machines that are looked at here.
const PAGE: u64 = 4096;
/// At the end of the first page, where an image of a sleeping machine has another signature (`S1SUSPEND`, `ULSUSPEND`, …).
const SIGNATURE: &[u8; 10] = b"SWAPSPACE2";
/// `union swap_header` of the kernel: version, last page, number of bad pages.
const VERSION: usize = 1024;
const LAST_PAGE: usize = 1028;
const BAD_PAGES: usize = 1032;

/// The pages of the swap area in `volume` that are behind its header, `None` when it is none, when a machine sleeps in it, or
/// when its header is not as mkswap writes it.
///
/// # Errors
/// What the volume reports.
pub fn free_swap(volume: &dyn Volume) -> Result<Option<Range<u64>>> {
    let mut header = [0; PAGE as usize];
    if volume.size() < 2 * PAGE {
        return Ok(None);
    }
    volume.read_exact_at(0, &mut header)?;
    let end = (u64::from(le32(&header, LAST_PAGE)) + 1) * PAGE;
    let is_plain = header.ends_with(SIGNATURE)
        && le32(&header, VERSION) == 1
        && le32(&header, BAD_PAGES) == 0
        && (2 * PAGE..=volume.size()).contains(&end);
    Ok(is_plain.then_some(PAGE..end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use format_core::Error;

    struct Bytes(Vec<u8>);

    impl Volume for Bytes {
        fn size(&self) -> u64 {
            self.0.len() as u64
        }
        fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
            let from = self.0.get(offset as usize..).and_then(|rest| rest.get(..buf.len()));
            buf.copy_from_slice(from.ok_or_else(|| Error::usage("outside"))?);
            Ok(())
        }
        fn write_all_at(&self, _: u64, _: &[u8]) -> Result<()> {
            Err(Error::contract("nothing is written"))
        }
    }

    #[test]
    fn what_mkswap_makes_is_free_until_a_machine_sleeps_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("swap");
        std::fs::write(&path, vec![0; 1 << 20]).unwrap();
        let mut mkswap = std::process::Command::new("mkswap");
        let made = mkswap.arg(&path).env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin").output();
        let made = made.expect("mkswap (package util-linux)");
        assert!(made.status.success(), "{made:?}");
        let good = std::fs::read(&path).unwrap();
        let free = |bytes: &[u8]| free_swap(&Bytes(bytes.to_vec())).unwrap();
        assert_eq!(free(&good), Some(4096..1 << 20));
        assert_eq!(free(&good[..good.len() - 1]), None, "shorter than its header says");
        let mut sleeping = good.clone();
        sleeping[4086..4096].copy_from_slice(b"S1SUSPEND\0");
        assert_eq!(free(&sleeping), None);
        let mut bad_pages = good;
        bad_pages[1032] = 1;
        assert_eq!(free(&bad_pages), None);
        assert_eq!(free(&[0; 100]), None);
    }
}
