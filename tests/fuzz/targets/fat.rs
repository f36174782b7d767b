//! FAT file systems: read, edited in every way, and checked again after each.
#![no_main]

use driver_core::{GuestFs, Ownership, PartitionFacts};
use driver_partitions::Window;
use fuzz::{Bases, Patched, fuzz_volume, overlay_of};
use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, LazyLock};

static BASES: LazyLock<Bases> = LazyLock::new(|| Bases::load("fat"));

/// What was found whole stays whole, and what was written is there.
fn fuzz_edits(image: Patched) {
    let overlay = overlay_of(image);
    let facts = PartitionFacts { size: overlay.base().virtual_size(), ..PartitionFacts::default() };
    let open = || {
        let window = Window::of_partition(&overlay, &facts).expect("the whole disk");
        driver_fs_fat::open(Arc::new(window))
    };
    let Ok(mut fs) = open() else { return };
    if fs.editable().is_err() {
        return;
    }
    let content = vec![0x5a; 20_000];
    let owner = Ownership::ROOT_FILE;
    let made = fs.create_folder("/a new folder", owner).is_ok()
        && fs.create_file("/a new folder/a new file", &content, owner).is_ok()
        && fs.append_file("/a new folder/a new file", b"more").is_ok()
        && fs.rename("/a new folder/a new file", "/A.NEW").is_ok();
    for entry in fs.read_dir("/").unwrap_or_default().iter().take(3) {
        if entry.name != "A.NEW" {
            let _ = fs.remove(&format!("/{}", entry.name));
        }
    }
    fs.finish().expect("the overlay is memory");
    drop(fs);
    let fs = open().expect("it opened before");
    fs.editable().expect("it was whole before");
    if made {
        let found = fs.read_file("/A.NEW", 1 << 20).expect("it was written");
        assert!(found[..20_000] == content && &found[20_000..] == b"more");
    }
}

fuzz_target!(|input: &[u8]| {
    let image = || Patched::from_input(&BASES, input, |_| {});
    fuzz_volume(image(), |window| driver_fs_fat::open(window));
    fuzz_edits(image());
});
