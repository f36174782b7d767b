//! Hardware addresses that the configuration itself gives to adapters, bridges and bonds.
//!
//! Facts: `hwaddress` of interfaces(5), `macaddress` outside of netplan's `match`, `MACADDR` of ifcfg files, `cloned-mac-address` of
//! nm-settings(5), `MACAddress` in `[Link]` and `[NetDev]` of systemd, `LLADDR` of SUSE's ifcfg(5) set an address and bind nothing.
//! cloud-init writes the first adapter's for bonds and bridges. Hyper-V (without spoofing) and clouds drop frames that come from
//! another address than the adapter's. An address of the source's follows the adapter; any other is the operator's own and stays.

use crate::config_file::Line;
use crate::nic_plan::{Change, Held};
use driver_core::{Adapter, Draft, Mac};

/// Remarks about one file at most.
const MAX_FOREIGN: usize = 8;

/// What becomes of such addresses in one file.
pub(crate) struct SetAddresses<'a> {
    adapters: &'a [Adapter],
    changes: &'a [Change],
    /// What was done, for the reason of the edit.
    done: Vec<String>,
    /// Addresses that stay, of which it is not known that they are the target's.
    foreign: Vec<Mac>,
    /// Addresses of the source that stay in commands.
    left: Vec<Mac>,
}

/// What becomes of one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Set {
    Keep,
    Replace(Mac),
    Drop,
}

impl<'a> SetAddresses<'a> {
    pub(crate) fn new(adapters: &'a [Adapter], changes: &'a [Change]) -> Self {
        Self { adapters, changes, done: Vec::new(), foreign: Vec::new(), left: Vec::new() }
    }

    /// Decides about an address; what is none (`random`, `permanent`) stays.
    pub(crate) fn decide(&mut self, value: &str) -> Set {
        let Ok(mac) = bare(value).parse::<Mac>() else { return Set::Keep };
        let decided = match self.target_of(mac) {
            None => {
                if !self.foreign.contains(&mac) && self.foreign.len() < MAX_FOREIGN {
                    self.foreign.push(mac);
                }
                return Set::Keep;
            }
            Some(Some(new)) if new == mac => return Set::Keep,
            Some(Some(new)) => Set::Replace(new),
            Some(None) => Set::Drop,
        };
        let done = match &decided {
            Set::Replace(new) => format!("{mac}, which the configuration sets, is {new} now"),
            _ => format!("{mac}, which the configuration set, was that of the source's adapter"),
        };
        if !self.done.contains(&done) {
            self.done.push(done);
        }
        decided
    }

    /// The line with the address in `value` changed as decided; `None` where it stays.
    pub(crate) fn line(&mut self, line: &str, value: &str) -> Option<Line> {
        match self.decide(value) {
            Set::Keep => None,
            Set::Replace(new) => Some(Line::Replace(line.replacen(bare(value), &new.to_string(), 1))),
            Set::Drop => Some(Line::Drop),
        }
    }

    /// As [`Self::line`], for a line that does other things too: it never goes.
    pub(crate) fn command(&mut self, line: &str, value: &str) -> Option<Line> {
        let done = self.done.len();
        match self.line(line, value) {
            Some(Line::Drop) => {
                self.done.truncate(done);
                self.left.extend(bare(value).parse::<Mac>().ok().filter(|_| self.left.len() < MAX_FOREIGN));
                None
            }
            other => other,
        }
    }

    /// `reason`, and what was done here.
    pub(crate) fn reason(&self, reason: &str) -> String {
        std::iter::once(reason.to_owned()).chain(self.done.iter().cloned()).collect::<Vec<_>>().join("; ")
    }

    /// Says which addresses of the operator's own stay in the file at `path`.
    pub(crate) fn note(&self, path: &str, draft: &mut Draft<'_>) {
        for mac in &self.foreign {
            draft.note(format!(
                "{path} sets the hardware address {mac}, which no adapter of the machine has as far as is known: it stays; \
                 where the network drops frames from it, remove it or give the adapter that address"
            ));
        }
        for mac in &self.left {
            draft.note(format!(
                "{path} sets the hardware address {mac} in a command: it was that of the source's adapter; take it out of the \
                 command, because the network may drop frames from it"
            ));
        }
    }

    /// The address that the adapter with `mac` has on the target, `None` inside where the target chooses it; `None` for others.
    fn target_of(&self, mac: Mac) -> Option<Option<Mac>> {
        if let Some(adapter) = self.adapters.iter().find(|adapter| adapter.source == Some(mac)) {
            return Some(adapter.target);
        }
        if self.adapters.iter().any(|adapter| adapter.target == Some(mac)) {
            return Some(Some(mac));
        }
        // The configuration binds something to it, so it is an adapter's.
        let change = self.changes.iter().find(|change| change.nic.mac == Some(mac))?;
        Some(match change.held {
            Held::Address(mac) => Some(mac),
            Held::Target | Held::Alone => None,
        })
    }
}

/// The address in a value: without quotes and what follows.
fn bare(value: &str) -> &str {
    value.split_whitespace().next().unwrap_or_default().trim_matches(['"', '\''])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nic_plan::{Nic, Pin};

    #[test]
    fn an_address_of_the_source_follows_its_adapter_and_others_stay() {
        let mac = |text: &str| text.parse::<Mac>().unwrap();
        let (old, new) = (mac("06:3f:9a:52:c4:1d"), mac("52:54:00:aa:bb:cc"));
        let adapter = |target| [Adapter { source: Some(old), target }];
        for (adapters, value, expected, remarks) in [
            (adapter(Some(new)).as_slice(), "06:3F:9A:52:C4:1D", Set::Replace(new), 0),
            (&adapter(Some(new)), "'06-3f-9a-52-c4-1d' # x", Set::Replace(new), 0),
            (&adapter(Some(old)), "06:3f:9a:52:c4:1d", Set::Keep, 0),
            (&adapter(None), "\"06:3f:9a:52:c4:1d\"", Set::Drop, 0),
            (&adapter(Some(new)), "52:54:00:aa:bb:cc", Set::Keep, 0),
            (&adapter(Some(new)), "02:00:00:00:00:01", Set::Keep, 1),
            (&adapter(Some(new)), "random", Set::Keep, 0),
            (&adapter(Some(new)), "", Set::Keep, 0),
            (&[], "06:3f:9a:52:c4:1d", Set::Keep, 1),
        ] {
            let mut set = SetAddresses::new(adapters, &[]);
            assert_eq!((set.decide(value), set.foreign.len()), (expected, remarks), "{value}");
        }
        let command = "pre-up ip link set e down; ip link set e address 06:3f:9a:52:c4:1d";
        let mut set = SetAddresses::new(&[], &[]);
        assert_eq!((set.command(command, "06:3f:9a:52:c4:1d"), set.left.len()), (None, 0));
        let gone = adapter(None);
        let mut set = SetAddresses::new(&gone, &[]);
        assert_eq!((set.command(command, "06:3f:9a:52:c4:1d"), set.left.len()), (None, 1));
        let nic = Nic { mac: Some(old), pinned: true, ..Nic::named("ens5") };
        let bound = [Change { nic, name: None, pin: Pin::Drop, held: Held::Alone }];
        let mut set = SetAddresses::new(&[], &bound);
        assert_eq!(set.decide("06:3f:9a:52:c4:1d"), Set::Drop, "known by what binds");
        assert_eq!(
            set.reason("why"),
            "why; 06:3f:9a:52:c4:1d, which the configuration set, was that of the source's adapter"
        );
    }

    const OLD: &str = "06:3f:9a:52:c4:1d";
    const NEW: &str = "52:54:00:aa:bb:cc";

    /// The file after all fixups for a machine whose adapter gets `target`, and what was remarked and reasoned.
    fn planned(path: &str, text: &str, target: Option<&str>) -> (String, String) {
        let mut tree = driver_core::GuestTree::new();
        tree.mount("/", Box::new(driver_core::MemFs::new().with_file(path, text)));
        let mut wishes = driver_core::Wishes::NONE;
        let target = target.map(|mac| mac.parse().unwrap());
        wishes.network.adapters = vec![Adapter { source: OLD.parse().ok(), target }];
        let guest = driver_core::Guest::default();
        let context = driver_core::Context::new(&guest, &driver_targets::GENERATION_1);
        let context = driver_core::Context { wishes: &wishes, ..context };
        let mut draft = Draft::new(&tree);
        let networks = ["ifupdown", "netplan", "networkd", "ifcfg", "networkmanager", "wicked"];
        for fixup in
            crate::fixups().iter().filter(|fixup| networks.iter().any(|name| fixup.id().ends_with(name)))
        {
            if fixup.applies(&context, &draft).unwrap() == driver_core::Applies::Yes {
                fixup.plan(&context, &mut draft).unwrap();
            }
        }
        let text = draft.read_text(path).unwrap().unwrap();
        let reasons = draft.take_edits().into_iter().map(|edit| edit.reason).collect::<Vec<_>>().join("\n");
        (text, reasons)
    }

    #[test]
    fn every_system_gives_up_the_address_of_the_source() {
        for (path, text, without) in [
            (
                "/etc/network/interfaces",
                "iface eth0 inet dhcp\n    hwaddress ether OLD\niface br0 inet dhcp\n    bridge_hw OLD\n    pre-up ip link set dev eth0 address OLD\n",
                "iface eth0 inet dhcp\niface br0 inet dhcp\n",
            ),
            (
                "/etc/network/interfaces",
                "iface eth0 inet dhcp\n    hwaddress OLD\n    pre-up ip link set eth0 down && ip link set eth0 address x\n",
                "iface eth0 inet dhcp\n    pre-up ip link set eth0 down && ip link set eth0 address x\n",
            ),
            (
                "/etc/sysconfig/network-scripts/ifcfg-eth0",
                "DEVICE=eth0\nMACADDR=\"OLD\"\nONBOOT=yes\n",
                "DEVICE=eth0\nONBOOT=yes\n",
            ),
            (
                "/etc/sysconfig/network-scripts/ifcfg-bond0",
                "DEVICE=bond0\nTYPE=Bond\nMACADDR=OLD\n",
                "DEVICE=bond0\nTYPE=Bond\n",
            ),
            (
                "/etc/NetworkManager/system-connections/a",
                "[connection]\ntype=ethernet\ninterface-name=eth0\n[ethernet]\ncloned-mac-address=OLD\n",
                "[connection]\ntype=ethernet\ninterface-name=eth0\n[ethernet]\n",
            ),
            (
                "/etc/NetworkManager/system-connections/b",
                "[connection]\ntype=bridge\n[bridge]\nmac-address=OLD\n",
                "[connection]\ntype=bridge\n[bridge]\n",
            ),
            (
                "/etc/systemd/network/a.network",
                "[Match]\nName=eth0\n[Link]\nMACAddress=OLD\nMTUBytes=1500\n",
                "[Match]\nName=eth0\n[Link]\nMTUBytes=1500\n",
            ),
            (
                "/etc/systemd/network/a.link",
                "[Match]\nOriginalName=eth0\n[Link]\nMACAddress=OLD\n",
                "[Match]\nOriginalName=eth0\n[Link]\n",
            ),
            ("/etc/sysconfig/network/ifcfg-eth0", "BOOTPROTO='dhcp'\nLLADDR='OLD'\n", "BOOTPROTO='dhcp'\n"),
        ] {
            let old = text.replace("OLD", OLD);
            let (kept, reasons) = planned(path, &old, Some(OLD));
            assert_eq!(
                (kept.as_str(), reasons.contains("address")),
                (old.as_str(), false),
                "{path}: {reasons}"
            );
            let (replaced, reasons) = planned(path, &old, Some(NEW));
            assert_eq!(replaced, text.replace("OLD", NEW), "{path}");
            assert!(reasons.contains(NEW), "{path}: {reasons}");
            assert_eq!(
                planned(path, &replaced, Some(NEW)).0,
                replaced,
                "{path}: a second time changes nothing"
            );
            let (dropped, reasons) = planned(path, &old, None);
            assert_eq!(dropped, without, "{path}");
            assert!(reasons.contains("was that of the source's adapter"), "{path}: {reasons}");
            let own = text.replace("OLD", "02:00:00:00:00:01");
            assert_eq!(planned(path, &own, None).0, own, "{path}: the operator's own");
        }
    }
}
