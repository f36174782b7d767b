//! The overlay against an array of bytes, beyond its memory, and over what cannot be read.

use super::*;
use proptest::prelude::*;

struct Ramp(u64);

fn ramp_byte(at: u64) -> u8 {
    (at / 7 % 251) as u8
}

impl Layer for Ramp {
    fn format(&self) -> &'static str {
        "ramp"
    }
    fn virtual_size(&self) -> u64 {
        self.0
    }
    fn chunk_size(&self) -> u64 {
        1
    }
    fn extent_at(&self, offset: u64) -> Result<Extent> {
        Ok(Extent { offset, len: self.0 - offset, kind: ExtentKind::Data })
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        (offset..).zip(buf).for_each(|(at, byte)| *byte = ramp_byte(at));
        Ok(())
    }
}

proptest! {
    /// Random writes against a byte array.
    #[test]
    fn behaves_like_a_byte_array(writes in prop::collection::vec((0u64..30_000, 0usize..9000, 0u8..4), 0..20)) {
        let size = 30_011;
        let overlay = Overlay::new(Disk::new(vec![Arc::new(Ramp(size))]).unwrap());
        let mut model: Vec<u8> = (0..size).map(ramp_byte).collect();
        for (at, len, byte) in writes {
            let len = len.min((size - at) as usize);
            match byte {
                0 => overlay.zero_at(at, len as u64).unwrap(),
                _ => overlay.write_all_at(at, &vec![byte; len]).unwrap(),
            }
            model[at as usize..at as usize + len].fill(byte);
        }
        let mut merged = vec![0; size as usize];
        overlay.read_merged_at(0, &mut merged).unwrap();
        prop_assert_eq!(&merged, &model);
        let disk = overlay.disk();
        let mut flat = vec![0; size as usize];
        disk.read_exact_at(0, &mut flat).unwrap();
        prop_assert_eq!(&flat, &model);
        let mut at = 0;
        while at < size {
            let extent = overlay.extent_at(at).unwrap();
            let range = at as usize..extent.end() as usize;
            match extent.kind {
                ExtentKind::Zero => prop_assert!(model[range].iter().all(|byte| *byte == 0)),
                ExtentKind::Unallocated => prop_assert!(range.clone().all(|at| model[at] == ramp_byte(at as u64))),
                ExtentKind::Data => {}
            }
            at = extent.end();
        }
        for (at, (now, was)) in model.iter().zip((0..size).map(ramp_byte)).enumerate() {
            let inside = overlay.changed_ranges().iter().any(|(start, len)| (*start..start + len).contains(&(at as u64)));
            prop_assert!(*now == was || inside);
        }
    }
}

#[test]
fn spilled_blocks_read_back() {
    let size = ((Overlay::MEMORY_BLOCKS + 10) * BLOCK) as u64;
    let overlay = Overlay::new(Disk::new(vec![Arc::new(Ramp(size))]).unwrap());
    for block in 0..size / BLOCK as u64 {
        overlay.write_all_at(block * BLOCK as u64 + 8, &block.to_le_bytes()).unwrap();
    }
    overlay.write_all_at(size - 4, &[9; 4]).unwrap();
    let mut bytes = [0; BLOCK];
    overlay.read_merged_at(size - BLOCK as u64, &mut bytes).unwrap();
    assert_eq!(bytes[8..16], (size / BLOCK as u64 - 1).to_le_bytes());
    assert_eq!(bytes[BLOCK - 4..], [9; 4]);
    assert_eq!(overlay.changed_ranges(), [(0, size)]);
    assert_eq!(overlay.memory_bytes(), 64 << 20, "the rest is in the file");
    assert!(overlay.write_all_at(size - 1, &[0; 2]).is_err());

    overlay.zero_at(0, size).unwrap();
    assert_eq!((overlay.memory_bytes(), overlay.zeroed_ranges()), (0, vec![(0, size)]));
    overlay.read_merged_at(size - BLOCK as u64, &mut bytes).unwrap();
    assert_eq!(bytes, [0; BLOCK]);
    for block in 0..size / BLOCK as u64 {
        overlay.write_all_at(block * BLOCK as u64, &[7; BLOCK]).unwrap();
    }
    assert!(overlay.zeroed_ranges().is_empty());
    let changes = overlay.changes.read().unwrap();
    assert_eq!((changes.spilled, changes.vacant.len()), (10, 0), "room in the file is used again");
}

/// Reads nothing behind 64 KiB.
struct Broken;

impl Layer for Broken {
    fn format(&self) -> &'static str {
        "broken"
    }
    fn virtual_size(&self) -> u64 {
        1 << 20
    }
    fn chunk_size(&self) -> u64 {
        1
    }
    fn extent_at(&self, offset: u64) -> Result<Extent> {
        Ok(Extent { offset, len: (1 << 20) - offset, kind: ExtentKind::Data })
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        if offset < 64 << 10 {
            buf.fill(1);
            return Ok(());
        }
        let error =
            Error::new(crate::ErrorKind::Temporary, format!("{offset:#x} is not there")).hint("try again");
        Err(error.with_code(&crate::codes::NET_CONNECT))
    }
}

#[test]
fn the_first_failure_below_is_remembered() {
    let overlay = Overlay::new(Disk::new(vec![Arc::new(Broken)]).unwrap());
    let failure = overlay.failure_below();
    let mut buf = [0; 512];
    overlay.read_merged_at(0, &mut buf).unwrap();
    assert!(overlay.read_merged_at(1 << 20, &mut buf).is_err());
    assert!(failure.lock().unwrap().is_none(), "what is asked for behind the disk is no failure of the disk");
    assert!(overlay.write_all_at(0x20_004, b"part of a block").is_err());
    assert!(overlay.read_merged_at(0x30_000, &mut buf).is_err());
    drop(overlay);
    let error = failure.lock().unwrap().take().unwrap();
    assert_eq!(error.to_string(), "0x20000 is not there");
    assert_eq!((error.kind(), error.code().id), (crate::ErrorKind::Temporary, crate::codes::NET_CONNECT.id));
    assert_eq!(error.hint_text(), Some("try again"));
}
