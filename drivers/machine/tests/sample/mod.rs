//! Machines and options that the tests of several writers share, and ways to ask foreign judges.

#![allow(dead_code, reason = "each test file uses some of these")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use driver_machine::{
    Architecture, Bus, Clock, Cpu, DefinitionOptions, Disk, DiskBus, DiskFile, DiskSource, Firmware,
    FirmwareKind, Machine, Nic, NicModel, OsFamily, OsHint, SchemaVersion, Topology, Tpm,
};
use proptest::prelude::*;

/// Names that try to leave quotes, comments, lists, elements and arguments of every language written here.
pub const HOSTILE: &[&str] = &[
    "'; rm -rf /; '",
    "$(touch pwned) `touch pwned` ${HOME} $'\\n'",
    "\"]\nx\" </name><name>&amp; ]]> <!-- --> &lt;",
    "a, b=c,target=/etc/passwd,order=net0",
    "\\' \\\" \\\\ %s %n {0} !tag &anchor *alias # comment: - [ { |",
    "-rf --help -",
    "名前 – ünïcode 🖥 \u{feff}",
];

pub fn machine(name: &str, disks: usize) -> Machine {
    Machine {
        rehome_machine: SchemaVersion,
        name: name.replace('\n', " "),
        uuid: Some(uuid::Uuid::from_u128(0x8a6f_6c6f_2f3b_4c41_9d5e_0102_0304_0506)),
        architecture: Architecture::X86_64,
        firmware: Firmware { kind: FirmwareKind::Bios, secure_boot: None },
        cpu: Cpu { count: 4, topology: Some(Topology { sockets: 2, cores: 2, threads: 1 }) },
        memory_mib: 4096,
        clock: Clock::Utc,
        tpm: None,
        disks: (0..disks)
            .map(|index| Disk {
                id: format!("disk-{index}"),
                source: DiskSource::Volume(format!("vol-{index}")),
                bus: Bus::Nvme,
                order: u32::try_from(index).unwrap(),
                boot: index == 0,
                size_bytes: Some(8 << 30),
                device_name: None,
            })
            .collect(),
        nics: vec![
            Nic {
                mac: Some("0a:1b:2c:3d:4e:5f".parse().unwrap()),
                network: Some("xenbr1".into()),
                ..Nic::default()
            },
            Nic { mac: Some("0a:1b:2c:3d:4e:60".parse().unwrap()), ..Nic::default() },
        ],
        os: Some(OsHint { family: OsFamily::Linux, description: "Debian 12".into() }),
        tags: Default::default(),
        notes: Some("moved by hand".into()),
        provenance: Default::default(),
    }
}

/// A machine with UEFI, secure boot, a TPM and a clock in local time.
pub fn modern(name: &str) -> Machine {
    let mut machine = machine(name, 1);
    machine.firmware = Firmware { kind: FirmwareKind::Uefi, secure_boot: Some(true) };
    machine.tpm = Some(Tpm::V2_0);
    machine.clock = Clock::Local;
    machine
}

pub fn options(
    machine: &Machine,
    disk_bus: DiskBus,
    nic_model: NicModel,
    format: &'static str,
) -> DefinitionOptions {
    let stem = driver_machine::hyperv::windows_name(&machine.name);
    let disks = machine.disks.iter().map(|disk| {
        let file = format!("{stem}-{}.{format}", disk.order);
        DiskFile {
            id: disk.id.clone(),
            manifest: format!("{file}.rehome.json"),
            file,
            format,
            size_bytes: 8 << 30,
        }
    });
    DefinitionOptions {
        firmware: machine.firmware.kind,
        firmware_reason: "the disk has this boot loader".into(),
        secure_boot: machine.firmware.secure_boot == Some(true),
        disk_bus,
        nic_model,
        disks: disks.collect(),
        adapters: Vec::new(),
        fixed_clock: None,
    }
}

pub fn codes(warnings: &[driver_machine::Warning]) -> Vec<&'static str> {
    let mut codes: Vec<&str> = warnings.iter().map(|warning| warning.code).collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}

pub fn data(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/kvm").join(name);
    std::fs::read_to_string(path).unwrap()
}

pub fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("REHOME_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, wanted.replace("\r\n", "\n"), "{name}: REHOME_WRITE_GOLDEN=1 renews it");
}

/// Runs a foreign program with `input`, at most a minute.
pub fn run(program: &str, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new("timeout")
        .arg("60")
        .arg(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that needs no input closes it early.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    assert!(
        !matches!(output.status.code(), Some(124 | 126 | 127)),
        "{program} cannot be run: tests/packages.sh test installs it"
    );
    output
}

/// Where the collection of other products' files lies. Without it nothing can be tested: loud, and under CI an error.
pub fn collection(members: &str) -> Option<(tempfile::TempDir, PathBuf)> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let folder = std::env::var_os("REHOME_CORPUS").map_or(beside, PathBuf::from);
    let archive = folder.join("third-party.tar.zst");
    if !archive.is_file() {
        let message = format!("the collection is not in {}: set REHOME_CORPUS", folder.display());
        assert!(std::env::var_os("CI").is_none(), "{message}");
        eprintln!("NOT RUN: {message}");
        return None;
    }
    let to = tempfile::tempdir().unwrap();
    let script = "zstd -dcq --long=31 \"$1\" | tar -xf - -C \"$2\" --no-same-owner --wildcards \"$3\"";
    let arguments = [
        "-euo",
        "pipefail",
        "-c",
        script,
        "bash",
        archive.to_str().unwrap(),
        to.path().to_str().unwrap(),
        members,
    ];
    let output = run("bash", &arguments, b"");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let unpacked = to.path().to_owned();
    Some((to, unpacked))
}

/// Text that tries to leave its quotes, of characters that the model lets through.
pub fn printable() -> impl Strategy<Value = String> {
    const PIECES: &[&str] = &[
        "'", "''", "\"", "$(x)", "`", "\\", "\\\\", "; ", "}", "]", ",", "=", "<", ">", "&", "]]>", "-->",
        "#", ": ", "- ", "|", "../", "--", "\u{feff}", "%41",
    ];
    let piece = prop_oneof![proptest::sample::select(PIECES).prop_map(str::to_owned), "[a-zé名 ]{1,4}"];
    proptest::collection::vec(piece, 1..12).prop_map(|pieces| format!("x{}y", pieces.concat()))
}

pub fn config() -> ProptestConfig {
    // A failing case is printed with its input; no file is kept. Foreign judges are processes: a few cases suffice.
    ProptestConfig { failure_persistence: None, cases: 48, ..ProptestConfig::default() }
}
