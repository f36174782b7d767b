//! What was decided about network adapters, in every dialect: networks of the target, and addresses that were chosen.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]
#![allow(dead_code, reason = "helpers that other test files use as well")]

mod machines;
mod powershell;
mod qm;
mod sample;
mod stand_ins;

use driver_machine::clouds::{azure, ec2, gcp};
use driver_machine::hyperv::{self, Generation, HypervDisk, HypervOptions, SecureBoot};
use driver_machine::{
    AdapterChoice, DefinitionOptions, DiskBus, Machine, MachineError, MachineErrorKind, NicModel, kubevirt,
    libvirt, ovf, proxmox, virtualbox, vmx, xen,
};
use machines::Writer;
use powershell::{Token, assigned, check_grammar, skeleton, tokens};
use sample::{HOSTILE, codes, machine, options, run};
use stand_ins::Workplace;

/// A network for each adapter, empty where none was chosen.
fn chosen(names: &[&str]) -> Vec<AdapterChoice> {
    let choice = |name: &&str| AdapterChoice {
        network: Some((*name).to_owned()).filter(|name| !name.is_empty()),
        new_mac: false,
    };
    names.iter().map(choice).collect()
}

fn with(options: DefinitionOptions, names: &[&str]) -> DefinitionOptions {
    DefinitionOptions { adapters: chosen(names), ..options }
}

fn libvirt_of(machine: &Machine, names: &[&str]) -> driver_machine::Definition {
    let options = with(options(machine, DiskBus::VirtioBlk, NicModel::Virtio, "qcow2"), names);
    libvirt::definition(machine, &options, libvirt::IMAGE_FOLDER).unwrap()
}

#[test]
fn libvirt_takes_networks_and_bridges() {
    let machine = machine("web", 1);
    let spaced = HOSTILE[2].replace('\n', " ");
    for names in [&["LAN", "bridge:br0"][..], &[HOSTILE[0], ""], &[&spaced, HOSTILE[4]]] {
        let made = libvirt_of(&machine, names);
        let judged = run(
            "xmllint",
            &["--noout", "--nonet", "--relaxng", "/usr/share/libvirt/schemas/domain.rng", "-"],
            made.text.as_bytes(),
        );
        assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stderr));
        let (read, _) = libvirt::machine_from_xml(&made.text).unwrap();
        let found = |index: usize| read.nics[index].network.clone().unwrap();
        assert_eq!(found(0), names[0]);
        assert_eq!(
            found(1),
            if names[1].is_empty() { "default" } else { names[1].trim_start_matches("bridge:") }
        );
        // Nothing is said about what was chosen.
        assert_eq!(codes(&made.warnings).contains(&"libvirt-network"), names[1].is_empty());
    }
    let bridged = libvirt_of(&machine, &["", "bridge:br0"]).text;
    assert!(bridged.contains("<interface type='bridge'>") && bridged.contains("<source bridge='br0'/>"));
}

#[test]
fn names_that_are_none_are_refused() {
    let machine = machine("web", 1);
    let of = |bus, nic, format| options(&machine, bus, nic, format);
    let virtio = of(DiskBus::VirtioScsi, NicModel::Virtio, "qcow2");
    let xl = |m: &Machine, o: &DefinitionOptions| xen::definition(m, o, &xen::Guest::Hvm, "/images");
    let domain = |m: &Machine, o: &DefinitionOptions| libvirt::definition(m, o, "/images");
    let intel = |format| of(DiskBus::Sata, NicModel::E1000, format);
    let cases: [(Writer, DefinitionOptions, &[&str]); 8] = [
        (proxmox::definition, virtio.clone(), &["", "9br", "a b", "vmbr0,tag=1", "a234567890123456"]),
        (kubevirt::definition, virtio.clone(), &["LAN", "a/b/c", "-a", "a_b", "x: y", "/a"]),
        (domain, virtio, &["bridge:", "bridge:a/b", " "]),
        (xl, of(DiskBus::XenBlk, NicModel::Netfront, "raw"), &["a b", "x,script=y", ".."]),
        (virtualbox::definition, intel("vmdk"), &["lan", "bridged:", "generic:x", "nat:"]),
        (azure::definition, intel("vhd"), &["subnet", "/a b", "/a;b", "@file"]),
        (gcp::definition, intel("raw"), &["a,b", "a b", "-a", "/a"]),
        (ec2::definition, intel("raw"), &["subnet-", "lan", "subnet-1 --x"]),
    ];
    for (write, options, names) in cases {
        for name in names.iter().chain(HOSTILE).filter(|name| !name.is_empty()) {
            let hostile = with(options.clone(), &["", name]);
            match write(&machine, &hostile) {
                Err(error) => assert_eq!(error.kind(), MachineErrorKind::Network, "{error}"),
                Ok(made) => assert!(made.text.contains("<domain"), "only XML takes {name}"),
            }
        }
    }
    let broken = with(intel("vmdk"), &["a\nb"]);
    let error = vmx::definition(&machine, &broken).unwrap_err();
    assert!(matches!(error, MachineError::Network { .. }) && !error.to_string().contains('\n'), "{error}");
}

#[test]
fn vmware_takes_any_name() {
    for name in HOSTILE {
        let name = name.replace('\n', " ");
        let mut machine = machine("web", 1);
        machine.nics[0].network = Some("old".into());
        let options = with(options(&machine, DiskBus::Pvscsi, NicModel::Vmxnet3, "vmdk"), &[&name, ""]);
        let made = vmx::definition(&machine, &options).unwrap();
        let (read, _) = vmx::machine_from_vmx(made.text.as_bytes()).unwrap();
        assert_eq!((read.nics[0].network.as_deref(), &read.nics[1].network), (Some(name.as_str()), &None));
        assert!(!made.text.contains("\"old\""));
        let made = ovf::definition(&machine, &options).unwrap();
        let (read, _) = ovf::machine_from_ovf(&made.text, None).unwrap();
        assert_eq!(read.nics[0].network.as_deref(), Some(name.as_str()));
        assert_eq!(read.nics[1].network.as_deref(), Some("VM Network"));
        assert!(codes(&made.warnings).contains(&"ovf-no-network"));
    }
}

#[test]
fn xen_takes_bridges() {
    let machine = machine("web", 1);
    let options = with(options(&machine, DiskBus::XenBlk, NicModel::Netfront, "raw"), &["br.1", "br-2"]);
    let made = xen::definition(&machine, &options, &xen::Guest::Hvm, "/images").unwrap();
    let (read, _) = xen::machine_from_cfg(&made.text).unwrap();
    let networks: Vec<_> = read.nics.iter().map(|nic| nic.network.as_deref().unwrap()).collect();
    assert_eq!(networks, ["br.1", "br-2"]);
}

#[test]
fn kubevirt_takes_the_pod_network_and_attachments() {
    let machine = machine("web", 1);
    let made = |names: &[&str]| {
        let options = with(options(&machine, DiskBus::VirtioBlk, NicModel::Virtio, "qcow2"), names);
        kubevirt::definition(&machine, &options).unwrap()
    };
    let manifest = made(&["infra/lan.1", "pod"]);
    let program =
        "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(sys.stdin.buffer.read()))))";
    let output = run("python3", &["-c", program], manifest.text.as_bytes());
    let all: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let spec = &all[1]["spec"]["template"]["spec"];
    assert_eq!(
        spec["networks"],
        serde_json::json!([
            { "name": "nic0", "multus": { "networkName": "infra/lan.1" } },
            { "name": "nic1", "pod": {} }
        ])
    );
    let interfaces = &spec["domain"]["devices"]["interfaces"];
    assert!(interfaces[0]["bridge"].is_object() && interfaces[1]["masquerade"].is_object());
    assert_eq!(codes(&manifest.warnings), ["kubevirt-pod-network"]);
    assert_eq!(codes(&made(&["lan", "dmz"]).warnings), Vec::<&str>::new());
    assert_eq!(codes(&made(&[]).warnings), ["kubevirt-network", "kubevirt-pod-network"]);
}

#[test]
fn proxmox_runs_without_arguments_and_arguments_go_before_what_was_chosen() {
    let mut machine = machine("web", 1);
    machine.nics[1].network = Some("dmz".into());
    let options = with(options(&machine, DiskBus::VirtioScsi, NicModel::Virtio, "qcow2"), &["vmbr5", ""]);
    let made = proxmox::definition(&machine, &options).unwrap();
    assert!(codes(&made.warnings).contains(&"proxmox-network"), "the second has none");
    for (arguments, bridges) in [
        (&[][..], ["vmbr5", "vmbr0"]),
        (&["--bridge", "vmbr7"], ["vmbr7", "vmbr7"]),
        (&["--bridge-of", "dmz=vmbr8"], ["vmbr5", "vmbr8"]),
        (&["--bridge-of", "xenbr1=vmbr9", "--bridge", "vmbr7"], ["vmbr9", "vmbr7"]),
    ] {
        let host = qm::Host::new(&made, &options);
        let output = host.run(arguments, "");
        assert!(output.status.success(), "{}", qm::text(&output));
        let calls = host.calls();
        let create = qm::settings(&calls[1]);
        for (key, bridge) in ["--net0", "--net1"].into_iter().zip(bridges) {
            assert!(
                create[key].ends_with(&format!(",bridge={bridge}")),
                "{arguments:?} {key}: {}",
                create[key]
            );
        }
    }
    let all = DefinitionOptions { adapters: chosen(&["vmbr1", "vmbr2"]), ..options };
    assert!(!codes(&proxmox::definition(&machine, &all).unwrap().warnings).contains(&"proxmox-network"));
}

/// A script, what the operator fills in besides the networks, the variable of the networks, chosen networks, and what
/// is called with them.
type Script<'a> = (
    Writer,
    &'static str,
    &'static [(&'static str, &'static str)],
    (&'static str, &'static str),
    [&'static str; 2],
    [&'static str; 2],
    &'static str,
);

const SCRIPTS: &[Script<'static>] = &[
    (
        virtualbox::definition,
        "vmdk",
        &[],
        ("NETWORK", "bridged:eth9"),
        ["intnet:office net", "bridged:eth1"],
        ["--nic1 | intnet | --nictype1 | 82540EM | --intnet1 | office net |", "--bridgeadapter2 | eth1 |"],
        "--bridgeadapter1 | eth9 |",
    ),
    (
        azure::definition,
        "vhd",
        &[("RESOURCE_GROUP", "group"), ("LOCATION", "westeurope"), ("VM_SIZE", "Standard_D2s_v5")],
        ("SUBNET_IDS", "/x/9 /x/8"),
        ["/subscriptions/1/(a)/subnets/lan", "/subscriptions/1/a/subnets/dmz"],
        ["--subnet | /subscriptions/1/(a)/subnets/lan |", "--subnet | /subscriptions/1/a/subnets/dmz |"],
        "--subnet | /x/9 |",
    ),
    (
        gcp::definition,
        "raw",
        &[("PROJECT", "p"), ("ZONE", "z"), ("BUCKET", "bucket"), ("MACHINE_TYPE", "e2-small")],
        ("SUBNETWORKS", "nine eight"),
        ["projects/p/regions/r/subnetworks/lan", "dmz"],
        [
            "--network-interface=subnet=projects/p/regions/r/subnetworks/lan,no-address",
            "--network-interface=subnet=dmz,no-address",
        ],
        "--network-interface=subnet=nine,no-address",
    ),
];

#[test]
fn scripts_need_no_networks_when_all_were_chosen() {
    for (write, format, filled, (variable, value), names, called, instead) in SCRIPTS {
        let machine = machines::machine("web", 1);
        let plain = machines::options(&machine, format, DiskBus::Sata, NicModel::E1000);
        let options = with(plain.clone(), names);
        let made = write(&machine, &options).unwrap();
        let place = Workplace::new(&made.text, &options);
        for judge in [&["bash", "-n"][..], &["shellcheck", "--shell=bash"]] {
            let output =
                std::process::Command::new(judge[0]).args(&judge[1..]).arg(place.script()).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        }
        let output = place.run(filled);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for words in called {
            assert!(
                format!("{} ", place.calls_as_text()).replace('\n', " |").contains(words),
                "{}",
                place.calls_as_text()
            );
        }
        // What is said when it runs goes before.
        let place = Workplace::new(&made.text, &options);
        assert!(place.run(&[*filled, &[(*variable, *value)]].concat()).status.success());
        assert!(place.calls_as_text().replace('\n', " |").contains(instead), "{}", place.calls_as_text());
        // One that was chosen is not enough.
        let half = with(plain, &[names[0]]);
        let place = Workplace::new(&write(&machine, &half).unwrap().text, &half);
        let output = place.run(filled);
        assert!(!output.status.success() && place.calls().is_empty());
        assert!(String::from_utf8_lossy(&output.stderr).contains(&format!("{variable} is empty")));
    }
}

#[test]
fn ec2_says_the_chosen_subnet() {
    let machine = machines::machine("web", 1);
    let options = machines::options(&machine, "raw", DiskBus::Sata, NicModel::E1000);
    for (names, words) in [(&["subnet-0a1b"][..], "--subnet-id subnet-0a1b"), (&[], "--subnet-id SUBNET")] {
        let options = with(options.clone(), names);
        let place = Workplace::new(&ec2::definition(&machine, &options).unwrap().text, &options);
        let output = place.run(&[("REGION", "eu-central-1"), ("BUCKET", "bucket"), ("POLL_SECONDS", "0")]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && said.contains(words), "{said}");
    }
}

fn hyperv_script(machine: &Machine, adapters: Vec<AdapterChoice>) -> hyperv::Script {
    let options = HypervOptions {
        generation: Generation::One,
        generation_reason: "test".into(),
        secure_boot: SecureBoot::Off,
        secure_boot_reason: "test".into(),
        disks: vec![HypervDisk {
            id: "disk-0".into(),
            file: "web.vhdx".into(),
            manifest: "web.vhdx.rehome.json".into(),
            size_bytes: None,
        }],
        adapters,
        fixed_clock: None,
    };
    hyperv::script(machine, &options).unwrap()
}

#[test]
fn hyperv_gets_switches_and_static_addresses() {
    let machine = machine("web", 1);
    let tame = hyperv_script(&machine, Vec::new());
    assert!(codes(&tame.warnings).contains(&"hyperv-mac"));
    for name in HOSTILE.iter().map(|name| name.replace('\n', " ")) {
        let made = hyperv_script(&machine, chosen(&[&name]));
        check_grammar(&made.text);
        assert_eq!(assigned(&made.text, "Switch"), name);
        assert_eq!(skeleton(&made.text), skeleton(&tame.text));
    }
    let given = AdapterChoice { network: Some("LAN".into()), new_mac: true };
    let made = hyperv_script(&machine, vec![given.clone(), given]);
    let fixed = tokens(&made.text)
        .windows(3)
        .filter(|window| **window == [code("Static"), code("="), code("1")])
        .count();
    assert_eq!(fixed, 2);
    assert!(!codes(&made.warnings).contains(&"hyperv-mac"), "none is lost");
}

fn code(word: &str) -> Token {
    Token::Code(word.into())
}

#[test]
fn addresses_that_were_chosen_are_not_those_of_the_source() {
    let machine = machine("web", 1);
    let new = AdapterChoice { network: None, new_mac: true };
    for (adapters, kept) in [(vec![], true), (vec![new.clone()], true), (vec![new.clone(), new], false)] {
        let of = |bus, nic| DefinitionOptions {
            adapters: adapters.clone(),
            ..options(&machine, bus, nic, "vmdk")
        };
        let vmx = vmx::definition(&machine, &of(DiskBus::Pvscsi, NicModel::Vmxnet3)).unwrap();
        assert_eq!(codes(&vmx.warnings).contains(&"vmx-mac-kept"), kept);
        let made = virtualbox::definition(&machine, &of(DiskBus::Sata, NicModel::E1000)).unwrap();
        assert_eq!(codes(&made.warnings).contains(&"virtualbox-mac-kept"), kept);
    }
}
