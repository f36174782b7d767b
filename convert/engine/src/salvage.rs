//! Reads what can be read of a damaged disk.

use crate::losses::Losses;
use format_core::{Disk, Error, ErrorKind, Extent, ExtentKind, Layer, Result};
use std::sync::Arc;

/// Damage is passed over in steps of this many bytes, where the image has no larger chunks.
const STEP: u64 = 64 << 10;

/// The disk with zeros where it cannot be read because the image is damaged. Where, is told by the second value once
/// the disk was read. Errors of the host stay errors.
///
/// # Errors
/// `Contract` never in practice.
pub fn salvaged(disk: &Disk) -> Result<(Disk, Losses)> {
    let losses = Losses::default();
    let layer = Salvage { disk: disk.clone(), step: step_for(disk), losses: losses.clone() };
    Ok((Disk::new(vec![Arc::new(layer)])?, losses))
}

/// The smallest chunk of the chain; a raw parent has none, and loses nothing in pieces.
fn step_for(disk: &Disk) -> u64 {
    let chunks = disk.layers().iter().map(|layer| layer.chunk_size()).filter(|&size| size > 1);
    chunks.min().unwrap_or(STEP).clamp(512, STEP)
}

struct Salvage {
    disk: Disk,
    step: u64,
    losses: Losses,
}

impl Salvage {
    /// The end of the step around `offset`.
    fn step_end(&self, offset: u64) -> u64 {
        (offset / self.step + 1).saturating_mul(self.step).min(self.disk.virtual_size())
    }
}

fn is_damage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported | ErrorKind::Limit)
}

impl Layer for Salvage {
    fn format(&self) -> &'static str {
        "salvage"
    }

    fn virtual_size(&self) -> u64 {
        self.disk.virtual_size()
    }

    fn chunk_size(&self) -> u64 {
        1
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        match self.disk.extent_at(offset) {
            Err(error) if is_damage(&error) => {
                let len = self.step_end(offset) - offset;
                self.losses.add(offset, len, true, error)?;
                Ok(Extent { offset, len, kind: ExtentKind::Zero })
            }
            other => other,
        }
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        match self.disk.read_exact_at(offset, buf) {
            Err(error) if is_damage(&error) => {}
            other => return other,
        }
        let (mut at, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let len = ((self.step_end(at) - at) as usize).min(rest.len());
            let (now, later) = rest.split_at_mut(len);
            match self.disk.read_exact_at(at, now) {
                Err(error) if is_damage(&error) => {
                    now.fill(0);
                    self.losses.add(at, len as u64, true, error)?;
                }
                other => other?,
            }
            (at, rest) = (at + len as u64, later);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every byte is 7, but some cannot be read, some not even found.
    struct Damaged;

    impl Layer for Damaged {
        fn format(&self) -> &'static str {
            "damaged"
        }
        fn virtual_size(&self) -> u64 {
            5000
        }
        fn chunk_size(&self) -> u64 {
            512
        }
        fn extent_at(&self, offset: u64) -> Result<Extent> {
            if (1024..1536).contains(&offset) {
                return Err(Error::corrupt("entry 2"));
            }
            let end = if offset < 1024 { 1024 } else { 5000 };
            Ok(Extent { offset, len: end - offset, kind: ExtentKind::Data })
        }
        fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
            if offset < 3000 && offset + buf.len() as u64 > 2900 {
                return Err(Error::corrupt("grain 5"));
            }
            buf.fill(7);
            Ok(())
        }
    }

    struct Large;

    impl Layer for Large {
        fn format(&self) -> &'static str {
            "large"
        }
        fn virtual_size(&self) -> u64 {
            5000
        }
        fn chunk_size(&self) -> u64 {
            1 << 20
        }
        fn extent_at(&self, _: u64) -> Result<Extent> {
            Err(Error::corrupt("all of it"))
        }
        fn read_exact_at(&self, _: u64, _: &mut [u8]) -> Result<()> {
            Err(Error::corrupt("all of it"))
        }
    }

    #[test]
    fn a_parent_without_chunks_does_not_make_the_steps_small() {
        let parent = crate::pipeline::tests::disk_of(5000, Vec::new()).layers().to_vec();
        let disk =
            Disk::new(std::iter::once(Arc::new(Damaged) as Arc<dyn Layer>).chain(parent.clone()).collect());
        assert_eq!(step_for(&disk.unwrap()), 512);
        assert_eq!(
            step_for(
                &Disk::new([Arc::new(Large) as Arc<dyn Layer>].into_iter().chain(parent).collect()).unwrap()
            ),
            STEP
        );
    }

    #[test]
    fn what_can_be_read_is_kept_and_the_rest_is_told() {
        let (disk, losses) = salvaged(&Disk::new(vec![Arc::new(Damaged)]).unwrap()).unwrap();
        let mut bytes = [1; 5000];
        disk.read_exact_at(0, &mut bytes).unwrap();
        let lost: Vec<_> = losses.ranges().into_iter().map(|lost| (lost.offset, lost.len)).collect();
        assert_eq!(lost, [(1024, 512), (2560, 512)]);
        for (at, &byte) in (0u64..).zip(&bytes) {
            let is_lost = lost.iter().any(|(offset, len)| (*offset..offset + len).contains(&at));
            assert_eq!(byte, if is_lost { 0 } else { 7 }, "{at}");
        }
    }
}
