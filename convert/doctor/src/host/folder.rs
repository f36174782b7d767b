//! What the file system of a folder can do. Files are made in it without a name where that is possible, and removed in any case.

use super::{Finding, State};
use rustix::fs::{FallocateFlags, Mode, OFlags};
use rustix::io::{Errno, ReadWriteFlags};
use std::fs::File;
use std::io::{IoSliceMut, Write};
use std::path::Path;

/// `RWF_DONTCACHE` of Linux 6.14 and later (include/uapi/linux/fs.h).
const DONTCACHE: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x80);
/// Bytes of a file for the trials: a whole block everywhere.
const TRIAL: usize = 128 << 10;

pub(super) fn findings(folder: &Path) -> Vec<Finding> {
    let shown = folder.display();
    let refused = |why: String| {
        vec![Finding::ok("folder", why).but(
            State::Missing,
            "nothing can be written there",
            "create the folder, mount its volume, or become its owner",
        )]
    };
    if !folder.is_dir() {
        return refused(format!("{shown} is no folder"));
    }
    let (first, second) = match (trial_file(folder), trial_file(folder)) {
        (Ok(first), Ok(second)) => (first, second),
        (Err(e), _) | (_, Err(e)) => return refused(format!("{shown}: {e}")),
    };
    let mut findings = vec![Finding::ok("folder", format!("{shown}, {}", kind(folder)))];
    findings.extend(room(folder));
    findings.extend([
        unnamed(folder),
        linked(folder),
        holes(first.as_file()),
        reflink(first.as_file(), second.as_file()),
        uncached(first.as_file()),
    ]);
    findings
}

fn trial_file(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut file = tempfile::Builder::new().prefix(".rehome-doctor-").tempfile_in(folder)?;
    file.write_all(&vec![1; TRIAL])?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// The file system's kind, by the magic numbers of linux/magic.h.
fn kind(folder: &Path) -> String {
    let Ok(found) = rustix::fs::statfs(folder) else { return "unknown file system".into() };
    let magic = found.f_type as u32;
    let name = match magic {
        0xef53 => "ext4",
        0x5846_5342 => "xfs",
        0x9123_683e => "btrfs",
        0x2fc1_2fc1 => "zfs",
        0x0102_1994 => "tmpfs",
        0x794c_7630 => "overlayfs",
        0x6969 => "nfs",
        0xff53_4d42 | 0xfe53_4d42 => "cifs",
        0x4d44 => "fat",
        0x2011_bab0 => "exfat",
        0x6573_5546 => "fuse",
        0x7366_746e => "ntfs3",
        0xf2f5_2010 => "f2fs",
        _ => return format!("file system {magic:#x}"),
    };
    name.into()
}

fn room(folder: &Path) -> Vec<Finding> {
    let Ok(found) = rustix::fs::statvfs(folder) else {
        return vec![Finding::ok("space", "the system does not tell")];
    };
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let mut space = Finding::ok("space", format!("{} MiB are free", free >> 20));
    if free < 1 << 30 {
        let get = "make room; rehome measure tells how much an image needs";
        space = space.but(State::Degraded, "most images do not fit", get);
    }
    // btrfs and some network file systems do not count.
    let mut inodes = Finding::ok(
        "inodes",
        match found.f_files {
            0 => "not counted".into(),
            all => format!("{} of {all} are free", found.f_favail),
        },
    );
    if found.f_files > 0 && found.f_favail < 1000 {
        inodes = inodes.but(State::Degraded, "no more files can be made soon", "remove small files there");
    }
    vec![space, inodes]
}

fn unnamed(folder: &Path) -> Finding {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR) {
        Ok(_) => Finding::ok("unnamed-files", "O_TMPFILE works"),
        Err(e) => Finding::ok("unnamed-files", format!("O_TMPFILE: {e}")).but(
            State::Degraded,
            "temporary files have names, and stay behind when the machine crashes",
            "use a local file system (ext4, XFS, btrfs) for --spool",
        ),
    }
}

/// Leases are made by hard links: either all of the file is there, or nothing.
fn linked(folder: &Path) -> Finding {
    let trial = || -> std::io::Result<()> {
        let place = tempfile::Builder::new().prefix(".rehome-doctor-").tempdir_in(folder)?;
        let (a, b) = (place.path().join("a"), place.path().join("b"));
        File::create(&a)?;
        std::fs::hard_link(&a, &b)
    };
    match trial() {
        Ok(()) => Finding::ok("hard-links", "work"),
        Err(e) => Finding::ok("hard-links", e.to_string()).but(
            State::Degraded,
            "several machines cannot share the folder in one batch safely",
            "use a file system with hard links for the output of a batch",
        ),
    }
}

fn holes(file: &File) -> Finding {
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    match rustix::fs::fallocate(file, punch, 0, TRIAL as u64 / 2) {
        Ok(()) => Finding::ok("holes", "files can have holes"),
        Err(e) => Finding::ok("holes", format!("holes cannot be made: {e}")).but(
            State::Degraded,
            "raw images may take all of the disk's size",
            "write a format that packs itself (qcow2, vmdk, vhdx), or use another file system",
        ),
    }
}

fn reflink(from: &File, to: &File) -> Finding {
    match rustix::fs::ioctl_ficlone(to, from) {
        Ok(()) => Finding::ok("reflinks", "blocks can be shared"),
        Err(e) => Finding::ok("reflinks", format!("blocks cannot be shared: {e}")).but(
            State::Degraded,
            "a raw copy on the same file system copies every byte",
            "use XFS with reflink=1 or btrfs where that matters",
        ),
    }
}

fn uncached(file: &File) -> Finding {
    let mut buf = vec![0; 4096];
    match rustix::io::preadv2(file, &mut [IoSliceMut::new(&mut buf)], 0, DONTCACHE) {
        Ok(_) => Finding::ok("uncached-reads", "RWF_DONTCACHE works"),
        Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => {
            Finding::ok("uncached-reads", "RWF_DONTCACHE is not known").but(
                State::Degraded,
                "reading a source drives other files out of the host's cache",
                "use Linux 6.14 or later with ext4, XFS or btrfs",
            )
        }
        Err(e) => Finding::ok("uncached-reads", e.to_string()).but(
            State::Degraded,
            "reading a source drives other files out of the host's cache",
            "look at the kernel's log",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_as_it_was_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let found = findings(folder.path());
        assert_eq!(found[0].state, State::Ok, "{found:?}");
        assert!(found.len() >= 8);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_is_no_folder() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let found = findings(file.path());
        assert_eq!((found.len(), found[0].state), (1, State::Missing));
    }
}
