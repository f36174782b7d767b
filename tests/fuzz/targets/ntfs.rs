//! NTFS volumes: read, edited in every way, and read again after each.
#![no_main]

use driver_core::{GuestFs, Ownership, PartitionFacts};
use driver_partitions::Window;
use fuzz::{Bases, Patched, fuzz_volume, overlay_of};
use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, LazyLock};

static BASES: LazyLock<Bases> = LazyLock::new(|| Bases::load("ntfs"));

/// What could be edited can be edited afterwards, and what was written is there.
fn fuzz_edits(image: Patched) {
    let overlay = overlay_of(image);
    let facts = PartitionFacts { size: overlay.base().virtual_size(), ..PartitionFacts::default() };
    let open = || {
        let window = Window::of_partition(&overlay, &facts).expect("the whole disk");
        driver_fs_ntfs::open(Arc::new(window))
    };
    let Ok(mut fs) = open() else { return };
    if fs.editable().is_err() {
        return;
    }
    let content = vec![0x5a; 20_000];
    let owner = Ownership::ROOT_FILE;
    let made = fs.create_folder("/a new folder", owner).is_ok()
        && fs.create_file("/a new folder/a new file", &content, owner).is_ok()
        && fs.append_file("/A New Folder/A NEW FILE", b"more").is_ok()
        && fs.rename("/a new folder/a new file", "/A.NEW").is_ok();
    for entry in fs.read_dir("/").unwrap_or_default().iter().take(3) {
        if entry.name != "A.NEW" {
            let _ = fs.remove(&format!("/{}", entry.name));
        }
    }
    if fs.finish().is_err() {
        return;
    }
    drop(fs);
    let fs = open().expect("it opened before");
    fs.editable().expect("it could be edited before");
    if made {
        let found = fs.read_file("/a.new", 1 << 20).expect("it was written");
        assert!(found[..20_000] == content && &found[20_000..] == b"more");
    }
}

/// Puts the update sequences of records and index blocks right: patches do not reach far without.
fn seal(image: &mut Patched) {
    for place in image.places() {
        for len in [1024_u64, 4096] {
            let start = place / len * len;
            let head = image.bytes(start, len as usize);
            if matches!(&head[..4], b"FILE" | b"INDX") {
                let at = usize::from(u16::from_le_bytes([head[4], head[5]]));
                let sequence: Vec<u8> = head.get(at..at + 2).map(<[u8]>::to_vec).unwrap_or_default();
                for sector in 1..=len / 512 {
                    image.patch(start + sector * 512 - 2, &sequence);
                }
                break;
            }
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let image = || Patched::from_input(&BASES, input, seal);
    fuzz_volume(image(), |window| driver_fs_ntfs::open(window));
    fuzz_edits(image());
});
