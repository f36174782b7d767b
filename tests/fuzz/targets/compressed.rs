//! Compressed files: from the start to the end and at any place the same bytes.
#![no_main]

use format_compressed::FORMATS;
use format_core::units::MIB;
use format_core::{DenyAll, Error, ErrorKind, Format, LayerContext, Score, Storage, StorageReader};
use fuzz::{Bases, Patched};
use libfuzzer_sys::fuzz_target;
use std::io::Read;
use std::sync::{Arc, LazyLock};

static BASES: LazyLock<Bases> = LazyLock::new(|| Bases::load("compressed"));

/// More is not unpacked of one input.
const MOST: u64 = 8 * MIB;

fuzz_target!(|input: &[u8]| {
    let file: Arc<dyn Storage> = Arc::new(Patched::from_input(&BASES, input, |_| {}));
    let mut head = vec![0; file.size().min(Format::PROBE_LEN as u64) as usize];
    file.read_exact_at(0, &mut head).expect("in memory");
    for format in FORMATS.iter().filter(|format| (format.probe)(&head, &[]) == Score::Magic) {
        let context = LayerContext::new(Arc::new(DenyAll));
        let _ = (format.unpacked_size)(file.as_ref());
        let streamed = unpack(format, &file, &context);
        let Some(Ok(Some(at))) = format.unpack_at.map(|unpack_at| unpack_at(&file, &context)) else { continue };
        if at.size() > MOST {
            continue;
        }
        let mut whole = vec![0; at.size() as usize];
        if at.read_exact_at(0, &mut whole).is_ok()
            && let Some(streamed) = streamed
        {
            assert!(streamed == whole, "{}: two ways, two contents", format.name);
        }
        let mut place = 0;
        while place < at.size() {
            let Ok(extent) = at.data_at(place) else { break };
            assert!(extent.len > 0 && extent.offset == place, "{}: {extent:?}", format.name);
            place = extent.end();
        }
    }
});

/// All bytes; none after an error, and of too many.
fn unpack(format: &Format, file: &Arc<dyn Storage>, context: &LayerContext) -> Option<Vec<u8>> {
    let reader = Box::new(StorageReader::new(Arc::clone(file)));
    let reader = format.unpack.expect("it unpacks")(reader, context).ok()?;
    let mut bytes = Vec::new();
    match reader.take(MOST + 1).read_to_end(&mut bytes) {
        Ok(_) => (bytes.len() as u64 <= MOST).then_some(bytes),
        Err(error) => {
            let error = error.downcast::<Error>().expect("an error of the project");
            assert_ne!(error.kind(), ErrorKind::Contract, "{error}");
            None
        }
    }
}
