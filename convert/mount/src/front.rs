//! What the kernel talks to: reads volumes itself, and sends everything else to the server.

use crate::attributes::errno;
use crate::server::{Server, volume_of};
use crate::session::Report;
use driver_core::Volume;
use fuser::{
    Errno, FileHandle, Filesystem, INodeNo, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, Request,
};
use std::ffi::OsStr;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

/// A request with its reply.
pub(crate) type Job = Box<dyn FnOnce(&mut Server<'_>) + Send>;

pub(crate) struct Front {
    pub(crate) jobs: SyncSender<Job>,
    pub(crate) volumes: Vec<Arc<dyn Volume>>,
    pub(crate) report: Report,
}

impl Front {
    fn ask(&self, job: impl FnOnce(&mut Server<'_>) + Send + 'static) {
        // Without a server the mount is ending: a reply that is dropped is answered with an error.
        let _ = self.jobs.send(Box::new(job));
    }

    fn read_volume(&self, number: usize, offset: u64, size: u32, reply: ReplyData) {
        let Some(volume) = self.volumes.get(number) else { return reply.error(Errno::EBADF) };
        let len = volume.size().saturating_sub(offset).min(size.into());
        let mut buf = vec![0; len as usize];
        if buf.is_empty() {
            return reply.data(&buf);
        }
        match volume.read_exact_at(offset, &mut buf) {
            Ok(()) => reply.data(&buf),
            Err(error) => {
                let errno = errno(&error);
                (self.report)(&error);
                reply.error(errno);
            }
        }
    }
}

impl Filesystem for Front {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match name.to_str().map(str::to_owned) {
            Some(name) => self.ask(move |server| server.entry(parent.0, &name, reply)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn forget(&self, _: &Request, inode: INodeNo, count: u64) {
        self.ask(move |server| server.forget(inode.0, count));
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        self.ask(move |server| server.attributes(inode.0, reply));
    }

    fn readlink(&self, _: &Request, inode: INodeNo, reply: ReplyData) {
        self.ask(move |server| server.link(inode.0, reply));
    }

    fn open(&self, _: &Request, inode: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.ask(move |server| server.open(inode.0, reply));
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match volume_of(handle) {
            Some(number) => self.read_volume(number, offset, size, reply),
            None => self.ask(move |server| server.read(handle.0, offset, size, reply)),
        }
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        reply.ok();
        if volume_of(handle).is_none() {
            self.ask(move |server| server.release(handle.0));
        }
    }

    fn opendir(&self, _: &Request, inode: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.ask(move |server| server.open_folder(inode.0, reply));
    }

    fn readdir(&self, _: &Request, _: INodeNo, handle: FileHandle, offset: u64, reply: ReplyDirectory) {
        self.ask(move |server| server.read_folder(handle.0, offset, reply));
    }

    fn releasedir(&self, _: &Request, _: INodeNo, handle: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        reply.ok();
        self.ask(move |server| server.release_folder(handle.0));
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        // Nothing is free, and the longest name is that of NTFS in UTF-8.
        reply.statfs(0, 0, 0, 0, 0, 4096, 765, 4096);
    }
}
