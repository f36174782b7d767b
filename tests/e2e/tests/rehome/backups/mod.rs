//! Backups, packages and compressed images as sources; other programs made them.

mod compressed;
mod evidence;
mod machines;
mod whole;
