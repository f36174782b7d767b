//! Devices of the VM: ranges of disks, mappings, arrays, and what is mounted from them.

use crate::failure::Doing;
use crate::modules::{for_file_system, for_target};
use crate::vm::{Device, Vm, lock, unexpected};
use crate::vm_fs::VmFs;
use crate::vm_volume::VmVolume;
use driver_core::{Mapping, MappingArgument, SECTOR, Volume};
use format_core::{Error, Result};
use microvm_init::{Line, Made, Reply, Request, Secret};
use std::sync::Arc;

/// Mappings on mappings at most.
const MAX_DEPTH: usize = 16;

fn device(made: Made, read_only: bool) -> Device {
    Device { path: made.path, size: made.size, read_only }
}

impl Vm {
    /// The device of `size` bytes from `start` of a disk: the whole disk, the partition that has this range, or one that the kernel is told
    /// of. A range that overlaps a partition of the table is a mapping over the whole disk, which no partition of it can be used beside.
    ///
    /// # Errors
    /// `Usage` for a range that is none of the disk's, or not in whole sectors; as all calls.
    pub fn part(&self, disk: usize, start: u64, size: u64) -> Result<Device> {
        let address =
            self.0.disks.get(disk).ok_or_else(|| Error::usage(format!("there is no disk {disk}")))?;
        let read_only = address.read_only;
        let number = u32::try_from(disk).map_err(|_| Error::usage("there is no such disk"))?;
        let what = format!("find the device at {start:#x} of disk {disk}");
        let Reply::Part { exact, disk: whole } =
            self.ask_quick(&what, &Request::Part { disk: number, start, size })?
        else {
            return Err(unexpected());
        };
        if let Some(exact) = exact {
            return Ok(device(exact, read_only));
        }
        let text = format!("{} {}", whole.path, start / SECTOR);
        let line = driver_core::MappingLine {
            start: 0,
            sectors: size / SECTOR,
            target: "linear".into(),
            arguments: vec![MappingArgument::Text(text)],
        };
        let name = format!("rehome-{disk}-{start:x}-{size:x}");
        self.map(&Mapping { name, uuid: String::new(), lines: vec![line], read_only }, &[])
    }

    /// Makes a mapping, and before it those that its table names. Each is made once, by its name. `/dev/mapper/NAME` and, for a logical
    /// volume, `/dev/VG/LV` lead to it.
    ///
    /// # Errors
    /// `Usage` when a member is missing or the name is taken by another mapping; `Unsupported` when the kernel has no such target;
    /// as all calls.
    pub fn map(&self, mapping: &Mapping, members: &[Device]) -> Result<Device> {
        self.map_at(mapping, members, 0)
    }

    fn map_at(&self, mapping: &Mapping, members: &[Device], depth: usize) -> Result<Device> {
        if depth > MAX_DEPTH {
            return Err(Error::usage("mappings lie too deep in each other"));
        }
        let known = lock(&self.0.mapped).iter().find(|(known, _)| known.name == mapping.name).cloned();
        match known {
            Some((known, device)) if known == *mapping => return Ok(device),
            Some(_) => return Err(Error::usage(format!("two mappings are called {}", mapping.name))),
            None => {}
        }
        let mut read_only = mapping.read_only;
        let mut lines = Vec::new();
        for line in &mapping.lines {
            self.load(for_target(&line.target))?;
            let mut arguments = Vec::new();
            for argument in &line.arguments {
                arguments.push(match argument {
                    MappingArgument::Text(text) | MappingArgument::Secret(text) => text.clone(),
                    MappingArgument::Member(place) => {
                        let member = members.get(*place);
                        let member = member
                            .ok_or_else(|| Error::usage(format!("{} has no member {place}", mapping.name)))?;
                        read_only |= member.read_only;
                        member.path.clone()
                    }
                    MappingArgument::Mapped(below) => {
                        let below = self.map_at(below, members, depth + 1)?;
                        read_only |= below.read_only;
                        below.path
                    }
                });
            }
            lines.push(Line {
                start: line.start,
                sectors: line.sectors,
                target: line.target.clone(),
                arguments: Secret(arguments.join(" ")),
            });
        }
        let (name, uuid) = (mapping.name.clone(), mapping.uuid.clone());
        let what = format!("make the mapping {name}");
        let reply = self.ask_slow(&what, &Request::Map { name, uuid, read_only, lines })?;
        let Reply::Device(made) = reply else { return Err(unexpected()) };
        let made = device(made, read_only);
        lock(&self.0.mapped).push((mapping.clone(), made.clone()));
        Ok(made)
    }

    /// Starts an md array from its members by their own superblocks, all levels but multipath. Nothing is synchronised. `/dev/md/NAME` leads to it.
    ///
    /// # Errors
    /// `Unsupported` when a member has no superblock or the kernel has no such level; `Corrupt` when the kernel does not start the array;
    /// as all calls.
    pub fn assemble(&self, name: &str, members: &[Device]) -> Result<Device> {
        let first = members.first().ok_or_else(|| Error::usage("an array without members"))?;
        let read_only = members.iter().any(|member| member.read_only);
        let what = format!("start the array {name}");
        self.load(&["md_mod"])?;
        let member = first.path.clone();
        let Reply::Text(personality) = self.ask_quick(&what, &Request::Personality { member })? else {
            return Err(unexpected());
        };
        self.load(&[&personality])?;
        let members = members.iter().map(|member| member.path.clone()).collect();
        let reply = self.ask_slow(&what, &Request::Assemble { name: name.to_owned(), members, read_only })?;
        let Reply::Device(made) = reply else { return Err(unexpected()) };
        Ok(device(made, read_only))
    }

    /// A device as a volume that can be read. Writing it is an error of kind `Contract`: whoever wants to write, mounts it.
    #[must_use]
    pub fn volume(&self, device: &Device) -> Arc<dyn Volume> {
        Arc::new(VmVolume { vm: self.clone(), device: device.clone() })
    }

    /// Mounts a file system (`ext2`, `ext3`, `ext4`, `xfs`, `btrfs`, `vfat`, and `ntfs3` where the kernel has it); the kernel replays its log. Options are those of
    /// the kernel; added are what makes damage an error instead of a panic, and what lets copies of one file system be there at once.
    ///
    /// # Errors
    /// `Unsupported` when the kernel has no such file system; `Corrupt` when it does not mount it, or fails or hangs over it; as all calls.
    pub fn mount(&self, device: &Device, kind: &str, options: &str) -> Result<VmFs> {
        let kind = known_kind(kind)?;
        self.mount_known(device, kind, options)
    }

    pub(crate) fn mount_known(&self, device: &Device, kind: &'static str, options: &str) -> Result<VmFs> {
        if let Some(missing) = for_file_system(kind).last().filter(|_| !self.can_mount(kind)) {
            let text = format!("the kernel of the micro-VM has no {missing}");
            return Err(Error::unsupported(text).hint("name another kernel"));
        }
        self.load(for_file_system(kind))?;
        let read_only = device.read_only || options.split(',').any(|option| option == "ro");
        let wanted: Vec<&str> =
            options.split(',').filter(|option| !matches!(*option, "" | "ro" | "rw")).collect();
        let what = format!("mount {} as {kind}", device.path);
        let request = Request::Mount {
            device: device.path.clone(),
            kind: kind.to_owned(),
            options: all_options(kind, &wanted),
            read_only,
        };
        self.changed();
        let doing = Doing::guest(&what);
        let Reply::Made(number) = self.ask(doing, &request, &[], 0, self.0.patience)?.reply else {
            return Err(unexpected());
        };
        Ok(VmFs::new(self, number, kind, device, read_only))
    }

    fn can_mount(&self, kind: &str) -> bool {
        for_file_system(kind).iter().any(|module| *module == kind && self.0.modules.has(kind))
            || (matches!(kind, "ext2" | "ext3") && self.0.modules.has("ext4"))
    }
}

fn known_kind(kind: &str) -> Result<&'static str> {
    let known = ["ext2", "ext3", "ext4", "xfs", "btrfs", "vfat", "ntfs3"];
    known
        .into_iter()
        .find(|known| *known == kind)
        .ok_or_else(|| Error::unsupported(format!("the micro-VM mounts no {kind}")))
}

fn all_options(kind: &str, wanted: &[&str]) -> String {
    let added: &[&str] = match kind {
        "ext2" | "ext3" | "ext4" => &["errors=remount-ro"],
        "xfs" => &["nouuid"],
        // A balance that was interrupted is the guest's to go on with.
        "btrfs" => &["skip_balance"],
        "vfat" => &["utf8"],
        _ => &[],
    };
    let is_wanted = |option: &&&str| {
        let name = |option: &str| option.split('=').next().map(str::to_owned);
        !wanted.iter().any(|wanted| name(wanted) == name(option))
    };
    let mut all: Vec<&str> = added.iter().filter(is_wanted).copied().collect();
    all.extend(wanted);
    all.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_the_caller_go_first() {
        assert_eq!(all_options("ext4", &[]), "errors=remount-ro");
        assert_eq!(all_options("ext4", &["errors=panic", "noload"]), "errors=panic,noload");
        assert_eq!(all_options("xfs", &["uquota"]), "nouuid,uquota");
        assert_eq!(all_options("btrfs", &["subvolid=5"]), "skip_balance,subvolid=5");
    }
}
