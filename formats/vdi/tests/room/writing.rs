//! The writer's edges: options, limits, pipes, faults.

use crate::builder::read;
use format_core::{CreateRequest, ErrorKind, MemTarget, Order, Packed, PipeTarget, Result, Sink};
use format_vdi::FORMAT;
use std::io::Write;
use std::sync::{Arc, Mutex};

const MIB: u64 = 1 << 20;

fn request(virtual_size: u64, options: &[(&str, &str)]) -> CreateRequest {
    let options = options.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    CreateRequest { virtual_size, options, parent: None }
}

fn create(target: MemTarget, request: &CreateRequest) -> Result<Box<dyn Sink>> {
    FORMAT.create.unwrap()(Box::new(target), request)
}

fn refusal(virtual_size: u64, options: &[(&str, &str)]) -> ErrorKind {
    create(MemTarget::default(), &request(virtual_size, options)).err().unwrap().kind()
}

#[test]
fn what_cannot_be_written_is_refused() {
    assert_eq!(refusal(MIB, &[("static", "yes")]), ErrorKind::Usage);
    assert_eq!(refusal(MIB + 1, &[]), ErrorKind::Usage);
    assert_eq!(refusal((64 << 40) + 512, &[]), ErrorKind::Limit);
    assert_eq!((FORMAT.size_step)(&request(MIB + 1, &[])), 512);
    let sink = create(MemTarget::default(), &request(3 * MIB, &[])).unwrap();
    for (offset, len) in [(512, 512), (0, 512), (2 * MIB, 2 * MIB), (u64::MAX - 511, 512)] {
        assert_eq!(sink.zero_at(offset, len).unwrap_err().kind(), ErrorKind::Contract, "{offset:#x}");
        let bytes = vec![1; len as usize];
        let written = sink.write_at(offset, Packed::Plain(&bytes));
        assert_eq!(written.unwrap_err().kind(), ErrorKind::Contract, "{offset:#x}");
    }
    let encoded = Packed::Encoded { bytes: vec![1], guest_len: MIB };
    assert_eq!(sink.write_at(0, encoded).unwrap_err().kind(), ErrorKind::Contract);
}

/// Whichever write fails, the image does not appear.
#[test]
fn a_failing_target_leaves_no_image() {
    for options in [&[] as &[_], &[("static", "on")]] {
        let mut failures = 0;
        for writes in 0.. {
            let target = MemTarget::failing_after(writes);
            let result = create(target.clone(), &request(3 * MIB, options)).and_then(|sink| {
                sink.write_at(MIB, Packed::Plain(&[7; MIB as usize]))?;
                sink.finish()
            });
            assert_eq!(result.is_ok(), target.committed_bytes().is_some());
            match result {
                Ok(()) => break,
                Err(e) => assert_eq!(e.kind(), ErrorKind::Temporary),
            }
            failures += 1;
        }
        assert!(failures > 5, "{failures}");
    }
}

#[derive(Clone, Default)]
struct Pipe(Arc<Mutex<Vec<u8>>>);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_fixed_image_goes_through_a_pipe_and_a_dynamic_one_is_refused() {
    let pipe = Pipe::default();
    let target = || Box::new(PipeTarget::new(Box::new(pipe.clone())));
    let error = FORMAT.create.unwrap()(target(), &request(3 * MIB, &[])).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(pipe.0.lock().unwrap().is_empty());
    let size = 3 * MIB + 512;
    let sink = FORMAT.create.unwrap()(target(), &request(size, &[("static", "on")])).unwrap();
    assert_eq!(sink.needs().order, Order::Ascending);
    sink.zero_at(0, MIB).unwrap();
    sink.write_at(MIB, Packed::Plain(&[5; MIB as usize])).unwrap();
    sink.write_at(3 * MIB, Packed::Plain(&[6; 512])).unwrap();
    sink.finish().unwrap();
    let found = read(&pipe.0.lock().unwrap()).unwrap();
    let mut expected = vec![0; size as usize];
    expected[MIB as usize..2 * MIB as usize].fill(5);
    expected[3 * MIB as usize..].fill(6);
    assert!(found == expected);
}

#[test]
fn two_images_are_never_the_same() {
    let make = || {
        let target = MemTarget::default();
        create(target.clone(), &request(MIB, &[])).unwrap().finish().unwrap();
        crate::builder::open(&target.committed_bytes().unwrap()).unwrap().identity().unwrap().to_owned()
    };
    assert_ne!(make(), make());
}
