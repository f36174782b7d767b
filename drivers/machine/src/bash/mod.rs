//! Scripts for bash: quoting, and what every one of them begins with.
//!
//! As with Hyper-V's script, the program text is constant and only a block of data differs, in which every value is a
//! number, a word of ours or a single-quoted literal. A foreign value never stands in a comment.

use crate::{Disk, DiskFile};

/// Functions that every script has.
const FUNCTIONS: &str = include_str!("functions.sh");

/// A bash word whose value is exactly `text`: nothing is expanded between single quotes, and only one ends them.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The block of data of a script.
#[derive(Default)]
pub(crate) struct Data {
    text: String,
}

impl Data {
    /// A variable with a text.
    pub(crate) fn text(&mut self, name: &str, value: &str) {
        self.text.push_str(&format!("{name}={}\n", quoted(value)));
    }

    /// An array, a value a line.
    pub(crate) fn list<T: AsRef<str>>(&mut self, name: &str, values: impl IntoIterator<Item = T>) {
        self.text.push_str(&format!("{name}=(\n"));
        for value in values {
            self.text.push_str(&format!("    {}\n", quoted(value.as_ref())));
        }
        self.text.push_str(")\n");
    }

    /// The files of the disks, boot disk first. `length` is a file's length in bytes where the format tells it.
    pub(crate) fn disks(&mut self, disks: &[(&Disk, &DiskFile)], length: fn(&DiskFile) -> Option<u64>) {
        self.list("DISK_FILES", disks.iter().map(|(_, file)| &file.file));
        self.list("DISK_MANIFESTS", disks.iter().map(|(_, file)| &file.manifest));
        let lengths =
            disks.iter().map(|(_, file)| length(file).map(|bytes| bytes.to_string()).unwrap_or_default());
        self.list("DISK_LENGTHS", lengths);
    }

    /// The whole script: what the operator fills in, the data, the functions, the body.
    pub(crate) fn script(self, head: &str, body: &str) -> String {
        [
            head,
            "\n# ---- The machine. Every value is a single-quoted literal. ----\n",
            &self.text,
            FUNCTIONS,
            body,
        ]
        .concat()
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn only_a_quote_needs_care() {
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's $(x) `y` \\ \"z\" !"), r#"'it'\''s $(x) `y` \ "z" !'"#);
        assert_eq!(quoted(""), "''");
    }
}
