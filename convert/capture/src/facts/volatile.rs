//! What is gone when the machine is switched off: processes, sockets, mounts, modules, who is logged in. For evidence; memory is not
//! dumped.

use super::{Roots, names_in, text_of};
use serde::{Deserialize, Serialize};

/// The most entries of a list; more are counted only.
const MOST: usize = 20_000;
/// The longest command line that is kept, in characters.
const MOST_TEXT: usize = 4096;

/// A picture of a running machine. Lists of the kernel are kept as the kernel wrote them, a line each.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct VolatileFacts {
    /// Version of this description; always 1.
    pub rehome_volatile: u32,
    /// Seconds since 1970 at the machine's own clock.
    pub taken: u64,
    /// Changes with every start of the machine.
    pub boot_id: Option<String>,
    /// Seconds that it runs.
    pub uptime: Option<String>,
    /// Processes.
    pub processes: Vec<Process>,
    /// How many more there were.
    pub more_processes: usize,
    /// `/proc/net/tcp`, `tcp6`, `udp`, `udp6`, `raw`, `raw6`, `packet`, `unix`.
    pub sockets: Vec<KernelList>,
    /// `/proc/self/mountinfo`, `/proc/modules`, `/proc/net/arp`, `/proc/net/route`, `/proc/swaps`.
    pub lists: Vec<KernelList>,
    /// Names, terminals and origins of those who are logged in (`utmp(5)`).
    pub users: Vec<String>,
}

/// A process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its parent's.
    pub parent: Option<u32>,
    /// Its user's number.
    pub user: Option<u32>,
    /// What it is called.
    pub name: String,
    /// Its arguments, where it has any.
    pub arguments: Vec<String>,
    /// The file that it runs; `(deleted)` at its end where that is gone.
    pub program: Option<String>,
    /// When it began, in ticks since the machine's start.
    pub started: Option<u64>,
}

/// A list of the kernel.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KernelList {
    /// Its file.
    pub file: String,
    /// Its lines, the heading included.
    pub lines: Vec<String>,
    /// How many more there were.
    pub more: usize,
}

/// What is below `roots` now.
#[must_use]
pub fn volatile_facts(roots: &Roots) -> VolatileFacts {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let pids: Vec<u32> = names_in(&roots.path("proc")).iter().filter_map(|name| name.parse().ok()).collect();
    let sockets = ["tcp", "tcp6", "udp", "udp6", "raw", "raw6", "packet", "unix"];
    let lists = ["self/mountinfo", "modules", "net/arp", "net/route", "swaps"];
    VolatileFacts {
        rehome_volatile: 1,
        taken: since.map_or(0, |since| since.as_secs()),
        boot_id: roots.text("proc/sys/kernel/random/boot_id"),
        uptime: roots.text("proc/uptime").and_then(|text| Some(text.split(' ').next()?.to_owned())),
        more_processes: pids.len().saturating_sub(MOST),
        processes: pids.into_iter().take(MOST).filter_map(|pid| process(roots, pid)).collect(),
        sockets: sockets.iter().filter_map(|name| list(roots, &format!("proc/net/{name}"))).collect(),
        lists: lists.iter().filter_map(|name| list(roots, &format!("proc/{name}"))).collect(),
        users: std::fs::read(roots.path("run/utmp")).map_or_else(|_| Vec::new(), |bytes| users(&bytes)),
    }
}

fn list(roots: &Roots, file: &str) -> Option<KernelList> {
    let text = roots.text(file)?;
    let lines: Vec<_> = text.lines().map(str::to_owned).collect();
    let more = lines.len().saturating_sub(MOST);
    Some(KernelList { file: format!("/{file}"), lines: lines.into_iter().take(MOST).collect(), more })
}

/// `None` for one that has ended meanwhile.
fn process(roots: &Roots, pid: u32) -> Option<Process> {
    let folder = roots.path(&format!("proc/{pid}"));
    // Fields are counted behind the name, which may hold anything (`proc(5)`, `/proc/PID/stat`).
    let stat = text_of(&folder.join("stat"))?;
    let (before, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<_> = fields.split(' ').collect();
    let status = text_of(&folder.join("status")).unwrap_or_default();
    let user = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    let arguments = text_of(&folder.join("cmdline")).unwrap_or_default();
    let arguments: String = arguments.chars().take(MOST_TEXT).collect();
    Some(Process {
        pid,
        parent: fields.get(1).and_then(|field| field.parse().ok()),
        user: user.and_then(|line| line.split_whitespace().next()?.parse().ok()),
        name: before.split_once('(').map_or_else(String::new, |(_, name)| name.to_owned()),
        arguments: arguments.split('\0').filter(|text| !text.is_empty()).map(str::to_owned).collect(),
        program: std::fs::read_link(folder.join("exe")).ok().map(|path| path.to_string_lossy().into_owned()),
        started: fields.get(19).and_then(|field| field.parse().ok()),
    })
}

/// Records of 384 bytes with glibc on 64-bit machines: type at 0, terminal at 8, user at 44, host at 76.
fn users(bytes: &[u8]) -> Vec<String> {
    const USER_PROCESS: [u8; 2] = [7, 0];
    let text = |record: &[u8], from: usize, len: usize| {
        let bytes = record.get(from..from + len).unwrap_or_default();
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
    };
    let of = |record: &[u8]| {
        record
            .starts_with(&USER_PROCESS)
            .then(|| format!("{} {} {}", text(record, 44, 32), text(record, 8, 32), text(record, 76, 256)))
    };
    bytes.chunks_exact(384).take(MOST).filter_map(of).map(|line| line.trim_end().to_owned()).collect()
}
