//! Any name is a value in every definition: read by parsers that are not ours, a document of hostile texts has the shape of a tame one, and
//! the hostile texts where the tame ones stood.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

mod machines;

use std::process::Command;

use driver_machine::clouds::{azure, ec2, gcp};
use driver_machine::{
    Definition, DefinitionOptions, DiskBus, Machine, MachineError, NicModel, kubevirt, libvirt, ovf,
    virtualbox, vmx,
};
use machines::{Writer, machine, options};

/// What tries to leave a literal, a comment, an element, an option, a line or a file.
const PIECES: &[&str] = &[
    "'",
    "''",
    "\"",
    "`",
    "‘",
    "’",
    "‚",
    "‛",
    "“",
    "”",
    "„",
    "‟",
    "$(touch CANARY)",
    "${IFS}",
    "\\",
    "\\\\",
    "\\n",
    "--",
    "-x",
    "%",
    "%s%n",
    "%0a",
    "]]>",
    "<![CDATA[",
    "&amp;",
    "&#10;",
    "&lt;",
    "<x y=\"z\">",
    "</name>",
    "<!--",
    "-->",
    "<?",
    "|22",
    "|0A",
    "#",
    " #",
    "#>",
    "<#",
    "'@",
    ";",
    "|",
    "&",
    "&&",
    "{{.}}",
    "{",
    "}",
    "[",
    "]",
    "*",
    "?",
    "~",
    "!",
    "=",
    ",",
    ": ",
    "- ",
    "@file",
    ">",
    ">>",
    "é",
    "ß",
    "名前",
    "🖥",
    "👩\u{200d}💻",
    "e\u{301}",
    "\u{feff}",
    "\u{a0}",
    "null",
    "yes",
    "0x1F",
    "1e3",
    " ",
    "a",
    "Z",
    "7",
    ".",
    "..",
];

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    /// A text of at most `most` bytes that is not blank.
    fn text(&mut self, most: usize) -> String {
        let mut text = String::new();
        for _ in 0..=self.below(12) {
            let piece = PIECES[self.below(PIECES.len())];
            if text.len() + piece.len() <= most {
                text.push_str(piece);
            }
        }
        if text.trim().is_empty() { "x".into() } else { text }
    }
}

/// What the fields are called in the tame machine; no definition has these words of its own.
const MARKS: [&str; 5] = ["markname", "marknetone", "marknettwo", "marknotes", "markreason"];

fn machine_of(texts: &[String; 5]) -> Machine {
    let mut machine = machine(&texts[0], 2);
    machine.nics[0].network = Some(texts[1].clone());
    machine.nics[1].network = Some(texts[2].clone());
    machine.notes = Some(texts[3].clone());
    machine
}

struct Target {
    name: &'static str,
    write: Writer,
    format: &'static str,
    bus: DiskBus,
    nic: NicModel,
    read: fn(&str) -> Vec<(String, String)>,
}

fn by_libvirt(machine: &Machine, options: &DefinitionOptions) -> Result<Definition, MachineError> {
    libvirt::definition(machine, options, "/var/lib/libvirt/images")
}

const TARGETS: &[Target] = &[
    Target {
        name: "libvirt",
        write: by_libvirt,
        format: "qcow2",
        bus: DiskBus::VirtioScsi,
        nic: NicModel::Virtio,
        read: xml,
    },
    Target {
        name: "ovf",
        write: ovf::definition,
        format: "vmdk",
        bus: DiskBus::LsiLogic,
        nic: NicModel::E1000,
        read: xml,
    },
    Target {
        name: "vmx",
        write: vmx::definition,
        format: "vmdk",
        bus: DiskBus::Pvscsi,
        nic: NicModel::Vmxnet3,
        read: dictionary,
    },
    Target {
        name: "kubevirt",
        write: kubevirt::definition,
        format: "qcow2",
        bus: DiskBus::VirtioBlk,
        nic: NicModel::Virtio,
        read: yaml,
    },
    Target {
        name: "virtualbox",
        write: virtualbox::definition,
        format: "vmdk",
        bus: DiskBus::Sata,
        nic: NicModel::E1000,
        read: bash,
    },
    Target {
        name: "azure",
        write: azure::definition,
        format: "vhd",
        bus: DiskBus::Sata,
        nic: NicModel::E1000,
        read: bash,
    },
    Target {
        name: "gcp",
        write: gcp::definition,
        format: "raw",
        bus: DiskBus::Sata,
        nic: NicModel::E1000,
        read: bash,
    },
    Target {
        name: "ec2",
        write: ec2::definition,
        format: "raw",
        bus: DiskBus::Sata,
        nic: NicModel::E1000,
        read: bash,
    },
];

fn given(machine: &Machine, target: &Target, stem: &str, reason: &str) -> DefinitionOptions {
    let mut options = options(machine, target.format, target.bus, target.nic);
    for (number, file) in options.disks.iter_mut().enumerate() {
        file.file = format!("{stem}-{number}.{}", target.format);
        file.manifest = format!("{}.rehome.json", file.file);
    }
    options.firmware_reason = reason.into();
    options
}

fn python(program: &str, text: &str) -> Vec<(String, String)> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("document"), text).unwrap();
    let output = Command::new("timeout")
        .args(["60", "python3", "-I", "-c", program])
        .arg(folder.path().join("document"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Elements and attributes in their order, and what they hold. The parser resolves entities and knows nothing of our writer.
fn xml(text: &str) -> Vec<(String, String)> {
    let program = "import sys, json, xml.etree.ElementTree as e\nout=[]\n\
                   def walk(n, at):\n at=at+'/'+n.tag; out.append([at, n.text if n.text and n.text.strip() else ''])\n \
                   out.extend([at+'@'+k, v] for k, v in n.attrib.items())\n \
                   [walk(c, at) for c in n]\n\
                   walk(e.parse(sys.argv[1]).getroot(), ''); print(json.dumps(out))";
    python(program, text)
}

fn yaml(text: &str) -> Vec<(String, String)> {
    let program = "import sys, json, yaml\nout=[]\n\
                   def walk(n, at):\n \
                   [walk(v, at+'/'+str(k)) for k, v in n.items()] if isinstance(n, dict) else \
                   [walk(v, at+'/'+str(k)) for k, v in enumerate(n)] if isinstance(n, list) else out.append([at, repr(type(n))+str(n)])\n\
                   [walk(d, str(i)) for i, d in enumerate(yaml.safe_load_all(open(sys.argv[1], encoding='utf-8')))]; print(json.dumps(out))";
    python(program, text)
}

/// A line is a key and a value between marks; `|` and two digits stand for a byte.
fn dictionary(text: &str) -> Vec<(String, String)> {
    let entry = |line: &str| {
        let (key, value) = line.split_once(" = \"").unwrap_or_else(|| panic!("no entry: {line}"));
        let value = value.strip_suffix('"').unwrap_or_else(|| panic!("no end: {line}"));
        assert!(
            !value.contains('"')
                && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:_".contains(&byte)),
            "{line}"
        );
        let (mut bytes, mut rest) = (Vec::new(), value.as_bytes());
        while let Some((&first, after)) = rest.split_first() {
            let digits =
                after.get(..2).filter(|_| first == b'|').and_then(|two| std::str::from_utf8(two).ok());
            if let Some(byte) = digits.and_then(|two| u8::from_str_radix(two, 16).ok()) {
                bytes.push(byte);
                rest = &after[2..];
            } else {
                bytes.push(first);
                rest = after;
            }
        }
        (key.to_owned(), String::from_utf8(bytes).unwrap())
    };
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(entry).collect()
}

/// The variables of the block of data, as bash has them after it; what is not that block is the value of `program`.
fn bash(script: &str) -> Vec<(String, String)> {
    let start = script.find("\n# ---- The machine.").unwrap();
    let end = script.find("\n# ---- Functions. ----").unwrap();
    let (data, rest) = (&script[start..end], format!("{}{}", &script[..start], &script[end..]));
    let show = "\nfor v in $(compgen -v | grep -E '^[A-Z][A-Z_]+$'); do [[ \" $before \" == *\" $v \"* ]] && continue; declare -n r=$v; \
                for i in \"${!r[@]}\"; do printf '%s[%s]\\0%s\\0' \"$v\" \"$i\" \"${r[$i]}\"; done; done\n";
    let program = format!("before=\" $(compgen -v | tr '\\n' ' ') before \"\n{data}{show}");
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new("timeout")
        .args(["60", "bash", "--norc", "-euc", &program])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}\n{data}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "something ran: {data}");
    let text = String::from_utf8(output.stdout).unwrap();
    let words: Vec<_> = text.split_terminator('\0').collect();
    let mut found: Vec<_> = words.chunks(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned())).collect();
    assert!(found.len() > 4, "{program}");
    found.push(("program".into(), rest));
    found
}

/// Whether `found` is `tame` with the marks replaced; the machine's name may be the one that the target can hold.
fn is_value(tame: &str, found: &str, texts: &[String; 5], stem: &str, made: &Definition) -> bool {
    // Files beside the definition have its own name.
    let stem_of_file = made.file_name.rsplit_once('.').map_or(made.file_name.as_str(), |(stem, _)| stem);
    [texts[0].as_str(), made.machine_name.as_str(), stem_of_file].iter().any(|name| {
        let mut wanted = tame.replace("markstem", "\u{1}5\u{1}");
        for (number, mark) in MARKS.iter().enumerate() {
            wanted = wanted.replace(mark, &format!("\u{1}{number}\u{1}"));
        }
        let values =
            [*name, texts[1].as_str(), texts[2].as_str(), texts[3].as_str(), texts[4].as_str(), stem];
        for (number, value) in values.iter().enumerate() {
            wanted = wanted.replace(&format!("\u{1}{number}\u{1}"), value);
        }
        wanted == found || wanted == percent_decoded(found)
    })
}

/// References of envelopes are written as URIs.
fn percent_decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| first == b'%').and_then(|two| std::str::from_utf8(two).ok());
        match digits.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A word in which no notation sees more than a word: what is left of a text where a platform takes no other.
fn is_word(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || "._- /:()".contains(c))
}

fn shape(leaves: &[(String, String)]) -> Vec<&String> {
    leaves.iter().map(|(key, _)| key).collect()
}

#[test]
fn any_text_is_a_value_and_nothing_else() {
    let mut random = Random(0x5eed_0001);
    for target in TARGETS {
        let marks = MARKS.map(str::to_owned);
        let tame = machine_of(&marks);
        let tame = (target.write)(&tame, &given(&tame, target, "markstem", &marks[4])).unwrap();
        let tame = (target.read)(&tame.text);
        for round in 0..24 {
            let texts: [String; 5] = std::array::from_fn(|_| random.text(180));
            let stem = random.text(120).replace(['/', '\\'], "_");
            let source = machine_of(&texts);
            let what = format!("{} {round} {texts:?} {stem:?}", target.name);
            let given = given(&source, target, &stem, &texts[4]);
            let made = (target.write)(&source, &given).unwrap_or_else(|e| panic!("{what}: {e}"));
            if made.machine_name != source.name {
                let told = made.warnings.iter().any(|warning| warning.code.contains("name"));
                assert!(told, "{what}: {:?}", made.warnings);
            }
            let found = (target.read)(&made.text);
            if target.name == "kubevirt" {
                // What is no name there is left out with a warning, so the shape is not the same; but no text becomes a key.
                assert!(found.iter().all(|(key, _)| is_word(key)), "{what}: {found:?}");
                continue;
            }
            assert_eq!(shape(&found), shape(&tame), "{what}");
            for ((key, tame), (_, value)) in tame.iter().zip(&found) {
                // AWS takes ASCII there.
                let notes = texts[3].chars().map(|c| if c.is_ascii() { c } else { '?' }).take(200);
                let is_cleaned = key.starts_with("DESCRIPTION[")
                    && *value == format!("rehome: {}", notes.collect::<String>());
                // Networks are listed in the order of their names.
                let mut swapped = texts.clone();
                swapped.swap(1, 2);
                let is_other =
                    key.contains("NetworkSection") && is_value(tame, value, &swapped, &stem, &made);
                let is_told =
                    is_cleaned || is_other || is_value(tame, value, &texts, &stem, &made) || is_word(value);
                assert!(is_told, "{what}\n{key}: {value:?} for {tame:?}");
            }
        }
    }
}

/// What no field may hold is refused by every writer, and the refusal repeats nothing that steers.
#[test]
fn what_steers_is_refused_everywhere() {
    for target in TARGETS {
        for bad in
            ['\0', '\n', '\r', '\u{1b}', '\u{7f}', '\u{85}', '\u{9b}', '\u{2028}', '\u{202e}', '\u{2067}']
        {
            for field in 0..6 {
                let mut texts = MARKS.map(str::to_owned);
                let mut stem = String::from("web");
                match texts.get_mut(field) {
                    Some(text) => text.push_str(&format!("{bad}x")),
                    None => stem.push_str(&format!("{bad}x")),
                }
                let source = machine_of(&texts);
                let error = (target.write)(&source, &given(&source, target, &stem, &texts[4])).unwrap_err();
                let said = error.to_string();
                assert!(!said.contains(|c: char| c.is_control() || c == bad), "{}: {said:?}", target.name);
            }
        }
    }
}
