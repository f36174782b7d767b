//! What the fixups write, judged by the programs that read it: netplan, ifupdown, systemd, shellcheck, a YAML parser. The
//! tools are those of `tests/packages.sh test`; without them the tests fail.
#![allow(clippy::unwrap_used)]

mod phony;

use driver_core::{Context, GuestTree, Target, Wishes, apply, make_plan};
use driver_linux::fixups;
use driver_targets::GENERATION_2;
use phony::distributions::{ALL_MODULES, AZURE, KVM, every, wishes};
use phony::{facts, tree};
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

fn migrated(name: &str, target: &Target, wishes: &Wishes) -> GuestTree {
    let fs = every().into_iter().find(|(other, _)| *other == name).unwrap().1;
    let mut tree = tree(fs);
    let mut guest = facts();
    driver_linux::inspect(&tree, &mut guest, &ALL_MODULES).unwrap();
    let plan = make_plan(&Context { wishes, ..Context::new(&guest, target) }, &tree, fixups()).unwrap();
    assert_eq!(plan.obstacles().count(), 0, "{:#?}", plan.fixups);
    apply(&mut tree, &plan.edits).unwrap();
    tree
}

/// Copies files of the guest below `root`.
fn put(tree: &GuestTree, paths: &[&str], root: &Path) {
    for path in paths {
        let to = root.join(path.trim_start_matches('/'));
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::write(&to, tree.read_file(path, 1 << 20).unwrap().unwrap()).unwrap();
    }
}

/// What the tool prints; it must succeed within 20 seconds.
fn judged(tool: &str, arguments: &[&str]) -> String {
    let output = Command::new("timeout").arg("20").arg(tool).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{tool} {arguments:?} ({}):\n{out}{err}", output.status);
    out
}

fn fixed(interface: &str, kept: bool) -> Wishes {
    let mut wishes = wishes(kept);
    wishes.network.static_addresses =
        vec![format!("{interface}=192.0.2.10/24,192.0.2.1,192.0.2.53").parse().unwrap()];
    wishes
}

#[test]
fn netplan_understands_its_files() {
    for (target, wishes, selects, address) in [
        (&GENERATION_2, Wishes::NONE, "Name=eth0", "DHCP=ipv4"),
        (&KVM, wishes(true), "MACAddress=06:3f:9a:52:c4:1d", "DHCP=ipv4"),
        (&AZURE, fixed("eth0", false), "Name=eth0", "Address=192.0.2.10/24"),
        (&KVM, fixed("eth0", true), "MACAddress=06:3f:9a:52:c4:1d", "Address=192.0.2.10/24"),
    ] {
        let tree = migrated("ubuntu-netplan-azure", target, &wishes);
        let root = TempDir::new().unwrap();
        put(&tree, &["/etc/netplan/50-cloud-init.yaml"], root.path());
        judged("netplan", &["generate", "--root-dir", root.path().to_str().unwrap()]);
        let made = root.path().join("run/systemd/network");
        let mut all = String::new();
        for entry in std::fs::read_dir(&made).unwrap() {
            all += &std::fs::read_to_string(entry.unwrap().path()).unwrap();
        }
        assert!(all.contains(selects) && all.contains(address), "{}:\n{all}", target.id);
        assert!(!all.contains("hv_netvsc"), "{all}");
    }
}

#[test]
fn ifupdown_understands_its_files() {
    for (name, wishes, expected) in [
        ("ubuntu-1404-ifupdown-vmware", Wishes::NONE, "address: 10.0.0.5"),
        ("ubuntu-1404-ifupdown-vmware", fixed("eth0", true), "address: 192.0.2.10\n"),
        ("alpine-ifupdown-vmware", fixed("eth0", false), "gateway: 192.0.2.1"),
    ] {
        let tree = migrated(name, &KVM, &wishes);
        let root = TempDir::new().unwrap();
        put(&tree, &["/etc/network/interfaces"], root.path());
        let file = format!("--interfaces={}/etc/network/interfaces", root.path().display());
        assert!(judged("ifquery", &[&file, "--list", "--all"]).contains("eth0"), "{name}");
        let said = judged("ifquery", &[&file, "eth0"]);
        assert!(said.contains(expected), "{name}: {said}");
    }
}

#[test]
fn yaml_parsers_understand_what_cloud_init_reads() {
    let program = "import sys, yaml\nfor path in sys.argv[1:]: print(yaml.safe_load(open(path)))";
    let tree = migrated("ubuntu-netplan-azure", &KVM, &fixed("eth0", true));
    let root = TempDir::new().unwrap();
    let paths = ["/etc/cloud/cloud.cfg.d/99-rehome.cfg", "/var/lib/cloud/seed/nocloud/meta-data"];
    put(&tree, &paths, root.path());
    let files = paths.map(|path| format!("{}{path}", root.path().display()));
    let said = judged("python3", &["-c", program, &files[0], &files[1]]);
    assert!(said.contains("'datasource_list': ['NoCloud', 'ConfigDrive', 'None']"), "{said}");
    assert!(said.contains("'network': {'config': 'disabled'}"), "{said}");
    assert!(said.contains("'instance-id': '0e4a2a4f-1d3c-4a7e-9c5a-000000000001'"), "{said}");
}

const UNIT: &str = "/etc/systemd/system/rehome-firstboot.service";
const SCRIPT: &str = "/usr/local/sbin/rehome-firstboot";

fn first_boot() -> GuestTree {
    let mut wished = Wishes::NONE;
    wished.identity.ssh_host_keys = true;
    wished.rebuild_initramfs = true;
    migrated("debian-networkd-gcp", &KVM, &wished)
}

#[test]
fn systemd_and_shellcheck_accept_the_first_boot_unit() {
    let tree = first_boot();
    let root = TempDir::new().unwrap();
    put(&tree, &[UNIT, SCRIPT], root.path());
    let at = |path: &str| format!("{}{path}", root.path().display());
    judged("shellcheck", &["--shell=sh", &at(SCRIPT)]);
    judged("dash", &["-n", &at(SCRIPT)]);
    judged("chmod", &["755", &at(SCRIPT)]);
    // The program has to be where the unit says.
    let unit = std::fs::read_to_string(at(UNIT)).unwrap().replace(SCRIPT, &at(SCRIPT));
    std::fs::write(at(UNIT), unit).unwrap();
    judged("systemd-analyze", &["verify", "--man=no", &at(UNIT)]);
}

#[test]
fn the_first_boot_script_removes_itself_only_when_all_went_well() {
    for works in [true, false] {
        let tree = first_boot();
        let root = TempDir::new().unwrap();
        put(&tree, &[UNIT, SCRIPT], root.path());
        let at = |path: &str| format!("{}{path}", root.path().display());
        // The script of a machine whose root is the folder.
        let text = std::fs::read_to_string(at(SCRIPT)).unwrap();
        let text = ["/usr/local/sbin", "/var/log", "/etc/systemd"]
            .iter()
            .fold(text, |text, path| text.replace(path, &at(path)));
        std::fs::write(at(SCRIPT), text).unwrap();
        std::fs::create_dir_all(at("/var/log")).unwrap();
        let tool = |name: &str, body: &str| {
            let path = at(&format!("/usr/local/sbin/{name}"));
            std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
            judged("chmod", &["755", &path]);
        };
        tool("ssh-keygen", "echo \"keys $*\"");
        tool("update-initramfs", if works { "echo \"image $*\"" } else { "exit 3" });
        let status = Command::new("timeout").args(["20", "sh", &at(SCRIPT)]).status().unwrap();
        assert_eq!(status.success(), works);
        assert_eq!(Path::new(&at(UNIT)).exists(), !works);
        assert_eq!(Path::new(&at(SCRIPT)).exists(), !works);
        let log = std::fs::read_to_string(at("/var/log/rehome-firstboot.log")).unwrap();
        assert!(log.contains("keys -A"), "{log}");
        assert_eq!(log.contains("image -u -k all"), works, "{log}");
    }
}
