//! `rehome batch schema|plan|check|emit`: what is done with job files before they are run.

pub(crate) mod check;
mod check_report;
mod check_source;
pub(crate) mod emit;
pub(crate) mod plan;
pub(crate) mod schema;

use crate::args::{JobFileArgs, NotationKind};
use crate::output::{Printer, safe, to_stderr};
use convert_job_file::{Fault, JobFile, Notation, Resolved};
use format_core::{Error, Result};

/// The job file and what it comes to. Where it is wrong, people see the line.
pub(crate) fn read(args: &JobFileArgs, printer: &Printer) -> Result<(JobFile, Resolved)> {
    let notation = args.format.map(|format| match format {
        NotationKind::Toml => Notation::Toml,
        NotationKind::Yaml => Notation::Yaml,
    });
    let file = JobFile::read(&args.job_file, notation).map_err(|fault| shown(fault, printer))?;
    let resolved = file.resolve().map_err(|fault| shown(fault, printer))?;
    Ok((file, resolved))
}

fn shown(fault: Fault, printer: &Printer) -> Error {
    if !printer.is_json()
        && let Some(place) = &fault.place
    {
        place.excerpt.lines().for_each(|line| to_stderr(&safe(line)));
    }
    fault.into()
}

#[cfg(test)]
mod tests {
    use convert_job_file::{ADDRESS_SCHEMES, JobFile, Notation, Text};
    use std::path::Path;

    /// Every field of a job, so that none is called otherwise on the command line.
    const JOBS: &str = r#"
version = 1
[batch]
output = "/out"
[[job]]
id = "machine"
to = "xen"
source = ["-a.vmdk", "b c.vmdk"]
format = "vmdk"
snapshot = "-s"
pick = "0"
at = "2026-11-29"
parent = "p"
allow_parent = "d"
key_file = ["k", "l"]
ignore_checksum = true
long_window = true
ssh_config = "sc"
ssh_option = ["Port=22", "-x"]
sudo = true
skip_free = true
credentials_file = "cf"
ca_file = "ca"
insecure_http = true
spool = "t"
machine = "m.vmx"
instance = "-i"
firmware = "uefi"
disk_bus = "sata"
xen_type = "hvm"
definition = "vmx"
wrap = true
network_map = { "-a b" = "LAN", "*" = "c=d" }
mac = ["new", "00:50:56:01:02:03=52:54:00:aa:bb:cc"]
static_ip = ["eth0=192.0.2.10/24,192.0.2.1,192.0.2.53", "eth1=2001:db8::2/64"]
keep_mtu = true
regenerate = ["machine-id", "ssh-host-keys"]
add_module = "-x"
rebuild_initramfs = true
rebuild_menu = true
trim = true
editor = "microvm"
kernel = "vmlinuz"
kernel_modules = "modules"
virtio_win = "v.iso"
discard_hibernation = true
boot_test = true
boot_test_memory = 2048
boot_test_timeout = 60
force = true
threads = 3
rate_limit = "50M"
max_memory = "64M"
evidence = "e"
[[job]]
id = "generation"
to = "hyperv"
source = "a"
generation = 2
[[job]]
id = "image"
source = "-a.raw"
target_format = "vmdk"
target = "-b.vmdk"
options = { subformat = "monolithicFlat", x = true }
verify = true
also = ["blake3", "sha256", "md5"]
on_read_error = "retry=3"
mapfile = "map"
source_mapfile = "smap"
[[job]]
id = "larger"
source = "a.raw"
target_format = "raw"
size = "2G"
[[job]]
id = "address"
source = "ssh://root@web/dev/sda"
target_format = "qcow2"
"#;

    #[test]
    fn every_field_is_an_option_of_the_command_line() {
        let text = Text {
            name: "jobs.toml".into(),
            folder: "/b".into(),
            notation: Notation::Toml,
            content: JOBS.into(),
        };
        let resolved = JobFile::parse(text, &|_| None).and_then(|file| file.resolve()).unwrap();
        for job in &resolved.jobs {
            for command in [Some(job.command()), job.dry_run()].into_iter().flatten() {
                let words =
                    ["rehome".into(), "--output".into(), "json".into()].into_iter().chain(command.clone());
                let found = crate::command().try_get_matches_from(words);
                assert!(found.is_ok(), "{command:?}: {}", found.unwrap_err());
            }
        }
        // The test names all fields: those of the schema but those about when and where a job runs.
        let schema = convert_job_file::schema();
        let fields = schema["$defs"]["Job"]["properties"].as_object().unwrap();
        let elsewhere = [
            "kind",
            "title",
            "output",
            "wave",
            "priority",
            "source_group",
            "target_group",
            "timeout",
            "isolate",
            "destination",
        ];
        for field in fields.keys().filter(|field| !elsewhere.contains(&field.as_str())) {
            assert!(JOBS.contains(&format!("\n{field} = ")), "{field} is not tested");
        }
    }

    #[test]
    fn addresses_of_job_files_are_those_of_commands() {
        for scheme in ADDRESS_SCHEMES {
            let address = format!("{scheme}://a/b");
            assert!(crate::remotes::is_address(Path::new(&address)), "{address}");
        }
    }
}
