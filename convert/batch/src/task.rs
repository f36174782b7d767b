//! What is to be run, as data.

use format_core::{Error, Result, printable_json};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::ffi::OsString;
use std::path::PathBuf;

/// A job, resolved: nothing of the job file is needed any more to run it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Task {
    /// Its name, which is also that of its files: see [`check_tasks`].
    pub id: String,
    /// What people call it.
    #[serde(default)]
    pub title: String,
    /// The arguments of the child process behind the global ones: `migrate web.vmdk --to kvm …`.
    #[serde(with = "words")]
    pub command: Vec<OsString>,
    /// The files that are there when it is done.
    #[serde(with = "paths")]
    pub outputs: Vec<PathBuf>,
    /// Jobs with the same key share a source: a host, a datastore, a disk.
    #[serde(default)]
    pub source_key: String,
    /// Jobs with the same key share a destination.
    #[serde(default)]
    pub target_key: String,
    /// Waves run one after another, from the lowest.
    #[serde(default)]
    pub wave: u32,
    /// Within a wave the highest goes first.
    #[serde(default)]
    pub priority: i32,
    /// Seconds that an attempt may take; then it is asked to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u32>,
    /// BLAKE3 of everything that decides over the result, as hex.
    pub fingerprint: String,
    /// What is done with the destination before and after: for [`crate::Isolation`] alone to understand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<serde_json::Value>,
}

/// The longest id: file names have 255 bytes, and the state adds to it.
const MAX_ID: usize = 100;

/// Checks what the state and the leases rely on: ids that are file names, and each only once, also where a file system
/// does not tell upper from lower case.
///
/// # Errors
/// `Usage`, with the id.
pub fn check_tasks(tasks: &[Task]) -> Result<()> {
    let mut seen = HashSet::new();
    for task in tasks {
        let id = &task.id;
        if !is_id(id) {
            let rule = "letters, digits, '-', '_' and '.', at most 100, and no '.' or '-' at its beginning";
            return Err(Error::usage(format!("{id:?} is no name of a job: it has {rule}")));
        }
        if !seen.insert(id.to_ascii_lowercase()) {
            return Err(Error::usage(format!("two jobs are called {id}"))
                .hint("give each job an id of its own; upper and lower case do not count"));
        }
        if task.command.is_empty() || task.outputs.is_empty() {
            return Err(Error::usage(format!("the job {id} has no command or no output")));
        }
    }
    Ok(())
}

fn is_id(id: &str) -> bool {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    // Those of the outcomes beside the states.
    let is_taken = id.to_ascii_lowercase().ends_with(".outcome");
    !id.is_empty()
        && id.len() <= MAX_ID
        && !id.starts_with(['.', '-'])
        && id.bytes().all(is_fine)
        && !is_taken
}

/// Tasks as one JSON object a line.
///
/// # Errors
/// `Usage` with the line's number, and as [`check_tasks`].
pub fn parse_tasks(text: &str) -> Result<Vec<Task>> {
    let parse = |(number, line): (usize, &str)| {
        serde_json::from_str(line)
            .map_err(|e| Error::usage(format!("line {} is no task", number + 1)).with_source(e))
    };
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let tasks: Vec<Task> = lines.map(parse).collect::<Result<_>>()?;
    check_tasks(&tasks)?;
    Ok(tasks)
}

/// What [`parse_tasks`] reads.
///
/// # Errors
/// `Contract` when a task cannot be written as JSON.
pub fn format_tasks(tasks: &[Task]) -> Result<String> {
    let mut text = String::new();
    for task in tasks {
        let line =
            serde_json::to_string(task).map_err(|e| Error::contract("a task as JSON").with_source(e))?;
        text.push_str(&printable_json(&line));
        text.push('\n');
    }
    Ok(text)
}

/// Text where it is UTF-8, else its bytes: a path may be anything.
#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum Word {
    Text(String),
    Bytes(Vec<u8>),
}

impl Word {
    fn of(word: &std::ffi::OsStr) -> Self {
        use std::os::unix::ffi::OsStrExt;
        match word.to_str() {
            Some(text) => Self::Text(text.to_owned()),
            None => Self::Bytes(word.as_bytes().to_vec()),
        }
    }
}

impl From<Word> for OsString {
    fn from(word: Word) -> Self {
        use std::os::unix::ffi::OsStringExt;
        match word {
            Word::Text(text) => text.into(),
            Word::Bytes(bytes) => Self::from_vec(bytes),
        }
    }
}

mod words {
    use super::{OsString, Word};
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(words: &[OsString], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(words.iter().map(|word| Word::of(word)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<OsString>, D::Error> {
        Ok(Vec::<Word>::deserialize(from)?.into_iter().map(OsString::from).collect())
    }
}

pub(crate) mod paths {
    use super::{OsString, PathBuf, Word};
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(paths: &[PathBuf], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(paths.iter().map(|path| Word::of(path.as_os_str())))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<PathBuf>, D::Error> {
        Ok(Vec::<Word>::deserialize(from)?.into_iter().map(|word| OsString::from(word).into()).collect())
    }
}

pub(crate) mod path {
    use super::{OsString, PathBuf, Word};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(path: &std::path::Path, to: S) -> Result<S::Ok, S::Error> {
        Word::of(path.as_os_str()).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
        Ok(OsString::from(Word::deserialize(from)?).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    #[test]
    fn tasks_survive_as_lines_whatever_bytes_a_path_has() {
        let odd = OsString::from_vec(b"a\xff.raw".to_vec());
        let task = Task {
            id: "web-1".into(),
            title: "the web server".into(),
            command: vec!["convert".into(), odd.clone(), "b.qcow2".into()],
            outputs: vec![PathBuf::from(odd)],
            source_key: "esx1".into(),
            target_key: String::new(),
            wave: 2,
            priority: -3,
            timeout: Some(9),
            fingerprint: "ab".into(),
            destination: Some(serde_json::json!({"isolate": "unmount"})),
        };
        let least = r#"{"id":"b","command":["convert","x","y"],"outputs":["y"],"fingerprint":"1"}"#;
        let text = format!("{}\n{least}\n", format_tasks(std::slice::from_ref(&task)).unwrap());
        let found = parse_tasks(&text).unwrap();
        assert_eq!((found.len(), &found[0]), (2, &task));
        assert_eq!((found[1].wave, found[1].source_key.as_str()), (0, ""));
        let error = parse_tasks("\n{\"id\":1}").unwrap_err();
        assert!(error.to_string().starts_with("line 2 is no task"), "{error}");
    }

    #[test]
    fn an_id_is_a_file_name_and_comes_once() {
        let line = |id: &str| format!(r#"{{"id":"{id}","command":["c"],"outputs":["o"],"fingerprint":"1"}}"#);
        for id in ["", ".hidden", "-f", "a/b", "..", "a b", "ä", "x.outcome", "X.Outcome", &"a".repeat(101)]
        {
            assert!(parse_tasks(&line(id)).is_err(), "{id}");
        }
        for id in ["a", "web.1", "A_b-c.d", &"a".repeat(100)] {
            parse_tasks(&line(id)).unwrap();
        }
        assert!(parse_tasks(&format!("{}\n{}", line("Web"), line("web"))).is_err());
    }
}
