//! Windows guests move: what changed in files and registry is exactly what the report says, by the eyes of other people's programs.
//! Nothing here starts: the disks look like Windows as far as a migration looks (`tests/windows_guests`).

mod drivers;
mod judge;
mod planned;

use judge::{Guest, Moved, agrees};
use test_windows_guests::{Export, export, file};

/// Migrates a guest, and compares everything that became different with the reviewed file.
fn moves(name: &str, to: &str, more: &[&str]) -> (Guest, Moved) {
    let guest = Guest::new(name);
    let machine = drivers::machine(&guest.bench, guest.recipe);
    let mut args: Vec<&str> = machine.iter().flat_map(|file| ["--machine", file]).collect();
    args.extend(more);
    if more.contains(&"--virtio-win") {
        drivers::put(&guest.bench);
    }
    let moved = guest.migrate(to, &args);
    let kind = if more.contains(&"--virtio-win") { "-virtio" } else { "" };
    agrees(&format!("{name}-{to}{kind}"), &guest.differences(&moved));
    guest.again(&moved, to, &args);
    let warnings = moved.report["warnings"].as_array().unwrap();
    assert!(warnings.iter().any(|warning| warning["code"] == "windows-not-confirmed"), "{warnings:?}");
    assert_eq!(moved.report["outcome"], "done");
    (guest, moved)
}

const VIRTIO: [&str; 2] = ["--virtio-win", "drivers"];

macro_rules! guests {
    ($($test:ident $name:literal,)*) => {
        $(mod $test {
            #[test]
            fn to_hyperv() {
                super::moves($name, "hyperv", &[]);
            }

            #[test]
            fn to_kvm_with_what_it_has() {
                super::moves($name, "kvm", &[]);
            }
        })*
    };
}

guests! {
    server_2016_xen "2016-xen-bios",
    server_2022_nitro "2022-nitro-uefi",
    server_2008_r2_vmware "2008r2-vmware-bios",
    server_2008_r2_xen "2008r2-xen-bios",
    server_2012_r2_citrix "2012r2-citrix-bios",
    server_2012_r2_physical "2012r2-physical-bios",
    server_2016_nitro "2016-nitro-bios",
    server_2016_vmware "2016-vmware-uefi",
    server_2019_kvm_pending "2019-kvm-uefi-pending",
    server_2019_hyperv_dirty "2019-hyperv-bios-dirty",
    server_2019_virtualbox "2019-virtualbox-bios",
    server_2022_kvm_compact "2022-kvm-uefi-compact",
    server_2022_hyperv "2022-hyperv-uefi",
    server_2022_nitro_sysprep "2022-nitro-uefi-sysprep",
    windows_7_vmware "7-vmware-bios-x86",
}

#[test]
fn drivers_that_are_given_are_put_into_a_guest_of_kvm() {
    moves("2019-kvm-uefi-pending", "kvm", &VIRTIO);
}

#[test]
fn drivers_that_are_given_are_put_into_a_packed_guest_of_kvm() {
    moves("2022-kvm-uefi-compact", "kvm", &VIRTIO);
}

#[test]
fn drivers_that_are_given_are_put_into_a_guest_of_ec2() {
    let (guest, moved) = moves("2016-xen-bios", "kvm", &VIRTIO);
    let definition = text_of(&guest, &moved, ".xml");
    assert!(
        definition.contains("bus='virtio'") && definition.contains("<model type='virtio'/>"),
        "{definition}"
    );
    // The address that EC2 gave is the one that the first start looks for.
    assert!(definition.contains("02:aa:bb:cc:dd:00"), "{definition}");
    let step = file(&guest.bench.path(&moved.raw[0]), "Windows/rehome/firstboot/20-static-ip-1.cmd");
    assert!(String::from_utf8(step).unwrap().contains("02 aa bb cc dd 00"));
}

#[test]
fn drivers_that_are_given_are_put_into_a_guest_with_critical_devices() {
    moves("2008r2-vmware-bios", "kvm", &VIRTIO);
}

/// The written file whose name ends like this.
fn text_of(guest: &Guest, moved: &Moved, end: &str) -> String {
    let files = moved.report["files"].as_array().unwrap();
    let name = files.iter().map(|file| file.as_str().unwrap()).find(|name| name.ends_with(end)).unwrap();
    String::from_utf8(guest.bench.read(&format!("vm/{name}"))).unwrap()
}

#[test]
fn without_drivers_kvm_gives_what_windows_has_drivers_for() {
    let guest = Guest::new("2016-xen-bios");
    let moved = guest.migrate("kvm", &[]);
    assert_eq!(moved.report["choice"]["target"]["id"], "kvm-bios-sata");
    let definition = text_of(&guest, &moved, ".xml");
    assert!(
        definition.contains("bus='sata'") && definition.contains("<model type='e1000e'/>"),
        "{definition}"
    );
    assert!(!definition.contains("bus='virtio'"), "{definition}");
}

#[test]
fn what_was_only_in_the_log_is_in_the_result() {
    let guest = Guest::new("2019-hyperv-bios-dirty");
    let moved = guest.migrate("hyperv", &[]);
    let config = "Windows/System32/config/SYSTEM";
    let of = |disk: &str| -> Export { export(&file(&guest.bench.path(disk), config)) };
    let (before, after) = (of(&guest.disks[0]), of(&moved.raw[0]));
    let (service, name) =
        ("\\ControlSet001\\Services\\LateService", "\\ControlSet001\\Control\\ComputerName\\ComputerName");
    assert!(!before.contains_key(service) && before[name]["ComputerName"] != "sz:\"AFTERLOG\"");
    assert_eq!(after[name]["ComputerName"], "sz:\"AFTERLOG\"");
    assert_eq!(after[service]["ImagePath"], "expand:\"C:\\Windows\\late.exe\"");
    // The plan goes on from what the log says.
    assert!(!after.contains_key("\\ControlSet001\\Services\\storahci\\StartOverride"));
    for log in ["LOG1", "LOG2"] {
        let path = format!("{config}.{log}");
        assert_ne!(file(&guest.bench.path(&guest.disks[0]), &path), b"");
        assert_eq!(file(&guest.bench.path(&moved.raw[0]), &path), b"");
    }
}

/// Exit 78, nothing written, and what the report says.
fn is_blocked(name: &str, to: &str, more: &[&str]) -> String {
    let guest = Guest::new(name);
    let (names, times) = (guest.bench.names(), guest.times());
    let run = guest.bench.rehome(&Guest::arguments(&guest.disks, to, "vm", more)).ends(78);
    guest.assert_untouched(&times);
    assert_eq!(guest.bench.names(), names);
    run.stdout
}

#[test]
fn what_a_person_has_to_do_first_is_said() {
    for (name, remedies) in [
        ("11-physical-uefi-hibernated", &["powercfg /h off", "--discard-hibernation"][..]),
        ("11-kvm-uefi-bitlocker", &["manage-bde -off"]),
        ("2016-physical-dynamic", &["basic disk"]),
    ] {
        for to in ["hyperv", "kvm"] {
            let said = is_blocked(name, to, &[]);
            assert!(remedies.iter().all(|remedy| said.contains(remedy)), "{name} to {to}: {said}");
        }
    }
}

#[test]
fn clouds_want_drivers_that_only_the_guest_can_get() {
    for (name, to, step) in [
        ("2016-xen-bios", "gcp", "--virtio-win"),
        ("2016-xen-bios", "aws", "install Amazon's ENA and NVMe drivers in the running guest"),
        ("2022-hyperv-uefi", "aws", "install Amazon's ENA and NVMe drivers in the running guest"),
    ] {
        let said = is_blocked(name, to, &[]);
        assert!(said.contains(step), "{name} to {to}: {said}");
    }
}

#[test]
fn machines_that_cannot_start_it_are_refused() {
    for (name, to, more, step) in [
        ("2016-xen-bios", "xen", ["--xen-type", "pvh"], "leave --xen-type out"),
        ("2008r2-xen-bios", "hyperv", ["--generation", "2"], "--firmware bios"),
        ("2022-hyperv-uefi", "hyperv", ["--generation", "1"], "--firmware uefi"),
    ] {
        let said = is_blocked(name, to, &more);
        assert!(said.contains(step), "{name} to {to}: {said}");
    }
}

#[test]
fn a_hibernated_system_is_given_up_only_when_asked() {
    let more = ["--discard-hibernation"];
    let (guest, moved) = moves("11-physical-uefi-hibernated", "hyperv", &more);
    let mut sleeping = file(&guest.bench.path(&guest.disks[0]), "hiberfil.sys");
    assert_ne!(sleeping[..4096], [0; 4096]);
    sleeping[..4096].fill(0);
    assert_eq!(file(&guest.bench.path(&moved.raw[0]), "hiberfil.sys"), sleeping);
    let said = moved.report["replays"].to_string();
    assert!(said.contains("gave up the hibernated Windows"), "{said}");
}

#[test]
fn feedback_names_nothing_of_the_machine() {
    let guest = Guest::new("2016-xen-bios");
    let file = drivers::machine(&guest.bench, guest.recipe).unwrap();
    let more = ["--machine", file, "--collect-feedback", "feedback.json"];
    let moved = guest.migrate("hyperv", &more);
    let feedback = guest.bench.json_of("feedback.json");
    assert_eq!((&feedback["target"], &feedback["outcome"]), (&"hyperv-gen1".into(), &"done".into()));
    assert!(feedback["result"]["started"].is_null());
    assert_eq!(
        feedback["fixups"].as_array().unwrap().len(),
        moved.report["fixups"].as_array().unwrap().len()
    );
    let text = feedback.to_string().to_lowercase();
    let secrets =
        ["phony-pc", "shop", "10.0.2", "10.0.0", "02:aa:bb", "disk0", "/windows", "\\\\", "i-0123", "vm/"];
    for secret in secrets {
        assert!(
            moved.report.to_string().to_lowercase().contains(secret) || secret == "i-0123",
            "{secret} is in the report"
        );
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    // A later run does not write over what a person filled in.
    let print = guest.bench.fingerprint("feedback.json");
    let run = guest.bench.rehome(&Guest::arguments(&guest.disks, "hyperv", "other", &more)).ends(73);
    assert!(run.stderr.contains("feedback.json"), "{run:?}");
    assert_eq!(guest.bench.fingerprint("feedback.json"), print);
}
