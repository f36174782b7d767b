//! One thing that is wrong with a guest on its new platform, and the edits that mend it.

use crate::{Draft, Guest, Target, Wishes};
use format_core::Result;
use serde::Serialize;

/// Whether a fixup concerns this guest on this target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applies {
    /// It does; [`Fixup::plan`] says what to edit.
    Yes,
    /// It does not, and why.
    No(String),
    /// It does, but cannot be done: why, and what a person can do.
    Cannot {
        /// Why.
        reason: String,
        /// What to do instead.
        next_step: String,
    },
}

impl Applies {
    /// `No`, because of `reason`.
    pub fn no(reason: impl Into<String>) -> Self {
        Self::No(reason.into())
    }

    /// `Cannot`, because of `reason`; `next_step` is for the person.
    pub fn cannot(reason: impl Into<String>, next_step: impl Into<String>) -> Self {
        Self::Cannot { reason: reason.into(), next_step: next_step.into() }
    }
}

static NO_WISHES: Wishes = Wishes::NONE;

/// What a fixup may look at besides the guest's files.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The guest's facts.
    pub guest: &'a Guest,
    /// Where it goes.
    pub target: &'a Target,
    /// Modules that the operator wants in the initramfs besides the target's.
    pub extra_modules: &'a [String],
    /// What the operator wants changed beyond that.
    pub wishes: &'a Wishes,
}

impl<'a> Context<'a> {
    /// Nothing is wished but that the guest starts on `target`.
    #[must_use]
    pub fn new(guest: &'a Guest, target: &'a Target) -> Self {
        Self { guest, target, extra_modules: &[], wishes: &NO_WISHES }
    }
}

/// One thing that is wrong with a guest on its new platform. Each lives in a file of its own.
///
/// Laws that tests check: after applying a plan, planning again gives nothing; only planned paths change.
pub trait Fixup: Sync {
    /// Stable and short: `linux-fstab`.
    fn id(&self) -> &'static str;

    /// One line for people: what it does.
    fn title(&self) -> &'static str;

    /// Whether it concerns this guest; cheap.
    ///
    /// # Errors
    /// When the guest cannot be read.
    fn applies(&self, context: &Context<'_>, draft: &Draft<'_>) -> Result<Applies>;

    /// What a person can do in the running guest instead, where the guest starts and is reached without this fixup too.
    ///
    /// Then a file system that cannot take one of its edits makes the plan leave the fixup out, whole, and say so; without
    /// an answer here it is an obstacle.
    fn by_hand(&self) -> Option<&'static str> {
        None
    }

    /// Plans the edits in `draft`. None planned means that all is well already.
    ///
    /// # Errors
    /// When the guest cannot be read; `NeedsPerson` when what was found cannot be mended.
    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()>;
}

/// How a fixup ended in the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Edits are planned.
    Planned,
    /// It concerns the guest, and nothing has to change.
    NothingToDo,
    /// It does not concern the guest.
    NotApplicable,
    /// It concerns the guest, its file system cannot take the edits, and the guest starts without them: for a person,
    /// in the running guest.
    LeftOut,
    /// It concerns the guest and cannot be done.
    Cannot,
}

/// One fixup in the plan.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedFixup {
    /// [`Fixup::id`].
    pub id: &'static str,
    /// [`Fixup::title`].
    pub title: &'static str,
    /// How it ended.
    pub status: Status,
    /// Why, where there is something to say.
    pub reason: Option<String>,
    /// What a person can do, where it cannot be done.
    pub next_step: Option<String>,
    /// How many edits it planned.
    pub edits: usize,
    /// Whether the file system's editor is what stands in the way: another may do it.
    #[serde(skip)]
    pub by_editor: bool,
}
