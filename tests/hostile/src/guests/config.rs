//! Configuration of a guest that attacks whoever reads it: huge lines, loops, names that steer, links out of the guest.

use super::disk::Disk;
use super::tools::{KERNEL, Node, Tree, Workshop};
use super::{CANARY_PATH, COPIED, SEEN, case, cat, copy_out, inspect, inspect_json, ls, migrate, plan};
use crate::{Case, Run};

const OPTIONS: &[&str] = &["-b", "4096", "-O", "^has_journal"];

fn guest(tree: &Tree) -> Disk {
    Workshop::new().ext(tree, OPTIONS, "24M", "").in_partition(0x83)
}

/// Looks at the guest in both ways, copies its configuration and moves it.
fn runs() -> Vec<Run> {
    vec![inspect_json(SEEN), copy_out("/etc", COPIED), migrate("hyperv", SEEN)]
}

fn one(name: &str, about: &str, tree: &Tree) -> Case {
    case(&format!("config/{name}"), about, guest(tree), runs())
}

/// Files that a migration reads.
const READ: &[&str] = &[
    "/etc/fstab",
    "/etc/default/grub",
    "/boot/grub/grub.cfg",
    "/usr/lib/os-release",
    "/etc/hostname",
    "/etc/network/interfaces",
    "/etc/initramfs-tools/modules",
    "/usr/bin/dash",
    "/boot/vmlinuz-6.1.0-28-amd64",
    "/boot/initrd.img-6.1.0-28-amd64",
    "/usr/lib/modules/6.1.0-28-amd64/modules.dep",
];

/// Files that it reads where they are.
const MORE: &[&str] = &[
    "/etc/netplan/50-cloud-init.yaml",
    "/etc/sysconfig/network-scripts/ifcfg-eth0",
    "/etc/systemd/network/10-eth0.network",
    "/etc/NetworkManager/system-connections/eth0.nmconnection",
    "/etc/udev/rules.d/70-persistent-net.rules",
    "/etc/crypttab",
    "/etc/mdadm/mdadm.conf",
    "/etc/lvm/lvm.conf",
    "/etc/cloud/cloud.cfg",
    "/etc/modprobe.d/x.conf",
    "/etc/inittab",
    "/boot/loader/entries/x.conf",
    "/boot/grub/menu.lst",
    "/boot/extlinux/extlinux.conf",
    "/etc/default/grub.d/x.cfg",
    "/etc/kernel/cmdline",
    "/etc/dracut.conf.d/x.conf",
    "/etc/systemd/system/x.mount",
    "/etc/selinux/config",
    "/var/lib/cloud/data/instance-id",
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = links();
    cases.extend(kinds());
    cases.extend(contents());
    cases.extend(names());
    cases.extend(includes());
    cases
}

/// Links out of the guest, and in rings. What they name is a file of the host.
fn links() -> Vec<Case> {
    let mut found = Vec::new();
    let up = format!("../../../../../../../../../../../..{CANARY_PATH}");
    for (number, path) in READ.iter().chain(MORE).enumerate() {
        let tree = Tree::debian().without(path).link(path, if number % 2 == 0 { &up } else { CANARY_PATH });
        found.push(one(&format!("link-out-{number}"), "a file that is a link to one of the host", &tree));
    }
    for (number, folder) in
        ["/etc", "/boot", "/boot/grub", "/usr/lib/modules", "/etc/network", "/usr", "/var"]
            .into_iter()
            .enumerate()
    {
        let base = Tree::debian().without(folder);
        let outs = [
            ("out", "../../../../../../tmp".to_owned()),
            ("root", "/".to_owned()),
            ("up", "..".to_owned()),
            ("self", folder.to_owned()),
        ];
        for (what, target) in outs {
            found.push(one(
                &format!("folder-link-{what}-{number}"),
                "a folder that is a link",
                &base.clone().link(folder, &target),
            ));
        }
    }
    let ring = (0..200).fold(Tree::debian().without("/etc/fstab"), |tree, number| {
        tree.link(&format!("/etc/l{number}"), &format!("l{}", (number + 1) % 200))
    });
    found.push(one("ring", "200 links in a ring", &ring.clone().link("/etc/fstab", "l0")));
    // Each link names the next one twice: without a bound this takes 2^40 steps.
    let doubling = (0..40).fold(Tree::debian(), |tree, number| {
        let next = format!("/d{}", number + 1);
        tree.link(&format!("/d{number}"), &format!("{next}/../..{next}"))
    });
    let doubling = doubling.node("/d40", Node::Folder).without("/etc/fstab").link("/etc/fstab", "/d0/fstab");
    found.push(one("doubling", "links that double the path with each step", &doubling));
    let long = "x/".repeat(2000);
    found.push(one(
        "long-link",
        "a link of 4000 bytes",
        &Tree::debian().without("/etc/fstab").link("/etc/fstab", &long[..3999]),
    ));
    let steers = Tree::debian().link("/etc/steers", "\u{1b}[2J\u{1b}]0;x\u{7}\r\n\u{202e}");
    found.push(one("link-steers", "a link whose target steers the terminal", &steers));
    found
}

/// Pipes and folders where files are expected.
fn kinds() -> Vec<Case> {
    let mut found = Vec::new();
    for (number, path) in READ.iter().chain(MORE).enumerate() {
        let base = Tree::debian().without(path);
        let node = if number % 2 == 0 { Node::Pipe } else { Node::Folder };
        found.push(one(
            &format!("kind-{number}"),
            "a pipe or a folder instead of a file",
            &base.node(path, node),
        ));
    }
    found
}

fn contents() -> Vec<Case> {
    let mut found = Vec::new();
    let contents: [(&str, Vec<u8>); 6] = [
        ("line", vec![b'x'; 3 << 20]),
        ("lines", b"x = y\n".repeat(400_000)),
        ("braces", b"{ ".repeat(1 << 20)),
        ("quotes", b"\"'`$(".repeat(300_000)),
        ("noise", (0..200_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect()),
        ("escapes", b"NAME=\"\x1b[2J\x1b]0;x\x07\r\"\nID=\x1b\nPRETTY_NAME=\x1b[31m\nUUID=\x1b /\x1b ext4 \x1b 0 0\nauto \x1b\niface \x1b inet static\n".to_vec()),
    ];
    for (number, path) in READ.iter().chain(MORE).enumerate() {
        for (what, content) in &contents {
            // Every kind of content for the files that matter most, one each for the others.
            if number < READ.len() || (number + what.len()) % contents.len() == 0 {
                let tree = Tree::debian().file(path, content);
                found.push(one(&format!("content-{what}-{number}"), "content that is none", &tree));
            }
        }
    }
    let deep_yaml = format!("network:\n  ethernets: {}", "[".repeat(100_000));
    let anchors = (1..40).fold("a0: &a0 [x]\n".to_owned(), |text, number| {
        text + &format!("a{number}: &a{number} [*a{0}, *a{0}, *a{0}]\n", number - 1)
    });
    let fstab: String =
        (0..20_000).map(|number| format!("/dev/sd{number} /mnt/{number} ext4 defaults 0 0\n")).collect();
    let mounts_root: String = (0..5000).map(|_| "/dev/xvda1 / ext4 rw 0 1\n").collect();
    let entries: String = (0..5000).map(|number| format!("menuentry 'x{number}' {{\n linux /boot/vmlinuz-{KERNEL} root=/dev/nvme0n1p1\n initrd /boot/initrd.img-{KERNEL}\n}}\n")).collect();
    let submenus = format!("{}{}", "submenu 'x' {\n".repeat(20_000), "}\n".repeat(20_000));
    let list = [
        ("yaml-deep", "/etc/netplan/50-cloud-init.yaml", deep_yaml),
        ("yaml-anchors", "/etc/netplan/50-cloud-init.yaml", anchors),
        ("fstab-20000", "/etc/fstab", fstab),
        ("fstab-roots", "/etc/fstab", mounts_root),
        ("menu-5000", "/boot/grub/grub.cfg", entries),
        ("menu-deep", "/boot/grub/grub.cfg", submenus),
        (
            "fstab-dots",
            "/etc/fstab",
            "/dev/xvda1 /../../.. ext4 rw 0 1\n/dev/xvda1 /etc/../boot ext4 rw 0 0\n".into(),
        ),
        (
            "fstab-over",
            "/etc/fstab",
            "/dev/xvda1 / ext4 rw 0 1\n/dev/xvda1 /etc ext4 rw 0 0\n/dev/xvda1 /boot/ ext4 rw 0 0\n".into(),
        ),
        ("hostname", "/etc/hostname", "../../../../tmp/evil\n".into()),
        ("hostname-dots", "/etc/hostname", "..\n".into()),
        ("hostname-shell", "/etc/hostname", "$(touch /tmp/rehome-hostile-ran);`id`\"'\n".into()),
        ("hostname-long", "/etc/hostname", "a".repeat(100_000)),
        ("hostname-steers", "/etc/hostname", "a\u{1b}[2J\u{202e}b".into()),
    ];
    found.extend(list.into_iter().map(|(name, path, content)| {
        one(name, "content that attacks its reader", &Tree::debian().file(path, content.as_bytes()))
    }));
    found
}

/// Names of files that steer, and folders of very many.
fn names() -> Vec<Case> {
    let steering = ["\u{1b}[2J", "a\nb", "\r", "\u{202e}txt", "'$(id)'", "-rf", " ", "\u{7f}\u{9b}31m"];
    let folders = [
        "/etc",
        "/boot",
        "/boot/grub",
        "/usr/lib/modules",
        "/etc/network/interfaces.d",
        "/etc/netplan",
        "/etc/udev/rules.d",
        "/etc/modprobe.d",
    ];
    let everywhere = folders.iter().fold(Tree::debian(), |tree, folder| {
        steering.iter().fold(tree, |tree, name| {
            tree.file(&format!("{folder}/{name}"), b"x")
                .file(&format!("{folder}/{name}.yaml"), b"x")
                .file(&format!("{folder}/vmlinuz-{name}"), b"MZ")
        })
    });
    let modules = steering.iter().fold(Tree::debian(), |tree, name| {
        tree.file(&format!("/boot/vmlinuz-{name}"), b"MZ")
            .file(&format!("/usr/lib/modules/{name}/modules.dep"), b"kernel/x.ko:\n")
            .file(&format!("/usr/lib/modules/{name}/kernel/x.ko"), b"\x7fELF")
    });
    let kernels = (0..100).fold(Tree::debian(), |tree, number| {
        tree.file(&format!("/boot/vmlinuz-5.{number}"), b"MZ")
            .file(&format!("/boot/initrd.img-5.{number}"), b"x")
            .file(&format!("/usr/lib/modules/5.{number}/modules.dep"), b"")
    });
    let deep = format!("/etc{}", "/d".repeat(1000));
    let looked = || {
        vec![
            inspect(&[0]),
            inspect_json(SEEN),
            plan("hyperv", &[0, 78]),
            ls("/boot", &[0]),
            ls("/etc", &[0]),
            copy_out("/boot", &[0, 1]),
        ]
    };
    let mut found = vec![
        case(
            "config/names-everywhere",
            "names that steer, in every folder that is read",
            guest(&everywhere),
            looked(),
        ),
        case("config/names-kernels", "versions of kernels that steer", guest(&modules), looked()),
        one("kernels-100", "a hundred kernels", &kernels),
        case(
            "config/deep",
            "a thousand folders in one another",
            guest(&Tree::debian().file(&format!("{deep}/x"), b"x")),
            [looked(), vec![copy_out("/etc", &[0, 1]), cat(&format!("{deep}/x"), &[0, 69])]].concat(),
        ),
    ];
    for (number, folder) in [
        "/etc/modprobe.d",
        "/etc/network/interfaces.d",
        "/boot/loader/entries",
        "/etc/udev/rules.d",
        "/etc/systemd/system",
    ]
    .into_iter()
    .enumerate()
    {
        // The most inodes that mkfs makes for this volume are enough.
        let many = (0..3000).fold(Tree::debian(), |tree, at| tree.file(&format!("{folder}/{at}.conf"), b"x"));
        let disk = Workshop::new().ext(&many, &["-b", "1024", "-O", "^has_journal", "-N", "4096"], "24M", "");
        found.push(case(
            &format!("config/many-{number}"),
            "3000 files in a folder that is read",
            disk.in_partition(0x83),
            looked(),
        ));
    }
    found
}

/// Files that include themselves.
fn includes() -> Vec<Case> {
    let list: [(&str, &str, &str); 7] = [
        (
            "interfaces",
            "/etc/network/interfaces",
            "source /etc/network/interfaces\nsource-directory /etc/network\nsource /etc/network/*\n",
        ),
        (
            "interfaces-out",
            "/etc/network/interfaces",
            "source /../../../../tmp/rehome-hostile-canary\nsource ../../../../tmp/rehome-hostile-c*\n",
        ),
        (
            "grub",
            "/boot/grub/grub.cfg",
            "configfile /boot/grub/grub.cfg\nsource /boot/grub/grub.cfg\nsource $prefix/../../../../../tmp/rehome-hostile-canary\n",
        ),
        (
            "default-grub",
            "/etc/default/grub",
            ". /etc/default/grub\nsource /tmp/rehome-hostile-canary\nGRUB_CMDLINE_LINUX=\"$(cat /tmp/rehome-hostile-canary)\"\n",
        ),
        (
            "extlinux",
            "/boot/extlinux/extlinux.conf",
            "include extlinux.conf\nINCLUDE ../../../../../../tmp/rehome-hostile-canary\n",
        ),
        (
            "zipl-names",
            "/boot/loader/entries/x.conf",
            "title x\nlinux ../../../../../../tmp/rehome-hostile-canary\ninitrd /../../tmp/rehome-hostile-canary\n",
        ),
        (
            "menu-lst",
            "/boot/grub/menu.lst",
            "configfile /boot/grub/menu.lst\ntitle x\nkernel /../../../../tmp/rehome-hostile-canary root=x\n",
        ),
    ];
    let mut found: Vec<Case> = list
        .into_iter()
        .map(|(name, path, content)| {
            one(
                &format!("include-{name}"),
                "a file that includes itself, or one of the host",
                &Tree::debian().file(path, content.as_bytes()),
            )
        })
        .collect();
    let chain = (0..500).fold(Tree::debian(), |tree, number| {
        let text = format!(
            "source /etc/network/interfaces.d/{0}\nsource /etc/network/interfaces.d/{0}\n",
            number + 1
        );
        tree.file(&format!("/etc/network/interfaces.d/{number}"), text.as_bytes())
    });
    let chain = chain.file("/etc/network/interfaces", b"source /etc/network/interfaces.d/0\n");
    let disk = Workshop::new().ext(&chain, &["-b", "1024", "-O", "^has_journal", "-N", "1024"], "24M", "");
    found.push(case(
        "config/include-chain",
        "500 files that include the next one twice",
        disk.in_partition(0x83),
        runs(),
    ));
    found
}
