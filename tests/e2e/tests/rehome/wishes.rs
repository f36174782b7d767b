//! What the operator may say about the machine at the target: addresses, networks, definitions, kinds of guests.

use crate::bench::{Bench, Run};
use crate::guest::{self, KERNEL};

const OLD: &str = "06:3f:9a:52:c4:1d";
const NEW: &str = "52:54:00:aa:bb:cc";
const MODULES: [&str; 9] = [
    "virtio_pci",
    "virtio_blk",
    "virtio_net",
    "sd_mod",
    "vmw_pvscsi",
    "vmxnet3",
    "xen_blkfront",
    "xen_netfront",
    "hv_netvsc",
];

fn bench(config: &str) -> Bench {
    let bench = Bench::new();
    guest::build(&bench, "server.raw", &MODULES, |tree| {
        std::fs::write(tree.join(format!("boot/config-{KERNEL}")), config).unwrap();
    });
    let machine = format!(
        r#"{{"rehome_machine":1,"name":"web","firmware":{{"kind":"bios"}},"cpu":{{"count":2}},"memory_mib":2048,
        "disks":[{{"id":"root","source":{{"file":"server.raw"}},"bus":"nvme","order":0,"boot":true}}],
        "nics":[{{"mac":"{OLD}","network":"subnet-1"}}]}}"#
    );
    bench.write("machine.json", machine);
    bench
}

fn migrate(bench: &Bench, to: &str, more: &[&str]) -> Run {
    let args =
        ["migrate", "server.raw", "--machine", "machine.json", "--to", to, "--out", "vm", "--output", "json"];
    bench.rehome(&[&args, more].concat())
}

fn read(bench: &Bench, name: &str) -> String {
    String::from_utf8(bench.read(name)).unwrap()
}

/// A file of the migrated guest.
fn in_guest(bench: &Bench, image: &str, format: &str, path: &str) -> String {
    bench.qemu_img(&["convert", "-f", format, "-O", "raw", image, "result.raw"]);
    let content = guest::content(bench, "result.raw");
    String::from_utf8(content.get(path).unwrap_or_else(|| panic!("{path} is missing")).1.clone()).unwrap()
}

#[test]
fn a_new_address_and_network_reach_definition_guest_and_report() {
    let bench = bench("");
    let wishes = ["--mac", &format!("{OLD}={NEW}"), "--network-map", "subnet-1=LAN & <more>"];
    let report = migrate(&bench, "kvm", &wishes).ends(0).json();
    let adapter = &report["adapters"][0];
    assert_eq!((&adapter["source_mac"], &adapter["mac"]), (&OLD.into(), &NEW.into()));
    assert_eq!(
        (&adapter["source_network"], &adapter["network"]),
        (&"subnet-1".into(), &"LAN & <more>".into())
    );
    assert!(!report["warnings"].to_string().contains("libvirt-network"));
    assert_eq!(bench.json_of("vm/web.report.json")["adapters"], report["adapters"]);
    bench.tool("libvirt-clients", "virt-xml-validate", &["vm/web.xml", "domain"]);
    let xml = read(&bench, "vm/web.xml");
    assert!(
        xml.contains(&format!("<mac address='{NEW}'/>")) && xml.contains("LAN &amp; &lt;more&gt;"),
        "{xml}"
    );
    let netplan = in_guest(&bench, "vm/web.qcow2", "qcow2", "/etc/netplan/50-cloud-init.yaml");
    assert!(netplan.contains(NEW) && !netplan.contains(OLD), "{netplan}");
    let text = bench
        .rehome(&[
            "migrate",
            "server.raw",
            "--machine",
            "machine.json",
            "--to",
            "kvm",
            "--out",
            "vm",
            "--dry-run",
        ])
        .ends(0)
        .stdout;
    assert!(text.contains(&format!("Adapter: {OLD} in subnet-1 -> {OLD}\n")), "{text}");
}

#[test]
fn hyperv_gets_a_switch_and_a_static_address() {
    let bench = bench("");
    let wishes = ["--mac", &format!("{OLD}={NEW}"), "--network-map", "*=it's a LAN", "--dry-run"];
    // Its storage driver is missing, which is found after the wishes were understood.
    let report = migrate(&bench, "hyperv", &wishes).ends(78).json();
    assert_eq!(
        (&report["adapters"][0]["mac"], &report["adapters"][0]["network"]),
        (&NEW.into(), &"it's a LAN".into())
    );
    assert!(!report["warnings"].to_string().contains("hyperv-mac"));
    let report = migrate(&bench, "hyperv", &["--dry-run"]).ends(78).json();
    assert!(report["warnings"].to_string().contains("hyperv-mac"));
    assert_eq!(report["adapters"][0]["mac"], serde_json::Value::Null);
}

#[test]
fn what_cannot_be_wished_is_wrong_usage() {
    let bench = bench("");
    let pair = |to: &str| format!("{OLD}={to}");
    let (new, zero, group) = (pair(NEW), pair("00:00:00:00:00:00"), pair("01:00:5e:00:00:01"));
    for (to, wishes, words) in [
        (
            "kvm",
            &["--mac", "52:54:00:00:00:09=52:54:00:00:00:08"][..],
            "no network adapter 52:54:00:00:00:09",
        ),
        ("kvm", &["--mac", &zero], "all zero"),
        ("kvm", &["--mac", &group], "group address"),
        ("kvm", &["--mac", "sometimes"], "neither keep, new nor a pair"),
        ("kvm", &["--mac", "keep,new"], "keep and new at once"),
        ("kvm", &["--mac", &new, "--mac", &new], "twice"),
        ("vmware", &["--mac", &new], "--definition vmx"),
        ("aws", &["--mac", &new], "chooses its own"),
        ("kvm", &["--network-map", "subnet-2=LAN"], "subnet-2"),
        ("kvm", &["--network-map", "subnet-1=a", "--network-map", "subnet-1=b"], "twice"),
        ("kvm", &["--network-map", "LAN"], "no pair of networks"),
        ("proxmox", &["--network-map", "subnet-1=no bridge"], "no name of a bridge"),
        ("azure", &["--network-map", "subnet-1=LAN"], "resource id of a subnet"),
        ("kubevirt", &["--network-map", "*=The LAN"], "NetworkAttachmentDefinition"),
        ("virtualbox", &["--network-map", "*=LAN"], "bridged:INTERFACE"),
        ("kvm", &["--definition", "vmx"], "possible: libvirt"),
        ("kvm", &["--xen-type", "pvh"], "--to xen"),
        ("xen", &["--xen-type", "pvh", "--firmware", "bios"], "no firmware"),
    ] {
        let run = migrate(&bench, to, wishes).ends(2);
        assert!(format!("{}{}", run.stdout, run.stderr).contains(words), "{to} {wishes:?}: {run:?}");
    }
    assert_eq!(bench.names(), ["machine.json", "server.raw"]);
}

#[test]
fn kubevirt_gets_qcow2_and_a_manifest() {
    let bench = bench("");
    let report = migrate(&bench, "kubevirt", &["--network-map", "subnet-1=infra/lan"]).ends(0).json();
    assert_eq!(report["choice"]["target"]["id"], "kubevirt-bios");
    bench.qemu_img(&["check", "-f", "qcow2", "vm/web.qcow2"]);
    let program = "import sys, yaml; d = list(yaml.safe_load_all(open('vm/web.yaml'))); s = d[1]['spec']['template']['spec']; \
                   print(d[0]['metadata']['annotations']['rehome-image-file'], s['domain']['devices']['disks'][0]['disk']['bus'], \
                   s['domain']['devices']['interfaces'][0]['macAddress'], s['networks'][0]['multus']['networkName'])";
    let said = bench.tool("python3-yaml", "python3", &["-c", program]);
    assert_eq!(said.trim(), format!("web.qcow2 virtio {OLD} infra/lan"));
    let sources = in_guest(&bench, "vm/web.qcow2", "qcow2", "/etc/cloud/cloud.cfg.d/99-rehome.cfg");
    assert!(sources.contains("NoCloud, ConfigDrive, None"), "{sources}");
}

#[test]
fn vmware_takes_a_vmx_file_that_keeps_addresses() {
    let bench = bench("");
    let report =
        migrate(&bench, "vmware", &["--definition", "vmx", "--network-map", "*=VM Network"]).ends(0).json();
    assert_eq!(report["choice"]["definition"]["id"], "vmx");
    assert_eq!(report["adapters"][0]["mac"], OLD);
    let vmx = read(&bench, "vm/web.vmx");
    for line in [
        format!("ethernet0.address = \"{OLD}\""),
        "ethernet0.networkName = \"VM Network\"".into(),
        "scsi0:0.fileName = \"web.vmdk\"".into(),
    ] {
        assert!(vmx.lines().any(|found| found == line), "{line}: {vmx}");
    }
    let info = bench.qemu_img(&["info", "--output", "json", "vm/web.vmdk"]);
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    assert_eq!(info["format-specific"]["data"]["create-type"], "monolithicSparse");
    // The usual definition keeps none.
    let report = migrate(&bench, "vmware", &["--dry-run"]).ends(0).json();
    assert_eq!(
        (&report["choice"]["definition"]["id"], &report["adapters"][0]["mac"]),
        (&"ovf".into(), &serde_json::Value::Null)
    );
}

#[test]
fn a_pvh_guest_of_xen_needs_a_kernel_for_it() {
    for (config, words) in [
        ("CONFIG_PVH=y\n# CONFIG_XEN_PVH is not set\n", "built without CONFIG_XEN_PVH"),
        ("", "is not known"),
    ] {
        let bench = bench(config);
        let report = migrate(&bench, "xen", &["--xen-type", "pvh"]).ends(78).json();
        assert!(report["obstacles"].to_string().contains(words), "{}", report["obstacles"]);
        assert!(report["next_step"].as_str().unwrap().contains("without --xen-type pvh"));
        assert_eq!(bench.names(), ["machine.json", "server.raw"]);
        migrate(&bench, "xen", &["--xen-type", "hvm", "--dry-run"]).ends(0);
    }
    let bench = bench("CONFIG_XEN_PVH=y\n");
    let report = migrate(&bench, "xen", &["--xen-type", "pvh", "--network-map", "*=xenbr1"]).ends(0).json();
    assert_eq!(report["choice"]["target"]["id"], "xen-pvh");
    let text = read(&bench, "vm/web.cfg");
    for line in ["type = \"pvh\"", "kernel = \"/usr/lib/grub-xen/grub-i386-xen_pvh.bin\""] {
        assert!(text.lines().any(|found| found == line), "{text}");
    }
    assert!(text.contains("bridge=xenbr1") && text.contains(OLD), "{text}");
    let menu = in_guest(&bench, "vm/web.raw", "raw", "/boot/grub/grub.cfg");
    assert!(menu.contains("console=hvc0") && !menu.contains("ttyS0"), "{menu}");
}

#[test]
fn a_micro_vm_that_does_not_start_is_a_warning_where_it_can_be_done_without() {
    let bench = bench("");
    bench.write("kernel", vec![0_u8; 8 << 20]);
    let mut modules = std::fs::read_dir("/lib/modules").unwrap().map(|entry| entry.unwrap().path());
    let modules = modules.find(|path| path.join("modules.dep").exists()).unwrap();
    let modules = modules.to_str().unwrap();
    let wishes = ["--dry-run", "--trim", "--kernel", "kernel", "--kernel-modules", modules];
    let report = migrate(&bench, "kvm", &wishes).ends(0).json();
    assert_eq!(report["editor"]["editor"], "native");
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("no-microvm") && warnings.contains("--trim"), "{warnings}");
    migrate(&bench, "kvm", &[&wishes[..], &["--editor", "microvm"]].concat()).ends(75);
}
