//! A file system that is mounted in the VM.

use crate::failure::Doing;
use crate::seen::Seen;
use crate::vm::{Device, QUICK, Vm, lock, unexpected};
use driver_core::guest_path::{components, split_last};
use driver_core::{Change, DirEntry, FileKind, FileMeta, GuestFs, Ownership};
use format_core::{Error, Result};
use microvm_init::{How, Kind, Meta, Owner, Reply, Request};
use std::any::Any;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What writing or reading takes at worst: under emulation, over a slow source.
const SLOWEST_BYTES_PER_SECOND: u64 = 1 << 20;

/// A file that may be larger than this gets no more time to be read.
const LARGEST_FOR_TIME: u64 = 1 << 30;
/// Whether content of this size fits is asked before it is sent.
const LARGE: usize = 1 << 20;

/// A mounted file system. Clones are the same mount; it stays mounted until [`Vm::unmount`] or [`Vm::stop`].
///
/// New files, folders and links get the SELinux label of their folder, if that has one; `Vm::relabel` gives them what the guest's policy says.
/// Content is replaced through the inode that is there, and refused before anything is written where it does not fit.
#[derive(Clone)]
pub struct VmFs {
    vm: Vm,
    number: u32,
    kind: &'static str,
    device: Device,
    read_only: bool,
    seen: Arc<Mutex<Seen>>,
}

impl VmFs {
    pub(crate) fn new(vm: &Vm, number: u32, kind: &'static str, device: &Device, read_only: bool) -> Self {
        Self { vm: vm.clone(), number, kind, device: device.clone(), read_only, seen: Arc::default() }
    }

    /// The device it is on.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    pub(crate) fn is_of(&self, vm: &Vm) -> bool {
        Arc::ptr_eq(&self.vm.0, &vm.0)
    }

    pub(crate) fn editable(&self) -> Result<()> {
        if self.read_only {
            let text = format!("{} is mounted for reading only", self.device.path);
            return Err(Error::needs_person(text).in_format(self.kind));
        }
        Ok(())
    }

    /// An edit that is one request.
    fn edit(&self, what: String, request: &Request) -> Result<()> {
        self.editable()?;
        self.vm.changed();
        done(self.vm.ask_quick(&what, request).map_err(|error| error.in_format(self.kind))?)
    }

    fn write(&self, path: &str, how: How, content: &[u8]) -> Result<()> {
        self.editable()?;
        split_last(path)?;
        self.vm.changed();
        let what = format!("write {path}");
        let size = content.len() as u64;
        if content.len() >= LARGE {
            let path = path.to_owned();
            done(self.vm.ask_quick(&what, &Request::Fits { fs: self.number, path, how, size })?)?;
        }
        let request = Request::Write { fs: self.number, path: path.to_owned(), how, size };
        let doing = Doing::guest(&what);
        let answered = self.vm.ask(doing, &request, content, 0, limit_for(size));
        done(answered.map_err(|error| error.in_format(self.kind))?.reply)
    }

    fn subvolume_ids(&self) -> Result<Vec<(u64, String)>> {
        let what = format!("list the subvolumes of {}", self.device.path);
        match self.vm.ask_slow(&what, &Request::Subvolumes { fs: self.number })? {
            Reply::Subvolumes(found) => Ok(found),
            _ => Err(unexpected()),
        }
    }
}

fn limit_for(bytes: u64) -> Duration {
    QUICK + Duration::from_secs(bytes / SLOWEST_BYTES_PER_SECOND)
}

fn done(reply: Reply) -> Result<()> {
    if matches!(reply, Reply::Done) { Ok(()) } else { Err(unexpected()) }
}

fn owner(of: Ownership) -> Owner {
    Owner { mode: of.mode & 0o7777, uid: of.uid, gid: of.gid }
}

fn kind(of: Kind) -> FileKind {
    match of {
        Kind::File => FileKind::File,
        Kind::Folder => FileKind::Folder,
        Kind::Link => FileKind::Link,
        Kind::Other => FileKind::Other,
    }
}

fn facts(of: &Meta) -> FileMeta {
    let Owner { mode, uid, gid } = of.owner;
    FileMeta { kind: kind(of.kind), size: of.size, mode, uid, gid, inode: of.inode }
}

impl GuestFs for VmFs {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn metadata(&self, path: &str) -> Result<Option<FileMeta>> {
        components(path)?;
        if let Some(known) = lock(&self.seen).at(self.vm.generation()).metadata(path) {
            return Ok(known);
        }
        let request = Request::Stat { fs: self.number, path: path.to_owned() };
        match self.vm.ask_quick(&format!("look at {path}"), &request)? {
            Reply::Meta(meta) => Ok(meta.as_ref().map(facts)),
            _ => Err(unexpected()),
        }
    }

    fn read_dir(&self, path: &str) -> Result<Vec<DirEntry>> {
        components(path)?;
        let generation = self.vm.generation();
        if let Some(known) = lock(&self.seen).at(generation).entries(path) {
            return Ok(known);
        }
        let what = format!("list {path}");
        let doing = Doing::guest(&what);
        let request = Request::List { fs: self.number, path: path.to_owned() };
        let answered = self.vm.ask(doing, &request, &[], 0, self.vm.0.patience)?;
        let entry = |listed: &microvm_init::Listed| {
            (DirEntry { name: listed.name.clone(), kind: kind(listed.meta.kind) }, facts(&listed.meta))
        };
        let listed: Vec<(DirEntry, FileMeta)> = answered.listed.iter().map(entry).collect();
        lock(&self.seen).at(generation).keep(path, &listed);
        Ok(listed.into_iter().map(|(entry, _)| entry).collect())
    }

    fn read_file(&self, path: &str, limit: u64) -> Result<Vec<u8>> {
        components(path)?;
        let what = format!("read {path}");
        let doing = Doing::guest(&what);
        let request = Request::ReadFile { fs: self.number, path: path.to_owned(), limit };
        // How large it is shows only in the answer.
        let time = limit_for(limit.min(self.device.size).min(LARGEST_FOR_TIME));
        Ok(self.vm.ask(doing, &request, &[], limit, time)?.content)
    }

    fn read_link(&self, path: &str) -> Result<String> {
        components(path)?;
        let request = Request::ReadLink { fs: self.number, path: path.to_owned() };
        match self.vm.ask_quick(&format!("read the link {path}"), &request)? {
            Reply::Text(target) => Ok(target),
            _ => Err(unexpected()),
        }
    }

    fn allows(&self, _path: &str, _change: Change) -> Result<()> {
        self.editable()
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }

    fn reopen(&self) -> Result<Option<Box<dyn GuestFs>>> {
        Ok(Some(Box::new(self.clone())))
    }

    fn subvolumes(&self) -> Result<Vec<String>> {
        if self.kind != "btrfs" {
            return Ok(Vec::new());
        }
        Ok(self.subvolume_ids()?.into_iter().map(|(_, path)| path).collect())
    }

    fn open_subvolume(&self, path: &str) -> Result<Option<Box<dyn GuestFs>>> {
        if self.kind != "btrfs" {
            return Ok(None);
        }
        let wanted = path.trim_matches('/');
        let id = if wanted.is_empty() {
            Some(5)
        } else {
            self.subvolume_ids()?.into_iter().find(|(_, path)| path == wanted).map(|(id, _)| id)
        };
        let Some(id) = id else { return Ok(None) };
        let options = format!("subvolid={id}{}", if self.read_only { ",ro" } else { "" });
        Ok(Some(Box::new(self.vm.mount_known(&self.device, self.kind, &options)?)))
    }

    fn replace_file(&mut self, path: &str, content: &[u8]) -> Result<()> {
        self.write(path, How::Replace, content)
    }

    fn append_file(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        self.write(path, How::Append, bytes)
    }

    fn create_file(&mut self, path: &str, content: &[u8], ownership: Ownership) -> Result<()> {
        self.write(path, How::Create(owner(ownership)), content)
    }

    fn create_folder(&mut self, path: &str, ownership: Ownership) -> Result<()> {
        split_last(path)?;
        let request = Request::MakeFolder { fs: self.number, path: path.to_owned(), owner: owner(ownership) };
        self.edit(format!("create {path}"), &request)
    }

    fn create_link(&mut self, path: &str, target: &str) -> Result<()> {
        split_last(path)?;
        let request = Request::MakeLink { fs: self.number, path: path.to_owned(), target: target.to_owned() };
        self.edit(format!("create {path}"), &request)
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        split_last(from)?;
        split_last(to)?;
        let request = Request::Rename { fs: self.number, from: from.to_owned(), to: to.to_owned() };
        self.edit(format!("rename {from}"), &request)
    }

    fn remove(&mut self, path: &str) -> Result<()> {
        split_last(path)?;
        self.edit(format!("remove {path}"), &Request::Remove { fs: self.number, path: path.to_owned() })
    }

    fn finish(&mut self) -> Result<()> {
        if self.read_only {
            return Ok(());
        }
        let what = format!("write out {}", self.device.path);
        done(self.vm.ask_slow(&what, &Request::Sync { fs: self.number })?)
    }
}
