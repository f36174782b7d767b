//! Parallels disks that lie, that are cut, that are put together by hand, and that qemu-img made.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod broken;
mod builder;
mod descriptors;
mod folders;
mod hostile;
mod interop;
mod model;
