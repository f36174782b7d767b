//! A network interface that is taken down and up again, with the addresses and routes that the kernel forgets meanwhile.

use crate::host::Host;
use crate::isolation::Isolator;
use crate::network::{ASK, has_default_route, is_interface_name, operators_address, route_to};
use crate::program;
use format_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::time::{Duration, Instant};

/// NetworkManager waits for addresses.
const MANAGER: Duration = Duration::from_secs(60);

/// How the interface was.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Interface {
    pub(crate) name: String,
    was_up: bool,
    /// NetworkManager has it.
    managed: bool,
    addresses: Vec<Address>,
    routes: Vec<Route>,
}

/// As `ip -json addr` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Address {
    family: String,
    local: String,
    /// The other end, of an interface with one.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    prefixlen: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    broadcast: Option<String>,
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    /// By router advertisement or DHCP: comes back by itself, and must not become a lasting one.
    #[serde(default)]
    dynamic: bool,
}

/// As `ip -json route` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Route {
    /// 4 or 6.
    #[serde(default)]
    version: u8,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    dst: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prefsrc: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metric: Option<u32>,
    #[serde(default)]
    flags: Vec<String>,
}

/// As `ip -json addr show` prints it.
#[derive(Deserialize)]
struct Link {
    flags: Vec<String>,
    operstate: String,
    #[serde(default)]
    addr_info: Vec<Address>,
}

impl Link {
    fn is_up(&self) -> bool {
        self.flags.iter().any(|flag| flag == "UP")
    }
}

impl Interface {
    /// How it is now.
    ///
    /// # Errors
    /// There is none by that name, or `ip` is missing.
    pub(crate) fn look(host: &Host, name: &str) -> Result<Self> {
        let link = link(host, name)?;
        let mut routes = Vec::new();
        for version in [4, 6] {
            let family = format!("-{version}");
            let said = ip(host, &["-j", &family, "route", "show", "table", "all", "dev", name])?;
            let found: Vec<Route> = json(&said)?;
            let ours = found.into_iter().filter(Route::has_to_be_made);
            routes.extend(ours.map(|route| Route { version, ..route }));
        }
        let addresses =
            link.addr_info.iter().filter(|it| !it.dynamic && it.scope != "link").cloned().collect();
        Ok(Self {
            name: name.to_owned(),
            was_up: link.is_up(),
            managed: is_managed(host, name),
            addresses,
            routes,
        })
    }
}

impl Route {
    /// The kernel's own come with addresses, advertised ones with the next advertisement.
    fn has_to_be_made(&self) -> bool {
        let by_itself = matches!(self.protocol.as_deref(), Some("kernel" | "ra" | "redirect"));
        !by_itself && matches!(self.kind.as_deref(), None | Some("unicast"))
    }

    fn command(&self, interface: &str) -> Vec<String> {
        let mut words: Vec<String> =
            vec![format!("-{}", self.version), "route".into(), "replace".into(), self.dst.clone()];
        let metric = self.metric.map(|metric| metric.to_string());
        for (key, value) in [
            ("via", &self.gateway),
            ("dev", &Some(interface.to_owned())),
            ("table", &self.table),
            ("proto", &self.protocol),
            ("scope", &self.scope),
            ("src", &self.prefsrc),
            ("metric", &metric),
        ] {
            words.extend(value.iter().flat_map(|value| [key.to_owned(), value.clone()]));
        }
        words.extend(self.flags.iter().filter(|flag| *flag == "onlink").cloned());
        words
    }
}

impl Address {
    fn command(&self, interface: &str) -> Vec<String> {
        let version = if self.family == "inet6" { "-6" } else { "-4" };
        let mut words: Vec<String> = [version, "address", "replace"].map(Into::into).to_vec();
        match &self.address {
            Some(peer) => {
                words.extend([self.local.clone(), "peer".into(), format!("{peer}/{}", self.prefixlen)])
            }
            None => words.push(format!("{}/{}", self.local, self.prefixlen)),
        }
        words.extend(self.broadcast.iter().flat_map(|value| ["broadcast".into(), value.clone()]));
        words.extend(self.label.iter().flat_map(|value| ["label".into(), value.clone()]));
        words.extend(["scope", &self.scope, "dev", interface].map(Into::into));
        words
    }
}

/// Refuses to cut this host, or its operator, off.
///
/// # Errors
/// Kind `Usage`, unless that is wanted.
pub(crate) fn may_take_down(host: &Host, name: &str, yes_i_lose_network: bool) -> Result<()> {
    if yes_i_lose_network {
        return Ok(());
    }
    let why = if has_default_route(host, name) {
        format!("{name} has the default route of this host")
    } else if name == "lo" {
        "lo is this host itself".into()
    } else if operators_address().and_then(|address| route_to(host, address)).as_deref() == Some(name) {
        format!("you are connected to this host over {name}")
    } else {
        return Ok(());
    };
    Err(Error::usage(format!("{why}: taking it down would cut the host off"))
        .hint("give the destination an interface of its own; or say --yes-i-lose-network"))
}

/// Whether its link is up; not where there is none.
pub(crate) fn is_up(host: &Host, name: &str) -> bool {
    link(host, name).is_ok_and(|link| link.is_up())
}

/// Takes the link down and says what was verified.
///
/// # Errors
/// It is still up when patience ends.
pub(crate) fn take_down(isolator: &Isolator<'_>, interface: &Interface) -> Result<Vec<String>> {
    let (host, name) = (isolator.host, interface.name.as_str());
    if is_up(host, name) {
        if interface.managed {
            // It would take the link up again at its next connection.
            manager(host, "disconnect", name)?;
        }
        ip(host, &["link", "set", "dev", name, "down"])?;
    }
    let end = Instant::now() + isolator.patience;
    loop {
        let link = link(host, name)?;
        if !link.is_up() && link.operstate != "UP" {
            return Ok(vec![format!("the link of {name} is down")]);
        }
        if Instant::now() >= end {
            let text = format!("the link of {name} is up again: something manages it");
            return Err(
                Error::new(ErrorKind::Temporary, text).hint("look for the service that does, and try again")
            );
        }
        isolator.pause()?;
    }
}

/// Takes the link up again, waits for it, and gives it back what the kernel forgot.
///
/// # Errors
/// It has no carrier when the time is over.
pub(crate) fn take_up(isolator: &Isolator<'_>, interface: &Interface) -> Result<()> {
    let (host, name) = (isolator.host, interface.name.as_str());
    if !interface.was_up {
        return Ok(());
    }
    ip(host, &["link", "set", "dev", name, "up"])?;
    if interface.managed {
        manager(host, "connect", name)?;
    }
    let end = Instant::now() + isolator.reach;
    loop {
        let link = link(host, name)?;
        // An interface without carrier detection says UNKNOWN.
        if link.is_up() && matches!(link.operstate.as_str(), "UP" | "UNKNOWN") {
            break;
        }
        if !link.is_up() {
            // What a killed run had just started took it down after us.
            ip(host, &["link", "set", "dev", name, "up"])?;
        }
        if Instant::now() >= end {
            let text = format!("{name} is up, but has no link after {} s", isolator.reach.as_secs());
            return Err(Error::new(ErrorKind::Temporary, text)
                .hint("look at the cable and the switch, and try again"));
        }
        isolator.pause()?;
    }
    if interface.managed {
        return Ok(());
    }
    let now = link(host, name)?.addr_info;
    let missing = interface.addresses.iter().filter(|it| !now.iter().any(|is| is.local == it.local));
    for address in missing {
        ip(host, &address.command(name))?;
    }
    // A route may need another to reach its gateway, and that may stand behind it.
    let mut failed = None;
    for _ in 0..2 {
        failed = None;
        for route in &interface.routes {
            if let Err(error) = ip(host, &route.command(name)) {
                failed = Some(error);
            }
        }
        if failed.is_none() {
            break;
        }
    }
    failed.map_or(Ok(()), Err)
}

fn link(host: &Host, name: &str) -> Result<Link> {
    if !is_interface_name(name) {
        return Err(Error::usage(format!("{name:?} is no name of a network interface")));
    }
    let no_interface = |e: Error| match e.to_string().contains("does not exist") {
        true => Error::usage(format!("there is no network interface {name}"))
            .hint("this lists them: ip -brief link"),
        false => e,
    };
    let said = ip(host, &["-j", "addr", "show", "dev", name]).map_err(no_interface)?;
    let found: Vec<Link> = json(&said)?;
    found.into_iter().next().ok_or_else(|| Error::usage(format!("there is no network interface {name}")))
}

fn ip<S: AsRef<OsStr>>(host: &Host, args: &[S]) -> Result<Vec<u8>> {
    let args: Vec<&OsStr> = args.iter().map(AsRef::as_ref).collect();
    program::run(host, "ip", &args, ASK)?.or_error()
}

/// Nothing at all is what `ip` prints where a list would be empty.
fn json<T: for<'a> Deserialize<'a>>(said: &[u8]) -> Result<Vec<T>> {
    if said.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_slice(said).map_err(|e| {
        Error::unsupported("this version of ip prints another JSON than is known here").with_source(e)
    })
}

/// Without NetworkManager, or with it stopped, nothing is managed.
fn is_managed(host: &Host, name: &str) -> bool {
    let args = ["-t", "-f", "GENERAL.NM-MANAGED", "device", "show", name].map(OsStr::new);
    let said = program::run(host, "nmcli", &args, ASK).and_then(program::Ended::or_error);
    said.is_ok_and(|said| said.trim_ascii() == b"GENERAL.NM-MANAGED:yes")
}

fn manager(host: &Host, what: &str, name: &str) -> Result<()> {
    let args = ["--wait", "55", "device", what, name].map(OsStr::new);
    program::run(host, "nmcli", &args, MANAGER)?.or_error().map(drop)
}
