//! What is decided before anything is written: the guest, the editor, the target, the plan, the definition.

use crate::choose::{Choice, choose};
use crate::definition::{self, Definition};
use crate::described::names;
use crate::editor::{self, Editor, EditorReport, EditorWish};
use crate::first_report::first_report;
use crate::images::unfit_sizes;
use crate::inspect::{Inspection, Opening, inspect_with};
use crate::plan::{self, COPY_AGAIN, plan_for};
use crate::report::MigrateReport;
use crate::run::MigrateRequest;
use crate::wrap::Wrapping;
use crate::{machine, network, windows};
use convert_engine::Control;
use driver_core::{Guest, Plan, Wishes};
use driver_machine::{Machine, Warning};
use driver_microvm::Host;
use format_core::{Error, ErrorKind, OpenedImage, Overlay, Result};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Everything that was decided.
pub(crate) struct Prepared {
    /// The disks with what opening changed; edits go into them.
    pub(crate) overlays: Vec<Arc<Overlay>>,
    /// The guest, with its file systems mounted.
    pub(crate) inspection: Inspection,
    /// The target.
    pub(crate) choice: Choice,
    /// What is wished, with what was found out of the machine.
    pub(crate) wishes: Wishes,
    /// The edits.
    pub(crate) plan: Plan,
    /// The partition table that is put around a lone file system.
    pub(crate) wrapping: Option<Wrapping>,
    /// The machine for the target.
    pub(crate) definition: Definition,
    /// The report so far.
    pub(crate) report: MigrateReport,
}

/// Where the first error of a disk stands.
type FirstError = Arc<Mutex<Option<Error>>>;

/// A migration that is being prepared.
pub(crate) struct Job<'a> {
    request: &'a MigrateRequest,
    sources: &'a [OpenedImage],
    control: Control<'a>,
    described: Option<(Machine, Vec<Warning>)>,
    /// Of each overlay that was ever made: which disk it is of, and what of that could not be read first.
    unread: Mutex<Vec<(usize, FirstError)>>,
}

impl<'a> Job<'a> {
    /// A migration of these disks, of a machine that was described.
    pub(crate) fn new(
        request: &'a MigrateRequest,
        sources: &'a [OpenedImage],
        described: Option<(Machine, Vec<Warning>)>,
        control: Control<'a>,
    ) -> Result<Self> {
        Ok(Self { request, sources, control, described, unread: Mutex::default() })
    }

    /// What of the disks could not be read, which is why the guest could not be understood.
    pub(crate) fn unread(&self) -> Option<Error> {
        let unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        unread.iter().find_map(|(number, failure)| {
            let error = failure.lock().unwrap_or_else(PoisonError::into_inner).take()?;
            Some(error.context(format!("disk {number}")).context("look into the guest"))
        })
    }

    /// The error that is behind one that blames the guest.
    pub(crate) fn cause_of(&self, error: Error) -> Error {
        match error.kind() {
            ErrorKind::NeedsPerson | ErrorKind::Corrupt | ErrorKind::Unsupported | ErrorKind::Limit => {
                self.unread().unwrap_or(error)
            }
            _ => error,
        }
    }

    /// Inspects and plans, with this program's own means first. Where they are not enough, and the micro-VM can be had, it is done
    /// again there, over fresh overlays.
    pub(crate) fn prepare(&self) -> Result<Prepared> {
        let wish = &self.request.editor;
        let overlays = self.overlays();
        let mut inspection = self.inspect(&overlays, None)?;
        let names = editor::crypt_names(&inspection);
        let is_windows = inspection.guest.windows.is_some();
        if wish.editor == Editor::MicroVm && !is_windows {
            return self.in_microvm(&editor::host(wish)?, names, vec!["it was asked for".into()]);
        }
        let mut lack = None;
        let reasons = editor::needed_to_see(&inspection);
        if wish.editor == Editor::Auto && !reasons.is_empty() {
            match editor::host(wish) {
                Ok(host) => return self.in_microvm(&host, names, reasons),
                Err(error) => lack = Some(editor::why(error, &reasons)?),
            }
        } else if wish.editor == Editor::Native {
            let untold = reasons.into_iter().map(|reason| format!("{reason} (--editor auto)"));
            inspection.guest.obstacles.extend(untold);
        }
        let reasons = is_windows.then(|| "Windows is edited by this program itself".to_owned());
        let report = EditorReport::native(reasons.into_iter().collect());
        let native = match self.plan(overlays, inspection, report) {
            Ok(native) => native,
            // The lack is why.
            Err(error) => return Err(lack.unwrap_or(error)),
        };
        let reasons = editor::needed_to_edit(&native.inspection, &native.plan, wish);
        if wish.editor == Editor::Auto && lack.is_none() && !reasons.is_empty() {
            match editor::host(wish) {
                // Then it is all that there is.
                Ok(host) if !native.report.obstacles.is_empty() => {
                    drop(native);
                    return self.in_microvm(&host, names, reasons);
                }
                // What can be migrated without a micro-VM can be so when there is one that fails.
                Ok(host) => match self.in_microvm(&host, names, reasons.clone()) {
                    Ok(prepared) if prepared.report.obstacles.is_empty() => return Ok(prepared),
                    Ok(prepared) => {
                        let text = prepared.report.obstacles.join("; ");
                        lack = Some(because(&Error::needs_person(text), &reasons));
                    }
                    // A damaged file system is no lack of a micro-VM, nor is an interruption.
                    Err(error) if error.kind() == ErrorKind::Corrupt => return Err(error),
                    Err(error) => {
                        self.control.check()?;
                        lack = Some(because(&error, &reasons));
                    }
                },
                Err(error) => lack = Some(editor::why(error, &reasons)?),
            }
        }
        Ok(lacking(native, lack))
    }

    /// What the operator wants of the editor.
    pub(crate) fn wish(&self) -> &EditorWish {
        &self.request.editor
    }

    /// The guest in a micro-VM of its own, over disks that nobody edited.
    pub(crate) fn inspect_again(&self, host: &Host) -> Result<(Vec<Arc<Overlay>>, Inspection)> {
        let overlays = self.overlays();
        let inspection = self.inspect(&overlays, Some((host, &BTreeMap::new())))?;
        Ok((overlays, inspection))
    }

    fn overlays(&self) -> Vec<Arc<Overlay>> {
        let overlays: Vec<_> = self.sources.iter().map(|source| Overlay::new(source.disk.clone())).collect();
        let mut unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        unread.extend(overlays.iter().map(|overlay| overlay.failure_below()).enumerate());
        overlays
    }

    /// Inspects, in the micro-VM when its host is given; `names` are those of encrypted volumes.
    fn inspect(
        &self,
        overlays: &[Arc<Overlay>],
        microvm: Option<(&Host, &BTreeMap<String, String>)>,
    ) -> Result<Inspection> {
        let names = self.described.iter().flat_map(|(machine, _)| device_names(machine)).collect();
        let opening = Opening {
            names,
            discard_hibernation: self.request.discard_hibernation,
            passphrases: self.request.editor.passphrases.clone(),
            ..Opening::default()
        };
        self.control.observer.begin("inspect", 0);
        let inspection = match microvm {
            Some((host, names)) => {
                let interrupted = self.control.interrupted;
                editor::inspect_in_microvm(host, overlays, opening, names.clone(), interrupted)
            }
            None => inspect_with(overlays, &opening),
        };
        self.control.observer.end();
        // Whatever failed because the micro-VM was ended.
        self.control.check().and(inspection)
    }

    fn in_microvm(
        &self,
        host: &Host,
        names: BTreeMap<String, String>,
        reasons: Vec<String>,
    ) -> Result<Prepared> {
        let mut overlays = self.overlays();
        let mut inspection = self.inspect(&overlays, Some((host, &names)))?;
        // Only there was the guest's own list of its encrypted volumes seen: its tools look for those names.
        let now = editor::crypt_names(&inspection);
        if now != names {
            drop(inspection);
            overlays = self.overlays();
            inspection = self.inspect(&overlays, Some((host, &now)))?;
        }
        let report = match &inspection.microvm {
            Some(microvm) => EditorReport::microvm(microvm, reasons),
            None => return Err(Error::contract("a micro-VM that is not there")),
        };
        self.plan(overlays, inspection, report)
    }

    fn plan(
        &self,
        overlays: Vec<Arc<Overlay>>,
        inspection: Inspection,
        editor: EditorReport,
    ) -> Result<Prepared> {
        let request = self.request;
        let mut wishes = request.wishes.clone();
        wishes.drivers =
            windows::packages(&inspection.guest, request.wish.platform, request.virtio_win.as_deref())?;
        let unseen = |error| with_obstacles(error, &inspection.guest);
        let wrapping =
            request.wish.wrap.then(|| Wrapping::of(&inspection.guest)).transpose().map_err(unseen)?;
        let startable =
            |platform, buses: &[&'static str]| plan::startable(&inspection, platform, buses, &wishes.drivers);
        let mut choice = choose(&inspection.guest, &request.wish, &startable).map_err(unseen)?;
        choice.network_module = windows::network_module(&inspection, choice.target, &wishes.drivers)?;
        let (mut machine, warnings) =
            self.described.clone().unwrap_or_else(|| machine::plain(&inspection.guest, &names(self.sources)));
        machine::name_system(&mut machine, &inspection.guest);
        machine::set_clock(&mut machine, &inspection.guest, choice.definition);
        let adapters = network::decide(&mut machine, &request.adapters, choice.target, choice.definition)?;
        wishes.network.adapters = adapters.guest;
        let plan = plan_for(&inspection, choice.target, &request.extra_modules, &wishes)?;
        let mut sizes: Vec<u64> = self.sources.iter().map(|source| source.disk.virtual_size()).collect();
        if let Some(wrapping) = &wrapping {
            wrapping.enlarge(&mut machine, &mut sizes);
        }
        let unfit = unfit_sizes(&sizes, &choice)?;
        if !unfit.is_empty() {
            return Err(Error::needs_person(unfit.join("; ")));
        }
        let definition = definition::define(&machine, &choice, &adapters.choices, &sizes)?;
        let mut report =
            first_report(request, self.sources, &inspection, &choice, &plan, &definition, machine);
        report.editor = editor;
        report.adapters = adapters.report;
        // What the target cannot do comes first: a person has to act on it.
        report.warnings.extend(warnings);
        self.warn(&mut report, &inspection, &wishes, &choice);
        if let Some(wrapping) = &wrapping {
            wrapping.tell(&mut report);
        }
        Ok(Prepared { overlays, inspection, choice, wishes, plan, wrapping, definition, report })
    }

    fn warn(&self, report: &mut MigrateReport, inspection: &Inspection, wishes: &Wishes, choice: &Choice) {
        let request = self.request;
        report.warnings.extend(windows::package_notes(&wishes.drivers));
        report.warnings.extend(windows::useless_packages(
            &inspection.guest,
            request.virtio_win.as_deref(),
            &wishes.drivers,
            choice.target,
        ));
        report.warnings.extend(network::far_gateways(&request.wishes.network.static_addresses));
    }
}

/// That the micro-VM could not do what it was for.
fn because(error: &Error, reasons: &[String]) -> Error {
    let text = format!("{error}; the micro-VM would be used because {}", reasons.join("; "));
    let hint = error.hint_text().map(str::to_owned);
    hint.into_iter().fold(Error::new(error.kind(), text), Error::hint)
}

/// What the micro-VM would do, said where there is none: a warning when the guest starts all the same, else what blocks.
fn lacking(mut native: Prepared, lack: Option<Error>) -> Prepared {
    let Some(lack) = lack else { return native };
    let hint = lack.hint_text().map(|hint| format!("; {hint}")).unwrap_or_default();
    if native.report.obstacles.is_empty() {
        native.report.warnings.push(Warning { code: "no-microvm", message: format!("{lack}{hint}") });
    } else {
        native.report.obstacles.push(format!("{lack}{hint}"));
        native.report.editor.missing = lack.hint_text().map(str::to_owned);
    }
    native
}

/// What could not be looked at may be why nothing was found that starts.
fn with_obstacles(error: Error, guest: &Guest) -> Error {
    let is_cut = guest.cut_off().next().is_some();
    let obstacles: Vec<String> = guest.cut_off().chain(guest.obstacles.iter().cloned()).collect();
    if error.kind() != ErrorKind::NeedsPerson || obstacles.is_empty() {
        return error;
    }
    let hint = if is_cut { Some(COPY_AGAIN) } else { error.hint_text() }.map(str::to_owned);
    let more = Error::needs_person(format!("{error}; what could not be looked at: {}", obstacles.join("; ")))
        .with_code(error.code());
    hint.into_iter().fold(more, Error::hint)
}

/// What the source calls each disk, in the order of the images.
fn device_names(machine: &driver_machine::Machine) -> Vec<Option<String>> {
    machine.disks_in_boot_order().iter().map(|disk| disk.device_name.clone()).collect()
}
