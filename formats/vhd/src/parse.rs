//! Bytes to trusted types: every check of the structures is below here, and nothing here does I/O.

mod footer;
mod header;
mod locator;

pub(crate) use footer::{DiskType, Found, find_footer, probe};
pub(crate) use header::{Area, Dynamic, parse_header};
pub(crate) use locator::{locators, names};
