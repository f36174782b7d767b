//! Texts of volume groups.

use std::fmt::Write as _;

pub(super) const PV: &str = "abcdef-ghij-klmn-opqr-stuv-wxyz-012345";

const HEAD: &str = "contents = \"Text Format Volume Group\"\nversion = 1\n";
const LINEAR: &str =
    "start_extent = 0 extent_count = 1 type = \"striped\" stripe_count = 1 stripes = [\"pv0\", 0]";

/// An identifier with a number in it.
fn id(number: usize) -> String {
    format!("abcdef-ghij-klmn-opqr-stuv-wxyz-{number:06}")
}

/// A logical volume with these segments.
fn volume(name: &str, number: usize, flags: &str, segments: &[String]) -> String {
    let mut text = format!(
        "{name} {{ id = \"{}\" status = [\"READ\", \"WRITE\", {flags}] segment_count = {} ",
        id(number),
        segments.len()
    );
    for (at, segment) in segments.iter().enumerate() {
        let _ = write!(text, "segment{} {{ {segment} }} ", at + 1);
    }
    text + "}\n"
}

fn visible(name: &str, number: usize, segment: &str) -> String {
    volume(name, number, "\"VISIBLE\"", &[segment.to_owned()])
}

/// A group with these logical volumes.
fn group(volumes: &str) -> Vec<u8> {
    format!(
        "vg {{ id = \"{PV}\" seqno = 3 format = \"lvm2\" status = [\"RESIZEABLE\", \"READ\", \"WRITE\"] flags = [] extent_size = 128\n\
         physical_volumes {{ pv0 {{ id = \"{PV}\" status = [\"ALLOCATABLE\"] flags = [] dev_size = 24576 pe_start = 12288 pe_count = 90 }} }}\n\
         logical_volumes {{ {volumes} }} }}\n{HEAD}"
    )
    .into_bytes()
}

/// A group with one logical volume.
pub(super) fn plain() -> Vec<u8> {
    group(&visible("root", 1, LINEAR))
}

/// The same with something else in one place.
pub(super) fn replaced(from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8_lossy(&plain()).into_owned();
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1).into_bytes()
}

type Text = (String, &'static str, Vec<u8>);

/// Names, what they attack, and texts.
pub(super) fn texts() -> Vec<Text> {
    let mut texts = syntax();
    texts.extend(numbers());
    texts.extend(names());
    texts.extend(counts());
    texts.extend(cycles());
    texts
}

fn syntax() -> Vec<Text> {
    let plain = plain();
    let half = plain[..plain.len() / 2].to_vec();
    let deep = "a{".repeat(1 << 20).into_bytes();
    let lists = format!("a = {}", "[".repeat(1 << 20)).into_bytes();
    let commas = format!("a = [{}]", "1,".repeat(1 << 20)).into_bytes();
    let twice = String::from_utf8_lossy(&plain).repeat(2).into_bytes();
    [
        ("syntax-nothing", "an empty text", b"\0".to_vec()),
        ("syntax-noise", "a text that is none", vec![0xff; 4096]),
        ("syntax-nuls", "a text of zeros", vec![0; 4096]),
        ("syntax-half", "a text that ends in its middle", half),
        (
            "syntax-open-string",
            "a string that does not end",
            [b"a = \"".to_vec(), vec![b'x'; 1 << 20]].concat(),
        ),
        ("syntax-escapes", "a string of backslashes", [b"a = \"".to_vec(), vec![b'\\'; 1 << 20]].concat()),
        ("syntax-deep", "a million sections in one another", deep),
        ("syntax-deep-lists", "a million lists in one another", lists),
        ("syntax-long-list", "a million items", commas),
        ("syntax-twice", "everything said twice", twice),
        (
            "syntax-comments",
            "4 MiB of comments",
            [b"#\n".repeat(2 << 20), plain].concat()[..4 << 20].to_vec(),
        ),
        ("syntax-number", "a number of a million digits", [b"a = ".to_vec(), vec![b'9'; 1 << 20]].concat()),
    ]
    .map(|(name, about, text)| (name.to_owned(), about, text))
    .into()
}

/// Every number at its extremes.
fn numbers() -> Vec<Text> {
    let fields = [
        "seqno = 3",
        "extent_size = 128",
        "dev_size = 24576",
        "pe_start = 12288",
        "pe_count = 90",
        "segment_count = 1",
        "start_extent = 0",
        "extent_count = 1",
        "stripe_count = 1",
        "\"pv0\", 0",
        "version = 1",
    ];
    let values = [
        "0",
        "1",
        "-1",
        "2147483648",
        "4294967295",
        "4294967296",
        "9223372036854775807",
        "-9223372036854775808",
        "18446744073709551616",
        "1.5",
        "\"x\"",
        "[]",
    ];
    let mut found = Vec::new();
    for field in fields {
        let (name, _) = field.split_once([' ', ',']).unwrap_or((field, ""));
        for value in values {
            let to =
                if field.contains('=') { format!("{name} = {value}") } else { format!("{name}, {value}") };
            if to != field {
                let name =
                    format!("number-{}-{}", name.trim_matches('"'), value.replace(['"', '[', ']'], "_"));
                found.push((name, "a number of the metadata", replaced(field, &to)));
            }
        }
    }
    found
}

fn names() -> Vec<Text> {
    let long = "n".repeat(100_000);
    let bad = ["../../etc", ".", "a/b", "\u{1b}[2J", "a\nb", "\u{202e}x", "-rf", "$(id)", &long];
    let mut found = Vec::new();
    for (number, name) in bad.iter().enumerate() {
        let quoted = name.replace('\n', "\\n");
        found.push((
            format!("name-group-{number}"),
            "a name of a group",
            replaced("vg {", &format!("{quoted} {{")),
        ));
        found.push((
            format!("name-volume-{number}"),
            "a name of a volume",
            replaced("root {", &format!("{quoted} {{")),
        ));
        found.push((
            format!("name-id-{number}"),
            "an identifier",
            replaced(&format!("\"{PV}\""), &format!("\"{quoted}\"")),
        ));
        found.push((
            format!("name-lock-{number}"),
            "a type of lock",
            replaced("seqno = 3", &format!("seqno = 3 lock_type = \"{quoted}\"")),
        ));
        found.push((
            format!("name-kind-{number}"),
            "a type of segment",
            replaced("\"striped\"", &format!("\"{quoted}\"")),
        ));
        found.push((
            format!("name-flag-{number}"),
            "a flag",
            replaced("\"RESIZEABLE\"", &format!("\"{quoted}\"")),
        ));
        found.push((
            format!("name-stripe-{number}"),
            "a name that a stripe refers to",
            replaced("[\"pv0\", 0]", &format!("[\"{quoted}\", 0]")),
        ));
    }
    found
}

fn counts() -> Vec<Text> {
    let same = (0..15_000).fold(String::new(), |text, number| {
        let name = format!("v{number}");
        text + &format!(
            "{name}{{id=\"{}\"status=[\"READ\",\"WRITE\",\"VISIBLE\"]segment_count=1 segment1{{start_extent=0 extent_count=1 type=\"striped\"stripe_count=1 stripes=[\"pv0\",{}]}}}}",
            id(number),
            number % 90
        )
    });
    let segments: Vec<String> = (0..20_000)
        .map(|at| format!("start_extent = {at} extent_count = 1 type = \"striped\" stripe_count = 1 stripes = [\"pv0\", {}]", at % 90))
        .collect();
    let stripes = format!(
        "start_extent = 0 extent_count = 20000 type = \"striped\" stripe_count = 20000 stripe_size = 1 stripes = [{}]",
        vec!["\"pv0\", 0"; 20_000].join(", ")
    );
    let physical = (0..20_000).fold(String::new(), |text, number| {
        text + &format!("p{number} {{ id = \"{}\" status = [] pe_start = 1 pe_count = 1 }} ", id(number))
    });
    let physical = replaced("physical_volumes {", &format!("physical_volumes {{ {physical}"));
    vec![
        ("count-volumes".into(), "15,000 logical volumes", group(&same)),
        ("count-segments".into(), "20,000 segments", group(&volume("v", 1, "\"VISIBLE\"", &segments))),
        ("count-stripes".into(), "20,000 stripes", group(&visible("v", 1, &stripes))),
        ("count-physical".into(), "20,000 physical volumes", physical),
    ]
}

/// Volumes that consist of themselves.
fn cycles() -> Vec<Text> {
    let on = |name: &str| {
        format!(
            "start_extent = 0 extent_count = 1 type = \"striped\" stripe_count = 1 stripes = [\"{name}\", 0]"
        )
    };
    let kind = |fields: &str| format!("start_extent = 0 extent_count = 1 {fields}");
    let pair = |a: &str, b: &str| group(&(visible("a", 1, a) + &visible("b", 2, b)));
    let chain: String =
        (0..5000).map(|at| visible(&format!("v{at}"), at, &on(&format!("v{}", at + 1)))).collect();
    // Each level has two of the one below: without a memory of what was seen this takes 2^40 steps.
    let tree: String = (0..40)
        .map(|at| {
            let next = format!("v{}", at + 1);
            let mirror = kind(&format!("type = \"raid1\" device_count = 2 stripe_count = 2 raids = [\"{next}\", \"{next}\", \"{next}\", \"{next}\"]"));
            visible(&format!("v{at}"), at, &mirror)
        })
        .collect();
    let thin = "type = \"thin\" thin_pool = \"a\" transaction_id = 0 device_id = 1";
    let pool = "type = \"thin-pool\" metadata = \"a\" pool = \"a\" transaction_id = 0 chunk_size = 128 discards = \"passdown\" zero_new_blocks = 1";
    let mirror = "type = \"mirror\" mirror_count = 2 mirror_log = \"a\" region_size = 1024 mirrors = [\"a\", 0, \"a\", 0]";
    let cache = "type = \"cache\" cache_pool = \"a\" origin = \"a\"";
    let snapshot = "type = \"snapshot\" chunk_size = 8 origin = \"a\" cow_store = \"a\"";
    let external = "type = \"thin\" thin_pool = \"b\" transaction_id = 0 device_id = 1 external_origin = \"a\" origin = \"a\"";
    [
        ("cycle-own", "a volume on itself", group(&visible("a", 1, &on("a")))),
        ("cycle-two", "two volumes on one another", pair(&on("b"), &on("a"))),
        ("cycle-thin", "a thin volume in itself", pair(&kind(thin), &kind(thin))),
        ("cycle-pool", "a thin pool that is its own data and metadata", pair(&kind(pool), &kind(thin))),
        ("cycle-mirror", "a mirror of itself", pair(&kind(mirror), &on("a"))),
        ("cycle-cache", "a cache of itself", pair(&kind(cache), &on("a"))),
        ("cycle-snapshot", "a snapshot of itself in itself", pair(&kind(snapshot), &kind(snapshot))),
        ("cycle-origin", "a thin volume whose origin it is", pair(&kind(external), &kind(pool))),
        ("chain", "5000 volumes, each on the next", group(&chain)),
        ("tree", "40 levels of mirrors of the same mirror", group(&tree)),
    ]
    .map(|(name, about, text)| (name.to_owned(), about, text))
    .into()
}
