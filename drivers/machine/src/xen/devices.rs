//! Disks and network adapters of a configuration.

use super::read::invalid;
use super::syntax::Config;
use crate::error::shown;
use crate::findings::Findings;
use crate::validate::plain_text_fault;
use crate::{Bus, Disk, DiskSource, MachineError, Nic};

/// A disk's specification by parameter.
#[derive(Debug, Default, PartialEq, Eq)]
struct Spec<'a> {
    target: &'a str,
    format: &'a str,
    vdev: &'a str,
    access: &'a str,
    cdrom: bool,
    virtio: bool,
    script: Option<&'a str>,
    backend: Option<&'a str>,
    unknown: Vec<&'a str>,
}

/// Parses a specification: positional parameters, parameters by name, flags, and the older form with prefixes.
/// `target=` takes the rest of the text, commas included.
fn spec(text: &str) -> Spec<'_> {
    let mut spec = Spec::default();
    let mut rest = text;
    let mut place = 0;
    loop {
        rest = rest.trim_start();
        if let Some(target) = rest.strip_prefix("target=") {
            spec.target = target;
            break;
        }
        let (part, tail) = rest.split_once(',').map_or((rest, None), |(part, tail)| (part, Some(tail)));
        named_or_placed(&mut spec, part.trim_end(), &mut place);
        match tail {
            Some(tail) => rest = tail,
            None => break,
        }
    }
    older(&mut spec);
    while let Some((prefix, path)) = spec.target.split_once(':') {
        match prefix {
            "raw" | "qcow" | "qcow2" | "vhd" | "qed" => spec.format = prefix,
            "tapdisk" | "tap2" | "tap" | "aio" | "ioemu" | "file" | "phy" => {}
            "iscsi" | "nbd" | "enbd" | "drbd" => spec.script = Some(prefix),
            _ => break,
        }
        spec.target = path;
    }
    spec
}

fn named_or_placed<'a>(spec: &mut Spec<'a>, part: &'a str, place: &mut usize) {
    match part.split_once('=') {
        Some(("format", value)) => spec.format = value,
        Some(("vdev", value)) => spec.vdev = value,
        Some(("access", value)) => spec.access = value,
        Some(("devtype", value)) => spec.cdrom = value == "cdrom",
        Some(("script", value)) => spec.script = Some(value),
        Some(("backend", value)) => spec.backend = Some(value),
        Some(("specification", value)) => spec.virtio = value == "virtio",
        Some(("backendtype" | "grant_usage", _)) => {}
        None if part == "cdrom" => spec.cdrom = true,
        None if matches!(part, "direct-io-safe" | "discard" | "no-discard" | "trusted" | "untrusted") => {}
        None if *place < 4 => {
            let slot = [&mut spec.target, &mut spec.format, &mut spec.vdev, &mut spec.access];
            if let Some(slot) = slot.into_iter().nth(*place)
                && !part.is_empty()
            {
                *slot = part;
            }
            *place += 1;
        }
        _ => spec.unknown.push(part),
    }
}

pub(super) fn disks(config: &Config, findings: &mut Findings) -> Result<Vec<Disk>, MachineError> {
    let mut disks: Vec<Disk> = Vec::new();
    for text in config.list("disk")? {
        let spec = spec(text);
        let which = shown(spec.vdev);
        if spec.cdrom {
            let medium = shown(spec.target);
            findings.warn("xen-cdrom", format!("the CD drive {which} with {medium} is left out"));
            continue;
        }
        if spec.vdev.is_empty() || plain_text_fault(spec.vdev).is_some() {
            return Err(invalid(format!("the disk {} has no vdev", shown(text))));
        }
        if disks.iter().any(|disk| disk.id == spec.vdev) {
            return Err(invalid(format!("vdev {which} is used by two disks")));
        }
        losses(&spec, findings);
        let order = u32::try_from(disks.len()).unwrap_or(u32::MAX);
        disks.push(Disk {
            id: spec.vdev.to_owned(),
            source: source(&spec)?,
            bus: bus(&spec),
            order,
            boot: order == 0,
            size_bytes: None,
            device_name: Some(format!("/dev/{}", spec.vdev)),
        });
    }
    if disks.is_empty() {
        return Err(invalid("there is no disk"));
    }
    findings.known("disks", "disk as listed");
    Ok(disks)
}

/// The older form, `tap:qcow2:/path,hdc:cdrom,r`: the virtual device stands where the format stands now.
fn older(spec: &mut Spec<'_>) {
    let is_device = |text: &str| {
        let letters = text.trim_end_matches(|c: char| c.is_ascii_digit());
        ["hd", "sd", "xvd", "vd"].iter().any(|stem| letters.starts_with(stem) && letters.len() > stem.len())
    };
    let (first, devtype) = spec.format.split_once(':').unwrap_or((spec.format, ""));
    if is_device(first) {
        spec.access = spec.vdev;
        spec.cdrom |= devtype == "cdrom";
        spec.vdev = first;
        spec.format = "";
    }
}

fn source(spec: &Spec<'_>) -> Result<DiskSource, MachineError> {
    let path = spec.target.trim();
    if path.is_empty() || plain_text_fault(path).is_some() {
        return Err(invalid(format!("the disk {} has no target that can be named", shown(spec.vdev))));
    }
    let device = path.starts_with("/dev/") || !path.starts_with('/') || spec.script.is_some();
    let name = path.rsplit('/').next().filter(|name| !name.is_empty());
    match name.filter(|_| !device) {
        Some(name) => Ok(DiskSource::File(name.to_owned())),
        None => Ok(DiskSource::Volume(path.to_owned())),
    }
}

fn bus(spec: &Spec<'_>) -> Bus {
    match spec.vdev {
        _ if spec.virtio => Bus::Virtio,
        vdev if vdev.starts_with("hd") => Bus::Ide,
        vdev if vdev.starts_with("sd") => Bus::Scsi,
        _ => Bus::Xen,
    }
}

fn losses(spec: &Spec<'_>, findings: &mut Findings) {
    let which = shown(spec.vdev);
    if matches!(spec.access, "r" | "ro") {
        findings.warn("xen-disk-read-only", format!("disk {which} was read-only and becomes writable"));
    }
    if spec.access.ends_with('!') {
        findings.warn(
            "xen-disk-shared",
            format!("disk {which} was shared with other machines: take it only when all of them are off"),
        );
    }
    if let Some(script) = spec.script {
        findings.warn(
            "xen-disk-script",
            format!(
                "disk {which} is made by the script {}: an image of it has to be made first",
                shown(script)
            ),
        );
    }
    if let Some(backend) = spec.backend.filter(|backend| *backend != "0" && *backend != "Domain-0") {
        findings.warn("xen-backend", format!("disk {which} comes from the domain {}", shown(backend)));
    }
    for part in &spec.unknown {
        findings.warn("xen-disk-option", format!("{} of disk {which} is not understood", shown(part)));
    }
}

/// Options of an adapter that are not taken over.
const NIC_OPTIONS: &[(&str, &str, &str)] = &[
    ("rate", "xen-nic-limits", "has a limit of throughput, which is not kept"),
    ("vlan", "xen-nic-vlan", "is in a VLAN, which has to be set at the target's switch"),
    ("mtu", "xen-nic-mtu", "has an MTU of its own, which is not kept"),
    ("gatewaydev", "xen-nic-routed", "is routed by the host, not bridged"),
    ("netdev", "xen-nic-routed", "is routed by the host, not bridged"),
    ("backend", "xen-backend", "comes from another domain"),
];

pub(super) fn nics(config: &Config, findings: &mut Findings) -> Result<Vec<Nic>, MachineError> {
    let mut nics: Vec<Nic> = Vec::new();
    for (index, text) in config.list("vif")?.into_iter().enumerate() {
        let parts: Vec<(&str, &str)> = text
            .split(',')
            .take(64)
            .filter_map(|part| part.trim().split_once('='))
            .map(|(key, value)| (key.trim(), value.trim()))
            .collect();
        let get = |key: &str| parts.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);
        let which = format!("network adapter {index}");
        for (option, code, loss) in NIC_OPTIONS {
            if get(option).is_some() {
                findings.warn(code, format!("{which} {loss}"));
            }
        }
        if get("script").is_some_and(|script| !script.ends_with("vif-bridge")) {
            findings.warn(
                "xen-nic-script",
                format!("{which} is set up by a script of its own, which is not kept"),
            );
        }
        // Without a model the emulated adapter of xl is meant, which a guest with Xen drivers never uses.
        let model = get("model").or_else(|| (get("type") == Some("vif")).then_some("netfront"));
        let addresses = get("ip").unwrap_or_default().split_ascii_whitespace();
        let addresses = addresses.map(|text| text.split('/').next().unwrap_or_default());
        nics.push(Nic {
            mac: findings.mac("xen-mac", &which, get("mac"), &nics),
            network: findings.text("xen-text", "the name of a bridge", get("bridge")),
            model: findings.text("xen-text", "an adapter model", model),
            addresses: addresses
                .filter(|text| text.parse::<std::net::IpAddr>().is_ok())
                .take(256)
                .map(str::to_owned)
                .collect(),
        });
    }
    if !nics.is_empty() {
        findings.known("nics", "vif as listed");
    }
    Ok(nics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_specifications_are_equal() {
        let wanted = ("/dev/vg/guest", "hda", "rw", false);
        for text in [
            "/dev/vg/guest,raw,hda,rw",
            "format=raw, vdev=hda, access=rw, target=/dev/vg/guest",
            "raw:/dev/vg/guest,hda,rw",
            "phy:/dev/vg/guest,hda,rw",
            "/dev/vg/guest,,hda,rw,discard",
        ] {
            let spec = spec(text);
            assert_eq!((spec.target, spec.vdev, spec.access, spec.cdrom), wanted, "{text}");
        }
        for text in [
            "/root/image.iso,,hdc,cdrom",
            "/root/image.iso,raw,hdc,devtype=cdrom",
            "file:/root/image.iso,hdc:cdrom,r",
            "format=raw, vdev=hdc, access=ro, devtype=cdrom, target=/root/image.iso",
        ] {
            let spec = spec(text);
            assert_eq!((spec.target, spec.vdev, spec.cdrom), ("/root/image.iso", "hdc", true), "{text}");
        }
    }

    #[test]
    fn a_named_target_takes_the_rest() {
        let spec = spec("vdev=xvda, format=qcow2, target=/a, b=c,vdev=x ");
        assert_eq!((spec.target, spec.vdev, spec.format), ("/a, b=c,vdev=x ", "xvda", "qcow2"));
    }
}
