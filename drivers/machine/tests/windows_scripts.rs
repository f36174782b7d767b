//! Scripts for guests that are Windows: judged by bash and shellcheck, run with stand-ins for the tools they call.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod machines;
mod stand_ins;

use std::process::Command;

use driver_machine::clouds::{azure, ec2, gcp};
use driver_machine::{DiskBus, Machine, NicModel, OsFamily, OsHint, Tpm, virtualbox};
use machines::{HOSTILE, Writer, codes, golden, hostile, hostile_files, machine, options};
use stand_ins::Workplace;

const EC2: &[(&str, &str)] =
    &[("REGION", "eu-central-1"), ("BUCKET", "bucket"), ("POLL_SECONDS", "0"), ("LICENSE_TYPE", "BYOL")];

fn windows(mut machine: Machine, description: &str) -> Machine {
    machine.os = Some(OsHint { family: OsFamily::Windows, description: description.into() });
    machine
}

/// Runs what `write` makes of `machine`, and gives its calls.
fn calls(write: Writer, machine: &Machine, format: &'static str, filled: &[(&str, &str)]) -> String {
    let given = options(machine, format, DiskBus::Sata, NicModel::E1000);
    let place = Workplace::new(&write(machine, &given).unwrap().text, &given);
    let run = place.run(filled);
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    place.calls_as_text()
}

#[test]
fn amazon_imports_the_image_and_decides_about_the_licence() {
    let dc = windows(machine("dc", 2), "Windows Server 2016 Datacenter 10.0.14393");
    let given = options(&dc, "vmdk", DiskBus::Nvme, NicModel::E1000);
    let made = ec2::definition(&dc, &given).unwrap();
    golden("windows.ec2.sh", &made.text);
    let made_calls = calls(ec2::definition, &dc, "vmdk", EC2);
    golden("windows.ec2.calls", &made_calls);
    assert!(!made_calls.contains("register-image") && !made_calls.contains("import-snapshot"));
    assert!(codes(&made.warnings).contains(&"ec2-windows"));
    for (name, value, wanted) in [
        ("LICENSE_TYPE", "", "error: LICENSE_TYPE is empty"),
        ("LICENSE_TYPE", "mine", "possible are AWS and BYOL"),
        ("IMPORT_ENDS", "deleted", "import import-ami-0123 ended as deleted"),
    ] {
        let place = Workplace::new(&made.text, &given);
        let mut filled: Vec<_> = EC2.iter().copied().filter(|(other, _)| *other != name).collect();
        filled.push((name, value));
        let run = place.run(&filled);
        let words = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(!run.status.success() && words.contains(wanted), "{words}");
        assert_eq!(place.calls().is_empty(), name == "LICENSE_TYPE");
    }
}

#[test]
fn bash_and_shellcheck_find_nothing_and_foreign_texts_run_nothing() {
    for (index, description) in HOSTILE.iter().enumerate() {
        let source = windows(hostile(index), description);
        let given = options(&source, "raw", DiskBus::Nvme, NicModel::E1000);
        let given = hostile_files(&source, given, index);
        let made = ec2::definition(&source, &given).unwrap();
        let place = Workplace::new(&made.text, &given);
        for judge in [&["bash", "-n"][..], &["shellcheck", "--shell=bash", "--exclude=SC2016,SC1003,SC1112"]]
        {
            let output = Command::new(judge[0]).args(&judge[1..]).arg(place.script()).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        }
        let run = place.run(EC2);
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        assert!(!place.has_canary(), "{index}");
        for argument in place.calls().iter().flatten() {
            assert!(!["file://", "@/", "fileb://"].iter().any(|start| argument.starts_with(start)));
        }
    }
}

#[test]
fn an_import_has_no_tpm() {
    let mut source = windows(machine("pc", 1), "Windows 11 Pro 10.0.22631");
    let given = options(&source, "vmdk", DiskBus::Nvme, NicModel::E1000);
    let found = |source: &Machine| {
        let made = ec2::definition(source, &given).unwrap();
        codes(&made.warnings).into_iter().filter(|code| code.contains("tpm")).collect::<Vec<_>>()
    };
    assert_eq!(found(&source), ["ec2-tpm-none"]);
    source.tpm = Some(Tpm::V2_0);
    assert_eq!(found(&source), ["ec2-tpm-none"]);
}

#[test]
fn virtualbox_takes_the_best_type_that_it_knows() {
    for (description, wanted) in [
        ("Windows Server 2022 Standard 10.0.20348", "Windows2022_64"),
        ("Windows Server 2025 Standard 10.0.26100", "Windows2022_64"),
        ("Windows Server 2019 Standard 10.0.17763", "Windows2019_64"),
        ("Windows 11 Pro 10.0.22631", "Windows10_64"),
        // Of which the stand-in knows none.
        ("Windows Server 2008 R2 Standard 6.1.7601", "Windows2008_64"),
    ] {
        let machine = windows(machine("web", 1), description);
        let made = calls(virtualbox::definition, &machine, "vdi", &[("NETWORK", "nat")]);
        assert!(made.contains(&format!("createvm | --name | web | --ostype | {wanted} |")), "{made}");
    }
}

#[test]
fn azure_and_google_are_told_that_it_is_windows() {
    let machine = windows(machine("web", 1), "Windows Server 2019 Standard 10.0.17763");
    let filled = [
        ("RESOURCE_GROUP", "group"),
        ("LOCATION", "westeurope"),
        ("VM_SIZE", "Standard_D2s_v5"),
        ("SUBNET_IDS", "/subnets/a /subnets/b"),
        ("PROJECT", "project"),
        ("ZONE", "europe-west1-b"),
        ("BUCKET", "bucket"),
        ("MACHINE_TYPE", "e2-small"),
        ("SUBNETWORKS", "net-a net-b"),
    ];
    let made = calls(azure::definition, &machine, "vhd", &filled);
    assert_eq!(made.matches("--os-type | Windows").count(), 2, "{made}");
    let made = calls(gcp::definition, &machine, "raw", &filled);
    assert!(made.contains("--guest-os-features=UEFI_COMPATIBLE,WINDOWS"), "{made}");
}
