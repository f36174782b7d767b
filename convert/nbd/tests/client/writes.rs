//! Writing to servers of other projects; qemu-img judges.

use crate::kit::{Scripted, at, limits, nbdkit, noise, qemu_nbd, run, striped, write_sparse};
use convert_nbd::NbdTarget;
use format_core::{ErrorKind, TargetStorage};
use std::path::Path;
use std::time::Duration;

/// Writes `bytes` from several threads, as a pipeline does: zeros by `zero_range`, and pieces of all sizes.
fn write(target: &NbdTarget, bytes: &[u8]) {
    target.set_len(bytes.len() as u64).unwrap();
    std::thread::scope(|scope| {
        for worker in 0..4usize {
            scope.spawn(move || {
                for (at, part) in (0..).step_by(333_000).zip(bytes.chunks(333_000)).skip(worker).step_by(4) {
                    let zeros = part.iter().take_while(|byte| **byte == 0).count();
                    target.zero_range(at, zeros as u64).unwrap();
                    target.write_all_at(at + zeros as u64, &part[zeros..]).unwrap();
                }
            });
        }
    });
    assert!(!target.is_blank());
    assert_eq!(target.written().lock().unwrap().iter().collect::<Vec<_>>(), [(0, bytes.len() as u64)]);
}

/// An old disk of noise to write over, and the new one.
fn files(folder: &Path, len: usize) -> (String, String, Vec<u8>) {
    let bytes = striped(len);
    write_sparse(&folder.join("wanted.raw"), &bytes);
    std::fs::write(folder.join("out.raw"), noise(len, 99)).unwrap();
    let name = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    (name("out.raw"), name("wanted.raw"), bytes)
}

fn compare(out: &str, wanted: &str) {
    // Without -s: what is allocated may differ, the sizes are compared before.
    assert_eq!(std::fs::metadata(out).unwrap().len(), std::fs::metadata(wanted).unwrap().len());
    run("qemu-img", &["compare", "-f", "raw", "-F", "raw", out, wanted]);
}

#[test]
fn qemu_nbd_gets_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let (out, wanted, bytes) = files(folder.path(), 9 << 20);
    let socket = folder.path().join("s");
    let server = qemu_nbd(&socket, &["-f", "raw", &out]);
    let target = NbdTarget::connect(&at(&socket, ""), &limits()).unwrap();
    assert_eq!(target.set_len((9 << 20) + 1).unwrap_err().kind(), ErrorKind::Destination);
    assert_eq!(target.write_all_at((9 << 20) - 1, &[1; 2]).unwrap_err().kind(), ErrorKind::Destination);
    write(&target, &bytes);
    target.sync().unwrap();
    Box::new(target).commit().unwrap();
    drop(server);
    compare(&out, &wanted);

    let _server = qemu_nbd(&socket, &["-r", "-f", "raw", &out]);
    let error = NbdTarget::connect(&at(&socket, ""), &limits()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    let error = NbdTarget::connect(&at(&folder.path().join("none"), ""), &limits()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Destination, "{error}");
}

#[test]
fn nbdkit_gets_it_in_its_own_blocks() {
    for filters in [
        &[
            "--filter=blocksize-policy",
            "blocksize-minimum=4096",
            "blocksize-preferred=4096",
            "blocksize-maximum=64k",
            "blocksize-error-policy=error",
        ][..],
        &["--filter=nozero"],
        &["--filter=fua", "fuamode=emulate"],
        &["--filter=multi-conn", "multi-conn-mode=emulate", "--no-sr"],
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (out, wanted, bytes) = files(folder.path(), 5 << 20);
        let socket = folder.path().join("s");
        let after: Vec<&str> = filters.iter().copied().filter(|word| !word.starts_with('-')).collect();
        let before: Vec<&str> = filters.iter().copied().filter(|word| word.starts_with('-')).collect();
        let server = nbdkit(&socket, &[&before[..], &["file", &out], &after[..]].concat());
        let target = NbdTarget::connect(&at(&socket, ""), &limits()).unwrap();
        write(&target, &bytes);
        Box::new(target).commit().unwrap();
        drop(server);
        compare(&out, &wanted);
    }
}

#[test]
fn a_full_server_is_a_full_destination() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let arguments = ["--filter=error", "memory", "1M", "error-pwrite=ENOSPC", "error-pwrite-rate=100%"];
    let _server = nbdkit(&socket, &arguments);
    let target = NbdTarget::connect(&at(&socket, ""), &limits()).unwrap();
    // Of several requests the first refusal ends it, and the replies to the others are taken.
    for bytes in [&[1; 4096][..], &[1; 1 << 20]] {
        let error = target.write_all_at(0, bytes).unwrap_err();
        assert_eq!((error.kind(), error.code().id), (ErrorKind::Temporary, "RH-DESTINATION-FULL"), "{error}");
    }
    // The connection is well, and so is what was not refused.
    target.zero_range(0, 4096).unwrap();
    target.sync().unwrap();
}

#[test]
fn the_line_to_a_far_server_is_filled() {
    const PIECE: u32 = 256 << 10;
    let server = Scripted::new(|said, _| {
        said.delay = Duration::from_millis(3);
        said.shake(8 << 20, 0);
        // Nothing is answered before all 4 MiB are there.
        for _ in 0..2 {
            let mut cookies = Vec::new();
            for _ in 0..16 {
                let (command, cookie, offset, len) = said.request().unwrap();
                assert_eq!((command, offset % u64::from(PIECE), len), (1, 0, PIECE));
                assert!(said.hear(len as usize).unwrap().iter().all(|byte| *byte == 7));
                cookies.push(cookie);
            }
            for cookie in cookies {
                said.chunk(1, 0, cookie, &[]);
            }
        }
        said.hear(1);
    });
    let target = NbdTarget::over(server.clone(), "", &limits()).unwrap();
    target.write_all_at(0, &vec![7; 8 << 20]).unwrap();
    assert_eq!(server.connections(), 1);
}
