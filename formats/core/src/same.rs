//! What is known to be the same without being read.

use crate::{ContentId, Disk};

/// Whether the images themselves say that two disks hold the same bytes from `start` to `end`: images of one format that
/// name their chunks by content. `false` means that nobody knows.
#[must_use]
pub fn is_same_content(a: &Disk, b: &Disk, start: u64, end: u64) -> bool {
    let mut at = start;
    while at < end {
        let (Some(of_a), Some(of_b)) = (id_at(a, at), id_at(b, at)) else { return false };
        let len = of_a.1.len.min(of_b.1.len);
        if of_a.0 != of_b.0 || of_a.1.id != of_b.1.id || of_a.1.inside != of_b.1.inside || len == 0 {
            return false;
        }
        at = at.saturating_add(len);
    }
    true
}

/// The format and the name of the chunk at `offset`, for an image without parents.
fn id_at(disk: &Disk, offset: u64) -> Option<(&'static str, ContentId)> {
    match disk.layers() {
        [layer] if offset < layer.virtual_size() => Some((layer.format(), layer.content_id_at(offset)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Extent, ExtentKind, Layer, Result};
    use std::sync::Arc;

    /// Chunks of 10 bytes, each known by its number's entry.
    struct Named(Vec<u8>);

    impl Layer for Named {
        fn format(&self) -> &'static str {
            "named"
        }
        fn virtual_size(&self) -> u64 {
            10 * self.0.len() as u64
        }
        fn chunk_size(&self) -> u64 {
            10
        }
        fn extent_at(&self, offset: u64) -> Result<Extent> {
            Ok(Extent { offset, len: self.virtual_size() - offset, kind: ExtentKind::Data })
        }
        fn read_exact_at(&self, _: u64, _: &mut [u8]) -> Result<()> {
            Ok(())
        }
        fn content_id_at(&self, offset: u64) -> Option<ContentId> {
            let id = *self.0.get((offset / 10) as usize).filter(|id| **id != 0)?;
            let inside = offset % 10;
            Some(ContentId { len: 10 - inside, inside, id: [id; 32] })
        }
    }

    #[test]
    fn only_chunks_of_one_name_are_known_to_be_the_same() {
        let disk = |ids: &[u8]| Disk::new(vec![Arc::new(Named(ids.to_vec())) as Arc<dyn Layer>]).unwrap();
        let (a, b) = (disk(&[1, 2, 3, 0, 5]), disk(&[1, 2, 4, 0]));
        assert!(is_same_content(&a, &b, 0, 20) && is_same_content(&a, &b, 5, 17));
        for (start, end) in [(0, 21), (20, 30), (30, 40), (35, 36), (40, 50)] {
            assert!(!is_same_content(&a, &b, start, end), "{start}..{end}");
        }
        // With a layer above, the image does not know.
        assert!(!is_same_content(&disk(&[1]), &disk(&[1]).with_top(Arc::new(Named(vec![1]))), 0, 10));
    }
}
