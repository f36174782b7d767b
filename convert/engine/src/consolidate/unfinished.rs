//! What a run that was killed left, and how it ends.

use super::host::sync_folder;
use super::journal::{JOURNAL, Journal, State, unclear};
use super::run::Run;
use super::{ConsolidateOutcome, KeptPoint, work_folder};
use format_core::{Error, ErrorKind, FileTarget, Result, Warning};
use std::path::Path;

/// Refuses where an interrupted run has to be finished first.
///
/// # Errors
/// `Temporary` then.
pub(super) fn refuse(folder: &Path, name: &str) -> Result<()> {
    let work = work_folder(folder, name);
    if work.symlink_metadata().is_err() {
        return Ok(());
    }
    let text = format!("{} is what an interrupted run left, or one that is at work", work.display());
    Err(Error::new(ErrorKind::Temporary, text).hint("run the command without --dry-run to finish it"))
}

/// Removes the folder of a run and the journal in it; anything else in it keeps it.
///
/// # Errors
/// `Destination` when something else is in it.
pub(super) fn remove_folder(work: &Path) -> Result<()> {
    let journal = work.join(JOURNAL);
    let failed = |e: std::io::Error| {
        Error::io(format!("cannot remove {}", work.display()), e)
            .with_kind(ErrorKind::Destination)
            .hint("something is in it that no consolidation put there: move it away")
    };
    for path in [FileTarget::partial_path(&journal), journal] {
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed(e)),
            _ => {}
        }
    }
    std::fs::remove_dir(work).map_err(failed)
}

impl Run<'_> {
    /// Finishes or undoes what an earlier run left. `None` where there is nothing of it, or it had not begun to change
    /// anything.
    pub(super) fn finish_earlier(&self) -> Result<Option<ConsolidateOutcome>> {
        if self.work.symlink_metadata().is_err() {
            return Ok(None);
        }
        let Some(mut journal) = Journal::load(&self.work)? else {
            // Killed before the first or behind the last step.
            remove_folder(&self.work)?;
            sync_folder(&self.folder)?;
            return Ok(None);
        };
        match journal.state {
            State::Copying => self.clear(&journal).map(|()| None),
            State::Ready => self.finish_ready(&mut journal),
            State::Removing => {
                let freed = self.remove(&journal)?;
                Ok(Some(self.finished(&journal, freed)))
            }
        }
    }

    fn finish_ready(&self, journal: &mut Journal) -> Result<Option<ConsolidateOutcome>> {
        let (target, work) = (self.target(journal), self.work.join(&journal.replaced.name));
        let new = journal.new_image()?.clone();
        if new.is_at(&target) {
            let paths = self.paths(journal);
            let done = self.take_over(journal, &paths)?;
            return Ok(Some(ConsolidateOutcome { continued: true, ..done }));
        }
        if !journal.replaced.is_at(&target) || !new.is_at(&work) {
            let text = format!("{} is neither the old image nor the new one", target.display());
            return Err(unclear(&self.work, text));
        }
        if !self.is_unchanged(journal) || !new.is_unchanged_at(&work) {
            // What was proven is not what is there.
            self.clear(journal)?;
            return Ok(None);
        }
        let paths = self.paths(journal);
        let done = self.take_over(journal, &paths)?;
        Ok(Some(ConsolidateOutcome { continued: true, ..done }))
    }

    fn is_unchanged(&self, journal: &Journal) -> bool {
        let mut all = journal.kept.iter().chain(&journal.old).chain([&journal.replaced]);
        all.all(|file| file.is_unchanged_at(&self.folder.join(&file.name)))
    }

    fn paths(&self, journal: &Journal) -> Vec<std::path::PathBuf> {
        let all = journal.kept.iter().chain([&journal.replaced]);
        all.map(|file| self.folder.join(&file.name)).collect()
    }

    fn finished(&self, journal: &Journal, freed_bytes: u64) -> ConsolidateOutcome {
        let kept = self.paths(journal).into_iter();
        ConsolidateOutcome {
            kept: kept.map(|path| KeptPoint { path: path.display().to_string(), digest: None }).collect(),
            plan: None,
            continued: true,
            freed_bytes,
            warnings: Vec::<Warning>::new(),
        }
    }
}
