//! One attack: its files, and what is tried on them.

use crate::names::{self, Canary};
use std::io;
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;

/// Zeros of this many bytes are left out of files: a hole reads the same.
const HOLE: usize = 4096;

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
    /// A named pipe that nobody writes into.
    Pipe,
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        let len = bytes.len() as u64;
        let mut parts: Vec<(u64, Vec<u8>)> = Vec::new();
        for (at, piece) in (0..).step_by(HOLE).zip(bytes.chunks(HOLE)) {
            match parts.last_mut() {
                _ if piece.iter().all(|byte| *byte == 0) => {}
                Some((start, part)) if *start + part.len() as u64 == at => part.extend(piece),
                _ => parts.push((at, piece.to_vec())),
            }
        }
        Self::Sparse { len, parts }
    }
}

impl From<&[u8]> for Content {
    fn from(bytes: &[u8]) -> Self {
        bytes.to_vec().into()
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        text.as_bytes().into()
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        text.into_bytes().into()
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

    /// The same, with other codes that are right.
    #[must_use]
    pub fn or(mut self, codes: &[u8]) -> Self {
        self.codes.extend(codes);
        self.codes.sort_unstable();
        self.codes.dedup();
        self
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
    /// A case without files.
    #[must_use]
    pub fn new(name: &str, about: &str) -> Self {
        Self { name: name.into(), about: about.into(), files: Vec::new(), runs: Vec::new() }
    }

    /// The same with one more file.
    #[must_use]
    pub fn file(mut self, name: &str, content: impl Into<Content>) -> Self {
        self.files.push((name.into(), content.into()));
        self
    }

    /// The same with one more run.
    #[must_use]
    pub fn run(mut self, args: &[&str], codes: &[u8]) -> Self {
        self.runs.push(Run::new(args, codes));
        self
    }

    /// The same with one more run, which must say this.
    #[must_use]
    pub fn run_saying(mut self, args: &[&str], codes: &[u8], text: &'static str) -> Self {
        self.runs.push(Run::new(args, codes).saying(text));
        self
    }

    /// Whatever opens the image, it is refused so.
    #[must_use]
    pub fn refused(self, image: &str, code: u8, says: &'static str) -> Self {
        self.run_saying(&["inspect", image], &[code], says)
            .run_saying(&["info", image], &[code], says)
            .run_saying(&["check", image], &[code], says)
            .run_saying(&["convert", image, "out.raw"], &[code], says)
    }

    /// The image opens, but what it holds cannot be read; a check says so.
    #[must_use]
    pub fn damaged(self, image: &str, says: &'static str) -> Self {
        self.run(&["info", image], &[0]).run(&["check", image], &[1]).run_saying(
            &["convert", image, "out.raw"],
            &[65],
            says,
        )
    }

    /// The image opens and a check finds nothing, but what it holds cannot be read.
    #[must_use]
    pub fn unreadable(self, image: &str, says: &'static str) -> Self {
        self.run(&["info", image], &[0]).run(&["check", image], &[0]).run_saying(
            &["convert", image, "out.raw"],
            &[65],
            says,
        )
    }

    /// The image is read as if the broken part were not there, because the disk does not need it; a check says so.
    #[must_use]
    pub fn noticed(self, image: &str) -> Self {
        self.run(&["inspect", image], &[0])
            .run(&["info", image], &[0])
            .run(&["check", image], &[1])
            .run(&["convert", image, "out.raw"], &[0])
    }

    /// The image does not open; a check tells what else is wrong with it.
    #[must_use]
    pub fn unopened(self, image: &str) -> Self {
        self.run(&["inspect", image], &[65])
            .run(&["info", image], &[65])
            .run(&["check", image], &[1])
            .run(&["convert", image, "out.raw"], &[65])
    }

    /// Writes its files into a folder, which is made, and the canary beside it.
    ///
    /// In names, links and contents [`names::CANARY`] stands for the absolute path of that file, and the characters of
    /// [`names::byte`] for bytes that are no text.
    ///
    /// # Errors
    /// As the system says.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let canary = Canary::beside(folder)?;
        for (name, content) in &self.files {
            let path = folder.join(names::os(name));
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            match content {
                Content::Sparse { len, parts } => {
                    let file = std::fs::File::create(&path)?;
                    file.set_len(*len)?;
                    for (offset, bytes) in parts {
                        file.write_all_at(&canary.fill(bytes), *offset)?;
                    }
                }
                Content::Link(target) => symlink(names::os(&canary.fill_text(target)), &path)?,
                Content::Pipe => rustix::fs::mknodat(
                    rustix::fs::CWD,
                    &path,
                    rustix::fs::FileType::Fifo,
                    rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
                    0,
                )?,
                Content::Folder => std::fs::create_dir_all(&path)?,
            }
        }
        Ok(())
    }
}
