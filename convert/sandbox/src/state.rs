//! What came of confining a run.

use crate::calls::Calls;
use serde::Serialize;
use std::sync::OnceLock;

/// How well a run is confined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Files and system calls.
    Enforced,
    /// One of them, or with rules that allow more than they should.
    Partly,
    /// Not at all: the operator or the command does without.
    Off,
    /// Not at all: the kernel offers neither.
    Unavailable,
}

impl State {
    /// As it stands in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Enforced => "enforced",
            Self::Partly => "partly",
            Self::Off => "off",
            Self::Unavailable => "unavailable",
        }
    }
}

/// How a run is confined, for reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sandbox {
    /// In a word.
    pub state: State,
    /// The version of the kernel's Landlock that keeps to the files; `None` where nothing does.
    pub landlock: Option<i32>,
    /// Which system calls are left; `None` for all.
    pub system_calls: Option<Calls>,
    /// Why it is not wholly enforced.
    pub reason: Option<String>,
    /// Whether the operator wanted that.
    #[serde(skip)]
    pub switched_off: bool,
}

impl Sandbox {
    /// A run that the operator does not want confined.
    #[must_use]
    pub fn switched_off() -> Self {
        Self { switched_off: true, ..Self::off("--no-sandbox") }
    }

    /// A command that is not confined, and why.
    #[must_use]
    pub fn off(why: &str) -> Self {
        Self::without(State::Off, why)
    }

    pub(crate) fn unavailable(why: &str) -> Self {
        Self::without(State::Unavailable, why)
    }

    fn without(state: State, why: &str) -> Self {
        Self { state, landlock: None, system_calls: None, reason: Some(why.to_owned()), switched_off: false }
    }

    /// Whether something may have been refused by it.
    #[must_use]
    pub fn is_confining(&self) -> bool {
        self.landlock.is_some() || self.system_calls.is_some()
    }

    /// A line for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut parts = vec![self.state.name().to_owned()];
        parts.extend(self.landlock.map(|version| format!("files by Landlock {version}")));
        parts.extend(self.system_calls.map(|calls| format!("system calls by seccomp: {}", calls.name())));
        parts.extend(self.reason.clone());
        parts.join(", ")
    }
}

static OWN: OnceLock<Sandbox> = OnceLock::new();

/// Remembers how this process is confined. Said once, by whoever did it.
pub fn settle(sandbox: Sandbox) {
    let _ = OWN.set(sandbox);
}

/// How this process is confined.
#[must_use]
pub fn state() -> Sandbox {
    OWN.get().cloned().unwrap_or_else(|| Sandbox::off("this process never asked for it"))
}
