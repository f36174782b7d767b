//! Image formats that are recognised by name or magic and cannot be read.
