//! Clouds on the loopback for tests: each keeps the rules that its documents write down, and breaks them where a test says so.
//!
//! Other people's emulators are kinder than the services: moto takes any checksum, any count of blocks, and says that blocks have
//! 512 bytes. Here a request that is not as the documents want it ends the conversation with a panic, and the test with it: every
//! later look at the server fails as well. Requests to Amazon have to be signed with [`signed::KEY`].

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test support: what fails here fails the test that asked"
)]

pub mod ebs;
pub mod page_blobs;
pub mod s3;
pub mod signed;
pub mod stub;
