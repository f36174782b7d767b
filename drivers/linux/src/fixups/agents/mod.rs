//! Agents and tools of other platforms: they are disabled, not removed.
//!
//! Facts: off their platform they retry, fill the log and delay the boot, and an agent with copied credentials would still
//! speak for the old machine. A unit whose `ConditionVirtualization=` (systemd.unit(5), values of
//! systemd-detect-virt(1)) or bound device keeps it from starting elsewhere is left as it is. qemu-guest-agent and spice-vdagent wait
//! for a virtio port that only QEMU has, and are left too. sshd's `AuthorizedKeysCommand` of ec2-instance-connect is left: it fails, and
//! keys go on to work. What was disabled is enabled again only by the guest's administrator.

mod table;

use crate::ini::pairs;
use crate::services::{Starter, disable, starters, unit_text};
use driver_core::{Applies, Context, Draft, Fixup, Platform};
use format_core::Result;
use table::Maker;

pub(super) struct Agents(&'static Maker);

pub(super) const EC2: Agents = Agents(&table::AWS);
pub(super) const AZURE: Agents = Agents(&table::AZURE);
pub(super) const HYPERV: Agents = Agents(&table::HYPERV);
pub(super) const GCP: Agents = Agents(&table::GCP);
pub(super) const VMWARE: Agents = Agents(&table::VMWARE);
pub(super) const VIRTUALBOX: Agents = Agents(&table::VIRTUALBOX);
pub(super) const XEN: Agents = Agents(&table::XEN);
pub(super) const PARALLELS: Agents = Agents(&table::PARALLELS);

impl Fixup for Agents {
    fn id(&self) -> &'static str {
        self.0.id
    }

    fn title(&self) -> &'static str {
        self.0.title
    }

    fn by_hand(&self) -> Option<&'static str> {
        Some("disable the agents with systemctl disable --now")
    }

    fn applies(&self, context: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        let maker = self.0;
        if maker.platforms.contains(&context.target.platform) {
            return Ok(Applies::no(format!("{} is where they are of use", context.target.name)));
        }
        let source = &context.guest.source;
        if let Some(platform) =
            source.platform.filter(|from| maker.portable && !maker.platforms.contains(from))
            && source.recorded
        {
            return Ok(Applies::no(format!(
                "the guest ran on {}: whatever of {} is enabled there was set up on purpose",
                platform.name(),
                maker.name
            )));
        }
        let found = !starters(draft, |service| maker.has(service))?.is_empty();
        Ok(if found { Applies::Yes } else { Applies::no(format!("nothing of {} is enabled", maker.name)) })
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let reason = format!("this agent serves {} only", self.0.name);
        for starter in starters(draft, |service| self.0.has(service))? {
            match harmless(&starter, context.target.platform, draft)? {
                Some(why) => draft.note(format!("{} stays: {why}", starter.service)),
                None => disable(draft, &starter, &reason)?,
            }
        }
        Ok(())
    }
}

/// Why a service does not start on `platform` although it is enabled.
fn harmless(starter: &Starter, platform: Platform, draft: &Draft<'_>) -> Result<Option<String>> {
    let Some(unit) = &starter.unit else { return Ok(None) };
    let text = unit_text(draft, unit)?;
    let values = |wanted: &'static str| {
        pairs(&text)
            .filter(move |(section, key, _)| *section == "Unit" && *key == wanted)
            .map(|(.., value)| value.trim())
    };
    // One condition that fails keeps a unit from starting; those with | are alternatives.
    for value in values("ConditionVirtualization") {
        let hypervisor = HYPERVISORS.contains(&value);
        if hypervisor && !detected(platform).contains(&value) {
            return Ok(Some(format!("it starts only where ConditionVirtualization={value} holds")));
        }
    }
    let device = values("BindsTo").flat_map(str::split_whitespace).find(|unit| unit.ends_with(".device"));
    Ok(device.map(|device| format!("it waits for {device}")))
}

/// Values of systemd-detect-virt(1) that name one hypervisor.
const HYPERVISORS: [&str; 9] =
    ["qemu", "kvm", "amazon", "vmware", "microsoft", "oracle", "xen", "google", "parallels"];

/// What systemd-detect-virt(1) may say on a platform; older versions do not know all of them.
fn detected(platform: Platform) -> &'static [&'static str] {
    match platform {
        Platform::HyperV | Platform::Azure => &["microsoft"],
        Platform::Kvm | Platform::Proxmox | Platform::KubeVirt => &["kvm", "qemu"],
        Platform::Vmware => &["vmware"],
        Platform::VirtualBox => &["oracle", "kvm"],
        Platform::Xen => &["xen"],
        Platform::Gcp => &["google", "kvm"],
        Platform::Aws => &["amazon", "kvm", "xen"],
    }
}
