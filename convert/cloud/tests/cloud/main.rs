//! Remote objects and cloud disks, against servers that are strict, hostile, or other people's.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod azure;
mod ebs;
mod emulators;
mod hostile;
mod http;
mod s3;
mod tls;

use convert_cloud::{CloudOptions, Environment, TimeLimits};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use test_cloud_servers::{signed, stub};

/// Short limits, and no variable of the process.
fn options() -> CloudOptions {
    CloudOptions {
        limits: quick(),
        environment: Environment::only::<String, String>([]),
        ..CloudOptions::default()
    }
}

fn quick() -> TimeLimits {
    TimeLimits {
        connect: Duration::from_secs(5),
        headers: Duration::from_secs(3),
        idle: Duration::from_millis(500),
        bytes_per_second: 1 << 20,
        attempts: 3,
        pause: Duration::from_millis(5),
        longest_pause: Duration::from_secs(2),
    }
}

/// A file with a secret, as it has to be.
fn secret(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("secret");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}
