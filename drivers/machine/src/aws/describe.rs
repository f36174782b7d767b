//! The parts of the EC2 describe output that are read, with AWS's own names.
//!
//! Source: Amazon EC2 API Reference, data types Instance, Volume, Image and InstanceTypeInfo, in the JSON spelling of
//! the AWS command line. Everything is optional: which fields appear depends on the state and age of the instance.

use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Document {
    pub reservations: Vec<Reservation>,
    pub volumes: Vec<Volume>,
    pub images: Vec<Image>,
    pub instance_types: Vec<InstanceType>,
    /// Present when the command line stopped at `--max-items`.
    pub next_token: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Reservation {
    pub instances: Vec<Instance>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Instance {
    pub instance_id: String,
    pub instance_type: Option<String>,
    pub image_id: Option<String>,
    pub state: Option<State>,
    pub architecture: Option<String>,
    pub boot_mode: Option<String>,
    pub current_instance_boot_mode: Option<String>,
    pub tpm_support: Option<String>,
    pub cpu_options: Option<CpuOptions>,
    pub root_device_name: Option<String>,
    pub root_device_type: Option<String>,
    pub block_device_mappings: Vec<BlockDeviceMapping>,
    pub network_interfaces: Vec<NetworkInterface>,
    pub platform: Option<String>,
    pub platform_details: Option<String>,
    pub tags: Vec<Tag>,
    pub ena_support: Option<bool>,
    pub sriov_net_support: Option<String>,
    pub source_dest_check: Option<bool>,
    pub security_groups: Vec<SecurityGroup>,
    pub iam_instance_profile: Option<Arn>,
    pub hibernation_options: Option<Configured>,
    pub enclave_options: Option<Enabled>,
    pub placement: Option<Placement>,
    pub product_codes: Vec<ProductCode>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct State {
    pub name: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct CpuOptions {
    pub core_count: Option<u32>,
    pub threads_per_core: Option<u32>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct BlockDeviceMapping {
    pub device_name: Option<String>,
    pub ebs: Option<Ebs>,
    /// `ephemeral0` and so on, in images only.
    pub virtual_name: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Ebs {
    pub volume_id: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct NetworkInterface {
    pub network_interface_id: Option<String>,
    pub mac_address: Option<String>,
    pub subnet_id: Option<String>,
    pub vpc_id: Option<String>,
    pub interface_type: Option<String>,
    pub association: Option<Association>,
    pub attachment: Option<InterfaceAttachment>,
    pub private_ip_addresses: Vec<PrivateAddress>,
    pub ipv6_addresses: Vec<Ipv6Address>,
    pub source_dest_check: Option<bool>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Association {
    pub public_ip: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct InterfaceAttachment {
    pub device_index: u32,
    pub network_card_index: u32,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct PrivateAddress {
    pub private_ip_address: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Ipv6Address {
    pub ipv6_address: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Tag {
    pub key: String,
    pub value: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct SecurityGroup {
    pub group_id: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Arn {
    pub arn: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Configured {
    pub configured: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Enabled {
    pub enabled: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Placement {
    pub tenancy: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ProductCode {
    pub product_code_id: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Volume {
    pub volume_id: String,
    /// GiB.
    pub size: Option<u64>,
    pub encrypted: bool,
    pub multi_attach_enabled: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Image {
    pub image_id: String,
    pub name: Option<String>,
    pub boot_mode: Option<String>,
    pub tpm_support: Option<String>,
    pub platform_details: Option<String>,
    pub block_device_mappings: Vec<BlockDeviceMapping>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct InstanceType {
    pub instance_type: String,
    pub hypervisor: Option<String>,
    pub v_cpu_info: Option<VCpuInfo>,
    pub memory_info: Option<MemoryInfo>,
    pub instance_storage_supported: bool,
    pub gpu_info: Option<serde::de::IgnoredAny>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct VCpuInfo {
    #[serde(rename = "DefaultVCpus")]
    pub default_v_cpus: Option<u32>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct MemoryInfo {
    #[serde(rename = "SizeInMiB")]
    pub size_in_mib: Option<u64>,
}
