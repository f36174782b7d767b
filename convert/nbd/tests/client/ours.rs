//! Our own server as the peer: over TCP, and killed on the way.

use crate::kit::{limits, striped};
use convert_nbd::{Address, Export, Exports, Limits, Listener, NbdAddress, NbdDisk, NbdTarget, Server};
use format_core::{Extent, ExtentKind, Result, Storage, TargetStorage};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// A disk in memory whose blocks of 4096 zeros are holes.
struct Memory(Mutex<Vec<u8>>);

impl Export for Memory {
    fn size(&self) -> u64 {
        self.0.lock().unwrap().len() as u64
    }
    fn extent_at(&self, offset: u64) -> Result<Extent> {
        let bytes = self.0.lock().unwrap();
        let end = (offset as usize / 4096 * 4096 + 4096).min(bytes.len());
        let is_zero = bytes[offset as usize..end].iter().all(|byte| *byte == 0);
        let kind = if is_zero { ExtentKind::Zero } else { ExtentKind::Data };
        Ok(Extent { offset, len: end as u64 - offset, kind })
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        buf.copy_from_slice(&self.0.lock().unwrap()[offset as usize..][..buf.len()]);
        Ok(())
    }
    fn is_writable(&self) -> bool {
        true
    }
    fn is_shared(&self) -> bool {
        true
    }
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.0.lock().unwrap()[offset as usize..][..bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
    fn zero_at(&self, offset: u64, len: u64, _fast: bool) -> Result<()> {
        self.0.lock().unwrap()[offset as usize..][..len as usize].fill(0);
        Ok(())
    }
}

/// Serves `memory` while `talk` runs.
fn with_server(memory: &Arc<Memory>, address: &Address, talk: impl FnOnce(&NbdAddress)) {
    let mut exports = Exports::default();
    exports.add("disk", "in memory", Arc::clone(memory) as Arc<dyn Export>).unwrap();
    let listener = Listener::bind(address).unwrap();
    let place = NbdAddress::parse(&listener.uri("disk")).unwrap();
    let (server, stop) = (Server::new(exports, Limits::default(), |_| {}), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| server.run(&listener, &stop, false).unwrap());
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| talk(&place)));
        stop.store(true, Ordering::Relaxed);
        ended.unwrap();
    });
}

#[test]
fn what_is_written_over_tcp_is_read_again() {
    let bytes = striped((3 << 20) + 77);
    let memory = Arc::new(Memory(Mutex::new(vec![0xee; bytes.len()])));
    with_server(&memory, &"tcp:127.0.0.1:0".parse().unwrap(), |place| {
        let target = NbdTarget::connect(place, &limits()).unwrap();
        for (at, part) in (0..).step_by(100_000).zip(bytes.chunks(100_000)) {
            if part.iter().all(|byte| *byte == 0) {
                target.zero_range(at, part.len() as u64).unwrap();
            } else {
                target.write_all_at(at, part).unwrap();
            }
        }
        Box::new(target).commit().unwrap();
        let disk = NbdDisk::connect(place, &limits()).unwrap();
        let mut again = vec![0; bytes.len()];
        disk.read_exact_at(0, &mut again).unwrap();
        assert!(again == bytes);
        assert_eq!(
            (disk.data_at(0).unwrap().kind, disk.data_at(0).unwrap().len),
            (ExtentKind::Zero, 300 << 10)
        );
        let listed = NbdDisk::list(place, &limits()).unwrap();
        assert_eq!((listed[0].description.as_str(), listed[0].size), ("in memory", Some(bytes.len() as u64)));
    });
    assert!(*memory.0.lock().unwrap() == bytes);
}

#[test]
fn a_server_that_starts_anew_is_read_on() {
    let folder = tempfile::tempdir().unwrap();
    let address = Address::Unix(folder.path().join("s"));
    let bytes = striped(2 << 20);
    let memory = Arc::new(Memory(Mutex::new(bytes.clone())));
    let mut disk = None;
    let mut buf = vec![0; 4096];
    with_server(&memory, &address, |place| {
        let first = NbdDisk::connect(place, &limits()).unwrap();
        first.read_exact_at(1 << 20, &mut buf).unwrap();
        disk = Some(first);
    });
    with_server(&memory, &address, |_| {
        let disk = disk.as_ref().unwrap();
        disk.read_exact_at((1 << 20) - 4096, &mut buf).unwrap();
        assert!(buf == bytes[(1 << 20) - 4096..1 << 20]);
    });
    assert!(disk.unwrap().read_exact_at(0, &mut buf).is_err(), "nobody serves any more");
}
