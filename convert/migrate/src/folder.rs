//! The output folder: what is written where, and how a run that did not end is told from one that did.

use crate::definition::Definition;
use format_core::{Error, ErrorKind, Result};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// What a run writes. `NAME.unfinished` is there as long as a run is going on, or when one did not come to its end:
/// then whatever else is there is discarded by the next run.
pub(crate) struct Folder<'a> {
    out: &'a Path,
    definition: &'a Definition,
}

/// A run that has begun. Dropping it leaves the mark of an unfinished run.
pub(crate) struct Running {
    mark: File,
    path: PathBuf,
    /// Whether files that exist are replaced: asked for, or left by a run that did not end.
    pub(crate) replace: bool,
}

impl<'a> Folder<'a> {
    pub(crate) fn new(out: &'a Path, definition: &'a Definition) -> Self {
        Self { out, definition }
    }

    fn named(&self, suffix: &str) -> PathBuf {
        self.out.join(format!("{}.{suffix}", self.definition.name))
    }

    pub(crate) fn image(&self, file: &str) -> PathBuf {
        self.out.join(file)
    }

    pub(crate) fn machine(&self) -> PathBuf {
        self.out.join(&self.definition.file_name)
    }

    pub(crate) fn report(&self) -> PathBuf {
        self.named("report.json")
    }

    pub(crate) fn undo(&self) -> PathBuf {
        self.named("undo")
    }

    fn mark(&self) -> PathBuf {
        self.named("unfinished")
    }

    /// The images, the machine's definition and the report.
    pub(crate) fn written_files(&self) -> impl Iterator<Item = PathBuf> {
        self.definition.disk_files.iter().map(|file| self.image(file)).chain([
            self.machine(),
            self.report(),
            self.mark(),
        ])
    }

    /// Makes the folder ready: it exists, no other run is at work in it, and nothing is in the way.
    ///
    /// # Errors
    /// `Destination` when something exists and `replace` is false; `Temporary` while another run is at work.
    pub(crate) fn begin(&self, replace: bool) -> Result<Running> {
        if !self.out.is_dir() {
            std::fs::create_dir(self.out).map_err(|e| {
                destination(format!("cannot create the folder {}", self.out.display()), e)
                    .hint("create the folder above it first, or mount its volume")
            })?;
        }
        let path = self.mark();
        let (mark, left_over) = open_mark(&path)?;
        match mark.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let text = format!("another run is at work on {}", self.definition.name);
                return Err(
                    Error::new(ErrorKind::Temporary, text).hint("wait for it to end, then run this again")
                );
            }
            Err(TryLockError::Error(e)) => {
                return Err(destination(format!("cannot lock {}", path.display()), e));
            }
        }
        let running = Running { mark, path, replace: replace || left_over };
        let taken = self.written_files().chain([self.undo()]).filter(|path| *path != running.path);
        if let Some(path) = taken.filter(|_| !running.replace).find(|path| path.symlink_metadata().is_ok()) {
            running.end()?;
            return Err(Error::new(ErrorKind::Destination, format!("{} already exists", path.display()))
                .hint("choose another --out, or --force to replace it"));
        }
        match self.clear_undo(left_over) {
            Ok(()) => Ok(running),
            // A mark of this run alone says nothing about the files that are there.
            Err(error) if !left_over => running.end().and(Err(error)),
            Err(error) => Err(error),
        }
    }

    /// Takes back what [`Folder::begin`] and the undo copies made, for a run that ends before its first image.
    ///
    /// # Errors
    /// `Destination` when the folder of undo copies cannot be removed.
    pub(crate) fn abandon(&self, running: Running) -> Result<()> {
        self.clear_undo(true)?;
        running.end()
    }

    /// Removes the undo copies of an earlier run, and nothing that only has their name.
    fn clear_undo(&self, left_over: bool) -> Result<()> {
        let undo = self.undo();
        if undo.symlink_metadata().is_err() {
            return Ok(());
        }
        // A run that was killed while it made or removed the folder left a part of it.
        let is_ours = undo.join(crate::undo::LIST).is_file() || (left_over && crate::undo::is_part(&undo));
        if !is_ours {
            let text = format!("{} is not a folder of undo copies", undo.display());
            return Err(
                Error::new(ErrorKind::Destination, text).hint("move it away, or choose another --out")
            );
        }
        std::fs::remove_dir_all(&undo)
            .map_err(|e| destination(format!("cannot replace {}", undo.display()), e))
    }
}

/// The mark, and whether it was there already. A link in its place is not followed.
fn open_mark(path: &Path) -> Result<(File, bool)> {
    let failed = |e| destination(format!("cannot create {}", path.display()), e);
    match File::create_new(path) {
        Ok(file) => Ok((file, false)),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
            if !path.symlink_metadata().map_err(failed)?.is_file() {
                let text = format!("{} exists and is no regular file", path.display());
                return Err(Error::new(ErrorKind::Destination, text));
            }
            let file = File::options().read(true).write(true).open(path).map_err(failed)?;
            Ok((file, true))
        }
        Err(e) => Err(failed(e)),
    }
}

fn destination(what: String, error: std::io::Error) -> Error {
    Error::io(what, error).with_kind(ErrorKind::Destination)
}

impl Running {
    /// Takes the mark away: everything is written.
    ///
    /// # Errors
    /// `Destination` when it cannot be removed.
    pub(crate) fn end(self) -> Result<()> {
        let removed = std::fs::remove_file(&self.path);
        drop(self.mark);
        removed.map_err(|e| destination(format!("cannot remove {}", self.path.display()), e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition() -> Definition {
        Definition {
            text: String::new(),
            file_name: "web.ps1".into(),
            use_it: "",
            name: "vm".into(),
            disk_files: vec!["vm.vhdx".into()],
            warnings: vec![],
        }
    }

    #[test]
    fn what_an_unfinished_run_left_is_replaced_and_nothing_else() {
        let out = tempfile::tempdir().unwrap();
        let (definition, path) = (definition(), out.path());
        let folder = Folder::new(path, &definition);
        let running = folder.begin(false).unwrap();
        assert!(!running.replace);
        assert_eq!(folder.begin(false).err().unwrap().kind(), ErrorKind::Temporary, "one run at a time");
        std::fs::write(path.join("vm.vhdx"), b"half").unwrap();
        std::fs::create_dir(path.join("vm.undo")).unwrap();
        std::fs::create_dir(path.join("vm.undo/files")).unwrap();
        drop(running);
        let running = folder.begin(false).unwrap();
        assert!(running.replace, "the run before did not end");
        assert!(!path.join("vm.undo").exists());
        running.end().unwrap();
        assert_eq!(folder.begin(false).err().unwrap().kind(), ErrorKind::Destination, "vm.vhdx is finished");
        assert!(!path.join("vm.unfinished").exists(), "a refused run leaves no mark");
        folder.begin(true).unwrap().end().unwrap();
    }

    #[test]
    fn a_folder_that_only_has_the_name_of_undo_copies_is_kept() {
        let out = tempfile::tempdir().unwrap();
        let definition = definition();
        std::fs::create_dir(out.path().join("vm.undo")).unwrap();
        std::fs::write(out.path().join("vm.undo/precious"), b"x").unwrap();
        let folder = Folder::new(out.path(), &definition);
        for replace in [true, false, true] {
            assert_eq!(folder.begin(replace).err().unwrap().kind(), ErrorKind::Destination);
            assert!(out.path().join("vm.undo/precious").exists());
        }
        assert!(!out.path().join("vm.unfinished").exists());
    }
}
