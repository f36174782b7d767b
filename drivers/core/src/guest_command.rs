//! A program of the guest that is run over its file systems.

use format_core::Result;
use serde::Serialize;
use std::time::Duration;

/// What is run: a program of the guest with its arguments, in the guest's tree, as root, without a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GuestCommand {
    /// Absolute path of the program in the guest.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// The longest that it may take; then it is killed.
    pub limit: Duration,
}

impl GuestCommand {
    /// The command as it is typed, for people.
    #[must_use]
    pub fn line(&self) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-=:,+@%".contains(c);
        let word = |word: &String| match !word.is_empty() && word.chars().all(plain) {
            true => word.clone(),
            false => format!("'{}'", word.replace('\'', "'\\''")),
        };
        std::iter::once(&self.program).chain(&self.arguments).map(word).collect::<Vec<_>>().join(" ")
    }
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CommandOutcome {
    /// Its exit status; `None` when a signal or the time limit ended it.
    pub status: Option<i32>,
    /// Whether the time limit ended it.
    pub timed_out: bool,
    /// What it wrote on standard output and error, the end of it when it was long.
    pub log: String,
}

impl CommandOutcome {
    /// Whether the program says that it did what it is for.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.status == Some(0)
    }

    /// How it ended, for people, with the last lines of what it wrote.
    #[must_use]
    pub fn describe(&self) -> String {
        let how = match (self.timed_out, self.status) {
            (true, _) => "was ended by the time limit".to_owned(),
            (_, Some(status)) => format!("ended with status {status}"),
            (_, None) => "was ended by a signal".to_owned(),
        };
        let lines: Vec<&str> = self.log.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = lines.get(lines.len().saturating_sub(5)..).unwrap_or_default().join(" / ");
        if last.is_empty() { how } else { format!("{how}: {last}") }
    }
}

/// A command with its outcome, for the report.
#[derive(Clone, Debug, Serialize)]
pub struct CommandRun {
    /// What was run, as it is typed.
    pub command: String,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: CommandOutcome,
}

/// Who can run programs of the guest: the micro-VM.
pub trait GuestRunner {
    /// Runs `command` over the mounted tree and waits for its end.
    ///
    /// # Errors
    /// When it could not be started or the VM ended. A program that fails is an outcome.
    fn run(&self, command: &GuestCommand) -> Result<CommandOutcome>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_it_is_typed() {
        let arguments = ["-f", "a b", "it's", ""].map(String::from).to_vec();
        let command = GuestCommand { program: "/bin/x".into(), arguments, limit: Duration::from_secs(1) };
        assert_eq!(command.line(), r"/bin/x -f 'a b' 'it'\''s' ''");
        let outcome = CommandOutcome { status: Some(2), timed_out: false, log: "a\n\nb\n".into() };
        assert_eq!(outcome.describe(), "ended with status 2: a / b");
    }
}
