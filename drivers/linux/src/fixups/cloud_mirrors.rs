//! Package sources inside of a cloud: reported, because which mirror takes their place is the customer's choice.
//!
//! Facts: images of clouds name mirrors that answer only there: Ubuntu's `REGION.ec2.archive`, `azure.archive` and
//! `REGION.gce.archive`, Red Hat's update infrastructure (`rhui`), SUSE's `smt-ec2`, `smt-azure`, `smt-gce`, which stand in /etc/hosts
//! too. Updates off that cloud need the customer's own subscription.

use crate::config_file::{list, read_small};
use driver_core::Platform::{self, Aws, Azure, Gcp};
use driver_core::{Applies, Context, Draft, Fixup};
use format_core::Result;

/// Parts of host names, and where these hosts answer.
const INSIDE: [(&str, Platform); 11] = [
    ("rhui.googlecloud", Gcp),
    (".ec2.archive.", Aws),
    (".ec2.ports.", Aws),
    ("smt-ec2", Aws),
    ("rhui3.", Aws),
    ("rhui.", Aws),
    ("azure.archive.", Azure),
    ("rhui-1.microsoft", Azure),
    ("smt-azure", Azure),
    (".gce.archive.", Gcp),
    ("smt-gce", Gcp),
];
const FOLDERS: [(&str, &str); 5] = [
    ("/etc/apt/sources.list.d", ".list"),
    ("/etc/apt/sources.list.d", ".sources"),
    ("/etc/yum.repos.d", ".repo"),
    ("/etc/zypp/repos.d", ".repo"),
    ("/etc/apt", "sources.list"),
];

pub(super) struct CloudMirrors;

impl Fixup for CloudMirrors {
    fn id(&self) -> &'static str {
        "linux-cloud-mirrors"
    }

    fn title(&self) -> &'static str {
        "package sources that answer only in the source's cloud are named"
    }

    fn applies(&self, context: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        let found = !inside(context.target.platform, draft)?.is_empty();
        Ok(if found { Applies::Yes } else { Applies::no("no package source is inside of another cloud") })
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        for (path, host, platform) in inside(context.target.platform, draft)? {
            let name = platform.name();
            draft.note(format!(
                "{path} names {host}…, which answers in {name} only: give it another mirror or subscription"
            ));
        }
        Ok(())
    }
}

fn inside(target: Platform, draft: &Draft<'_>) -> Result<Vec<(String, &'static str, Platform)>> {
    let mut paths = vec!["/etc/hosts".to_owned()];
    for (folder, suffix) in FOLDERS {
        paths.extend(list(draft, folder, suffix)?);
    }
    let mut found = Vec::new();
    for path in paths.into_iter().take(256) {
        let text = read_small(draft, &path)?;
        let lines = || text.lines().filter(|line| !line.trim_start().starts_with('#'));
        let hit = INSIDE.iter().find(|(host, _)| lines().any(|line| line.contains(host)));
        if let Some((host, platform)) = hit.filter(|(_, platform)| *platform != target) {
            found.push((path, *host, *platform));
        }
    }
    Ok(found)
}
