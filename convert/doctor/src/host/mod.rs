//! What this host can do.

mod folder;
mod machine;
mod programs;

use serde::Serialize;
use std::path::PathBuf;

/// How well the host does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// It works, but slower or with less room than it could.
    Degraded,
    /// Not at all.
    Missing,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// Stable and short, such as `qemu`.
    pub name: &'static str,
    /// How well it is there.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What rehome cannot do without it, or does worse.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub without: Option<&'static str>,
    /// How to get it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub get: Option<&'static str>,
    /// Whether the operator asked for it.
    pub required: bool,
}

impl Finding {
    pub(crate) fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self {
            name,
            state: State::Ok,
            found: crate::text::line(&found.into()),
            without: None,
            get: None,
            required: false,
        }
    }

    /// The same as something that is not as it should be: what that means, and what to do.
    pub(crate) fn but(mut self, state: State, without: &'static str, get: &'static str) -> Self {
        self.state = state;
        self.without = Some(without);
        self.get = Some(get);
        self
    }
}

/// Something that a host can be required to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ability {
    /// Booting guests in QEMU.
    BootTest,
    /// Booting guests that start by UEFI.
    Uefi,
    /// Hardware virtualisation, without which booting takes minutes.
    Kvm,
    /// `rehome mount`.
    Mount,
    /// Editing guests in the micro-VM.
    MicroVm,
    /// Reading Borg repositories.
    Borg,
    /// Sources on other machines.
    Ssh,
}

impl Ability {
    /// The findings that must not be missing for it.
    fn needs(self) -> &'static [&'static str] {
        match self {
            Self::BootTest => &["qemu"],
            Self::Uefi => &["qemu", "firmware"],
            Self::Kvm => &["kvm"],
            Self::Mount => &["fuse"],
            Self::MicroVm => &["qemu", "kernel"],
            Self::Borg => &["borg"],
            Self::Ssh => &["ssh"],
        }
    }
}

/// What is looked at.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// A folder in which images are to be written, if its abilities are wanted too.
    pub folder: Option<PathBuf>,
    /// What must be there.
    pub require: Vec<Ability>,
}

/// All findings.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whether nothing is missing that is required.
    pub fit: bool,
    /// In a fixed order.
    pub findings: Vec<Finding>,
}

/// Looks at this host.
#[must_use]
pub fn examine(request: &Request) -> Report {
    let mut findings = machine::findings();
    findings.extend(programs::findings());
    if let Some(folder) = &request.folder {
        findings.extend(folder::findings(folder));
    }
    let required: Vec<&str> = request.require.iter().flat_map(|ability| ability.needs()).copied().collect();
    for finding in &mut findings {
        // A folder that was named is to be written into.
        finding.required = required.contains(&finding.name) || finding.name == "folder";
        // An ability that only half works is one that was asked for in vain.
        if finding.name == "kvm" && finding.required && finding.state == State::Degraded {
            finding.state = State::Missing;
        }
    }
    let fit = findings.iter().all(|finding| !finding.required || finding.state != State::Missing);
    Report { fit, findings }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_that_an_ability_needs_is_looked_at_once() {
        let report = examine(&Request { folder: Some(std::env::temp_dir()), require: Vec::new() });
        for ability in [
            Ability::BootTest,
            Ability::Uefi,
            Ability::Kvm,
            Ability::Mount,
            Ability::MicroVm,
            Ability::Borg,
            Ability::Ssh,
        ] {
            for name in ability.needs() {
                assert_eq!(report.findings.iter().filter(|found| found.name == *name).count(), 1, "{name}");
            }
        }
        for found in &report.findings {
            assert_eq!(found.state == State::Ok, found.without.is_none(), "{found:?}");
            assert!(!found.found.is_empty(), "{found:?}");
        }
    }

    #[test]
    fn a_folder_that_is_not_there_makes_the_host_unfit() {
        let report = examine(&Request { folder: Some("/no/such/folder".into()), require: Vec::new() });
        assert!(!report.fit);
        let folder = report.findings.iter().find(|found| found.name == "folder").unwrap();
        assert_eq!(folder.state, State::Missing);
    }
}
