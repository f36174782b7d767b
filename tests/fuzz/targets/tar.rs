//! Tar archives; the checksums of headers are put right. A pipe must give the disk that places give.
#![no_main]

use format_core::{Disk, ErrorKind, Origin, Storage, StorageReader};
use fuzz::{Bases, Patched, check_disk, raw_inside, seal_headers};
use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, LazyLock};

static BASES: LazyLock<Bases> = LazyLock::new(|| Bases::load("tar"));
/// Disks up to this size are compared as a whole.
const COMPARED: u64 = 4 << 20;

fn compare(storage: &Arc<dyn Storage>, disk: &Disk) {
    let open = format_tar::FORMAT.open_stream.expect("tar flows");
    let reader = Box::new(StorageReader::new(Arc::clone(storage)));
    // Not every member that may be a disk flows.
    let Ok(mut stream) = open(reader, &raw_inside(Some("0"))) else { return };
    assert_eq!(stream.virtual_size(), disk.virtual_size());
    if disk.virtual_size() > COMPARED {
        return;
    }
    let (mut found, mut expected) = (vec![0; disk.virtual_size() as usize], vec![0; disk.virtual_size() as usize]);
    let mut last = 0;
    while let Some(chunk) = stream.next_chunk().expect("the archive is whole") {
        assert!(chunk.offset >= last && !chunk.data.is_empty());
        last = chunk.offset + chunk.data.len() as u64;
        found[chunk.offset as usize..last as usize].copy_from_slice(&chunk.data);
    }
    disk.read_exact_at(0, &mut expected).expect("the archive is whole");
    assert!(found == expected, "a pipe gives another disk");
}

fuzz_target!(|input: &[u8]| {
    let storage: Arc<dyn Storage> = Arc::new(Patched::from_input(&BASES, input, seal_headers));
    let open = format_tar::FORMAT.open_container.expect("tar is read");
    match open(Origin::File(Arc::clone(&storage)), &raw_inside(None)) {
        Err(error) => assert_ne!(error.kind(), ErrorKind::Contract, "{error}"),
        Ok(container) => {
            container.check(&|_| Ok(())).expect("memory is readable");
            for index in 0..container.disks().len().min(4) {
                match container.open_disk(index) {
                    Err(error) => assert_ne!(error.kind(), ErrorKind::Contract, "{error}"),
                    Ok(image) => {
                        check_disk(&image.disk);
                        if index == 0 {
                            compare(&storage, &image.disk);
                        }
                    }
                }
            }
        }
    }
});
