//! Files, by Landlock.

use crate::rules::{Peers, Rules, Use};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, NetPort,
    PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use std::os::unix::fs::FileTypeExt;

/// The version whose rights are asked for. Rights of later versions are for a release that was tested with them: each is one more
/// thing that a run cannot do.
const TESTED: ABI = ABI::V6;

/// Confines the calling thread to the files of `rules`, and gives the version of the kernel's Landlock.
pub(crate) fn confine(rules: &Rules) -> Result<i32, String> {
    let offers = |access: AccessFs| {
        let rules = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
        rules.handle_access(access).and_then(Ruleset::create).is_ok()
    };
    if !offers(AccessFs::ReadFile) {
        return Err("the kernel does not offer Landlock".into());
    }
    if !offers(AccessFs::Refer) {
        return Err("the kernel's Landlock is of version 1, which refuses to rename between folders".into());
    }
    restrict(rules).map_err(|e| format!("Landlock failed: {e}"))?
}

fn restrict(rules: &Rules) -> Result<Result<i32, String>, RulesetError> {
    let net = match rules.peers {
        // Where addresses and names lead is not known yet.
        Some(Peers::Elsewhere) => AccessNet::BindTcp.into(),
        _ => AccessNet::from_all(TESTED),
    };
    let mut made = Ruleset::default()
        .handle_access(AccessFs::from_all(TESTED))?
        .handle_access(net)?
        .scope(Scope::from_all(TESTED))?
        .create()?;
    for (path, uses) in &rules.paths {
        // What is not there needs no rule, and what cannot be opened is refused anyway.
        let (Ok(found), Ok(fd)) = (std::fs::metadata(path), PathFd::new(path)) else { continue };
        let kind = found.file_type();
        // A pipe behind `/dev/fd/N` has no place in a file system: Landlock takes no rule for it, and lets it be opened.
        if (kind.is_fifo() || kind.is_socket()) && path.canonicalize().is_err() {
            continue;
        }
        let all = uses.iter().map(|what| rights(*what)).fold(BitFlags::empty(), |all, more| all | more);
        let access = if kind.is_dir() { all } else { all & AccessFs::from_file(TESTED) };
        made = made.add_rule(PathBeneath::new(fd, access))?;
    }
    if let Some(Peers::AtPort(port)) = rules.peers {
        made = made.add_rule(NetPort::new(port, AccessNet::BindTcp))?;
    }
    let status = made.restrict_self()?;
    Ok(match status.landlock {
        LandlockStatus::Available { effective_abi, kernel_abi }
            if status.ruleset != RulesetStatus::NotEnforced =>
        {
            Ok(kernel_abi.unwrap_or(effective_abi as i32))
        }
        _ => Err("the kernel does not offer Landlock".into()),
    })
}

fn rights(what: Use) -> BitFlags<AccessFs> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let change = AccessFs::WriteFile | AccessFs::Truncate;
    match what {
        Use::Read => read,
        Use::Run => read | AccessFs::Execute,
        Use::ReadDevice => read | AccessFs::IoctlDev,
        Use::WriteDevice => read | change | AccessFs::IoctlDev,
        // No devices are made in it, and no programs started. The same for all folders: a file moves only to where no more is allowed.
        Use::Write => {
            read | change
                | AccessFs::MakeReg
                | AccessFs::MakeDir
                | AccessFs::MakeSym
                | AccessFs::MakeSock
                | AccessFs::MakeFifo
                | AccessFs::RemoveFile
                | AccessFs::RemoveDir
                | AccessFs::Refer
        }
    }
}
