//! The sandbox: what a run may still do once its arguments are known, and before it reads the first byte of an image.
//!
//! An image is input from a stranger, and some of what reads it is C. Should it take the process over, the process has what the
//! operator named and little else:
//!
//! - **Files** (Landlock): it reads the folders of the sources, writes the folders of the targets and the one for temporary files, and
//!   sees neither the rest of `/etc` nor any home. It cannot trace or signal processes outside.
//! - **Network**: no socket can be made ([`Calls::Needed`]), or none but Unix ones; from version 4 of Landlock on TCP is refused by that, too. A run
//!   whose source is an address reaches other machines ([`Peers::Elsewhere`]), any of them: where names lead is not known before.
//! - **System calls** (seccomp): those that are needed, and nothing else.
//!
//! # Why it never stands in the way of a legitimate run
//!
//! - The rules are made from the arguments *before* anything else happens, in the process's only thread: threads and children that come
//!   later inherit them. Nothing is added afterwards, so there is no state in which a thread is outside.
//! - A folder is allowed, not a file, because images have parents, extents and pieces beside them, and targets get `.partial`, journals
//!   and manifests. The gate (`format_core::Gate`) stays what decides which of the files an image may name; the sandbox is for the
//!   day when that decision is not asked any more.
//! - What is not on the list of system calls answers `ENOSYS`, as an older kernel would: the C library and Rust's standard library then
//!   take the older way. What is dangerous and never needed answers `EPERM`. Nothing kills the process: a killed run leaves a target
//!   that it could have marked as unfinished, cannot say what was refused, and the call has not happened either way.
//! - A run that starts programs (QEMU, Borg) cannot know which calls they need in the next release. For it there is no list of what is
//!   needed, only the one of what is dangerous ([`Calls::Harmless`]), and programs are run from the system's folders. They inherit all
//!   other restrictions, so a guest that breaks out of QEMU has no more than the run had.
//! - What the kernel does not offer is left out, and [`Sandbox`] says so. Landlock's first version refuses every rename and link between
//!   two folders, which runs need: there it is not used.
//!
//! # What it does not do
//!
//! The folder of a target is written as a whole, so sources in the same folder are protected by being opened for reading alone, not by the
//! sandbox. Before version 9 Landlock does not know who may connect to a Unix socket: a run that starts programs, or serves, could ask a
//! daemon of the host that lets its user in. Runs of neither kind cannot make a socket.

mod calls;
mod files;
mod filter;
mod rules;
mod state;

pub use calls::Calls;
pub use rules::{Peers, Rules};
pub use state::{Sandbox, State, settle, state};

/// Tries on a thread of its own whether this host can confine a run: everything is set up as for a real one, and then something that is
/// forbidden is tried.
#[must_use]
pub fn try_out() -> Sandbox {
    let trial = std::thread::spawn(|| {
        let sandbox = Rules::new().enforce();
        let refused =
            std::fs::File::open("/etc/passwd").is_err_and(|e| e.raw_os_error() == Some(libc::EACCES));
        (sandbox, refused)
    });
    match trial.join() {
        Ok((sandbox, refused)) if refused || sandbox.landlock.is_none() => sandbox,
        Ok((sandbox, _)) => Sandbox {
            state: State::Partly,
            landlock: None,
            reason: Some("the kernel takes Landlock's rules and does not keep them".into()),
            ..sandbox
        },
        Err(_) => Sandbox::unavailable("the trial of the sandbox broke off"),
    }
}
