//! What a report says that was changed, in the form in which the judges see it.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Key and name of a value, in lower case.
type Place = (String, String);
/// A value before and after, as text; `None` when it is not there.
type Change = (Option<String>, Option<String>);

fn edits(report: &Value) -> impl Iterator<Item = &Value> {
    report["edits"].as_array().unwrap().iter()
}

/// A path of the report as disk, partition and path: `0:3/windows/win.ini`.
fn place(report: &Value, path: &str) -> (u64, u64, String) {
    let mounts = report["guest"]["mounts"].as_array().unwrap();
    let within = |mount: &&Value| path.starts_with(mount["point"].as_str().unwrap());
    let mount =
        mounts.iter().filter(within).max_by_key(|mount| mount["point"].as_str().unwrap().len()).unwrap();
    let rest = path.strip_prefix(mount["point"].as_str().unwrap()).unwrap().trim_start_matches('/');
    (mount["disk"].as_u64().unwrap(), mount["partition"].as_u64().unwrap(), rest.to_owned())
}

/// All paths that were to change, in lower case, with the last edit of each.
pub(crate) fn paths(report: &Value) -> BTreeMap<String, &Value> {
    let each = edits(report).map(|edit| {
        let (disk, partition, path) = place(report, edit["path"].as_str().unwrap());
        (format!("{disk}:{partition}/{path}").to_lowercase(), edit)
    });
    each.collect()
}

/// What was created in the folder for the first start.
pub(crate) fn created(report: &Value, partition: u64) -> Vec<String> {
    let new = edits(report).filter(|edit| edit["action"].as_str().unwrap().starts_with("create"));
    let paths = new.map(|edit| place(report, edit["path"].as_str().unwrap()));
    paths
        .filter(|(_, number, path)| *number == partition && path.starts_with("Windows/rehome"))
        .map(|(_, _, path)| path)
        .collect()
}

/// The registry of one hive: values, keys that are gone, and keys that are new.
#[derive(Default)]
struct Registry {
    values: BTreeMap<Place, Change>,
    gone: BTreeSet<String>,
    new: BTreeSet<String>,
}

/// Takes changes in the form that both sides share: `[KEY]`, `-"NAME"=BEFORE`, `+"NAME"=AFTER`.
impl Registry {
    fn take(&mut self, text: &str, form: impl Fn(&str) -> String) {
        let mut key = String::new();
        for line in text.lines() {
            let (sign, rest) = match line.split_at(1) {
                ("[", _) => ("", line),
                (sign, rest) => (sign, rest),
            };
            if let Some(name) = rest.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                key = name.trim_start_matches('\\').to_lowercase();
                match sign {
                    "+" => drop(self.new.insert(key.clone())),
                    "-" => drop(self.gone.insert(key.clone())),
                    _ => {}
                }
                continue;
            }
            let (name, value) = rest.split_once("\"=").or_else(|| rest.split_once('=')).unwrap();
            let place = (key.clone(), name.trim_start_matches('"').to_lowercase());
            let value = Some(form(value));
            match sign {
                // What an earlier edit left is no value of the source.
                "-" => self.values.entry(place).or_insert((value, None)).1 = None,
                _ => self.values.entry(place).or_insert((None, None)).1 = value,
            }
        }
    }

    fn is_gone(&self, key: &str) -> bool {
        self.gone.iter().any(|gone| key == gone || key.starts_with(&format!("{gone}\\")))
    }
}

/// A value of [`test_windows_guests::export`] as reports show it.
fn as_reported(value: &str) -> String {
    if let Some(list) = value.strip_prefix("multi:") {
        return format!("multi:[{}]", list.replace("\",\"", "\", \""));
    }
    // A text without even its final zero, as the values of persistent routes are.
    if value == "hex(1):" {
        return "\"\"".to_owned();
    }
    let bytes = value.strip_prefix("hex(3):").map(|bytes| format!("hex:{bytes}"));
    let text = bytes.unwrap_or_else(|| value.strip_prefix("sz:").unwrap_or(value).to_owned());
    let count = text.matches(',').count() + 1;
    match text.starts_with("hex") && count > 64 {
        true => format!("{},… {count} bytes", text.split(',').take(64).collect::<Vec<_>>().join(",")),
        false => text,
    }
}

/// Every change of a hive (`diff`) is one of the report's edits, every edit of that hive is a change, with the same values.
pub(crate) fn agrees(hive: &str, diff: &str, report: &Value) {
    let (mut found, mut planned) = (Registry::default(), Registry::default());
    found.take(diff, as_reported);
    for edit in edits(report) {
        let detail = edit["detail"].as_str().unwrap();
        let is_of_hive = detail.trim_start_matches(['+', '-']).starts_with(&format!("[{hive}\\"));
        let action = edit["action"].as_str().unwrap();
        if is_of_hive && (action.ends_with("-key") || action.ends_with("-value")) {
            planned.take(&detail.replacen(&format!("[{hive}\\"), "[", 1), str::to_owned);
        }
    }
    for key in &found.gone {
        assert!(planned.is_gone(key), "{hive}: {key} is gone, unplanned");
    }
    for key in &planned.gone {
        assert!(found.gone.contains(key), "{hive}: {key} is still there");
    }
    for key in &planned.new {
        assert!(found.new.contains(key), "{hive}: {key} is not there");
    }
    for key in &found.new {
        let below = format!("{key}\\");
        let all = planned.new.iter().chain(planned.values.keys().map(|(key, _)| key));
        assert!(all.clone().any(|other| other == key || other.starts_with(&below)), "{hive}: {key} is new");
    }
    // With a key its values go.
    found.values.retain(|(key, _), _| !planned.is_gone(key));
    planned.values.retain(|(key, _), (before, after)| !found.is_gone(key) && before != after);
    let only = |of: &Registry, other: &Registry| {
        let one = of.values.iter().filter(|(place, change)| other.values.get(*place) != Some(*change));
        one.map(|(place, change)| format!("\n  {place:?}: {change:?}")).collect::<String>()
    };
    let (unplanned, undone) = (only(&found, &planned), only(&planned, &found));
    assert!(unplanned.is_empty() && undone.is_empty(), "{hive}: changed:{unplanned}\nplanned:{undone}");
}

/// Keys that a change writes: those that a difference names, and those above new ones and ones that are gone.
pub(crate) fn written(diff: &str) -> BTreeSet<String> {
    let mut written = BTreeSet::new();
    for line in diff.lines() {
        let name = line.trim_start_matches(['+', '-']);
        if let Some(key) = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
            written.insert(key.to_owned());
            if !line.starts_with('[') {
                written.insert(key.rsplit_once('\\').unwrap().0.to_owned());
            }
        }
    }
    written
}
