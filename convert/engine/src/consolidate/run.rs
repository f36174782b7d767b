//! The steps of a consolidation. Between any two of them the process can be killed.

use super::host::{FileFacts, beside, dress_like, exchange, exchange_back, put_away, sync_folder};
use super::journal::{Journal, State};
use super::plan::{Prepared, check_space};
use super::points::{Points, Proven};
use super::{ConsolidateOutcome, ConsolidateRequest, KeptPoint};
use crate::digest::BlockList;
use crate::manifest::{Manifest, blocks_path, manifest_path};
use crate::observer::Control;
use crate::pipeline::Proof;
use crate::run::{ConvertRequest, Destination, convert};
use format_core::{Error, ErrorKind, OpenOptions, Result, Warning, codes, open_image};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A run in a folder that is locked for it.
pub(super) struct Run<'a> {
    pub(super) request: &'a ConsolidateRequest<'a>,
    /// Where the images lie.
    pub(super) folder: PathBuf,
    /// The file name of the newest one.
    pub(super) name: String,
    /// The run's own folder.
    pub(super) work: PathBuf,
    pub(super) control: Control<'a>,
}

impl Run<'_> {
    /// From the plan to the end.
    pub(super) fn start(&self, found: Prepared) -> Result<ConsolidateOutcome> {
        check_space(&found.plan)?;
        let mut journal = Journal {
            version: 1,
            tool: concat!("rehome ", env!("CARGO_PKG_VERSION")).into(),
            state: State::Copying,
            keep: self.request.keep,
            replaced: found.replaced.clone(),
            kept: found.kept.clone(),
            old: found.old.clone(),
            new: None,
            keep_old: found.keep_old.clone(),
        };
        self.step("prepare")?;
        std::fs::create_dir(&self.work).map_err(|e| {
            let text = format!("cannot make the folder {}", self.work.display());
            Error::io(text, e).with_kind(ErrorKind::Destination)
        })?;
        let made = sync_folder(&self.folder).and_then(|()| journal.save(&self.work));
        let proven = made.and_then(|()| self.make(&found, &mut journal));
        let proven = match proven {
            Ok(proven) => proven,
            // Nothing but the run's own folder has changed, and a later run would start over.
            Err(e) => return Err(self.undo(&journal, e)),
        };
        let mut done = self.take_over(&mut journal, &found.paths)?;
        done.kept = found
            .paths
            .iter()
            .zip(&proven.digests)
            .map(|(path, digest)| KeptPoint {
                path: path.display().to_string(),
                digest: Some(digest.to_hex().to_string()),
            })
            .collect();
        done.plan = Some(found.plan);
        done.warnings = [found.warnings, proven.warnings, done.warnings].concat();
        Ok(done)
    }

    /// Writes the new full image and proves every kept point through it.
    fn make(&self, found: &Prepared, journal: &mut Journal) -> Result<Proven> {
        let path = self.work.join(&journal.replaced.name);
        let Some(link) = found.oldest.chain.first() else {
            return Err(Error::contract("a chain of nothing"));
        };
        let request = ConvertRequest {
            source: &found.oldest,
            disk: &found.oldest.disk,
            target: Destination::File { path: &path, replace: true },
            format: link.format,
            options: found.options.clone(),
            base: None,
            proof: Proof::DIGEST,
        };
        let (manifest, copy) = convert(request, self.control)?.into_manifest()?;
        self.step("prove")?;
        dress_like(&path, &link.path)?;
        self.save_manifest(&manifest, &copy.blocks, &path)?;
        let options = OpenOptions { format: Some(link.format), ..self.request.open.clone() };
        let written = open_image(&path, &options)?;
        let layer = match written.disk.layers() {
            [layer] => layer.clone(),
            _ => return Err(Error::contract("the new image has a parent")),
        };
        let child = self.request.keep.checked_sub(2).and_then(|child| found.layers.get(child));
        let wanted = child.and_then(|child| child.parent()).and_then(|parent| parent.identity.as_deref());
        if let Some(wanted) = wanted.filter(|wanted| !layer.is_identified_by(wanted)) {
            return Err(Error::contract(format!("the new image is not {wanted}")));
        }
        let points = Points { layers: &found.layers, paths: &found.paths, new: layer };
        let proven = points.prove(&copy.blocks, self.control)?;
        self.step("ready")?;
        let unchanged = |file: &FileFacts| file.is_unchanged_at(&self.folder.join(&file.name));
        let all = journal.kept.iter().chain(&journal.old).chain([&journal.replaced]);
        if let Some(other) = all.clone().find(|file| !unchanged(file)) {
            return Err(changed(&self.folder.join(&other.name)));
        }
        journal.new = Some(FileFacts::of(&path)?);
        journal.state = State::Ready;
        sync_folder(&self.work)?;
        journal.save(&self.work)?;
        Ok(proven)
    }

    fn save_manifest(&self, manifest: &Manifest, blocks: &BlockList, path: &Path) -> Result<()> {
        let manifest = Manifest::new(path, &manifest.image.format, blocks, manifest.source.clone())?;
        manifest.save(path, blocks).map(|_| ())
    }

    /// From `Ready` on: the names are exchanged, the chain is opened through them, the old files go.
    pub(super) fn take_over(&self, journal: &mut Journal, kept: &[PathBuf]) -> Result<ConsolidateOutcome> {
        let (new, old) = (self.work.join(&journal.replaced.name), self.target(journal));
        if journal.new_image()?.is_at(&old) {
            self.refuse_needed(journal)?;
        } else {
            self.step("exchange")?;
            if !journal.replaced.is_unchanged_at(&old) {
                return Err(self.undo(journal, changed(&old)));
            }
            // The copy may have taken hours.
            self.refuse_needed(journal).map_err(|e| self.undo(journal, e))?;
            // Refused: the names are as they were.
            exchange(&new, &old).map_err(|e| self.undo(journal, e))?;
        }
        self.durable()?;
        if let Err(e) = self.opens(journal) {
            exchange_back(&new, &old)?;
            self.durable()?;
            return Err(self.undo(journal, e.context("the chain does not open through the new image")));
        }
        self.step("manifest")?;
        for name in [blocks_path, manifest_path] {
            let (from, to) = (name(&new), name(&old));
            match std::fs::rename(&from, &to) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io(format!("cannot rename {}", from.display()), e).hint(AGAIN));
                }
                _ => {}
            }
        }
        self.durable()?;
        journal.state = State::Removing;
        journal.save(&self.work)?;
        let (freed_bytes, warnings) = self.remove(journal)?;
        let kept = kept.iter().map(|path| KeptPoint { path: path.display().to_string(), digest: None });
        Ok(ConsolidateOutcome { kept: kept.collect(), plan: None, continued: false, freed_bytes, warnings })
    }

    /// The name that the new image takes.
    pub(super) fn target(&self, journal: &Journal) -> PathBuf {
        self.folder.join(&journal.replaced.name)
    }

    /// Opens the newest point by its name: it must consist of the files that are kept, and of nothing else.
    fn opens(&self, journal: &Journal) -> Result<()> {
        let replaced = self.work.join(&journal.replaced.name);
        if ![beside(&replaced), replaced].iter().any(|path| journal.replaced.is_unchanged_at(path)) {
            // Somebody who had it open wrote to it until now.
            return Err(changed(&self.target(journal)));
        }
        let opened = open_image(&self.folder.join(&self.name), self.request.open)?;
        let found: Vec<_> = opened.chain.iter().map(|link| link.file_id.1).collect();
        let wanted: Vec<_> =
            journal.kept.iter().map(|file| file.inode).chain([journal.new_image()?.inode]).collect();
        if found == wanted {
            return Ok(());
        }
        Err(Error::contract(format!("it consists of the files {found:?}, not of {wanted:?}")))
    }

    /// Removes the old files and then all that tells of the run. A file that is not what it was when the run began stays.
    pub(super) fn remove(&self, journal: &Journal) -> Result<(u64, Vec<Warning>)> {
        let to = journal.keep_old.as_deref();
        let hinted = |e: Error| if e.hint_text().is_some() { e } else { e.hint(AGAIN) };
        let (mut freed, mut warnings) = (0u64, Vec::new());
        for file in &journal.old {
            self.step("remove")?;
            let path = self.folder.join(&file.name);
            if path.symlink_metadata().is_ok() && !file.is_untouched_at(&path) {
                let text = format!("{} is not the file that this run found: it stays", path.display());
                warnings.push(Warning::new("left-alone", text));
                continue;
            }
            freed = freed.saturating_add(put_away(&path, file, to).map_err(hinted)?);
        }
        let replaced = self.work.join(&journal.replaced.name);
        for path in [beside(&replaced), replaced] {
            freed = freed.saturating_add(put_away(&path, &journal.replaced, to).map_err(hinted)?);
        }
        self.durable()?;
        self.clear(journal)?;
        Ok((if to.is_some() { 0 } else { freed }, warnings))
    }

    /// Undoes a run that changed nothing outside of its own folder; the reason stays the reason.
    fn undo(&self, journal: &Journal, reason: Error) -> Error {
        match self.clear(journal) {
            Ok(()) => reason,
            Err(e) => reason.context(format!("{e}, and before that")),
        }
    }

    /// Removes the run's own folder. The journal goes last: what is there without one is nothing.
    pub(super) fn clear(&self, journal: &Journal) -> Result<()> {
        let failed = |e: std::io::Error| Error::io(format!("cannot empty {}", self.work.display()), e);
        for entry in std::fs::read_dir(&self.work).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let is_image = name.to_str().is_some_and(|name| name.starts_with(&journal.replaced.name));
            if !is_image {
                continue;
            }
            // The old image itself, with no other name, is never thrown away here.
            let found = entry.metadata().map_err(failed)?;
            if found.ino() == journal.replaced.inode && !journal.replaced.is_at(&self.target(journal)) {
                let text = format!("{} is the only name of the old image", entry.path().display());
                return Err(Error::contract(text));
            }
            std::fs::remove_file(entry.path()).map_err(failed)?;
        }
        super::unfinished::remove_folder(&self.work)?;
        sync_folder(&self.folder)
    }

    /// Both folders as they are now survive a power cut.
    fn durable(&self) -> Result<()> {
        sync_folder(&self.folder)?;
        sync_folder(&self.work)
    }

    /// Tells what comes, and stops before it when the run was interrupted.
    pub(super) fn step(&self, stage: &'static str) -> Result<()> {
        self.control.observer.begin(stage, 0);
        self.control.observer.end();
        self.control.check()
    }
}

fn changed(path: &Path) -> Error {
    Error::new(ErrorKind::Temporary, format!("{} was changed meanwhile", path.display()))
        .with_code(&codes::SOURCE_CHANGED)
        .hint("stop the machine or the backup that writes there, then run this again")
}

/// What ends a run that cannot end itself.
pub(super) const AGAIN: &str = "all kept points are in place; run the same command again to finish";
