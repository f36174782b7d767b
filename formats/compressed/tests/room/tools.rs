//! Disks, the tools that pack them, and our readers.

use format_core::{DenyAll, Error, Format, LayerContext, MemStorage, Result, Storage, StorageReader};
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;

pub const MIB: usize = 1 << 20;

/// Text, zeros and noise in turns, the same every time.
pub fn disk(size: usize) -> Vec<u8> {
    let mut disk = Vec::with_capacity(size + 100_000);
    let mut number = 0x9e37_79b9_7f4a_7c15u64;
    while disk.len() < size {
        for line in 0..900u64 {
            disk.extend(format!("line {} of the text {}\n", line * 7, number % 1000).bytes());
        }
        disk.extend(std::iter::repeat_n(0, 70_000 + (number % 9000) as usize));
        for _ in 0..4000 {
            number ^= number << 13;
            number ^= number >> 7;
            number ^= number << 17;
            disk.extend(number.to_le_bytes());
        }
    }
    disk.truncate(size);
    disk
}

/// What a shell command makes of `input`; its first word is the program, of the Debian package `package`.
pub fn through(package: &str, command: &str, input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("timeout")
        .args(["60", "sh", "-c", command])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("timeout is missing: install coreutils");
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || {
            let _ = stdin.write_all(input);
        });
        child.wait_with_output().unwrap()
    });
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command} (package {package}): {said}");
    output.stdout
}

pub fn context() -> LayerContext {
    LayerContext::new(Arc::new(DenyAll))
}

/// From the start to the end, in pieces of `piece` bytes.
pub fn unpack_in(format: &Format, packed: &[u8], piece: usize, context: &LayerContext) -> Result<Vec<u8>> {
    let from = StorageReader::new(Arc::new(MemStorage(packed.to_vec())));
    let mut reader = format.unpack.unwrap()(Box::new(from), context)?;
    let (mut all, mut part) = (Vec::new(), vec![0; piece]);
    loop {
        match reader.read(&mut part) {
            Ok(0) => {
                assert_eq!(reader.read(&mut part).unwrap(), 0, "the end is the end");
                return Ok(all);
            }
            Ok(len) => all.extend_from_slice(&part[..len]),
            Err(error) => {
                assert!(reader.read(&mut part).is_err(), "an error stays one");
                return Err(error.downcast::<Error>().expect("an error of the project"));
            }
        }
    }
}

pub fn unpack(format: &Format, packed: &[u8]) -> Result<Vec<u8>> {
    unpack_in(format, packed, 256 << 10, &context())
}

/// At any place.
pub fn at(format: &Format, packed: &[u8]) -> Result<Option<Arc<dyn Storage>>> {
    let storage: Arc<dyn Storage> = Arc::new(MemStorage(packed.to_vec()));
    format.unpack_at.map_or(Ok(None), |unpack| unpack(&storage, &context()))
}

pub fn whole(storage: &dyn Storage) -> Result<Vec<u8>> {
    let mut all = vec![0xee; storage.size() as usize];
    storage.read_exact_at(0, &mut all)?;
    Ok(all)
}
