//! What a run that was killed left, and how it ends.

use super::away::{refuse_taken, usable};
use super::forks::refuse_forks;
use super::host::{beside, look, refuse_in_use, sync_folder};
use super::journal::{JOURNAL, Journal, State, unclear};
use super::kinship::Removed;
use super::run::Run;
use super::{ConsolidateOutcome, KeptPoint, work_folder};
use crate::chain::{Alone, image_format};
use format_core::{Error, ErrorKind, FileTarget, Result, Warning};
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
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
                self.check_in_place(&journal)?;
                self.check_wish(&mut journal)?;
                self.refuse_needed(&journal)?;
                let (freed, warnings) = self.remove(&journal)?;
                Ok(Some(self.finished(&journal, freed, warnings)))
            }
        }
    }

    /// The names were exchanged by the earlier run, so it can only go on.
    fn finish_ready(&self, journal: &mut Journal) -> Result<Option<ConsolidateOutcome>> {
        let (target, work) = (self.target(journal), self.work.join(&journal.replaced.name));
        let new = journal.new_image()?.clone();
        if new.is_at(&target) {
            self.check_wish(journal)?;
            if let Some(away) = &journal.keep_old {
                refuse_taken(away, journal.old.iter().chain([&journal.replaced]))?;
            }
            let paths = self.paths(journal);
            let done = self.take_over(journal, &paths)?;
            return Ok(Some(ConsolidateOutcome { continued: true, ..done }));
        }
        if !journal.replaced.is_at(&target) || !new.is_at(&work) {
            let text = format!("{} is neither the old image nor the new one", target.display());
            return Err(unclear(&self.work, text));
        }
        // Nothing was changed yet. What the operator wants now, and what there is now, may be something else.
        self.clear(journal)?;
        Ok(None)
    }

    /// Whether what the earlier run goes on to do is what is wanted now.
    fn check_wish(&self, journal: &mut Journal) -> Result<()> {
        if self.request.keep > journal.keep {
            let left = journal.old.iter().map(|file| (file, self.folder.join(&file.name)));
            let left =
                left.filter(|(file, path)| file.is_at(path)).map(|(_, path)| path.display().to_string());
            let text = format!(
                "an interrupted run is to be finished that keeps {} points, not {}: of the older images there are still {:?}",
                journal.keep,
                self.request.keep,
                left.collect::<Vec<_>>()
            );
            let hint = format!("--keep {} finishes it, with --keep-old DIR nothing is removed", journal.keep);
            return Err(Error::needs_person(text).hint(hint));
        }
        // Another folder than before: files of the same names may be in that one.
        if let Some(away) = usable(self.request.keep_old, &self.folder)? {
            journal.keep_old = Some(away);
            journal.save(&self.work)?;
        }
        Ok(())
    }

    /// Refuses while somebody needs or uses one of the old files that are still there.
    pub(super) fn refuse_needed(&self, journal: &Journal) -> Result<()> {
        let (mut files, mut opened) = (Vec::new(), Vec::new());
        for file in &journal.old {
            let path = self.folder.join(&file.name);
            if !file.is_untouched_at(&path) {
                continue;
            }
            refuse_in_use(&path, true)?;
            let found = look(&path)?;
            files.push(((found.dev(), found.ino()), path.clone()));
            // One that does not open has its name at least.
            let format = image_format(&path, self.request.open.formats).ok().flatten();
            opened.extend(format.and_then(|format| Alone::open(&path, Some(format), self.request.open).ok()));
        }
        let mut own: BTreeSet<_> = files.iter().map(|(id, _)| *id).collect();
        let target = self.target(journal);
        if journal.replaced.is_at(&target) {
            let found = look(&target)?;
            own.insert((found.dev(), found.ino()));
        }
        let images = opened.iter().map(|image| (image.link.path.as_path(), image.layer.as_ref())).collect();
        refuse_forks(&self.folder, &own, &Removed { images, files }, self.request.open, self.control)
    }

    /// Nothing old may go while the new image is not where it was put.
    fn check_in_place(&self, journal: &Journal) -> Result<()> {
        let (target, work) = (self.target(journal), self.work.join(&journal.replaced.name));
        let olds = journal.old.iter().map(|file| (file, self.folder.join(&file.name)));
        let replaced = [beside(&work), work].map(|path| (&journal.replaced, path));
        let some_left = olds.chain(replaced).any(|(file, path)| file.is_at(&path));
        if !some_left || journal.new_image()?.is_at(&target) {
            return Ok(());
        }
        let text =
            format!("{} is not the new image any more, which the old ones would go for", target.display());
        Err(unclear(&self.work, text))
    }

    fn paths(&self, journal: &Journal) -> Vec<std::path::PathBuf> {
        let all = journal.kept.iter().chain([&journal.replaced]);
        all.map(|file| self.folder.join(&file.name)).collect()
    }

    fn finished(&self, journal: &Journal, freed_bytes: u64, warnings: Vec<Warning>) -> ConsolidateOutcome {
        let kept = self.paths(journal).into_iter();
        ConsolidateOutcome {
            kept: kept.map(|path| KeptPoint { path: path.display().to_string(), digest: None }).collect(),
            plan: None,
            continued: true,
            freed_bytes,
            warnings,
        }
    }
}
