//! Which configured interface becomes which adapter of the target, what it is called there, and what holds its name.
//!
//! Facts: with the hardware address known, a udev rule gives an adapter the name that the configuration uses (udev(7)), and nothing
//! else has to change. Without it, names are in the order of the adapters where the kernel gives them (`eth0`, Xen's
//! `enX0`): on VMBus, which has no slots to derive names from, and in guests with `net.ifnames=0` or without udev's rules for
//! predictable names (systemd.net-naming-scheme(7)). Everywhere else the new name follows from slots that are not known
//! here: then one interface can be held by its being the only one, several need their hardware addresses.

use crate::config_file::read_small;
use crate::nic_naming::Naming;
use driver_core::{Adapter, Addresses, Context, Draft, Mac, Target};
use format_core::{Error, Result};
use std::collections::BTreeMap;

/// An interface as a configuration has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Nic {
    /// What tells it from the others in its configuration: the name, or a file.
    pub(crate) key: String,
    /// Its name, where it has one.
    pub(crate) name: Option<String>,
    /// The hardware address it is bound to.
    pub(crate) mac: Option<Mac>,
    /// It is bound to a piece of hardware, by whatever.
    pub(crate) pinned: bool,
}

impl Nic {
    /// One that is only named.
    pub(crate) fn named(name: &str) -> Self {
        Self { key: name.to_owned(), name: Some(name.to_owned()), ..Self::default() }
    }
}

/// What happens to the binding to a piece of hardware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pin {
    /// Nothing.
    Keep,
    /// Another address.
    Replace(Mac),
    /// It goes.
    Drop,
}

/// What makes sure that the adapter has the new name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// The target gives it.
    Target,
    /// A rule for this address.
    Address(Mac),
    /// A rule for the only adapter.
    Alone,
}

/// What happens to one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) nic: Nic,
    /// Its name on the target; `None` where the configuration does without one.
    pub(crate) name: Option<String>,
    pub(crate) pin: Pin,
    pub(crate) held: Held,
}

impl Change {
    /// The old and the new name, where they differ.
    pub(crate) fn rename(&self) -> Option<(&str, &str)> {
        let (old, new) = (self.nic.name.as_deref()?, self.name.as_deref()?);
        (old != new).then_some((old, new))
    }

    /// The file or definition stays as it is.
    pub(crate) fn is_none(&self) -> bool {
        self.nic.name == self.name && self.pin == Pin::Keep
    }
}

/// Decides for all interfaces that `what` configures. Those whose place is not known, among others that are in order, are left
/// alone. Plans nothing.
///
/// # Errors
/// `NeedsPerson` when it cannot be known which becomes which.
pub(crate) fn assign(
    what: &str,
    nics: Vec<Nic>,
    context: &Context<'_>,
    draft: &Draft<'_>,
) -> Result<Vec<Change>> {
    let nics = distinct(nics, draft)?;
    if nics.is_empty() {
        return Ok(Vec::new());
    }
    let adapters = &context.wishes.network.adapters;
    let naming = Naming::of(&nics, context, draft)?;
    let places = places(&nics, adapters).map_err(|()| unclear(what, &nics, context))?;
    let mut changes = Vec::new();
    let alone = nics.len() == 1 && adapters.len() <= 1;
    for (nic, place) in nics.iter().zip(&places) {
        let Some(place) = *place else { continue };
        let mac = adapters.get(place).and_then(|adapter| adapter.target);
        let change = decide(nic.clone(), place, mac, &naming, alone);
        changes.push(change.ok_or_else(|| unclear(what, &nics, context))?);
    }
    Ok(changes)
}

fn decide(nic: Nic, place: usize, mac: Option<Mac>, naming: &Naming, alone: bool) -> Option<Change> {
    let given = naming.name(place);
    if let Some(mac) = mac {
        if nic.pinned && nic.mac.is_none() {
            // Bound to a slot, a driver or a pattern of the source: bound to a name instead.
            let name = nic.name.clone().or_else(|| given.clone()).unwrap_or_else(|| format!("net{place}"));
            let held = if given.as_ref() == Some(&name) { Held::Target } else { Held::Address(mac) };
            return Some(Change { nic, name: Some(name), pin: Pin::Drop, held });
        }
        let pin = if nic.pinned && nic.mac != Some(mac) { Pin::Replace(mac) } else { Pin::Keep };
        let Some(name) = nic.name.clone() else {
            return Some(Change { nic, name: None, pin, held: Held::Target });
        };
        // A name that the kernel gives itself cannot be given to another adapter: at that time it is taken.
        let held = match given {
            Some(given) if given == name || is_counted(&name) => {
                return Some(Change { nic, name: Some(given), pin, held: Held::Target });
            }
            None if name.starts_with("eth") && is_counted(&name) => {
                let name = Some(format!("eth{place}"));
                return Some(Change { nic, name, pin, held: Held::Address(mac) });
            }
            _ => Held::Address(mac),
        };
        return Some(Change { nic, name: Some(name), pin, held });
    }
    let pin = if nic.pinned { Pin::Drop } else { Pin::Keep };
    if let Some(given) = given {
        return Some(Change { nic, name: Some(given), pin, held: Held::Target });
    }
    let name = nic.name.clone().or_else(|| nic.pinned.then(|| "eth0".to_owned()));
    alone.then_some(Change { nic, name, pin, held: Held::Alone })
}

/// The same interface may be named several times; addresses are also known from udev's rules.
fn distinct(nics: Vec<Nic>, draft: &Draft<'_>) -> Result<Vec<Nic>> {
    let known = addresses_of_rules(draft)?;
    let mut distinct: BTreeMap<String, Nic> = BTreeMap::new();
    for mut nic in nics {
        nic.mac = nic.mac.or_else(|| known.get(nic.name.as_deref()?).copied());
        let first = distinct.entry(nic.key.clone()).or_insert_with(|| nic.clone());
        first.mac = first.mac.or(nic.mac);
        first.pinned |= nic.pinned;
    }
    Ok(distinct.into_values().collect())
}

/// Name and hardware address as udev's persistent rules have them.
fn addresses_of_rules(draft: &Draft<'_>) -> Result<BTreeMap<String, Mac>> {
    let original = Draft::new(draft.tree());
    let text = read_small(&original, crate::net_rules::PERSISTENT)?;
    Ok(text
        .lines()
        .filter_map(crate::net_rules::named)
        .filter_map(|(name, mac)| Some((name.to_owned(), mac?)))
        .collect())
}

/// The place of each interface among the adapters; `None` for one that is to be left alone.
fn places(nics: &[Nic], adapters: &[Adapter]) -> Result<Vec<Option<usize>>, ()> {
    let by_mac = |nic: &Nic| {
        let mac = Some(nic.mac?);
        adapters.iter().position(|adapter| adapter.source == mac || adapter.target == mac)
    };
    let mut found: Vec<Option<usize>> = nics.iter().map(by_mac).collect();
    for (nic, place) in nics.iter().zip(&mut found).filter(|(_, place)| place.is_none()) {
        let bound = contradicts(nic, adapters) || nic.pinned && adapters.is_empty();
        if nics.len() == 1 || !bound {
            let counted = nic.name.as_deref().and_then(number_of_counted);
            *place = counted.filter(|number| adapters.is_empty() || *number < adapters.len());
        }
    }
    // The only one that is configured is the first, whatever number clones and old rules gave it.
    if let [place @ None] = found.as_mut_slice() {
        *place = Some(0);
    }
    by_order(nics, adapters, &mut found)?;
    let mut taken: Vec<usize> = found.iter().flatten().copied().collect();
    taken.sort_unstable();
    let shared = taken.windows(2).any(|pair| pair.first() == pair.last());
    if shared { Err(()) } else { Ok(found) }
}

/// It is bound to an address that no adapter has.
fn contradicts(nic: &Nic, adapters: &[Adapter]) -> bool {
    nic.mac.is_some() && (adapters.is_empty() || adapters.iter().any(|adapter| adapter.source.is_some()))
}

/// Interfaces without a place get those that are free, in the order of their names, when there is one for each.
fn by_order(nics: &[Nic], adapters: &[Adapter], found: &mut [Option<usize>]) -> Result<(), ()> {
    let free: Vec<usize> = (0..adapters.len()).filter(|place| !found.contains(&Some(*place))).collect();
    let open: Vec<(usize, &Nic)> =
        nics.iter().enumerate().filter(|(at, _)| found.get(*at) == Some(&None)).collect();
    if open.is_empty() {
        return Ok(());
    }
    let key = |(at, nic): &(usize, &Nic)| {
        let (prefix, number) = ordered_name(nic.name.as_deref()?).filter(|_| !contradicts(nic, adapters))?;
        Some((prefix, number, *at))
    };
    let keys: Option<Vec<(String, u64, usize)>> = open.iter().map(key).collect();
    let alike = |keys: &Vec<(String, u64, usize)>| {
        keys.len() == free.len() && keys.iter().all(|key| keys.first().is_some_and(|first| first.0 == key.0))
    };
    match keys.filter(alike) {
        Some(mut keys) => {
            keys.sort();
            for ((.., at), place) in keys.into_iter().zip(free) {
                if let Some(slot) = found.get_mut(at) {
                    *slot = Some(place);
                }
            }
            Ok(())
        }
        None if open.len() < nics.len() => Ok(()),
        None => Err(()),
    }
}

/// `ens6` is `ens` and 6.
fn ordered_name(name: &str) -> Option<(String, u64)> {
    let prefix = name.trim_end_matches(|c: char| c.is_ascii_digit());
    Some((prefix.to_owned(), name.get(prefix.len()..)?.parse().ok()?))
}

fn is_counted(name: &str) -> bool {
    number_of_counted(name).is_some()
}

/// The number in a name that the kernel gives.
fn number_of_counted(name: &str) -> Option<usize> {
    let digits = name.strip_prefix("eth").or_else(|| name.strip_prefix("enX"))?;
    let plain = !digits.is_empty() && digits.len() <= 3 && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|_| plain && (digits == "0" || !digits.starts_with('0')))
}

fn unclear(what: &str, nics: &[Nic], context: &Context<'_>) -> Error {
    let name = |nic: &Nic| nic.name.clone().unwrap_or_else(|| nic.key.clone());
    let list = nics.iter().take(8).map(name).collect::<Vec<_>>().join(", ");
    let problem = match nics.len() {
        1 => format!("what {list} is called on {} is not known", context.target.name),
        _ => format!("which adapter of {} each becomes is not known", context.target.name),
    };
    Error::needs_person(format!("{what} configures {list}: {problem}"))
        .hint(way_out(&context.wishes.network.adapters, context.target))
}

/// What would make it known: the addresses, where a description has not given them yet and where the target can take them.
fn way_out(adapters: &[Adapter], target: &Target) -> String {
    const NAMES: &str = "write the names eth0, eth1, … in the order of the machine's network adapters";
    let by =
        |addresses| target.definitions.iter().find(|kind| kind.addresses == addresses).map(|kind| kind.id);
    let usual = target.definitions.first().map(|kind| kind.addresses);
    let known = !adapters.is_empty() && adapters.iter().all(|adapter| adapter.source.is_some());
    let lost = adapters.iter().any(|adapter| adapter.target.is_none());
    match (known, lost, by(Addresses::Kept), by(Addresses::Given)) {
        (false, ..) => format!("give a machine description with the hardware addresses, or {NAMES}"),
        (true, true, Some(_), _) if usual == Some(Addresses::Kept) => {
            format!("use --mac keep, or give addresses with --mac SRC=NEW, or {NAMES}")
        }
        (true, true, Some(kind), _) => {
            format!("use --definition {kind} with --mac keep or --mac SRC=NEW, or {NAMES}")
        }
        (true, true, None, Some(_)) => {
            format!("give every network adapter an address with --mac SRC=NEW, or {NAMES}")
        }
        (true, true, None, None) => NAMES.into(),
        (true, false, ..) => {
            format!("bind each interface to its hardware address in the guest's configuration, or {NAMES}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use driver_core::Platform;

    fn mac(last: u8) -> Mac {
        Mac([6, 0, 0, 0, 0, last])
    }

    fn nic(name: &str, address: Option<u8>) -> Nic {
        Nic { mac: address.map(mac), pinned: address.is_some(), ..Nic::named(name) }
    }

    fn adapters(sources: &[u8]) -> Vec<Adapter> {
        sources.iter().map(|last| Adapter { source: Some(mac(*last)), target: None }).collect()
    }

    #[test]
    fn the_way_out_is_one_that_was_not_gone() {
        let target = |platform| driver_targets::target(platform, driver_core::Firmware::Uefi, None).unwrap();
        let lost = adapters(&[1, 2]);
        let kept: Vec<_> = lost.iter().map(|nic| Adapter { target: nic.source, ..*nic }).collect();
        let half = [lost[0], Adapter::default()];
        for (adapters, platform, words) in [
            (&[][..], Platform::Kvm, "give a machine description"),
            (&half[..], Platform::Kvm, "give a machine description"),
            (&lost[..], Platform::Kvm, "use --mac keep"),
            (&lost[..], Platform::Vmware, "use --definition vmx with --mac keep"),
            (&lost[..], Platform::HyperV, "give every network adapter an address with --mac SRC=NEW"),
            (&lost[..], Platform::Aws, "write the names eth0"),
            (&kept[..], Platform::Kvm, "bind each interface"),
        ] {
            let step = way_out(adapters, target(platform));
            assert!(step.starts_with(words) && step.contains("eth0, eth1"), "{platform:?}: {step}");
        }
    }

    #[test]
    fn places_follow_addresses_then_numbers_then_the_order_of_names() {
        let unnamed = [Adapter::default(), Adapter::default()];
        for (nics, adapters, expected) in [
            (vec![nic("ens5", None)], vec![], Ok(vec![Some(0)])),
            (vec![nic("ens5", Some(1))], vec![], Ok(vec![Some(0)])),
            (vec![nic("eth1", None)], vec![], Ok(vec![Some(1)])),
            (vec![nic("ens5", Some(1)), nic("ens6", Some(2))], adapters(&[2, 1]), Ok(vec![Some(1), Some(0)])),
            (vec![nic("ens5", None), nic("ens6", None)], unnamed.to_vec(), Ok(vec![Some(0), Some(1)])),
            (vec![nic("ens10", None), nic("ens9", None)], unnamed.to_vec(), Ok(vec![Some(1), Some(0)])),
            (vec![nic("ens5", None), nic("ens6", None)], vec![], Err(())),
            (vec![nic("ens5", None), nic("enp6", None)], unnamed.to_vec(), Err(())),
            (vec![nic("ens5", Some(7)), nic("ens6", Some(8))], adapters(&[1, 2]), Err(())),
            (vec![nic("ens5", Some(1)), nic("ens6", Some(1))], adapters(&[1, 2]), Err(())),
            (vec![nic("ens5", Some(1)), nic("ens6", None)], adapters(&[1, 2]), Ok(vec![Some(0), Some(1)])),
            (vec![nic("eth0", None), nic("eth1", None)], vec![], Ok(vec![Some(0), Some(1)])),
            (vec![nic("eth0", Some(1)), nic("eth1", Some(2))], vec![], Err(())),
            (vec![nic("eth0", None), nic("ens6", None)], vec![], Ok(vec![Some(0), None])),
            (vec![nic("eth5", None)], adapters(&[1]), Ok(vec![Some(0)])),
        ] {
            assert_eq!(places(&nics, &adapters), expected, "{nics:?}");
        }
    }

    #[test]
    fn names_are_kept_by_address_and_changed_without() {
        let counted = Naming::Counted("eth");
        let change = decide(nic("ens5", Some(1)), 0, Some(mac(1)), &counted, true).unwrap();
        assert_eq!((change.is_none(), change.held), (true, Held::Address(mac(1))));
        let change = decide(nic("ens5", Some(1)), 0, Some(mac(9)), &Naming::Unknown, true).unwrap();
        assert_eq!((change.pin, change.held), (Pin::Replace(mac(9)), Held::Address(mac(9))));
        let change = decide(nic("eth1", None), 0, Some(mac(1)), &counted, false).unwrap();
        assert_eq!((change.rename(), change.held), (Some(("eth1", "eth0")), Held::Target));
        let change = decide(nic("ens5", Some(1)), 1, None, &counted, false).unwrap();
        assert_eq!((change.rename(), change.pin), (Some(("ens5", "eth1")), Pin::Drop));
        let change = decide(nic("ens5", Some(1)), 0, None, &Naming::Unknown, true).unwrap();
        assert_eq!((change.rename(), change.pin, change.held), (None, Pin::Drop, Held::Alone));
        assert_eq!(decide(nic("ens5", None), 0, None, &Naming::Unknown, false), None);
        let by_slot = Nic { name: None, pinned: true, ..nic("x", None) };
        let change = decide(by_slot, 1, Some(mac(1)), &Naming::Unknown, false).unwrap();
        assert_eq!(
            (change.name.as_deref(), change.pin, change.held),
            (Some("net1"), Pin::Drop, Held::Address(mac(1)))
        );
        let nameless = Nic { name: None, ..nic("x", Some(1)) };
        let change = decide(nameless, 0, None, &Naming::Unknown, true).unwrap();
        assert_eq!((change.name.as_deref(), change.held), (Some("eth0"), Held::Alone));
    }

    #[test]
    fn names_that_the_kernel_gives_are_those_of_the_place() {
        let address = Some(mac(1));
        let change = decide(nic("eth1", None), 0, address, &Naming::Unknown, false).unwrap();
        assert_eq!((change.name.as_deref(), change.held), (Some("eth0"), Held::Address(mac(1))));
        let change = decide(nic("ens5", None), 0, address, &Naming::Unknown, false).unwrap();
        assert_eq!((change.name.as_deref(), change.held), (Some("ens5"), Held::Address(mac(1))));
        let change = decide(nic("eth1", None), 0, address, &Naming::Counted("eth"), false).unwrap();
        assert_eq!((change.name.as_deref(), change.held), (Some("eth0"), Held::Target));
    }
}
