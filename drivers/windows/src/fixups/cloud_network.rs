//! What a cloud put into the network's settings goes: routes to its metadata, its time servers, its licence servers, its line
//! in `hosts`.
//!
//! Facts: EC2Launch adds persistent routes to the metadata, licence and other services with the subnet's gateway (Amazon's user
//! guide, "EC2Launch", and "Configure static routes"), which would be wrong in another network. Values of `PersistentRoutes`
//! are called "destination,mask,gateway,metric" (a hive of Windows 7). Time: 169.254.169.123 (Amazon, "Set the time for a
//! Windows instance"). Licences: 169.254.169.250 and .251 (Amazon, "Troubleshoot Windows activation"). Google's import
//! (compute-image-tools, translate.ps1) sets time server, route and line of `hosts`; kms.windows.googlecloud.com is in its
//! documentation of licences. Azure's servers have public names and are left. Not looked at: routes for IPv6, which Windows
//! keeps in binary (`Nsi`).

use crate::edited::edited_sets;
use crate::services::{service_key, text};
use crate::{activation, time_servers};
use driver_core::{Applies, Context, Draft, Fixup, Platform, SourceFacts, Strength, WindowsFacts};
use format_core::Result;

const HOSTS: &str = "/Windows/System32/drivers/etc/hosts";
/// A file that is larger holds more than names of hosts.
const HOSTS_LIMIT: u64 = 1 << 20;
/// Several clouds have their metadata there: a route to it is no sign of one.
const METADATA: &str = "169.254.169.254";

pub(super) struct CloudNetwork {
    id: &'static str,
    title: &'static str,
    /// For reasons.
    name: &'static str,
    platform: Platform,
    /// Addresses of its services besides the metadata.
    addresses: &'static [&'static str],
    time_servers: &'static [&'static str],
    licence_servers: &'static [&'static str],
    /// Names of the metadata's address in `hosts`.
    host_names: &'static [&'static str],
    /// Ends of DNS suffixes that only its name servers know.
    suffixes: &'static [&'static str],
}

pub(super) const EC2: CloudNetwork = CloudNetwork {
    id: "windows-ec2-network",
    title: "EC2's routes, time and licence servers are taken out",
    name: "EC2",
    platform: Platform::Aws,
    addresses: &[
        "169.254.169.123",
        "169.254.169.249",
        "169.254.169.250",
        "169.254.169.251",
        "169.254.169.253",
    ],
    time_servers: &["169.254.169.123", "fd00:ec2::123"],
    licence_servers: &["169.254.169.250", "169.254.169.251"],
    host_names: &[],
    suffixes: &["ec2.internal", "compute.internal", "ec2-utilities.amazonaws.com"],
};

pub(super) const GCP: CloudNetwork = CloudNetwork {
    id: "windows-gcp-network",
    title: "Google Cloud's routes, time and licence servers are taken out",
    name: "Google Cloud",
    platform: Platform::Gcp,
    addresses: &[],
    time_servers: &["metadata.google.internal"],
    licence_servers: &["kms.windows.googlecloud.com"],
    host_names: &["metadata.google.internal", "metadata"],
    suffixes: &["google.internal"],
};

impl Fixup for CloudNetwork {
    fn id(&self) -> &'static str {
        self.id
    }

    fn title(&self) -> &'static str {
        self.title
    }

    fn applies(&self, context: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        if context.target.platform == self.platform {
            return Ok(Applies::no(format!("{} needs them", context.target.name)));
        }
        let came_from = self.is_origin(&context.guest.source);
        Ok(if came_from || self.left_traces(context, draft)? {
            Applies::Yes
        } else {
            Applies::no(format!("nothing of {} is set", self.name))
        })
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let reason = format!("it is reached in {} only", self.name);
        for set in edited_sets(context) {
            let key = routes_key(set);
            for (name, _) in draft.values(&key)? {
                if destination(&name) == METADATA || self.addresses.contains(&destination(&name)) {
                    draft.delete_value(&key, &name, &reason)?;
                }
            }
            time_servers::forget(draft, set, self.time_servers, &reason)?;
        }
        let came_from = self.is_origin(&context.guest.source);
        if came_from || !activation::keys_naming(draft, self.licence_servers)?.is_empty() {
            draft.note(format!(
                "a Windows that {} licensed loses its activation: it needs a licence of its own (slmgr /ipk, /ato)",
                self.name
            ));
        }
        activation::forget(draft, self.licence_servers, &reason)?;
        if let Some(kept) = self.other_hosts(draft)? {
            draft.write(HOSTS, kept, &reason)?;
        }
        context.guest.windows.as_ref().map_or(Ok(()), |windows| self.note_names(windows, draft))
    }
}

impl CloudNetwork {
    /// Whether the guest came from this cloud. Older machines of EC2 called themselves Xen: then its tools decide.
    fn is_origin(&self, source: &SourceFacts) -> bool {
        let mut recorded = source.signs.iter().filter(|sign| sign.strength == Strength::Recorded).peekable();
        let may_be =
            recorded.peek().is_some() && recorded.all(|sign| sign.platforms.contains(&self.platform));
        let has_tools = source.signs.iter().any(|sign| sign.platforms == [self.platform]);
        source.platform == Some(self.platform) || (may_be && has_tools)
    }

    /// Whether something is set that only this cloud has.
    fn left_traces(&self, context: &Context<'_>, draft: &Draft<'_>) -> Result<bool> {
        for set in edited_sets(context) {
            let routes = draft.values(&routes_key(set))?;
            if routes.iter().any(|(name, _)| self.addresses.contains(&destination(name)))
                || time_servers::is_asked(draft, set, self.time_servers)?
            {
                return Ok(true);
            }
        }
        Ok(!activation::keys_naming(draft, self.licence_servers)?.is_empty()
            || (context.guest.windows.is_some() && self.other_hosts(draft)?.is_some()))
    }

    /// The file `hosts` without the cloud's lines, `None` when it has none of them.
    fn other_hosts(&self, draft: &Draft<'_>) -> Result<Option<Vec<u8>>> {
        if self.host_names.is_empty() || draft.metadata(HOSTS)?.is_none_or(|meta| meta.size > HOSTS_LIMIT) {
            return Ok(None);
        }
        let before = draft.read(HOSTS, HOSTS_LIMIT)?.unwrap_or_default();
        let lines = before.split_inclusive(|byte| *byte == b'\n').filter(|line| !self.is_own_line(line));
        let after: Vec<u8> = lines.flatten().copied().collect();
        Ok((after != before).then_some(after))
    }

    /// A line of the metadata's address with no names but the cloud's.
    fn is_own_line(&self, line: &[u8]) -> bool {
        let Ok(line) = std::str::from_utf8(line) else { return false };
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        words.next() == Some(METADATA)
            && words.all(|name| self.host_names.iter().any(|own| own.eq_ignore_ascii_case(name)))
    }

    /// Names and name servers are left: what they should be in the new network is not known.
    fn note_names(&self, windows: &WindowsFacts, draft: &mut Draft<'_>) -> Result<()> {
        for interface in &windows.interfaces {
            let own =
                interface.dns.iter().find(|server| self.addresses.contains(&server.to_string().as_str()));
            if let Some(server) = own {
                let name = interface.name.as_deref().unwrap_or(&interface.guid);
                draft.note(format!("{name} asks the name server {server} of {}: set another", self.name));
            }
        }
        let Some(set) = windows.control_sets.first() else { return Ok(()) };
        let key = format!(r"{}\Parameters", service_key(set, "Tcpip"));
        let list = text(draft, &key, "SearchList")?.unwrap_or_default();
        let own: Vec<&str> = list.split([',', ' ']).filter(|suffix| self.is_own_suffix(suffix)).collect();
        if !own.is_empty() {
            let own = own.join(", ");
            draft.note(format!("DNS suffixes of {} stay in the search list: {own}", self.name));
        }
        Ok(())
    }

    fn is_own_suffix(&self, suffix: &str) -> bool {
        let suffix = suffix.to_ascii_lowercase();
        self.suffixes
            .iter()
            .any(|end| suffix.strip_suffix(end).is_some_and(|start| start.is_empty() || start.ends_with('.')))
    }
}

fn routes_key(set: &str) -> String {
    format!(r"{}\Parameters\PersistentRoutes", service_key(set, "Tcpip"))
}

/// "destination,mask,gateway,metric"
fn destination(route: &str) -> &str {
    route.split(',').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phony::{Phony, SET, carried_out, plan};
    use driver_core::{GuestTree, Status, Wishes};
    use driver_registry::Value;

    const HYPERV: &str = "hyperv-gen1";
    const LICENCES: &str = r"SOFTWARE\Microsoft\Windows NT\CurrentVersion\SoftwareProtectionPlatform";
    const APPLICATION: &str = "55c92734-d682-4d71-983e-d6ec3f16059f";
    const SERVER: &str = "KeyManagementServiceName";
    const PORT: &str = "KeyManagementServicePort";

    fn routes(phony: Phony, names: &[&str]) -> Phony {
        let key = format!(r"{SET}\Services\Tcpip\Parameters\PersistentRoutes");
        names.iter().fold(phony, |phony, name| phony.value(&key, name, Value::string("")))
    }

    fn time(phony: Phony, servers: &str) -> Phony {
        phony.value(&format!(r"{SET}\Services\W32Time\Parameters"), "NtpServer", Value::string(servers))
    }

    fn servers(tree: &GuestTree) -> String {
        let key = format!(r"{SET}\Services\W32Time\Parameters");
        tree.registry_value(&key, "NtpServer").unwrap().unwrap().as_str().unwrap()
    }

    #[test]
    fn routes_and_servers_of_ec2_go_and_others_stay() {
        let own =
            ["169.254.169.254,255.255.255.255,10.0.0.1,15", "169.254.169.250,255.255.255.255,10.0.0.1,15"];
        let other = ["10.9.0.0,255.255.0.0,10.0.0.254,1", "169.254.169.2,255.255.255.255,10.0.0.1,15"];
        let product = format!(r"{LICENCES}\{APPLICATION}\{APPLICATION}");
        let mut phony = time(Phony::windows_2016(), "169.254.169.123,0x9 ntp.example.org,0x8");
        phony = routes(routes(phony, &own), &other)
            .value(LICENCES, SERVER, Value::string("169.254.169.250"))
            .value(LICENCES, PORT, Value::string("1688"))
            .value(&product, SERVER, Value::string("169.254.169.251"))
            .value(&format!(r"{LICENCES}\{APPLICATION}"), SERVER, Value::string("kms.example.org"))
            .value(&format!(r"{LICENCES}\{APPLICATION}"), PORT, Value::string("1689"));
        let (tree, edits) = carried_out(phony, HYPERV, &Wishes::NONE, &EC2);
        assert_eq!(edits.len(), 6, "{edits:?}");
        let left = tree.registry_values(&routes_key("ControlSet001")).unwrap();
        let left: Vec<&str> = left.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(left, other);
        assert_eq!(servers(&tree), "ntp.example.org,0x8");
        let value = |key: &str, name: &str| tree.registry_value(key, name).unwrap();
        assert_eq!(
            (value(LICENCES, SERVER), value(LICENCES, PORT), value(&product, SERVER)),
            (None, None, None)
        );
        let kept = format!(r"{LICENCES}\{APPLICATION}");
        assert_eq!(value(&kept, PORT), Some(Value::string("1689")));
    }

    #[test]
    fn windows_keeps_a_time_server() {
        let phony = time(Phony::windows_2016(), "169.254.169.123,0x9");
        let (tree, _) = carried_out(phony, HYPERV, &Wishes::NONE, &EC2);
        assert_eq!(servers(&tree), "time.windows.com,0x9");
    }

    #[test]
    fn a_route_to_metadata_alone_belongs_to_nobody() {
        let route = ["169.254.169.254,255.255.255.255,10.0.0.1,15"];
        let plain = || time(routes(Phony::windows_2016(), &route), "time.windows.com,0x9");
        let key = format!(r"{SET}\Control\SystemInformation");
        let on = |maker: &str| plain().value(&key, "SystemManufacturer", Value::string(maker));
        for (phony, target, status) in [
            (plain(), HYPERV, Status::NotApplicable),
            (on("Amazon EC2"), "aws-bios", Status::NotApplicable),
            (on("Amazon EC2"), HYPERV, Status::Planned),
            (on("Xen"), HYPERV, Status::NotApplicable),
            (on("Xen").service("Ec2Config", 0x10, 2), HYPERV, Status::Planned),
            (on("QEMU").service("AmazonSSMAgent", 0x10, 2), HYPERV, Status::NotApplicable),
        ] {
            let (tree, guest) = phony.build();
            let planned = plan(&tree, &guest, target, &Wishes::NONE, &EC2);
            assert_eq!(planned.fixups[0].status, status, "{target}");
            let lost = planned.fixups[0].reason.as_deref().is_some_and(|said| said.contains("activation"));
            assert_eq!(lost, status == Status::Planned);
        }
    }

    #[test]
    fn names_that_only_ec2_knows_are_said() {
        let tcp = format!(r"{SET}\Services\Tcpip\Parameters");
        let connection =
            format!(r"{SET}\Control\Network\{{4D36E972-E325-11CE-BFC1-08002BE10318}}\{{8B}}\Connection");
        let suffixes = "example.org,eu-west-1.compute.internal,notec2.internal,ec2.internal";
        let phony = routes(Phony::windows_2016(), &["169.254.169.250,255.255.255.255,10.0.0.1,15"])
            .value(&tcp, "SearchList", Value::string(suffixes))
            .value(&format!(r"{tcp}\Interfaces\{{8B}}"), "NameServer", Value::string("169.254.169.253"))
            .value(&connection, "Name", Value::string("Ethernet 2"))
            .value(&connection, "PnpInstanceID", Value::string(r"PCI\VEN_1D0F\3"));
        let (tree, guest) = phony.build();
        let planned = plan(&tree, &guest, HYPERV, &Wishes::NONE, &EC2);
        let said = planned.fixups[0].reason.as_deref().unwrap();
        assert!(said.contains("Ethernet 2 asks the name server 169.254.169.253"), "{said}");
        assert!(said.ends_with(": eu-west-1.compute.internal, ec2.internal"), "{said}");
    }

    #[test]
    fn the_lines_of_google_leave_the_hosts_file() {
        let own = "\r\n# Google Compute Engine metadata server\r\n    169.254.169.254    METADATA.google.internal metadata\r\n";
        let other = b"# caf\xe9\r\n169.254.169.254 metadata mine\r\n127.0.0.1 metadata\r\n";
        let before = [other.as_slice(), own.as_bytes(), b"10.0.0.1 x"].concat();
        let phony = time(Phony::windows_2016().file(HOSTS, before), "metadata.google.internal,0x1");
        let (tree, edits) = carried_out(phony, "kvm-bios", &Wishes::NONE, &GCP);
        assert_eq!(edits.len(), 2, "{edits:?}");
        let after = [other.as_slice(), b"\r\n# Google Compute Engine metadata server\r\n10.0.0.1 x"].concat();
        assert_eq!(tree.read_file(HOSTS, 1000).unwrap().unwrap(), after);
        assert_eq!(servers(&tree), "time.windows.com,0x9");
    }
}
