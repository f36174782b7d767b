//! What the machine is on which this runs, read from `/sys` and `/proc`; nothing is written, no device is opened.

mod disks;
mod health;
mod machine;
mod mounts;
mod network;
mod platform;
mod volatile;

pub use disks::{Holder, PhysicalDisk, PhysicalPartition};
pub use health::{Health, HealthState};
pub use mounts::Mount;
pub use network::Adapter;
pub use platform::PlatformFacts;
pub use volatile::{VolatileFacts, volatile_facts};

use format_core::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A machine as its kernel describes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MachineFacts {
    /// Version of this description; always 1.
    pub rehome_facts: u32,
    /// Firmware, processors, memory, names.
    pub platform: PlatformFacts,
    /// Disks, in the kernel's order; without loop devices, RAM disks and optical drives.
    pub disks: Vec<PhysicalDisk>,
    /// Network adapters that are hardware, or seem so to this machine.
    pub adapters: Vec<Adapter>,
    /// Programs that run and whose files are only whole when they agreed to a copy.
    #[serde(default)]
    pub databases: Vec<String>,
    /// What was left out or could not be read.
    pub notes: Vec<String>,
}

/// What servers of databases call their processes.
const DATABASES: [&str; 14] = [
    "postgres",
    "mysqld",
    "mariadbd",
    "mongod",
    "oracle",
    "tnslsnr",
    "sqlservr",
    "db2sysc",
    "redis-server",
    "etcd",
    "cassandra",
    "clickhouse-serv",
    "influxd",
    "slapd",
];

fn databases(roots: &Roots) -> Vec<String> {
    let processes =
        names_in(&roots.path("proc")).into_iter().filter(|name| name.bytes().all(|b| b.is_ascii_digit()));
    let name = |pid: String| text_of(&roots.path("proc").join(pid).join("comm"));
    let mut found: Vec<_> =
        processes.filter_map(name).filter(|name| DATABASES.contains(&name.as_str())).collect();
    found.sort();
    found.dedup();
    found
}

/// Where `/sys`, `/proc` and `/etc` are: elsewhere in tests.
#[derive(Clone, Debug)]
pub struct Roots {
    root: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self::at(Path::new("/"))
    }
}

impl Roots {
    /// Everything below `root`.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.root.join(below)
    }

    /// The text of a small file without the newline at its end; `None` where it cannot be read or is empty.
    pub(crate) fn text(&self, below: &str) -> Option<String> {
        text_of(&self.path(below))
    }
}

/// The largest file of the kernel that is read, 1 MiB.
const MOST: u64 = 1 << 20;

pub(crate) fn text_of(path: &Path) -> Option<String> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(MOST).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes).trim_matches(['\n', '\0', ' ']).to_owned();
    (!text.is_empty()).then_some(text)
}

pub(crate) fn number_of(path: &Path) -> Option<u64> {
    text_of(path)?.parse().ok()
}

/// The names in a folder, sorted; none where it cannot be read.
pub(crate) fn names_in(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

impl MachineFacts {
    /// Reads what is below `roots`, with the disks that the operator named although they would be left out.
    ///
    /// # Errors
    /// `SourceMissing` when a named disk is not there.
    pub fn read(roots: &Roots, named: &[PathBuf]) -> Result<Self> {
        let mut notes = Vec::new();
        let mounts = mounts::read(roots);
        let disks = disks::read(roots, named, &mounts, &mut notes)?;
        let platform = platform::read(roots);
        let adapters = network::read(roots);
        let databases = databases(roots);
        Ok(Self { rehome_facts: 1, platform, disks, adapters, databases, notes })
    }

    /// Asks the disks how they are, by `smartctl` where it is installed: it reads, needs root, and has 15 seconds for each disk.
    pub fn ask_health(&mut self) {
        health::ask_all(&mut self.disks);
    }

    /// The facts in their JSON.
    ///
    /// # Errors
    /// `Corrupt` when it is not theirs.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        let facts: Self = serde_json::from_slice(bytes)
            .map_err(|e| Error::corrupt("the description of the machine cannot be read").with_source(e))?;
        if facts.rehome_facts != 1 {
            return Err(Error::unsupported(format!(
                "the description of the machine has version {}, known is 1",
                facts.rehome_facts
            )));
        }
        Ok(facts)
    }
}
