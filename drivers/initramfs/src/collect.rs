//! Fills a [`Listing`] while the entries of an image pass by.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Read;

use crate::cpio;
use crate::error::{Error, Result};
use crate::listing::{FileKind, Listing, split_version};
use crate::segment::{self, Content, Entry, Limits};

/// Small files whose content is kept, and a folder whose files are: lists of modules to load early, who made the image,
/// and where LVM looks for disks.
const KEPT: [&str; 6] = [
    "conf/modules",
    "config",
    "etc/initrd-release",
    "usr/lib/initrd-release",
    "etc/lvm/lvm.conf",
    "etc/lvm/lvmlocal.conf",
];
const KEPT_FOLDER: &str = "etc/cmdline.d/";

/// Bytes of paths that may be looked up while links are followed; an image of 20,000 files needs some 3 MiB.
const LOOKUP_BYTES: u64 = 32 << 20;
/// Links that are followed in one path, as in the kernel.
const LINKS: u32 = 40;

pub(crate) fn collect<R: Read>(image: R, limits: &Limits) -> Result<Listing> {
    let mut collector = Collector {
        limits,
        listing: Listing::default(),
        waiting: HashMap::new(),
        stored: HashSet::new(),
        lookups: 0,
        kept_bytes: 0,
    };
    let segments = segment::walk(image, limits, &mut |entry, content| collector.add(entry, content))?;
    let mut listing = collector.finish();
    listing.segments = segments;
    Ok(listing)
}

/// Walks along `path`, following links; the last component only if `last`. Adds the bytes looked up to `cost`.
pub(crate) fn follow(links: &BTreeMap<String, String>, path: &str, last: bool, cost: &mut u64) -> String {
    let mut todo: Vec<&str> = path.rsplit('/').collect();
    let mut done = String::new();
    let mut followed = 0;
    while let Some(part) = todo.pop() {
        *cost += 1;
        match part {
            "" | "." => continue,
            ".." => {
                done.truncate(done.rfind('/').unwrap_or(0));
                continue;
            }
            _ => {}
        }
        let parent = done.len();
        if parent > 0 {
            done.push('/');
        }
        done.push_str(part);
        *cost += done.len() as u64;
        if todo.is_empty() && !last || followed == LINKS || *cost > LOOKUP_BYTES {
            continue;
        }
        if let Some(target) = links.get(&done) {
            followed += 1;
            done.truncate(if target.starts_with('/') { 0 } else { parent });
            todo.extend(target.rsplit('/'));
        }
    }
    done
}

/// Identity of a hard-linked file: archive, device, inode.
type Inode = (u32, (u32, u32), u32);

struct Collector<'l> {
    limits: &'l Limits,
    listing: Listing,
    /// Kept paths that are hard links without content so far: cpio stores it with the last link.
    waiting: HashMap<Inode, Vec<String>>,
    /// Hard-linked files whose content has passed.
    stored: HashSet<Inode>,
    lookups: u64,
    kept_bytes: u64,
}

impl Collector<'_> {
    fn add(&mut self, entry: &Entry, content: &mut Content<'_, '_>) -> Result<()> {
        let header = &entry.header;
        let path = follow(&self.listing.links, &entry.name, false, &mut self.lookups);
        if self.lookups > LOOKUP_BYTES {
            return Err(Error::Limit { segment: 0, what: "bytes of paths to look up", limit: LOOKUP_BYTES });
        }
        if path.is_empty() {
            return Ok(());
        }
        self.listing.newest = self.listing.newest.max(header.mtime);
        self.listing.kept.remove(&path);
        self.listing.links.remove(&path);
        let kind = match header.mode & cpio::S_IFMT {
            cpio::S_IFDIR => FileKind::Directory,
            cpio::S_IFLNK => {
                let target = entry.target.clone().unwrap_or_default();
                self.listing.links.insert(path.clone(), target.clone());
                FileKind::Symlink { target }
            }
            cpio::S_IFREG => {
                self.keep(entry, &path, content)?;
                FileKind::File { size: header.filesize, links: header.nlink }
            }
            _ => FileKind::Special,
        };
        self.listing.entries.insert(path, kind);
        Ok(())
    }

    fn keep(&mut self, entry: &Entry, path: &str, content: &mut Content<'_, '_>) -> Result<()> {
        let header = &entry.header;
        let wanted = is_kept(path) && header.filesize as u64 <= self.limits.kept_file;
        let inode = (entry.archive, header.dev, header.ino);
        let linked = header.nlink > 1;
        if linked && header.filesize == 0 {
            if wanted && !self.stored.contains(&inode) {
                self.waiting.entry(inode).or_default().push(path.to_owned());
            }
            return Ok(());
        }
        let mut paths = Vec::new();
        if linked {
            self.stored.insert(inode);
            paths = self.waiting.remove(&inode).unwrap_or_default();
        }
        if wanted {
            paths.push(path.to_owned());
        }
        if paths.is_empty() || u64::from(header.filesize) > self.limits.kept_file {
            return Ok(());
        }
        let bytes = content.read_all(self.limits.kept_file)?;
        for path in paths {
            self.kept_bytes += bytes.len() as u64;
            let limit = self.limits.kept_file.saturating_mul(4);
            if self.kept_bytes > limit {
                return Err(Error::Limit { segment: 0, what: "bytes of kept files", limit });
            }
            self.listing.kept.insert(path, bytes.clone());
        }
        Ok(())
    }

    fn finish(mut self) -> Listing {
        // A link that nobody gave content to is an empty file.
        for path in self.waiting.into_values().flatten() {
            if matches!(self.listing.entries.get(&path), Some(FileKind::File { size: 0, .. })) {
                self.listing.kept.entry(path).or_default();
            }
        }
        self.listing
    }
}

fn is_kept(path: &str) -> bool {
    KEPT.contains(&path)
        || path == crate::nash::SCRIPT
        || path.starts_with(KEPT_FOLDER)
        || split_version(path).is_some_and(|(_, rest)| rest == "modules.dep")
}
