//! One attack: its files, and what is tried on them.

use std::io;
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;

/// What a name in a case's folder is.
#[derive(Clone, Debug)]
pub enum Content {
    /// A file of `len` bytes with data at some offsets and holes elsewhere.
    Sparse {
        /// Its length in bytes.
        len: u64,
        /// Offset and bytes.
        parts: Vec<(u64, Vec<u8>)>,
    },
    /// A symbolic link.
    Link(String),
    /// An empty folder.
    Folder,
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Sparse { len: bytes.len() as u64, parts: vec![(0, bytes)] }
    }
}

/// A run of rehome in the case's folder.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its arguments, such as `inspect a.qcow2`; what it writes has names that begin with `out`.
    pub args: Vec<String>,
    /// The exit codes that are right.
    pub codes: Vec<u8>,
    /// Must stand in what it prints, where it matters how the attack is called.
    pub says: Option<&'static str>,
}

impl Run {
    /// A run that must end with one of the codes.
    #[must_use]
    pub fn new(args: &[&str], codes: &[u8]) -> Self {
        Self { args: args.iter().map(ToString::to_string).collect(), codes: codes.to_vec(), says: None }
    }

    /// The same, and it must say this.
    #[must_use]
    pub fn saying(self, text: &'static str) -> Self {
        Self { says: Some(text), ..self }
    }
}

/// An attack.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name, which is also that of its folder: `qcow2/l1-outside`.
    pub name: String,
    /// What it attacks, in a sentence; with the CVE where it was one.
    pub about: String,
    /// Its files, by their names relative to its folder, parents first.
    pub files: Vec<(String, Content)>,
    /// What is tried.
    pub runs: Vec<Run>,
}

impl Case {
    /// Writes its files into a folder, which is made.
    ///
    /// # Errors
    /// As the system says.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        std::fs::create_dir_all(folder)?;
        for (name, content) in &self.files {
            let path = folder.join(name);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            match content {
                Content::Sparse { len, parts } => {
                    let file = std::fs::File::create(&path)?;
                    file.set_len(*len)?;
                    for (offset, bytes) in parts {
                        file.write_all_at(bytes, *offset)?;
                    }
                }
                Content::Link(target) => symlink(target, &path)?,
                Content::Folder => std::fs::create_dir_all(&path)?,
            }
        }
        Ok(())
    }
}
