//! Interfaces in a network namespace of their own.

use crate::bench::{Bench, fails, findmnt, inside, is_mounted, tool, with};
use convert_destination::{Destination, Host, Isolation, Required, VolumeKind};
use std::os::unix::fs::PermissionsExt;

/// A pair of interfaces with everything on it that the kernel forgets when a link goes down.
pub fn veth() {
    let lines = [
        "ip link set lo up",
        "ip link add v0 type veth peer name v1",
        "ip link set v1 up",
        "ip link set v0 up",
        "ip addr add 10.9.0.1/24 dev v0",
        "ip addr add 10.9.1.1/24 brd + dev v0 label v0:x",
        "ip addr add 10.9.2.1 peer 10.9.2.2/32 dev v0",
        "ip addr add fd00:9::1/64 dev v0 nodad",
        "ip route add 10.20.0.0/16 via 10.9.0.2 metric 7",
        "ip route add 10.21.0.0/16 via 10.20.0.1 dev v0 onlink src 10.9.1.1",
        "ip route add 10.22.0.0/16 via 10.9.0.2 table 100",
        "ip -6 route add fd01::/64 via fd00:9::2 metric 5",
    ];
    lines.iter().for_each(|line| drop(tool(&line.split(' ').collect::<Vec<_>>())));
    // Until it has its own address, which the kernel makes after a second.
    while !tool(&["ip", "-6", "addr", "show", "dev", "v0", "scope", "link", "-tentative"]).contains("fe80") {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// All addresses and routes of v0 but those of the kernel's own making, sorted.
pub fn state() -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in ["addr show dev v0", "-4 route show table all dev v0", "-6 route show table all dev v0"] {
        let said = tool(&format!("ip -o {line}").split(' ').collect::<Vec<_>>());
        let own = |line: &&str| {
            !line.contains("fe80:") && !line.contains("ff00::") && !line.contains("proto kernel")
        };
        // The number of the interface and what is left of a lifetime say nothing; a test of duplicates passes.
        lines.extend(
            said.lines().filter(own).map(|line| line.replace(" tentative", "").replace(" nodad", "")),
        );
    }
    lines.sort();
    lines
}

fn down(interface: &str) -> Isolation {
    Isolation::NetworkDown { interface: interface.into(), yes_i_lose_network: false }
}

fn is_up(name: &str) -> bool {
    tool(&["ip", "-o", "link", "show", "dev", name])
        .split(['<', '>'])
        .nth(1)
        .unwrap()
        .split(',')
        .any(|flag| flag == "UP")
}

#[test]
fn the_link_goes_down_and_everything_on_it_comes_back() {
    inside("network::the_link_goes_down_and_everything_on_it_comes_back", |bench| {
        veth();
        let folder = bench.dir("local");
        let before = state();
        assert_eq!(before.len(), 8, "{before:#?}");
        let left = bench.leave(&folder, &down("v0")).unwrap();
        assert_eq!(left.interface.as_deref(), Some("v0"));
        assert!(!is_up("v0") && state().len() < before.len());
        assert!(bench.leave(&folder, &down("v0")).unwrap().already);
        let entered = bench.enter(&folder).unwrap();
        assert_eq!((entered.how, entered.interface.as_deref()), (Some("network-down"), Some("v0")));
        assert!(is_up("v0"));
        assert_eq!(state(), before);
        assert_eq!(bench.records(), 0);
        // Somebody took it up meanwhile: it goes down again.
        bench.leave(&folder, &down("v0")).unwrap();
        tool(&["ip", "link", "set", "v0", "up"]);
        assert!(!bench.leave(&folder, &down("v0")).unwrap().already);
        assert!(!is_up("v0"));
    });
}

#[test]
fn the_way_out_of_the_host_is_not_cut_unasked() {
    inside("network::the_way_out_of_the_host_is_not_cut_unasked", |bench| {
        veth();
        let folder = bench.dir("local");
        let refused = |why: &str| {
            fails(bench.leave(&folder, &down("v0")), 2, &[why, "--yes-i-lose-network"]);
            assert!(is_up("v0") && bench.records() == 0);
        };
        tool(&["ip", "route", "add", "default", "via", "10.9.0.2"]);
        refused("v0 has the default route");
        tool(&["ip", "route", "del", "default"]);
        tool(&["ip", "-6", "route", "add", "default", "via", "fd00:9::2"]);
        refused("v0 has the default route");
        tool(&["ip", "-6", "route", "del", "default"]);
        tool(&["ip", "route", "add", "128.0.0.0/1", "via", "10.9.0.2"]);
        refused("v0 has the default route");
        let before = state();
        let wanted = Isolation::NetworkDown { interface: "v0".into(), yes_i_lose_network: true };
        bench.leave(&folder, &wanted).unwrap();
        assert!(!is_up("v0"));
        bench.enter(&folder).unwrap();
        assert_eq!(state(), before);
        for (name, says) in [
            ("nope", "there is no network interface nope"),
            ("-x", "is no name"),
            ("lo", "is this host itself"),
        ] {
            fails(bench.leave(&folder, &down(name)), 2, &[says]);
        }
    });
}

#[test]
fn a_link_without_carrier_is_waited_for() {
    inside("network::a_link_without_carrier_is_waited_for", |bench| {
        veth();
        let folder = bench.dir("local");
        bench.leave(&folder, &down("v0")).unwrap();
        tool(&["ip", "link", "set", "v1", "down"]);
        let soon = std::thread::spawn(|| {
            std::thread::sleep(std::time::Duration::from_secs(2));
            tool(&["ip", "link", "set", "v1", "up"])
        });
        bench.enter(&folder).unwrap();
        soon.join().unwrap();
        bench.leave(&folder, &down("v0")).unwrap();
        tool(&["ip", "link", "set", "v1", "down"]);
        fails(bench.enter(&folder), 75, &["has no link after 10 s"]);
        tool(&["ip", "link", "set", "v1", "up"]);
        bench.enter(&folder).unwrap();
    });
}

/// A stand-in, because NetworkManager needs a system bus: it records how it is called.
fn manager(bench: &Bench) -> Host {
    let folder = bench.dir("bin");
    let script = format!(
        "#!/bin/sh\necho \"$@\" >> {0}/calls\ncase \"$*\" in *NM-MANAGED*) echo GENERAL.NM-MANAGED:yes;; esac\n",
        folder.display()
    );
    let program = folder.join("nmcli");
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut path = folder.into_os_string();
    path.push(":/usr/sbin:/sbin:/usr/bin:/bin");
    Host { path, ..Host::system() }
}

#[test]
fn an_interface_that_networkmanager_has_is_asked_of_it() {
    inside("network::an_interface_that_networkmanager_has_is_asked_of_it", |bench| {
        veth();
        let (folder, host) = (bench.dir("local"), manager(bench));
        with(&host, &bench.path("state"), &[], |it| it.leave(&folder, &down("v0"))).unwrap();
        assert!(!is_up("v0"));
        with(&host, &bench.path("state"), &[], |it| it.enter(&folder)).unwrap();
        assert!(is_up("v0"));
        let calls = std::fs::read_to_string(bench.path("bin/calls")).unwrap();
        let calls: Vec<_> = calls.lines().filter(|line| line.contains("connect")).collect();
        assert_eq!(calls, ["--wait 55 device disconnect v0", "--wait 55 device connect v0"]);
    });
}

/// A server of files behind v1, in a network namespace of its own, and an fstab that knows how to mount it.
fn server(bench: &Bench) -> crate::bench::Holding {
    let folder = bench.dir("server");
    std::fs::create_dir_all(folder.join("export/vms")).unwrap();
    std::fs::write(folder.join("export/vms/web.raw"), "content").unwrap();
    for key in ["host", "user"] {
        tool(&["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder.join(key).to_str().unwrap()]);
    }
    let config = format!(
        "Port 22\nListenAddress 10.9.0.2\nHostKey {0}/host\nAuthorizedKeysFile {0}/user.pub\nStrictModes no\nUsePAM no\n\
         PidFile none\nPermitRootLogin yes\nSubsystem sftp internal-sftp\n",
        folder.display()
    );
    std::fs::write(folder.join("config"), config).unwrap();
    bench.dir("run");
    // sshd wants a folder for its unprivileged half.
    tool(&["mount", "-t", "tmpfs", "none", "/run"]);
    std::fs::create_dir("/run/sshd").unwrap();
    let script = format!(
        "while ! ip link show v1 >/dev/null 2>&1; do sleep 0.05; done\n\
         ip link set v1 up && ip addr add 10.9.0.2/24 dev v1 && exec /usr/sbin/sshd -D -e -f {}/config",
        folder.display()
    );
    let server = crate::bench::Holding::start(&["unshare", "--net", "sh", "-c", &script], &folder);
    tool(&["ip", "link", "set", "v1", "netns", &server.id().to_string()]);
    let fstab = format!(
        "root@10.9.0.2:{0}/export {1} fuse.sshfs noauto,nodev,nosuid,IdentityFile={0}/user,StrictHostKeyChecking=no,\
         UserKnownHostsFile=/dev/null,reconnect 0 0\n",
        folder.display(),
        bench.dir("nas").display()
    );
    std::fs::write(bench.path("fstab"), fstab).unwrap();
    // What mount(8) reads is this host's table: in this namespace, ours.
    tool(&["mount", "--bind", bench.path("fstab").to_str().unwrap(), "/etc/fstab"]);
    server
}

#[test]
fn a_file_system_on_a_server_goes_before_its_link_and_comes_back_after() {
    inside("network::a_file_system_on_a_server_goes_before_its_link_and_comes_back_after", |bench| {
        veth();
        let _server = server(bench);
        let (point, vms) = (bench.path("nas"), bench.path("nas/vms"));
        let up = std::time::Instant::now();
        while !crate::bench::try_tool(&["mount", point.to_str().unwrap()]).status.success() {
            assert!(up.elapsed().as_secs() < 20, "sshfs cannot reach its server");
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        let place = Destination::new(&vms, Required::SubfolderOfVolume).check(&Host::system()).unwrap();
        assert_eq!(place.volume.kind, VolumeKind::Network);
        let before = findmnt(&point);
        let left = bench.leave(&vms, &down("v0")).unwrap();
        assert_eq!(left.unmounted, [point.display().to_string()]);
        assert!(!is_mounted(&point) && !is_up("v0"));
        let says = ["PATH_NOT_FOUND (-403)", "does not exist"];
        fails(Destination::new(&vms, Required::Exists).check(&Host::system()), 73, &says);
        let entered = bench.enter(&vms).unwrap();
        assert_eq!((entered.mounted.len(), entered.interface.as_deref()), (1, Some("v0")));
        assert_eq!(std::fs::read_to_string(vms.join("web.raw")).unwrap(), "content");
        assert_eq!(findmnt(&point), before);
        // Nothing says how to mount it: nothing is taken away.
        std::fs::write(bench.path("fstab"), "").unwrap();
        fails(bench.leave(&vms, &down("v0")), 69, &["has no entry in /etc/fstab"]);
        assert!(is_mounted(&point) && is_up("v0"));
    });
}
