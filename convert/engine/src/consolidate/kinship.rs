//! Whether an image is based on a file that would go: its parent's names are followed as QEMU would, whatever the gate says,
//! but nothing is opened. Only the numbers of the files are compared.

use format_core::{Layer, ParentRef};
use serde_json::Value;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Protocols whose files lie on another host or belong to another program.
const ELSEWHERE: [&str; 12] =
    ["nbd", "http", "https", "ftp", "ftps", "ssh", "sftp", "iscsi", "rbd", "nfs", "gluster", "sheepdog"];
/// How deep names lie in names (`json:` in `json:`); deeper, nobody means it.
const MAX_DEPTH: usize = 8;

/// What would go.
pub(super) struct Removed<'a> {
    /// The images, with what they hold.
    pub(super) images: Vec<(&'a Path, &'a dyn Layer)>,
    /// All files, those of the replaced image too, with their device and inode numbers.
    pub(super) files: Vec<((u64, u64), PathBuf)>,
}

/// What an image is to the files that would go.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Bond {
    /// It does not need them.
    None,
    /// It needs this one.
    Needs(PathBuf),
    /// It names its parent like this, and nobody knows which file that is.
    Unknown(String),
}

/// Where a name leads.
#[derive(Debug, PartialEq, Eq)]
enum Leads {
    To(u64, u64),
    /// There is a file of that name, if a name it was.
    Perhaps(u64, u64),
    /// To no file of this host.
    Nowhere,
    /// Nobody knows.
    Unclear,
}

impl Removed<'_> {
    /// The file with these numbers, if it would go.
    pub(super) fn file(&self, id: (u64, u64)) -> Option<&Path> {
        self.files.iter().find(|(own, _)| *own == id).map(|(_, path)| path.as_path())
    }

    /// What a name that leads to no file looks like: `json:{…}`, an absolute name of another host.
    fn called_in(&self, name: &str) -> Option<&Path> {
        // `disk-p1.qcow2` is not `p1.qcow2`.
        let is_whole = |start: usize| {
            let before = name.get(..start).and_then(|before| before.chars().next_back());
            before.is_none_or(|c| !c.is_alphanumeric() && !"-_.".contains(c))
        };
        let is_called = |path: &Path| {
            let own = path.file_name().and_then(|own| own.to_str());
            own.is_some_and(|own| name.match_indices(own).any(|(start, _)| is_whole(start)))
        };
        self.files.iter().map(|(_, path)| path.as_path()).find(|path| is_called(path))
    }

    /// What the image in `folder` that has this parent is to these files.
    pub(super) fn bond(&self, parent: &ParentRef, folder: &Path) -> Bond {
        let (mut is_found, mut unclear) = (false, None);
        for name in &parent.names {
            let leads = follow(folder, name, 0);
            for end in &leads {
                if let Leads::To(device, inode) | Leads::Perhaps(device, inode) = end
                    && let Some(path) = self.file((*device, *inode))
                {
                    return Bond::Needs(path.to_owned());
                }
            }
            if leads.iter().any(|end| matches!(end, Leads::To(..))) {
                is_found = true;
                continue;
            }
            if let Some(path) = self.called_in(name) {
                return Bond::Needs(path.to_owned());
            }
            if leads.contains(&Leads::Unclear) {
                unclear = unclear.or(Some(name));
            }
        }
        if is_found {
            return Bond::None;
        }
        match (parent.identity.as_deref(), unclear) {
            (Some(wanted), _) => {
                let found = self.images.iter().find(|(_, layer)| layer.is_identified_by(wanted));
                found.map_or(Bond::None, |(path, _)| Bond::Needs((*path).to_owned()))
            }
            (None, Some(name)) => Bond::Unknown(name.clone()),
            (None, None) => Bond::None,
        }
    }
}

/// The files that a name may mean; at least one end.
fn follow(folder: &Path, name: &str, depth: usize) -> Vec<Leads> {
    if depth > MAX_DEPTH {
        return vec![Leads::Unclear];
    }
    let literal = follow_path(folder, name);
    if matches!(literal, Leads::To(..)) {
        return vec![literal];
    }
    match name.split_once(':') {
        Some(("json", text)) => follow_json(folder, text, depth),
        Some(("file", path)) => vec![follow_path(folder, path)],
        // `nbd+unix://`, `gluster+tcp://`
        Some((scheme, _)) if ELSEWHERE.contains(&scheme.split('+').next().unwrap_or(scheme)) => {
            vec![Leads::Nowhere]
        }
        // `C:\…`, which is absolute.
        Some((drive, _)) if drive.len() == 1 => vec![Leads::Nowhere],
        _ => vec![literal],
    }
}

fn follow_path(folder: &Path, name: &str) -> Leads {
    match folder.join(name).metadata() {
        Ok(found) if found.is_dir() => Leads::Unclear,
        Ok(found) => Leads::To(found.dev(), found.ino()),
        Err(e) => match e.kind() {
            // A relative one may mean a file that was renamed since.
            ErrorKind::NotFound | ErrorKind::NotADirectory if is_absolute(name) => Leads::Nowhere,
            _ => Leads::Unclear,
        },
    }
}

/// `/x`, or `\\host\x`, `\\?\Volume{…}` of Windows.
fn is_absolute(name: &str) -> bool {
    name.starts_with('/') || name.starts_with("\\\\")
}

/// All texts in a description of a block device of QEMU that are names of files, and all that happen to be.
fn follow_json(folder: &Path, text: &str, depth: usize) -> Vec<Leads> {
    let Ok(described) = serde_json::from_str::<Value>(text) else { return vec![Leads::Unclear] };
    let mut ends = Vec::new();
    let mut open = vec![("", &described)];
    while let Some((key, value)) = open.pop() {
        match value {
            Value::Object(map) => open.extend(map.iter().map(|(key, value)| (key.as_str(), value))),
            Value::Array(list) => open.extend(list.iter().map(|value| (key, value))),
            Value::String(name) => {
                let is_named = key.rsplit('.').next() == Some("filename");
                let is_elsewhere = key.ends_with("driver") && ELSEWHERE.contains(&name.as_str());
                match is_named {
                    true => ends.extend(follow(folder, name, depth + 1)),
                    false if is_elsewhere => ends.push(Leads::Nowhere),
                    // `file: "cur"` would be the name of a node.
                    false => {
                        if let Leads::To(device, inode) = follow_path(folder, name) {
                            ends.push(Leads::Perhaps(device, inode));
                        }
                    }
                }
            }
            _ => {}
        }
    }
    if ends.iter().all(|end| matches!(end, Leads::Perhaps(..))) {
        ends.push(Leads::Unclear);
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn based_on(name: &str) -> ParentRef {
        ParentRef { names: vec![name.to_owned()], format: None, identity: None }
    }

    #[test]
    fn names_are_followed_to_the_file_however_they_are_written() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let folder = root.join("images");
        for name in ["images", "elsewhere"] {
            std::fs::create_dir(root.join(name)).unwrap();
        }
        for path in ["images/p1.qcow2", "images/kept.qcow2", "elsewhere/p1.qcow2"] {
            std::fs::write(root.join(path), path).unwrap();
        }
        symlink("p1.qcow2", folder.join("cur")).unwrap();
        symlink(folder.join("cur"), root.join("elsewhere/far")).unwrap();
        symlink("loop", folder.join("loop")).unwrap();
        let goes = folder.join("p1.qcow2");
        let found = goes.metadata().unwrap();
        let removed = Removed { images: Vec::new(), files: vec![((found.dev(), found.ino()), goes.clone())] };
        let bond = |name: &str| removed.bond(&based_on(name), &folder);
        let far = root.join("elsewhere/far").display().to_string();
        for name in [
            "p1.qcow2",
            "cur",
            "./cur",
            "file:cur",
            "../elsewhere/far",
            &far,
            r#"json:{"driver":"qcow2","file":{"driver":"file","filename":"cur"}}"#,
            r#"json:{"driver":"qcow2","file.driver":"file","file.filename":"cur"}"#,
            r#"json:{"file":{"filename":"json:{\"file\":{\"filename\":\"cur\"}}"}}"#,
            "json:{'file':{'filename':'p1.qcow2'}}",
            "/another/host/p1.qcow2",
            r"C:\images\p1.qcow2",
            "nbd://host/p1.qcow2",
        ] {
            assert_eq!(bond(name), Bond::Needs(goes.clone()), "{name}");
        }
        let named_alike = root.join("elsewhere/p1.qcow2").display().to_string();
        for name in [
            "kept.qcow2",
            &named_alike,
            "/another/host/x.qcow2",
            "/another/host/disk-p1.qcow2",
            r"C:\images\x.qcow2",
            "nbd+unix:///export?socket=/run/x",
            r#"json:{"driver":"qcow2","file":{"driver":"file","filename":"kept.qcow2"}}"#,
            r#"json:{"driver":"raw","file":{"driver":"nbd","host":"x","port":"10809"}}"#,
        ] {
            assert_eq!(bond(name), Bond::None, "{name}");
        }
        for name in [
            "gone.qcow2",
            "loop",
            "json:{'file':{'filename':'x'}}",
            "json:{}",
            r#"json:{"file":"kept.qcow2"}"#,
            "blkdebug::x",
            "fat:x",
            r#"json:{"file":{"filename":"x"}}"#,
        ] {
            assert_eq!(bond(name), Bond::Unknown(name.to_owned()), "{name}");
        }
    }
}
