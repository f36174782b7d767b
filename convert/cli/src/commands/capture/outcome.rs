//! What was captured, as it is printed and kept.

use super::machine::Machine;
use crate::args::CaptureArgs;
use crate::output::{safe, to_stderr};
use convert_capture::{Captured, Consistency, Cycle, MachineFacts};
use format_core::units::format_size;
use format_core::{Error, FileTarget, Result, TargetStorage, Warning, printable_json};
use serde::Serialize;
use std::path::Path;

#[derive(Serialize)]
pub(in crate::commands) struct Outcome {
    /// Version of this description; always 1.
    rehome_capture: u32,
    /// Seconds since 1970.
    time: u64,
    source: String,
    name: String,
    /// The machine's description, for `migrate --machine`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::commands) machine: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    volatile: Option<Recorded>,
    pub(in crate::commands) disks: Vec<CapturedDisk>,
    /// With `--dry-run`: what would be copied.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    would: Vec<Would>,
    pub(super) warnings: Vec<Warning>,
}

#[derive(Serialize)]
struct Would {
    path: String,
    size: u64,
    image: String,
    mounts: Vec<String>,
}

/// A file of evidence.
#[derive(Serialize)]
struct Recorded {
    file: String,
    blake3: String,
}

#[derive(Serialize)]
pub(in crate::commands) struct CapturedDisk {
    path: String,
    pub(in crate::commands) image: String,
    virtual_size: u64,
    digest: String,
    manifest: String,
    consistency: Consistency,
    #[serde(skip_serializing_if = "Option::is_none")]
    resumed_from: Option<u64>,
    cycles: Vec<Cycle>,
}

impl CapturedDisk {
    pub(super) fn new(path: &str, image: &Path, captured: &Captured) -> Self {
        Self {
            path: path.into(),
            image: image.display().to_string(),
            virtual_size: captured.virtual_size,
            digest: captured.digest.clone(),
            manifest: captured.manifest.display().to_string(),
            consistency: captured.consistency,
            resumed_from: captured.resumed_from,
            cycles: captured.cycles.clone(),
        }
    }
}

impl Outcome {
    pub(super) fn new(source: &str, facts: &MachineFacts) -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self {
            rehome_capture: 1,
            time: since.map_or(0, |since| since.as_secs()),
            source: source.into(),
            name: facts.platform.name.clone(),
            machine: None,
            volatile: None,
            disks: Vec::new(),
            would: Vec::new(),
            warnings: Vec::new(),
        }
    }

    pub(super) fn would(&mut self, facts: &MachineFacts, images: &[String]) {
        let of = |(disk, image): (&convert_capture::PhysicalDisk, &String)| Would {
            path: disk.path.clone(),
            size: disk.size,
            image: image.clone(),
            mounts: disk.all_mounts().iter().map(|mount| mount.place.clone()).collect(),
        };
        self.would = facts.disks.iter().zip(images).map(of).collect();
    }

    /// Writes what is known of the machine before the first byte of a disk is read.
    pub(super) fn save_facts(
        &mut self,
        args: &CaptureArgs,
        machine: &Machine,
        facts: &MachineFacts,
        images: &[String],
    ) -> Result<()> {
        if args.volatile {
            let file = args.out.join(self.file("volatile"));
            let json = write_json(&file, &machine.volatile()?)?;
            let blake3 = blake3::hash(json.as_bytes()).to_hex().to_string();
            to_stderr(&format!("note: {} has the BLAKE3 {blake3}", file.display()));
            self.volatile = Some(Recorded { file: file.display().to_string(), blake3 });
        }
        write_json(&args.out.join(self.file("facts")), facts)?;
        match facts.to_machine(images) {
            Ok(machine) => {
                let file = args.out.join(self.file("machine"));
                write_json(&file, &machine)?;
                self.machine = Some(file.display().to_string());
            }
            Err(error) => self.warnings.push(Warning::new(
                "capture-machine",
                format!("the machine cannot be described for a migration: {error}"),
            )),
        }
        Ok(())
    }

    pub(super) fn save(&self, folder: &Path) -> Result<()> {
        write_json(&folder.join(self.file("capture")), self).map(|_| ())
    }

    fn file(&self, what: &str) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '-' };
        let name: String = self.name.split('.').next().unwrap_or_default().chars().map(plain).collect();
        format!("{}.{what}.json", if name.is_empty() { "machine" } else { &name })
    }
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<String> {
    let json = serde_json::to_string_pretty(value).map_err(|e| Error::contract("no JSON").with_source(e))?;
    let json = printable_json(&json) + "\n";
    let file = Box::new(FileTarget::create(path, true)?);
    file.write_all_at(0, json.as_bytes())?;
    file.commit()?;
    Ok(json)
}

pub(super) fn human(outcome: &Outcome) -> String {
    let mut text = format!("{} ({})\n", safe(&outcome.name), safe(&outcome.source));
    for disk in &outcome.would {
        let used = if disk.mounts.is_empty() { "not in use".into() } else { disk.mounts.join(", ") };
        text += &format!(
            "  {}  {}  would go into {}; {}\n",
            safe(&disk.path),
            format_size(disk.size),
            safe(&disk.image),
            safe(&used)
        );
    }
    for disk in &outcome.disks {
        let kind = match disk.consistency {
            Consistency::Unchanged => "the same at both ends",
            Consistency::Frozen => "the same at both ends, while its file systems were held",
            Consistency::Snapshot => "a snapshot of the volume, the same at both ends",
            Consistency::Live => "its parts are of different moments",
        };
        let read: u64 = disk.cycles.iter().map(|cycle| cycle.bytes_read).sum();
        let seconds: f64 = disk.cycles.iter().map(|cycle| cycle.seconds).sum();
        text += &format!(
            "  {}  {} disk, {} read in {} passes, {seconds:.1} s: {kind}\n    {}\n    digest   {}\n    manifest {}\n",
            safe(&disk.path),
            format_size(disk.virtual_size),
            format_size(read),
            disk.cycles.len(),
            safe(&disk.image),
            disk.digest,
            safe(&disk.manifest)
        );
    }
    if let Some(machine) = &outcome.machine
        && !outcome.disks.is_empty()
    {
        let images: Vec<_> = outcome.disks.iter().map(|disk| safe(&disk.image)).collect();
        text += &format!(
            "next: rehome migrate {} --machine {} --to hyperv --out vm\n",
            images.join(" "),
            safe(machine)
        );
    }
    text
}
