//! XVA: the description of the machine, and the names of blocks.

use super::bases::xva::{BLOCK, Member, Plan, blocks, build, member, ova, pack};
use crate::Case;
use crate::names::CANARY;

fn plan() -> Plan {
    Plan { userdevice: 0, bytes: super::bases::xva::content(3 * BLOCK, 1), ..Plan::sample().remove(0) }
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = members();
    cases.extend(lists());
    cases.extend(descriptions());
    cases
}

fn read(case: Case, codes: &[u8]) -> Case {
    case.run(&["inspect", "a.xva"], codes)
        .run(&["check", "a.xva"], &[0, 1, 65, 69])
        .run(&["convert", "a.xva", "out.raw"], codes)
}

/// Sums are compared where the data are read.
fn unread(case: Case) -> Case {
    case.run(&["inspect", "a.xva"], &[0])
        .run(&["check", "a.xva"], &[1, 65])
        .run(&["convert", "a.xva", "out.raw"], &[65])
}

fn case(name: &str, about: &str, bytes: Vec<u8>) -> Case {
    Case::new(&format!("xva/{name}"), about).file("a.xva", bytes)
}

fn members() -> Vec<Case> {
    let with = |change: &dyn Fn(&mut Vec<Member>)| {
        let plan = plan();
        let mut members = blocks(&plan);
        change(&mut members);
        pack(&ova(&[plan], 2), &members)
    };
    let renamed = |name: &'static str| with(&move |members| members[0].name = name.into());
    let mut big = build(&[plan()]);
    let place = super::super::names::find(&big, b"Ref:10/00000000").unwrap();
    big[place + 124..place + 136].copy_from_slice(b"77777777777\0");
    super::bases::xva::seal(&mut big[place..place + 512]);
    vec![
        read(case("good", "no attack: the export that is taken apart", build(&[plan()])), &[0]),
        read(case("block-above", "a block whose name leads out", renamed("../../etc/00000000")), &[65]),
        read(case("block-absolute", "a block whose name is absolute", renamed("/etc/passwd")), &[65]),
        read(
            case("block-huge-number", "a block with a number of 8 digits", renamed("Ref:10/99999999")),
            &[65],
        ),
        read(case("block-no-number", "a block whose number is none", renamed("Ref:10/-0000001")), &[65]),
        read(
            case("block-unknown", "a block of a disk that is not described", renamed("Ref:999/00000000")),
            &[65],
        ),
        read(
            case(
                "block-twice",
                "a block that comes twice",
                with(&|members| {
                    let again = members[0..2].to_vec();
                    members.splice(2..2, again);
                }),
            ),
            &[65],
        ),
        read(case("block-backwards", "blocks that go backwards", with(&|members| members.reverse())), &[65]),
        read(
            case(
                "block-short",
                "a block that is shorter than the others",
                with(&|members| members[2].bytes.truncate(100)),
            ),
            &[65],
        ),
        read(case("block-size", "a block of 8 GiB", big), &[69]),
        unread(case(
            "sum-wrong",
            "a sum that is another one",
            with(&|members| members[1].bytes = b"0000000000000000".to_vec()),
        )),
        unread(case(
            "sum-huge",
            "a sum of a megabyte",
            with(&|members| members[1].bytes = vec![b'0'; 1 << 20]),
        )),
        read(
            case(
                "last-missing",
                "the last block does not come",
                with(&|members| members.truncate(members.len() - 2)),
            ),
            &[65],
        ),
    ]
}

/// Lists that are honest but long.
fn lists() -> Vec<Case> {
    let plans: Vec<Plan> = (0..4000).map(|_| Plan { bytes: vec![7; 512], ..plan() }).collect();
    let same = pack(&ova(&plans, 2), &blocks(&plans[0]));
    let value =
        |name: &str, value: &str| format!("<member><name>{name}</name><value>{value}</value></member>");
    let members: String = (0..100_000).map(|n| value(&format!("n{n}"), "x")).collect();
    let wide = ova(&[plan()], 2).replacen("<value><struct>", &format!("<value><struct>{members}"), 1);
    vec![
        read(case("list-disks", "four thousand disks of the same name", same), &[69]),
        read(
            case("list-members", "a struct of a hundred thousand members", pack(&wide, &blocks(&plan()))),
            &[0, 65, 69],
        ),
    ]
}

fn descriptions() -> Vec<Case> {
    let with = |text: String| pack(&text, &blocks(&plan()));
    let good = ova(&[plan()], 2);
    let size = |size: &str| {
        with(good.replace(&format!("<value>{}</value>", 3 * BLOCK), &format!("<value>{size}</value>")))
    };
    let laughs: String = (1..10)
        .map(|level| format!("<!ENTITY l{level} \"{}\">", format!("&l{};", level - 1).repeat(10)))
        .collect();
    let typed = |declarations: &str, name: &str| {
        with(
            good.replacen("?>", &format!("?><!DOCTYPE value [{declarations}]>"), 1)
                .replace("guest &amp;", name),
        )
    };
    vec![
        read(case("size-zero", "a disk of no bytes", size("0")), &[65]),
        read(case("size-huge", "a disk of 2^63 bytes", size("9223372036854775807")), &[65]),
        read(case("size-negative", "a disk of -1 bytes", size("-1")), &[65]),
        read(case("size-words", "a disk of many bytes", size("many")), &[65]),
        read(
            case("xxe", "an external entity", typed(&format!("<!ENTITY x SYSTEM \"{CANARY}\">"), "&x;")),
            &[65],
        ),
        read(
            case("entity-bomb", "a billion laughs", typed(&format!("<!ENTITY l0 \"ha\">{laughs}"), "&l9;")),
            &[65],
        ),
        read(
            case(
                "deep",
                "a hundred thousand values inside each other",
                with(format!(
                    "<value>{}{}</value>",
                    "<array><data><value>".repeat(100_000),
                    "</value></data></array>".repeat(100_000)
                )),
            ),
            &[65],
        ),
        read(
            case(
                "steers",
                "names that steer the terminal",
                with(
                    good.replace("guest &amp;", "&#27;[31m&#x202e;&#10;")
                        .replace(">data<", ">../../&#x202e;evil<"),
                ),
            ),
            &[0],
        ),
        read(
            case("no-description", "a first member that is no description", member("ova.xml", b"nothing")),
            &[65],
        ),
        read(
            case("description-huge", "a description of a GiB that is not there", {
                let mut bytes = member("ova.xml", &[]);
                bytes[124..136].copy_from_slice(b"10000000000\0");
                super::bases::xva::seal(&mut bytes[..512]);
                bytes
            }),
            &[65],
        ),
    ]
}
