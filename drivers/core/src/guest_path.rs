//! Paths in a guest's file system: absolute, `/`-separated, without `.` and `..`.

use format_core::{Error, Result};

/// The components of `path`.
///
/// # Errors
/// `Usage` for a path that is not absolute, or has a component that is no name.
pub fn components(path: &str) -> Result<Vec<&str>> {
    let Some(inner) = path.strip_prefix('/') else {
        return Err(Error::usage(format!("{path:?} is not an absolute path")));
    };
    let names: Vec<&str> = inner.split('/').filter(|name| !name.is_empty()).collect();
    if names.iter().any(|name| *name == "." || *name == ".." || name.contains('\0')) {
        return Err(Error::usage(format!("{path:?} holds \".\", \"..\" or a NUL character")));
    }
    Ok(names)
}

/// The parent's components and the last name.
///
/// # Errors
/// The same, and `Usage` for the root.
pub fn split_last(path: &str) -> Result<(Vec<&str>, &str)> {
    let mut names = components(path)?;
    let last = names.pop().ok_or_else(|| Error::usage("the root folder cannot be edited"))?;
    Ok((names, last))
}
