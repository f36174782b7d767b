//! What fields mean together: found here, with their places, and not in the middle of the night by the job.

use super::kind_of;
use crate::fault::Result;
use crate::job_file::JobFile;
use crate::model::{IsolateHow, Job, Kind};

/// Fields that only a migration has.
const MIGRATE_ONLY: [&str; 26] = [
    "to",
    "machine",
    "instance",
    "firmware",
    "generation",
    "disk_bus",
    "xen_type",
    "definition",
    "wrap",
    "network_map",
    "mac",
    "static_ip",
    "keep_mtu",
    "regenerate",
    "add_module",
    "rebuild_initramfs",
    "rebuild_menu",
    "trim",
    "editor",
    "kernel",
    "kernel_modules",
    "virtio_win",
    "discard_hibernation",
    "boot_test",
    "boot_test_memory",
    "boot_test_timeout",
];

/// Fields that only a conversion has.
const CONVERT_ONLY: [&str; 8] =
    ["target_format", "target", "options", "size", "also", "on_read_error", "mapfile", "source_mapfile"];

pub(super) fn job(file: &JobFile, index: usize, job: &Job) -> Result<()> {
    let kind = kind_of(job);
    if job.source.0.is_empty() {
        return Err(file
            .fault(index, "source", "the job has no source")
            .hint("name the image with source = \"FILE\""));
    }
    let (foreign, other): (&[&str], _) = match kind {
        Kind::Migrate => (&CONVERT_ONLY, "a conversion"),
        Kind::Convert => (&MIGRATE_ONLY, "a migration"),
    };
    // Of the defaults each job takes what fits.
    if let Some(name) = foreign.iter().find(|name| file.says(index, name)) {
        let text = format!("{name} is for {other}, and this job is a {}", noun(kind));
        return Err(file.fault(index, name, text).hint("say what the job does with kind and to"));
    }
    numbers(file, index, job)?;
    isolation(file, index, job)?;
    match kind {
        Kind::Migrate => migration(file, index, job),
        Kind::Convert => conversion(file, index, job),
    }
}

fn noun(kind: Kind) -> &'static str {
    match kind {
        Kind::Migrate => "migration",
        Kind::Convert => "conversion",
    }
}

fn numbers(file: &JobFile, index: usize, job: &Job) -> Result<()> {
    let wrong = [
        ("wave", job.wave.is_some_and(|wave| wave > 100_000), "at most 100000"),
        ("timeout", job.timeout == Some(0), "at least 1 second"),
        ("threads", job.threads.is_some_and(|n| !(1..=64).contains(&n)), "from 1 to 64"),
        ("generation", job.generation.is_some_and(|n| !(1..=2).contains(&n)), "1 or 2"),
        (
            "boot_test_memory",
            job.boot_test_memory.is_some_and(|n| !(64..=1 << 20).contains(&n)),
            "from 64 to 1048576 MiB",
        ),
        (
            "boot_test_timeout",
            job.boot_test_timeout.is_some_and(|n| !(1..=86_400).contains(&n)),
            "from 1 to 86400 seconds",
        ),
    ];
    match wrong.iter().find(|(_, is_wrong, _)| *is_wrong) {
        Some((name, _, range)) => Err(file.fault(index, name, format!("{name} is {range}"))),
        None => Ok(()),
    }
}

fn isolation(file: &JobFile, index: usize, job: &Job) -> Result<()> {
    let isolate = job.isolate.as_ref().or(file.model.batch.isolate.as_ref());
    let Some(isolate) = isolate else { return Ok(()) };
    if isolate.how == IsolateHow::NetworkDown && isolate.interface.is_none() {
        return Err(file
            .fault(index, "isolate", "isolation by network-down names no interface")
            .hint("name it with interface = \"eth1\""));
    }
    Ok(())
}

fn migration(file: &JobFile, index: usize, job: &Job) -> Result<()> {
    if job.to.is_none() {
        return Err(file
            .fault(index, "kind", "the migration has no target platform")
            .hint("say where it goes, as in to = \"hyperv\""));
    }
    if job.verify == Some(false) && file.says(index, "verify") {
        return Err(file.fault(index, "verify", "a migration is always verified"));
    }
    if job.generation.is_some() && job.firmware.is_some() {
        return Err(file.fault(index, "generation", "generation and firmware say the same: give one"));
    }
    let wants_test = job.boot_test == Some(true);
    for name in ["boot_test_memory", "boot_test_timeout"] {
        if !wants_test && file.says(index, name) {
            return Err(file
                .fault(index, name, format!("{name} without boot_test"))
                .hint("say boot_test = true"));
        }
    }
    for (source, _) in &job.network_map.0 {
        if source.trim().is_empty() {
            return Err(file.fault(index, "network_map", "a network has no name"));
        }
    }
    let is_keep_and_new = ["keep", "new"].iter().all(|word| job.mac.iter().any(|mac| mac == *word));
    if is_keep_and_new {
        return Err(file.fault(index, "mac", "mac cannot be keep and new at once"));
    }
    if let Some(wrong) = job.mac.iter().find(|mac| !is_mac_wish(mac)) {
        return Err(file
            .fault(index, "mac", format!("{wrong:?} is neither keep nor new nor a pair of addresses"))
            .hint("write pairs as 00:50:56:01:02:03=52:54:00:aa:bb:cc"));
    }
    if let Some(wrong) = job.static_ip.iter().find(|address| !is_static_ip(address)) {
        return Err(file
            .fault(index, "static_ip", format!("{wrong:?} is no address of an interface"))
            .hint("write it as eth0=192.0.2.10/24,192.0.2.1,192.0.2.53"));
    }
    Ok(())
}

fn is_mac_wish(text: &str) -> bool {
    let is_mac = |mac: &str| {
        let parts: Vec<_> = mac.split([':', '-']).collect();
        parts.len() == 6
            && parts.iter().all(|part| part.len() == 2 && part.chars().all(|c| c.is_ascii_hexdigit()))
    };
    text.split(',').all(|word| {
        matches!(word, "keep" | "new")
            || word.split_once('=').is_some_and(|(from, to)| is_mac(from) && is_mac(to))
    })
}

fn is_static_ip(text: &str) -> bool {
    let Some((interface, addresses)) = text.rsplit_once('=') else { return false };
    let mut addresses = addresses.split(',');
    let first = addresses.next().and_then(|address| address.split_once('/'));
    let is_first = first.is_some_and(|(address, length)| {
        let most = match address.parse() {
            Ok(std::net::IpAddr::V4(_)) => 32,
            Ok(std::net::IpAddr::V6(_)) => 128,
            Err(_) => return false,
        };
        length.parse::<u8>().is_ok_and(|length| length <= most)
    });
    !interface.is_empty() && is_first && addresses.all(|address| address.parse::<std::net::IpAddr>().is_ok())
}

fn conversion(file: &JobFile, index: usize, job: &Job) -> Result<()> {
    if job.source.0.len() > 1 {
        return Err(file
            .fault(index, "source", "a conversion has one source")
            .hint("make a job for each image"));
    }
    match (&job.target, &job.target_format) {
        (None, None) => {
            return Err(file
                .fault(index, "source", "nothing says what the image becomes")
                .hint("say it with target_format = \"qcow2\", or with to = \"kvm\" for a whole machine"));
        }
        (Some(target), _) if !is_file_name(target) => {
            return Err(file
                .fault(index, "target", format!("{target:?} is no name of a file"))
                .hint("name the folder with output"));
        }
        _ => {}
    }
    if let Some((key, value)) = job.options.0.iter().find(|(key, value)| !is_option(key, value)) {
        return Err(file
            .fault(index, "options", format!("{key}={value} cannot be an option of a format"))
            .hint("'rehome formats' lists the options"));
    }
    if job.mapfile.is_some() && job.size.is_some() {
        return Err(file.fault(index, "mapfile", "mapfile and size exclude each other"));
    }
    let how = job.on_read_error.as_deref().unwrap_or("fail");
    let retries = how.strip_prefix("retry=").map(|number| number.parse::<u32>());
    if !matches!(how, "fail" | "zero") && !matches!(retries, Some(Ok(_))) {
        return Err(file
            .fault(index, "on_read_error", format!("{how:?} is not known"))
            .hint("possible are fail, zero, retry=N"));
    }
    Ok(())
}

fn is_file_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\0'])
}

/// Several are separated by commas on the command line, and nothing escapes one.
fn is_option(key: &str, value: &str) -> bool {
    let is_key = key.starts_with(|c: char| c.is_ascii_alphanumeric()) && !key.contains([',', '=']);
    is_key && !value.contains(',')
}
