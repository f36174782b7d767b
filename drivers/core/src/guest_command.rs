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

/// Who can run programs of the guest: the micro-VM.
pub trait GuestRunner {
    /// Runs `command` over the mounted tree and waits for its end.
    ///
    /// # Errors
    /// When it could not be started or the VM ended. A program that fails is an outcome.
    fn run(&self, command: &GuestCommand) -> Result<CommandOutcome>;
}
