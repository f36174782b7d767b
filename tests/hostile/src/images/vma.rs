//! VMA: header, devices, extents. Every structure has its MD5, which is made right again.

use super::bases::vma::{Plan, header_end, reseal};
use super::one;
use super::sweep::{Order, Sweep};
use crate::Case;

fn plan() -> Plan {
    let mut plan = Plan::sample();
    plan.devices.truncate(1);
    plan
}

pub(super) fn cases() -> Vec<Case> {
    let wrap = |mut bytes: Vec<u8>| {
        // A header that claims another length is sealed where it really ends.
        let end = header_end(&plan().build());
        if header_end(&bytes) == end {
            reseal(&mut bytes);
        } else {
            super::bases::vma::seal(&mut bytes[..end], 32);
        }
        one("a.vma", bytes)
    };
    let base = plan().build();
    let extent = header_end(&base);
    let order = Order::Big;
    let mut cases = Sweep { name: "vma/header", format: "vma", image: "a.vma", base, order, wrap: &wrap }
        .cases(&[
            ("magic", 0, 4, [65, 65, 65, 65]),
            ("version", 4, 4, [69, 0, 69, 69]),
            ("time", 24, 8, [0, 0, 0, 0]),
            ("blob-offset", 48, 4, [65, 65, 65, 65]),
            ("blob-size", 52, 4, [65, 65, 65, 65]),
            ("header-size", 56, 4, [65, 65, 69, 65]),
            ("config-name", 2044, 4, [65, 0, 65, 65]),
            ("config-data", 3068, 4, [65, 0, 65, 65]),
            ("device-name", 4096 + 32, 4, [65, 0, 65, 65]),
            ("device-size", 4096 + 40, 8, [65, 65, 65, 65]),
            ("second-device-size", 4096 + 72, 8, [0, 65, 65, 65]),
            ("extent-magic", extent, 4, [65, 65, 65, 65]),
            ("extent-blocks", extent + 6, 2, [65, 65, 65, 65]),
            ("extent-uuid", extent + 8, 8, [65, 65, 65, 65]),
            ("block-mask", extent + 40, 2, [65, 65, 65, 65]),
            ("block-device", extent + 43, 1, [65, 0, 65, 65]),
            ("block-cluster", extent + 44, 4, [0, 65, 65, 65]),
        ]);
    cases.extend(others());
    cases
}

fn others() -> Vec<Case> {
    let case = |name: &str, about: &str, plan: &Plan| {
        Case::new(&format!("vma/{name}"), about).file("a.vma", plan.build())
    };
    let read = |case: Case, codes: &[u8]| {
        case.run(&["inspect", "a.vma"], codes)
            .run(&["check", "a.vma"], &[1, 65])
            .run(&["convert", "a.vma", "out.raw"], codes)
    };
    let good = plan();
    let named = |name| {
        let mut plan = plan();
        plan.devices[0].0 = name;
        plan
    };
    let order = |order| Plan { order, ..plan() };
    let mut cases = vec![
        read(
            case(
                "cluster-twice",
                "a cluster that comes twice",
                &order([good.in_order(), vec![(1, 0)]].concat()),
            ),
            &[65],
        ),
        read(
            case("cluster-missing", "a cluster that does not come", &order(good.in_order()[1..].to_vec())),
            &[65],
        ),
        Case::new("vma/cut", "a backup that ends inside of an extent")
            .file("a.vma", {
                let bytes = good.build();
                bytes[..bytes.len() - 5000].to_vec()
            })
            .run(&["inspect", "a.vma"], &[65])
            .run(&["convert", "a.vma", "out.raw"], &[65]),
    ];
    for (label, name) in [
        ("absolute", "/etc/evil"),
        ("above", "../../evil"),
        ("steers", "\u{1b}[31m\u{202e}\nevil"),
        ("option", "--force"),
        ("empty", ""),
    ] {
        let case = case(&format!("name-{label}"), "a device whose name leads out of a folder", &named(name));
        cases.push(
            case.run(&["inspect", "a.vma"], &[0, 65])
                .run(&["convert", "--pick", "0", "a.vma", "out.raw"], &[0, 65])
                .run(&["convert", "-O", "qcow2", "--out", "out", "a.vma"], &[0, 2, 65, 73]),
        );
    }
    let config = |text: &'static str| Plan { config: text, ..plan() };
    cases.push(
        case(
            "config-foreign",
            "a configuration that names files of the host, and steers the terminal",
            &config("scsi0: /etc/passwd,size=1G\nargs: -drive file=/etc/passwd\nname: \u{1b}[31mx\n"),
        )
        .run(&["inspect", "a.vma"], &[0])
        .run(&["migrate", "a.vma", "--to", "kvm", "--out", "out", "--dry-run"], &[78]),
    );
    cases
}
