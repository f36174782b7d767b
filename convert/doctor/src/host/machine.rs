//! Kernel, processors, memory, limits and clock.

use super::{Finding, State};
use rustix::process::{Resource, Rlimit, getrlimit};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) fn findings() -> Vec<Finding> {
    vec![kernel_release(), processors(), memory(), open_files(), file_size(), sandbox(), openat2(), clock()]
}

fn kernel_release() -> Finding {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap_or_default();
    let found = format!("{} {} {}", read("ostype").trim(), read("osrelease").trim(), std::env::consts::ARCH);
    Finding::ok("system", found)
}

/// What the hot loops have faster code for.
const FEATURES: [&str; 6] = ["sse4_1", "sse4_2", "avx2", "avx512f", "aes", "sha_ni"];

fn processors() -> Finding {
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let found = info.lines().find(|line| line.starts_with(name))?;
        found.split_once(':').map(|(_, value)| value.trim().to_owned())
    };
    let flags = field("flags").or_else(|| field("Features")).unwrap_or_default();
    let has: Vec<&str> =
        FEATURES.into_iter().filter(|name| flags.split(' ').any(|flag| flag == *name)).collect();
    let model = field("model name").unwrap_or_else(|| "unknown model".into());
    let found = Finding::ok("processors", format!("{count}, {model}, {}", has.join(" ")));
    if cfg!(target_arch = "x86_64") && !flags.is_empty() && !has.contains(&"aes") {
        let text = "encrypted images are read many times slower";
        return found.but(State::Degraded, text, "in a virtual machine, pass the host's processor through");
    }
    found
}

fn memory() -> Finding {
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = |name: &str| -> Option<u64> {
        info.lines().find(|line| line.starts_with(name))?.split_whitespace().nth(1)?.parse().ok()
    };
    let limit = std::fs::read_to_string("/sys/fs/cgroup/memory.max")
        .ok()
        .and_then(|text| text.trim().parse::<u64>().ok());
    let (Some(total), Some(free)) = (kib("MemTotal:"), kib("MemAvailable:")) else {
        return Finding::ok("memory", "the system does not tell");
    };
    let usable = limit.map_or(free << 10, |limit| limit.min(free << 10));
    let of_group = limit.map(|limit| format!(", this group may use {} MiB", limit >> 20)).unwrap_or_default();
    let found =
        Finding::ok("memory", format!("{} MiB of {} MiB are free{of_group}", free >> 10, total >> 10));
    if usable < 512 << 20 {
        return found.but(
            State::Degraded,
            "a conversion takes up to 300 MiB, a boot test as much as its guest",
            "run fewer jobs at a time, with fewer --threads",
        );
    }
    found
}

fn open_files() -> Finding {
    let Rlimit { current, .. } = getrlimit(Resource::Nofile);
    let found =
        Finding::ok("open-files", current.map_or("no limit".into(), |most| format!("at most {most}")));
    if current.is_some_and(|most| most < 1024) {
        let without = "images of many files (split disks, repositories, long chains) cannot be opened";
        return found.but(State::Degraded, without, "raise the limit: ulimit -n 4096");
    }
    found
}

fn file_size() -> Finding {
    match getrlimit(Resource::Fsize).current {
        None => Finding::ok("file-size", "no limit"),
        Some(most) => Finding::ok("file-size", format!("at most {most} bytes")).but(
            State::Degraded,
            "larger images cannot be written",
            "raise the limit: ulimit -f unlimited",
        ),
    }
}

/// How runs are confined here: a sandbox was set up, and something that it forbids was tried.
fn sandbox() -> Finding {
    let tried = convert_sandbox::try_out();
    let found = Finding::ok("sandbox", tried.text());
    match (tried.landlock, tried.system_calls) {
        (Some(_), Some(_)) => found,
        (None, _) => found.but(
            State::Degraded,
            "an image that takes rehome over could read and write whatever its user may",
            "use a kernel of 5.19 or later with landlock among its LSMs (boot option lsm=landlock,…)",
        ),
        (_, None) => found.but(
            State::Degraded,
            "an image that takes rehome over could use every system call",
            "use a kernel with seccomp filters, on x86-64, AArch64 or RISC-V",
        ),
    }
}

fn openat2() -> Finding {
    use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    match openat2(CWD, ".", flags, Mode::empty(), ResolveFlags::BENEATH) {
        Ok(_) => Finding::ok("openat2", "files are opened without leaving their folder"),
        Err(e) => Finding::ok("openat2", e.to_string()).but(
            State::Missing,
            "images that consist of several files cannot be opened",
            "use Linux 5.6 or later; in a container, a runtime whose filter lets openat2 through",
        ),
    }
}

/// 2025-01-01: a clock before it is wrong.
const SANE: u64 = 1_735_689_600;

fn clock() -> Finding {
    let now = SystemTime::now();
    let zone = std::fs::read_link("/etc/localtime").map_or_else(
        |_| "zone unknown".into(),
        |link| {
            let text = link.to_string_lossy().into_owned();
            text.split_once("zoneinfo/").map_or(text.clone(), |(_, name)| name.to_owned())
        },
    );
    let service = [
        "/run/systemd/timesync/synchronized",
        "/run/chrony/chronyd.pid",
        "/run/chronyd.pid",
        "/run/ntpd.pid",
    ]
    .into_iter()
    .find(|path| Path::new(path).exists());
    let kept = service
        .map_or("nothing tells whether it is kept by NTP".into(), |path| format!("kept by NTP: {path}"));
    let time = humantime::format_rfc3339_seconds(now.max(UNIX_EPOCH));
    let found = Finding::ok("clock", format!("{time}, {zone}, {kept}"));
    if now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()) < SANE {
        return found.but(
            State::Degraded,
            "certificates are refused, and reports and logs carry wrong times",
            "set the clock: timedatectl set-ntp true",
        );
    }
    found
}
