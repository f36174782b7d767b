//! The output folder: what is written where, and how a run that did not end is told from one that did.

use crate::definition::Definition;
use convert_engine::{BLOCKS_SUFFIX, MANIFEST_SUFFIX};
use format_core::{Error, ErrorKind, Fence, FileTarget, Result, codes};
use rustix::fs::OFlags;
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What a run writes. `NAME.unfinished` is there as long as a run is going on, or when one did not come to its end. It lists
/// the run's files: the next run discards those, and nothing else.
pub(crate) struct Folder<'a> {
    out: &'a Path,
    definition: &'a Definition,
}

/// No machine has so many disks that the list of its files is longer, in bytes.
const MARK_LIMIT: u64 = 1 << 20;

/// A run that has begun. Dropping it leaves the mark of an unfinished run.
pub(crate) struct Running {
    mark: File,
    path: PathBuf,
    /// An earlier run did not come to its end.
    left_over: bool,
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

    /// The file that takes up all the others.
    pub(crate) fn package(&self) -> Option<PathBuf> {
        self.definition.package.as_ref().map(|package| self.out.join(package))
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
        let images = self.definition.disk_files.iter().map(|file| self.image(file));
        images.chain(self.package()).chain([self.machine(), self.report(), self.mark()])
    }

    /// Makes the folder ready: it exists, no other run is at work in it, and nothing is in the way. `inputs` are the device and inode
    /// numbers of all files that are read: none of them is discarded, whoever lists it.
    ///
    /// # Errors
    /// `Destination` when something exists and `replace` is false; `Temporary` while another run is at work.
    pub(crate) fn begin(&self, replace: bool, inputs: &[(u64, u64)]) -> Result<Running> {
        if !self.out.is_dir() {
            std::fs::create_dir(self.out).map_err(|e| {
                destination(format!("cannot create the folder {}", self.out.display()), e)
                    .hint("create the folder above it first, or mount its volume")
            })?;
        }
        let path = self.mark();
        if Fence::of_process()?.is_some_and(Fence::is_fresh) {
            take_from_others(&path)?;
        }
        let (mark, left_over) = open_mark(&path)?;
        match mark.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let text = format!("another run is at work on {}", self.definition.name);
                return Err(Error::new(ErrorKind::Temporary, text)
                    .with_code(&codes::DESTINATION_LOCKED)
                    .hint("wait for it to end, then run this again"));
            }
            Err(TryLockError::Error(e)) => {
                return Err(destination(format!("cannot lock {}", path.display()), e));
            }
        }
        let mut running = Running { mark, path, left_over, replace: replace || left_over };
        match self.take_over(&mut running, replace, inputs) {
            Ok(()) => Ok(running),
            // A mark of this run alone says nothing about the files that are there.
            Err(error) if !left_over => running.end().and(Err(error)),
            Err(error) => Err(error),
        }
    }

    /// Looks at what is there, discards what a run that did not end left, and lists this run's files in the mark.
    fn take_over(&self, running: &mut Running, replace: bool, inputs: &[(u64, u64)]) -> Result<()> {
        let listed = running.listed()?;
        let own: Vec<PathBuf> =
            self.written_files().chain([self.undo()]).filter(|path| *path != running.path).collect();
        let is_listed = |path: &Path| listed.iter().any(|name| path.file_name() == Some(name.as_ref()));
        let is_there = |path: &PathBuf| path.symlink_metadata().is_ok();
        if let Some(path) = own.iter().find(|path| !replace && is_there(path) && !is_listed(path)) {
            return Err(Error::new(ErrorKind::Destination, format!("{} already exists", path.display()))
                .with_code(&codes::DESTINATION_EXISTS)
                .hint("choose another --out, or --force to replace it"));
        }
        // Those of a run to another target: whole or not, nobody has proven them.
        let strays: Vec<PathBuf> =
            listed.iter().map(|name| self.out.join(name)).filter(|path| !own.contains(path)).collect();
        if let Some(path) = strays.iter().find(|path| !replace && is_there(path)) {
            let text = format!("{} was left by a migration that did not come to its end", path.display());
            return Err(Error::new(ErrorKind::Destination, text).hint(
                "run that migration again, or remove the file, or choose another --out; --force removes it",
            ));
        }
        let beside = [".partial.journal", ".partial", MANIFEST_SUFFIX, BLOCKS_SUFFIX];
        let all = strays
            .into_iter()
            .flat_map(|path| beside.map(|suffix| with_suffix(&path, suffix)).into_iter().chain([path]));
        let all: Vec<PathBuf> = all.collect();
        let id = |path: &PathBuf| path.metadata().ok().map(|found| (found.dev(), found.ino()));
        if let Some(path) = all.iter().find(|path| id(path).is_some_and(|id| inputs.contains(&id))) {
            let text = format!("{} was left by another migration, and is read by this one", path.display());
            return Err(
                Error::usage(text).hint("choose another --out, or move the file out of the folder first")
            );
        }
        all.iter().try_for_each(|path| remove_if_there(path))?;
        self.clear_undo(running.left_over)?;
        running.list(&own)
    }

    /// Takes back what [`Folder::begin`] and the undo copies made, for a run that ends before its first image.
    ///
    /// # Errors
    /// `Destination` when the folder of undo copies cannot be removed.
    pub(crate) fn abandon(&self, running: Running) -> Result<()> {
        Fence::of_process()?.map_or(Ok(()), Fence::check)?;
        self.clear_undo(true)?;
        // What an earlier run left is still there.
        if running.left_over { Ok(()) } else { running.end() }
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

/// Puts a copy in the mark's place: a run that was not known to be dead holds the lock of the file that is there. It looks at
/// its lease before it gives files their names, and before it removes the mark.
fn take_from_others(path: &Path) -> Result<()> {
    let failed = |e| destination(format!("cannot take over {}", path.display()), e);
    let bytes = match path.symlink_metadata() {
        Ok(found) if found.is_file() && found.len() <= MARK_LIMIT => std::fs::read(path).map_err(failed)?,
        // What it is, the next step says.
        _ => return Ok(()),
    };
    let copy = with_suffix(path, ".taken");
    remove_if_there(&copy)?;
    let written = File::create_new(&copy).and_then(|mut file| file.write_all(&bytes));
    written.and_then(|()| std::fs::rename(&copy, path)).map_err(failed)
}

/// The mark, and whether it was there already. A link in its place is not followed.
fn open_mark(path: &Path) -> Result<(File, bool)> {
    let failed = |e| destination(format!("cannot create {}", path.display()), e);
    match File::create_new(path) {
        Ok(file) => Ok((file, false)),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
            let refused = |what: &str| {
                let text = format!("{} exists and {what}", path.display());
                Err(Error::new(ErrorKind::Destination, text).hint("look who put it there, and move it away"))
            };
            if !path.symlink_metadata().map_err(failed)?.is_file() {
                return refused("is no regular file");
            }
            let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
            let file =
                File::options().read(true).write(true).custom_flags(flags).open(path).map_err(failed)?;
            let found = file.metadata().map_err(failed)?;
            if !found.is_file() || found.nlink() > 1 {
                return refused("has other names (hard links), whose content would change too");
            }
            if !FileTarget::is_own(&found, path) {
                return refused(
                    "is another user's, or everybody may write it: what it lists would be discarded",
                );
            }
            Ok((file, true))
        }
        Err(e) => Err(failed(e)),
    }
}

/// A file beside an image: what it is called while it is written, and its manifest.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn remove_if_there(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(destination(format!("cannot remove {}", path.display()), e))
        }
        _ => Ok(()),
    }
}

fn destination(what: String, error: std::io::Error) -> Error {
    Error::io(what, error).with_kind(ErrorKind::Destination)
}

impl Running {
    /// The names of the files that the run which made the mark writes. A mark that was never written lists none.
    fn listed(&mut self) -> Result<Vec<String>> {
        let mut text = String::new();
        let read = (&self.mark).take(MARK_LIMIT).read_to_string(&mut text);
        read.map_err(|e| destination(format!("cannot read {}", self.path.display()), e))?;
        let names: Vec<String> = serde_json::from_str(&text).unwrap_or_default();
        // It could have been written by anybody.
        Ok(names.into_iter().filter(|name| Path::new(name).file_name() == Some(name.as_ref())).collect())
    }

    fn list(&mut self, paths: &[PathBuf]) -> Result<()> {
        let names: Vec<_> = paths.iter().filter_map(|path| path.file_name()?.to_str()).collect();
        let text = serde_json::to_string(&names).map_err(|e| Error::contract(e.to_string()))?;
        self.mark
            .set_len(0)
            .and_then(|()| self.mark.rewind())
            .and_then(|()| self.mark.write_all(text.as_bytes()))
            .and_then(|()| self.mark.sync_all())
            .map_err(|e| destination(format!("cannot write {}", self.path.display()), e))
    }

    /// Takes the mark away: everything is written.
    ///
    /// # Errors
    /// `Destination` when it cannot be removed; `Temporary` when another run has taken over, whose mark it is then.
    pub(crate) fn end(self) -> Result<()> {
        Fence::of_process()?.map_or(Ok(()), Fence::check)?;
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
            package: None,
            disk_files: vec!["vm.vhdx".into()],
            warnings: vec![],
        }
    }

    #[test]
    fn what_an_unfinished_run_left_is_replaced_and_nothing_else() {
        let out = tempfile::tempdir().unwrap();
        let (definition, path) = (definition(), out.path());
        let folder = Folder::new(path, &definition);
        let running = folder.begin(false, &[]).unwrap();
        assert!(!running.replace);
        assert_eq!(folder.begin(false, &[]).err().unwrap().kind(), ErrorKind::Temporary, "one run at a time");
        std::fs::write(path.join("vm.vhdx"), b"half").unwrap();
        std::fs::create_dir(path.join("vm.undo")).unwrap();
        std::fs::create_dir(path.join("vm.undo/files")).unwrap();
        drop(running);
        let running = folder.begin(false, &[]).unwrap();
        assert!(running.replace, "the run before did not end");
        assert!(!path.join("vm.undo").exists());
        running.end().unwrap();
        assert_eq!(
            folder.begin(false, &[]).err().unwrap().kind(),
            ErrorKind::Destination,
            "vm.vhdx is finished"
        );
        assert!(!path.join("vm.unfinished").exists(), "a refused run leaves no mark");
        folder.begin(true, &[]).unwrap().end().unwrap();
    }

    #[test]
    fn what_is_read_is_never_discarded() {
        let out = tempfile::tempdir().unwrap();
        let (definition, path) = (definition(), out.path());
        let folder = Folder::new(path, &definition);
        std::fs::write(path.join("server.vmdk"), b"the only copy").unwrap();
        std::fs::write(folder.mark(), br#"["server.vmdk"]"#).unwrap();
        let found = path.join("server.vmdk").metadata().unwrap();
        let error = folder.begin(true, &[(found.dev(), found.ino())]).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(path.join("server.vmdk").exists());
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(folder.mark(), std::fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(folder.begin(true, &[]).err().unwrap().kind(), ErrorKind::Destination, "anybody wrote it");
        std::fs::set_permissions(folder.mark(), std::fs::Permissions::from_mode(0o644)).unwrap();
        folder.begin(true, &[]).unwrap().end().unwrap();
        assert!(!path.join("server.vmdk").exists(), "it was a run's own");
    }

    #[test]
    fn the_mark_of_a_run_that_may_live_is_taken_over_by_a_copy() {
        let out = tempfile::tempdir().unwrap();
        let (definition, path) = (definition(), out.path());
        let folder = Folder::new(path, &definition);
        let stopped = folder.begin(false, &[]).unwrap();
        std::fs::write(path.join("vm.vhdx"), b"half").unwrap();
        take_from_others(&folder.mark()).unwrap();
        let running = folder.begin(false, &[]).unwrap();
        assert!(running.replace, "it lists the files of the run that was stopped");
        running.end().unwrap();
        drop(stopped);
        take_from_others(&folder.mark()).unwrap();
        assert_eq!(std::fs::read_dir(path).unwrap().count(), 1, "nothing but the image");
    }

    #[test]
    fn files_of_others_and_of_runs_to_other_targets_are_not_discarded() {
        let out = tempfile::tempdir().unwrap();
        let path = out.path();
        let first = definition();
        let second =
            Definition { disk_files: vec!["vm.vmdk".into()], file_name: "vm.vmx".into(), ..definition() };
        std::fs::write(path.join("vm.vmdk"), b"the only backup").unwrap();
        drop(Folder::new(path, &first).begin(false, &[]).unwrap());
        std::fs::write(path.join("vm.vhdx.partial"), b"half").unwrap();
        let folder = Folder::new(path, &second);
        assert_eq!(
            folder.begin(false, &[]).err().unwrap().kind(),
            ErrorKind::Destination,
            "nobody listed vm.vmdk"
        );
        assert!(path.join("vm.unfinished").exists(), "the first run is unfinished still");
        std::fs::remove_file(path.join("vm.vmdk")).unwrap();
        std::fs::write(path.join("vm.vhdx"), b"not proven").unwrap();
        std::fs::write(path.join("vm.vhdx.rehome.json"), b"{}").unwrap();
        let error = folder.begin(false, &[]).err().unwrap();
        assert!(error.to_string().contains("vm.vhdx was left by a migration"), "{error}");
        let running = folder.begin(true, &[]).unwrap();
        for left in ["vm.vhdx", "vm.vhdx.partial", "vm.vhdx.rehome.json"] {
            assert!(!path.join(left).exists(), "{left}");
        }
        drop(running);
        // A mark that names what lies elsewhere, or nothing.
        std::fs::write(path.join("precious"), b"x").unwrap();
        std::fs::create_dir(path.join("out")).unwrap();
        for mark in ["[\"../precious\"]", "[\"..\",\"/etc/passwd\"]", "", "{"] {
            std::fs::write(path.join("out/vm.unfinished"), mark).unwrap();
            drop(Folder::new(&path.join("out"), &second).begin(true, &[]).unwrap());
            assert!(path.join("precious").exists());
        }
    }

    #[test]
    fn a_folder_that_only_has_the_name_of_undo_copies_is_kept() {
        let out = tempfile::tempdir().unwrap();
        let definition = definition();
        std::fs::create_dir(out.path().join("vm.undo")).unwrap();
        std::fs::write(out.path().join("vm.undo/precious"), b"x").unwrap();
        let folder = Folder::new(out.path(), &definition);
        for replace in [true, false, true] {
            assert_eq!(folder.begin(replace, &[]).err().unwrap().kind(), ErrorKind::Destination);
            assert!(out.path().join("vm.undo/precious").exists());
        }
        assert!(!out.path().join("vm.unfinished").exists());
    }
}
