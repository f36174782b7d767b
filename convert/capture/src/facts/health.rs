//! What a disk says of its own health (SMART), as `smartctl` of smartmontools tells it in JSON (`smartctl(8)`, `-j`). Only what reads is asked,
//! and whatever goes wrong makes the health unknown, no run fail.

use super::PhysicalDisk;
use crate::brief::{Silent, ask};
use format_core::check_json_weight;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// The program, in the search path, or where it is when that leaves the programs of administrators out.
const PROGRAMS: [&str; 3] = ["smartctl", "/usr/sbin/smartctl", "/usr/local/sbin/smartctl"];
/// What is asked: identity, the disk's own judgement, its counters.
const QUESTION: [&str; 4] = ["--json", "-i", "-H", "-A"];
/// How long one disk has to answer. A failing one may retry for long; then it is unknown, and the copy will tell.
const PATIENCE: Duration = Duration::from_secs(15);
/// How many disks are asked at once.
const AT_ONCE: usize = 16;
/// The most values that an answer has.
const MAX_VALUES: usize = 100_000;
/// The longest text that is taken over, in characters.
const MAX_TEXT: usize = 200;

/// Attributes of ATA disks that count sectors (ids as all makers have them).
const REALLOCATED: u64 = 5;
const PENDING: u64 = 197;
const UNCORRECTABLE: u64 = 198;

/// What the bits of NVMe's critical warning say (NVM Express Base Specification, "SMART / Health Information").
const CRITICAL: [&str; 6] = [
    "its spare space is below the threshold",
    "its temperature is beyond a threshold",
    "its reliability is degraded",
    "it takes no more writes",
    "its volatile memory is not backed up",
    "its persistent memory region takes no more writes",
];

/// Whether a disk can be relied on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthState {
    /// It says so, and counts nothing that is bad.
    Good,
    /// It says that it fails, or counts sectors that it could not read.
    Failing,
    /// Nobody could ask it.
    #[default]
    Unknown,
}

impl HealthState {
    /// As it stands in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Failing => "failing",
            Self::Unknown => "unknown",
        }
    }
}

/// What a disk says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Health {
    /// The judgement.
    pub state: HealthState,
    /// What it rests on: why it is failing, or unknown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub why: Vec<String>,
    /// The program that asked, with its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// How it was spoken to: `ATA`, `SCSI`, `NVMe`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// What the disk itself calls its model, which a controller may hide from the kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Its serial number, as it says itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Its world wide name, as `naa.` and 16 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wwn: Option<String>,
    /// Version of its firmware.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub firmware: Option<String>,
    /// Turns in a minute; 0 for what does not turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation_rate: Option<u64>,
    /// Its own judgement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passed: Option<bool>,
    /// Sectors that were replaced; with SCSI those of the grown defect list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reallocated_sectors: Option<u64>,
    /// Sectors that could not be read, and wait to be written anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_sectors: Option<u64>,
    /// Sectors that a scan of its own found to be unreadable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uncorrectable_sectors: Option<u64>,
    /// Bits of NVMe's critical warning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub critical_warning: Option<u64>,
    /// How often NVMe data could not be read back right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_errors: Option<u64>,
    /// How much of an NVMe disk's life is used up, in percent; may be more than 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percentage_used: Option<u64>,
    /// In degrees Celsius.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<i64>,
    /// For how many hours it was on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power_on_hours: Option<u64>,
}

/// Asks all disks, several at once.
pub(super) fn ask_all(disks: &mut [PhysicalDisk]) {
    for disks in disks.chunks_mut(AT_ONCE) {
        std::thread::scope(|scope| {
            for disk in disks {
                scope.spawn(|| disk.health = Some(of_device(&disk.path)));
            }
        });
    }
}

fn of_device(path: &str) -> Health {
    let question: Vec<&str> = QUESTION.into_iter().chain([path]).collect();
    for program in PROGRAMS {
        match ask(program, &question, PATIENCE) {
            Err(Silent::Missing) => {}
            Err(silent) => return Health::unknown(format!("{program} was asked, but {silent}")),
            Ok(said) => return Health::parse(&said.output),
        }
    }
    Health::unknown("smartctl, of the package smartmontools, is not installed where the disk is".into())
}

/// A text of the disk, without what steers a terminal.
fn text(value: &Value) -> Option<String> {
    let text: String = value.as_str()?.trim().chars().take(MAX_TEXT).collect();
    (!text.is_empty()).then(|| format_core::printable(&text))
}

impl Health {
    fn unknown(why: String) -> Self {
        Self { why: vec![why], ..Self::default() }
    }

    /// What `smartctl --json` says. Its exit code says nothing that is not in there.
    #[must_use]
    pub fn parse(json: &[u8]) -> Self {
        let parsed =
            check_json_weight(json, MAX_VALUES).ok().and_then(|()| serde_json::from_slice(json).ok());
        let Some(said) = parsed.filter(Value::is_object) else {
            return Self::unknown("smartctl did not answer in JSON; versions from 7.0 do".into());
        };
        let mut health = Self::of(&said);
        health.judge(&said);
        health
    }

    fn of(said: &Value) -> Self {
        let version = &said["smartctl"]["version"];
        let nvme = &said["nvme_smart_health_information_log"];
        let number = |value: &Value| value.as_u64();
        let attribute = |id| attribute(said, id);
        Self {
            program: match (version[0].as_u64(), version[1].as_u64()) {
                (Some(major), Some(minor)) => Some(format!("smartctl {major}.{minor}")),
                _ => None,
            },
            protocol: text(&said["device"]["protocol"]),
            model: text(&said["model_name"]).or_else(|| text(&said["scsi_model_name"])),
            serial: text(&said["serial_number"]),
            wwn: wwn(&said["wwn"]),
            firmware: text(&said["firmware_version"]).or_else(|| text(&said["scsi_revision"])),
            rotation_rate: number(&said["rotation_rate"]),
            passed: said["smart_status"]["passed"].as_bool(),
            reallocated_sectors: attribute(REALLOCATED).or_else(|| number(&said["scsi_grown_defect_list"])),
            pending_sectors: attribute(PENDING),
            uncorrectable_sectors: attribute(UNCORRECTABLE),
            critical_warning: number(&nvme["critical_warning"]),
            media_errors: number(&nvme["media_errors"]),
            percentage_used: number(&nvme["percentage_used"]),
            temperature: said["temperature"]["current"].as_i64(),
            power_on_hours: number(&said["power_on_time"]["hours"]),
            ..Self::default()
        }
    }

    fn judge(&mut self, said: &Value) {
        let mut why = Vec::new();
        if self.passed == Some(false) {
            why.push("it says itself that it fails".to_owned());
        }
        for (count, what) in [
            (self.reallocated_sectors, "sectors were replaced"),
            (self.pending_sectors, "sectors cannot be read and wait to be written anew"),
            (self.uncorrectable_sectors, "sectors were found to be unreadable"),
        ] {
            why.extend(count.filter(|count| *count > 0).map(|count| format!("{count} {what}")));
        }
        let critical = self.critical_warning.unwrap_or_default();
        let bits = CRITICAL.iter().enumerate().filter(|(bit, _)| critical >> bit & 1 == 1);
        why.extend(bits.map(|(_, what)| (*what).to_owned()));
        if critical >> CRITICAL.len() != 0 {
            why.push(format!("its critical warning is {critical:#x}"));
        }
        let is_judged = self.passed.is_some() || self.critical_warning.is_some();
        self.state = match (why.is_empty(), is_judged) {
            (false, _) => HealthState::Failing,
            (true, true) => HealthState::Good,
            (true, false) => {
                let messages = said["smartctl"]["messages"].as_array();
                why.extend(
                    messages.into_iter().flatten().take(4).filter_map(|message| text(&message["string"])),
                );
                if why.is_empty() {
                    why.push("the disk does not judge itself".into());
                }
                HealthState::Unknown
            }
        };
        self.why = why;
    }
}

/// The raw value of an attribute of ATA. As text it is what the maker means; the number may have other counters in its upper bytes.
fn attribute(said: &Value, id: u64) -> Option<u64> {
    let table = said["ata_smart_attributes"]["table"].as_array()?;
    let raw = &table.iter().find(|entry| entry["id"] == id)?["raw"];
    let meant = raw["string"].as_str().and_then(|text| text.split_whitespace().next()?.parse().ok());
    meant.or_else(|| raw["value"].as_u64())
}

/// Three numbers of 4, 24 and 36 bits.
fn wwn(said: &Value) -> Option<String> {
    let part = |name: &str, bits: u32| said[name].as_u64().filter(|part| part >> bits == 0);
    let (naa, oui, id) = (part("naa", 4)?, part("oui", 24)?, part("id", 36)?);
    Some(format!("naa.{:016x}", naa << 60 | oui << 36 | id))
}
