//! The registry of network adapters: device, driver instance, connection, and IPv4 configuration.
//!
//! Names and types are those of the two real hives: a static Windows 7 and a leased 8.1. `PnPInstanceId` was spelt
//! `PnpInstanceID` by Windows 7. A persistent route is a value of `PersistentRoutes` whose name says
//! "destination,mask,gateway,metric" and which has no data.

use crate::recipe::{Adapter, Address, Recipe, Source, Special};
use std::fmt::Write;

const NET: &str = "{4d36e972-e325-11ce-bfc1-08002be10318}";

/// Device of an adapter: path below `Enum`, service, description, INF, maker.
type Device = (&'static str, &'static str, &'static str, &'static str, &'static str);

fn device(source: Source, nt61: bool) -> Device {
    let intel = (
        r"PCI\VEN_8086&DEV_100F&SUBSYS_075015AD&REV_01",
        "E1G60",
        "Intel(R) PRO/1000 MT Network Connection",
        if nt61 { "nete1g32.inf" } else { "nete1g3e.inf" },
        "Microsoft",
    );
    match source {
        Source::AwsXen => {
            (r"XENVIF\VEN_XS0001&DEV_NET", "xennet", "AWS PV Network Device", "oem4.inf", "Amazon Inc.")
        }
        Source::AwsNitro => (
            r"PCI\VEN_1D0F&DEV_EC20&SUBSYS_EC201D0F&REV_00",
            "ena",
            "Amazon Elastic Network Adapter",
            "oem8.inf",
            "Amazon Inc.",
        ),
        Source::VmwareLsi => intel,
        Source::VmwarePvscsi => (
            r"PCI\VEN_15AD&DEV_07B0&SUBSYS_07B015AD&REV_01",
            "vmxnet3ndis6",
            "vmxnet3 Ethernet Adapter",
            "oem3.inf",
            "VMware, Inc.",
        ),
        Source::VirtualBox => (
            r"PCI\VEN_8086&DEV_100E&SUBSYS_001E8086&REV_02",
            "E1G60",
            "Intel(R) PRO/1000 MT Desktop Adapter",
            "nete1g3e.inf",
            "Microsoft",
        ),
        Source::Citrix => {
            (r"XENVIF\VEN_XS0002&DEV_NET", "xennet", "XenServer PV Network Device", "oem3.inf", "Citrix")
        }
        Source::VirtioBlk | Source::VirtioScsi => (
            r"PCI\VEN_1AF4&DEV_1000&SUBSYS_00011AF4&REV_00",
            "netkvm",
            "Red Hat VirtIO Ethernet Adapter",
            "oem1.inf",
            "Red Hat, Inc.",
        ),
        Source::HyperV => (
            r"VMBUS\{f8615163-df3e-46c5-913f-f2d2f965ed0e}",
            "netvsc",
            "Microsoft Hyper-V Network Adapter",
            "wnetvsc.inf",
            "Microsoft",
        ),
        Source::PhysicalMegasas | Source::PhysicalIntelRaid => physical(source),
    }
}

fn physical(source: Source) -> Device {
    if source == Source::PhysicalMegasas {
        return (
            r"PCI\VEN_14E4&DEV_165F&SUBSYS_1F5B1028&REV_00",
            "b57nd60a",
            "Broadcom NetXtreme Gigabit Ethernet",
            "netb57va.inf",
            "Broadcom",
        );
    }
    (
        r"PCI\VEN_8086&DEV_15FA&SUBSYS_0B191028&REV_11",
        "e1dexpress",
        "Intel(R) Ethernet Connection (14) I219-LM",
        "e1d.inf",
        "Intel",
    )
}

/// The recipe of all adapters, in the form of `hives/*.reg`.
pub(crate) fn recipe_of(recipe: &Recipe) -> String {
    let device = device(recipe.source, recipe.release.is_nt61());
    let mut text = String::new();
    for (number, adapter) in recipe.adapters.iter().enumerate() {
        text += &hardware(recipe, adapter, number, device);
        text += &configuration(adapter);
    }
    let guids = |form: fn(&str) -> String| {
        recipe.adapters.iter().map(|adapter| form(adapter.guid)).collect::<Vec<_>>().join(",")
    };
    write!(
        text,
        "[CurrentControlSet\\Services\\Tcpip\\Linkage]\n\"Bind\"=multi:{}\n\"Export\"=multi:{}\n\n",
        guids(|guid| format!(r#""\Device\{guid}""#)),
        guids(|guid| format!(r#""\Device\Tcpip_{guid}""#))
    )
    .unwrap();
    text + &routes(recipe)
}

fn hardware(recipe: &Recipe, adapter: &Adapter, number: usize, device: Device) -> String {
    let (path, service, description, inf, maker) = device;
    let nt61 = recipe.release.is_nt61();
    let instance = match path.split('\\').next() {
        Some("PCI") => format!("4&b70f118&0&{:02X}88", 8 + 8 * number),
        Some("VMBUS") => format!("{{7c1d3e5a-0b2f-4c6d-8e9f-0a1b2c3d4e{number:02x}}}"),
        _ => number.to_string(),
    };
    let driver = format!("{NET}\\{:04}", 7 + number);
    let spelt = if nt61 { "PnpInstanceID" } else { "PnPInstanceId" };
    let name = if nt61 {
        adapter.name.replace("Ethernet", "Local Area Connection")
    } else {
        adapter.name.to_owned()
    };
    let again = if number == 0 { String::new() } else { format!(" #{}", number + 1) };
    format!(
        r#"[CurrentControlSet\Enum\{path}\{instance}]
"DeviceDesc"=sz:"{description}"
"FriendlyName"=sz:"{description}{again}"
"HardwareID"=multi:"{path}"
"Service"=sz:"{service}"
"Class"=sz:"Net"
"ClassGUID"=sz:"{NET}"
"Driver"=sz:"{driver}"
"ConfigFlags"=dword:00000000

[CurrentControlSet\Control\Class\{driver}]
"DriverDesc"=sz:"{description}"
"ProviderName"=sz:"{maker}"
"InfPath"=sz:"{inf}"
"MatchingDeviceId"=sz:"{}"
"ComponentId"=sz:"{}"
"NetCfgInstanceId"=sz:"{}"
"DeviceInstanceID"=sz:"{path}\{instance}"
"*IfType"=dword:00000006
"*MediaType"=dword:00000000
"*PhysicalMediaType"=dword:0000000e
"Characteristics"=dword:00000084

[CurrentControlSet\Control\Network\{{4D36E972-E325-11CE-BFC1-08002BE10318}}\{}\Connection]
"Name"=sz:"{name}"
"{spelt}"=sz:"{}\{}"

"#,
        path.to_lowercase(),
        path.to_lowercase(),
        adapter.guid,
        adapter.guid,
        path,
        instance.to_uppercase(),
    )
}

fn configuration(adapter: &Adapter) -> String {
    let guid = adapter.guid;
    let mut text = format!(
        r#"[CurrentControlSet\Services\Tcpip\Parameters\Adapters\{guid}]
"LLInterface"=sz:""
"IpConfig"=multi:"Tcpip\Parameters\Interfaces\{guid}"

[CurrentControlSet\Services\Tcpip\Parameters\Interfaces\{guid}]
"UseZeroBroadcast"=dword:00000000
"EnableDeadGWDetect"=dword:00000001
"Domain"=sz:""
"RegistrationEnabled"=dword:00000001
"RegisterAdapterName"=dword:00000000
"AddressType"=dword:00000000
"#
    );
    let list =
        |values: &[&str]| values.iter().map(|value| format!("\"{value}\"")).collect::<Vec<_>>().join(",");
    match adapter.address {
        Address::Dhcp { leased, gateway } => write!(
            text,
            r#""EnableDHCP"=dword:00000001
"NameServer"=sz:""
"DhcpIPAddress"=sz:"{leased}"
"DhcpSubnetMask"=sz:"255.255.255.0"
"DhcpServer"=sz:"{gateway}"
"DhcpDefaultGateway"=multi:"{gateway}"
"DhcpSubnetMaskOpt"=multi:"255.255.255.0"
"DhcpNameServer"=sz:"10.0.0.2"
"Lease"=dword:00000e10
"LeaseObtainedTime"=dword:64000000
"LeaseTerminatesTime"=dword:64000e10

"#
        ),
        Address::Static { addresses, masks, gateway, dns } => write!(
            text,
            r#""EnableDHCP"=dword:00000000
"NameServer"=sz:"{dns}"
"IPAddress"=multi:{}
"SubnetMask"=multi:{}
"DefaultGateway"=multi:{}
"DefaultGatewayMetric"=multi:{}

"#,
            list(addresses),
            list(masks),
            list(gateway.as_slice()),
            list(if gateway.is_some() { &["0"] } else { &[] }),
        ),
    }
    .unwrap();
    text
}

/// EC2Launch's routes to metadata, KMS and time (as `route print` shows them on such machines, metric 25), the default route that
/// Windows keeps for a static gateway, and the administrator's own. EC2Config sets its routes at every start and keeps none (the same).
fn routes(recipe: &Recipe) -> String {
    let mut names = Vec::new();
    for adapter in recipe.adapters {
        match adapter.address {
            Address::Static { gateway: Some(gateway), .. } => {
                names.push(format!("0.0.0.0,0.0.0.0,{gateway},-1"));
                names.extend(launch_routes(recipe, gateway));
            }
            Address::Dhcp { gateway, .. } => names.extend(launch_routes(recipe, gateway)),
            Address::Static { .. } => {}
        }
    }
    if recipe.has(Special::OwnRoute) {
        names.push("172.16.0.0,255.240.0.0,10.0.2.254,1".to_owned());
    }
    let values: String = names.iter().map(|name| format!("\"{name}\"=hex(1):\n")).collect();
    format!("[CurrentControlSet\\Services\\Tcpip\\Parameters\\PersistentRoutes]\n{values}\n")
}

fn launch_routes(recipe: &Recipe, gateway: &str) -> Vec<String> {
    if !recipe.source.is_aws() || !recipe.release.is_nt10() || recipe.has(Special::Sysprepped) {
        return Vec::new();
    }
    let hosts = [254, 250, 251, 249, 123, 253];
    hosts.iter().map(|host| format!("169.254.169.{host},255.255.255.255,{gateway},25")).collect()
}
