//! The facts of a Windows guest.

use crate::antivirus::antivirus;
use crate::control_sets::control_sets;
use crate::interfaces::interfaces;
use crate::layout::boot_configuration;
use crate::pending::pending;
use crate::services::{BOOT, KERNEL_DRIVER};
use crate::source_platform::{agents, source_platform};
use crate::version::version;
use driver_core::{Guest, GuestTree, OsFacts, WindowsFacts};
use driver_registry::Value;
use format_core::Result;

/// More drivers are started by no boot loader.
const MOST_DRIVERS: usize = 512;

/// Fills in what is known of the Windows in `tree`, whose hives are mounted.
///
/// # Errors
/// What the guest's files and hives report; `NeedsPerson` when it cannot be started as it is.
pub fn inspect(tree: &GuestTree, guest: &mut Guest) -> Result<()> {
    let control_sets = control_sets(tree)?;
    let current = control_sets.first().cloned().unwrap_or_default();
    let set = current.as_str();
    let mut facts = WindowsFacts { system_root: "/Windows".into(), ..WindowsFacts::default() };
    let os = version(tree, set, &mut facts)?;
    facts.boot_drivers = boot_drivers(tree, set)?;
    facts.interfaces = interfaces(tree, set)?;
    facts.agents = agents(tree, set)?;
    facts.antivirus = antivirus(tree, set)?;
    facts.pending = pending(tree, set, &facts.system_root)?;
    facts.boot_configuration = boot_configuration(tree)?;
    let clock = format!(r"SYSTEM\{set}\Control\TimeZoneInformation");
    facts.time_zone = tree.registry_value(&clock, "TimeZoneKeyName")?.as_ref().and_then(Value::as_str);
    let universal = tree.registry_value(&clock, "RealTimeIsUniversal")?;
    let local_clock = universal.as_ref().and_then(Value::as_u64) != Some(1);
    let name = format!(r"SYSTEM\{set}\Control\ComputerName\ComputerName");
    let hostname = tree.registry_value(&name, "ComputerName")?.as_ref().and_then(Value::as_str);
    let hostname = hostname.filter(|name| is_computer_name(name));
    guest.source = source_platform(tree, set)?;
    guest.os = Some(OsFacts { hostname, local_clock, ..os });
    facts.control_sets = control_sets;
    guest.windows = Some(facts);
    Ok(())
}

/// Other texts are no names, and would be none for the machine on the target. 63 characters are what DNS takes; which ones, more than what steers
/// a terminal or ends a path, is not asked: names in other scripts are in use.
fn is_computer_name(name: &str) -> bool {
    let is_odd = |c: char| c != '-' && c != '_' && !c.is_alphanumeric();
    !name.is_empty() && name.chars().count() <= 63 && !name.contains(is_odd)
}

fn boot_drivers(tree: &GuestTree, set: &str) -> Result<Vec<String>> {
    let Some(services) = tree.registry_key(&format!(r"SYSTEM\{set}\Services"))? else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for service in services.subkeys()? {
        let number =
            |name: &str| -> Result<Option<u32>> { Ok(service.value(name)?.as_ref().and_then(Value::as_u32)) };
        if number("Type")? != Some(KERNEL_DRIVER) || number("Start")? != Some(BOOT) {
            continue;
        }
        let start = service.subkey("StartOverride")?.map(|key| key.value("0")).transpose()?.flatten();
        if start.as_ref().and_then(Value::as_u32).is_none_or(|start| start == BOOT)
            && found.len() < MOST_DRIVERS
        {
            found.push(service.name().to_string());
        }
    }
    found.sort_by_key(|name| name.to_lowercase());
    Ok(found)
}

#[cfg(test)]
mod tests {
    use crate::phony::{Phony, SET};
    use driver_core::Platform;
    use driver_registry::Value;

    #[test]
    fn what_cannot_be_a_name_is_none() {
        let key = format!(r"{SET}\Control\ComputerName\ComputerName");
        let long = "x".repeat(64);
        for (name, known) in [
            ("WEB-1", true),
            ("Büro_2", true),
            ("", false),
            ("a\u{1b}[2J", false),
            ("../x", false),
            (&long, false),
        ] {
            let (_, guest) = Phony::windows_2016().value(&key, "ComputerName", Value::string(name)).build();
            assert_eq!(guest.os.unwrap().hostname.is_some(), known, "{name:?}");
        }
    }

    #[test]
    fn the_facts_are_those_of_the_registry() {
        let tcp = format!(r"{SET}\Services\Tcpip\Parameters\Interfaces\{{8B}}");
        let connection =
            format!(r"{SET}\Control\Network\{{4D36E972-E325-11CE-BFC1-08002BE10318}}\{{8B}}\Connection");
        let config = r"SYSTEM\HardwareConfig\{1}";
        let (_, guest) = Phony::windows_2016()
            .service("storahci", 1, 0)
            .service("vmbus", 1, 0)
            .value(&format!(r"{SET}\Services\vmbus\StartOverride"), "0", Value::dword(3))
            .service("AmazonSSMAgent", 16, 2)
            .service("EvilFilter", 2, 0)
            .value(&format!(r"{SET}\Services\EvilFilter"), "Group", Value::string("FSFilter Anti-Virus"))
            .value(&format!(r"{SET}\Control\TimeZoneInformation"), "RealTimeIsUniversal", Value::qword(1))
            .value(
                &format!(r"{SET}\Control\ComputerName\ComputerName"),
                "ComputerName",
                Value::string("WEB1"),
            )
            .value(&tcp, "EnableDHCP", Value::dword(0))
            .value(&tcp, "IPAddress", Value::multi_string(&["192.0.2.10"]))
            .value(&tcp, "SubnetMask", Value::multi_string(&["255.255.255.0"]))
            .value(&tcp, "DefaultGateway", Value::multi_string(&["192.0.2.1"]))
            .value(&tcp, "NameServer", Value::string("192.0.2.53,192.0.2.54"))
            .value(&connection, "Name", Value::string("Ethernet"))
            .value(&connection, "PnpInstanceID", Value::string(r"PCI\VEN_1D0F&DEV_EC20\3"))
            .value(config, "SystemManufacturer", Value::string("Amazon EC2"))
            .build();
        let os = guest.os.unwrap();
        assert_eq!((os.version.as_str(), os.arch.as_deref()), ("10.0.14393", Some("x86_64")));
        assert_eq!((os.hostname.as_deref(), os.local_clock), (Some("WEB1"), false));
        let windows = guest.windows.unwrap();
        assert_eq!(windows.boot_drivers, ["storahci"], "a start override keeps vmbus from it");
        assert_eq!(
            (windows.agents, windows.antivirus),
            (vec!["AmazonSSMAgent".into()], vec!["EvilFilter".into()])
        );
        let interface = &windows.interfaces[0];
        assert_eq!(interface.addresses, [("192.0.2.10".parse().unwrap(), 24)]);
        assert_eq!(interface.dns.len(), 2);
        assert_eq!(guest.source.platform, Some(Platform::Aws));
        assert!(guest.source.recorded);
        assert_eq!(windows.boot_configuration.as_deref(), Some("/boot:/Boot/BCD"));
    }
}
