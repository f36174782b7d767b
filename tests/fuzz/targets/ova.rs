//! OVA archives; the checksums of headers are put right, those of the manifest are not.
#![no_main]

use format_core::{ErrorKind, Origin};
use fuzz::{Bases, Patched, check_disk, raw_inside, seal_headers};
use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, LazyLock};

static BASES: LazyLock<Bases> = LazyLock::new(|| Bases::load("ova"));

fuzz_target!(|input: &[u8]| {
    let storage = Arc::new(Patched::from_input(&BASES, input, seal_headers));
    let open = format_ova::FORMAT.open_container.expect("ova is read");
    let container = match open(Origin::File(storage), &raw_inside(None)) {
        Err(error) => return assert_ne!(error.kind(), ErrorKind::Contract, "{error}"),
        Ok(container) => container,
    };
    container.completeness().expect("memory is readable");
    let report = container.check(&|_| Ok(())).expect("memory is readable");
    for index in 0..container.disks().len().min(4) {
        match container.open_disk(index) {
            Err(error) => assert_ne!(error.kind(), ErrorKind::Contract, "{error}"),
            Ok(image) => check_disk(&image.disk),
        }
        if let Some(Err(error)) = container.proof(index).map(|proof| proof(&|_| Ok(()))) {
            assert!(error.kind() == ErrorKind::Mismatch && report.errors > 0, "{error}, {report:?}");
        }
    }
});
