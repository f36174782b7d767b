//! Disks that fail in the ways that disks fail in.

use super::*;
use format_core::RangeSet;
use std::sync::atomic::AtomicU64;

/// Every byte is 7; reads that touch `bad` fail, the first `healing` of them only.
struct Failing {
    size: u64,
    bad: RangeSet,
    errno: Errno,
    healing: u64,
    failed: Arc<AtomicU64>,
}

impl Failing {
    fn new(size: u64, bad: &[(u64, u64)]) -> Self {
        let mut set = RangeSet::default();
        bad.iter().for_each(|&(offset, len)| set.add(offset, len));
        Self { size, bad: set, errno: Errno::IO, healing: u64::MAX, failed: Arc::default() }
    }

    fn rescue(self, retries: u32) -> (Rescue, Arc<AtomicU64>) {
        let failed = Arc::clone(&self.failed);
        let disk = Disk::new(vec![Arc::new(self)]).unwrap();
        (Rescue::new(&disk, Patience { sector: 512, retries: Some(retries) }, Arc::default()), failed)
    }
}

impl Layer for Failing {
    fn format(&self) -> &'static str {
        "failing"
    }
    fn virtual_size(&self) -> u64 {
        self.size
    }
    fn chunk_size(&self) -> u64 {
        1
    }
    fn extent_at(&self, offset: u64) -> Result<Extent> {
        Ok(Extent { offset, len: self.size - offset, kind: ExtentKind::Data })
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let (is_bad, run) = self.bad.run_at(offset);
        if (is_bad || run.is_some_and(|run| run < buf.len() as u64))
            && self.failed.fetch_add(1, Ordering::Relaxed) < self.healing
        {
            return Err(Error::io("cannot read the disk", self.errno.into()));
        }
        buf.fill(7);
        Ok(())
    }
}

/// Reads the disk as the copy does, block by block.
fn read(rescue: &Rescue) -> Result<Vec<u8>> {
    let disk = rescue.disk()?;
    let mut bytes = vec![1; disk.virtual_size() as usize];
    for (number, block) in bytes.chunks_mut(4 << 20).enumerate() {
        disk.read_exact_at((number as u64) << 22, block)?;
    }
    Ok(bytes)
}

fn lost(rescue: &Rescue) -> Vec<(u64, u64, bool)> {
    rescue.losses().ranges().into_iter().map(|lost| (lost.offset, lost.len, lost.is_tried)).collect()
}

#[test]
fn only_the_bad_sectors_become_zeros() {
    let (rescue, _) = Failing::new(9 << 20, &[(5000, 1), (1 << 20, 2048), ((9 << 20) - 1, 1)]).rescue(0);
    let bytes = read(&rescue).unwrap();
    assert_eq!(lost(&rescue), [(4608, 512, true), (1 << 20, 2048, true), ((9 << 20) - 512, 512, true)]);
    for (at, &byte) in (0u64..).zip(&bytes) {
        let is_lost = lost(&rescue).iter().any(|(offset, len, _)| (*offset..offset + len).contains(&at));
        assert_eq!(byte, if is_lost { 0 } else { 7 }, "{at}");
    }
}

#[test]
fn what_is_lost_stays_lost_and_is_not_tried_again() {
    let mut disk = Failing::new(1 << 20, &[(4096, 512)]);
    // 1 MiB, 64 KiB, 8 KiB, 1 KiB and the sector.
    disk.healing = 5;
    let (rescue, failed) = disk.rescue(0);
    let first = read(&rescue).unwrap();
    assert_eq!(failed.load(Ordering::Relaxed), 5);
    assert!(read(&rescue).unwrap() == first, "the digest of the copy has to hold");
    assert_eq!(failed.load(Ordering::Relaxed), 5);
    let extents: Vec<_> = rescue.disk().unwrap().extents(0, 1 << 20).map(|e| e.unwrap().len).collect();
    assert_eq!(extents, [4096, 512, (1 << 20) - 4608]);
}

#[test]
fn a_sector_that_heals_is_read_by_a_further_attempt() {
    for (retries, expected) in [(1, 1), (2, 1), (3, 0)] {
        let mut disk = Failing::new(1 << 20, &[(4096, 512)]);
        disk.healing = 7;
        let (rescue, _) = disk.rescue(retries);
        let bytes = read(&rescue).unwrap();
        assert_eq!(lost(&rescue).len(), expected, "{retries}");
        assert_eq!(bytes.iter().filter(|byte| **byte == 0).count(), expected * 512);
    }
}

#[test]
fn all_around_a_large_bad_area_is_read_and_the_way_through_it_is_short() {
    let (start, len) = ((4 << 20) + 3 * 512, 40 << 20);
    let (rescue, failed) = Failing::new(64 << 20, &[(start, len)]).rescue(0);
    let bytes = read(&rescue).unwrap();
    assert!(bytes[..start as usize].iter().all(|byte| *byte == 7), "before it");
    let total: u64 = rescue.losses().ranges().iter().map(|lost| lost.len).sum();
    assert_eq!(bytes.iter().filter(|byte| **byte == 0).count() as u64, total);
    assert!(
        (len..len + (4 << 20)).contains(&total),
        "at most the rest of one block is given up with it: {total}"
    );
    assert!(failed.load(Ordering::Relaxed) < 400, "{failed:?} attempts");
    assert!(lost(&rescue).iter().any(|(_, _, is_tried)| !is_tried), "what was passed over is told apart");
}

#[test]
fn a_device_that_is_gone_ends_the_run_soon() {
    let (rescue, failed) = Failing::new(1 << 40, &[(10 << 20, 1 << 40)]).rescue(2);
    let disk = rescue.disk().unwrap();
    let mut block = vec![0; 4 << 20];
    let end = (0..1u64 << 18).find_map(|number| disk.read_exact_at(number << 22, &mut block).err()).unwrap();
    assert_eq!(end.kind(), ErrorKind::Io);
    assert!(end.to_string().contains("does not answer any more"), "{end}");
    assert!(failed.load(Ordering::Relaxed) < 1500, "{failed:?} attempts");
    let (rescue, _) = Failing::new(20_000, &[(0, 20_000)]).rescue(0);
    assert_eq!(read(&rescue).unwrap_err().kind(), ErrorKind::Io, "a small one");
}

#[test]
fn a_huge_bad_area_does_not_hide_what_lies_behind_it() {
    let (rescue, failed) = Failing::new(8 << 30, &[(10 << 20, 4 << 30)]).rescue(0);
    let disk = rescue.disk().unwrap();
    let mut block = vec![0; 4 << 20];
    (0..2048u64).for_each(|number| disk.read_exact_at(number << 22, &mut block).unwrap());
    let total: u64 = rescue.losses().ranges().iter().map(|lost| lost.len).sum();
    assert!(((4 << 30)..(4 << 30) + (4 << 20)).contains(&total), "{total:#x}");
    assert!(failed.load(Ordering::Relaxed) < 5000, "{failed:?} attempts");
}

#[test]
fn without_patience_a_bad_sector_ends_the_run() {
    let disk = Disk::new(vec![Arc::new(Failing::new(1 << 20, &[(4096, 512)]))]).unwrap();
    let rescue = Rescue::new(&disk, Patience { sector: 512, retries: None }, Arc::default());
    rescue.give_up(0, 8192, true, Error::new(ErrorKind::Io, "says the mapfile")).unwrap();
    read(&rescue).unwrap();
    let rescue = Rescue::new(&disk, Patience { sector: 512, retries: None }, Arc::default());
    assert_eq!(read(&rescue).unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn other_errors_stay_errors() {
    for errno in [Errno::NODEV, Errno::NXIO, Errno::ACCESS] {
        let mut disk = Failing::new(1 << 20, &[(4096, 512)]);
        disk.errno = errno;
        let (rescue, _) = disk.rescue(3);
        read(&rescue).unwrap_err();
        assert!(lost(&rescue).is_empty(), "{errno:?}");
    }
    assert!(!is_bad_sector(&Error::corrupt("the table points outside")));
}

#[test]
fn an_interrupted_run_does_not_go_on_trying() {
    let disk = Disk::new(vec![Arc::new(Failing::new(1 << 20, &[(0, 1 << 20)]))]).unwrap();
    let rescue =
        Rescue::new(&disk, Patience { sector: 512, retries: Some(9) }, Arc::new(AtomicBool::new(true)));
    assert_eq!(read(&rescue).unwrap_err().kind(), ErrorKind::Temporary);
}
