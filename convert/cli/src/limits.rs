//! What the whole process may take: memory, and time to open an image. A thread looks several times a second, so that what hangs in a
//! loop, or asks for memory in one, is ended all the same. Being ended is as being killed: nothing that looks finished is left.

use crate::args::{Cli, Command};
use crate::output::Printer;
use format_core::units::format_size;
use format_core::{Error, ErrorKind, TimedOpen};
use std::sync::OnceLock;
use std::time::Duration;

/// A loop that fills memory gets this far beyond the limit.
const LOOK: Duration = Duration::from_millis(50);

static MAX_MEMORY: OnceLock<Option<u64>> = OnceLock::new();

/// Bytes that the operator lets the process have.
pub(crate) fn max_memory() -> Option<u64> {
    MAX_MEMORY.get().copied().flatten()
}

/// Ends the process from now on where it takes more than `--max-memory` or `--open-timeout` allow.
///
/// # Errors
/// `Io` when no thread can be started.
pub(crate) fn watch(cli: &Cli, printer: &Printer) -> format_core::Result<()> {
    // A second call would be of a second command in one process, and there is none.
    let _ = MAX_MEMORY.set(cli.max_memory);
    // A batch divides its memory among jobs, each of which watches over itself.
    let memory = cli.max_memory.filter(|_| !matches!(cli.command, Command::Batch(_)));
    let time = (cli.open_timeout > 0).then(|| Duration::from_secs(cli.open_timeout.into()));
    if memory.is_none() && time.is_none() {
        return Ok(());
    }
    let printer = *printer;
    let look = move || {
        loop {
            std::thread::sleep(LOOK);
            if let Some(error) = memory.and_then(too_large).or_else(|| too_long(time?, TimedOpen::longest()?))
            {
                printer.error(&error);
                end(error.kind());
            }
        }
    };
    std::thread::Builder::new()
        .name("limits".into())
        .spawn(look)
        .map(drop)
        .map_err(|e| Error::io("cannot start a thread", e))
}

#[allow(clippy::exit, reason = "the threads that work cannot be asked")]
fn end(kind: ErrorKind) -> ! {
    std::process::exit(kind.exit_code().into())
}

fn too_large(most: u64) -> Option<Error> {
    let taken = own_memory(&std::fs::read_to_string("/proc/self/status").ok()?)?;
    (taken > most).then(|| {
        let text = format!("{} of memory are taken, more than --max-memory allows", format_size(taken));
        Error::new(ErrorKind::Limit, text)
            .hint("allow more; an image that says nonsense about itself may ask for it: 'rehome check' tells")
    })
}

/// Bytes of memory that belong to no file, of the text of /proc/PID/status (proc_pid_status(5)).
fn own_memory(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    Some(kib.saturating_mul(1024))
}

fn too_long(most: Duration, (what, taken): (String, Duration)) -> Option<Error> {
    (taken > most).then(|| {
        let text = format!("cannot {what} within {} s (--open-timeout)", most.as_secs());
        Error::new(ErrorKind::Limit, text).hint(
            "allow more where the storage is slow; an image that says nonsense about itself is never open",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_what_is_taken() {
        assert_eq!(
            own_memory("VmRSS:\t  900 kB\nRssAnon:\t     300 kB\nRssFile:\t 600 kB\n"),
            Some(300 << 10)
        );
        assert_eq!(own_memory("RssAnon: many kB\n"), None);
        let own = std::fs::read_to_string("/proc/self/status").unwrap();
        assert!(own_memory(&own).is_some_and(|bytes| bytes > 0));
    }

    #[test]
    fn what_is_within_its_limit_goes_on() {
        let opening = |seconds| ("open x".to_owned(), Duration::from_secs(seconds));
        assert!(too_long(Duration::from_secs(5), opening(5)).is_none());
        let error = too_long(Duration::from_secs(5), opening(6)).unwrap();
        assert_eq!((error.kind(), error.to_string().contains("open x")), (ErrorKind::Limit, true));
        assert!(too_large(u64::MAX).is_none());
        assert!(too_large(1).is_some());
    }
}
