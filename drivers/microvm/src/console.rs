//! What the VM's kernel says on its console.

use std::collections::VecDeque;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// Lines that are kept, and how much of each.
const MAX_LINES: usize = 400;
const MAX_LINE: usize = 400;
/// Lines of damage that are kept.
const MAX_DAMAGE: usize = 32;

/// What the kernel says when it ends.
const PANICS: [&str; 7] = [
    "Kernel panic",
    "BUG:",
    "Oops",
    "kernel BUG at",
    "general protection fault",
    "Unable to handle",
    "rehome: ",
];

/// What it says when a file system is damaged: a part of the line, and what else must be in it.
const DAMAGE: [(&str, &[&str]); 8] = [
    ("EXT4-fs error", &[]),
    ("EXT4-fs (", &["critical", "Delayed block allocation failed", "This should not happen"]),
    ("JBD2: ", &["error", "Error", "corrupt"]),
    ("XFS (", &["orruption", "Internal error", "I/O error", "Shutting down", "unmount and run xfs_repair"]),
    ("BTRFS critical", &[]),
    ("BTRFS error", &["corrupt", "errno=", "csum", "error in", "mismatch", "bad "]),
    ("FAT-fs (", &["error"]),
    ("ntfs3: ", &["orrupt", "failed"]),
];

/// A disk that failed is not a damaged file system.
const DISK: [&str; 2] = ["I/O error, dev", "Buffer I/O error"];

#[derive(Default)]
struct Heard {
    lines: VecDeque<String>,
    partial: Vec<u8>,
    damage: Vec<String>,
    disk: Option<String>,
    /// Lines so far, also those that are not kept.
    count: usize,
    panic: Option<String>,
}

/// The console of a VM, read by a thread until it ends.
pub(crate) struct Console {
    heard: Arc<Mutex<Heard>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Console {
    pub(crate) fn listen(mut stream: UnixStream) -> std::io::Result<Self> {
        let heard = Arc::new(Mutex::new(Heard::default()));
        let own = Arc::clone(&heard);
        let thread = thread::Builder::new().name("microvm-console".into()).spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(got @ 1..) = stream.read(&mut piece) {
                let mut heard = own.lock().unwrap_or_else(PoisonError::into_inner);
                heard.add(piece.get(..got).unwrap_or_default());
            }
        })?;
        Ok(Self { heard, thread: Mutex::new(Some(thread)) })
    }

    fn with<T>(&self, look: impl FnOnce(&Heard) -> T) -> T {
        look(&self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until all is heard. Only for a VM whose qemu has ended.
    pub(crate) fn hear_all(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }

    /// The line that says that the kernel ended.
    pub(crate) fn panic(&self) -> Option<String> {
        self.with(|heard| heard.panic.clone())
    }

    /// Lines that say that a file system is damaged.
    pub(crate) fn damage(&self) -> Vec<String> {
        self.with(|heard| heard.damage.clone())
    }

    /// Forgets these lines.
    pub(crate) fn forget_damage(&self) {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).damage.clear();
    }

    /// The first line that says that a disk failed.
    pub(crate) fn disk(&self) -> Option<String> {
        self.with(|heard| heard.disk.clone())
    }

    /// How many lines there were so far: a mark for [`Console::since`].
    pub(crate) fn mark(&self) -> usize {
        self.with(|heard| heard.count)
    }

    /// The last line since a mark, one of damage if there is one.
    pub(crate) fn since(&self, mark: usize) -> Option<String> {
        self.with(|heard| {
            let new = heard.count.saturating_sub(mark).min(heard.lines.len());
            let lines = || heard.lines.iter().skip(heard.lines.len() - new);
            lines().find(|line| is_damage(line)).or_else(|| lines().last()).cloned()
        })
    }
}

impl Heard {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' => {
                    let line = String::from_utf8_lossy(&self.partial).into_owned();
                    self.partial.clear();
                    self.line(&printable(&line));
                }
                _ if self.partial.len() < MAX_LINE => self.partial.push(*byte),
                _ => {}
            }
        }
    }

    fn line(&mut self, line: &str) {
        let line = without_time(line);
        if line.is_empty() {
            return;
        }
        if PANICS.iter().any(|text| line.contains(text)) && self.panic.is_none() {
            self.panic = Some(line.to_owned());
        }
        if is_damage(line) && self.damage.len() < MAX_DAMAGE {
            self.damage.push(line.to_owned());
        }
        if DISK.iter().any(|text| line.contains(text)) && self.disk.is_none() {
            self.disk = Some(line.to_owned());
        }
        if self.lines.len() == MAX_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line.to_owned());
        self.count += 1;
    }
}

fn is_damage(line: &str) -> bool {
    // A note of errors that were before, in a file system that was mounted all the same.
    DAMAGE.iter().any(|(start, also)| {
        line.contains(start) && (also.is_empty() || also.iter().any(|text| line.contains(text)))
    }) && !line.contains("error count since last fsck")
}

/// Without the time of `printk`.
fn without_time(line: &str) -> &str {
    let line = line.trim();
    match line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((time, rest)) if time.trim().parse::<f64>().is_ok() => rest.trim_start(),
        _ => line,
    }
}

fn printable(line: &str) -> String {
    line.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisive_lines_are_found() {
        let mut heard = Heard::default();
        heard.add(b"[    1.25] EXT4-fs (vda): error count since last fsck: 4\r\n");
        heard.add(b"[    1.25] XFS (dm-0): Corruption detected. Unmou");
        heard.add(b"nt and run xfs_repair\r\nblk_update: I/O error, dev vda, sector 8\n");
        heard.add(b"[    2.0] Kernel panic - not syncing: Fatal exception\n");
        assert_eq!(heard.damage, ["XFS (dm-0): Corruption detected. Unmount and run xfs_repair"]);
        assert!(heard.disk.unwrap().contains("vda"));
        assert_eq!(heard.panic.as_deref(), Some("Kernel panic - not syncing: Fatal exception"));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut heard = Heard::default();
        for _ in 0..1000 {
            heard.add(&[b'x'; 3000]);
            heard.add(b"EXT4-fs error\n");
        }
        assert_eq!(heard.lines.len(), MAX_LINES);
        assert!(heard.lines.iter().all(|line| line.len() <= MAX_LINE));
        heard.add(b"BTRFS critical \x1b[0m\n".repeat(100).as_slice());
        assert_eq!(heard.damage.len(), MAX_DAMAGE);
    }
}
