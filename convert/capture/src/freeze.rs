//! File systems that hold still for a moment (`fsfreeze(8)`), whatever happens to us meanwhile.

use format_core::{Error, ErrorKind, Result};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The longest that file systems are held, in seconds: programs that write wait all the while.
pub const MAX_SECONDS: u64 = 600;

/// Frozen file systems; dropping it lets them go on. A second process does that, too, after the time, in case that this one is killed.
#[derive(Debug)]
pub struct Frozen {
    places: Vec<String>,
    until: Instant,
    keeper: Child,
}

impl Frozen {
    /// Freezes the file systems that are mounted at `places`, for at most `seconds`.
    ///
    /// # Errors
    /// `Unsupported` where that cannot be done; none is frozen then.
    pub fn new(places: &[String], seconds: u64) -> Result<Self> {
        let seconds = seconds.clamp(1, MAX_SECONDS);
        let until = Instant::now() + Duration::from_secs(seconds);
        let script = r#"sleep "$1"; shift; for place; do fsfreeze --unfreeze "$place"; done"#;
        let keeper = Command::new("sh")
            .args(["-c", script, "sh", &seconds.to_string()])
            .args(places)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| Error::io("cannot start what thaws file systems again", e))?;
        let mut frozen = Self { places: Vec::new(), until, keeper };
        for place in places {
            if let Err(error) = fsfreeze("--freeze", place) {
                return Err(error
                    .hint("freezing needs root, and a file system that can be frozen (ext4, XFS, Btrfs)"));
            }
            frozen.places.push(place.clone());
        }
        Ok(frozen)
    }

    /// Lets them go on.
    ///
    /// # Errors
    /// `Temporary` when they had gone on already, because the time was over; `Unsupported` when one does not.
    pub fn thaw(mut self) -> Result<()> {
        let is_late = Instant::now() >= self.until;
        self.release()?;
        if is_late {
            let text =
                "the file systems went on before all was read: the time for which they are held was over";
            return Err(Error::new(ErrorKind::Temporary, text));
        }
        Ok(())
    }

    fn release(&mut self) -> Result<()> {
        let mut failure = Ok(());
        for place in std::mem::take(&mut self.places).iter().rev() {
            if let Err(error) = fsfreeze("--unfreeze", place) {
                failure = Err(error);
            }
        }
        // Only when all go on: it is the last resort of those that do not.
        if failure.is_ok() || Instant::now() >= self.until {
            let _ = self.keeper.kill();
            let _ = self.keeper.wait();
        }
        failure
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // Where that fails, the keeper does it.
        let _ = self.release();
    }
}

fn fsfreeze(what: &str, place: &str) -> Result<()> {
    let done = Command::new("fsfreeze").args([what, place]).stdin(Stdio::null()).output();
    let done = done.map_err(|e| {
        Error::unsupported("fsfreeze, of the package util-linux, cannot be started").with_source(e)
    })?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    Err(Error::unsupported(format!("fsfreeze {what} {place} failed: {}", said.trim())))
}
