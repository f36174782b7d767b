//! The DHCP client runs where the platform hands out addresses: people disable it on machines with fixed ones.
//!
//! Source: Microsoft, "Prepare a Windows VHD or VHDX to upload to Azure": the service Dhcp starts automatically; Azure's hydration sets it
//! so. The adapters of EC2 and Google Cloud get their addresses in the same way.

use crate::edited::edited_sets;
use crate::services::{DISABLED, number, service_key};
use driver_core::{Applies, Context, Draft, Fixup, Platform};
use driver_registry::Value;
use format_core::Result;

const SERVICE: &str = "Dhcp";
/// Start: when Windows starts.
const AUTOMATIC: u32 = 2;

pub(super) struct DhcpClient;

impl Fixup for DhcpClient {
    fn id(&self) -> &'static str {
        "windows-dhcp-client"
    }

    fn title(&self) -> &'static str {
        "the DHCP client runs where the platform hands out addresses"
    }

    fn applies(&self, context: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        if context.guest.windows.is_none() {
            return Ok(Applies::no("it is no Windows"));
        }
        if !hands_out_addresses(context.target.platform) {
            return Ok(Applies::no("addresses may be fixed there"));
        }
        for set in edited_sets(context) {
            if number(draft, &service_key(set, SERVICE), "Start")? == Some(DISABLED) {
                return Ok(Applies::Yes);
            }
        }
        Ok(Applies::no("it is not disabled"))
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let reason = format!("{} hands out addresses by DHCP", context.target.platform.name());
        for set in edited_sets(context) {
            let key = service_key(set, SERVICE);
            if number(draft, &key, "Start")? == Some(DISABLED) {
                draft.set_value(&key, "Start", Value::dword(AUTOMATIC), &reason)?;
            }
        }
        Ok(())
    }
}

/// Whether a machine has the addresses that the platform gives it, and no others.
pub(super) fn hands_out_addresses(platform: Platform) -> bool {
    matches!(platform, Platform::Azure | Platform::Gcp | Platform::Aws)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phony::{Phony, SET, carried_out, plan};
    use driver_core::{Status, Wishes};

    #[test]
    fn a_disabled_client_starts_in_a_cloud() {
        let phony = || Phony::windows_2016().service("Dhcp", 0x20, 4);
        let (tree, edits) = carried_out(phony(), "azure-gen1", &Wishes::NONE, &DhcpClient);
        let start = tree.registry_value(&format!(r"{SET}\Services\Dhcp"), "Start").unwrap();
        assert_eq!((start, edits.len()), (Some(Value::dword(2)), 1));
        for (phony, target) in
            [(phony(), "hyperv-gen1"), (Phony::windows_2016().service("Dhcp", 0x20, 3), "aws-bios")]
        {
            let (tree, guest) = phony.build();
            let planned = plan(&tree, &guest, target, &Wishes::NONE, &DhcpClient);
            assert_eq!(planned.fixups[0].status, Status::NotApplicable, "{target}");
        }
    }
}
