//! Runs of data and zeros of an export, joined, with a bound on the work.

use crate::Export;
use format_core::{Error, ExtentKind, Result};

/// Bytes up to `end` that are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) is_zero: bool,
}

/// The runs from `start` to `end`. They end earlier when `lookups` are used up, but there is always one, and after an error.
pub(crate) fn runs<'a>(
    export: &'a dyn Export,
    start: u64,
    end: u64,
    lookups: &'a mut u32,
) -> impl Iterator<Item = Result<Run>> + 'a {
    let mut at = start;
    let mut pending: Option<Run> = None;
    let mut failed = None;
    std::iter::from_fn(move || {
        let mut run = pending.take();
        loop {
            if at >= end || failed.is_some() || (*lookups == 0 && at > start) {
                return run.map(Ok).or_else(|| {
                    failed.take().map(|error| {
                        at = end;
                        Err(error)
                    })
                });
            }
            *lookups = lookups.saturating_sub(1);
            match (run, look(export, at, end)) {
                (run, Err(error)) => {
                    failed = Some(error);
                    if let Some(run) = run {
                        return Some(Ok(run));
                    }
                }
                (Some(whole), Ok(part)) if whole.is_zero != part.is_zero => {
                    at = part.end;
                    pending = Some(part);
                    return Some(Ok(whole));
                }
                (whole, Ok(part)) => {
                    at = part.end;
                    run = Some(Run { start: whole.map_or(part.start, |whole| whole.start), ..part });
                }
            }
        }
    })
}

/// One look, checked: an export that lies must not become a loop.
fn look(export: &dyn Export, at: u64, end: u64) -> Result<Run> {
    let extent = export.extent_at(at)?;
    if extent.offset != at || extent.len == 0 || extent.end() > export.size() {
        let (start, len, size) = (extent.offset, extent.len, export.size());
        return Err(Error::contract(format!(
            "asked at {at:#x}, answered {start:#x}+{len:#x} in an export of {size:#x} bytes"
        )));
    }
    Ok(Run { start: at, end: extent.end().min(end), is_zero: extent.kind != ExtentKind::Data })
}

#[cfg(test)]
mod tests {
    use super::*;
    use format_core::Extent;

    /// `d` data, `z` zero, `!` cannot be looked at, `0` a lie; one byte each.
    struct Text(&'static str);

    impl Export for Text {
        fn size(&self) -> u64 {
            self.0.len() as u64
        }
        fn extent_at(&self, offset: u64) -> Result<Extent> {
            let (kind, len) = match self.0.as_bytes()[offset as usize] {
                b'd' => (ExtentKind::Data, 1),
                b'z' => (ExtentKind::Unallocated, 1),
                b'0' => (ExtentKind::Zero, 0),
                _ => return Err(Error::corrupt("bad table")),
            };
            Ok(Extent { offset, len, kind })
        }
        fn read_exact_at(&self, _: u64, _: &mut [u8]) -> Result<()> {
            Ok(())
        }
    }

    fn seen(text: &'static str, mut lookups: u32) -> String {
        runs(&Text(text), 0, text.len() as u64, &mut lookups)
            .map(|run| match run {
                Ok(run) => format!("{}{}", if run.is_zero { "z" } else { "d" }, run.end - run.start),
                Err(error) => format!("{:?}", error.kind()),
            })
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn runs_are_joined_and_end_with_the_first_error() {
        assert_eq!(seen("ddzzzd", 99), "d2 z3 d1");
        assert_eq!(seen("ddzz!d", 99), "d2 z2 Corrupt");
        assert_eq!(seen("d0", 99), "d1 Contract");
        assert_eq!(seen("!", 99), "Corrupt");
    }

    #[test]
    fn no_more_is_looked_at_than_allowed_but_something_always_is() {
        assert_eq!(seen("ddzzzd", 3), "d2 z1");
        assert_eq!(seen("ddzzzd", 0), "d1");
    }
}
