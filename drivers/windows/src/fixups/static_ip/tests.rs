use super::*;
use crate::phony::{Phony, SET, carried_out, plan};
use driver_core::{Adapter, NetworkWishes, Wishes};
use driver_registry::Value;

const NETWORK: &str = "{4D36E972-E325-11CE-BFC1-08002BE10318}";
const FIRST: &str = "{11111111-2222-3333-4444-555555555555}";
const SECOND: &str = "{66666666-2222-3333-4444-555555555555}";
const E1000: &str = r"PCI\VEN_8086&DEV_100F&SUBSYS_075015AD&REV_01\4&B70F118&0&0888";
const VMXNET3: &str = r"PCI\VEN_15AD&DEV_07B0&SUBSYS_07B015AD&REV_01\FF565000BB0895FE00";
const OLD: &str = "00:50:56:95:08:bb";
const NEW: &str = "52:54:00:12:34:56";
const STEP: &str = "/Windows/rehome/firstboot/20-static-ip-1.cmd";

fn connection(phony: Phony, guid: &str, name: &str, device: &str) -> Phony {
    let connection = format!(r"{SET}\Control\Network\{NETWORK}\{guid}\Connection");
    phony
        .value(&connection, "Name", Value::string(name))
        .value(&connection, "PnpInstanceID", Value::string(device))
        .value(&interface_key(guid), "EnableDHCP", Value::dword(1))
}

fn interface_key(guid: &str) -> String {
    format!(r"{SET}\Services\Tcpip\Parameters\Interfaces\{guid}")
}

fn fixed(phony: Phony, guid: &str, address: &str) -> Phony {
    let key = interface_key(guid);
    phony
        .value(&key, "EnableDHCP", Value::dword(0))
        .value(&key, "IPAddress", Value::multi_string(&[address]))
        .value(&key, "SubnetMask", Value::multi_string(&["255.255.255.0"]))
        .value(&key, "DefaultGateway", Value::multi_string(&["192.0.2.1"]))
        .value(&key, "NameServer", Value::string("192.0.2.53,192.0.2.54"))
}

fn one(name: &str, device: &str) -> Phony {
    fixed(connection(Phony::windows_2016(), FIRST, name, device), FIRST, "192.0.2.10")
}

fn wishes(adapters: &[(&str, Option<&str>)], given: &[&str]) -> Wishes {
    let mac = |text: &str| text.parse::<Mac>().unwrap();
    let adapters = adapters.iter().map(|(from, to)| Adapter { source: Some(mac(from)), target: to.map(mac) });
    let static_addresses = given.iter().map(|text| text.parse().unwrap()).collect();
    let network = NetworkWishes { adapters: adapters.collect(), static_addresses, keep_mtu: false };
    Wishes { network, ..Wishes::default() }
}

/// The step that is planned, and that no edit is made besides it.
fn step(phony: Phony, wishes: &Wishes) -> String {
    let (tree, edits) = carried_out(phony, "kvm-uefi", wishes, &StaticIp);
    assert!(edits.iter().all(|edit| edit.contains("/Windows/rehome")), "{edits:?}");
    String::from_utf8(tree.read_file(STEP, 1 << 20).unwrap().unwrap()).unwrap()
}

/// Why nothing is planned.
fn note(phony: Phony, target: &str, wishes: &Wishes) -> String {
    let (tree, guest) = phony.build();
    let planned = plan(&tree, &guest, target, wishes, &StaticIp);
    assert!(planned.edits.is_empty(), "{:?}", planned.edits);
    planned.fixups[0].reason.clone().unwrap_or_default()
}

#[test]
fn the_only_connection_goes_to_the_only_adapter_and_all_it_has_with_it() {
    let key = interface_key(FIRST);
    let phony = one("Ethernet0", E1000)
        .value(&key, "IPAddress", Value::multi_string(&["192.0.2.10", "192.0.2.11"]))
        .value(&key, "SubnetMask", Value::multi_string(&["255.255.255.0", "255.255.255.128"]))
        .value(&key, "DefaultGatewayMetric", Value::multi_string(&["7"]))
        .value(&key, "RegisterAdapterName", Value::dword(1));
    let text = step(phony, &Wishes::NONE);
    for line in [
        "netsh.exe interface ipv4 set address name=%index% source=static address=192.0.2.10 mask=255.255.255.0 \
         gateway=192.0.2.1 gwmetric=7",
        "if not defined failed netsh.exe interface ipv4 add address name=%index% address=192.0.2.11 mask=255.255.255.128",
        "if not defined failed netsh.exe interface ipv4 set dnsservers name=%index% source=static address=192.0.2.53 \
         register=both validate=no",
        "if not defined failed netsh.exe interface ipv4 add dnsservers name=%index% address=192.0.2.54 index=2 validate=no",
        "for /l %%t in (1,1,60) do call :look_for_only",
    ] {
        assert!(text.lines().any(|own| own == line), "{line} in:\n{text}");
    }
    assert!(!text.contains("sc.exe"));
}

#[test]
fn an_adapter_whose_new_address_is_known_is_found_by_it() {
    let text = step(one("Ethernet0", VMXNET3), &wishes(&[(OLD, Some(NEW))], &[]));
    assert!(text.contains(r#"find.exe /i "...52 54 00 12 34 56 ""#), "{text}");
    assert!(text.contains("call :look_for_only"));
    let text = step(one("Ethernet0", E1000), &wishes(&[(OLD, None)], &[]));
    assert!(!text.contains("find.exe /i"), "{text}");
}

#[test]
fn of_several_adapters_only_those_that_are_certain_are_given_addresses() {
    let two = |device| connection(one("A", VMXNET3), SECOND, "B", device);
    let adapters = [("00:50:56:00:00:01", Some("52:54:00:00:00:01")), (OLD, Some(NEW))];
    let text = step(two(E1000), &wishes(&adapters, &[]));
    assert!(text.contains("52 54 00 12 34 56") && !text.contains("look_for_only"), "{text}");

    let plain = connection(one("A", E1000), SECOND, "B", E1000);
    let told = note(plain, "kvm-uefi", &wishes(&adapters, &[]));
    assert!(told.contains("192.0.2.10/24") && told.contains("--static-ip"), "{told}");
    // A connection that an earlier move left behind has the same address.
    let twice = note(two(VMXNET3), "kvm-uefi", &wishes(&adapters, &[]));
    assert!(twice.contains("cannot be told"), "{twice}");
    // The target chooses the addresses.
    let chosen = [("00:50:56:00:00:01", None), (OLD, None)];
    assert!(note(two(E1000), "kvm-uefi", &wishes(&chosen, &[])).contains("cannot be told"));
    // The connection's adapter is another than the machine's.
    let other = note(one("A", VMXNET3), "kvm-uefi", &wishes(&[("00:50:56:00:00:01", None)], &[]));
    assert!(other.contains("cannot be told"), "{other}");
}

#[test]
fn newer_versions_say_the_address_of_every_connection() {
    let kernel = |guid: &str| format!(r"{SET}\Control\NetworkSetup2\Interfaces\{guid}\Kernel");
    let phony = connection(one("A", E1000), SECOND, "B", E1000)
        .value(&kernel(FIRST), "PermanentAddress", Value::binary([0, 0x50, 0x56, 0x95, 8, 0xbb]))
        .value(&kernel(SECOND), "PermanentAddress", Value::binary([0; 6]));
    let adapters = [("00:50:56:00:00:01", None), (OLD, Some(NEW))];
    assert!(step(phony, &wishes(&adapters, &[])).contains("52 54 00 12 34 56"));
}

#[test]
fn name_servers_beside_dhcp_are_kept_but_not_those_of_the_old_cloud() {
    let with = |servers: &str| {
        let phony = connection(Phony::windows_2016(), FIRST, "Ethernet 2", E1000);
        phony.value(&interface_key(FIRST), "NameServer", Value::string(servers))
    };
    let text = step(with("192.0.2.53,169.254.169.253"), &Wishes::NONE);
    assert!(
        text.contains("address=192.0.2.53") && !text.contains("169.254") && !text.contains(" set address")
    );
    let told = note(with("169.254.169.253"), "kvm-uefi", &Wishes::NONE);
    assert!(told.contains("one of the old platform's"), "{told}");
}

#[test]
fn what_is_not_set_again_is_told() {
    for (target, name) in
        [("azure-gen2", "Microsoft Azure"), ("aws-uefi", "Amazon EC2"), ("gcp-uefi", "Google Cloud")]
    {
        let told = note(one("A", E1000), target, &Wishes::NONE);
        assert!(told.starts_with(name) && told.contains("192.0.2.10/24"), "{told}");
    }
    let team = note(one("Team", r"COMPOSITEBUS\MS_IMPLAT_MP\{1}"), "kvm-uefi", &Wishes::NONE);
    assert!(team.contains("no adapter of the machine's own"), "{team}");
    let six = connection(Phony::windows_2016(), FIRST, "A", E1000).value(
        &format!(r"{SET}\{IPV6_ADDRESSES}"),
        "0011",
        Value::binary([0]),
    );
    assert!(note(six, "kvm-uefi", &Wishes::NONE).contains("IPv6"));
    let suffix = one("A", E1000).value(&interface_key(FIRST), "Domain", Value::string("example.org"));
    let (tree, guest) = suffix.build();
    let planned = plan(&tree, &guest, "kvm-uefi", &Wishes::NONE, &StaticIp);
    assert!(planned.fixups[0].reason.as_deref().is_some_and(|text| text.contains("its DNS suffix")));
    let none = note(connection(Phony::windows_2016(), FIRST, "A", E1000), "kvm-uefi", &Wishes::NONE);
    assert_eq!(none, "no connection has a fixed address");
}

#[test]
fn a_disabled_dhcp_client_is_on_while_addresses_are_set() {
    let text = step(one("A", E1000).service("Dhcp", 0x20, 4), &Wishes::NONE);
    let at = |line: &str| text.find(line).unwrap();
    let (on, set, off) = (at("Dhcp start= demand"), at("do call :first"), at("Dhcp start= disabled"));
    assert!(on < set && set < off, "{text}");
    let team = one("Team", r"COMPOSITEBUS\MS_IMPLAT_MP\{1}").service("Dhcp", 0x20, 4);
    assert!(note(team, "kvm-uefi", &Wishes::NONE).contains("the DHCP client is disabled"));
}

#[test]
fn what_the_operator_gives_takes_the_place_of_what_the_guest_has() {
    let given = wishes(&[], &["ethernet2=198.51.100.5/24,198.51.100.1"]);
    for target in ["kvm-uefi", "aws-uefi"] {
        let (tree, _) = carried_out(one("Ethernet 2", E1000), target, &given, &StaticIp);
        let text = String::from_utf8(tree.read_file(STEP, 1 << 20).unwrap().unwrap()).unwrap();
        assert!(text.contains("address=198.51.100.5 mask=255.255.255.0 gateway=198.51.100.1"), "{text}");
        assert!(!text.contains("192.0.2"));
    }
    let mut by_address = wishes(&[("00:50:56:00:00:01", None), (OLD, Some(NEW))], &["x=198.51.100.5/24"]);
    by_address.network.static_addresses[0].interface = OLD.into();
    let two = connection(connection(Phony::windows_2016(), FIRST, "A", E1000), SECOND, "B", E1000);
    assert!(step(two, &by_address).contains("52 54 00 12 34 56"));
}

#[test]
fn a_wish_that_cannot_be_met_needs_a_person() {
    let two = || connection(one("A", E1000), SECOND, "B", E1000);
    for (phony, given, why) in [
        (one("A", E1000), ["X=192.0.2.9/24"].as_slice(), "no network connection is called"),
        (two(), &["A=192.0.2.9/24"], "cannot be told"),
        (one("A", E1000), &["A=192.0.2.9/24", "a=192.0.2.8/24"], "two addresses"),
        (one("A", E1000), &["A=2001:db8::9/64"], "only IPv4"),
    ] {
        let (tree, guest) = phony.build();
        let planned = plan(&tree, &guest, "kvm-uefi", &wishes(&[], given), &StaticIp);
        let obstacle = planned.obstacles().next().unwrap();
        assert!(obstacle.reason.as_deref().unwrap().contains(why), "{obstacle:?}");
        assert!(obstacle.next_step.is_some());
    }
}
