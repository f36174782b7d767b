//! The guest's own checkers, over unmounted file systems.

use crate::runner::{make_tree, run};
use crate::vm::{Device, Vm, unexpected};
use crate::vm_fs::VmFs;
use driver_core::GuestFs;
use format_core::{Error, Result};
use microvm_init::{Reply, Request};
use std::time::Duration;

/// How long a checker may take.
const LIMIT: Duration = Duration::from_secs(1800);

/// What a checker said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The program.
    pub tool: String,
    /// Its exit status, `None` when a signal or the time limit ended it.
    pub status: Option<i32>,
    /// What it wrote, the end of it when it was long.
    pub log: String,
    /// Whether the file system is without fault; `None` when the program could not tell.
    pub clean: Option<bool>,
}

/// A checker of the guest, copied into the VM's memory with all that it needs, so that it runs when the guest's file systems are unmounted.
///
/// ```text
///  mount ─▶ prepare_checker ─▶ unmount ─▶ run (before) ─▶ mount ─▶ edits ─▶ unmount ─▶ run (after) ─▶ stop
/// ```
pub struct Checker {
    vm: Vm,
    tree: u32,
    program: String,
    kind: &'static str,
}

impl Vm {
    /// Takes the checker for file systems of `kind` out of the guest's tree, which is given as for [`Vm::runner`]. `None` when the guest has
    /// none, or none is known for this kind.
    ///
    /// # Errors
    /// `Unsupported` when the guest's loader does not tell what the checker needs; `Limit` when that is more than 64 MiB; as all calls.
    pub fn prepare_checker(&self, tree: &[(String, VmFs)], kind: &str) -> Result<Option<Checker>> {
        let (kind, name) = match kind {
            "ext2" | "ext3" | "ext4" => ("ext4", "e2fsck"),
            "xfs" => ("xfs", "xfs_repair"),
            "btrfs" => ("btrfs", "btrfs"),
            _ => return Ok(None),
        };
        let programs = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(|folder| format!("{folder}/{name}"));
        let whole = make_tree(self, tree)?;
        let request = Request::Extract { tree: whole, programs: programs.to_vec() };
        let extracted = self.ask_slow(&format!("copy the guest's {name}"), &request);
        let dissolved = self.ask_quick("take a tree apart", &Request::Dissolve { tree: whole });
        let Reply::Program(program) = extracted? else { return Err(unexpected()) };
        dissolved?;
        Ok(program.map(|(tree, program)| Checker { vm: self.clone(), tree, program, kind }))
    }

    /// Tells the disk about all room that a file system does not use (`FITRIM`); bytes.
    ///
    /// # Errors
    /// `Unsupported` where disk or file system cannot, `NeedsPerson` where it is mounted for reading only; as all calls.
    pub fn trim(&self, fs: &VmFs) -> Result<u64> {
        fs.editable()?;
        match self.ask_slow(&format!("trim {}", fs.device().path), &Request::Trim { fs: fs.number() })? {
            Reply::Number(bytes) => Ok(bytes),
            _ => Err(unexpected()),
        }
    }

    /// Writes a file system out and unmounts it. Its clones cannot be used afterwards; other mounts of the same device stay.
    ///
    /// # Errors
    /// `Io` when it cannot be written out or is in use; as all calls.
    pub fn unmount(&self, fs: &VmFs) -> Result<()> {
        if !fs.is_of(self) {
            return Err(Error::usage("a file system of another VM"));
        }
        self.changed();
        let what = format!("unmount the {} on {}", fs.kind(), fs.device().path);
        self.ask_slow(&what, &Request::Unmount { fs: fs.number() }).map(|_| ())
    }
}

impl Checker {
    /// Checks a device that is not mounted; nothing is written to it.
    ///
    /// # Errors
    /// As all calls. A checker that finds faults or fails is an answer.
    pub fn run(&self, device: &Device) -> Result<Check> {
        let path = device.path.clone();
        let arguments = match self.kind {
            "ext4" => vec!["-f".into(), "-n".into(), path],
            "xfs" => vec!["-n".into(), path],
            _ => vec!["check".into(), "--readonly".into(), path],
        };
        let outcome = run(&self.vm, self.tree, &self.program, &arguments, LIMIT)?;
        let clean = judge(self.kind, outcome.status);
        Ok(Check { tool: self.program.clone(), status: outcome.status, log: outcome.log, clean })
    }
}

/// What an exit status says: e2fsck(8), xfs_repair(8), btrfs-check(8).
fn judge(kind: &str, status: Option<i32>) -> Option<bool> {
    match (kind, status?) {
        (_, 0) => Some(true),
        // Errors were left; with 8 and more added, it did not get to the end.
        ("ext4", 4) | ("xfs" | "btrfs", 1) => Some(false),
        _ => None,
    }
}

impl Drop for Checker {
    fn drop(&mut self) {
        let _ = self.vm.ask_quick("remove a checker", &Request::Dissolve { tree: self.tree });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_a_judgement_or_none() {
        assert_eq!(judge("ext4", Some(0)), Some(true));
        assert_eq!(judge("ext4", Some(4)), Some(false));
        assert_eq!(judge("ext4", Some(12)), None);
        assert_eq!(judge("xfs", Some(1)), Some(false));
        assert_eq!(judge("xfs", Some(2)), None, "a log that was not replayed");
        assert_eq!(judge("btrfs", None), None);
    }
}
