//! One file per command: arguments in, a request to the libraries, the outcome out.

pub(crate) mod agent;
pub(crate) mod batch;
pub(crate) mod batch_file;
pub(crate) mod boot_test;
pub(crate) mod capture;
pub(crate) mod cat;
pub(crate) mod chain;
pub(crate) mod check;
pub(crate) mod compare;
pub(crate) mod completions;
pub(crate) mod consolidate;
pub(crate) mod convert;
pub(crate) mod convert_several;
pub(crate) mod cp_out;
pub(crate) mod create;
pub(crate) mod cutover;
pub(crate) mod delta;
pub(crate) mod destination;
pub(crate) mod diff;
pub(crate) mod digest;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod formats;
pub(crate) mod free_space;
pub(crate) mod info;
pub(crate) mod inspect;
mod look;
pub(crate) mod ls;
pub(crate) mod map;
pub(crate) mod measure;
pub(crate) mod migrate;
pub(crate) mod mount;
pub(crate) mod report;
pub(crate) mod serve;
pub(crate) mod support;
pub(crate) mod sync;
pub(crate) mod verify;

use crate::args::{ChainArgs, OpenArgs, PairArgs};
use crate::remotes::Addresses;
use crate::spool::spool_in;
use convert_migrate::Passphrase;
use format_all::FORMATS;
use format_core::{Access, Error, Format, Key, OpenOptions, OpenedImage, Result, open_images};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// As cryptsetup: 8 MiB.
const MAX_KEY: u64 = 8 << 20;

/// The format that the operator calls `name`.
pub(crate) fn format_named(name: &str) -> Result<&'static Format> {
    let lower = name.to_ascii_lowercase();
    FORMATS.iter().find(|format| format.is_called(&lower)).copied().ok_or_else(|| {
        let known: Vec<_> = FORMATS.iter().map(|format| format.name).collect();
        Error::usage(format!("unknown format {name:?}: known are {}", known.join(", ")))
    })
}

impl OpenArgs {
    pub(crate) fn options(&self) -> Result<OpenOptions> {
        let mut options = self.chain.options(self.format.as_deref())?;
        options.access.snapshot.clone_from(&self.snapshot);
        Ok(options)
    }
}

impl PairArgs {
    fn options_a(&self) -> Result<OpenOptions> {
        self.chain.options(self.format_a.as_deref())
    }

    fn options_b(&self) -> Result<OpenOptions> {
        self.chain.options(self.format_b.as_deref())
    }
}

impl ChainArgs {
    fn options(&self, format: Option<&str>) -> Result<OpenOptions> {
        let format = format.map(format_named).transpose()?;
        let mut keys = self.key_file.iter().map(|path| key_of(path));
        let key = keys.next().transpose()?;
        Ok(OpenOptions {
            allow_parents: self.allow_parent.clone(),
            parents: self.parent.clone(),
            spool: spool_in(self.spool.clone().unwrap_or_else(std::env::temp_dir)),
            access: Access {
                pick: self.pick.clone(),
                at: self.at.clone(),
                long_window: self.long_window,
                key,
                more_keys: keys.collect::<Result<_>>()?,
                snapshot: None,
                ignore_checksums: self.ignore_checksum,
                ignore_parents: self.ignore_parent,
            },
            remotes: Some(Arc::new(Addresses::new(self))),
            ..OpenOptions::new(FORMATS, format)
        })
    }
}

impl OpenArgs {
    /// What may open encrypted volumes: each file as a key, and as a passphrase when it ends a line.
    pub(crate) fn passphrases(&self) -> Result<Vec<Passphrase>> {
        let mut found = Vec::new();
        for path in &self.chain.key_file {
            let key = read_key(path)?;
            let ends_a_line = key.ends_with(b"\n");
            found.push(Passphrase::from_key_file(key.clone())?);
            found.extend(ends_a_line.then(|| Passphrase::from_text(key)).transpose()?);
        }
        Ok(found)
    }
}

/// All disks of the images and backups that are named, in this order.
fn open_all<'a>(
    paths: impl IntoIterator<Item = &'a PathBuf>,
    options: &OpenOptions,
) -> Result<Vec<OpenedImage>> {
    let mut opened = Vec::new();
    for path in paths {
        opened.extend(open_images(path, options)?);
    }
    Ok(opened)
}

/// The content of a key file. Read whole: a newline can belong to a passphrase.
fn key_of(path: &Path) -> Result<Key> {
    read_key(path).map(Key::new)
}

fn read_key(path: &Path) -> Result<Vec<u8>> {
    format_core::read_small_file(path, MAX_KEY).map_err(|e| e.context("the key file"))
}

/// `-o` pairs; a key alone switches something on, as in qemu-img.
fn key_values(pairs: &[String]) -> Result<BTreeMap<String, String>> {
    let mut options = BTreeMap::new();
    for pair in pairs {
        let (key, value) = pair.split_once('=').unwrap_or((pair, "on"));
        if options.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(Error::usage(format!("-o {key} is given twice")));
        }
    }
    Ok(options)
}

/// The format of a target that has to be a file.
fn file_format(named: Option<&str>, path: &Path) -> Result<&'static Format> {
    if convert::is_pipe(path) {
        return Err(Error::usage("only 'rehome convert' writes into a pipe")
            .hint("name a file; ./- is the one that is called -"));
    }
    target_format(named, path)
}

/// The format to write: what was named, else what the file name says.
fn target_format(named: Option<&str>, path: &Path) -> Result<&'static Format> {
    if let Some(name) = named {
        return format_named(name);
    }
    let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    // The longest that fits: `tar.gz` goes before `gz`.
    let ends = name.match_indices('.').filter(|(at, _)| *at > 0).filter_map(|(at, _)| name.get(at + 1..));
    let says = |extension: &str| {
        FORMATS
            .iter()
            .find(|format| format.create.is_some() && format.extensions.contains(&extension))
            .copied()
    };
    ends.clone().find_map(says).ok_or_else(|| {
        Error::usage(format!("the name {} does not say which format to write", path.display()))
            .hint("name the format with -O, for example -O qcow2")
    })
}
