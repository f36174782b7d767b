//! From the bytes of a saved file to text, and which dialect it is.

use serde_json::Value;

use crate::{Machine, MachineError, Warning, aws, libvirt, ovf, proxmox, vmx, xapi, xen};

/// Larger than the images of a whole account; small enough to hold in memory.
const MAX_DOCUMENT: usize = 64 << 20;

/// The kinds of document understood here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Our own schema, marked by the key `rehome_machine`.
    Own,
    /// Saved output of the AWS command line.
    Aws,
    /// Domain XML of libvirt.
    Libvirt,
    /// `VMID.conf` of Proxmox VE.
    Proxmox,
    /// Configuration of `xl`.
    Xen,
    /// `ova.xml` of an export of XenServer or XCP-ng.
    Xapi,
    /// A VMX file of VMware.
    Vmx,
    /// An OVF envelope.
    Ovf,
}

/// What a reader gives: the machine, and what it could not carry over.
type Read = Result<(Machine, Vec<Warning>), MachineError>;

/// A dialect that is no JSON, with what recognises and what reads it.
struct Plain {
    dialect: Dialect,
    recognises: fn(&str) -> bool,
    read: fn(&str) -> Read,
}

/// Asked in this order. A text is of one of them at most: XML begins with `<`, and `key: value` is not `key = value`.
const PLAIN: &[Plain] = &[
    Plain { dialect: Dialect::Xapi, recognises: xapi::looks_like, read: xapi::machine_from_ova },
    Plain { dialect: Dialect::Libvirt, recognises: libvirt::looks_like, read: libvirt::machine_from_xml },
    Plain { dialect: Dialect::Proxmox, recognises: proxmox::looks_like, read: proxmox::machine_from_conf },
    Plain { dialect: Dialect::Xen, recognises: xen::looks_like, read: xen::machine_from_cfg },
];

fn plain_dialect(text: &str) -> Option<&'static Plain> {
    PLAIN.iter().find(|plain| (plain.recognises)(text))
}

/// Tells which dialect a text is.
///
/// # Errors
/// [`MachineError::Json`] when it is of no other dialect and no JSON, [`MachineError::UnknownDialect`] when it is JSON
/// of something else.
pub fn detect(text: &str) -> Result<Dialect, MachineError> {
    check_length(text.len())?;
    if let Some(dialect) = vmware_dialect(text.as_bytes()) {
        return Ok(dialect);
    }
    match plain_dialect(text) {
        Some(plain) => Ok(plain.dialect),
        None => dialect_of(&parse(text, 1)?),
    }
}

/// Reads a machine from the contents of one or more saved files, of any dialect; only AWS has several.
///
/// Understands UTF-8 with or without a byte order mark, and the UTF-16 that a redirection in Windows PowerShell
/// writes; a VMX file names its own character set. `instance` chooses among several AWS instances or machines of an
/// envelope and is ignored where there is one only.
///
/// # Errors
/// [`crate::MachineErrorKind::Invalid`] for what cannot be understood or contradicts itself,
/// [`crate::MachineErrorKind::Unsupported`] for a machine whose disks cannot be had.
pub fn read_documents(
    documents: &[&[u8]],
    instance: Option<&str>,
) -> Result<(Machine, Vec<Warning>), MachineError> {
    if let Some(found) = read_vmware(documents, instance)? {
        return Ok(found);
    }
    let texts: Vec<String> = documents
        .iter()
        .enumerate()
        .map(|(index, bytes)| decode(bytes, index + 1))
        .collect::<Result<_, _>>()?;
    let plain = texts.iter().enumerate().find_map(|(index, text)| Some((index, text, plain_dialect(text)?)));
    if let Some((index, text, plain)) = plain {
        if texts.len() > 1 {
            let reason = format!("is given together with {} other documents", texts.len() - 1);
            return Err(MachineError::Together { what: format!("machine: document {}", index + 1), reason });
        }
        return (plain.read)(text);
    }
    let values: Vec<Value> =
        texts.iter().enumerate().map(|(index, text)| parse(text, index + 1)).collect::<Result<_, _>>()?;
    let dialects: Vec<Dialect> = values.iter().map(dialect_of).collect::<Result<_, _>>()?;
    match (texts.as_slice(), dialects.as_slice()) {
        ([text], [Dialect::Own]) => Ok((Machine::from_json(text)?, Vec::new())),
        (_, dialects) if dialects.contains(&Dialect::Own) => {
            let reason =
                format!("is given together with {} other documents", dialects.len().saturating_sub(1));
            Err(MachineError::Together { what: "machine: machine JSON".into(), reason })
        }
        _ => aws::machine_from_describe(&values, instance),
    }
}

/// VMware's dialects: a VMX file names its own character set, an envelope may hold several machines.
fn vmware_dialect(bytes: &[u8]) -> Option<Dialect> {
    if vmx::is_vmx(bytes) {
        return Some(Dialect::Vmx);
    }
    let text = decode(bytes, 1).ok()?;
    ovf::is_envelope(&text).then_some(Dialect::Ovf)
}

/// Reads the one document of a dialect of VMware; `None` when there is none.
fn read_vmware(
    documents: &[&[u8]],
    instance: Option<&str>,
) -> Result<Option<(Machine, Vec<Warning>)>, MachineError> {
    let found =
        documents.iter().enumerate().find_map(|(index, bytes)| Some((index, bytes, vmware_dialect(bytes)?)));
    let Some((index, bytes, dialect)) = found else { return Ok(None) };
    if documents.len() > 1 {
        let others = documents.len() - 1;
        let reason = format!("document {} is given together with {others} other documents", index + 1);
        let what = if dialect == Dialect::Vmx { "vmx" } else { "ovf" };
        return Err(MachineError::Together { what: what.into(), reason });
    }
    match dialect {
        Dialect::Vmx => vmx::machine_from_vmx(bytes).map(Some),
        _ => ovf::machine_from_ovf(&decode(bytes, index + 1)?, instance).map(Some),
    }
}

pub(crate) fn check_length(actual: usize) -> Result<(), MachineError> {
    if actual > MAX_DOCUMENT { Err(MachineError::TooLarge { actual, limit: MAX_DOCUMENT }) } else { Ok(()) }
}

fn dialect_of(value: &Value) -> Result<Dialect, MachineError> {
    let found = match value {
        Value::Object(map) if map.contains_key("rehome_machine") => return Ok(Dialect::Own),
        Value::Object(map) if aws::KEYS.iter().any(|key| map.contains_key(*key)) => return Ok(Dialect::Aws),
        Value::Object(map) => {
            let keys: Vec<String> = map.keys().take(5).map(|key| crate::error::shown(key)).collect();
            format!("a JSON object with the keys {}", keys.join(", "))
        }
        Value::Array(_) => "a JSON array".into(),
        _ => "a single JSON value".into(),
    };
    Err(MachineError::UnknownDialect {
        found,
        expected: "`Reservations`, `Volumes`, `Images`, `InstanceTypes`",
    })
}

fn parse(text: &str, number: usize) -> Result<Value, MachineError> {
    if let Some(name) = ovf::xml_root(text) {
        let found = format!("XML with the root element {}", crate::error::shown(name));
        return Err(MachineError::UnknownDialect { found, expected: "`Envelope`, `domain` or `value`" });
    }
    serde_json::from_str(text).map_err(|error| MachineError::Json {
        document: format!("document {number}"),
        reason: error.to_string().chars().flat_map(char::escape_debug).take(400).collect(),
    })
}

fn decode(bytes: &[u8], number: usize) -> Result<String, MachineError> {
    check_length(bytes.len())?;
    let wide = |rest: &[u8], unit: fn([u8; 2]) -> u16| {
        let (pairs, []) = rest.as_chunks::<2>() else { return None };
        String::from_utf16(&pairs.iter().map(|&pair| unit(pair)).collect::<Vec<u16>>()).ok()
    };
    let text = match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => std::str::from_utf8(rest).ok().map(str::to_owned),
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        plain => std::str::from_utf8(plain).ok().map(str::to_owned),
    };
    text.ok_or(MachineError::Encoding { number })
}
