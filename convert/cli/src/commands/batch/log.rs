//! What the log of a job tells of its attempts.

use convert_report::Attempt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// More of a log's end is not looked at.
const TAIL: u64 = 4 << 20;

/// The end of a job's log.
pub(super) struct JobLog(String);

impl JobLog {
    pub(super) fn read(path: &Path) -> Option<Self> {
        // A pipe in its place would be waited for.
        let mut file = path.is_file().then(|| File::open(path).ok()).flatten()?;
        let len = file.metadata().ok()?.len();
        file.seek(SeekFrom::Start(len.saturating_sub(TAIL))).ok()?;
        let mut bytes = Vec::new();
        file.take(TAIL).read_to_end(&mut bytes).ok()?;
        Some(Self(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// From the last attempt's first line on.
    pub(super) fn last_attempt(&self) -> &str {
        let mut at = 0;
        let mut last = 0;
        for line in self.0.split_inclusive('\n') {
            if Mark::of(line).is_some_and(|mark| mark.attempt().is_some()) {
                last = at;
            }
            at += line.len();
        }
        &self.0[last..]
    }

    /// The attempts before the last one, since the job was set back: a job's state has the last one.
    pub(super) fn earlier_attempts(&self) -> Vec<Attempt> {
        let mut attempts: Vec<Attempt> = Vec::new();
        for line in self.0.lines() {
            if let Some(mark) = Mark::of(line) {
                match mark.attempt() {
                    Some(number) => {
                        if number == 1 {
                            attempts.clear();
                        }
                        attempts.push(Attempt { began: Some(mark.time.into()), ..Attempt::default() });
                    }
                    None => {
                        if let Some(last) = attempts.last_mut() {
                            last.ended = Some(mark.time.into());
                            last.exit_code = mark.text.rsplit(' ').next().and_then(|code| code.parse().ok());
                            last.exit_code = last.exit_code.filter(|_| mark.text.contains("exit code"));
                            let said = last.message.take().unwrap_or_else(|| mark.text.into());
                            last.message = Some(said).filter(|_| last.exit_code != Some(0));
                        }
                    }
                }
            } else if let (Some(error), Some(last)) = (line.strip_prefix("error: "), attempts.last_mut()) {
                last.message = Some(error.into());
            }
        }
        attempts.pop();
        attempts
    }
}

/// A line that the batch wrote into the log: `=== TIME: TEXT`.
struct Mark<'a> {
    time: &'a str,
    text: &'a str,
}

impl<'a> Mark<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let (time, text) = line.trim_end().strip_prefix("=== ")?.split_once(": ")?;
        Some(Self { time, text })
    }

    /// The number of the attempt that begins here.
    fn attempt(&self) -> Option<u32> {
        self.text.strip_prefix("attempt ")?.split(':').next()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "=== 2026-11-01T01:00:00Z: attempt 1: rehome convert a b\nerror: of an earlier run\n\
        === 2026-11-01T01:00:09Z: ended with exit code 74\n\
        === 2026-11-01T02:00:00Z: attempt 1: rehome convert a b\nerror: no room\n=== 2026-11-01T02:01:00Z: ended with exit code 75\n\
        === 2026-11-01T02:02:00Z: attempt 2: rehome convert a b\nits batch was killed\n\
        === 2026-11-01T03:00:00Z: attempt 3: rehome convert a b\nwarning: x\n=== 2026-11-01T03:00:10Z: ended by signal 9\n\
        === 2026-11-01T04:00:00Z: attempt 4: rehome convert a b\nlast\n=== 2026-11-01T04:00:01Z: ended with exit code 0\n";

    #[test]
    fn every_attempt_since_the_job_was_set_back_is_told() {
        let log = JobLog(LOG.into());
        let found = log.earlier_attempts();
        let told: Vec<_> = found
            .iter()
            .map(|one| (one.began.as_deref(), one.ended.as_deref(), one.exit_code, one.message.as_deref()))
            .collect();
        let wanted = [
            (Some("2026-11-01T02:00:00Z"), Some("2026-11-01T02:01:00Z"), Some(75), Some("no room")),
            (Some("2026-11-01T02:02:00Z"), None, None, None),
            (Some("2026-11-01T03:00:00Z"), Some("2026-11-01T03:00:10Z"), None, Some("ended by signal 9")),
        ];
        assert_eq!(told, wanted);
        assert!(log.last_attempt().starts_with("=== 2026-11-01T04:00:00Z: attempt 4"));
        assert!(JobLog("=== no mark\n=== a: b\n".into()).earlier_attempts().is_empty());
    }
}
