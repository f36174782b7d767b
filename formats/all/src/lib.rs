//! The one list of all formats.
