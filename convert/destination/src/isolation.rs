//! Out of reach after the last write, back before the next run.

use crate::eject;
use crate::host::Host;
use crate::interface::{self, Interface};
use crate::marker::{open_folder, read};
use crate::mounts::Mount;
use crate::network;
use crate::record::{Phase, Record, Records, Remembered, real_path};
use crate::remount::mount_again;
use crate::rule::{Destination, Place, Required, not_found};
use crate::unmount::{may_unmount, unmount, verify_gone};
use format_core::{Error, ErrorKind, Result, codes};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How a destination is taken out of reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Isolation {
    /// Its volume is unmounted. What runs as root can mount it again; what writes to files cannot reach it.
    Unmount,
    /// Its USB disk is unmounted and detached. A person has to plug it in again.
    Eject,
    /// The volumes that are reached over a network interface are unmounted, and its link is taken down.
    NetworkDown {
        /// Its name, such as `eth1`.
        interface: String,
        /// That the host is cut off when it is the interface of the default route.
        #[serde(default)]
        yes_i_lose_network: bool,
    },
}

impl Isolation {
    /// Its name in job files and on the command line.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unmount => "unmount",
            Self::Eject => "eject",
            Self::NetworkDown { .. } => "network-down",
        }
    }
}

/// Isolates destinations and undoes it.
#[derive(Clone, Copy)]
pub struct Isolator<'a> {
    /// The machine.
    pub host: &'a Host,
    /// The folder for what has to be remembered; made where it is missing. It must not lie on the destination.
    pub state: &'a Path,
    /// What the caller needs while the destination is out of reach: logs, sources, its own state.
    pub keep: &'a [PathBuf],
    /// How long a volume may stay in use, and a device or link may take to go, before that is an error.
    pub patience: Duration,
    /// How long a link or a server may take to be reached again.
    pub reach: Duration,
    /// Set when the run is to end.
    pub interrupted: &'a AtomicBool,
}

/// What [`Isolator::leave`] did.
#[derive(Clone, Debug, Serialize)]
pub struct Left {
    /// `unmount`, `eject` or `network-down`.
    pub how: &'static str,
    /// It was out of reach already, and that was verified again.
    pub already: bool,
    /// The mount points that are gone.
    pub unmounted: Vec<String>,
    /// The disk that was detached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detached: Option<String>,
    /// The interface whose link is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// What was looked at afterwards, a sentence each.
    pub verified: Vec<String>,
}

/// What [`Isolator::enter`] did.
#[derive(Clone, Debug, Serialize)]
pub struct Entered {
    /// `unmount`, `eject` or `network-down`, when it was out of reach.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub how: Option<&'static str>,
    /// The interface whose link was taken up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// The mount points that were mounted again.
    pub mounted: Vec<String>,
    /// The destination, which was checked.
    pub place: Place,
}

impl Isolator<'_> {
    /// Takes the volume of `folder` out of reach and verifies it. What is out of reach already is verified again.
    ///
    /// # Errors
    /// `Temporary` (75) where it is in use; `Usage`, `Unsupported` or `NeedsPerson` where it is refused, with nothing done;
    /// `Denied` without the rights.
    pub fn leave(&self, folder: &Path, isolation: &Isolation) -> Result<Left> {
        self.take_away(folder, isolation).map_err(|error| match error.kind() {
            ErrorKind::Temporary | ErrorKind::NeedsPerson => error.with_code(&codes::ISOLATION_FAILED),
            _ => error,
        })
    }

    fn take_away(&self, folder: &Path, isolation: &Isolation) -> Result<Left> {
        let records = Records::open(self.state)?;
        let (mut record, already) = match records.find(folder)? {
            Some(record) if !self.is_back(&record)? => {
                if record.isolation.name() != isolation.name() {
                    return Err(Error::usage(format!(
                        "{} is isolated already, by {}",
                        folder.display(),
                        record.isolation.name()
                    ))
                    .hint("restore it first: rehome destination restore, with the same folder and --state"));
                }
                let done = record.phase == Phase::Left;
                (record, done)
            }
            stale => {
                let record = self.planned(folder, isolation)?;
                if let Some(stale) = stale {
                    records.remove(&stale)?;
                }
                records.save(&record)?;
                (record, false)
            }
        };
        let mut verified = Vec::new();
        for remembered in &record.mounts {
            let mount = remembered.mount()?;
            if crate::mounts::mounts(self.host)?
                .iter()
                .any(|there| there.point == mount.point && there.device == mount.device)
            {
                unmount(self, &self.current(&mount, &record)?)?;
            }
        }
        for remembered in &record.mounts {
            verified.extend(verify_gone(self, &remembered.mount()?)?);
        }
        if let Some(disk) = &record.disk {
            verified.extend(eject::detach(self, disk)?);
        }
        if let Some(interface) = &record.interface {
            verified.extend(interface::take_down(self, interface)?);
        }
        record.phase = Phase::Left;
        records.save(&record)?;
        Ok(left(&record, already, verified))
    }

    /// Undoes what a run before did to `folder`, if it did, and checks the folder. May be repeated.
    ///
    /// # Errors
    /// `Destination` (73) where the volume or its place is missing; `NeedsPerson` (78) where an ejected disk has to be plugged in;
    /// others where the system refuses.
    pub fn enter(&self, folder: &Path) -> Result<Entered> {
        let records = Records::open(self.state)?;
        let Some(record) = records.find(folder)? else {
            let place = Destination::new(folder, Required::Exists).check(self.host)?;
            return Ok(Entered { how: None, interface: None, mounted: Vec::new(), place });
        };
        if let Some(interface) = &record.interface {
            interface::take_up(self, interface)?;
        }
        let mut mounted = Vec::new();
        let own: Vec<PathBuf> = record.points();
        for remembered in record.mounts.iter().rev() {
            let mount = remembered.mount()?;
            if self.until_reached(&record, || mount_again(self, remembered, &own))? {
                mounted.push(mount.point.display().to_string());
            }
        }
        let place = Destination::new(folder, Required::Exists).check(self.host)?;
        if let Some(id) = record.marker
            && place.marker.as_ref().map(|marker| marker.id) != Some(id)
        {
            return Err(not_found(format!("{} does not hold the marker {id} any more", folder.display()))
                .hint("look whether the right volume is mounted there"));
        }
        records.remove(&record)?;
        let interface = record.interface.map(|interface| interface.name);
        Ok(Entered { how: Some(record.isolation.name()), interface, mounted, place })
    }

    /// How `folder` is out of reach, if a run before took it there: `unmount`, `eject` or `network-down`.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn isolated(&self, folder: &Path) -> Result<Option<&'static str>> {
        if !self.state.is_dir() {
            return Ok(None);
        }
        Ok(Records::open(self.state)?.find(folder)?.map(|record| record.isolation.name()))
    }

    /// What will be done, with nothing done yet and everything refused that must not be done.
    fn planned(&self, folder: &Path, isolation: &Isolation) -> Result<Record> {
        let absolute =
            std::path::absolute(folder).map_err(|e| Error::io("cannot name the current folder", e))?;
        let (opened, mount) = open_folder(self.host, folder)?;
        let marker = read(&opened)?.map(|marker| marker.id);
        drop(opened);
        let mut record = Record::new(isolation.clone(), &absolute, &real_path(&absolute), marker);
        match isolation {
            Isolation::Unmount => record.mounts.push(may_unmount(self, &mount, &[])?),
            Isolation::Eject => {
                let disk = eject::disk_of(self.host, &mount)?;
                record.mounts = self.all_may_go(&eject::mounts_on(self.host, &disk)?)?;
                record.disk = Some(disk.name);
            }
            Isolation::NetworkDown { interface, yes_i_lose_network } => {
                let interface = Interface::look(self.host, interface)?;
                interface::may_take_down(self.host, &interface.name, *yes_i_lose_network)?;
                record.mounts =
                    self.all_may_go(&network::mounts_over(self.host, &interface.name, &mount)?)?;
                record.interface = Some(interface);
            }
        }
        Ok(record)
    }

    /// Whether everything of the record is there again, by another hand: then it is of the past.
    fn is_back(&self, record: &Record) -> Result<bool> {
        if record.interface.as_ref().is_some_and(|interface| !interface::is_up(self.host, &interface.name)) {
            return Ok(false);
        }
        let there = crate::mounts::mounts(self.host)?;
        for remembered in &record.mounts {
            let mount = remembered.mount()?;
            if !there.iter().any(|other| other.point == mount.point && other.fs_type == mount.fs_type) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn all_may_go(&self, mounts: &[Mount]) -> Result<Vec<Remembered>> {
        mounts.iter().map(|mount| may_unmount(self, mount, mounts)).collect()
    }

    /// The mount as it is now: its id is another after a restart.
    fn current(&self, mount: &Mount, record: &Record) -> Result<Mount> {
        let (_, now) = open_folder(self.host, &mount.point)?;
        let own = record.points();
        let mut together = crate::mounts::mounts(self.host)?;
        together.retain(|other| own.contains(&other.point));
        may_unmount(self, &now, &together).map(|_| now)
    }

    /// A server is not there at once when the link is.
    fn until_reached(&self, record: &Record, mut act: impl FnMut() -> Result<bool>) -> Result<bool> {
        let end = Instant::now() + self.reach;
        loop {
            let error = match act() {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            if record.isolation == Isolation::Eject && error.kind() == ErrorKind::Destination {
                let disk = record.disk.as_deref().unwrap_or("the disk");
                return Err(Error::needs_person(format!("{error}; it was ejected ({disk}) at {}", record.begun))
                    .hint("plug the disk in, and try again: rehome destination restore, with the same folder and --state"));
            }
            // Of a disk over the network, the device itself comes late.
            let may_pass =
                record.interface.is_some() && matches!(error.kind(), ErrorKind::Io | ErrorKind::Destination);
            if !may_pass || Instant::now() >= end {
                return Err(error);
            }
            self.pause()?;
        }
    }

    /// A moment of patience, unless the run is to end.
    pub(crate) fn pause(&self) -> Result<()> {
        if self.interrupted.load(Ordering::Relaxed) {
            return Err(
                Error::new(ErrorKind::Temporary, "interrupted while waiting").hint("run the command again")
            );
        }
        std::thread::sleep(Duration::from_millis(100));
        Ok(())
    }
}

fn left(record: &Record, already: bool, verified: Vec<String>) -> Left {
    let mounts = record.mounts.iter().filter_map(|remembered| remembered.mount().ok());
    Left {
        how: record.isolation.name(),
        already,
        unmounted: mounts.map(|mount| mount.point.display().to_string()).collect(),
        detached: record.disk.clone(),
        interface: record.interface.as_ref().map(|interface| interface.name.clone()),
        verified,
    }
}
