//! How much memory the machine has to give.

use std::fs;

/// Bytes that can be taken without making others suffer; `None` where the kernel does not say.
pub(crate) fn available() -> Option<u64> {
    let machine = meminfo(&fs::read_to_string("/proc/meminfo").ok()?)?;
    // A container's own bound, where there is one.
    let number = |name| fs::read_to_string(format!("/sys/fs/cgroup/{name}")).ok()?.trim().parse::<u64>().ok();
    let own = number("memory.max").zip(number("memory.current")).map(|(max, used)| max.saturating_sub(used));
    Some(machine.min(own.unwrap_or(u64::MAX)))
}

/// `MemAvailable` of `/proc/meminfo` (proc(5)), which counts in KiB.
fn meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_it() {
        let text = "MemTotal:       24105284 kB\nMemAvailable:   23732224 kB\nBuffers: 1 kB\n";
        assert_eq!(meminfo(text), Some(23_732_224 << 10));
        assert_eq!(meminfo("MemTotal: 1 kB\n"), None);
        assert_eq!(meminfo("MemAvailable: 99999999999999999999 kB\n"), None);
        assert!(available().is_some_and(|bytes| bytes > 1 << 20));
    }
}
