//! Initramfs images: listing, planning what to append, and nothing left to plan afterwards.
#![no_main]

use driver_initramfs::cpio;
use driver_initramfs::{Limits, Listing, ModuleSource, Plan, Request, plan};
use libfuzzer_sys::fuzz_target;
use std::io;

const VERSION: &str = "6.1.0-28-amd64";

/// A kernel with two modules, one of which needs the other.
struct Modules;

impl ModuleSource for Modules {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        match path {
            "modules.dep" => Ok(b"kernel/hv_vmbus.ko:\nkernel/hv_storvsc.ko: kernel/hv_vmbus.ko\n".to_vec()),
            "modules.builtin" => Ok(b"kernel/sd_mod.ko\n".to_vec()),
            "kernel/hv_vmbus.ko" | "kernel/hv_storvsc.ko" => Ok(b"\x7fELF".to_vec()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// An archive as a distribution makes it, without and with one of the modules.
fn seeds() -> Vec<(String, Vec<u8>)> {
    let seed = |modules: &[&str]| {
        let mut writer = cpio::Writer::new(1);
        let root = format!("lib/modules/{VERSION}");
        for folder in ["lib", "lib/modules", &root, "conf"] {
            writer.directory(folder).expect("a plain name");
        }
        writer.file("conf/initramfs.conf", b"MODULES=most\n").expect("a plain name");
        for module in modules {
            writer.file(&format!("{root}/{module}.ko"), b"\x7fELF").expect("a plain name");
        }
        writer.symlink("bin", "usr/bin").expect("a plain name");
        writer.finish().expect("in memory")
    };
    vec![("plain".into(), seed(&[])), ("module".into(), seed(&["hv_vmbus", "ext4"]))]
}

fuzz_target!(init: fuzz::write_seeds(seeds), |image: &[u8]| {
    let limits = Limits { unpacked: 4 << 20, entries: 5_000, name_bytes: 1 << 20, dictionary: 8 << 20, ..Limits::default() };
    let Ok(listing) = Listing::from_image(image, &limits) else { return };
    let request = Request { version: VERSION, wanted: &["hv_storvsc", "sd_mod"], load_early: &["hv_vmbus"], files: &[] };
    let Ok(outcome) = plan(image, &listing, &Modules, &request) else { return };
    let changed = outcome.plan.into_image(image.to_vec());
    let listing = Listing::from_image(changed.as_slice(), &Limits::default()).expect("our own image is readable");
    let again = plan(&changed, &listing, &Modules, &request).expect("our own image can be planned");
    assert_eq!(again.plan, Plan::Nothing, "a second plan is empty");
});
