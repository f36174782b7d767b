//! Runs of a block status, joined and made coarse.

/// Whether the flags of a descriptor say that nobody has to look there: zeros, or not changed.
pub(crate) type Quiet = fn(u32) -> bool;

/// Quiet runs shorter than this count as loud: reading them costs less than knowing of them. So a server cannot make us look at
/// each byte.
const SHORT: u64 = 4096;
/// What a reply covers at least, if need be as one loud run.
const LEAST: u64 = 64 << 10;
/// Runs that are kept of one reply; what lies behind is asked for again.
const MAX_RUNS: usize = 1 << 16;

/// Runs of quiet and loud bytes, from `start` on, without gaps.
#[derive(Debug)]
pub(crate) struct StatusRuns {
    start: u64,
    /// The end of what was asked for.
    stop: u64,
    /// Where each run ends, and whether it is quiet; neighbours differ.
    runs: Vec<(u64, bool)>,
    /// The run that grows.
    open: Option<(u64, bool)>,
}

impl StatusRuns {
    pub(crate) fn new(start: u64, stop: u64) -> Self {
        Self { start, stop, runs: Vec::new(), open: None }
    }

    /// All that was asked for, as loud, but not too much of it: for a server that cannot tell.
    pub(crate) fn loud(start: u64, stop: u64) -> Self {
        Self { start, stop, runs: vec![(stop.min(start.saturating_add(16 << 20)), false)], open: None }
    }

    /// The next descriptor; the text says what is wrong with it.
    pub(crate) fn add(&mut self, len: u64, is_quiet: bool) -> Result<(), String> {
        let at = self.open.or(self.runs.last().copied()).map_or(self.start, |(end, _)| end);
        if self.runs.len() >= MAX_RUNS {
            return Ok(());
        }
        if len == 0 || at >= self.stop {
            let (start, stop) = (self.start, self.stop);
            return Err(format!(
                "a descriptor of {len:#x} bytes at {at:#x}, asked were {start:#x} to {stop:#x}"
            ));
        }
        // The last one may tell of more than was asked.
        let end = at.saturating_add(len).min(self.stop);
        match &mut self.open {
            Some((open, state)) if *state == is_quiet => *open = end,
            _ => {
                self.shut();
                self.open = Some((end, is_quiet));
            }
        }
        Ok(())
    }

    fn shut(&mut self) {
        let Some((end, is_quiet)) = self.open.take() else { return };
        let before = self.runs.last().map_or(self.start, |(end, _)| *end);
        let is_quiet = is_quiet && end - before >= SHORT;
        match self.runs.last_mut() {
            Some((last, state)) if *state == is_quiet => *last = end,
            _ => self.runs.push((end, is_quiet)),
        }
    }

    /// There are no more descriptors.
    pub(crate) fn close(&mut self) {
        self.shut();
        let least = self.start.saturating_add(LEAST).min(self.stop);
        if self.end() < least {
            self.runs = vec![(least, false)];
        }
    }

    /// The end of what is known.
    pub(crate) fn end(&self) -> u64 {
        self.runs.last().map_or(self.start, |(end, _)| *end)
    }

    /// The end of the run at `offset`, and whether it is quiet.
    pub(crate) fn at(&self, offset: u64) -> Option<(u64, bool)> {
        let place = self.runs.partition_point(|(end, _)| *end <= offset);
        self.runs.get(place).copied().filter(|_| offset >= self.start)
    }

    /// Start, end and state of every run.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, u64, bool)> + '_ {
        let starts = std::iter::once(self.start).chain(self.runs.iter().map(|(end, _)| *end));
        starts.zip(&self.runs).map(|(start, (end, state))| (start, *end, *state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(descriptors: &[(u64, bool)]) -> Vec<(u64, u64, bool)> {
        let mut runs = StatusRuns::new(0, 1 << 30);
        descriptors.iter().for_each(|(len, quiet)| runs.add(*len, *quiet).unwrap());
        runs.close();
        runs.iter().collect()
    }

    #[test]
    fn runs_are_joined_and_the_short_quiet_ones_are_loud() {
        let k = 1024;
        let split =
            runs(&[(2 * k, true), (2 * k, true), (64 * k, false), (k, true), (k, false), (8 * k, true)]);
        assert_eq!(split, [(0, 4 * k, true), (4 * k, 70 * k, false), (70 * k, 78 * k, true)]);
        assert_eq!(runs(&[(1, false)]), [(0, 64 * k, false)], "a reply that hardly says anything");
        assert_eq!(runs(&[(1 << 32, true)]), [(0, 1 << 30, true)], "the last one may say more than asked");
    }

    #[test]
    fn lies_are_seen_and_memory_is_bounded() {
        let mut all = StatusRuns::new(100, 200);
        assert!(all.add(0, true).is_err());
        all.add(100, true).unwrap();
        assert!(all.add(1, true).is_err());
        let mut many = StatusRuns::new(0, 1 << 40);
        (0..200_000).for_each(|n| many.add(4096, n % 2 == 0).unwrap());
        many.close();
        assert!(many.iter().count() <= MAX_RUNS + 1);
        assert_eq!(many.at(4096), Some((8192, false)));
        assert_eq!(many.at(many.end()), None);
    }
}
