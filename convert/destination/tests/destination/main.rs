//! Destinations for real: volumes on loop devices, network interfaces, processes that hold them. Each test runs in mount and network
//! namespaces of its own, so nothing of it is seen outside and nothing stays, however it ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bench;
mod drift;
mod eject;
mod killed;
mod marker;
mod network;
mod refused;
mod rule;
mod unmount;
