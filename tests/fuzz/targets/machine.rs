//! Machine definitions: JSON documents, divided by NUL bytes.
#![no_main]

use driver_machine::{Machine, read_documents};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let documents: Vec<&[u8]> = input.split(|&byte| byte == 0).take(4).collect();
    for documents in [documents.as_slice(), &[input]] {
        let Ok((machine, _)) = read_documents(documents, None) else { continue };
        let json = machine.to_json().expect("what was read can be written");
        assert_eq!(Machine::from_json(&json).expect("and read again"), machine);
        let name = driver_machine::hyperv::windows_name(&machine.name);
        assert_eq!(driver_machine::hyperv::windows_name(&name), name);
    }
});
