//! EC2's agents: they are disabled, not removed.
//!
//! Facts: off EC2 they retry, fill the log and delay the boot, and an SSM agent with copied credentials would still
//! speak for the old instance. `systemctl disable` removes the links in `*.wants` folders (systemctl(1)); links that a
//! package brings in /usr/lib are overruled by masking the unit, a link to /dev/null in /etc/systemd/system
//! (systemd.unit(5)). sshd's `AuthorizedKeysCommand` of ec2-instance-connect is left: it fails, and keys go on to work.

use crate::config_file::{exists, folders, list};
use driver_core::{Applies, Context, Draft, Fixup};
use format_core::Result;

const SYSTEM: &str = "/etc/systemd/system";
/// The second is a link to the first, except on old systems.
const VENDOR: [&str; 2] = ["/usr/lib/systemd/system", "/lib/systemd/system"];

/// Names of units without suffix; `@` ends a template's name.
const AGENTS: [&str; 12] = [
    "amazon-ssm-agent",
    "snap.amazon-ssm-agent.amazon-ssm-agent",
    "amazon-cloudwatch-agent",
    "awslogsd",
    "awslogs",
    "codedeploy-agent",
    "ec2-instance-connect",
    "hibinit-agent",
    "ec2-hibinit-agent",
    "elastic-network-interfaces",
    "policy-routes@",
    "refresh-policy-routes@",
];

pub(super) struct Ec2Agents;

impl Fixup for Ec2Agents {
    fn id(&self) -> &'static str {
        "linux-ec2-agents"
    }

    fn title(&self) -> &'static str {
        "EC2's agents are disabled"
    }

    fn applies(&self, _: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        let found = !wanted_in(draft, &[SYSTEM])?.is_empty() || !wanted_in(draft, &VENDOR)?.is_empty();
        Ok(if found { Applies::Yes } else { Applies::no("no EC2 agent is enabled") })
    }

    fn plan(&self, _: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        for link in wanted_in(draft, &[SYSTEM])? {
            draft.remove(&link, "this agent serves EC2 only")?;
        }
        for link in wanted_in(draft, &VENDOR)? {
            let unit = link.rsplit('/').next().unwrap_or_default();
            let mask = format!("{SYSTEM}/{unit}");
            if draft.read_link(&mask)?.is_none() && !exists(draft, &mask)? {
                draft.link(&mask, "/dev/null", "this agent serves EC2 only")?;
            }
        }
        Ok(())
    }
}

/// The links in `*.wants` and `*.requires` folders that start an agent.
fn wanted_in(draft: &Draft<'_>, bases: &[&str]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for base in bases {
        for folder in folders(draft, base)? {
            if folder.ends_with(".wants") || folder.ends_with(".requires") {
                found.extend(list(draft, &folder, "")?);
            }
        }
    }
    found.retain(|path| is_agent(path.rsplit('/').next().unwrap_or_default()));
    Ok(found)
}

fn is_agent(unit: &str) -> bool {
    let Some((name, kind)) = unit.rsplit_once('.') else { return false };
    matches!(kind, "service" | "timer" | "path" | "socket")
        && AGENTS
            .iter()
            .any(|agent| if agent.ends_with('@') { name.starts_with(agent) } else { name == *agent })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_agents_are_agents() {
        for unit in
            ["amazon-ssm-agent.service", "policy-routes@ens5.service", "refresh-policy-routes@ens5.timer"]
        {
            assert!(is_agent(unit), "{unit}");
        }
        for unit in
            ["ssh.service", "my-amazon-ssm-agent.service", "amazon-ssm-agent", "amazon-ssm-agent.target", ""]
        {
            assert!(!is_agent(unit), "{unit}");
        }
    }
}
