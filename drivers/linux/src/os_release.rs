//! What the system is: os-release(5), and the release files of systems older than that.

/// The fields of os-release that are used.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct OsRelease {
    pub(crate) id: String,
    pub(crate) version: String,
    pub(crate) name: String,
}

/// Parses os-release(5): shell-like assignments, one per line. `None` when it has no `ID` and no name.
pub(crate) fn parse_os_release(text: &str) -> Option<OsRelease> {
    let mut found = OsRelease::default();
    let mut plain_name = String::new();
    for line in text.lines() {
        let Some((key, value)) = line.trim().split_once('=') else { continue };
        let value = unquote(value.trim());
        match key {
            "ID" => found.id = value.to_ascii_lowercase(),
            "VERSION_ID" => found.version = value,
            "PRETTY_NAME" => found.name = value,
            "NAME" => plain_name = value,
            _ => {}
        }
    }
    if found.name.is_empty() {
        found.name = plain_name;
    }
    if found.id.is_empty() && found.name.is_empty() {
        return None;
    }
    if found.id.is_empty() {
        // os-release(5): "If not set, a default of ID=linux may be used".
        found.id = "linux".into();
    }
    Some(found)
}

/// Parses `CentOS release 6.10 (Final)`: the only thing a system of that age says of itself.
pub(crate) fn parse_release_line(text: &str) -> Option<OsRelease> {
    let name = text.lines().next()?.trim();
    let id: String = name.split_whitespace().next()?.to_ascii_lowercase();
    // As os-release of later versions spells them.
    let id = match id.as_str() {
        "red" => "rhel".into(),
        "oracle" => "ol".into(),
        "suse" => "sles".into(),
        _ => id,
    };
    let version = name.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    Some(OsRelease { id, version: version.unwrap_or_default().to_owned(), name: name.to_owned() })
}

/// Parses lsb-release of Ubuntu before 12.04: `DISTRIB_ID=Ubuntu`, `DISTRIB_RELEASE=10.04`.
pub(crate) fn parse_lsb_release(text: &str) -> Option<OsRelease> {
    let value = |key: &str| {
        text.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('=')).map(unquote)
    };
    let id = value("DISTRIB_ID")?.to_ascii_lowercase();
    let version = value("DISTRIB_RELEASE").unwrap_or_default();
    let name = value("DISTRIB_DESCRIPTION").unwrap_or_else(|| format!("{id} {version}"));
    (!id.is_empty()).then_some(OsRelease { id, version, name })
}

/// A file that only one distribution has, with its version as the only word: `/etc/debian_version`, `/etc/alpine-release`.
pub(crate) fn parse_version_file(id: &str, text: &str) -> OsRelease {
    let version = text.split_whitespace().next().unwrap_or_default().to_owned();
    OsRelease { id: id.to_owned(), name: format!("{id} {version}").trim_end().to_owned(), version }
}

/// The machine type of an ELF file as `uname -m` spells it (ELF specification, `e_machine`).
pub(crate) fn elf_machine(header: &[u8]) -> Option<&'static str> {
    if !header.starts_with(b"\x7fELF") {
        return None;
    }
    let machine: [u8; 2] = header.get(18..20)?.try_into().ok()?;
    let little = header.get(5) == Some(&1);
    let number = if little { u16::from_le_bytes(machine) } else { u16::from_be_bytes(machine) };
    match number {
        3 => Some("i386"),
        20 => Some("ppc"),
        21 if little => Some("ppc64le"),
        21 => Some("ppc64"),
        22 => Some("s390x"),
        40 => Some("arm"),
        62 => Some("x86_64"),
        183 => Some("aarch64"),
        243 => Some("riscv64"),
        _ => None,
    }
}

/// Takes a shell value out of its quotes.
fn unquote(value: &str) -> String {
    let inner =
        ['"', '\''].iter().find_map(|&quote| value.strip_prefix(quote)?.strip_suffix(quote)).unwrap_or(value);
    let mut text = String::with_capacity(inner.len());
    let mut escaped = false;
    for c in inner.chars() {
        if c == '\\' && !escaped {
            escaped = true;
            continue;
        }
        escaped = false;
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn os_release_is_read_through_its_quotes() {
        let text = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\r\nNAME='Debian'\nID=debian\n# x\nVERSION_ID=\"12\"\n";
        let expected = OsRelease {
            id: "debian".into(),
            version: "12".into(),
            name: "Debian GNU/Linux 12 (bookworm)".into(),
        };
        assert_eq!(parse_os_release(text), Some(expected));
        assert_eq!(parse_os_release("NAME=\"a\\\"b\"").unwrap().name, "a\"b");
        assert_eq!(parse_os_release("nothing"), None);
        assert_eq!(parse_os_release("=\"\n\"=\n"), None);
    }

    #[test]
    fn old_release_lines_are_read() {
        let found = parse_release_line("CentOS release 6.10 (Final)\n").unwrap();
        assert_eq!((found.id.as_str(), found.version.as_str()), ("centos", "6.10"));
        assert_eq!(parse_release_line("\n"), None);
        for (line, id) in [
            ("Red Hat Enterprise Linux Server release 5.11 (Tikanga)", "rhel"),
            ("Oracle Linux Server release 6.10", "ol"),
            ("SUSE Linux Enterprise Server 11 (x86_64)", "sles"),
            ("Fedora release 14 (Laughlin)", "fedora"),
        ] {
            assert_eq!(parse_release_line(line).unwrap().id, id);
        }
        let found = parse_lsb_release("DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=10.04\n").unwrap();
        assert_eq!(
            (found.id.as_str(), found.version.as_str(), found.name.as_str()),
            ("ubuntu", "10.04", "ubuntu 10.04")
        );
        assert_eq!(parse_lsb_release("x"), None);
        assert_eq!(parse_version_file("debian", "6.0.10\n").name, "debian 6.0.10");
        assert_eq!(parse_version_file("arch", "").name, "arch");
    }

    #[test]
    fn elf_headers_say_the_architecture() {
        let mut header = [0u8; 20];
        header[..6].copy_from_slice(b"\x7fELF\x02\x01");
        header[18] = 62;
        assert_eq!(elf_machine(&header), Some("x86_64"));
        header[18] = 183;
        assert_eq!(elf_machine(&header), Some("aarch64"));
        assert_eq!(elf_machine(&header[..10]), None);
        assert_eq!(elf_machine(b"#!/bin/sh"), None);
    }
}
