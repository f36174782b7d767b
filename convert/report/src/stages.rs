//! Stages and their speed, from the progress lines that a run wrote to its log.

use crate::model::{JobReport, StageReport};
use serde_json::Value;

/// More points are not told apart on a page.
const MOST_SAMPLES: usize = 240;
/// A run has a few stages for each disk.
const MOST_STAGES: usize = 256;

/// The stages that the log of one attempt tells of: the lines of `--progress json` on its stderr. Other lines are passed over.
#[must_use]
pub fn stages_of_log(log: &str) -> Vec<StageReport> {
    let mut stages: Vec<StageReport> = Vec::new();
    for line in log.lines().map(str::trim).filter(|line| line.starts_with('{')) {
        let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
        read_line(&mut stages, &line);
    }
    stages
}

impl JobReport {
    /// Adds what the log of its last attempt tells: the stages, and in which of them an error came.
    pub fn read_log(&mut self, log: &str) {
        self.stages = stages_of_log(log);
        let unfinished = self.stages.last().filter(|stage| !stage.ended).map(|stage| stage.name.clone());
        if let Some(error) = self.error.as_mut().filter(|error| error.stage.is_none()) {
            error.stage = unfinished;
        }
    }
}

fn read_line(stages: &mut Vec<StageReport>, line: &Value) -> Option<()> {
    let event = line.get("event")?.as_str()?;
    let name = line.get("stage")?.as_str()?;
    let bytes = line.get("bytes")?.as_u64()?;
    let seconds = line.get("seconds")?.as_f64().filter(|seconds| seconds.is_finite() && *seconds >= 0.0)?;
    if event == "begin" {
        if stages.len() < MOST_STAGES {
            stages.push(StageReport { name: name.to_owned(), ..StageReport::default() });
        }
        return Some(());
    }
    let stage = stages.last_mut().filter(|stage| stage.name == name && !stage.ended)?;
    if !matches!(event, "progress" | "end") || seconds < stage.seconds || bytes < stage.bytes {
        return None;
    }
    (stage.seconds, stage.bytes, stage.ended) = (seconds, bytes, event == "end");
    if stage.samples.len() >= MOST_SAMPLES {
        // Every second one goes, so that what is kept stays evenly spread.
        let mut keep = false;
        stage.samples.retain(|_| {
            keep = !keep;
            !keep
        });
    }
    stage.samples.push((seconds, bytes));
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(event: &str, stage: &str, bytes: u64, seconds: f64) -> String {
        format!(
            "{{\"event\":\"{event}\",\"stage\":\"{stage}\",\"bytes\":{bytes},\"total\":900,\"seconds\":{seconds}}}\n"
        )
    }

    #[test]
    fn stages_are_read_between_the_lines_of_a_log() {
        let log = format!(
            "# attempt 1\n{}warning: odd [x]\n{}{}{}{{broken\n{}",
            line("begin", "copy", 0, 0.0),
            line("progress", "copy", 400, 0.5),
            line("end", "copy", 900, 1.0),
            line("begin", "prove", 0, 0.0),
            line("progress", "prove", 10, 0.5),
        );
        let stages = stages_of_log(&log);
        assert_eq!(stages.len(), 2);
        assert_eq!(stages[0].samples, [(0.5, 400), (1.0, 900)]);
        assert_eq!((stages[0].ended, stages[0].bytes, stages[0].seconds), (true, 900, 1.0));
        assert!(!stages[1].ended && stages[1].name == "prove");
    }

    #[test]
    fn hours_of_samples_become_few_and_stay_in_order() {
        let mut log = line("begin", "copy", 0, 0.0);
        (1..=100_000).for_each(|n| log.push_str(&line("progress", "copy", n, n as f64)));
        let stage = &stages_of_log(&log)[0];
        assert!((MOST_SAMPLES / 2..=MOST_SAMPLES).contains(&stage.samples.len()), "{}", stage.samples.len());
        assert!(stage.samples.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1));
        assert_eq!(stage.samples.last(), Some(&(100_000.0, 100_000)));
    }

    #[test]
    fn lines_that_go_backwards_are_passed_over() {
        let log =
            line("begin", "a", 0, 0.0) + &line("progress", "a", 9, 5.0) + &line("progress", "a", 3, 4.0);
        assert_eq!(stages_of_log(&log)[0].samples, [(5.0, 9)]);
        assert_eq!(stages_of_log(&line("progress", "a", 9, 5.0)), []);
    }
}
