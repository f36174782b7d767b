//! System calls, by seccomp.

use crate::calls::{self, Calls};
use crate::rules::Peers;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};
use std::collections::BTreeMap;

type Matches = BTreeMap<i64, Vec<SeccompRule>>;

/// Confines the calling thread to the calls of `calls`.
pub(crate) fn confine(calls: Calls, peers: Option<Peers>) -> Result<(), String> {
    let arch = std::env::consts::ARCH;
    let arch =
        TargetArch::try_from(arch).map_err(|_| format!("there is no list of system calls for {arch}"))?;
    let programs =
        programs(calls, peers, arch).map_err(|e| format!("the filter of system calls is wrong: {e}"))?;
    for program in &programs {
        seccompiler::apply_filter(program).map_err(|e| format!("seccomp failed: {e}"))?;
    }
    Ok(())
}

/// The filters in the order in which they are set. Of several that refuse a call, the kernel takes the answer of the last.
fn programs(calls: Calls, peers: Option<Peers>, arch: TargetArch) -> Result<Vec<BpfProgram>, BackendError> {
    let refuse = |matches, errno: i32| {
        program(matches, SeccompAction::Allow, SeccompAction::Errno(errno.unsigned_abs()), arch)
    };
    let dangerous = refuse(dangerous(calls, peers)?, libc::EPERM)?;
    Ok(match calls {
        Calls::Needed => {
            let mut needed = by_number(calls::NEEDED.iter().chain(calls::NEEDED_OLD));
            if peers.is_some() {
                needed.extend(by_number(calls::SERVING));
            }
            let missing = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
            vec![program(needed, missing, SeccompAction::Allow, arch)?, dangerous]
        }
        // Its flags are behind a pointer, where a filter cannot look; without it the C library takes `clone`.
        Calls::Harmless => vec![refuse(by_number(&[libc::SYS_clone3]), libc::ENOSYS)?, dangerous],
    })
}

fn program(
    matches: Matches,
    otherwise: SeccompAction,
    then: SeccompAction,
    arch: TargetArch,
) -> Result<BpfProgram, BackendError> {
    SeccompFilter::new(matches, otherwise, then, arch)?.try_into()
}

fn by_number<'a>(numbers: impl IntoIterator<Item = &'a i64>) -> Matches {
    numbers.into_iter().map(|number| (*number, Vec::new())).collect()
}

/// What is refused with `EPERM`.
fn dangerous(calls: Calls, peers: Option<Peers>) -> Result<Matches, BackendError> {
    let mut matches = by_number(calls::DANGEROUS.iter().chain(calls::DANGEROUS_OLD));
    let on = |index, op, value: i32| {
        SeccompCondition::new(index, SeccompCmpArgLen::Dword, op, u64::from(value.cast_unsigned()))
    };
    // Both put words into the operator's terminal, as if typed there.
    let words = [calls::TIOCSTI, calls::TIOCLINUX]
        .map(|request| SeccompRule::new(vec![on(1, SeccompCmpOp::Eq, request)?]));
    matches.insert(libc::SYS_ioctl, words.into_iter().collect::<Result<_, _>>()?);
    let mut clone = Vec::new();
    for flag in calls::NAMESPACES {
        let masked = SeccompCmpOp::MaskedEq(u64::from(flag.cast_unsigned()));
        clone.push(SeccompRule::new(vec![on(0, masked, flag)?])?);
    }
    if calls == Calls::Needed {
        matches.extend(by_number(calls::STARTING.iter().chain(calls::STARTING_OLD)));
        // A thread, but no process.
        let masked = SeccompCmpOp::MaskedEq(u64::from(libc::CLONE_THREAD.cast_unsigned()));
        clone.push(SeccompRule::new(vec![on(0, masked, 0)?])?);
    }
    matches.insert(libc::SYS_clone, clone);
    if calls == Calls::Needed && peers.is_none() {
        matches.extend(by_number(calls::SERVING));
        return Ok(matches);
    }
    let ours: &[i32] = match peers {
        Some(Peers::AtPort(_) | Peers::Elsewhere) => &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6],
        _ => &[libc::AF_UNIX],
    };
    let others = ours.iter().map(|family| on(0, SeccompCmpOp::Ne, *family)).collect::<Result<Vec<_>, _>>()?;
    let mut socket = vec![SeccompRule::new(others)?];
    if matches!(peers, Some(Peers::AtPort(_))) {
        // Whoever serves TCP needs no packets: Landlock does not know where they go.
        for kind in calls::PACKETS {
            socket.push(SeccompRule::new(vec![on(1, SeccompCmpOp::MaskedEq(calls::KINDS), kind)?])?);
        }
    }
    matches.insert(libc::SYS_socket, socket);
    Ok(matches)
}
