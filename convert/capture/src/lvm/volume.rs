//! Logical volumes by the commands of LVM2.

use super::PREFIX;
use crate::brief::{Said, Silent, ask};
use format_core::{Error, ErrorKind, Result, check_json_weight, printable};
use serde_json::Value;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Where the commands are when the search path leaves the programs of administrators out.
const FOLDERS: [&str; 3] = ["", "/usr/sbin/", "/sbin/"];
/// How long a question may take: LVM waits for locks that others hold.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the device of a new snapshot may take to appear.
const DEVICE: Duration = Duration::from_secs(10);
/// The most values that an answer has.
const MAX_VALUES: usize = 100_000;
/// The room of a snapshot where nobody says it.
const SHARE: &str = "20%ORIGIN";

/// A logical volume.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Volume {
    /// Its volume group.
    pub(super) group: String,
    /// Its name there.
    pub(super) name: String,
}

impl Volume {
    /// The volume whose device this is.
    pub(super) fn of(path: &Path) -> Result<Self> {
        let no_volume = |why: &str| {
            Error::unsupported(format!("{} is no logical volume of LVM: {why}", path.display()))
                .hint("name volumes with --disk /dev/VG/LV; disks that are none are held with --freeze")
        };
        let text = path.to_str().filter(|text| text.starts_with('/'));
        let text = text.ok_or_else(|| no_volume("its device has a path from / on"))?;
        let rows = rows(&["-o", "vg_name,lv_name", text]).map_err(|e| no_volume(e.message()))?;
        let [row] = rows.as_slice() else { return Err(no_volume("LVM does not know it")) };
        let part = |name: &str| row[name].as_str().filter(|part| is_name(part)).map(str::to_owned);
        match (part("vg_name"), part("lv_name")) {
            (Some(group), Some(name)) => Ok(Self { group, name }),
            _ => Err(no_volume("LVM says no name")),
        }
    }
}

/// What LVM takes for a name (`lvm(8)`), so nothing in it is an option or another argument.
fn is_name(text: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || "+_.-".contains(c);
    !text.is_empty() && !text.starts_with('-') && text.chars().all(known)
}

/// Snapshots of ours that a machine without power left there.
pub(super) fn left_behind(group: &str) -> Result<Vec<String>> {
    let rows = rows(&["-o", "lv_name", group])?;
    let names = rows.iter().filter_map(|row| row["lv_name"].as_str()).filter(|name| name.starts_with(PREFIX));
    Ok(names
        .map(|name| {
            let name = printable(name);
            format!("the snapshot {group}/{name} is of another run: when that is over, remove it by 'lvremove {group}/{name}'")
        })
        .collect())
}

/// Makes the snapshot `VG/NAME`, which nobody writes to.
pub(super) fn create(name: &str, of: &Volume, size: Option<u64>) -> Result<()> {
    let (_, short) = name.split_once('/').unwrap_or(("", name));
    let origin = format!("{}/{}", of.group, of.name);
    let bytes = size.map(|size| format!("{size}b"));
    let room = match &bytes {
        Some(bytes) => ["--size", bytes],
        None => ["--extents", SHARE],
    };
    let arguments = ["--snapshot", "--permission", "r", "--yes", "--name", short];
    changed("lvcreate", &[&arguments[..], &room, &[&origin]].concat())
        .map_err(|e| e.context(format!("take a snapshot of {origin}")))
}

/// The device of a snapshot, when it is there.
pub(super) fn device(name: &str) -> Result<String> {
    let until = Instant::now() + DEVICE;
    loop {
        let rows = rows(&["-o", "lv_path", name])?;
        let path = rows.first().and_then(|row| row["lv_path"].as_str()).unwrap_or_default();
        if path.starts_with("/dev/") && Path::new(path).exists() {
            return Ok(path.to_owned());
        }
        if Instant::now() >= until {
            return Err(Error::unsupported(format!(
                "the snapshot {name} has no device: {:?}",
                printable(path)
            )));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Whether the snapshot still is what its origin was.
pub(super) fn check(name: &str, origin: &str) -> Result<()> {
    let temporary =
        |why: String| Error::new(ErrorKind::Temporary, format!("the snapshot {name} of {origin} {why}"));
    let rows = rows(&["--binary", "-o", "lv_attr,data_percent,lv_snapshot_invalid", name]);
    let rows = rows.map_err(|e| temporary(format!("cannot be looked at: {}", e.message())))?;
    let [row] = rows.as_slice() else { return Err(temporary("is gone".into())) };
    judged(row).map_err(|why| temporary(why.into()))
}

/// What a row of `lvs` says of a snapshot: the fifth letter of the attributes is its state (`lvs(8)`).
fn judged(row: &Value) -> Result<(), &'static str> {
    let text = |name: &str| row[name].as_str().unwrap_or_default().trim();
    let state = text("lv_attr").chars().nth(4);
    if !["", "0"].contains(&text("lv_snapshot_invalid")) || matches!(state, Some('I' | 'S')) {
        return Err("had too little room for what was written meanwhile, and is invalid");
    }
    match text("data_percent").parse::<f64>() {
        Ok(full) if full < 100.0 => Ok(()),
        Ok(_) => Err("is full, and may have lost what was written last"),
        Err(_) => Err("does not say how full it is"),
    }
}

/// Removes the snapshot; while its device is open, until that time.
pub(super) fn remove(name: &str, until: Instant) -> Result<()> {
    loop {
        let error = match changed("lvremove", &["--force", "--yes", name]) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        // One that never was, or that somebody else removed.
        let (group, short) = name.split_once('/').unwrap_or(("", name));
        if rows(&["-o", "lv_name", group]).is_ok_and(|rows| rows.iter().all(|row| row["lv_name"] != short)) {
            return Ok(());
        }
        if Instant::now() >= until {
            return Err(error);
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// What `lvs` tells, a row for each volume.
fn rows(arguments: &[&str]) -> Result<Vec<Value>> {
    let all = [&["--reportformat", "json"][..], arguments].concat();
    let said = FOLDERS
        .iter()
        .map(|folder| ask(&format!("{folder}lvs"), &all, PATIENCE))
        .find(|said| !matches!(said, Err(Silent::Missing)))
        .unwrap_or(Err(Silent::Missing));
    let said = said
        .map_err(|silent| Error::unsupported(format!("lvs, of the package lvm2, was asked, but {silent}")))?;
    if said.code != Some(0) {
        return Err(refused("lvs", &said));
    }
    parse_rows(&said.output)
        .ok_or_else(|| Error::unsupported("lvs did not answer in JSON as versions from 2.02.158 do"))
}

fn parse_rows(json: &[u8]) -> Option<Vec<Value>> {
    check_json_weight(json, MAX_VALUES).ok()?;
    let said: Value = serde_json::from_slice(json).ok()?;
    said["report"][0]["lv"].as_array().cloned()
}

/// Runs a command that changes volumes. It has no time limit: killed half-way it could leave a volume suspended, and the machine with it.
fn changed(program: &str, arguments: &[&str]) -> Result<()> {
    for folder in FOLDERS {
        let done = Command::new(format!("{folder}{program}"))
            .args(arguments)
            .env("LC_ALL", "C")
            .env("LVM_SUPPRESS_FD_WARNINGS", "1")
            .stdin(Stdio::null())
            // What interrupts this program must not interrupt it.
            .process_group(0)
            .output();
        match done {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io(format!("cannot run {program}"), error)),
            Ok(done) if done.status.success() => return Ok(()),
            Ok(done) => {
                let complaint = String::from_utf8_lossy(&done.stderr).into_owned();
                return Err(refused(
                    program,
                    &Said { code: done.status.code(), output: Vec::new(), complaint },
                ));
            }
        }
    }
    Err(Error::unsupported(format!("{program}, of the package lvm2, is not installed")))
}

fn refused(program: &str, said: &Said) -> Error {
    let words: Vec<_> = said.complaint.split_whitespace().collect();
    let complaint: String = printable(&words.join(" ")).chars().take(500).collect();
    Error::unsupported(format!("{program} failed: {complaint}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_names_of_lvm_become_arguments() {
        for good in ["vg0", "a+b_c.d-e", "9"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "-f", "a b", "a/b", "ä", "a\n", "$(x)"] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn a_snapshot_that_lost_something_is_none() {
        let row = |attr: &str, full: &str, invalid: &str| json!({ "lv_attr": attr, "data_percent": full, "lv_snapshot_invalid": invalid });
        assert_eq!(judged(&row("sri-a-s---", "12.50", "0")), Ok(()));
        assert_eq!(judged(&row("sri-a-s---", "0.00", "")), Ok(()));
        for (attr, full, invalid) in [
            ("sri-a-s---", "100.00", "0"),
            ("sri-I-s---", "100.00", "0"),
            ("sri-I-s---", "50.00", "0"),
            ("sri-S-s---", "50.00", ""),
            ("sri-a-s---", "50.00", "1"),
            ("sri-a-s---", "50.00", "snapshot invalid"),
            ("sri-a-s---", "", "0"),
            ("sri---s---", "-1x", "0"),
            ("sri-a-s---", "NaN", "0"),
        ] {
            assert!(judged(&row(attr, full, invalid)).is_err(), "{attr} {full} {invalid}");
        }
        assert!(judged(&json!({})).is_err() && judged(&json!([])).is_err());
    }

    #[test]
    fn answers_are_rows_or_nothing() {
        let said = br#"{"report":[{"lv":[{"vg_name":"vg0","lv_name":"root"}]}]}"#;
        assert_eq!(parse_rows(said).unwrap().len(), 1);
        for wrong in
            [&b""[..], b"{}", b"[]", br#"{"report":[]}"#, br#"{"report":[{"lv":{}}]}"#, &[b'['; 5000]]
        {
            assert!(parse_rows(wrong).is_none());
        }
    }
}
