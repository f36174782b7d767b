//! What an operator sees of rehome: arguments in; files, output and exit codes out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod archive;
mod backups;
mod bench;
mod boot_test;
mod chains;
mod compare;
mod consolidate;
mod convert;
mod diff;
mod differences;
mod doctor;
mod editor;
mod errors;
mod guest;
mod hashes;
mod hostile;
mod images;
mod interrupted;
mod layouts;
mod look;
mod migrate;
mod operator;
mod output;
mod places;
mod reflinks;
mod rescue;
mod serve;
mod several;
mod sync;
mod verify;
mod windows;
mod wishes;
mod xfs;
