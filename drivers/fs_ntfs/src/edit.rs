//! Editing: what an edit touches is looked at first, then the library does it, and everything is on the volume before
//! the next call.

use crate::descriptor::{self, Access};
use crate::error::as_obstacle;
use crate::error::{NtfsError, Obstacle};
use crate::folder::{self, list, long_name};
use crate::fs::{Found, NtfsFs, elsewhere, packed_stream};
use crate::hibernation::{self, Sleeper};
use crate::indexes::check_indexes;
use crate::inode::Inode;
use crate::layout::{ATTR_ENCRYPTED, COMPRESSED, DATA, ENCRYPTED, FILE_NAME, SPARSE};
use crate::library::Library;
use crate::name;
use crate::own::{Own, runs_of};
use crate::reparse;
use driver_core::guest_path::{components, split_last};
use driver_core::{Change, FileKind, Ownership};
use format_core::{Error, Result};
use ntfs3g_sys::Filesystem;

/// A compressed file that is extended is written anew as a whole, up to this size.
const MAX_REWRITTEN: u64 = 1 << 30;
/// Name of the trial file: nobody has it.
const TRIAL: &str = "rehome trial 7c1c1be0.tmp";

impl NtfsFs {
    /// Looks at the volume's own files, opens the library, and writes, reads and removes a file while all changes are
    /// held back. A volume that passes can be edited; none is ever edited "as far as it goes". A Windows that sleeps is
    /// given up on trial first, and in earnest when all went well.
    pub(crate) fn prepare(&mut self, sleeper: Option<&Sleeper>) -> Result<()> {
        self.own = Some(Own::load(&self.reader)?);
        self.reader.io.hold();
        let tried = self.discard(sleeper).and_then(|()| self.try_edits());
        // The library is closed while its changes still go nowhere.
        self.library = None;
        let wrote = self.reader.io.take_back();
        self.reader.load_mft()?;
        self.obstacle = None;
        self.sound.clear();
        match tried {
            Ok(()) if wrote => {}
            Ok(()) => return Err(NtfsError::Trial("nothing was written".into()).into()),
            Err(error) => return Err(error),
        }
        self.discard(sleeper)?;
        self.opening.hibernation = sleeper.map(Sleeper::discarded);
        self.open_library()
    }

    fn open_library(&mut self) -> Result<()> {
        if self.library.is_none() {
            self.library = Some(Library::open(&self.reader.io)?);
        }
        self.library()?.check_state()
    }

    fn discard(&mut self, sleeper: Option<&Sleeper>) -> Result<()> {
        match (sleeper, &self.own) {
            (Some(Sleeper::Live(file)), Some(own)) => hibernation::zero_header(&self.reader, own, file),
            (Some(Sleeper::Short { .. }), _) => {
                self.library = Some(Library::open(&self.reader.io)?);
                self.remove_name(hibernation::PATH)
            }
            _ => Ok(()),
        }
    }

    fn try_edits(&mut self) -> Result<()> {
        self.open_library()?;
        let path = format!("/{TRIAL}");
        let content = vec![0x5a; 3 * self.reader.boot.cluster.min(0x1_0000) as usize];
        self.new_file(&path, &content, Ownership::ROOT_FILE)?;
        let found = self.find_kind(&path, FileKind::File)?;
        if self.content(&found, u64::MAX)? != content {
            return Err(NtfsError::Trial("it does not read as written".into()).into());
        }
        self.remove_name(&path)?;
        match self.find(&path)? {
            None => Ok(()),
            Some(_) => Err(NtfsError::Trial("it could not be removed".into()).into()),
        }
    }

    fn library(&mut self) -> Result<&mut Library> {
        self.library.as_mut().ok_or_else(|| Error::contract("an edit without the library").in_format("ntfs"))
    }

    /// Refuses when `bytes` of content and a new name do not fit, where `reused` clusters become free first.
    fn need_space(&mut self, bytes: u64, reused: u64) -> Result<()> {
        let (cluster, clusters) = (self.reader.boot.cluster, self.reader.boot.clusters);
        let block = self.reader.boot.index_block.div_ceil(cluster);
        // Splits of indexes up to the root, a piece of $MFT and its map, and of $Secure.
        let spare = 6 * block + 8;
        let needed = bytes.div_ceil(cluster) + spare;
        let has = self.library()?.free_clusters(clusters)? + reused;
        if needed <= has {
            return Ok(());
        }
        Err(NtfsError::NoSpace { needed: needed.saturating_mul(cluster), has: has.saturating_mul(cluster) }
            .into())
    }

    /// Refuses when an edit of what the chain holds would do harm to something else. `extra` is what is moved.
    fn check_chain(&mut self, chain: &[Found], extra: Option<&Inode>, what: &str) -> Result<()> {
        let inodes: Vec<&Inode> = chain.iter().map(|found| &found.inode).chain(extra).collect();
        for inode in inodes.iter().filter(|inode| inode.is_folder) {
            if self.sound.contains(&inode.reference) {
                continue;
            }
            check_indexes(&self.reader, inode).map_err(|error| error_of_damage(error, what))?;
            self.sound.insert(inode.reference);
        }
        let own =
            self.own.as_ref().ok_or_else(|| Error::contract("an edit without checks").in_format("ntfs"))?;
        let mut seen = std::collections::BTreeSet::new();
        let once: Vec<&Inode> = inodes.into_iter().filter(|inode| seen.insert(inode.reference)).collect();
        own.check_apart(&self.reader, &once, what).map_err(|error| error_of_damage(error, what))
    }

    /// The chain to an existing regular file, ready to be edited.
    fn editable_file(&mut self, path: &str) -> Result<Found> {
        let chain = self.chain(&components(path)?)?;
        let mut chain = chain.ok_or_else(|| Error::usage(format!("there is no {path:?}")))?;
        self.check_chain(&chain, None, path)?;
        let found = chain.pop().filter(|found| found.kind() == FileKind::File);
        let found = found.ok_or_else(|| Error::usage(format!("{path:?} is not a regular file")))?;
        check_content(&found, path)?;
        Ok(found)
    }

    /// The folder that is to hold a new name, and the name.
    fn place_for(&mut self, path: &str) -> Result<(Found, Vec<u16>)> {
        let (parent, last) = split_last(path)?;
        let units = name::new(last)?;
        let missing = || Error::usage(format!("there is no folder for {path:?}"));
        let mut chain = self.chain(&parent)?.ok_or_else(missing)?;
        self.check_chain(&chain, None, path)?;
        let folder = chain.pop().filter(|folder| folder.kind() == FileKind::Folder).ok_or_else(missing)?;
        if folder.inode.file_attributes() & ATTR_ENCRYPTED != 0 {
            return Err(NtfsError::Encrypted(format!("the folder of {path:?}")).into());
        }
        // Also the volume's own files, and short names.
        if folder::find_any(&self.reader, &folder.inode, &units)?.is_some() {
            return Err(Error::usage(format!("{path:?} exists")));
        }
        Ok((folder, units))
    }

    pub(crate) fn may_change(&self, path: &str, change: Change) -> Result<()> {
        self.editable()?;
        match (change, self.find(path)?) {
            (Change::Content { .. } | Change::Append { .. }, Some(found))
                if found.kind() == FileKind::File =>
            {
                check_content(&found, path)
            }
            (Change::Create, None) => {
                let (parent, _) = split_last(path)?;
                match self.resolve(&parent)? {
                    Some(folder) if folder.inode.file_attributes() & ATTR_ENCRYPTED != 0 => {
                        Err(NtfsError::Encrypted(format!("the folder of {path:?}")).into())
                    }
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn replace(&mut self, path: &str, content: &[u8]) -> Result<()> {
        self.editable()?;
        let found = self.editable_file(path)?;
        let reused = found.inode.data().map_or(0, |_| data_clusters(&found.inode));
        self.need_space(content.len() as u64, reused)?;
        self.rewrite(&found, content)
    }

    /// Packed, compressed and sparse files become plain ones.
    fn rewrite(&mut self, found: &Found, content: &[u8]) -> Result<()> {
        let file = found.inode.reference;
        let packed = found.reparse.is_some();
        let flags = found.inode.data().map_or(0, |data| data.flags);
        let stream = packed_stream();
        let stream = if packed && found.inode.stream(DATA, &stream).is_some() { stream } else { Vec::new() };
        let bytes = content.len() as u64;
        self.change(bytes, |fs| {
            if packed || flags & (COMPRESSED | SPARSE) != 0 {
                fs.make_plain(file, packed, &stream)?;
            } else {
                fs.cut(file)?;
            }
            fs.write(file, 0, content)
        })
    }

    pub(crate) fn append(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        self.editable()?;
        let found = self.editable_file(path)?;
        let data = found.inode.data().map_or((0, 0), |data| (data.flags, data.size()));
        if found.reparse.is_some() || data.0 & COMPRESSED != 0 {
            let mut whole = self.content(&found, MAX_REWRITTEN)?;
            whole.extend_from_slice(bytes);
            self.need_space(whole.len() as u64, data_clusters(&found.inode))?;
            return self.rewrite(&found, &whole);
        }
        self.need_space(bytes.len() as u64, 0)?;
        let file = found.inode.reference;
        self.change(bytes.len() as u64, |fs| fs.write(file, data.1, bytes))
    }

    pub(crate) fn new_file(&mut self, path: &str, content: &[u8], ownership: Ownership) -> Result<()> {
        self.editable()?;
        let (folder, name) = self.place_for(path)?;
        self.need_space(content.len() as u64, 0)?;
        let descriptor = self.descriptor_in(&folder, false, ownership, path)?;
        self.change(content.len() as u64, |fs| {
            let file = fs.create(folder.inode.reference, &name, false, &descriptor)?;
            fs.write(file, 0, content)
        })
    }

    pub(crate) fn new_folder(&mut self, path: &str, ownership: Ownership) -> Result<()> {
        self.editable()?;
        let (folder, name) = self.place_for(path)?;
        self.need_space(0, 0)?;
        let descriptor = self.descriptor_in(&folder, true, ownership, path)?;
        self.change(0, |fs| fs.create(folder.inode.reference, &name, true, &descriptor).map(|_| ()))
    }

    /// What something new gets: what the folder hands down, or, when nobody but its owner is to use it, a list of
    /// its own.
    fn descriptor_in(
        &mut self,
        folder: &Found,
        is_folder: bool,
        ownership: Ownership,
        path: &str,
    ) -> Result<Vec<u8>> {
        let access = if ownership.mode & 0o077 == 0 { Access::Private } else { Access::Inherited };
        let reference = folder.inode.reference;
        let parent = self.library()?.call(0, |fs| fs.descriptor(reference))?;
        let refuse = || NtfsError::Unsafe {
            what: path.to_owned(),
            reason: "the security descriptor of its folder is none".into(),
        };
        Ok(descriptor::new(&parent, is_folder, access).ok_or_else(refuse)?)
    }

    pub(crate) fn move_name(&mut self, from: &str, to: &str) -> Result<()> {
        self.editable()?;
        let missing = || Error::usage(format!("there is no {from:?}"));
        let mut chain = self.chain(&components(from)?)?.ok_or_else(missing)?;
        self.check_chain(&chain, None, from)?;
        let (moved, old_folder) = (chain.pop().ok_or_else(missing)?, chain.pop());
        let old_folder = old_folder.ok_or_else(|| Error::usage("the root folder cannot be moved"))?;
        check_links(&moved.inode, from)?;
        let old_name = self.name_to_change(&old_folder, &moved)?;
        let (new_folder, new_name) = self.place_for(to)?;
        let (new_parent, _) = split_last(to)?;
        let above = self.chain(&new_parent)?.unwrap_or_default();
        if above.iter().any(|found| found.inode.reference == moved.inode.reference) {
            return Err(Error::usage(format!("{to:?} lies in {from:?}")));
        }
        self.check_chain(&above, Some(&moved.inode), to)?;
        self.need_space(0, 0)?;
        let file = moved.inode.reference;
        let (old_folder, new_folder) = (old_folder.inode.reference, new_folder.inode.reference);
        self.change(0, |fs| {
            fs.link(file, new_folder, &new_name)?;
            fs.unlink(file, old_folder, &old_name)
        })
    }

    pub(crate) fn remove_name(&mut self, path: &str) -> Result<()> {
        self.editable()?;
        let missing = || Error::usage(format!("there is no {path:?}"));
        let mut chain = self.chain(&components(path)?)?.ok_or_else(missing)?;
        self.check_chain(&chain, None, path)?;
        let (found, folder) = (chain.pop().ok_or_else(missing)?, chain.pop());
        let folder = folder.ok_or_else(|| Error::usage("the root folder cannot be removed"))?;
        if found.kind() == FileKind::Folder && !list(&self.reader, &found.inode)?.is_empty() {
            return Err(Error::usage(format!("the folder {path:?} is not empty")));
        }
        check_links(&found.inode, path)?;
        let name = self.name_to_change(&folder, &found)?;
        let (file, folder) = (found.inode.reference, folder.inode.reference);
        self.change(0, |fs| fs.unlink(file, folder, &name))?;
        self.sound.remove(&file);
        Ok(())
    }

    /// The name that an edit takes away: the long one, whose short twin goes with it.
    fn name_to_change(&self, folder: &Found, found: &Found) -> Result<Vec<u16>> {
        let name = found.name.as_ref().ok_or_else(|| Error::usage("the root folder cannot be edited"))?;
        Ok(long_name(&self.reader, &folder.inode, name)?.name)
    }

    /// An edit that failed half-way leaves the volume in between: nothing may follow it, least of all writing what the
    /// library still keeps.
    fn change(
        &mut self,
        bytes: u64,
        edit: impl FnOnce(&mut Filesystem) -> ntfs3g_sys::Result<()>,
    ) -> Result<()> {
        let done = self.library()?.call(bytes, edit).and_then(|()| {
            self.reader.load_mft()?;
            self.own.as_mut().map_or(Ok(()), |own| own.refresh(&self.reader))
        });
        done.inspect_err(|error| {
            let reason = format!("an earlier edit failed: {error}");
            self.obstacle = Some(Obstacle::from(Error::needs_person(reason)));
            self.reader.io.freeze();
        })
    }

    pub(crate) fn write_out(&mut self) -> Result<()> {
        match self.library.as_mut() {
            Some(library) if self.obstacle.is_none() => library.call(0, |_| Ok(())),
            Some(_) => self.editable(),
            None => Ok(()),
        }
    }
}

impl Drop for NtfsFs {
    /// Everything is on the volume after each edit; what the library would write when it closes is not wanted.
    fn drop(&mut self) {
        self.reader.io.freeze();
    }
}

/// Whether a file has as many names as it counts: with the last one that is counted, the library frees the file.
fn check_links(inode: &Inode, path: &str) -> Result<()> {
    let names = inode.attributes.iter().filter(|attribute| attribute.kind == FILE_NAME).count();
    if names == usize::from(inode.links) {
        return Ok(());
    }
    let reason = format!("it counts {} names and has {names}", inode.links);
    Err(NtfsError::Unsafe { what: path.to_owned(), reason }.into())
}

/// Clusters that a file's content has.
fn data_clusters(inode: &Inode) -> u64 {
    let content = Inode {
        attributes: inode.attributes.iter().filter(|a| a.kind == DATA).cloned().collect(),
        ..inode.clone()
    };
    runs_of(&content).map(|(start, end)| end - start).sum()
}

/// Whether the content of a file can be written: it is not encrypted, and here.
fn check_content(found: &Found, path: &str) -> Result<()> {
    let encrypted = found.inode.attributes.iter().any(|a| a.kind == DATA && a.flags & ENCRYPTED != 0);
    if encrypted || found.inode.file_attributes() & ATTR_ENCRYPTED != 0 {
        return Err(NtfsError::Encrypted(path.to_owned()).into());
    }
    match &found.reparse {
        Some(reparse) if reparse.tag != reparse::WOF => Err(elsewhere(path, reparse.tag)),
        _ => Ok(()),
    }
}

/// Damage that an edit would meet is for a person to clear.
fn error_of_damage(error: Error, what: &str) -> Error {
    match as_obstacle(Err(error)) {
        Ok(Some(obstacle)) => {
            let error = obstacle.to_error();
            NtfsError::Unsafe { what: what.to_owned(), reason: error.message().to_owned() }.into()
        }
        Ok(None) => Error::contract("no error").in_format("ntfs"),
        Err(error) => error,
    }
}
