//! Files of a guest as files of the host. The guest is a stranger: its tree may try to be written elsewhere than where the operator
//! said. So every name is checked, everything is made through the descriptor of the folder that it goes into, nothing is made or opened
//! through a link, and a link that the guest brings is only ever made, never followed.

use convert_mount::is_name;
use driver_core::{FileKind, FileMeta, GuestFile, GuestTree};
use format_core::{Error, ErrorKind, Result, Warning, codes, is_zero};
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use serde::Serialize;
use std::collections::HashSet;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes read at once.
const PIECE: usize = 1 << 20;
/// Zeros of at least this length, at a multiple of it, become holes.
const HOLE: usize = 64 << 10;
/// Folders below one another at most: each is open meanwhile.
const MAX_DEPTH: usize = 512;
/// Warnings that are kept at most.
const MAX_WARNINGS: usize = 1000;
/// Bytes of a name that are kept in the one that a file has until it is complete, so that the kernel takes that.
const KEPT_NAME: usize = 200;
/// Other names for an incomplete file that are tried.
const TRIES: u32 = 100;

/// What was copied.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Copied {
    pub(crate) files: u64,
    pub(crate) folders: u64,
    pub(crate) links: u64,
    /// Content of files, holes included.
    pub(crate) bytes: u64,
    /// Devices, pipes and sockets.
    pub(crate) skipped: u64,
    /// Names whose content could not be read.
    pub(crate) incomplete: u64,
}

/// Who is to blame: what cannot be read of the guest is left out and told, what cannot be written ends the run.
enum Failure {
    Guest(Error),
    Host(Error),
}

type Done<T = ()> = Result<T, Failure>;

/// A copy out of a guest.
pub(crate) struct Extraction<'a> {
    tree: &'a GuestTree,
    force: bool,
    preserve: bool,
    interrupted: &'a AtomicBool,
    copied: Copied,
    warnings: Vec<Warning>,
    /// Folders that were copied: mount point and inode. No folder has two names.
    seen: HashSet<(String, u64)>,
    buf: Vec<u8>,
    /// Device and inode numbers of the images that are read.
    images: Vec<(u64, u64)>,
}

impl<'a> Extraction<'a> {
    pub(crate) fn new(tree: &'a GuestTree, force: bool, preserve: bool, interrupted: &'a AtomicBool) -> Self {
        let (copied, warnings, seen, images) = Default::default();
        Self { tree, force, preserve, interrupted, copied, warnings, seen, buf: vec![0; PIECE], images }
    }

    /// The same, which never replaces a file with one of these device and inode numbers.
    pub(crate) fn sparing(self, images: Vec<(u64, u64)>) -> Self {
        Self { images, ..self }
    }

    /// A guest can have a file with the name of the image that is read.
    fn spare(&self, parent: BorrowedFd<'_>, name: &str) -> Done {
        let found = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW);
        if found.is_ok_and(|found| self.images.contains(&(found.st_dev, found.st_ino))) {
            let text = format!("{name} would be replaced, and is the image that is read");
            return Err(Failure::Host(Error::usage(text).hint("choose another destination")));
        }
        Ok(())
    }

    pub(crate) fn into_parts(self) -> (Copied, Vec<Warning>) {
        (self.copied, self.warnings)
    }

    /// Copies `path`, of which `meta` are the facts, into `folder` under `name`.
    ///
    /// # Errors
    /// `Destination` when it is there already; what cannot be written; for a single file what cannot be read.
    pub(crate) fn run(&mut self, path: &str, meta: &FileMeta, folder: &Path, name: &str) -> Result<()> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let parent = rustix::fs::open(folder, flags, Mode::empty());
        let parent = parent.map_err(|e| Error::io(format!("cannot open {}", folder.display()), e.into()))?;
        let done = match meta.kind {
            FileKind::File => self.file(parent.as_fd(), name, path, meta),
            FileKind::Folder => self.top_folder(parent.as_fd(), name, path, meta),
            _ => Err(Failure::Guest(Error::unsupported(format!("{path:?} is neither file nor folder")))),
        };
        done.map_err(|failure| match failure {
            Failure::Guest(error) | Failure::Host(error) => error,
        })
    }

    /// A whole folder has another name until it is complete, unless it is added to one that exists.
    fn top_folder(&mut self, parent: BorrowedFd<'_>, name: &str, path: &str, meta: &FileMeta) -> Done {
        if exists(parent, name)? {
            return self.folder(parent, name, path, meta, 0);
        }
        let partial = unused(name, |partial| rustix::fs::mkdirat(parent, partial, Mode::RWXU))?;
        self.fill(parent, &partial, path, meta, 0)?;
        finish(parent, &partial, name, false)
    }

    fn folder(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &str,
        path: &str,
        meta: &FileMeta,
        depth: usize,
    ) -> Done {
        match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
            Ok(()) => {}
            Err(rustix::io::Errno::EXIST) if self.force => {}
            Err(error) => return Err(host(name, error)),
        }
        self.fill(parent, name, path, meta, depth)
    }

    /// Copies what is in the guest's folder `path` into the host's folder `name`, which is none that a link leads to.
    fn fill(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &str,
        path: &str,
        meta: &FileMeta,
        depth: usize,
    ) -> Done {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(parent, name, flags, Mode::empty()).map_err(|e| host(name, e))?;
        let point = self.tree.mount_point_of(path).map_err(Failure::Guest)?;
        if depth >= MAX_DEPTH || !self.seen.insert((point, meta.inode)) {
            return Err(Failure::Guest(Error::corrupt(
                "the folder lies in itself, in two places, or too deep",
            )));
        }
        let mut names = HashSet::new();
        for entry in self.tree.read_dir(path).map_err(Failure::Guest)? {
            if self.interrupted.load(Ordering::Relaxed) {
                return Err(Failure::Host(
                    Error::new(ErrorKind::Temporary, "interrupted").with_code(&codes::INTERRUPTED),
                ));
            }
            let inner = format!("{}/{}", path.trim_end_matches('/'), entry.name);
            let done = if names.insert(entry.name.clone()) {
                self.entry(folder.as_fd(), &entry.name, &inner, depth + 1)
            } else {
                Err(Failure::Guest(Error::corrupt("two entries of the folder have this name")))
            };
            match done {
                Err(Failure::Guest(error)) => {
                    self.copied.incomplete += 1;
                    self.warn("not-copied", format!("{inner}: {error}"));
                }
                other => other?,
            }
        }
        self.copied.folders += 1;
        self.permissions(&folder, meta, 0o1777, name)
    }

    fn entry(&mut self, parent: BorrowedFd<'_>, name: &str, path: &str, depth: usize) -> Done {
        if !is_name(name) {
            return Err(Failure::Guest(Error::corrupt("no file can have this name")));
        }
        let found = self.tree.link_metadata(path).map_err(Failure::Guest)?;
        let meta = found.ok_or_else(|| Failure::Guest(Error::unsupported("the name cannot be opened")))?;
        match meta.kind {
            FileKind::File => self.file(parent, name, path, &meta),
            FileKind::Folder => self.folder(parent, name, path, &meta, depth),
            FileKind::Link => {
                let target = self.tree.read_link(path).map_err(Failure::Guest)?;
                self.link(parent, name, &target, &meta)
            }
            FileKind::Other => {
                self.copied.skipped += 1;
                self.warn("device-skipped", format!("{path}: a device, pipe or socket is not copied"));
                Ok(())
            }
        }
    }

    fn warn(&mut self, code: &'static str, message: String) {
        if self.warnings.len() < MAX_WARNINGS {
            self.warnings.push(Warning { code, message });
        } else if self.warnings.len() == MAX_WARNINGS {
            self.warnings.push(Warning { code: "more", message: "more of the like is not said".into() });
        }
    }

    fn file(&mut self, parent: BorrowedFd<'_>, name: &str, path: &str, meta: &FileMeta) -> Done {
        self.check_free(parent, name)?;
        let source = self.tree.open_file(path).map_err(Failure::Guest)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut made = None;
        let partial = unused(name, |partial| {
            made = Some(rustix::fs::openat(parent, partial, flags, Mode::RUSR | Mode::WUSR)?);
            Ok(())
        })?;
        let target = made.ok_or_else(|| Failure::Host(Error::contract("no file was made")))?;
        let target = File::from(target);
        let written = self.content(source.as_ref(), &target, name);
        let written = written.and_then(|()| self.permissions(&target, meta, 0o777, name));
        if let Err(failure) = written
            .and_then(|()| self.spare(parent, name))
            .and_then(|()| finish(parent, &partial, name, self.force))
        {
            // It is of no use to anybody.
            let _ = rustix::fs::unlinkat(parent, &partial, AtFlags::empty());
            return Err(failure);
        }
        self.copied.files += 1;
        self.copied.bytes = self.copied.bytes.saturating_add(source.size());
        Ok(())
    }

    fn content(&mut self, source: &dyn GuestFile, target: &File, name: &str) -> Done {
        let failed = |error| Failure::Host(Error::io(format!("cannot write {name}"), error));
        let mut at = 0;
        while at < source.size() {
            if self.interrupted.load(Ordering::Relaxed) {
                return Err(Failure::Host(
                    Error::new(ErrorKind::Temporary, "interrupted").with_code(&codes::INTERRUPTED),
                ));
            }
            let len = (source.size() - at).min(PIECE as u64) as usize;
            let piece = self.buf.get_mut(..len).unwrap_or_default();
            source.read_at(at, piece).map_err(Failure::Guest)?;
            for (number, part) in piece.chunks(HOLE).enumerate() {
                if !is_zero(part) {
                    target.write_all_at(part, at + (number * HOLE) as u64).map_err(failed)?;
                }
            }
            at += len as u64;
        }
        target.set_len(source.size()).map_err(failed)
    }

    fn link(&mut self, parent: BorrowedFd<'_>, name: &str, target: &str, meta: &FileMeta) -> Done {
        self.check_free(parent, name)?;
        if target.is_empty() || target.contains('\0') {
            return Err(Failure::Guest(Error::corrupt("the link points to what cannot be a path")));
        }
        let partial = unused(name, |partial| rustix::fs::symlinkat(target, parent, partial))?;
        if self.preserve {
            let (uid, gid) = (rustix::fs::Uid::from_raw(meta.uid), rustix::fs::Gid::from_raw(meta.gid));
            let owned =
                rustix::fs::chownat(parent, &partial, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW);
            owned.map_err(|e| host(name, e))?;
        }
        if let Err(failure) =
            self.spare(parent, name).and_then(|()| finish(parent, &partial, name, self.force))
        {
            let _ = rustix::fs::unlinkat(parent, &partial, AtFlags::empty());
            return Err(failure);
        }
        self.copied.links += 1;
        Ok(())
    }

    /// Before a long copy: whether `name` may be made.
    fn check_free(&self, parent: BorrowedFd<'_>, name: &str) -> Done {
        if !self.force && exists(parent, name)? {
            return Err(host(name, rustix::io::Errno::EXIST));
        }
        Ok(())
    }

    fn permissions(&self, made: impl AsFd, meta: &FileMeta, kept: u32, name: &str) -> Done {
        if self.preserve {
            let (uid, gid) = (rustix::fs::Uid::from_raw(meta.uid), rustix::fs::Gid::from_raw(meta.gid));
            rustix::fs::fchown(&made, Some(uid), Some(gid)).map_err(|e| host(name, e))?;
        }
        rustix::fs::fchmod(&made, Mode::from_raw_mode(meta.mode & kept)).map_err(|e| host(name, e))
    }
}

fn host(name: &str, error: rustix::io::Errno) -> Failure {
    let made = format!("cannot make {name:?}");
    Failure::Host(match error {
        rustix::io::Errno::EXIST | rustix::io::Errno::ISDIR => {
            Error::new(ErrorKind::Destination, format!("{name:?} exists"))
                .hint("use --force to replace files")
        }
        rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP => {
            let text = format!("{name:?} exists and is no folder, or a link");
            Error::new(ErrorKind::Destination, text).hint("nothing is written through links; remove it first")
        }
        error => Error::io(made, error.into()),
    })
}

fn exists(parent: BorrowedFd<'_>, name: &str) -> Done<bool> {
    match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(true),
        Err(rustix::io::Errno::NOENT) => Ok(false),
        Err(error) => Err(host(name, error)),
    }
}

/// Makes something under a name that says that it is not complete, and that nothing has yet.
fn unused(name: &str, mut make: impl FnMut(&str) -> rustix::io::Result<()>) -> Done<String> {
    let end = (0..=name.len().min(KEPT_NAME)).rev().find(|end| name.is_char_boundary(*end));
    let kept = name.get(..end.unwrap_or(0)).unwrap_or_default();
    let mut last = rustix::io::Errno::EXIST;
    for number in 0..TRIES {
        let partial = match number {
            0 => format!("{kept}.partial"),
            _ => format!("{kept}.{number}.partial"),
        };
        match make(&partial) {
            Ok(()) => return Ok(partial),
            Err(rustix::io::Errno::EXIST) => {}
            Err(error) => {
                last = error;
                break;
            }
        }
    }
    Err(host(&format!("{kept}.partial"), last))
}

/// What was made under `partial` gets its name, which nothing else has, or with `force` no folder.
fn finish(parent: BorrowedFd<'_>, partial: &str, name: &str, force: bool) -> Done {
    if force {
        return rustix::fs::renameat(parent, partial, parent, name).map_err(|e| host(name, e));
    }
    match rustix::fs::renameat_with(parent, partial, parent, name, RenameFlags::NOREPLACE) {
        // Not every file system knows that (NFS). Nobody but the guest's own names could have come in between.
        Err(rustix::io::Errno::INVAL) => {
            if exists(parent, name)? {
                return Err(host(name, rustix::io::Errno::EXIST));
            }
            rustix::fs::renameat(parent, partial, parent, name).map_err(|e| host(name, e))
        }
        other => other.map_err(|e| host(name, e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use driver_core::MemFs;

    fn copy(fs: MemFs, to: &Path, force: bool) -> (Result<()>, Copied) {
        let mut tree = GuestTree::new();
        tree.mount("/", Box::new(fs));
        let interrupted = AtomicBool::new(false);
        let mut extraction = Extraction::new(&tree, force, false, &interrupted);
        let meta = tree.metadata("/a").unwrap().unwrap();
        let done = extraction.run("/a", &meta, to, "a");
        (done, extraction.into_parts().0)
    }

    #[test]
    fn nothing_is_written_through_a_link_of_the_host() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("to")).unwrap();
        std::fs::create_dir_all(at("elsewhere")).unwrap();
        std::fs::write(at("elsewhere/f"), "mine").unwrap();
        std::os::unix::fs::symlink("../elsewhere", at("to/a")).unwrap();
        let fs = || MemFs::new().with_file("/a/f", "theirs").with_file("/a/f.partial", "too");
        for force in [false, true] {
            let (done, copied) = copy(fs(), &at("to"), force);
            assert_eq!(done.unwrap_err().kind(), ErrorKind::Destination);
            assert_eq!((copied.files, std::fs::read(at("elsewhere/f")).unwrap()), (0, b"mine".to_vec()));
        }
        std::fs::remove_file(at("to/a")).unwrap();
        let (done, copied) = copy(fs(), &at("to"), false);
        done.unwrap();
        assert_eq!((copied.files, copied.folders, copied.bytes), (2, 1, 9));
        assert_eq!(std::fs::read(at("to/a/f.partial")).unwrap(), b"too");
        assert_eq!(copy(fs(), &at("to"), false).0.unwrap_err().kind(), ErrorKind::Destination);
        std::fs::remove_file(at("to/a/f")).unwrap();
        std::os::unix::fs::symlink("../../elsewhere/f", at("to/a/f")).unwrap();
        copy(fs(), &at("to"), true).0.unwrap();
        assert_eq!(std::fs::read(at("elsewhere/f")).unwrap(), b"mine");
        assert_eq!(std::fs::read_link(at("to/a/f")).ok(), None, "the link itself was replaced");
        assert_eq!(std::fs::read(at("to/a/f")).unwrap(), b"theirs");
    }

    #[test]
    fn a_long_name_is_made_and_a_hole_stays_one() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let name = "n".repeat(255);
        let content = [vec![0; 3 << 20], b"end".to_vec()].concat();
        let (done, copied) =
            copy(MemFs::new().with_file(&format!("/a/{name}"), &content), folder.path(), false);
        done.unwrap();
        let made = folder.path().join("a").join(&name);
        assert!(std::fs::read(&made).unwrap() == content && copied.incomplete == 0);
        assert!(made.metadata().unwrap().blocks() * 512 < 1 << 20);
    }
}
