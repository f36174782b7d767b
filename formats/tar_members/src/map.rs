//! Where the data of a sparse member lie.

use crate::error::TarError;
use format_core::{Error, Extent, ExtentKind, Result, Storage, WindowStorage};
use std::sync::Arc;

/// A sparse map has at most this many runs: 48 MiB of memory.
pub(crate) const MAX_RUNS: usize = 2 << 20;

/// A run of data of a sparse member; the rest of it are zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where it is in the member.
    pub offset: u64,
    /// How many bytes, never 0.
    pub len: u64,
    /// Where it is among the stored bytes of the member.
    pub stored_at: u64,
}

/// The runs of a map as it was read, checked: ascending, inside the member, and as many bytes as are stored.
pub(crate) fn segments(
    name: &str,
    runs: &[(u64, u64)],
    size: u64,
    stored: u64,
) -> std::result::Result<Vec<Segment>, TarError> {
    let (mut segments, mut end, mut sum) = (Vec::<Segment>::new(), 0u64, 0u64);
    for (number, &(offset, len)) in runs.iter().enumerate() {
        let name = || name.to_owned();
        let run_end = offset.checked_add(len).filter(|run_end| *run_end <= size);
        let run_end =
            run_end.ok_or_else(|| TarError::RunPlace { name: name(), number, offset, len, size })?;
        if offset < end {
            return Err(TarError::RunOrder { name: name(), number, offset, len, end });
        }
        // What follows without a hole is the same run.
        match segments.last_mut() {
            Some(last) if end == offset && len > 0 => last.len += len,
            _ if len > 0 => segments.push(Segment { offset, len, stored_at: sum }),
            _ => {}
        }
        // Cannot pass `size`, because runs do not overlap.
        (end, sum) = (run_end, sum + len);
    }
    if sum != stored {
        return Err(TarError::RunSum { name: name.to_owned(), sum, stored });
    }
    segments.shrink_to_fit();
    Ok(segments)
}

/// A sparse member with its holes.
pub struct SparseStorage {
    /// The stored bytes.
    data: WindowStorage,
    segments: Arc<[Segment]>,
    size: u64,
}

impl SparseStorage {
    pub(crate) fn new(data: WindowStorage, segments: Arc<[Segment]>, size: u64) -> Self {
        Self { data, segments, size }
    }

    /// The run of data or zeros at `offset` up to its end, and where its data are stored.
    fn run_at(&self, offset: u64) -> (u64, Option<u64>) {
        let next = self.segments.partition_point(|segment| segment.offset <= offset);
        let before = next.checked_sub(1).and_then(|index| self.segments.get(index));
        match before.map(|segment| (segment, offset - segment.offset)) {
            Some((segment, inside)) if inside < segment.len => {
                (segment.offset + segment.len, Some(segment.stored_at + inside))
            }
            _ => (self.segments.get(next).map_or(self.size, |segment| segment.offset), None),
        }
    }
}

impl Storage for SparseStorage {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let end = offset.checked_add(buf.len() as u64).filter(|end| *end <= self.size).ok_or_else(|| {
            let text =
                format!("{:#x} bytes wanted at {offset:#x}, the data end at {:#x}", buf.len(), self.size);
            Error::corrupt(text).at(offset)
        })?;
        let (mut at, mut rest) = (offset, buf);
        while at < end {
            let (run_end, stored_at) = self.run_at(at);
            let (now, later) = rest.split_at_mut((run_end.min(end) - at) as usize);
            match stored_at {
                Some(stored_at) => self.data.read_exact_at(stored_at, now)?,
                None => now.fill(0),
            }
            at += now.len() as u64;
            rest = later;
        }
        Ok(())
    }

    fn data_at(&self, offset: u64) -> Result<Extent> {
        if offset >= self.size {
            let text = format!("extent asked for at {offset:#x} of {:#x} bytes", self.size);
            return Err(Error::usage(text));
        }
        let (end, stored_at) = self.run_at(offset);
        let hole = Extent { offset, len: end - offset, kind: ExtentKind::Zero };
        // A run of data may have holes of the file in it.
        let Some(stored_at) = stored_at else { return Ok(hole) };
        let found = self.data.data_at(stored_at)?;
        Ok(Extent { offset, len: found.len.min(hole.len), kind: found.kind })
    }
}
