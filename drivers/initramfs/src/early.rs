//! The list of modules that an image loads before it looks for the root disk.
//!
//! Normally nothing is needed here: udev in the image loads drivers by the alias of the device (`vmbus:…`, `pci:…`), and the
//! added indexes know all aliases. A list helps where a driver must be there before its device can appear, or where the
//! image has no udev. Per maker, the list that its own configuration would have filled:
//!
//! - initramfs-tools: `/conf/modules`, one name per line, read by `load_modules` in `scripts/functions`
//! - dracut: `rd.driver.pre=NAME` in `/etc/cmdline.d/20-force_drivers.conf`, as `force_drivers` in dracut.conf(5) does
//! - mkinitcpio: `MODULES` in `/config`, a shell fragment that `init` sources

use crate::error::{Error, Result};
use crate::listing::{FileKind, Listing, Maker};
use crate::modules::module_name;

/// A list to write: path in the image and its whole new content.
pub(crate) struct EarlyList {
    pub(crate) path: String,
    pub(crate) content: Vec<u8>,
}

/// What to do about a list.
pub(crate) enum Early {
    /// All names are there, or none was asked for.
    Nothing,
    /// This file must be written.
    Write(EarlyList),
    /// The maker has no such list.
    NoList,
}

/// Pure: the list of the image with `names` added.
pub(crate) fn extend(listing: &Listing, names: &[String]) -> Result<Early> {
    if names.is_empty() {
        return Ok(Early::Nothing);
    }
    let maker = listing.builder().maker;
    let path = match maker {
        Maker::InitramfsTools => "conf/modules",
        Maker::Dracut => "etc/cmdline.d/20-force_drivers.conf",
        Maker::Mkinitcpio => "config",
        Maker::Mkinitfs | Maker::Nash | Maker::Unknown => return Ok(Early::NoList),
    };
    if listing.resolve(path) != path {
        return Err(Error::EarlyList { path: path.to_owned(), reason: "a symbolic link leads elsewhere" });
    }
    let path = path.to_owned();
    let old = match (listing.kind(&path), listing.content(&path)) {
        (None, _) => &[][..],
        (Some(FileKind::File { .. }), Some(content)) => content,
        (Some(FileKind::File { .. }), None) => {
            return Err(Error::EarlyList { path, reason: "its content is not known" });
        }
        (Some(_), _) => return Err(Error::EarlyList { path, reason: "it is not a regular file" }),
    };
    let known: Vec<String> =
        String::from_utf8_lossy(old).lines().flat_map(|line| listed(maker, line)).collect();
    let new: Vec<&str> = names.iter().filter(|name| !known.contains(name)).map(String::as_str).collect();
    if new.is_empty() {
        return Ok(Early::Nothing);
    }
    let mut content = old.to_vec();
    if content.last().is_some_and(|byte| *byte != b'\n') {
        content.push(b'\n');
    }
    content.extend_from_slice(added(maker, &new).as_bytes());
    Ok(Early::Write(EarlyList { path, content }))
}

/// Names that a line of a list loads.
fn listed(maker: Maker, line: &str) -> Vec<String> {
    let line = line.trim();
    if line.starts_with('#') {
        return Vec::new();
    }
    match maker {
        // Options may follow the name.
        Maker::InitramfsTools => line.split_whitespace().next().map(module_name).into_iter().collect(),
        Maker::Dracut => line
            .split_whitespace()
            .filter_map(|word| word.strip_prefix("rd.driver.pre="))
            .flat_map(|names| names.split(','))
            .map(module_name)
            .collect(),
        _ => line
            .strip_prefix("MODULES=")
            .map(|names| names.split([' ', '"', '\'', '(', ')']).map(module_name).collect())
            .unwrap_or_default(),
    }
}

fn added(maker: Maker, names: &[&str]) -> String {
    match maker {
        Maker::InitramfsTools => names.iter().map(|name| format!("{name}\n")).collect(),
        Maker::Dracut => names.iter().map(|name| format!("rd.driver.pre={name}\n")).collect(),
        _ => format!("MODULES=\"$MODULES {}\"\n", names.join(" ")),
    }
}
