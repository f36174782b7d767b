//! Which members of an archive are disks.

use crate::error::TarError;
use format_core::units::SECTOR;
use format_core::{Error, Result, Score, Storage};
use std::collections::HashSet;
use std::sync::Arc;
use tar_members::{End, Kind, Member, StorageInput, Walker};

/// More members than an archive of disks has, and than an index should keep.
const MAX_MEMBERS: usize = 100_000;
/// What never is a disk, by its name.
const NO_DISKS: &[&str] = &[
    "asc", "cert", "cfg", "conf", "crc", "csv", "htm", "html", "ini", "json", "log", "md", "md5", "mf",
    "nvram", "ova", "ovf", "pdf", "pem", "png", "sh", "sha1", "sha256", "sha512", "sig", "sum", "txt",
    "vbox", "vmsd", "vmx", "vmxf", "xml", "yaml", "yml",
];
/// What raw disks are called; also no extension at all.
const RAW: &[&str] = &["raw", "img", "dd", "bin", "disk"];

/// All members of an archive.
pub(crate) struct Index {
    pub(crate) members: Vec<Member>,
    /// The places in `members` of those that may be disks.
    pub(crate) disks: Vec<usize>,
    pub(crate) end: End,
}

impl Index {
    /// Reads all headers.
    pub(crate) fn load(storage: &Arc<dyn Storage>) -> Result<Self> {
        let mut walker = Walker::new(StorageInput::new(Arc::clone(storage)));
        let (mut members, mut disks, mut names) = (Vec::new(), Vec::new(), HashSet::new());
        while let Some(member) = walker.next_member().map_err(own)? {
            if members.len() >= MAX_MEMBERS {
                return Err(TarError::Members { limit: MAX_MEMBERS }.into());
            }
            if is_disk(&member) {
                disks.push(members.len());
                // The later one would replace the earlier where the archive is unpacked, or not.
                if !names.insert(plain_name(&member.name).to_owned()) {
                    return Err(TarError::Twice { name: plain_name(&member.name).to_owned() }.into());
                }
            }
            members.push(member);
        }
        Ok(Self { members, disks, end: walker.end().unwrap_or(End::Open) })
    }

    pub(crate) fn disk(&self, index: usize) -> Result<&Member> {
        let found = self.disks.get(index).and_then(|at| self.members.get(*at));
        found.ok_or_else(|| Error::contract(format!("disk {index} of {}", self.disks.len())))
    }

    /// There is nothing to convert.
    pub(crate) fn no_disk(&self) -> TarError {
        let first = self.members.first().map_or(String::new(), |m| format!(", the first is {:?}", m.name));
        TarError::NoDisk { members: self.members.len(), first }
    }
}

/// The errors of headers are this room's.
pub(crate) fn own(error: Error) -> Error {
    error.in_format(crate::FORMAT.name)
}

/// A name as people type it.
pub(crate) fn plain_name(name: &str) -> &str {
    let mut name = name;
    while let Some(rest) = name.strip_prefix("./") {
        name = rest;
    }
    name
}

/// Whether a member may be a disk image.
pub(crate) fn is_disk(member: &Member) -> bool {
    let base = member.name.rsplit('/').next().unwrap_or_default();
    let is_known = extension(base).is_some_and(|extension| NO_DISKS.contains(&extension.as_str()));
    // macOS keeps attributes of files in such members.
    member.kind == Kind::File && member.size >= SECTOR && !is_known && !base.starts_with("._")
}

/// Whether a disk of this name is raw, and the bytes of the member are the guest's.
pub(crate) fn is_called_raw(name: &str) -> bool {
    let base = name.rsplit('/').next().unwrap_or_default();
    extension(base).is_none_or(|extension| RAW.contains(&extension.as_str()))
}

fn extension(base: &str) -> Option<String> {
    base.rsplit_once('.')
        .filter(|(stem, _)| !stem.is_empty())
        .map(|(_, extension)| extension.to_ascii_lowercase())
}

/// OVA files and Xen's backups are archives, too, and have rooms of their own.
pub(crate) fn probe(head: &[u8], _: &[u8]) -> Score {
    if !tar_members::is_tar(head) {
        return Score::No;
    }
    let members = tar_members::members_in(head);
    if members
        .iter()
        .find(|member| member.kind == Kind::File)
        .is_some_and(|member| is_xen_block(&member.name))
    {
        return Score::No;
    }
    let names = members.iter().map(|member| member.name.to_ascii_lowercase());
    let is_other = names.enumerate().any(|(at, name)| name.ends_with(".ovf") || at == 0 && name == "ova.xml");
    if is_other { Score::No } else { Score::Magic }
}

/// Whether it is called as a piece of a disk is in an export of XenServer: `Ref:7/00000000`. Its room says what is wrong
/// when such an archive does not begin as exports do.
fn is_xen_block(name: &str) -> bool {
    let name = name.strip_prefix("./").unwrap_or(name);
    let parts = name.strip_prefix("Ref:").and_then(|rest| rest.split_once('/'));
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    parts.is_some_and(|(disk, block)| are_digits(disk) && block.len() >= 8 && are_digits(block))
}

/// Whether the first disk is raw, so that it can be converted while it comes.
pub(crate) fn flows(head: &[u8]) -> bool {
    let members = tar_members::members_in(head);
    members.iter().find(|member| is_disk(member)).is_some_and(|member| is_called_raw(&member.name))
}
