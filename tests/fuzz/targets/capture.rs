//! A source's side: any bytes as its greeting and its answers, and any bytes as the facts of a machine. Nothing may end in a panic, a hang or an
//! error that says the fault is ours; hashes come in the order in which they were asked for, free ranges lie on the disk.
//!
//! The first byte says what is asked.
#![no_main]

use convert_capture::{FarSide, MachineFacts, Side};
use format_core::{ErrorKind, HashLevel, Remote};
use libfuzzer_sys::fuzz_target;
use std::io::Cursor;

const SIZE: u64 = 1 << 30;

fuzz_target!(|data: &[u8]| {
    let Some((what, bytes)) = data.split_first() else { return };
    if what % 4 == 0 {
        if let Ok(facts) = MachineFacts::from_json(bytes) {
            let images: Vec<String> = facts.disks.iter().map(|disk| disk.identity()).collect();
            let _ = facts.to_machine(&images);
        }
        return;
    }
    // A greeting that is right leaves the fuzzer more to say.
    let greeting = format!(r#"{{"rehome_session":1,"program":"x","size":{SIZE},"identity":"i","notes":[]}}"#);
    let said = match what & 64 {
        0 => [greeting.as_bytes(), b"\n", bytes].concat(),
        _ => bytes.to_vec(),
    };
    let Ok(side) = FarSide::over(Box::new(Cursor::new(said)), Box::new(std::io::sink()), true) else { return };
    let error = match what % 4 {
        1 => {
            let mut next = 3;
            let asked = [3..5, 9..10];
            let mut due = asked.iter().flat_map(Clone::clone);
            side.hashes(HashLevel::Leaf, &asked, &mut |number, _| {
                assert_eq!(due.next(), Some(number));
                next += 1;
                Ok(())
            })
            .err()
        }
        2 => match side.free() {
            Ok(free) => {
                assert!(free.iter().all(|(offset, len)| len > 0 && offset + len <= side.hello().size));
                None
            }
            Err(error) => Some(error),
        },
        _ => side.freeze(&["/".into()], 1).and_then(|()| side.thaw()).err(),
    };
    assert!(error.is_none_or(|error| error.kind() != ErrorKind::Contract));
});
