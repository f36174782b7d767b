//! Whether the extents of a volume group can be as its text says: each belongs to one volume, and lies in its physical volume.

use crate::error::ClonezillaError;
use crate::group::{Column, Group};

impl Group {
    /// Refuses what LVM refuses, too: put on a disk, one volume would lie over another.
    pub(crate) fn checked(self, file: &str) -> Result<Self, ClonezillaError> {
        let bad = |what: &'static str, name: &str| ClonezillaError::Group {
            file: file.into(),
            what,
            name: name.into(),
        };
        for (number, one) in self.physical.iter().enumerate() {
            if one.end.is_some_and(|end| one.size > 0 && end > one.size) {
                return Err(bad("more extents than the size has room for", &one.key));
            }
            if self.physical.iter().take(number).any(|other| other.id == one.id || other.key == one.key) {
                return Err(bad("two physical volumes with the UUID or name", &one.key));
            }
            let columns = self.logical.iter().flat_map(|volume| {
                let here = volume.columns.iter().filter(|column| column.physical == number);
                here.map(|column| (column, volume.name.as_str()))
            });
            let mut columns: Vec<(&Column, &str)> = columns.filter(|(column, _)| column.len > 0).collect();
            columns.sort_by_key(|(column, _)| column.place);
            for two in columns.windows(2) {
                if let [(first, volume), (second, other)] = two
                    && first.place.saturating_add(first.len) > second.place
                {
                    return Err(ClonezillaError::Shared {
                        file: file.into(),
                        first: (*volume).into(),
                        second: (*other).into(),
                        physical: one.key.clone(),
                        place: second.place,
                    });
                }
            }
            if let (Some((last, volume)), Some(end)) = (columns.last(), one.end)
                && last.place.saturating_add(last.len) > end
            {
                return Err(bad("the extents of its physical volume end before those", volume));
            }
        }
        Ok(self)
    }
}

/// Whether segments, each from a byte on and with a length, follow each other from the volume's start without a gap.
pub(crate) fn is_gapless(mut segments: Vec<(u64, u64)>) -> bool {
    segments.sort_unstable();
    let end = segments.iter().try_fold(
        0u64,
        |end, (base, len)| {
            if *base == end { end.checked_add(*len) } else { None }
        },
    );
    end.is_some()
}
