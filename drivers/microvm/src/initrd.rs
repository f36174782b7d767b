//! What the VM's kernel starts from: one program, and the modules that reach the host.

use crate::modules::{BOOT, Modules};
use driver_initramfs::cpio::Writer;
use format_core::{Error, ErrorKind, Result};
use std::collections::BTreeSet;

/// The VM's program, built by this crate's build script.
static INIT: &[u8] = include_bytes!(env!("MICROVM_INIT"));

/// The archive, and the names of the modules that are in it.
pub(crate) fn build(modules: &Modules) -> Result<(Vec<u8>, BTreeSet<String>)> {
    if let Some(missing) = BOOT.iter().find(|name| !modules.has(name)) {
        let text = format!("the kernel for the micro-VM has no {missing}");
        return Err(Error::needs_person(text).hint("name another kernel"));
    }
    let mut archive = Writer::new(0);
    let mut order = String::new();
    let mut names = BTreeSet::new();
    put(archive.program("init", INIT))?;
    put(archive.directory("modules"))?;
    for module in modules.needed(&BOOT) {
        let bytes = modules.read(&module)?;
        order.push_str(&module.name);
        order.push('\n');
        put(archive.file(&format!("modules/{}", module.name), &bytes))?;
        names.insert(module.name);
    }
    put(archive.file("modules/order", order.as_bytes()))?;
    Ok((put(archive.finish())?, names))
}

fn put<T>(done: driver_initramfs::Result<T>) -> Result<T> {
    done.map_err(|error| Error::new(ErrorKind::Limit, format!("the micro-VM's initrd: {error}")))
}
