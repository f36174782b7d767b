//! What we pack, judged by other programs.

use crate::tools::{MIB, at, context, disk, through, unpack, whole};
use format_compressed::{GZIP, ZSTD};
use format_core::{
    CreateRequest, Format, Layer, MemStorage, MemTarget, Packed, PipeTarget, Result, Sink, TargetStorage,
    is_zero,
};
use std::sync::{Arc, Mutex};

fn request(size: usize, options: &[(&str, &str)]) -> CreateRequest {
    let options = options.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    CreateRequest { virtual_size: size as u64, options, parent: None }
}

/// Gives the sink the chunks of `disk` that begin in `range`, but for zeros.
fn deliver(sink: &dyn Sink, disk: &[u8], range: std::ops::Range<usize>) -> Result<()> {
    let chunk = sink.needs().chunk_size as usize;
    for (number, part) in disk.chunks(chunk).enumerate() {
        if range.contains(&(number * chunk)) && !is_zero(part) {
            let packed = sink.pack(part)?;
            assert!(matches!(packed, Packed::Encoded { .. }));
            sink.write_at((number * chunk) as u64, packed)?;
        }
    }
    Ok(())
}

/// A target that an interrupted run left.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl TargetStorage for Kept {
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut kept = self.0.lock().unwrap();
        let end = offset as usize + bytes.len();
        let len = kept.len().max(end);
        kept.resize(len, 0);
        kept[offset as usize..end].copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.0.lock().unwrap().resize(len as usize, 0);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<()> {
        Ok(())
    }

    fn resume_at(&self, len: u64) -> Result<()> {
        self.set_len(len)
    }
}

/// `disk` as an image.
pub fn write(format: &Format, disk: &[u8], options: &[(&str, &str)]) -> Vec<u8> {
    let target = MemTarget::default();
    let sink = format.create.unwrap()(Box::new(target.clone()), &request(disk.len(), options)).unwrap();
    deliver(sink.as_ref(), disk, 0..disk.len()).unwrap();
    sink.finish().unwrap();
    target.committed_bytes().unwrap()
}

#[test]
fn other_programs_unpack_what_we_pack() {
    let mut disk = disk(5 * MIB + 4097);
    disk[MIB / 2..3 * MIB].fill(0);
    for (format, options, judges) in [
        (&GZIP, &[][..], &[("gzip", "gzip -dc"), ("tabix", "bgzip -dc"), ("pigz", "pigz -dc")][..]),
        (&GZIP, &[("level", "1")], &[("gzip", "gzip -dc"), ("tabix", "bgzip -dc")]),
        (&GZIP, &[("level", "12")], &[("gzip", "gzip -dc"), ("tabix", "bgzip -dc")]),
        (
            &ZSTD,
            &[],
            &[("zstd", "zstd -dqc"), ("zstd", "f=$(mktemp); cat >$f; zstd -tq $f && zstd -dqc $f; rm $f")],
        ),
        (&ZSTD, &[("level", "19"), ("frame_size", "64K")], &[("zstd", "zstd -dqc")]),
        (&ZSTD, &[("frame_size", "4M")], &[("zstd", "zstd -dqc")]),
    ] {
        let packed = write(format, &disk, options);
        for (package, judge) in judges {
            assert!(through(package, judge, &packed) == disk, "{} {options:?} by {judge}", format.name);
        }
        assert!(unpack(format, &packed).unwrap() == disk);
        assert!(whole(at(format, &packed).unwrap().unwrap().as_ref()).unwrap() == disk);
        let layer: Box<dyn Layer> =
            format.open_layer.unwrap()(Arc::new(MemStorage(packed.clone())), &context()).unwrap();
        assert_eq!(layer.virtual_size(), disk.len() as u64);
        let report = format.check.unwrap()(Arc::new(MemStorage(packed)), &context()).unwrap();
        assert!(report.is_clean(), "{:?}", report.findings);
    }
}

#[test]
fn what_does_not_compress_fits_into_blocks() {
    let mut number = 88_172_645_463_325_252u64;
    let mut next = || {
        number ^= number << 13;
        number ^= number >> 7;
        number ^= number << 17;
        number as u8
    };
    let noise: Vec<u8> = (0..3 * MIB + 1).map(|_| next()).collect();
    for format in [&GZIP, &ZSTD] {
        let packed = write(format, &noise, &[]);
        assert!(unpack(format, &packed).unwrap() == noise, "{}", format.name);
        assert!(packed.len() < noise.len() + noise.len() / 500, "{}: {:#x}", format.name, packed.len());
    }
    assert!(through("tabix", "bgzip -dc", &write(&GZIP, &noise, &[])) == noise);
}

#[test]
fn empty_and_small_disks() {
    for format in [&GZIP, &ZSTD] {
        for size in [0, 1, 511, 65_536, 65_537, MIB, MIB + 1] {
            for bytes in [vec![0; size], disk(size)] {
                let packed = write(format, &bytes, &[]);
                assert!(unpack(format, &packed).unwrap() == bytes, "{} {size}", format.name);
                let judge = if format.name == "gzip" { "gzip -dc" } else { "zstd -dqc" };
                assert!(through(format.name, judge, &packed) == bytes, "{} {size}", format.name);
                assert!(whole(at(format, &packed).unwrap().unwrap().as_ref()).unwrap() == bytes);
            }
        }
    }
}

/// The far end of a pipe.
#[derive(Clone, Default)]
struct FarEnd(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for FarEnd {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_pipe_gets_the_same_bytes() {
    let mut disk = disk(4 * MIB + 3);
    disk[MIB..3 * MIB].fill(0);
    for format in [&GZIP, &ZSTD] {
        let far_end = FarEnd::default();
        let target = PipeTarget::new(Box::new(far_end.clone()));
        let sink = format.create.unwrap()(Box::new(target), &request(disk.len(), &[])).unwrap();
        deliver(sink.as_ref(), &disk, 0..disk.len()).unwrap();
        assert!(sink.checkpoint().unwrap().is_none(), "nothing of a pipe can be gone back to");
        sink.finish().unwrap();
        assert!(*far_end.0.lock().unwrap() == write(format, &disk, &[]), "{}", format.name);
    }
}

#[test]
fn an_interrupted_image_goes_on() {
    let mut disk = disk(7 * MIB + 99);
    disk[MIB..3 * MIB].fill(0);
    for format in [&GZIP, &ZSTD] {
        let request = request(disk.len(), &[]);
        let target = Kept::default();
        let sink = format.create.unwrap()(Box::new(target.clone()), &request).unwrap();
        deliver(sink.as_ref(), &disk, 0..4 * MIB).unwrap();
        let state = sink.checkpoint().unwrap().unwrap();
        // What comes later is lost.
        deliver(sink.as_ref(), &disk, 4 * MIB..5 * MIB).unwrap();
        sink.flush().unwrap();
        drop(sink);
        let sink = format.resume.unwrap()(Box::new(target.clone()), &request, &state).unwrap();
        deliver(sink.as_ref(), &disk, 4 * MIB..disk.len()).unwrap();
        sink.finish().unwrap();
        let packed = target.0.lock().unwrap().clone();
        assert!(packed == write(format, &disk, &[]), "{}", format.name);
        for len in 0..state.len() {
            let target: Box<dyn TargetStorage> = Box::new(target.clone());
            assert!(format.resume.unwrap()(target, &request, &state[..len]).is_err());
        }
    }
}

#[test]
fn options_are_checked() {
    for (format, key, value) in [
        (&GZIP, "level", "0"),
        (&GZIP, "level", "13"),
        (&GZIP, "level", "fast"),
        (&ZSTD, "level", "20"),
        (&ZSTD, "frame_size", "3M"),
        (&ZSTD, "frame_size", "32K"),
        (&ZSTD, "frame_size", "8M"),
    ] {
        let target: Box<dyn TargetStorage> = Box::new(MemTarget::default());
        let error = format.create.unwrap()(target, &request(MIB, &[(key, value)])).err().unwrap();
        assert_eq!(error.kind(), format_core::ErrorKind::Usage, "{error}");
    }
    let target: Box<dyn TargetStorage> = Box::new(MemTarget::default());
    let error = ZSTD.create.unwrap()(target, &request(usize::MAX, &[])).err().unwrap();
    assert_eq!(error.kind(), format_core::ErrorKind::Unsupported, "{error}");
}
