//! What an EC2 instance has that no machine elsewhere has: each a warning, so that nothing is lost in silence.

use super::describe::{Instance, Volume};
use super::{Findings, Source, sizes};
use crate::error::shown;

/// State of the instance, such as `running`.
pub(super) fn state(instance: &Instance) -> Option<&str> {
    instance.state.as_ref().and_then(|state| state.name.as_deref())
}

/// Adds a warning for everything that could not be carried over.
pub(super) fn collect(source: &Source<'_>, notes: &mut Findings) {
    instance_state(source, notes);
    identity_and_licence(source, notes);
    hardware(source, notes);
    network(source, notes);
    volumes(source, notes);
}

fn instance_state(source: &Source<'_>, notes: &mut Findings) {
    if let Some(state) = state(source.instance)
        && state != "stopped"
    {
        notes.warn("aws-not-stopped", format!(
            "the instance was {} when it was described: disks taken then are as after a power cut, and may be older \
             than what the guest wrote since",
            shown(state)
        ));
    }
    if source.instance.hibernation_options.as_ref().is_some_and(|options| options.configured) {
        notes.warn(
            "aws-hibernation",
            "hibernation is configured: a hibernated guest has to be started and shut down first",
        );
    }
}

fn identity_and_licence(source: &Source<'_>, notes: &mut Findings) {
    let instance = source.instance;
    if let Some(arn) = instance.iam_instance_profile.as_ref().and_then(|profile| profile.arn.as_deref()) {
        notes.warn("aws-iam-role", format!(
            "the role of instance profile {} is not available elsewhere: programs that use it need other credentials",
            shown(arn)
        ));
    }
    if let Some(details) = instance.platform_details.as_deref()
        && details != "Linux/UNIX"
    {
        notes.warn(
            "aws-licence",
            format!("{} was licensed through the EC2 price: a licence of your own is needed", shown(details)),
        );
    }
    let codes: Vec<String> = instance
        .product_codes
        .iter()
        .filter_map(|code| code.product_code_id.as_deref())
        .take(8)
        .map(shown)
        .collect();
    if !codes.is_empty() {
        notes.warn(
            "aws-marketplace",
            format!("marketplace product {}: check whether it may run elsewhere", codes.join(", ")),
        );
    }
    let image_tpm = source.image.and_then(|image| image.tpm_support.as_deref());
    if let Some(tpm) = instance.tpm_support.as_deref().or(image_tpm) {
        notes.warn("aws-tpm", format!(
            "NitroTPM {} stays behind: keys sealed in it (LUKS, BitLocker) are lost, have a passphrase or recovery key",
            shown(tpm)
        ));
    }
    if let Some(tenancy) = instance.placement.as_ref().and_then(|placement| placement.tenancy.as_deref())
        && tenancy != "default"
    {
        notes.warn("aws-tenancy", format!("tenancy {} is not carried over", shown(tenancy)));
    }
}

fn hardware(source: &Source<'_>, notes: &mut Findings) {
    let type_name = source.instance.instance_type.as_deref().unwrap_or_default();
    let ephemeral = source.image.is_some_and(|image| {
        image
            .block_device_mappings
            .iter()
            .any(|mapping| mapping.virtual_name.as_deref().is_some_and(|name| name.starts_with("ephemeral")))
    });
    let store = source.instance_type.map_or_else(
        || sizes::has_instance_store(type_name) || ephemeral,
        |entry| entry.instance_storage_supported,
    );
    if store {
        notes.warn("aws-instance-store", format!(
            "instance type {} has instance store disks: they are not exported, and the guest must start without them",
            shown(type_name)
        ));
    }
    let gpu_family = ["g", "p"].iter().any(|family| {
        type_name.strip_prefix(family).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    });
    if source.instance_type.map_or(gpu_family, |entry| entry.gpu_info.is_some()) {
        notes.warn("aws-gpu", format!("the GPU of instance type {} is not carried over", shown(type_name)));
    }
    if source.instance.enclave_options.as_ref().is_some_and(|options| options.enabled) {
        notes.warn("aws-enclave", "Nitro Enclaves are not available elsewhere");
    }
}

fn network(source: &Source<'_>, notes: &mut Findings) {
    let instance = source.instance;
    let groups: Vec<String> = instance
        .security_groups
        .iter()
        .filter_map(|group| group.group_id.as_deref())
        .take(16)
        .map(shown)
        .collect();
    if !groups.is_empty() {
        notes.warn(
            "aws-security-groups",
            format!(
                "security groups {} do not exist on the target: the guest has only its own firewall",
                groups.join(", ")
            ),
        );
    }
    if instance.ena_support == Some(true) {
        notes.warn(
            "aws-ena",
            "the ENA network adapter becomes the target's own: its name in the guest changes",
        );
    }
    interfaces(source, notes);
    if instance.network_interfaces.is_empty() {
        notes.warn(
            "aws-no-network",
            "the instance has no network interfaces in the documents: the machine gets none",
        );
        if instance.source_dest_check == Some(false) {
            notes.warn(
                "aws-source-dest-check",
                "the source/destination check is off: allow forwarding on the target",
            );
        }
    }
}

fn interfaces(source: &Source<'_>, notes: &mut Findings) {
    for interface in &source.instance.network_interfaces {
        let id = shown(interface.network_interface_id.as_deref().unwrap_or("without an id"));
        if interface.interface_type.as_deref() == Some("efa") {
            notes.warn(
                "aws-efa",
                format!("network interface {id} is an Elastic Fabric Adapter: RDMA is not carried over"),
            );
        }
        if let Some(ip) =
            interface.association.as_ref().and_then(|association| association.public_ip.as_deref())
        {
            notes.warn(
                "aws-public-ip",
                format!("public address {} of network interface {id} stays with AWS", shown(ip)),
            );
        }
        let count = interface.private_ip_addresses.len().saturating_add(interface.ipv6_addresses.len());
        if count > 1 {
            notes.warn("aws-extra-addresses", format!(
                "network interface {id} has {count} addresses: outside EC2 they have to be configured in the guest"
            ));
        }
        if interface.source_dest_check == Some(false) {
            notes.warn("aws-source-dest-check", format!(
                "network interface {id} forwards for others (source/destination check off): allow that on the target"
            ));
        }
    }
}

fn volumes(source: &Source<'_>, notes: &mut Findings) {
    let attached = source
        .instance
        .block_device_mappings
        .iter()
        .filter_map(|mapping| source.volumes.get(mapping.ebs.as_ref()?.volume_id.as_deref()?).copied());
    for Volume { volume_id, encrypted, multi_attach_enabled, .. } in attached {
        let id = shown(volume_id);
        if *encrypted {
            notes.warn("aws-encrypted-volume", format!(
                "volume {id} is encrypted by EBS: its image is plain, encrypt the target's storage if that is required"
            ));
        }
        if *multi_attach_enabled {
            notes.warn(
                "aws-multi-attach",
                format!("volume {id} may be attached to several instances: sharing is not carried over"),
            );
        }
    }
}
