//! NBD inside of frames, all the way; and what is no frame.

use convert_capture::{CompressedConnector, CompressingWriter, Hello};
use convert_nbd::{
    ClientLimits, CommandConnector, Connector, DiskExport, Exports, NbdDisk, Polled, Transport, converse,
};
use format_core::{Disk, ErrorKind, Extent, ExtentKind, Layer, Result, Storage};
use std::io::BufReader;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

const SIZE: u64 = (9 << 20) + 4608;

/// Lines of text, noise behind them, then a hole.
struct Mixed;

fn byte(at: u64) -> u8 {
    match at >> 20 {
        0..4 => b"all work and no play "[(at % 21) as usize],
        4..8 => (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 53) as u8,
        _ => 0,
    }
}

impl Layer for Mixed {
    fn format(&self) -> &'static str {
        "mixed"
    }

    fn virtual_size(&self) -> u64 {
        SIZE
    }

    fn chunk_size(&self) -> u64 {
        512
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        let (kind, end) =
            if offset < 8 << 20 { (ExtentKind::Data, 8 << 20) } else { (ExtentKind::Zero, SIZE) };
        Ok(Extent { offset, len: end - offset, kind })
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        buf.iter_mut().zip(offset..).for_each(|(place, at)| *place = byte(at));
        Ok(())
    }
}

/// A server in a thread for each connection.
struct Threads;

impl Connector for Threads {
    fn connect(&self, _: Duration) -> Result<Box<dyn Transport>> {
        let (near, far) = UnixStream::pair().unwrap();
        std::thread::spawn(move || {
            let mut exports = Exports::default();
            let disk = Disk::new(vec![Arc::new(Mixed)]).unwrap();
            exports.add("", "mixed", Arc::new(DiskExport::new(disk))).unwrap();
            let output = CompressingWriter::new(far.try_clone().unwrap()).unwrap();
            converse(BufReader::new(far), output, &exports, &|_| (), || Ok(()), || false)
        });
        Ok(Box::new(Polled::new(near.try_clone().unwrap(), near, None).unwrap()))
    }

    fn name(&self) -> String {
        "threads".into()
    }
}

#[test]
fn every_byte_comes_through() {
    let connector = Arc::new(CompressedConnector::new(Arc::new(Threads)));
    let disk = NbdDisk::over(connector, "", &ClientLimits::default()).unwrap();
    assert_eq!((disk.size(), disk.knows_zeros()), (SIZE, true));
    for (offset, len) in
        [(0, SIZE), (4095, 3 << 20), ((4 << 20) - 100, 200), (SIZE - 1, 1), (7 << 20, 2 << 20)]
    {
        let mut buf = vec![1; len as usize];
        disk.read_exact_at(offset, &mut buf).unwrap();
        let wrong = buf.iter().zip(offset..).position(|(found, at)| *found != byte(at));
        assert_eq!(wrong, None, "{offset} {len}");
    }
}

#[test]
fn a_side_that_sends_no_frames_is_asked_once() {
    let words = ["sh", "-c", "printf 'NBDMAGICIHAVEOPT\\0\\3'; exec sleep 60"].map(Into::into);
    let connector = Arc::new(CompressedConnector::new(Arc::new(CommandConnector::new(words.into()))));
    let start = Instant::now();
    let error = NbdDisk::over(connector, "", &ClientLimits::default()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_program_that_does_not_say_that_it_compresses_does_not() {
    let older = r#"{"rehome_session":1,"program":"0","size":1,"identity":"it","notes":[]}"#;
    assert!(!serde_json::from_str::<Hello>(older).unwrap().compresses);
}
