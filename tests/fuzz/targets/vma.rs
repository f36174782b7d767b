//! Proxmox VE backups: at any place, and as a stream. Both have to give the same disk.
#![no_main]

use format_core::{Access, DenyAll, ErrorKind, LayerContext, Origin, Storage, StorageReader, units::MIB};
use fuzz::{Bases, Patched, check_disk};
use libfuzzer_sys::fuzz_target;
use md5::{Digest, Md5};
use std::sync::{Arc, LazyLock};

static BASES: LazyLock<Bases> = LazyLock::new(|| Bases::load("vma"));

/// Puts the checksums of the header and of the extents right, as far as the heads can be followed.
fn seal(image: &mut Patched) {
    let header = u32::from_be_bytes(image.bytes(56, 4).try_into().expect("four bytes"));
    if !(12288..1 << 20).contains(&header) {
        return;
    }
    put_md5(image, 0, header as usize, 32);
    let (mut at, mut left) = (u64::from(header), 64);
    while image.bytes(at, 4) == *b"VMAE" && left > 0 {
        put_md5(image, at, 512, 24);
        let count = image.bytes(at + 6, 2);
        at += 512 + 4096 * u64::from(u16::from_be_bytes([count[0], count[1]]));
        left -= 1;
    }
}

fn put_md5(image: &mut Patched, at: u64, len: usize, place: u64) {
    image.patch(at + place, &[0; 16]);
    let digest = Md5::digest(image.bytes(at, len));
    image.patch(at + place, &digest);
}

fuzz_target!(|input: &[u8]| {
    let storage: Arc<dyn Storage> = Arc::new(Patched::from_input(&BASES, input, seal));
    let mut context = LayerContext::new(Arc::new(DenyAll));
    context.access = Access { pick: Some("0".to_owned()), ..Access::default() };
    let open = format_vma::FORMAT.open_container.expect("a container");
    let disk = match open(Origin::File(Arc::clone(&storage)), &context) {
        Ok(container) if !container.disks().is_empty() => {
            let disk = container.open_disk(0).expect("an index that is whole").disk;
            check_disk(&disk);
            Some(disk)
        }
        Ok(_) => None,
        Err(error) => {
            assert_ne!(error.kind(), ErrorKind::Contract, "{error}");
            None
        }
    };
    let open = format_vma::FORMAT.open_stream.expect("a stream");
    let mut stream = match open(Box::new(StorageReader::new(storage)), &context) {
        Ok(stream) => stream,
        Err(error) => {
            assert_ne!(error.kind(), ErrorKind::Contract, "{error}");
            return;
        }
    };
    let mut end = 0;
    loop {
        match stream.next_chunk() {
            Ok(Some(chunk)) => {
                assert!(chunk.offset >= end && !chunk.data.is_empty(), "chunks ascend");
                end = chunk.offset + chunk.data.len() as u64;
                assert!(end <= stream.virtual_size(), "chunks lie inside of the disk");
                if let Some(disk) = disk.as_ref().filter(|_| end < 4 * MIB) {
                    let mut bytes = vec![0; chunk.data.len()];
                    disk.read_exact_at(chunk.offset, &mut bytes).expect("what flows is there");
                    assert!(bytes == chunk.data, "the stream differs at {:#x}", chunk.offset);
                }
            }
            Ok(None) => break,
            Err(error) => {
                assert_ne!(error.kind(), ErrorKind::Contract, "{error}");
                assert!(disk.is_none(), "the stream refuses what the file gives: {error}");
                break;
            }
        }
    }
});
