//! The serial console: kept as it comes, and read as lines without control sequences.

use crate::rules::{Finder, Found};
use format_core::{Error, Result};
use regex::bytes::Regex;

/// How much of what a guest writes is kept, in bytes; what comes after is only read.
pub(crate) const LOG_LIMIT: usize = 4 << 20;
/// How much text is looked at, in bytes; a line that is found ends within it.
const WINDOW: usize = 32 << 10;

/// What a guest has written.
pub(crate) struct Console {
    log: Vec<u8>,
    is_cut: bool,
    control: Regex,
    /// The last of it without control sequences.
    text: Vec<u8>,
}

impl Console {
    /// # Errors
    /// `Contract` when the pattern of control sequences is none.
    pub(crate) fn new() -> Result<Self> {
        let control = Regex::new(
            r"(?-u)\x1b\[[0-9;?=]*[ -/]*[@-~]|\x1b[()][0-9A-B]|\x1b[=>78cDEHM]|[\r\x00\x07\x0e\x0f]",
        );
        let control =
            control.map_err(|e| Error::contract("the pattern of control sequences").with_source(e))?;
        Ok(Self { log: Vec::new(), is_cut: false, control, text: Vec::new() })
    }

    /// Takes what came, and says which rules fit in what was not decided on before. When nothing came for a while, the line that is there
    /// is taken for whole.
    pub(crate) fn take(&mut self, data: &[u8], finder: &Finder) -> Vec<Found> {
        let room = LOG_LIMIT.saturating_sub(self.log.len());
        self.is_cut |= data.len() > room;
        self.log.extend(data.iter().take(room));
        self.text.extend_from_slice(data);
        // A sequence may be cut by the end of what is there: it goes when its rest has come.
        self.text = self.control.replace_all(&self.text, &b""[..]).into_owned();
        let excess = self.text.len().saturating_sub(WINDOW);
        self.text.drain(..excess);
        let mut found = Vec::new();
        let text = String::from_utf8_lossy(&self.text).into_owned();
        let mut rest = text.as_str();
        while let Some(hit) = finder.first(rest, data.is_empty()) {
            rest = rest.get(hit.end.max(1)..).unwrap_or_default();
            let is_final = hit.rule.is_final;
            found.push(hit);
            if is_final {
                break;
            }
        }
        if !found.is_empty() {
            self.text = rest.as_bytes().to_vec();
        }
        found
    }

    /// Everything, control sequences as they came.
    pub(crate) fn log(&self) -> &[u8] {
        &self.log
    }

    /// Whether the guest wrote more than was kept.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// The last lines that say something, the last one last.
    pub(crate) fn tail(&self, lines: usize) -> Vec<String> {
        let start = self.log.len().saturating_sub(WINDOW);
        let end = self.log.get(start..).unwrap_or_default();
        let clean = self.control.replace_all(end, &b""[..]);
        tail_of(&String::from_utf8_lossy(&clean), lines)
    }
}

/// The last lines of `text` that say something.
pub(crate) fn tail_of(text: &str, lines: usize) -> Vec<String> {
    let mut tail: Vec<String> = text
        .lines()
        .rev()
        .map(|line| line.trim_end().chars().filter(|c| !c.is_control()).take(300).collect::<String>())
        .filter(|line| !line.trim().is_empty())
        .take(lines)
        .collect();
    tail.reverse();
    tail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_found_in_any_pieces_and_between_control_sequences() {
        let whole = b"\x1b[2J\x1b[01;01HBooting\r\n\x1b[0mip-10-0-1-23 \x1b[1mlogin\x1b[0m: ";
        let finder = Finder::new().unwrap();
        for size in 1..whole.len() {
            let mut console = Console::new().unwrap();
            let found: Vec<Found> =
                whole.chunks(size).flat_map(|piece| console.take(piece, &finder)).collect();
            assert_eq!(found.first().map(|found| found.rule.id), Some("login-prompt"), "{size}");
            assert_eq!(console.log(), whole);
            assert_eq!(console.tail(5), ["Booting", "ip-10-0-1-23 login:"]);
        }
    }

    #[test]
    fn a_line_waits_for_its_end() {
        let finder = Finder::new().unwrap();
        let mut console = Console::new().unwrap();
        let mut take = |text: &str| console.take(text.as_bytes(), &finder).first().map(|found| found.rule.id);
        assert_eq!(take("Kernel panic - not syncing: IO-"), None);
        assert_eq!(take("APIC + timer doesn't work!"), None);
        assert_eq!(take("\r\n"), Some("emulated-timer"));
        assert_eq!(take("Kernel panic - not syncing: no init"), None);
        assert_eq!(take(""), Some("kernel-panic"));
    }

    #[test]
    fn a_guest_that_never_stops_writing_takes_no_more_memory() {
        let finder = Finder::new().unwrap();
        let mut console = Console::new().unwrap();
        let piece = vec![b'x'; 1 << 20];
        for _ in 0..8 {
            assert!(console.take(&piece, &finder).is_empty());
        }
        assert_eq!(console.log().len(), LOG_LIMIT);
        assert!(console.is_cut() && console.text.len() <= WINDOW && console.text.capacity() < 4 << 20);
        assert_eq!(console.take(b"\nweb login: ", &finder).len(), 1, "it is read all the same");
        let failed =
            console.take(b"\nerror: no such device: x.\nEntering rescue mode\ngrub rescue> ", &finder);
        assert_eq!(
            failed.iter().map(|found| found.rule.id).collect::<Vec<_>>(),
            ["grub-error", "grub-rescue"]
        );
    }
}
