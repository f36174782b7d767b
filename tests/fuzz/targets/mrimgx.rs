//! Backups of Macrium Reflect X, with and without encryption.
#![no_main]

use format_core::{Access, DenyAll, ErrorKind, Key, LayerContext, Origin, Storage};
use fuzz::{Bases, Patched, check_disk};
use libfuzzer_sys::fuzz_target;
use md5::{Digest, Md5};
use std::sync::{Arc, LazyLock};

static BASES: LazyLock<Bases> = LazyLock::new(|| Bases::load("mrimgx"));

/// Puts the MD5 of every metadata block right that still has its name.
fn seal(image: &mut Patched) {
    let bytes = image.bytes(0, image.size() as usize);
    for name in [&b"$TRACK0 "[..], b"$EPT    ", b"$BITMAP ", b"$INDEX  ", b"$JSON   "] {
        let places = bytes.windows(name.len()).enumerate().filter(|(_, found)| *found == name);
        for at in places.map(|(at, _)| at).collect::<Vec<_>>() {
            let Some(len) = bytes.get(at + 8..at + 12).and_then(|len| len.first_chunk()) else { continue };
            let len = u32::from_le_bytes(*len) as usize;
            if let Some(content) = bytes.get(at + 32..).and_then(|rest| rest.get(..len)) {
                image.patch(at as u64 + 12, &Md5::digest(content));
            }
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let image = Patched::from_input(&BASES, input, seal);
    let access = Access { key: Some(Key::new("päss word".into())), ..Access::default() };
    let context = LayerContext { access, ..LayerContext::new(Arc::new(DenyAll)) };
    let open = format_mrimgx::FORMAT.open_container.expect("it is a container");
    let ok = |error: &format_core::Error| assert_ne!(error.kind(), ErrorKind::Contract, "{error}");
    match open(Origin::File(Arc::new(image)), &context) {
        Err(error) => ok(&error),
        Ok(container) => {
            container.check(&|_| Ok(())).as_ref().err().into_iter().for_each(ok);
            container.completeness().as_ref().err().into_iter().for_each(ok);
            for index in 0..container.disks().len().min(2) {
                match container.open_disk(index) {
                    Ok(inner) => check_disk(&inner.disk),
                    Err(error) => ok(&error),
                }
            }
        }
    }
});
