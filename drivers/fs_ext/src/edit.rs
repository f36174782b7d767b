//! Editing: each change leaves the file system as the kernel would, up to the superblock, group descriptors and
//! bitmaps that `finish` writes.

use crate::error::{ExtError, Obstacle};
use crate::fs::ExtFs;
use crate::fs::NAME_LEN;
use crate::layout::{
    EXT4_ENCRYPT_FL, EXT4_INLINE_DATA_FL, EXT4_VERITY_FL, S_IFDIR, S_IFMT, S_IFREG, ro_compat,
};
use driver_core::Ownership;
use driver_core::guest_path::{components, split_last as split};
use ext2fs_sys::Inode;
use format_core::{Error, ErrorKind, Result, codes};

/// `EXT4_LINK_MAX`: a folder with more links counts 1, where the `dir_nlink` feature allows it.
const LINK_MAX: u32 = 65_000;
/// Block reads of one edit at most, on top of those for its content.
const MAX_READS: u64 = 1 << 20;
/// The label that SELinux gave to the folder is what its policy mostly gives to new files in there.
const INHERITED_XATTR: &str = "security.selinux";

impl ExtFs {
    /// Called first by every edit.
    fn start_edit(&mut self, bytes: u64) -> Result<()> {
        self.editable()?;
        self.io.grant(MAX_READS + bytes / 128);
        if !self.bitmaps_loaded {
            let loaded = self.fs.load_bitmaps();
            self.check(loaded)?;
            self.bitmaps_loaded = true;
        }
        Ok(())
    }

    /// Refuses when `bytes` of content and a new name do not fit, where `reused` blocks become free first.
    fn need_space(&self, bytes: u64, reused: u64) -> Result<()> {
        let space = self.fs.space();
        let block = u64::from(space.block_size);
        let content = bytes.div_ceil(block);
        // One mapping block per 80 blocks is more than extents or indirect blocks of 1 KiB take; the rest is for
        // folder blocks, htree splits and attributes.
        let needed = content + content.div_ceil(80) + 8;
        let has = space.free_blocks + reused;
        if needed <= has && space.free_inodes > 0 {
            return Ok(());
        }
        let what = if needed > has {
            format!("needs {} bytes, has {}", needed.saturating_mul(block), has.saturating_mul(block))
        } else {
            "no free inode".to_owned()
        };
        let error = Error::needs_person(format!("no space in the guest's file system: {what}"))
            .with_code(&codes::GUEST_SPACE);
        Err(error.in_format("ext4").hint("free space in the guest and try again"))
    }

    /// Refuses when an edit of what `names` lead to, or of a folder on the way, would free or overwrite blocks that
    /// belong to something else. A damaged file system without checksums shows it in no other way.
    fn check_blocks(&self, names: &[&str]) -> Result<()> {
        let Some(chain) = self.chain(names)? else { return Ok(()) };
        self.check_inodes(&chain, &format!("/{}", names.join("/")))
    }

    /// `what` names the inodes for the reader.
    pub(crate) fn check_inodes(&self, inodes: &[u32], what: &str) -> Result<()> {
        let found = self.check(self.fs.find_damage(inodes)).map_err(|error| match error.kind() {
            ErrorKind::Corrupt => {
                ExtError::Mapping { what: what.to_owned(), reason: error.message().to_owned() }.into()
            }
            _ => error,
        })?;
        let damage = found.map(|(ino, damage)| ExtError::Inode { ino, damage });
        damage.map_or(Ok(()), |damage| Err(Error::from(damage).context(format!("edit {what}"))))
    }

    fn editable_file(&self, path: &str) -> Result<(u32, Inode)> {
        let (ino, inode) = self.find_kind(path, S_IFREG)?;
        let reason = match inode.flags & (EXT4_ENCRYPT_FL | EXT4_VERITY_FL) {
            0 => {
                self.check_blocks(&components(path)?)?;
                return Ok((ino, inode));
            }
            EXT4_VERITY_FL => "sealed by fs-verity",
            _ => "encrypted by the guest (fscrypt)",
        };
        Err(Error::needs_person(format!("{path:?} is {reason}")).in_format("ext4"))
    }

    /// The folder that is to hold a new name, and the name.
    fn place_for<'a>(&self, path: &'a str) -> Result<(u32, &'a str)> {
        let (parent, name) = split_last(path)?;
        let folder = self.resolve(&parent)?;
        let folder = folder.ok_or_else(|| Error::usage(format!("there is no folder for {path:?}")))?;
        let inode = self.stat(folder)?;
        if inode.mode & S_IFMT != S_IFDIR {
            return Err(Error::usage(format!("there is no folder for {path:?}")));
        }
        if inode.flags & EXT4_ENCRYPT_FL != 0 {
            return Err(Error::needs_person(format!("the folder of {path:?} is encrypted by the guest"))
                .in_format("ext4"));
        }
        self.check_blocks(&parent)?;
        if self.check(self.fs.lookup(folder, name))?.is_some() {
            return Err(Error::usage(format!("{path:?} exists")));
        }
        Ok((folder, name))
    }

    pub(crate) fn replace(&mut self, path: &str, content: &[u8]) -> Result<()> {
        self.start_edit(content.len() as u64)?;
        let (ino, inode) = self.editable_file(path)?;
        let reused = u64::from(inode.sectors) * 512 / u64::from(self.sb.block_size());
        self.need_space(content.len() as u64, reused)?;
        self.rewrite(ino, content)
    }

    fn rewrite(&mut self, ino: u32, content: &[u8]) -> Result<()> {
        let done = self.fs.empty_file(ino).and_then(|()| self.fs.write(ino, 0, content));
        self.after(done)
    }

    pub(crate) fn append(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        self.start_edit(bytes.len() as u64)?;
        let (ino, inode) = self.editable_file(path)?;
        self.need_space(bytes.len() as u64, 0)?;
        if inode.flags & EXT4_INLINE_DATA_FL != 0 {
            let mut whole = self.content(ino, &inode, u64::from(self.sb.block_size()))?;
            whole.extend_from_slice(bytes);
            return self.rewrite(ino, &whole);
        }
        let done = self.fs.write(ino, inode.size, bytes).and_then(|()| self.fs.touch(ino));
        self.after(done)
    }

    pub(crate) fn new_file(&mut self, path: &str, content: &[u8], owner: Ownership) -> Result<()> {
        self.start_edit(content.len() as u64)?;
        let (folder, name) = self.place_for(path)?;
        self.need_space(content.len() as u64, 0)?;
        let made = self.fs.create_file(folder, owner.mode & 0o7777, owner.uid, owner.gid);
        let ino = self.after(made)?;
        let done = self.fs.write(ino, 0, content);
        self.after(done)?;
        self.name(folder, name, ino)
    }

    pub(crate) fn new_folder(&mut self, path: &str, owner: Ownership) -> Result<()> {
        self.start_edit(0)?;
        let (folder, name) = self.place_for(path)?;
        self.need_space(0, 0)?;
        self.check_link_room(folder)?;
        let made = self.fs.create_folder(folder, owner.mode & 0o7777, owner.uid, owner.gid);
        let ino = self.after(made)?;
        self.name(folder, name, ino)?;
        self.count_subfolder(folder, true)
    }

    pub(crate) fn new_link(&mut self, path: &str, target: &str) -> Result<()> {
        self.start_edit(0)?;
        let (folder, name) = self.place_for(path)?;
        let longest = self.sb.block_size() as usize;
        if target.is_empty() || target.len() >= longest || target.contains('\0') {
            let message =
                format!("a link's target must have 1 to {} bytes and no NUL character", longest - 1);
            return Err(Error::usage(message));
        }
        self.need_space(target.len() as u64, 0)?;
        let made = self.fs.create_link(folder, target);
        let ino = self.after(made)?;
        self.name(folder, name, ino)
    }

    /// Names something new.
    fn name(&mut self, folder: u32, name: &str, ino: u32) -> Result<()> {
        let done = self
            .fs
            .copy_xattr(folder, ino, INHERITED_XATTR)
            .and_then(|()| self.fs.link(folder, name, ino))
            .and_then(|()| self.fs.touch(folder));
        self.after(done)
    }

    pub(crate) fn move_name(&mut self, from: &str, to: &str) -> Result<()> {
        self.start_edit(0)?;
        let (old_parent, old_name) = split_last(from)?;
        let missing = || Error::usage(format!("there is no {from:?}"));
        let old_folder = self.resolve(&old_parent)?.ok_or_else(missing)?;
        let ino = self.resolve(&components(from)?)?.ok_or_else(missing)?;
        let (new_folder, new_name) = self.place_for(to)?;
        if components(to)?.starts_with(&components(from)?) {
            return Err(Error::usage(format!("{to:?} lies in {from:?}")));
        }
        self.check_blocks(&components(from)?)?;
        self.need_space(0, 0)?;
        let is_folder = self.stat(ino)?.mode & S_IFMT == S_IFDIR;
        let moves_folder = is_folder && old_folder != new_folder;
        if moves_folder {
            self.check_link_room(new_folder)?;
        }
        let done = self.fs.link(new_folder, new_name, ino).and_then(|()| {
            self.fs.unlink(old_folder, old_name, ino)?;
            if moves_folder {
                self.fs.set_parent(ino, new_folder)?;
            }
            self.fs.touch(old_folder)?;
            self.fs.touch(new_folder)
        });
        self.after(done)?;
        if moves_folder {
            self.count_subfolder(old_folder, false)?;
            self.count_subfolder(new_folder, true)?;
        }
        Ok(())
    }

    pub(crate) fn remove_name(&mut self, path: &str) -> Result<()> {
        self.start_edit(0)?;
        let (parent, name) = split_last(path)?;
        let missing = || Error::usage(format!("there is no {path:?}"));
        let folder = self.resolve(&parent)?.ok_or_else(missing)?;
        let (ino, inode) = self.find(path)?.ok_or_else(missing)?;
        let is_folder = inode.mode & S_IFMT == S_IFDIR;
        if is_folder && !self.entries(ino)?.is_empty() {
            return Err(Error::usage(format!("the folder {path:?} is not empty")));
        }
        self.check_blocks(&components(path)?)?;
        self.io.grant(MAX_READS);
        let done = self.fs.unlink(folder, name, ino).and_then(|()| {
            self.fs.touch(folder)?;
            match u16::try_from(inode.links.saturating_sub(1)) {
                Ok(left) if left > 0 && !is_folder => self.fs.set_links(ino, left),
                _ => self.fs.release(ino),
            }
        });
        self.after(done)?;
        if is_folder { self.count_subfolder(folder, false) } else { Ok(()) }
    }

    fn check_link_room(&self, folder: u32) -> Result<()> {
        let uncounted = self.sb.feature_ro_compat & ro_compat::DIR_NLINK != 0;
        if uncounted || self.stat(folder)?.links + 1 < LINK_MAX {
            return Ok(());
        }
        Err(Error::needs_person(format!("the folder has {LINK_MAX} folders already")).in_format("ext4"))
    }

    /// Counts the `..` of a folder that came to or went from `folder`. 1 means "too many to count" and stays.
    fn count_subfolder(&mut self, folder: u32, came: bool) -> Result<()> {
        let links = self.stat(folder)?.links;
        let links = match (links, came) {
            (1, _) => return Ok(()),
            (_, false) => links.saturating_sub(1),
            (_, true) if links + 1 >= LINK_MAX => 1,
            (_, true) => links + 1,
        };
        let links = u16::try_from(links).unwrap_or(1);
        let done = self.fs.set_links(folder, links);
        self.after(done)
    }

    /// An edit that failed half-way leaves the library's state unknown: nothing may follow it, least of all
    /// writing that state out.
    fn after<T>(&mut self, result: ext2fs_sys::Result<T>) -> Result<T> {
        self.edited = true;
        self.check(result).inspect_err(|error| {
            let reason = format!("an earlier edit failed: {error}");
            self.obstacle = Some(Obstacle::from(Error::needs_person(reason)));
        })
    }

    pub(crate) fn write_out(&mut self) -> Result<()> {
        if !self.edited {
            return Ok(());
        }
        self.editable()?;
        self.fs.recount_free();
        let done = self.fs.flush();
        self.after(done)
    }
}

/// The parent's components and the last name, of a length that ext4 takes.
fn split_last(path: &str) -> Result<(Vec<&str>, &str)> {
    let (parent, last) = split(path)?;
    if last.len() > NAME_LEN {
        return Err(Error::usage(format!("{last:?} is longer than {NAME_LEN} bytes")));
    }
    Ok((parent, last))
}
