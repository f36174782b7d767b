//! Names of jobs: they become file names on any file system, names in shells, and labels.

use crate::address::{self, is_address};
use crate::fault::Result;
use crate::job_file::JobFile;
use std::collections::HashMap;
use std::path::Path;

const MOST: usize = 64;

/// The names of all jobs, in the order of the file.
pub(super) fn all(file: &JobFile) -> Result<Vec<String>> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut ids = Vec::with_capacity(file.model.job.len());
    for (index, job) in file.model.job.iter().enumerate() {
        let id = match (&job.id, job.source.0.first()) {
            (Some(id), _) => {
                check(id).map_err(|text| {
                    file.fault(index, "id", format!("the id {id:?} {text}"))
                        .hint("take letters, digits, dots, dashes and underlines, at most 64, and begin with a letter or digit")
                })?;
                id.clone()
            }
            (None, Some(source)) => from_source(source),
            (None, None) => {
                return Err(file
                    .fault(index, "source", "the job has no source")
                    .hint("name the image with source = \"FILE\""));
            }
        };
        if let Some(first) = seen.insert(id.to_ascii_lowercase(), index) {
            let line = file.text.place(&file.span(first, "id")).line;
            let text = format!("the job on line {line} is called {id:?}, too, or the same in another case");
            return Err(file.fault(index, "id", text).hint("give each job an id of its own"));
        }
        ids.push(id);
    }
    Ok(ids)
}

/// What is wrong with a name.
fn check(id: &str) -> Result<(), &'static str> {
    if id.is_empty() {
        return Err("is empty");
    }
    if id.len() > MOST {
        return Err("is longer than 64 characters");
    }
    if !id.chars().all(is_allowed) {
        return Err("has characters that not every file system and engine takes");
    }
    if !id.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
        return Err("begins with a dot or a dash");
    }
    // Files of the batch's state are called so.
    if id.to_ascii_lowercase().ends_with(".outcome") {
        return Err("ends with .outcome, as files of the state do");
    }
    Ok(())
}

fn is_allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// The source's name without its extension, and what a name cannot have as dashes.
pub(crate) fn from_source(source: &Path) -> String {
    if let Some(text) = source.to_str().filter(|_| is_address(source)) {
        return from_name(&address::name(text));
    }
    let name = source.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = name.trim_start_matches('.');
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    from_name(stem.strip_suffix(".tar").or_else(|| stem.strip_suffix(".raw")).unwrap_or(stem))
}

/// The same of any text.
pub(crate) fn from_name(name: &str) -> String {
    let mut id = String::new();
    for c in name.chars() {
        let c = if is_allowed(c) { c } else { '-' };
        // `--` for every foreign letter would say nothing.
        if !(c == '-' && id.ends_with('-')) {
            id.push(c);
        }
    }
    let id: String = id.trim_start_matches(['.', '-']).chars().take(MOST).collect();
    let id = id.trim_end_matches(['.', '-']);
    let id = if id.to_ascii_lowercase().ends_with(".outcome") { id.replace('.', "-") } else { id.to_owned() };
    if id.is_empty() { "job".to_owned() } else { id }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_of_any_file_name() {
        for (source, id) in [
            ("/a/web.vmdk", "web"),
            ("disk.tar.gz", "disk"),
            ("Büro Server (1).vhdx", "B-ro-Server-1"),
            ("..hidden", "hidden"),
            ("-rf.qcow2", "rf"),
            ("日本.raw", "job"),
            ("/", "job"),
            ("ssh://root@web.example:22/dev/sda", "web.example-22-sda"),
            ("https://esx/folder/web/web-flat.vmdk?dcPath=DC", "web-flat"),
        ] {
            assert_eq!(from_source(Path::new(source)), id, "{source}");
            assert_eq!(check(id), Ok(()), "{id}");
        }
        assert_eq!(from_source(Path::new(&"x".repeat(200))).len(), 64);
    }
}
