//! Fixed addresses are set again for the adapter that takes the place of the old one.
//!
//! Windows keeps addresses with a device, not with a hardware address: on another platform the adapter is a new device and asks DHCP,
//! and the old connection stays behind unseen (virt-v2v(1), `--mac`; bug reports of every migration tool). A batch file sets
//! them at the first start, as virt-v2v does with PowerShell. Which adapter gets them must be certain: [`adapters`]. Name servers that
//! were fixed beside DHCP go the same way.
//!
//! What the old connection has stays in the registry, unchanged: when the adapter turns out to be the same device (same model in the same
//! slot), Windows goes on with it whether or not the batch file succeeds, and a step that failed would otherwise leave nothing to read.
//! The dialogue for addresses may warn that an adapter that is not present has the same one; netsh does not ask (not
//! verified on every version). Routes that were made permanent stay too (`Tcpip\Parameters\PersistentRoutes` names gateways, no
//! adapters); the one to the default gateway may be listed twice afterwards, which others report as harmless.
//!
//! Fixed addresses of IPv6 are not read: `Control\Nsi\{eb004a01-…}\10` has a value for each in binary, as `{eb004a00-…}\10` has for IPv4
//! (seen in a real registry for IPv4; not documented).

mod adapters;
mod script;

use crate::fixups::dhcp_client::hands_out_addresses;
use crate::fixups::first_boot::plan_step;
use crate::services::{DISABLED, number, service_key};
use adapters::{Connection, Place, connections, is_hardware, place, place_of};
use driver_core::{Applies, Context, Draft, Fixup, Mac, StaticAddress, WindowsFacts};
use format_core::{Error, Result};
use script::{Fixed, script};
use std::net::{IpAddr, Ipv4Addr};

/// Persistent addresses of IPv6 in a control set.
const IPV6_ADDRESSES: &str = r"Control\Nsi\{eb004a01-9b1a-11d4-9123-0050047759bc}\10";

pub(super) struct StaticIp;

impl Fixup for StaticIp {
    fn id(&self) -> &'static str {
        "windows-static-ip"
    }

    fn title(&self) -> &'static str {
        "fixed addresses are set again for the new adapters at the first start"
    }

    fn applies(&self, context: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        let Some(windows) = &context.guest.windows else { return Ok(Applies::no("no Windows")) };
        let wished = !context.wishes.network.static_addresses.is_empty();
        let fixed = windows.interfaces.iter().any(|facts| !Fixed::of(facts).is_empty());
        Ok(match wished || fixed || has_ipv6(windows, draft)? {
            true => Applies::Yes,
            false => Applies::no("no connection has a fixed address"),
        })
    }

    fn by_hand(&self) -> Option<&'static str> {
        Some("set the fixed addresses in the running guest")
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let Some(windows) = &context.guest.windows else { return Ok(()) };
        let Some(set) = windows.control_sets.first() else { return Ok(()) };
        if has_ipv6(windows, draft)? {
            draft.note("fixed addresses of IPv6 are not read and not set again".into());
        }
        let all = connections(draft, set, &windows.interfaces)?;
        let mut steps = wished(context, &all)?;
        let given: Vec<String> = steps.iter().map(|(fixed, _)| fixed.name.clone()).collect();
        steps.extend(kept(context, windows, &all, &given, draft)?);
        let dhcp_is_disabled = number(draft, &service_key(set, "Dhcp"), "Start")? == Some(DISABLED);
        if dhcp_is_disabled && steps.is_empty() && !hands_out_addresses(context.target.platform) {
            draft.note(
                "the DHCP client is disabled, so the new adapter has no address until it is set".into(),
            );
        }
        for (at, (fixed, place)) in steps.iter().enumerate() {
            let name = format!("20-static-ip-{}", at + 1);
            let reason = "the adapter is a new one for Windows and would ask DHCP";
            plan_step(draft, &name, &script(fixed, *place, dhcp_is_disabled), reason)?;
        }
        Ok(())
    }
}

fn has_ipv6(windows: &WindowsFacts, draft: &Draft<'_>) -> Result<bool> {
    let Some(set) = windows.control_sets.first() else { return Ok(false) };
    Ok(!draft.values(&format!(r"SYSTEM\{set}\{IPV6_ADDRESSES}"))?.is_empty())
}

/// What the guest has, where it is certain which adapter gets it. Notes tell the rest.
fn kept(
    context: &Context<'_>,
    windows: &WindowsFacts,
    all: &[Connection<'_>],
    given: &[String],
    draft: &mut Draft<'_>,
) -> Result<Vec<(Fixed, Place)>> {
    let mut steps = Vec::new();
    for facts in &windows.interfaces {
        let mut fixed = Fixed::of(facts);
        if fixed.is_empty() || given.contains(&fixed.name) {
            continue;
        }
        // Resolvers such as 169.254.169.253 are the old platform's own.
        fixed.dns.retain(|ip| !ip.is_link_local());
        let (name, words) = (fixed.name.clone(), fixed.words());
        if fixed.is_empty() {
            draft.note(format!(
                "the name server of {name:?} is one of the old platform's and is not set again"
            ));
            continue;
        }
        if hands_out_addresses(context.target.platform) {
            let who = context.target.platform.name();
            draft.note(format!(
                "{who} hands out addresses: what is fixed for {name:?} ({words}) is not set again"
            ));
            continue;
        }
        let found = all.iter().find(|connection| connection.facts == facts);
        let Some(place) = found.and_then(|one| place(one, all, &context.wishes.network)) else {
            let why = match is_hardware(facts) {
                true => "which adapter takes its place cannot be told",
                false => "it is no adapter of the machine's own",
            };
            draft.note(format!(
                "what is fixed for {name:?} ({words}) is not set again, because {why}: give it with --static-ip, or set it in \
                 the running guest"
            ));
            continue;
        };
        if let Some(set) = windows.control_sets.first() {
            fixed.register = adapters::registration(draft, set, &facts.guid)?;
            fixed.gateway_metric = adapters::gateway_metric(draft, set, &facts.guid)?;
            let rest = adapters::not_carried(draft, set, &facts.guid)?;
            if !rest.is_empty() {
                draft.note(format!("of {name:?}, {} must be set by hand", rest.join(" and ")));
            }
        }
        steps.push((fixed, place));
    }
    Ok(steps)
}

/// What the operator gave, each with the adapter it goes to.
///
/// # Errors
/// `NeedsPerson` when no connection is called so, or its adapter is not certain.
fn wished(context: &Context<'_>, all: &[Connection<'_>]) -> Result<Vec<(Fixed, Place)>> {
    let network = &context.wishes.network;
    let mut steps: Vec<(Fixed, Place)> = Vec::new();
    for wish in &network.static_addresses {
        let by_address = wish.interface.parse::<Mac>().ok().and_then(|mac| {
            network.adapters.iter().position(|it| it.source == Some(mac) || it.target == Some(mac))
        });
        let named: Vec<&Connection<'_>> = all.iter().filter(|one| is_called(one, &wish.interface)).collect();
        let (name, place) = match (by_address, named.as_slice()) {
            (Some(at), _) => (wish.interface.clone(), place_of(at, network)),
            (None, [one]) => (one.facts.name.clone().unwrap_or_default(), place(one, all, network)),
            (None, []) => return Err(unknown(wish, all)),
            _ => {
                return Err(Error::needs_person(format!("{:?} are several connections", wish.interface))
                    .hint("name the connection by the hardware address of its adapter"));
            }
        };
        let place = place.ok_or_else(|| {
            Error::needs_person(format!(
                "which adapter takes the place of {:?} cannot be told",
                wish.interface
            ))
            .hint("leave --static-ip away and set the address in the running guest")
        })?;
        if steps.iter().any(|(other, at)| other.name == name || *at == place) {
            return Err(Error::needs_person(format!("{} is given two addresses", wish.interface))
                .hint("give one address for each interface"));
        }
        steps.push((given(wish, name)?, place));
    }
    Ok(steps)
}

/// Names are compared as they are said: without regard to case and blanks.
fn is_called(connection: &Connection<'_>, wished: &str) -> bool {
    let folded = |text: &str| text.to_lowercase().replace(' ', "");
    connection.facts.name.as_deref().is_some_and(|name| folded(name) == folded(wished))
}

fn unknown(wish: &StaticAddress, all: &[Connection<'_>]) -> Error {
    let names: Vec<String> =
        all.iter().filter_map(|one| one.facts.name.as_ref()).map(|name| format!("{name:?}")).collect();
    Error::needs_person(format!("no network connection is called {:?}", wish.interface))
        .hint(format!("there are: {}", names.join(", ")))
}

fn given(wish: &StaticAddress, name: String) -> Result<Fixed> {
    let v4 = |ip: IpAddr| -> Result<Ipv4Addr> {
        match ip {
            IpAddr::V4(ip) => Ok(ip),
            IpAddr::V6(ip) => Err(Error::needs_person(format!("{ip}: only IPv4 is set in Windows guests"))
                .hint("set addresses of IPv6 in the running guest")),
        }
    };
    Ok(Fixed {
        name,
        addresses: vec![(v4(wish.address)?, wish.prefix)],
        gateways: wish.gateway.map(v4).transpose()?.into_iter().collect(),
        gateway_metric: None,
        dns: wish.dns.iter().map(|ip| v4(*ip)).collect::<Result<_>>()?,
        register: "primary",
    })
}

#[cfg(test)]
mod tests;
