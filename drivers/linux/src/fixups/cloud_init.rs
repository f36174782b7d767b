//! cloud-init: it looks for its data where the target has them, and takes the machine for the one it was.
//!
//! Facts: off EC2 the Ec2 data source waits for 169.254.169.254 for minutes, and others wait for their own services alike;
//! `datasource_list` in the last file of
//! /etc/cloud/cloud.cfg.d wins, and /etc/cloud/ds-identify.cfg can name a source before that (cloud-init documentation,
//! "Datasources", "ds-identify"). A data source with another instance id makes cloud-init treat the machine as new: new
//! host keys, user and password settings run again. So a NoCloud seed in /var/lib/cloud/seed/nocloud keeps the old id
//! ("NoCloud", "Boot stages"). A cloud's own source has an id of its own: there `ssh_deletekeys: false` and
//! `preserve_hostname: true` keep host keys and name ("Module reference", SSH and Set Hostname). `network: {config: disabled}` leaves the
//! network alone ("Network configuration").

use crate::config_file::{Line, edit_lines, exists, list, read, read_small};
use driver_core::{Applies, Context, Draft, Fixup, Ownership};
use format_core::Result;

const DROP_IN: &str = "/etc/cloud/cloud.cfg.d/99-rehome.cfg";
const DS_IDENTIFY: &str = "/etc/cloud/ds-identify.cfg";
const INSTANCE_ID: &str = "/var/lib/cloud/data/instance-id";
const SEED: &str = "/var/lib/cloud/seed/nocloud";

pub(super) struct CloudInit;

impl Fixup for CloudInit {
    fn id(&self) -> &'static str {
        "linux-cloud-init"
    }

    fn title(&self) -> &'static str {
        "cloud-init looks for its data where the target has them"
    }

    fn by_hand(&self) -> Option<&'static str> {
        Some(
            "put a datasource_list of what is there into /etc/cloud/cloud.cfg.d/99-local.cfg; until then every start waits some minutes for the metadata service",
        )
    }

    fn applies(&self, _: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        if !exists(draft, "/etc/cloud")? {
            return Ok(Applies::no("cloud-init is not installed"));
        }
        if exists(draft, "/etc/cloud/cloud-init.disabled")? {
            return Ok(Applies::no("cloud-init is disabled by /etc/cloud/cloud-init.disabled"));
        }
        Ok(Applies::Yes)
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let target = context.target;
        draft.write(DROP_IN, drop_in(context), &format!("data sources of {}", target.name))?;
        // The list is in the order in which cloud-init reads: what comes after ours overrules it.
        for path in list(draft, "/etc/cloud/cloud.cfg.d", ".cfg")? {
            let text = if path.as_str() > DROP_IN { read_small(draft, &path)? } else { String::new() };
            if text.lines().any(|line| line.starts_with("datasource_list")) {
                draft.note(format!(
                    "{path} is read last and sets datasource_list itself: it has to name {}",
                    target.datasources.join(", ")
                ));
            }
        }
        if let Some(content) = read(draft, DS_IDENTIFY)? {
            let reason = format!("the data source is one of {}", target.name);
            draft.write(
                DS_IDENTIFY,
                edit_lines(&content, |line| source_line(line, target.datasources)),
                &reason,
            )?;
        }
        match target.datasources.contains(&"NoCloud") {
            true => seed(draft),
            false => Ok(()),
        }
    }
}

fn drop_in(context: &Context<'_>) -> String {
    let target = context.target;
    let mut text = format!("# {}\ndatasource_list: [ {} ]\n", target.name, target.datasources.join(", "));
    if !target.datasources.contains(&"NoCloud") {
        text += "preserve_hostname: true\n";
        if !context.wishes.identity.ssh_host_keys {
            text += "ssh_deletekeys: false\n";
        }
    }
    if !context.wishes.network.static_addresses.is_empty() {
        text += "network: {config: disabled}\n";
    }
    text
}

fn seed(draft: &mut Draft<'_>) -> Result<()> {
    let id = read_small(draft, INSTANCE_ID)?;
    let meta_data = format!("{SEED}/meta-data");
    let id = id.trim();
    if !is_instance_id(id) || exists(draft, &meta_data)? {
        return Ok(());
    }
    let reason = "cloud-init keeps the instance id, and so host keys and users";
    // Google's ids are numbers and Azure's may look like some: YAML has to read words.
    let quote = if id.starts_with("i-") { "" } else { "\"" };
    draft.create(&meta_data, format!("instance-id: {quote}{id}{quote}\n"), Ownership::ROOT_FILE, reason)?;
    let user_data = format!("{SEED}/user-data");
    if !exists(draft, &user_data)? {
        draft.create(&user_data, "#cloud-config\n", Ownership::ROOT_FILE, reason)?;
    }
    Ok(())
}

/// A source that the target does not have gives way to the target's first.
fn source_line(line: &str, sources: &[&str]) -> Line {
    let Some(value) = line.trim().strip_prefix("datasource:") else { return Line::Keep };
    let named = value.trim().trim_matches(['"', '\'']);
    let fits = named.is_empty() || sources.iter().any(|source| source.eq_ignore_ascii_case(named));
    match sources.first() {
        Some(first) if !fits => Line::Replace(format!("datasource: {first}")),
        _ => Line::Keep,
    }
}

/// It goes into a YAML file: nothing that YAML would read as anything but a word.
fn is_instance_id(id: &str) -> bool {
    id.starts_with(|c: char| c.is_ascii_alphanumeric())
        && id.len() <= 128
        && id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_of_other_platforms_give_way() {
        let line = |text| source_line(text, &["Azure", "None"]);
        assert_eq!(line("datasource: Ec2"), Line::Replace("datasource: Azure".into()));
        assert_eq!(line("  datasource: \"GCE\""), Line::Replace("datasource: Azure".into()));
        for text in
            ["datasource: Azure", "datasource: azure", "datasource:", "policy: enabled", "# datasource: Ec2"]
        {
            assert_eq!(line(text), Line::Keep, "{text}");
        }
        assert_eq!(source_line("datasource: Ec2", &[]), Line::Keep);
    }
}
