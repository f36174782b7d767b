//! Backups, packages and compressed images as sources; other programs made them.

mod compressed;
mod machines;
mod whole;
