//! AddReg sections: values below the key that they are relative to.
//!
//! Source: "INF AddReg Directive" of Microsoft's driver documentation. Entries that are not relative (`HKLM` …), delete,
//! belong to the 32-bit registry or have a type of their own are noted and left out.

use crate::lines::Line;
use crate::reader::Reader;
use crate::text::number;
use driver_core::{ServiceData, ServiceValue, WriteMode};
use format_core::Result;

// FLG_ADDREG_*
const NO_CLOBBER: u32 = 0x2;
const DELETE_VALUE: u32 = 0x4;
const APPEND: u32 = 0x8;
const KEY_ONLY: u32 = 0x10;
const OVERWRITE_ONLY: u32 = 0x20;
const KEY_64_BIT: u32 = 0x1000;
const KEY_ONLY_COMMON: u32 = 0x2000;
const TYPE: u32 = 0xffff_0001;
const KNOWN: u32 = TYPE | NO_CLOBBER | APPEND | KEY_ONLY | OVERWRITE_ONLY | KEY_64_BIT | KEY_ONLY_COMMON;

const BINARY: u32 = 0x0000_0001;
const DWORD: u32 = 0x0001_0001;
const STRING: u32 = 0x0000_0000;
const MULTI_STRING: u32 = 0x0001_0000;
const EXPAND_STRING: u32 = 0x0002_0000;

/// The values of all AddReg sections that `lines` of a section name.
pub(crate) fn values<'a>(reader: &mut Reader<'a>, lines: &[&'a Line]) -> Result<Vec<ServiceValue>> {
    let mut values = Vec::new();
    for section in reader.listed(lines, "AddReg")? {
        let Some(entries) = reader.section(section)? else {
            reader.note(format!("AddReg names [{section}], which is not there"));
            continue;
        };
        for entry in entries {
            match value(entry) {
                Ok(value) => {
                    reader.charge(size(&value))?;
                    values.push(value);
                }
                Err(why) => reader.note(format!("[{section}] {}: {why}", shown(entry))),
            }
        }
    }
    Ok(values)
}

/// What keeping a value costs.
pub(crate) fn size(value: &ServiceValue) -> usize {
    let content = match &value.value {
        ServiceData::String(text) | ServiceData::ExpandString(text) => text.len(),
        ServiceData::MultiString(all) => all.iter().map(|text| text.len() + size_of::<String>()).sum(),
        ServiceData::Binary(bytes) => bytes.len(),
        ServiceData::Dword(_) | ServiceData::Key => 0,
    };
    size_of::<ServiceValue>() + value.key.len() + value.name.len() + content
}

/// `root, key, name, flags, value, …`
fn value(entry: &Line) -> Result<ServiceValue, &'static str> {
    if !entry.field(0).is_some_and(|root| root.eq_ignore_ascii_case("HKR")) {
        return Err("it is not relative to the key");
    }
    let flags = entry.field(3).map_or(Some(0), number).ok_or("its flags are no number")?;
    if flags & DELETE_VALUE != 0 {
        return Err("it deletes");
    }
    if flags & TYPE & !(DWORD | EXPAND_STRING) != 0 || flags & !KNOWN != 0 {
        return Err("its flags are not known");
    }
    let fields = entry.fields.get(4..).unwrap_or_default();
    let value = match flags & TYPE {
        _ if flags & (KEY_ONLY | KEY_ONLY_COMMON) != 0 => ServiceData::Key,
        STRING => ServiceData::String(fields.first().cloned().unwrap_or_default()),
        EXPAND_STRING => ServiceData::ExpandString(fields.first().cloned().unwrap_or_default()),
        MULTI_STRING => {
            ServiceData::MultiString(fields.iter().filter(|text| !text.is_empty()).cloned().collect())
        }
        BINARY => ServiceData::Binary(bytes(fields)?),
        DWORD => ServiceData::Dword(dword(fields)?),
        _ => return Err("its type is not known"),
    };
    let mode = match value {
        ServiceData::MultiString(_) if flags & APPEND != 0 => WriteMode::Append,
        _ if flags & APPEND != 0 => return Err("it appends to what is no list of strings"),
        _ if flags & NO_CLOBBER != 0 => WriteMode::Keep,
        _ if flags & OVERWRITE_ONLY != 0 => WriteMode::ReplaceOnly,
        _ => WriteMode::Set,
    };
    let text = |index| entry.field(index).unwrap_or_default().to_owned();
    let key = text(1).trim_matches('\\').to_owned();
    Ok(ServiceValue { key, name: text(2), value, mode })
}

/// Bytes are hexadecimal even without `0x`.
fn bytes(fields: &[String]) -> Result<Vec<u8>, &'static str> {
    let byte = |field: &String| {
        let text = field.strip_prefix("0x").or_else(|| field.strip_prefix("0X")).unwrap_or(field);
        let is_hex = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_hex
            .then(|| u8::from_str_radix(text, 16).ok())
            .flatten()
            .ok_or("a byte of it is no number up to ff")
    };
    // A comma at the end of the last line is common.
    let fields = fields.strip_suffix(&[String::new()]).unwrap_or(fields);
    fields.iter().map(byte).collect()
}

/// A number, or its four bytes, lowest first.
fn dword(fields: &[String]) -> Result<u32, &'static str> {
    match fields {
        [one] => number(one).ok_or("its value is no number of 32 bits"),
        [_, _, _, _] => match bytes(fields)?.try_into() {
            Ok(bytes) => Ok(u32::from_le_bytes(bytes)),
            Err(_) => Err("its value is not four bytes"),
        },
        _ => Err("its value is neither a number nor four bytes"),
    }
}

/// An entry for a message.
fn shown(entry: &Line) -> String {
    let text = entry.fields.iter().take(4).map(String::as_str).collect::<Vec<_>>().join(",");
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inf::parse;
    use crate::target::Arch;

    fn read(entries: &str) -> (Vec<ServiceValue>, Vec<String>) {
        let inf = parse(format!("[s]\nAddReg=a\n[a]\n{entries}").as_bytes()).unwrap();
        let mut reader = Reader::new(&inf, Arch::Amd64);
        let lines = reader.with_needs("s").unwrap();
        let values = values(&mut reader, &lines).unwrap();
        (values, reader.notes)
    }

    fn one(entry: &str) -> ServiceValue {
        let (values, notes) = read(entry);
        assert_eq!((values.len(), notes.len()), (1, 0), "{entry} {notes:?}");
        values.into_iter().next().unwrap()
    }

    #[test]
    fn every_type_is_read() {
        let strings = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        for (entry, data) in [
            ("HKR,,a,0x00010001,0x0000000A", ServiceData::Dword(10)),
            ("HKR,,a,0x00010001,10", ServiceData::Dword(10)),
            ("HKR,,a,0x00010001,-1", ServiceData::Dword(u32::MAX)),
            ("HKR,,a,65537,10,27,0,0", ServiceData::Dword(0x2710)),
            ("hkr,,a,,\"0\"", ServiceData::String("0".into())),
            ("HKR,,a", ServiceData::String(String::new())),
            ("HKR,,a,0,text", ServiceData::String("text".into())),
            ("HKR,,a,0x20000,\"%%SystemRoot%%\\x\"", ServiceData::ExpandString("%SystemRoot%\\x".into())),
            ("HKR,,a,0x10000,one,\"two 2\"", ServiceData::MultiString(strings(&["one", "two 2"]))),
            ("HKR,,a,0x10000", ServiceData::MultiString(Vec::new())),
            ("HKR,,a,1,1,0,A,0xff", ServiceData::Binary(vec![1, 0, 10, 255])),
            ("HKR,,a,1,01,\\\n 02,", ServiceData::Binary(vec![1, 2])),
            ("HKR,,a,1", ServiceData::Binary(Vec::new())),
            ("HKR,,a,0x00000010", ServiceData::Key),
            ("HKR,,a,0x11001,5", ServiceData::Dword(5)),
        ] {
            assert_eq!(one(entry).value, data, "{entry}");
        }
        let value = one("HKR, \"Parameters\\PnpInterface\", \"5\", 0x00010001, 1");
        assert_eq!((value.key.as_str(), value.name.as_str()), ("Parameters\\PnpInterface", "5"));
    }

    #[test]
    fn flags_say_what_becomes_of_a_value_that_is_there() {
        for (flags, mode) in [
            ("0", WriteMode::Set),
            ("2", WriteMode::Keep),
            ("0x10003", WriteMode::Keep),
            ("0x10008", WriteMode::Append),
            ("0x20", WriteMode::ReplaceOnly),
        ] {
            assert_eq!(one(&format!("HKR,,a,{flags},1")).mode, mode, "{flags}");
        }
    }

    #[test]
    fn what_cannot_be_written_is_noted() {
        for entry in [
            "HKLM,a,b,,c",
            "a.sys,,,2",
            "HKR,,a,4",
            "HKR,,a,zero,1",
            "HKR,,a,0x00010001,x",
            "HKR,,a,0x00010001,1,2",
            "HKR,,a,0x00010001,1,2,3,100",
            "HKR,,a,1,+1",
            "HKR,,a,1,,2",
            "HKR,,a,8,x",
            "HKR,,a,0x20001,1",
            "HKR,,a,0x30000,1",
            "HKR,,a,0x000b0001,1,2,3,4,5,6,7,8",
            "HKR,,a,0x4000,x",
        ] {
            let (values, notes) = read(entry);
            assert!(values.is_empty() && notes.len() == 1, "{entry} {values:?} {notes:?}");
        }
    }
}
