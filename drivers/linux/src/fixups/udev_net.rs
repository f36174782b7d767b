//! udev: rules that name interfaces by EC2's MAC address, and EC2's own rules, go.
//!
//! Facts: 70-persistent-net.rules gives names by MAC address (udev(7)): with the address kept it would rename the
//! interface that everything else now calls `eth0`. Rules of ec2-utils and ec2-net-utils (`51-ec2-hvm-devices`,
//! `53-ec2-network-interfaces`, …) give EC2's names to disks, and ask the metadata service for each new interface. A rule that a package brings
//! in /usr/lib is overruled by a link to /dev/null of the same name in /etc (udev(7)).

use crate::config_file::{exists, list, read_lossy};
use driver_core::{Applies, Context, Draft, Fixup};
use format_core::{Error, Result};

const OWN: &str = "/etc/udev/rules.d";
/// The second is a link to the first, except on old systems.
const VENDOR: [&str; 2] = ["/usr/lib/udev/rules.d", "/lib/udev/rules.d"];
const PERSISTENT: &str = "/etc/udev/rules.d/70-persistent-net.rules";

pub(super) struct UdevNet;

impl Fixup for UdevNet {
    fn id(&self) -> &'static str {
        "linux-udev-net"
    }

    fn title(&self) -> &'static str {
        "udev rules for EC2's interfaces and disks are gone"
    }

    fn applies(&self, _: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        let found = exists(draft, PERSISTENT)?
            || !ec2_rules(draft, &[OWN])?.is_empty()
            || !ec2_rules(draft, &VENDOR)?.is_empty();
        Ok(if found { Applies::Yes } else { Applies::no("no udev rule names EC2's hardware") })
    }

    fn plan(&self, _: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let text = read_lossy(draft, PERSISTENT)?.unwrap_or_default();
        let named = text.lines().filter(|line| names_interface(line)).count();
        if named > 1 {
            return Err(Error::needs_person(format!("{PERSISTENT} names {named} interfaces by MAC address"))
                .hint(format!("remove {PERSISTENT} once the order of the network adapters is known")));
        }
        if named == 1 {
            draft.remove(PERSISTENT, "names an interface by the MAC address of the source")?;
        }
        for path in ec2_rules(draft, &[OWN])? {
            // A link to /dev/null is a rule that somebody switched off.
            if draft.read_link(&path)?.is_none() {
                draft.remove(&path, "serves EC2's devices only")?;
            }
        }
        for path in ec2_rules(draft, &VENDOR)? {
            let mask = format!("{OWN}/{}", path.rsplit('/').next().unwrap_or_default());
            if draft.read_link(&mask)?.is_none() && !exists(draft, &mask)? {
                draft.link(&mask, "/dev/null", "serves EC2's devices only")?;
            }
        }
        Ok(())
    }
}

fn names_interface(line: &str) -> bool {
    let line = line.trim();
    !line.starts_with('#') && line.contains("ATTR{address}") && line.contains("NAME=")
}

/// `51-ec2-hvm-devices.rules` and its like.
fn ec2_rules(draft: &Draft<'_>, folders: &[&str]) -> Result<Vec<String>> {
    let mut rules = Vec::new();
    for folder in folders {
        rules.extend(list(draft, folder, ".rules")?);
    }
    rules.retain(|path| {
        let name = path.rsplit('/').next().unwrap_or_default();
        name.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with("-ec2-")
    });
    Ok(rules)
}
