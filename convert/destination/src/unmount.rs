//! Unmounting that is refused where it would hurt, waits for nobody's good will, and is verified.

use crate::escapes::shell_word;
use crate::holders::{holders, other_namespaces, told};
use crate::isolation::Isolator;
use crate::marker::open_folder;
use crate::mounts::{Mount, fstab, mount_of, mounts};
use crate::record::Remembered;
use crate::volume::{Volume, VolumeKind, node_of};
use format_core::{Error, ErrorKind, Result};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What may be unmounted, together with others, and can be mounted again.
///
/// # Errors
/// Why not, with what a person can do.
pub(crate) fn may_unmount(isolator: &Isolator<'_>, mount: &Mount, together: &[Mount]) -> Result<Remembered> {
    let host = isolator.host;
    let point = mount.point.display();
    if mount.point == Path::new("/") || crate::rule::is_root_disk(host, mount)? {
        let text = format!("{point} is on the disk that this host runs from, which is never unmounted");
        return Err(Error::usage(text).hint("use a destination on a volume of its own"));
    }
    let all = mounts(host)?;
    let goes = |other: &Mount| together.iter().any(|it| it.id == other.id);
    if let Some(below) = all.iter().find(|other| other.parent == mount.id && !goes(other)) {
        let below = below.point.display();
        return Err(Error::needs_person(format!("{below} is mounted below {point}")).hint(format!(
            "unmount what is below first; this shows it: findmnt -R {}",
            shell_word(&mount.point)
        )));
    }
    let again = |other: &&Mount| other.device == mount.device && other.id != mount.id && !goes(other);
    if let Some(again) = all.iter().find(again) {
        let text = format!(
            "the volume at {point} is also mounted at {}: it would stay in reach there",
            again.point.display()
        );
        return Err(
            Error::needs_person(text).hint(format!("unmount it there: umount {}", shell_word(&again.point)))
        );
    }
    if all.iter().any(|other| other.id == mount.parent && other.fs_type == "autofs") {
        let text = format!("an automounter has {point}, and mounts it again for whoever looks there");
        return Err(Error::unsupported(text)
            .hint("take it out of the automounter's maps, or stop its unit; systemctl list-units --type automount shows it"));
    }
    let volume = Volume::of(host, mount);
    comes_back(isolator, mount, &volume)?;
    for path in isolator.keep.iter().map(PathBuf::as_path).chain([isolator.state]) {
        if lies_on(isolator, path, mount) {
            let text = format!("{} lies on {point} and is needed while that is unmounted", path.display());
            return Err(Error::usage(text).hint("keep state, logs and sources on another volume"));
        }
    }
    Ok(Remembered::new(mount, volume))
}

/// Refuses what this program could not mount again as it was.
fn comes_back(isolator: &Isolator<'_>, mount: &Mount, volume: &Volume) -> Result<()> {
    let (host, point) = (isolator.host, mount.point.display());
    let in_fstab = fstab(host).iter().any(|entry| entry.point == mount.point);
    let fs = &volume.fs_type;
    match volume.kind {
        VolumeKind::Memory => {
            Err(Error::unsupported(format!("{point} lies in memory ({fs}): unmounted, it is lost"))
                .hint("use a destination on a disk or a server"))
        }
        VolumeKind::Disk if fs == "fuseblk" && !in_fstab => Err(by_fstab(mount, fs)),
        VolumeKind::Disk => {
            // A subvolume of btrfs is named by its options, too.
            if mount.root != Path::new("/") && mount.super_value("subvol").is_none() {
                let root = mount.root.display();
                return Err(Error::unsupported(format!(
                    "{point} shows only the folder {root} of its volume (a bind mount)"
                ))
                .hint("mount the whole volume"));
            }
            let name = node_of(host, mount).and_then(|node| Some(node.file_name()?.to_owned()));
            let flag = host.sys.join("block").join(name.unwrap_or_default()).join("loop/autoclear");
            if std::fs::read_to_string(flag).is_ok_and(|flag| flag.trim() == "1") {
                let text = format!("the loop device of {point} vanishes when it is unmounted");
                return Err(Error::unsupported(text).hint(format!(
                    "make the loop device first (losetup --find --show FILE), then mount it at {}",
                    shell_word(&mount.point)
                )));
            }
            Ok(())
        }
        VolumeKind::Network | VolumeKind::Other if in_fstab => Ok(()),
        VolumeKind::Network | VolumeKind::Other => Err(by_fstab(mount, fs)),
    }
}

fn by_fstab(mount: &Mount, fs: &str) -> Error {
    let point = mount.point.display();
    Error::unsupported(format!(
        "nothing tells how to mount {point} again ({fs}): it has no entry in /etc/fstab"
    ))
    .hint("add the entry, for example with the option noauto, so that 'mount' and the folder's name suffice")
}

/// Whether `path`, or what there is of it, lies on `mount`.
fn lies_on(isolator: &Isolator<'_>, path: &Path, mount: &Mount) -> bool {
    let Ok(path) = std::path::absolute(path) else { return false };
    let opened = path.ancestors().find_map(|ancestor| {
        let ancestor = std::fs::canonicalize(ancestor).ok()?;
        // Without opening: it may be a device or a pipe.
        rustix::fs::open(&ancestor, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()
    });
    let found = opened.and_then(|opened| mount_of(isolator.host, &File::from(opened)).ok());
    found.is_some_and(|found| found.id == mount.id)
}

/// Writes everything out and unmounts, waiting a while for those who use it.
///
/// # Errors
/// Kind `Temporary` where it stays in use; others where the system refuses or data could not be written.
pub(crate) fn unmount(isolator: &Isolator<'_>, mount: &Mount) -> Result<()> {
    let point = &mount.point;
    let failed = |what: &str, e: Errno| Error::io(format!("cannot {what} {}", point.display()), e.into());
    {
        let (opened, there) = open_folder(isolator.host, point)?;
        if there.id != mount.id {
            let text = format!("what is mounted at {} has changed", point.display());
            return Err(Error::new(ErrorKind::Temporary, text).hint("try again"));
        }
        // The last chance to hear of a write that failed: unmounting does not tell.
        rustix::fs::syncfs(&opened).map_err(|e| failed("write out", e))?;
    }
    let end = Instant::now() + isolator.patience;
    loop {
        match rustix::mount::unmount(point, UnmountFlags::NOFOLLOW) {
            Ok(()) | Err(Errno::INVAL) => return Ok(()),
            Err(Errno::BUSY) if Instant::now() < end => isolator.pause()?,
            Err(Errno::BUSY) => {
                let by = told(&holders(isolator.host, mount));
                let text = format!("{} is in use by {by}", point.display());
                return Err(Error::new(ErrorKind::Temporary, text).hint(format!(
                    "end what uses it, and try again; this shows it: fuser -vm {}",
                    shell_word(point)
                )));
            }
            Err(Errno::PERM) => {
                return Err(
                    failed("unmount", Errno::PERM).hint("run the command as root, for example with sudo")
                );
            }
            Err(e) => return Err(failed("unmount", e)),
        }
    }
}

/// That the volume is mounted nowhere any more, as sentences of what was looked at.
///
/// # Errors
/// Kind `Temporary` where it still is.
pub(crate) fn verify_gone(isolator: &Isolator<'_>, mount: &Mount) -> Result<Vec<String>> {
    let point = mount.point.display();
    let still = mounts(isolator.host)?.into_iter().find(|other| other.device == mount.device);
    if let Some(still) = still {
        let text = format!("the volume of {point} is still mounted at {}", still.point.display());
        return Err(Error::new(ErrorKind::Temporary, text));
    }
    let mut verified = vec![format!("{point} is not in the table of mounts any more")];
    let end = Instant::now() + isolator.patience;
    loop {
        let free = node_of(isolator.host, mount).and_then(|node| is_free(&node));
        let others = other_namespaces(isolator.host, mount.device);
        match (others.is_empty(), free) {
            (true, Some(true)) => {
                verified
                    .push("the kernel gives its device for exclusive use: no mount anywhere holds it".into());
                return Ok(verified);
            }
            (true, None) => {
                verified.push("no mount namespace that can be seen from here has it".into());
                return Ok(verified);
            }
            _ if Instant::now() < end => isolator.pause()?,
            (false, _) => {
                let text =
                    format!("the volume of {point} is still mounted for other processes: {}", told(&others));
                return Err(Error::new(ErrorKind::Temporary, text)
                    .hint("end the service or container that sees the volume, and try again"));
            }
            (true, Some(false)) => {
                let text =
                    format!("the device of {point} is still claimed, by another mount or by the kernel");
                return Err(Error::new(ErrorKind::Temporary, text).hint("look at lsblk, and try again"));
            }
        }
    }
}

/// Whether nobody claims the device; nothing where it cannot be asked.
fn is_free(node: &Path) -> Option<bool> {
    // Of a block device, O_EXCL fails while it is mounted in any namespace.
    match rustix::fs::open(
        node,
        OFlags::RDONLY | OFlags::EXCL | OFlags::NONBLOCK | OFlags::CLOEXEC,
        Mode::empty(),
    ) {
        Ok(_) => Some(true),
        Err(Errno::BUSY) => Some(false),
        Err(_) => None,
    }
}
