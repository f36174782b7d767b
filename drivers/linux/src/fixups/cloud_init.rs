//! cloud-init: it stops looking for EC2's metadata service.
//!
//! Facts: off EC2 the Ec2 data source waits for 169.254.169.254 for minutes; `datasource_list` in the last file of
//! /etc/cloud/cloud.cfg.d wins, and /etc/cloud/ds-identify.cfg can name a source before that (cloud-init documentation,
//! "Datasources", "ds-identify"). A data source with another instance id makes cloud-init treat the machine as new: new
//! host keys, user and password settings run again. So a NoCloud seed in /var/lib/cloud/seed/nocloud keeps the old id
//! ("NoCloud", "Boot stages").

use crate::config_file::{Line, edit_lines, exists, list, read, read_small};
use driver_core::{Applies, Context, Draft, Fixup, Ownership};
use format_core::Result;

const DROP_IN: &str = "/etc/cloud/cloud.cfg.d/99-rehome.cfg";
const DS_IDENTIFY: &str = "/etc/cloud/ds-identify.cfg";
const INSTANCE_ID: &str = "/var/lib/cloud/data/instance-id";
const SEED: &str = "/var/lib/cloud/seed/nocloud";

const CONTENT: &str = "# This machine no longer runs on EC2.\ndatasource_list: [ NoCloud, None ]\n";

pub(super) struct CloudInit;

impl Fixup for CloudInit {
    fn id(&self) -> &'static str {
        "linux-cloud-init"
    }

    fn title(&self) -> &'static str {
        "cloud-init does not wait for EC2's metadata service"
    }

    fn by_hand(&self) -> Option<&'static str> {
        Some(
            "put datasource_list: [ NoCloud, None ] into /etc/cloud/cloud.cfg.d/99-local.cfg; until then every start waits some minutes for the metadata service",
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

    fn plan(&self, _: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        draft.write(DROP_IN, CONTENT, "data sources that exist off EC2")?;
        // The list is in the order in which cloud-init reads: what comes after ours overrules it.
        for path in list(draft, "/etc/cloud/cloud.cfg.d", ".cfg")? {
            let text = if path.as_str() > DROP_IN { read_small(draft, &path)? } else { String::new() };
            if text.lines().any(|line| line.starts_with("datasource_list")) {
                draft
                    .note(format!("{path} is read last and sets datasource_list itself: remove EC2 from it"));
            }
        }
        if let Some(content) = read(draft, DS_IDENTIFY)? {
            draft.write(
                DS_IDENTIFY,
                edit_lines(&content, source_line),
                "the data source is no longer Ec2",
            )?;
        }
        let id = read_small(draft, INSTANCE_ID)?;
        let meta_data = format!("{SEED}/meta-data");
        let id = id.trim();
        if is_instance_id(id) && !exists(draft, &meta_data)? {
            let reason = "cloud-init keeps the instance id, and so host keys and users";
            draft.create(&meta_data, format!("instance-id: {id}\n"), Ownership::ROOT_FILE, reason)?;
            if !exists(draft, &format!("{SEED}/user-data"))? {
                draft.create(
                    &format!("{SEED}/user-data"),
                    "#cloud-config\n",
                    Ownership::ROOT_FILE,
                    reason,
                )?;
            }
        }
        Ok(())
    }
}

fn source_line(line: &str) -> Line {
    let names_ec2 = line
        .trim()
        .strip_prefix("datasource:")
        .is_some_and(|value| value.trim().trim_matches(['"', '\'']).eq_ignore_ascii_case("ec2"));
    if names_ec2 { Line::Replace("datasource: NoCloud".into()) } else { Line::Keep }
}

/// It goes into a YAML file: nothing that YAML would read as anything but a word.
fn is_instance_id(id: &str) -> bool {
    id.starts_with(|c: char| c.is_ascii_alphabetic())
        && id.len() <= 128
        && id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}
