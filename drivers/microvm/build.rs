//! Builds the program that the micro-VM runs: statically, small, and in a target folder of its own, so that the flags of this build
//! (coverage, lints, profiles) do not reach it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What the host's own build may be changed with.
const CLEARED: [&str; 9] = [
    "CARGO_TARGET_DIR",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS",
    "RUSTFLAGS",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "CARGO_MAKEFLAGS",
];

fn main() {
    let folder = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let init = folder.with_file_name("microvm_init");
    println!("cargo::rerun-if-changed=build.rs");
    for input in [init.join("src"), init.join("Cargo.toml"), folder.join("../../Cargo.lock")] {
        println!("cargo::rerun-if-changed={}", input.display());
    }
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    match build(&init, &out) {
        Ok(program) => println!("cargo::rustc-env=MICROVM_INIT={}", program.display()),
        Err(error) => println!("cargo::error=the program of the micro-VM: {error}"),
    }
}

fn build(init: &Path, out: &Path) -> Result<PathBuf, String> {
    // A host that is no x86_64 refuses to start a VM; there is nothing to build for it.
    if std::env::var("CARGO_CFG_TARGET_ARCH").as_deref() != Ok("x86_64") {
        let empty = out.join("no-init");
        std::fs::write(&empty, b"").map_err(|error| error.to_string())?;
        return Ok(empty);
    }
    let target = "x86_64-unknown-linux-gnu";
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(init).args(["build", "--quiet", "--release", "--offline", "--locked"]);
    cargo.args(["--bin", "microvm-init", "--target", target, "--target-dir"]).arg(out.join("init"));
    for name in CLEARED {
        cargo.env_remove(name);
    }
    cargo.env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static\x1f-Crelocation-model=static");
    for (name, value) in [
        ("OPT_LEVEL", "s"),
        ("LTO", "true"),
        ("CODEGEN_UNITS", "1"),
        ("PANIC", "abort"),
        ("STRIP", "symbols"),
        ("DEBUG", "false"),
    ] {
        cargo.env(format!("CARGO_PROFILE_RELEASE_{name}"), value);
    }
    let output = cargo.output().map_err(|error| format!("cargo cannot be started: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).replace('\n', " / "));
    }
    Ok(out.join("init").join(target).join("release/microvm-init"))
}
