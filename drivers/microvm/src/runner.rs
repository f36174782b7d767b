//! Programs of the guest, over its mounted file systems.

use crate::failure::Doing;
use crate::vm::{QUICK, Vm, lock, unexpected};
use crate::vm_fs::VmFs;
use driver_core::{CommandOutcome, GuestCommand, GuestFs, GuestRunner};
use format_core::{Error, Result};
use microvm_init::{Reply, Request};
use std::sync::Mutex;
use std::time::Duration;

/// How much of what a program writes is told: its end.
const MAX_LOG: u64 = 256 << 10;
/// What the VM takes besides: starting, and killing what is left.
const SLACK: Duration = Duration::from_secs(30);

struct Runner {
    vm: Vm,
    tree: Vec<(String, VmFs)>,
    /// Its number in the VM, once it was put together.
    number: Mutex<Option<u32>>,
}

impl Vm {
    /// Programs of the guest over `tree`: its file systems by their mount points, `/` first and each behind the one that it is mounted in.
    /// They are put together when the first program runs, with devices, `/proc`, `/sys`, and an empty `/run` and `/tmp`; that is taken
    /// apart when the runner is dropped.
    #[must_use]
    pub fn runner(&self, tree: Vec<(String, VmFs)>) -> Box<dyn GuestRunner> {
        Box::new(Runner { vm: self.clone(), tree, number: Mutex::new(None) })
    }

    /// Gives `paths` the labels that the guest's SELinux policy has for them, by the guest's own `setfiles`; how many got one. None does when
    /// the guest has no policy, or no such program. FAT keeps no labels, and `setfiles` would take that for a failure: what lies there
    /// is left out.
    ///
    /// # Errors
    /// `Io` when the program fails; as all calls.
    pub fn relabel(&self, tree: Vec<(String, VmFs)>, paths: &[String]) -> Result<usize> {
        let paths: Vec<&String> = paths.iter().filter(|path| keeps_labels(&tree, path)).collect();
        let Some(root) = tree.first().map(|(_, fs)| fs.clone()).filter(|_| !paths.is_empty()) else {
            return Ok(0);
        };
        let Some(policy) = policy(&root)? else { return Ok(0) };
        let contexts = format!("/etc/selinux/{policy}/contexts/files/file_contexts");
        let runner = Runner { vm: self.clone(), tree, number: Mutex::new(None) };
        let number = runner.number()?;
        for program in ["/usr/sbin/setfiles", "/sbin/setfiles"] {
            let mut arguments = vec!["-F".to_owned(), contexts.clone()];
            arguments.extend(paths.iter().copied().cloned());
            let found = run(self, number, program, &arguments, Duration::from_secs(300));
            match found {
                Err(error) if error.kind() == format_core::ErrorKind::Usage => {}
                Err(error) => return Err(error),
                Ok(outcome) if outcome.status == Some(0) => return Ok(paths.len()),
                Ok(outcome) => {
                    let text = format!("the guest's {program} failed: {}", outcome.log.trim());
                    return Err(Error::new(format_core::ErrorKind::Io, text));
                }
            }
        }
        Ok(0)
    }
}

/// Whether the file system that `path` lies on can label it.
fn keeps_labels(tree: &[(String, VmFs)], path: &str) -> bool {
    let is_above =
        |point: &str| point == "/" || path.strip_prefix(point).is_some_and(|rest| rest.starts_with('/'));
    let mount = tree.iter().filter(|(point, _)| is_above(point)).max_by_key(|(point, _)| point.len());
    mount.is_none_or(|(_, fs)| fs.kind() != "vfat")
}

/// The guest's SELinux policy by its configuration, unless that turns it off.
fn policy(root: &VmFs) -> Result<Option<String>> {
    const CONFIG: &str = "/etc/selinux/config";
    if root.metadata(CONFIG)?.is_none() {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&root.read_file(CONFIG, 1 << 16)?).into_owned();
    let value = |key: &str| {
        let line = text.lines().map(str::trim).rfind(|line| line.starts_with(key));
        line.and_then(|line| line.strip_prefix(key)).map(|value| value.trim().to_owned())
    };
    let name = value("SELINUXTYPE=").filter(|name| !name.is_empty() && !name.contains(['/', '.']));
    Ok(name.filter(|_| value("SELINUX=").is_some_and(|state| state != "disabled")))
}

impl Runner {
    fn number(&self) -> Result<u32> {
        let mut number = lock(&self.number);
        if let Some(number) = *number {
            return Ok(number);
        }
        let made = make_tree(&self.vm, &self.tree)?;
        *number = Some(made);
        Ok(made)
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if let Some(tree) = *lock(&self.number) {
            let _ = self.vm.ask_quick("take a tree apart", &Request::Dissolve { tree });
        }
    }
}

pub(crate) fn make_tree(vm: &Vm, tree: &[(String, VmFs)]) -> Result<u32> {
    if tree.iter().any(|(_, fs)| !fs.is_of(vm)) {
        return Err(Error::usage("a file system of another VM"));
    }
    let mounts = tree.iter().map(|(place, fs)| (place.clone(), fs.number())).collect();
    match vm.ask_quick("put the guest's file systems together", &Request::Tree { mounts })? {
        Reply::Made(number) => Ok(number),
        _ => Err(unexpected()),
    }
}

pub(crate) fn run(
    vm: &Vm,
    tree: u32,
    program: &str,
    arguments: &[String],
    limit: Duration,
) -> Result<CommandOutcome> {
    // Whatever it does, what was known of files may not hold.
    vm.changed();
    let what = format!("run {program}");
    let request = Request::Run {
        tree,
        program: program.to_owned(),
        arguments: arguments.to_vec(),
        limit: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX).min(86_400_000),
    };
    let doing = Doing::guest(&what);
    let answered = vm.ask(doing, &request, &[], MAX_LOG, limit.saturating_add(SLACK).max(QUICK));
    vm.changed();
    let answered = answered?;
    let Reply::Ended { status, timed_out } = answered.reply else { return Err(unexpected()) };
    let log = String::from_utf8_lossy(&answered.content).into_owned();
    Ok(CommandOutcome { status, timed_out, log })
}

impl GuestRunner for Runner {
    fn run(&self, command: &GuestCommand) -> Result<CommandOutcome> {
        run(&self.vm, self.number()?, &command.program, &command.arguments, command.limit)
    }
}
