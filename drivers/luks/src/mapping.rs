//! What the device mapper is told to open the same volume (kernel documentation, device-mapper "dm-crypt").

use crate::cipher::SECTOR;
use crate::unlock::Unlocked;
use driver_core::{Mapping, MappingArgument, MappingLine};
use std::fmt::Write;
use zeroize::Zeroizing;

impl Unlocked {
    /// The device that `cryptsetup open` would make with this `name`, as the guest calls it (its crypttab). Member 0 is the
    /// volume that was unlocked.
    ///
    /// The table holds the volume key: whoever sees it can read the disk. Discards are passed down only where the header
    /// says so, as without an option of crypttab.
    #[must_use]
    pub fn mapping(&self, name: &str) -> Mapping {
        let segment = &self.segment;
        let mut key = Zeroizing::new(String::with_capacity(self.key.len() * 2));
        for byte in self.key.iter() {
            // Writing to a text never fails.
            let _ = write!(key, "{byte:02x}");
        }
        let mut options: Vec<String> = self.options.iter().map(|option| (*option).to_owned()).collect();
        if u64::from(segment.sector_size) != SECTOR {
            options.push(format!("sector_size:{}", segment.sector_size));
        }
        let mut last = (segment.offset / SECTOR).to_string();
        if !options.is_empty() {
            last = format!("{last} {} {}", options.len(), options.join(" "));
        }
        let line = MappingLine {
            start: 0,
            sectors: segment.size / SECTOR,
            target: "crypt".into(),
            arguments: vec![
                MappingArgument::Text(segment.cipher.text().into()),
                MappingArgument::Secret(key.to_string()),
                MappingArgument::Text(segment.first_number.to_string()),
                MappingArgument::Member(0),
                MappingArgument::Text(last),
            ],
        };
        let uuid = format!("CRYPT-{}-{name}", self.identity);
        Mapping { name: name.into(), uuid, lines: vec![line], read_only: false }
    }
}
