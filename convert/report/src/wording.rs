//! What reports say in words, for the page and for the text alike.

use crate::batch::{BatchReport, Totals};
use crate::model::{Attempt, DiskReport, JobReport, Proof, State};
use format_core::units::format_size;
use std::time::{SystemTime, UNIX_EPOCH};

/// How states are ordered where people look: what they have to act on comes first.
pub(crate) const ORDER: [State; 7] = [
    State::Failed,
    State::Held,
    State::Interrupted,
    State::Cancelled,
    State::Running,
    State::Waiting,
    State::Done,
];

impl State {
    /// In a word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Held => "needs a person",
            Self::Interrupted => "interrupted",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether somebody has to do something about it.
    #[must_use]
    pub fn needs_attention(self) -> bool {
        matches!(self, Self::Failed | Self::Held | Self::Interrupted | Self::Cancelled)
    }
}

/// `1 job`, `2 jobs`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} {noun}{s}", grouped(number))
}

/// `12,345`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `0.4 s`, `42 s`, `3 min 05 s`, `2 h 07 min`.
pub(crate) fn duration(seconds: f64) -> String {
    let whole = seconds.round().max(0.0) as u64;
    match whole {
        _ if seconds < 9.95 => format!("{:.1} s", seconds.max(0.0)),
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

/// Bytes a second.
pub(crate) fn rate(bytes: u64, seconds: f64) -> Option<String> {
    (seconds > 0.0).then(|| format!("{}/s", format_size((bytes as f64 / seconds) as u64)))
}

/// Seconds since 1970 of an RFC 3339 time.
pub(crate) fn instant(time: &str) -> Option<f64> {
    let time: SystemTime = humantime::parse_rfc3339(time).ok()?;
    time.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs_f64())
}

/// `2026-11-30 05:04:23 UTC`; what is no time is shown as it stands.
pub(crate) fn moment(time: &str) -> String {
    match (instant(time), time.split_once('T')) {
        (Some(_), Some((day, rest))) => format!("{day} {} UTC", rest.get(..8).unwrap_or(rest)),
        _ => time.to_owned(),
    }
}

/// `05:04`, and the day when it is not that of `other`.
pub(crate) fn clock(seconds: f64, other: f64) -> String {
    let time = UNIX_EPOCH.checked_add(std::time::Duration::from_secs_f64(seconds.clamp(0.0, 1e11)));
    let time = humantime::format_rfc3339_seconds(time.unwrap_or(UNIX_EPOCH)).to_string();
    let (day, rest) = time.split_once('T').unwrap_or((&time, ""));
    let clock = rest.get(..5).unwrap_or(rest);
    if (seconds / 86_400.0).floor() == (other / 86_400.0).floor() {
        clock.to_owned()
    } else {
        format!("{} {clock}", day.get(5..).unwrap_or(day))
    }
}

impl Attempt {
    /// From its beginning to its end, in seconds since 1970; both have to be known and in order.
    pub(crate) fn span(&self) -> Option<(f64, f64)> {
        let (began, ended) = (instant(self.began.as_deref()?)?, instant(self.ended.as_deref()?)?);
        (began <= ended).then_some((began, ended))
    }
}

impl JobReport {
    /// What people call it.
    #[must_use]
    pub fn name(&self) -> &str {
        let machine = self.machine.as_ref().map(|machine| machine.name.as_str());
        self.title.as_deref().or(machine).filter(|name| !name.is_empty()).unwrap_or(&self.id)
    }

    /// Its verdict in a sentence.
    #[must_use]
    pub fn headline(&self) -> String {
        let done = match (self.action.as_str(), self.dry_run) {
            ("migrate", true) => "can be moved",
            ("migrate", false) => "was moved",
            ("convert", _) => "was converted",
            _ => "is done",
        };
        let to = self.platform.as_ref().map(|platform| format!(" to {platform}")).unwrap_or_default();
        let name = self.name();
        match self.state {
            State::Done if self.warnings.is_empty() => format!("{name} {done}{to}"),
            State::Done => {
                format!("{name} {done}{to}, with {}", counted(self.warnings.len() as u64, "warning"))
            }
            State::Failed => format!("{name} failed"),
            State::Held => format!("{name} needs a person first"),
            state => format!("{name} is {}", state.word()),
        }
    }

    /// Why it is not done, in a sentence.
    #[must_use]
    pub fn cause(&self) -> Option<String> {
        let test = self.boot_test.as_ref().filter(|test| test.verdict != "passed");
        let of_test = || {
            let test = test?;
            let line = test.line.as_ref().map(|line| format!(": {line}")).unwrap_or_default();
            Some(format!("boot test {}: {}{line}", test.verdict, test.about))
        };
        let error = self.error.as_ref().map(|error| error.message.clone());
        error.or_else(|| self.obstacles.first().cloned()).or_else(of_test)
    }

    /// What to do about it.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        let hint = self.error.as_ref().and_then(|error| error.hint.clone());
        let steps = || self.fixups.iter().find_map(|fixup| fixup.next_step.clone());
        match self.state {
            State::Done => self.next_step.clone(),
            state if state.needs_attention() => hint
                .or_else(steps)
                .or_else(|| self.next_step.clone())
                .or_else(|| self.exit_code.and_then(general_advice).map(str::to_owned)),
            _ => None,
        }
    }

    /// How long it took, all attempts and the pauses between them included.
    #[must_use]
    pub fn duration(&self) -> Option<f64> {
        let spans: Vec<_> = self.attempts.iter().filter_map(Attempt::span).collect();
        match (spans.first(), spans.last()) {
            (Some((began, _)), Some((_, ended))) => Some((ended - began).max(0.0)),
            _ => self.seconds,
        }
    }

    /// Bytes of data on all its disks.
    #[must_use]
    pub fn data_bytes(&self) -> u64 {
        self.disks.iter().filter_map(|disk| disk.data_bytes).fold(0, u64::saturating_add)
    }
}

/// Where an error has no hint of its own.
fn general_advice(code: i32) -> Option<&'static str> {
    Some(match code {
        2 => "correct the arguments of the job, then run it again",
        1 => "look at what differs or was lost before the machine is used",
        65 => "look at the source with 'rehome check SOURCE'; take another copy of it where it is damaged",
        66 => "see that the source is there and its folder is mounted, then run it again",
        69 => "convert the source with its own tools to a format that 'rehome formats' lists",
        70 => "this is a bug in rehome: send the job's log",
        73 => "see that the destination is there and mounted, and that the target does not exist yet",
        74 => "look at the disks and the network of source and destination, then run it again",
        75 => "run it again: it goes on where it stopped",
        77 => "give the user that runs it the right to read the source and to write the destination",
        78 => "do what the message says in the source machine, then run it again",
        _ => return None,
    })
}

impl DiskReport {
    /// What was proven, in a sentence.
    #[must_use]
    pub fn proof_words(&self) -> &'static str {
        match self.proof {
            Proof::None => "not checked after writing",
            Proof::ReadBack => "read back: the same as was written",
            Proof::Source => "read back and compared with the source: only planned changes differ",
        }
    }
}

impl BatchReport {
    /// What people call it.
    #[must_use]
    pub fn name(&self) -> &str {
        self.title.as_deref().filter(|title| !title.is_empty()).unwrap_or(&self.id)
    }

    /// Its verdict in a sentence.
    #[must_use]
    pub fn headline(&self) -> String {
        let totals = Totals::of(&self.jobs);
        let done = totals.count(State::Done);
        if totals.jobs == 0 {
            return "There are no jobs".to_owned();
        }
        if done == totals.jobs {
            let with = match totals.with_warnings {
                0 => String::new(),
                number => format!(", {} with warnings", grouped(number)),
            };
            return match done {
                1 => format!("The job is done{with}"),
                _ => format!("All {} are done{with}", counted(done, "job")),
            };
        }
        let others = ORDER.iter().filter(|state| **state != State::Done);
        let others = others.filter_map(|state| match totals.count(*state) {
            0 => None,
            1 if *state == State::Held => Some("1 needs a person".to_owned()),
            number if *state == State::Held => Some(format!("{} need a person", grouped(number))),
            number if matches!(state, State::Failed) => Some(format!("{} failed", grouped(number))),
            number => Some(format!("{} {}", grouped(number), state.word())),
        });
        let verb = if done == 1 { "is" } else { "are" };
        format!(
            "{} of {} {verb} done; {}",
            grouped(done),
            counted(totals.jobs, "job"),
            others.collect::<Vec<_>>().join(", ")
        )
    }

    /// The worst state that a person has to act on, else how the batch stands.
    #[must_use]
    pub fn state(&self) -> State {
        ORDER.into_iter().find(|state| self.jobs.iter().any(|job| job.state == *state)).unwrap_or(State::Done)
    }

    /// From the first beginning to the last end that is known, in seconds since 1970.
    pub(crate) fn span(&self) -> Option<(f64, f64)> {
        let attempts = self.jobs.iter().flat_map(|job| &job.attempts).filter_map(Attempt::span);
        let of_jobs = attempts.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        let began = self.began.as_deref().and_then(instant);
        let ended = self.ended.as_deref().and_then(instant);
        let began = began.or(of_jobs.map(|span| span.0))?;
        let ended = ended.or(of_jobs.map(|span| span.1))?;
        (began <= ended).then_some((began, ended))
    }
}

/// Foreign text for a page or a terminal: everything that could steer is made visible, and what is very long is cut.
pub(crate) fn shown(text: &str) -> String {
    const MOST: usize = 4000;
    let cut = text.char_indices().nth(MOST).and_then(|(at, _)| text.get(..at));
    let shown = driver_core::printable(cut.unwrap_or(text));
    if cut.is_some() { shown + "…" } else { shown }
}

/// The same for text of several lines.
pub(crate) fn shown_lines(text: &str) -> String {
    text.lines().map(shown).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jobs(states: &[State]) -> BatchReport {
        let job = |state: &State| JobReport { state: *state, ..JobReport::default() };
        BatchReport { jobs: states.iter().map(job).collect(), ..BatchReport::default() }
    }

    #[test]
    fn a_batch_is_told_in_one_sentence() {
        use State::{Cancelled, Done, Failed, Held, Waiting};
        for (states, told) in [
            (&[][..], "There are no jobs"),
            (&[Done], "The job is done"),
            (&[Done, Done], "All 2 jobs are done"),
            (&[Done, Failed, Held], "1 of 3 jobs is done; 1 failed, 1 needs a person"),
            (
                &[Waiting, Held, Held, Cancelled],
                "0 of 4 jobs are done; 2 need a person, 1 cancelled, 1 waiting",
            ),
        ] {
            assert_eq!(jobs(states).headline(), told);
        }
        assert_eq!(jobs(&[Done, Held, Failed]).state(), Failed);
    }

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0.04, 9.9, 42.4, 59.9, 185.0, 7620.0].map(duration),
            ["0.0 s", "9.9 s", "42 s", "1 min 00 s", "3 min 05 s", "2 h 07 min"]
        );
        assert_eq!(moment("2026-11-30T05:04:23.123Z"), "2026-11-30 05:04:23 UTC");
        assert_eq!(moment("yesterday"), "yesterday");
        let at = instant("2026-11-30T05:04:23Z").unwrap();
        assert_eq!((clock(at, at).as_str(), clock(at, 0.0).as_str()), ("05:04", "11-30 05:04"));
    }

    #[test]
    fn advice_is_the_errors_own_else_that_of_its_code() {
        let mut job = JobReport { state: State::Failed, exit_code: Some(74), ..JobReport::default() };
        assert!(job.advice().unwrap().contains("run it again"));
        job.error = Some(crate::model::ErrorReport { hint: Some("do this".into()), ..Default::default() });
        assert_eq!(job.advice().unwrap(), "do this");
        job.state = State::Running;
        assert_eq!(job.advice(), None);
    }

    #[test]
    fn text_that_steers_is_shown() {
        assert_eq!(shown("a\u{1b}[31m\u{202e}b\n"), "a\\u{1b}[31m\\u{202e}b\\n");
        assert_eq!(shown_lines("a\nb\r\nc\u{7}"), "a\nb\nc\\u{7}");
        assert_eq!(shown(&"x".repeat(9000)).chars().count(), 4001);
    }
}
