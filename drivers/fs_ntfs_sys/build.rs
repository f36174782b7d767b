//! Compiles the shim against the installed headers and links libntfs-3g statically, so that the binary runs on
//! machines without ntfs-3g.

use std::process::Command;

/// What the library's headers ask a configuration script for; without the answers they make up their own `timespec`.
const HEADERS: [&str; 15] = [
    "HAVE_BYTESWAP_H",
    "HAVE_CLOCK_GETTIME",
    "HAVE_DAEMON",
    "HAVE_ENDIAN_H",
    "HAVE_FFS",
    "HAVE_GETTIMEOFDAY",
    "HAVE_STDARG_H",
    "HAVE_STDDEF_H",
    "HAVE_STDINT_H",
    "HAVE_STDIO_H",
    "HAVE_STRSEP",
    "HAVE_SYS_PARAM_H",
    "HAVE_SYS_STAT_H",
    "HAVE_SYS_TYPES_H",
    "HAVE_TIME_H",
];

fn main() {
    println!("cargo::rerun-if-changed=shim");
    println!("cargo::rerun-if-changed=build.rs");
    let Some(folder) = pkg_config(&["--variable=libdir", "libntfs-3g"]) else {
        println!("cargo::error=libntfs-3g is missing: install ntfs-3g-dev and pkg-config");
        return;
    };
    let mut build = cc::Build::new();
    for flag in pkg_config(&["--cflags-only-I", "libntfs-3g"]).unwrap_or_default().split_whitespace() {
        build.flag(flag);
    }
    for name in HEADERS {
        build.define(name, "1");
    }
    build
        .files(["shim/device.c", "shim/read.c", "shim/edit.c"])
        .std("gnu11")
        .warnings(true)
        .compile("rehome_ntfs3g_shim");
    println!("cargo::rustc-link-search=native={folder}");
    println!("cargo::rustc-link-lib=static=ntfs-3g");
}

fn pkg_config(arguments: &[&str]) -> Option<String> {
    let output = Command::new("pkg-config").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
