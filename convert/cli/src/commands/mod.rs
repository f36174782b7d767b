//! One file per command: arguments in, a request to the libraries, the outcome out.

pub(crate) mod compare;
pub(crate) mod completions;
pub(crate) mod convert;
pub(crate) mod digest;
pub(crate) mod formats;
pub(crate) mod inspect;
pub(crate) mod migrate;
pub(crate) mod verify;

use crate::args::OpenArgs;
use format_all::FORMATS;
use format_core::{Error, Format, OpenOptions, Result};
use std::path::{Path, PathBuf};

/// The format that the operator calls `name`.
fn format_named(name: &str) -> Result<&'static Format> {
    FORMATS.iter().find(|format| format.is_called(name)).copied().ok_or_else(|| {
        let known: Vec<_> = FORMATS.iter().map(|format| format.name).collect();
        Error::usage(format!("unknown format {name:?}: known are {}", known.join(", ")))
    })
}

fn open_options(format: Option<&str>, allow_parent: &[PathBuf]) -> Result<OpenOptions> {
    let format = format.map(format_named).transpose()?;
    Ok(OpenOptions { allow_parents: allow_parent.to_vec(), ..OpenOptions::new(FORMATS, format) })
}

impl OpenArgs {
    fn options(&self) -> Result<OpenOptions> {
        open_options(self.format.as_deref(), &self.allow_parent)
    }
}

/// The format to write: what was named, else what the file name says.
fn target_format(named: Option<&str>, path: &Path) -> Result<&'static Format> {
    if let Some(name) = named {
        return format_named(name);
    }
    let extension =
        path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase).unwrap_or_default();
    FORMATS.iter().find(|format| format.extensions.contains(&extension.as_str())).copied().ok_or_else(|| {
        Error::usage(format!("the name {} does not say which format to write", path.display()))
            .hint("name the format with -O, for example -O qcow2")
    })
}
