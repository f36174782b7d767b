//! Where a physical disk is: on this machine, or on one that SSH reaches.

use format_core::{Error, Result};

/// A machine that SSH reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshPlace {
    /// `HOST` or `USER@HOST`, as `ssh` takes it; a name of its configuration, perhaps.
    pub host: String,
    /// The port where one was given.
    pub port: Option<u16>,
}

/// The scheme of addresses.
const SCHEME: &str = "ssh://";

impl SshPlace {
    /// Whether the text begins like one.
    #[must_use]
    pub fn is_one(text: &str) -> bool {
        text.starts_with(SCHEME)
    }

    /// Reads `ssh://[USER@]HOST[:PORT][/dev/DISK]`, with the disk where one is named.
    ///
    /// # Errors
    /// `Usage` for anything else, and for passwords.
    pub fn parse(text: &str) -> Result<(Self, Option<String>)> {
        let wrong = |why: &str| {
            Err(Error::usage(format!("the address {text:?} {why}"))
                .hint("write ssh://USER@HOST/dev/sda; keys, ports and jump hosts can stand in ssh's own configuration"))
        };
        let Some(rest) = text.strip_prefix(SCHEME) else { return wrong("does not begin with ssh://") };
        let (place, disk) = match rest.split_once('/') {
            Some((place, "")) => (place, None),
            Some((place, path)) => (place, Some(format!("/{path}"))),
            None => (rest, None),
        };
        let (user, host) = match place.rsplit_once('@') {
            Some((user, _)) if user.contains(':') => {
                return wrong("holds a password, which others could read");
            }
            Some((user, host)) => (Some(user), host),
            None => (None, place),
        };
        let (host, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':').unwrap_or(port))),
            None => match host.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (host, None),
            },
        };
        let port = match port.map(str::parse::<u16>) {
            None => None,
            Some(Ok(port)) if port > 0 => Some(port),
            Some(_) => return wrong("has a port that is none"),
        };
        let is_plain = |text: &str| {
            !text.is_empty()
                && !text.starts_with('-')
                && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-:%+".contains(c))
        };
        if !is_plain(host) || !user.is_none_or(is_plain) {
            return wrong("has no host's name, or one with unusual characters");
        }
        if let Some(disk) = &disk
            && (disk.chars().any(char::is_control) || !disk.starts_with("/dev/") || disk.contains("/../"))
        {
            return wrong("names no disk below /dev");
        }
        let host = user.map_or_else(|| host.to_owned(), |user| format!("{user}@{host}"));
        Ok((Self { host, port }, disk))
    }

    /// The address of one of its disks.
    #[must_use]
    pub fn address(&self, disk: &str) -> String {
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        let host = match self.host.rsplit_once('@') {
            Some((user, host)) if host.contains(':') => format!("{user}@[{host}]"),
            None if self.host.contains(':') => format!("[{}]", self.host),
            _ => self.host.clone(),
        };
        format!("{SCHEME}{host}{port}{disk}")
    }
}

/// A word as a POSIX shell takes it.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written_alike() {
        for text in
            ["ssh://web/dev/sda", "ssh://root@web:2222/dev/nvme0n1", "ssh://a@[fe80::1]:22/dev/disk/by-id/x"]
        {
            let (place, disk) = SshPlace::parse(text).unwrap();
            assert_eq!(place.address(&disk.unwrap()), text);
        }
        assert_eq!(
            SshPlace::parse("ssh://web").unwrap(),
            (SshPlace { host: "web".into(), port: None }, None)
        );
        assert_eq!(SshPlace::parse("ssh://web/").unwrap().1, None);
    }

    #[test]
    fn what_could_be_an_option_or_a_secret_is_refused() {
        for text in [
            "ssh://-oProxyCommand=x/dev/sda",
            "ssh://a:secret@web/dev/sda",
            "ssh:///dev/sda",
            "ssh://web:0/dev/sda",
            "ssh://web:99999/dev/sda",
            "ssh://we b/dev/sda",
            "ssh://web/etc/passwd",
            "ssh://web/dev/../etc/passwd",
            "ssh://web;id/dev/sda",
            "ssh://-l@web/dev/sda",
            "ssh://web/dev/s\nda",
        ] {
            assert!(SshPlace::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn words_come_through_a_shell_as_they_are() {
        for word in ["plain", "two words", "it's", "$HOME `id` \"x\" \\", "", "*", "a\nb"] {
            let out = std::process::Command::new("sh")
                .arg("-c")
                .arg(format!("printf %s {}", quoted(word)))
                .output();
            assert_eq!(out.unwrap().stdout, word.as_bytes());
        }
    }
}
