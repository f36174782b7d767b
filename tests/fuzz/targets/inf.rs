//! INF files: whatever a text says, what it declares stays within bounds, and reading it again gives the same.
#![no_main]

#[path = "../../../drivers/inf/tests/maker/mod.rs"]
mod maker;

use driver_inf::{Arch, parse};
use fuzz::write_seeds;
use libfuzzer_sys::fuzz_target;

fn seeds() -> Vec<(String, Vec<u8>)> {
    let text = maker::viostor("NTamd64.10.0", "07/21/2023,100.93.104.24000");
    let utf16 = "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    vec![("storage".into(), text.into_bytes()), ("utf16".into(), utf16), ("net".into(), maker::NIC.into())]
}

fuzz_target!(init: write_seeds(seeds), |input: &[u8]| {
    let Ok(inf) = parse(input) else { return };
    for (guest, arch) in [
        (maker::SERVER_2019, Arch::Amd64),
        (maker::windows(6, 1, 7601, false), Arch::X86),
        (maker::WINDOWS_11, Arch::Arm64),
    ] {
        let Ok(Some(package)) = inf.package(&guest, arch) else { continue };
        assert!(!package.devices.is_empty());
        for device in &package.devices {
            assert!(!device.hardware_id.is_empty());
            // Without a service of its own it is one of Windows, which no INF here adds.
            let Some(name) = &device.service else { continue };
            assert!(package.service(name).is_some(), "{name}");
        }
        for service in &package.services {
            assert!(!service.binary.contains(['\\', '/']));
        }
        assert!(package.notes.len() <= 32);
        assert_eq!(inf.package(&guest, arch).ok().flatten().as_ref(), Some(&package));
    }
});
