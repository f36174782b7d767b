//! Time and name servers of the source's cloud: time sources are switched off where others are left, the rest is named.
//!
//! Facts: 169.254.169.123 and fd00:ec2::123 are Amazon's time service, 169.254.169.253 its resolver; 168.63.129.16 is Azure's resolver;
//! metadata.google.internal, which is 169.254.169.254, serves both on Google Cloud. Elsewhere nobody answers. chronyd refuses to start
//! when the device of a `refclock PHC` is missing (chrony.conf(5)): `/dev/ptp_hyperv` exists on Hyper-V and Azure, `/dev/ptp_ena` on EC2. Which name
//! server takes the place of a fixed one is not known here.

use crate::config_file::{Line, edit_lines, list, read, read_small};
use driver_core::Platform::{self, Aws, Azure, Gcp, HyperV};
use driver_core::{Applies, Context, Draft, Fixup};
use format_core::Result;

/// What answers on some platforms only.
const INSIDE: [(&str, &[Platform]); 8] = [
    ("169.254.169.123", &[Aws]),
    ("fd00:ec2::123", &[Aws]),
    ("169.254.169.253", &[Aws]),
    ("168.63.129.16", &[Azure]),
    ("metadata.google.internal", &[Gcp]),
    ("169.254.169.254", &[Gcp, Aws, Azure]),
    ("/dev/ptp_hyperv", &[HyperV, Azure]),
    ("/dev/ptp_ena", &[Aws]),
];
const TIME: [&str; 4] =
    ["/etc/chrony.conf", "/etc/chrony/chrony.conf", "/etc/ntp.conf", "/etc/ntpsec/ntp.conf"];
const TIME_FOLDERS: [(&str, &str); 4] = [
    ("/etc/chrony.d", ""),
    ("/etc/chrony/conf.d", ".conf"),
    ("/etc/chrony/sources.d", ".sources"),
    ("/usr/share/amazon-chrony-config", ".sources"),
];
const NAMES: [&str; 6] = [
    "/etc/hosts",
    "/etc/resolv.conf",
    "/etc/systemd/resolved.conf",
    "/etc/systemd/timesyncd.conf",
    "/etc/dhcp/dhclient.conf",
    "/etc/network/interfaces",
];
const NAME_FOLDERS: [(&str, &str); 7] = [
    ("/etc/netplan", ".yaml"),
    ("/etc/network/interfaces.d", ""),
    ("/etc/systemd/network", ".network"),
    ("/etc/systemd/resolved.conf.d", ".conf"),
    ("/etc/systemd/timesyncd.conf.d", ".conf"),
    ("/etc/sysconfig/network-scripts", ""),
    ("/etc/NetworkManager/system-connections", ""),
];

pub(super) struct TimeAndNames;

impl Fixup for TimeAndNames {
    fn id(&self) -> &'static str {
        "linux-time-and-names"
    }

    fn title(&self) -> &'static str {
        "time and name servers of the source's cloud are not asked"
    }

    fn applies(&self, context: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        for path in time_files(draft)?.into_iter().chain(name_files(draft)?) {
            if read_small(draft, &path)?.lines().any(|line| inside(line, context.target.platform).is_some()) {
                return Ok(Applies::Yes);
            }
        }
        Ok(Applies::no("no time or name server of another cloud is configured"))
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let target = context.target.platform;
        let mut left = 0;
        let files = time_files(draft)?;
        for path in &files {
            let text = read_small(draft, path)?;
            left += text.lines().filter(|line| is_source(line) && inside(line, target).is_none()).count();
        }
        for path in files {
            let Some(content) = read(draft, &path)? else { continue };
            let mut names = Vec::new();
            let new = edit_lines(&content, |line| match inside(line, target) {
                // A device that is not there keeps chronyd from starting at all.
                Some(_) if is_source(line) && (left > 0 || line.contains("/dev/")) => {
                    Line::Replace(format!("#{line}"))
                }
                Some(name) => {
                    names.push(name);
                    Line::Keep
                }
                None => Line::Keep,
            });
            if path.starts_with("/etc/") {
                draft.write(&path, new, "this time source answers in the source's cloud only")?;
            }
            names.dedup();
            for name in names {
                draft.note(format!(
                    "{path} names {name}, which does not answer there, and no other time source: add one"
                ));
            }
        }
        for path in name_files(draft)? {
            let text = read_small(draft, &path)?;
            if let Some(name) = text.lines().find_map(|line| inside(line, target)) {
                draft.note(format!(
                    "{path} names {name}, which does not answer there: give it another server"
                ));
            }
        }
        Ok(())
    }
}

fn time_files(draft: &Draft<'_>) -> Result<Vec<String>> {
    let mut files: Vec<String> = TIME.map(str::to_owned).to_vec();
    for (folder, suffix) in TIME_FOLDERS {
        files.extend(list(draft, folder, suffix)?.into_iter().take(64));
    }
    Ok(files)
}

fn name_files(draft: &Draft<'_>) -> Result<Vec<String>> {
    let mut files: Vec<String> = NAMES.map(str::to_owned).to_vec();
    for (folder, suffix) in NAME_FOLDERS {
        files.extend(list(draft, folder, suffix)?.into_iter().take(64));
    }
    Ok(files)
}

/// A line of chrony.conf or ntp.conf that names a source of time.
fn is_source(line: &str) -> bool {
    matches!(line.split_whitespace().next(), Some("server" | "pool" | "peer" | "refclock"))
}

/// What a line names that does not answer on `target`.
fn inside(line: &str, target: Platform) -> Option<&'static str> {
    if line.trim_start().starts_with(['#', ';', '!', '%']) {
        return None;
    }
    // Most lines of a large file are told apart without taking them to pieces.
    let named = |name: &str| {
        line.contains(name)
            && line
                .split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '-' | '_' | '/')))
                .any(|word| word == name)
    };
    INSIDE.iter().find(|(name, platforms)| !platforms.contains(&target) && named(name)).map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_does_not_answer_on_the_target_counts() {
        for (line, target, expected) in [
            ("server 169.254.169.123 prefer iburst", HyperV, Some("169.254.169.123")),
            ("server 169.254.169.123 prefer iburst", Aws, None),
            ("refclock PHC /dev/ptp_hyperv poll 3", Gcp, Some("/dev/ptp_hyperv")),
            ("refclock PHC /dev/ptp_hyperv poll 3", HyperV, None),
            ("nameserver 168.63.129.16", Aws, Some("168.63.129.16")),
            ("      addresses: [169.254.169.253]", Azure, Some("169.254.169.253")),
            ("169.254.169.254 metadata.google.internal metadata", HyperV, Some("metadata.google.internal")),
            ("# nameserver 168.63.129.16", Aws, None),
            ("nameserver 168.63.129.161", Aws, None),
        ] {
            assert_eq!(inside(line, target), expected, "{line}");
        }
    }
}
