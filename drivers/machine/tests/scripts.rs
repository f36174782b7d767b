//! Scripts for bash: judged by bash and shellcheck, run with stand-ins for the tools they call.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod machines;
mod stand_ins;

use std::process::Command;

use driver_machine::clouds::ec2::{S3Place, import_image};
use driver_machine::clouds::{azure, ec2, gcp};
use driver_machine::{
    Architecture, Cpu, DefinitionOptions, DiskBus, FirmwareKind, Machine, MachineErrorKind, Nic, NicModel,
    Tpm, virtualbox,
};
use machines::{HOSTILE, Writer, codes, golden, hostile, hostile_files, machine, options};
use stand_ins::{Workplace, variables};

/// A target: its writer, the format of its disks, and what the operator fills in.
struct Target {
    name: &'static str,
    write: Writer,
    format: &'static str,
    filled: &'static [(&'static str, &'static str)],
}

const TARGETS: &[Target] = &[
    Target {
        name: "virtualbox",
        write: virtualbox::definition,
        format: "vmdk",
        filled: &[("NETWORK", "bridged:eth0")],
    },
    Target {
        name: "azure",
        write: azure::definition,
        format: "vhd",
        filled: &[
            ("RESOURCE_GROUP", "group"),
            ("LOCATION", "westeurope"),
            ("VM_SIZE", "Standard_D2s_v5"),
            ("SUBNET_IDS", "/subnets/a /subnets/b"),
        ],
    },
    Target {
        name: "gcp",
        write: gcp::definition,
        format: "raw",
        filled: &[
            ("PROJECT", "project"),
            ("ZONE", "europe-west1-b"),
            ("BUCKET", "bucket"),
            ("MACHINE_TYPE", "e2-small"),
            ("SUBNETWORKS", "net-a net-b"),
        ],
    },
    Target {
        name: "ec2",
        write: ec2::definition,
        format: "raw",
        filled: &[("REGION", "eu-central-1"), ("BUCKET", "bucket"), ("POLL_SECONDS", "0")],
    },
];

fn given(machine: &Machine, target: &Target) -> DefinitionOptions {
    options(machine, target.format, DiskBus::Sata, NicModel::E1000)
}

#[test]
fn golden_scripts_and_what_they_call() {
    for target in TARGETS {
        let web = machine("web", 2);
        let given = given(&web, target);
        let made = (target.write)(&web, &given).unwrap();
        assert_eq!(made.file_name, format!("web.{}.sh", target.name));
        golden(&made.file_name, &made.text);
        let place = Workplace::new(&made.text, &given);
        let run = place.run(target.filled);
        assert!(run.status.success(), "{}: {}", target.name, String::from_utf8_lossy(&run.stderr));
        golden(&format!("web.{}.calls", target.name), &place.calls_as_text());
    }
}

#[test]
fn bash_and_shellcheck_find_nothing() {
    let judged = |target: &Target, machine: &Machine, given: &DefinitionOptions, excluded: &str| {
        let made = (target.write)(machine, given).unwrap();
        let place = Workplace::empty(&made.text);
        for judge in [&["bash", "-n"][..], &["shellcheck", "--shell=bash", excluded]] {
            let output = Command::new(judge[0]).args(&judge[1..]).arg(place.script()).output().unwrap();
            let words = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{}: {words}", target.name);
        }
    };
    for target in TARGETS {
        let web = machine("web", 2);
        judged(target, &web, &given(&web, target), "--exclude=SC9999");
        for index in 0..HOSTILE.len() {
            let source = hostile(index);
            let given = hostile_files(&source, given(&source, target), index);
            // These say only that a literal looks as if it were meant to be expanded or quoted.
            judged(target, &source, &given, "--exclude=SC2016,SC1003,SC1112");
        }
    }
}

/// Each variable has the value it was given, and the program around the data is the same for every machine.
#[test]
fn hostile_texts_are_values_and_nothing_else() {
    for target in TARGETS {
        let tame = machine("tame", 2);
        let tame = (target.write)(&tame, &given(&tame, target)).unwrap().text;
        for index in 0..HOSTILE.len() {
            let source = hostile(index);
            let given = hostile_files(&source, given(&source, target), index);
            let made = (target.write)(&source, &given).unwrap();
            let (head, data, body) = parts(&made.text);
            let (tame_head, _, tame_body) = parts(&tame);
            assert_eq!((head, body), (tame_head, tame_body));
            let found =
                variables(data, &["FIRMWARE_REASON", "DISK_FILES[0]", "DISK_FILES[1]", "SOURCE_NETWORKS[1]"]);
            let network = source.nics[1].network.clone().unwrap();
            let wanted = [
                given.firmware_reason.clone(),
                given.disks[0].file.clone(),
                given.disks[1].file.clone(),
                network,
            ];
            assert_eq!(found, wanted, "{} {index}", target.name);
            let name = variables(data, &[if target.name == "ec2" { "IMAGE_NAME" } else { "MACHINE" }]);
            assert_eq!(name.concat(), made.machine_name);
            let place = Workplace::new(&made.text, &given);
            let run = place.run(target.filled);
            assert!(run.status.success(), "{}: {}", target.name, String::from_utf8_lossy(&run.stderr));
            assert!(!place.has_canary(), "{} {index}", target.name);
            for argument in place.calls().iter().flatten() {
                let path = ["file://", "@/", "fileb://"].iter().any(|start| argument.starts_with(start));
                assert!(!path, "the tools read a file for {argument}");
            }
        }
    }
}

fn parts(script: &str) -> (&str, &str, &str) {
    let start = script.find("\n# ---- The machine.").unwrap();
    let end = script.find("\n# ---- Functions. ----").unwrap();
    (&script[..start], &script[start..end], &script[end..])
}

#[test]
fn nothing_is_called_before_everything_is_filled_in_and_there() {
    for target in TARGETS {
        let web = machine("web", 2);
        let given = given(&web, target);
        let made = (target.write)(&web, &given).unwrap();
        for left_out in target.filled.iter().map(|(name, _)| *name).filter(|name| *name != "POLL_SECONDS") {
            let place = Workplace::new(&made.text, &given);
            let filled: Vec<_> =
                target.filled.iter().copied().filter(|(name, _)| *name != left_out).collect();
            let run = place.run(&filled);
            let words = String::from_utf8_lossy(&run.stderr).into_owned();
            assert!(
                !run.status.success() && words.contains(&format!("error: {left_out} is empty")),
                "{words}"
            );
            assert_eq!(place.calls(), Vec::<Vec<String>>::new());
        }
        for file in [&given.disks[1].file, &given.disks[0].manifest] {
            let place = Workplace::new(&made.text, &given);
            place.remove(file);
            let run = place.run(target.filled);
            let words = String::from_utf8_lossy(&run.stderr).into_owned();
            assert!(!run.status.success() && words.contains("not found: "), "{words}");
            assert!(!place.calls().iter().any(|call| call.iter().any(|word| word.contains("create"))));
        }
        if target.format != "vmdk" {
            let place = Workplace::new(&made.text, &given);
            place.cut(&given.disks[0].file);
            let run = place.run(target.filled);
            assert!(String::from_utf8_lossy(&run.stderr).contains("the copy is not whole"));
            assert!(!run.status.success());
        }
    }
}

#[test]
fn a_failing_step_ends_the_script_and_keeps_the_disks() {
    for (target, step) in
        [(0, "storagectl"), (0, "modifyvm"), (1, "nic"), (1, "copy"), (2, "images"), (3, "import-snapshot")]
    {
        let target = &TARGETS[target];
        let web = machine("web", 2);
        let given = given(&web, target);
        let place = Workplace::new(&(target.write)(&web, &given).unwrap().text, &given);
        place.fail_at(step);
        let run = place.run(target.filled);
        assert!(!run.status.success(), "{} {step}", target.name);
        let calls = place.calls();
        assert!(!calls.iter().any(|call| call.iter().any(|word| word == "--delete")));
        assert!(given.disks.iter().all(|disk| place.exists(&disk.file)));
        let last = calls.last().unwrap().join(" ");
        match target.name {
            "virtualbox" => assert_eq!(last, "VBoxManage unregistervm web"),
            "azure" if step == "copy" => assert!(last.starts_with("az disk revoke-access"), "{last}"),
            _ => assert!(last.contains(step), "{last}"),
        }
    }
}

#[test]
fn the_containers_of_import_image_are_json() {
    let source = hostile(0);
    let mut given = hostile_files(&source, options(&source, "vhdx", DiskBus::Nvme, NicModel::E1000), 0);
    given.disks.reverse();
    let place = S3Place { bucket: "my-bucket".into(), prefix: "a/b".into() };
    let made = import_image(&source, &given, &place).unwrap();
    let parsed: serde_json::Value = serde_json::from_str(&made.text).unwrap();
    assert_eq!(parsed[0]["UserBucket"]["S3Bucket"], "my-bucket");
    assert_eq!(parsed[1]["UserBucket"]["S3Key"], "a/b/touch-CANARY-disk-1.vhdx");
    assert_eq!(parsed[0]["Format"], "vhdx");
    let web = machine("web", 1);
    let plain = options(&web, "vmdk", DiskBus::Nvme, NicModel::E1000);
    let made =
        import_image(&web, &plain, &S3Place { bucket: "bucket".into(), prefix: String::new() }).unwrap();
    golden("web.import-image.json", &made.text);
    for (bucket, prefix) in
        [("a", ""), ("Bucket", ""), ("my_bucket", ""), ("bucket", "a b"), ("bucket", "a/")]
    {
        let place = S3Place { bucket: bucket.into(), prefix: prefix.into() };
        assert!(import_image(&web, &plain, &place).is_err(), "{bucket} {prefix}");
    }
}

#[test]
fn what_the_targets_have_not_is_unsupported() {
    type Change = fn(&mut Machine, &mut DefinitionOptions);
    let cases: &[(usize, Change)] = &[
        (0, |_, o| o.disk_bus = DiskBus::VirtioBlk),
        (0, |_, o| o.nic_model = NicModel::Vmxnet3),
        (0, |_, o| o.disks[0].format = "qcow2"),
        (0, |m, _| m.architecture = Architecture::Arm64),
        (0, |m, _| m.cpu = Cpu { count: 65, topology: None }),
        (0, |m, _| m.nics = (0..37).map(|_| Nic::default()).collect()),
        (1, |_, o| o.disks[0].format = "vhdx"),
        (1, |_, o| o.disks[1].size_bytes += 512),
        (1, |_, o| o.disks[0].size_bytes = 4096 << 30),
        (1, |m, _| m.nics = (0..9).map(|_| Nic::default()).collect()),
        (2, |_, o| o.disks[0].format = "vmdk"),
        (2, |m, _| m.architecture = Architecture::I386),
        (2, |_, o| o.disks[0].size_bytes = 65 << 40),
        (3, |_, o| o.disks[0].format = "vhdx"),
        (3, |m, _| m.architecture = Architecture::I386),
        (3, |_, o| o.disks[0].size_bytes = 65 << 40),
    ];
    for (number, (target, change)) in cases.iter().enumerate() {
        let target = &TARGETS[*target];
        let mut web = machine("web", 2);
        let mut given = given(&web, target);
        change(&mut web, &mut given);
        let error = (target.write)(&web, &given).unwrap_err();
        assert_eq!(error.kind(), MachineErrorKind::Unsupported, "{number}: {error}");
    }
    let mut arm = machine("arm", 1);
    arm.architecture = Architecture::Arm64;
    for target in &TARGETS[1..] {
        let mut given = given(&arm, target);
        assert!((target.write)(&arm, &given).is_ok());
        given.firmware = FirmwareKind::Bios;
        given.secure_boot = false;
        assert_eq!((target.write)(&arm, &given).unwrap_err().kind(), MachineErrorKind::Unsupported);
    }
}

#[test]
fn a_tpm_becomes_a_new_one() {
    let mut source = machine("web", 1);
    source.tpm = Some(Tpm::V2_0);
    source.nics.clear();
    source.firmware.secure_boot = None;
    for (target, wanted) in TARGETS.iter().zip([
        "modifyvm | web | --tpm-type | 2.0",
        "--security-type | TrustedLaunch | --enable-secure-boot | false | --enable-vtpm | true",
        " | --shielded-vtpm\n",
        "--tpm-support | v2.0",
    ]) {
        let mut given = given(&source, target);
        let made = (target.write)(&source, &given).unwrap();
        assert!(codes(&made.warnings).contains(&format!("{}-tpm-new", target.name).as_str()));
        let one_network: Vec<(&str, &str)> =
            target.filled.iter().map(|(name, value)| (*name, value.split(' ').next().unwrap())).collect();
        let place = Workplace::new(&made.text, &given);
        let run = place.run(&one_network);
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        assert!(place.calls_as_text().contains(wanted), "{}", place.calls_as_text());
        given.firmware = FirmwareKind::Bios;
        if target.name != "virtualbox" {
            let text = (target.write)(&source, &given).unwrap().text;
            assert!(text.contains("\nTPM='off'\n"), "{}", target.name);
        }
    }
}

#[test]
fn what_is_lost_is_a_warning() {
    let mut source = machine("Web server", 2);
    source.tags.insert("a".into(), "b".into());
    source.architecture = Architecture::X86_64;
    let wanted: [&[&str]; 4] = [
        &["virtualbox-mac-kept", "virtualbox-needs-7", "virtualbox-tags", "virtualbox-topology"],
        &["azure-mac", "azure-name-changed", "azure-notes", "azure-size", "azure-tags", "azure-uuid"],
        &[
            "gcp-disk-rounded",
            "gcp-mac",
            "gcp-name-changed",
            "gcp-networks",
            "gcp-size",
            "gcp-tags",
            "gcp-uuid",
        ],
        &[
            "ec2-ena-assumed",
            "ec2-mac",
            "ec2-name-changed",
            "ec2-networks",
            "ec2-secure-boot",
            "ec2-size",
            "ec2-tags",
            "ec2-uuid",
        ],
    ];
    for (target, wanted) in TARGETS.iter().zip(wanted) {
        let made = (target.write)(&source, &given(&source, target)).unwrap();
        assert_eq!(codes(&made.warnings), wanted);
        let mut bios = given(&source, target);
        bios.firmware = FirmwareKind::Bios;
        bios.secure_boot = false;
        let made = (target.write)(&source, &bios).unwrap();
        let found = codes(&made.warnings);
        for code in ["firmware-differs", "secure-boot-off"] {
            assert!(found.contains(&format!("{}-{code}", target.name).as_str()), "{found:?}");
        }
    }
}
