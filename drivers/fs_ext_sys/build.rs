//! Compiles the shim against the installed headers and links libext2fs statically, so that the binary runs on
//! machines without e2fsprogs.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=shim");
    println!("cargo::rerun-if-changed=build.rs");
    let Some(folder) = pkg_config_libdir() else {
        println!("cargo::error=libext2fs is missing: install libext2fs-dev, comerr-dev and pkg-config");
        return;
    };
    cc::Build::new()
        .files(["shim/shim.c", "shim/damage.c", "shim/owners.c"])
        .std("gnu11")
        .warnings(true)
        .compile("rehome_ext2fs_shim");
    println!("cargo::rustc-link-search=native={folder}");
    println!("cargo::rustc-link-lib=static=ext2fs");
    println!("cargo::rustc-link-lib=static=com_err");
}

fn pkg_config_libdir() -> Option<String> {
    let output = Command::new("pkg-config").args(["--variable=libdir", "ext2fs"]).output().ok()?;
    let folder = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !folder.is_empty()).then_some(folder)
}
