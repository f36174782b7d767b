//! Services that start by themselves, whatever starts them: systemd, OpenRC, SysV init, Upstart.
//!
//! Facts: `systemctl disable` removes the links in `*.wants` and `*.requires` folders (systemctl(1)); links that a package
//! brings in /usr/lib are overruled by masking the unit, a link to /dev/null in /etc/systemd/system (systemd.unit(5)).
//! OpenRC starts what /etc/runlevels/LEVEL links to (rc-update(8)). SysV init runs `S??NAME` links of a runlevel; with all
//! links gone, Debian's update-rc.d would set new ones at the next package update, so a `K` link takes the place of each, as
//! `update-rc.d NAME disable` and `chkconfig NAME off` do. An Upstart job with `manual` in its .override waits to be
//! started by hand (init(5)).

use crate::config_file::{exists, folders, list, read_small, with_line};
use driver_core::Draft;
use format_core::{Error, ErrorKind, Result};
use std::collections::BTreeSet;

const SYSTEM: &str = "/etc/systemd/system";
/// The second is a link to the first, except on old systems.
const VENDOR: [&str; 2] = ["/usr/lib/systemd/system", "/lib/systemd/system"];
/// Where the folders `rc3.d` are: Debian; RHEL, where /etc/rc3.d are links; SUSE.
const SYSV: [&str; 3] = ["/etc/rc.d", "/etc/init.d", "/etc"];

/// One thing that starts a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Starter {
    /// The service's name without suffix.
    pub(crate) service: String,
    /// The unit, where systemd starts it: with its suffix.
    pub(crate) unit: Option<String>,
    kind: Kind,
    path: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A link or folder entry to remove.
    Link,
    /// A link of a package: the unit is masked.
    Vendor,
    /// An `S??` link, to become a `K??` link.
    Sysv,
    /// A job, to get an override.
    Upstart,
}

/// More links than any system has.
const MAX_LINKS: usize = 20_000;

/// What starts services that `wanted` names.
///
/// # Errors
/// `Limit` for folders full of links; what the file system reports.
pub(crate) fn starters(draft: &Draft<'_>, wanted: impl Fn(&str) -> bool) -> Result<Vec<Starter>> {
    let mut found = Vec::new();
    let mut links = 0;
    for (base, kind) in [(SYSTEM, Kind::Link), (VENDOR[0], Kind::Vendor), (VENDOR[1], Kind::Vendor)] {
        for folder in folders(draft, base)? {
            if !folder.ends_with(".wants") && !folder.ends_with(".requires") {
                continue;
            }
            let paths = list(draft, &folder, "")?;
            links += paths.len();
            if links > MAX_LINKS {
                return Err(Error::new(
                    ErrorKind::Limit,
                    format!("more than {MAX_LINKS} links below {base}"),
                )
                .hint("look at what fills these folders in the guest"));
            }
            for path in paths {
                let Some((service, suffix)) = name_of(&path).rsplit_once('.') else { continue };
                let startable = matches!(suffix, "service" | "timer" | "path" | "socket" | "mount");
                if !startable || !wanted(service) {
                    continue;
                }
                let unit = name_of(&path).to_owned();
                if kind == Kind::Link || !is_overruled(draft, &unit)? {
                    found.push(Starter { service: service.to_owned(), unit: Some(unit), kind, path });
                }
            }
        }
    }
    for folder in folders(draft, "/etc/runlevels")? {
        for path in list(draft, &folder, "")?.into_iter().filter(|path| wanted(name_of(path))) {
            found.push(Starter { service: name_of(&path).to_owned(), unit: None, kind: Kind::Link, path });
        }
    }
    found.extend(sysv(draft, &wanted)?);
    for path in list(draft, "/etc/init", ".conf")? {
        let service = name_of(&path).trim_end_matches(".conf");
        let manual = read_small(draft, &format!("/etc/init/{service}.override"))?;
        if wanted(service) && !manual.lines().any(|line| line.trim() == "manual") {
            found.push(Starter { service: service.to_owned(), unit: None, kind: Kind::Upstart, path });
        }
    }
    Ok(found)
}

fn sysv(draft: &Draft<'_>, wanted: &impl Fn(&str) -> bool) -> Result<Vec<Starter>> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for level in ["rcS.d", "rc2.d", "rc3.d", "rc4.d", "rc5.d"] {
        for base in SYSV {
            for path in list(draft, &format!("{base}/{level}"), "")? {
                let Some(service) = name_of(&path).strip_prefix('S').and_then(without_order) else {
                    continue;
                };
                // /etc/rc3.d may be a link to /etc/rc.d/rc3.d.
                if wanted(service) && seen.insert(draft.tree().canonical(&path, false)?) {
                    let service = service.to_owned();
                    found.push(Starter { service, unit: None, kind: Kind::Sysv, path });
                }
            }
        }
    }
    Ok(found)
}

/// `20name` of `S20name`.
fn without_order(name: &str) -> Option<&str> {
    let order = name.get(..2)?;
    order.bytes().all(|b| b.is_ascii_digit()).then(|| name.get(2..)).flatten().filter(|name| !name.is_empty())
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// The administrator's own unit, or a mask, goes before what the package brings.
fn is_overruled(draft: &Draft<'_>, unit: &str) -> Result<bool> {
    let own = format!("{SYSTEM}/{unit}");
    Ok(draft.read_link(&own)?.is_some() || exists(draft, &own)?)
}

/// The unit file of `unit`, the administrator's first; a template serves its instances. Empty when there is none.
pub(crate) fn unit_text(draft: &Draft<'_>, unit: &str) -> Result<String> {
    let template = match (unit.split_once('@'), unit.rsplit_once('.')) {
        (Some((name, _)), Some((_, suffix))) => format!("{name}@.{suffix}"),
        _ => unit.to_owned(),
    };
    for base in [SYSTEM, VENDOR[0], VENDOR[1]] {
        for name in [unit, &template] {
            let path = format!("{base}/{name}");
            if exists(draft, &path)? {
                return read_small(draft, &path);
            }
        }
    }
    Ok(String::new())
}

/// Plans that `starter` no longer starts its service.
pub(crate) fn disable(draft: &mut Draft<'_>, starter: &Starter, reason: &str) -> Result<()> {
    match starter.kind {
        Kind::Link => draft.remove(&starter.path, reason),
        Kind::Vendor => {
            let mask = format!("{SYSTEM}/{}", starter.unit.as_deref().unwrap_or_default());
            // The same unit may be wanted by several targets.
            if draft.read_link(&mask)?.is_none() && !exists(draft, &mask)? {
                draft.link(&mask, "/dev/null", reason)?;
            }
            Ok(())
        }
        Kind::Sysv => {
            let target = draft.read_link(&starter.path)?;
            draft.remove(&starter.path, reason)?;
            let folder = starter.path.rsplit_once('/').map(|(folder, _)| folder).unwrap_or_default();
            let stop = format!("{folder}/K01{}", starter.service);
            let target = target.unwrap_or_else(|| format!("../init.d/{}", starter.service));
            if draft.read_link(&stop)?.is_none() && !exists(draft, &stop)? {
                draft.link(&stop, &target, reason)?;
            }
            Ok(())
        }
        Kind::Upstart => {
            let path = format!("/etc/init/{}.override", starter.service);
            let content = crate::config_file::read(draft, &path)?.unwrap_or_default();
            draft.write(&path, with_line(content, "manual"), reason)
        }
    }
}
