//! Scripts for Hyper-V: golden files, hostile names, refusals.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod powershell;

use driver_machine::hyperv::{Generation, HypervDisk, HypervOptions, SecureBoot, script, windows_name};
use driver_machine::{
    Architecture, Bus, Clock, Cpu, Disk, DiskSource, Firmware, FirmwareKind, Machine, MachineErrorKind, Nic,
    OsFamily, OsHint, SchemaVersion, Topology, Tpm,
};
use powershell::{Token, assigned, check_grammar, skeleton, tokens};
use proptest::prelude::*;

fn machine(name: &str, disks: usize) -> Machine {
    Machine {
        rehome_machine: SchemaVersion,
        name: name.into(),
        uuid: None,
        architecture: Architecture::X86_64,
        firmware: Firmware { kind: FirmwareKind::Bios, secure_boot: None },
        cpu: Cpu { count: 2, topology: None },
        memory_mib: 4096,
        clock: Clock::Utc,
        tpm: None,
        disks: (0..disks)
            .map(|index| Disk {
                id: format!("vol-{index}"),
                source: DiskSource::Volume(format!("vol-{index}")),
                bus: Bus::Nvme,
                order: u32::try_from(index).unwrap(),
                boot: index == 0,
                size_bytes: Some(8 << 30),
                device_name: None,
            })
            .collect(),
        nics: vec![Nic {
            mac: Some("0a:1b:2c:3d:4e:5f".parse().unwrap()),
            network: Some("subnet-0123456789abcdef0".into()),
            ..Nic::default()
        }],
        os: Some(OsHint { family: OsFamily::Linux, description: "Linux/UNIX".into() }),
        tags: Default::default(),
        notes: None,
        provenance: Default::default(),
    }
}

fn options(machine: &Machine, generation: Generation) -> HypervOptions {
    let stem = windows_name(&machine.name);
    let disks = machine.disks.iter().map(|disk| {
        let file = format!("{stem}-{}.vhdx", disk.order);
        HypervDisk { id: disk.id.clone(), manifest: format!("{file}.rehome.json"), file, size_bytes: None }
    });
    let two = generation == Generation::Two;
    HypervOptions {
        generation,
        generation_reason: "the disk has this boot loader".into(),
        secure_boot: if two { SecureBoot::MicrosoftUefiCa } else { SecureBoot::Off },
        secure_boot_reason: "shim is signed".into(),
        disks: disks.collect(),
        adapters: Vec::new(),
        fixed_clock: Some(Clock::Local),
    }
}

/// Names that try to leave a literal, a comment, a path or a wildcard, and survive in a Windows name.
const HOSTILE: &[&str] = &[
    "'; Remove-Item C$; '",
    "’; Stop-Computer; ‘",
    "‚‛'’‘''",
    "$(Stop-Computer) `$env #> @' '@ \u{201c}x\u{201d}",
    "{0} {1} %s && exit; #",
    "名前 – ünïcode 🖥",
];

fn golden(name: &str, machine: &Machine, options: &HypervOptions) {
    let made = script(machine, options).unwrap();
    check_grammar(&made.text);
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("REHOME_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, &made.text).unwrap();
    }
    let wanted = std::fs::read(&path).unwrap();
    assert!(wanted.starts_with(b"\xef\xbb\xbf"));
    // A checkout may have changed the line ends; what is written never has a bare one.
    let unix = |text: &str| text.replace("\r\n", "\n");
    assert_eq!(
        unix(&made.text),
        unix(std::str::from_utf8(&wanted).unwrap()),
        "{name}: REHOME_WRITE_GOLDEN=1 renews it"
    );
}

#[test]
fn golden_generation_1() {
    let machine = machine("web-1", 1);
    golden("gen1.ps1", &machine, &options(&machine, Generation::One));
}

#[test]
fn golden_generation_2() {
    let mut machine = machine("web-2", 1);
    machine.firmware.kind = FirmwareKind::Uefi;
    machine.notes = Some("EC2 instance i-0123456789abcdef0".into());
    golden("gen2.ps1", &machine, &options(&machine, Generation::Two));
}

#[test]
fn windows_has_its_own_template_and_a_new_tpm() {
    let os = |description: &str| Some(OsHint { family: OsFamily::Windows, description: description.into() });
    let mut machine = machine("dc", 1);
    machine.firmware = Firmware { kind: FirmwareKind::Uefi, secure_boot: Some(true) };
    machine.os = os("Windows 11 Pro 10.0.22631");
    machine.tpm = Some(Tpm::V2_0);
    let mut two = options(&machine, Generation::Two);
    two.secure_boot = SecureBoot::MicrosoftWindows;
    two.secure_boot_reason = "the loader is one of Windows'".into();
    golden("windows.ps1", &machine, &two);
    let found = |machine: &Machine, options: &HypervOptions| {
        let made = script(machine, options).unwrap();
        let codes = made.warnings.iter().map(|warning| warning.code).filter(|code| code.contains("tpm"));
        (made.text.contains("$Tpm = 1\r\n"), made.text.contains("$Tpm = 0\r\n"), codes.collect::<Vec<_>>())
    };
    assert_eq!(found(&machine, &two), (true, false, vec!["hyperv-tpm"]));
    assert_eq!(found(&machine, &options(&machine, Generation::One)), (false, true, vec!["hyperv-tpm"]));
    machine.tpm = None;
    assert_eq!(found(&machine, &two), (false, true, vec!["hyperv-tpm-none"]));
    machine.os = os("Windows Server 2022 Standard 10.0.20348");
    assert_eq!(found(&machine, &two), (false, true, vec![]));
}

#[test]
fn golden_several_disks() {
    let mut machine = machine("database", 4);
    machine.disks[0].boot = false;
    machine.disks[2].boot = true;
    machine.nics.push(Nic::default());
    let mut options = options(&machine, Generation::One);
    options.disks.reverse();
    golden("several_disks.ps1", &machine, &options);
}

#[test]
fn golden_hostile_names() {
    let mut machine = machine(HOSTILE[0], 2);
    machine.disks[0].id = HOSTILE[1].into();
    machine.nics[0].network = Some(HOSTILE[2].into());
    machine.notes = Some(HOSTILE[3].into());
    let mut options = options(&machine, Generation::Two);
    options.generation_reason = HOSTILE[4].into();
    options.secure_boot_reason = HOSTILE[5].into();
    golden("hostile_names.ps1", &machine, &options);
}

#[test]
fn the_file_is_utf8_with_mark_and_crlf() {
    let machine = machine("ü", 1);
    let text = script(&machine, &options(&machine, Generation::One)).unwrap().text;
    assert!(text.starts_with('\u{feff}') && !text[3..].contains('\u{feff}'));
    assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
    assert!(text.ends_with("\r\n"));
}

#[test]
fn program_text_is_constant_and_needs_only_powershell_5() {
    let machine = machine("x", 1);
    let text = script(&machine, &options(&machine, Generation::Two)).unwrap().text;
    assert!(
        text.lines()
            .filter(|line| !line.starts_with("$") && !line.contains("@{ "))
            .all(|line| line.is_ascii() || line.starts_with('\u{feff}'))
    );
    let code: Vec<String> = tokens(&text)
        .into_iter()
        .filter_map(|token| if let Token::Code(code) = token { Some(code) } else { None })
        .collect();
    for newer in ["??", "&&", "||", "?.", "??=", "?"] {
        assert!(!code.iter().any(|word| word == newer), "{newer} is not in PowerShell 5.1");
    }
    // PowerCLI has commands of the same names.
    for word in code.iter().filter(|word| word.contains("-VM") && !word.starts_with('-')) {
        assert!(word.starts_with("Hyper-V\\"), "{word}");
    }
    for cmdlet in
        ["New-VM", "Add-VMHardDiskDrive", "Set-VMFirmware", "Set-VMBios", "Remove-VM", "Set-VMProcessor"]
    {
        assert!(code.iter().any(|word| word == &format!("Hyper-V\\{cmdlet}")), "{cmdlet}");
    }
}

/// Each cmdlet that changes something stands inside an `if ($PSCmdlet.ShouldProcess(…))`, but for the clean-up.
#[test]
fn every_change_asks_first() {
    let machine = machine("x", 1);
    let text = script(&machine, &options(&machine, Generation::Two)).unwrap().text;
    let mut guarded = Vec::new();
    let mut changes = 0;
    for line in text.lines() {
        let code = line.trim();
        if code.starts_with('}') {
            guarded.pop();
        }
        let verb = ["New-", "Set-", "Add-", "Remove-", "Connect-", "Start-"];
        if verb.iter().any(|verb| code.contains(&format!("Hyper-V\\{verb}"))) {
            let clean_up = code == "Hyper-V\\Remove-VM -VM $vm -Force";
            assert!(clean_up || guarded.contains(&true), "{code}");
            changes += 1;
        }
        if code.ends_with('{') && !code.starts_with('#') {
            guarded.push(code.contains("$PSCmdlet.ShouldProcess("));
        }
    }
    assert!(changes >= 14, "{changes}");
}

#[test]
fn hostile_names_change_nothing_but_values() {
    let tame = machine("tame", 2);
    let tame = script(&tame, &options(&tame, Generation::Two)).unwrap().text;
    for name in HOSTILE {
        let hostile = machine(name, 2);
        let made = script(&hostile, &options(&hostile, Generation::Two)).unwrap();
        assert_eq!(skeleton(&made.text), skeleton(&tame), "{name}");
        check_grammar(&made.text);
        assert_eq!(assigned(&made.text, "$VMName"), windows_name(name));
    }
}

#[test]
fn disks_get_their_places() {
    let places = |count: usize, generation| {
        let machine = machine("x", count);
        let text = script(&machine, &options(&machine, generation)).unwrap().text;
        let lines: Vec<String> = text
            .lines()
            .filter(|line| line.contains("@{ File"))
            .map(|line| {
                let from = line.find("Controller").unwrap();
                line[from..].replace("Controller = ", "").replace("Number = ", "").replace("Location = ", "")
            })
            .collect();
        lines
    };
    assert_eq!(places(3, Generation::One), ["'IDE'; 0; 0 }", "'IDE'; 0; 1 }", "'SCSI'; 0; 0 }"]);
    let many = places(130, Generation::Two);
    assert_eq!(
        [&many[0], &many[63], &many[64], &many[129]],
        ["'SCSI'; 0; 0 }", "'SCSI'; 0; 63 }", "'SCSI'; 1; 0 }", "'SCSI'; 2; 1 }"]
    );
}

#[test]
fn what_hyperv_cannot_run_is_unsupported() {
    type Change = fn(&mut Machine);
    let cases: [(Generation, Change); 6] = [
        (Generation::One, |m| m.cpu.count = 65),
        (Generation::Two, |m| m.cpu.count = 2049),
        (Generation::One, |m| m.memory_mib = (1 << 20) + 2),
        (Generation::Two, |m| m.architecture = Architecture::Arm64),
        (Generation::Two, |m| m.architecture = Architecture::I386),
        (Generation::One, |m| m.disks[0].size_bytes = Some((64 << 40) + 512)),
    ];
    for (index, (generation, change)) in cases.into_iter().enumerate() {
        let mut machine = machine("x", 1);
        change(&mut machine);
        let error = script(&machine, &options(&machine, generation)).unwrap_err();
        assert_eq!(error.kind(), MachineErrorKind::Unsupported, "{index}: {error}");
    }
}

#[test]
fn files_must_match_the_disks_and_lie_beside_the_script() {
    let machine = machine("x", 2);
    type Change = fn(&mut HypervOptions);
    let cases: [(&str, Change); 9] = [
        ("no file for disk", |o| drop(o.disks.pop())),
        ("which the machine has not", |o| o.disks[1].id = "other".into()),
        ("two files for disk", |o| o.disks[1].id = o.disks[0].id.clone()),
        ("given for two disks", |o| o.disks[1].file = o.disks[0].file.to_uppercase()),
        ("does not end in .vhdx", |o| o.disks[1].file = "x.vmdk".into()),
        ("file name", |o| o.disks[0].file = "..\\x.vhdx".into()),
        ("file name", |o| o.disks[0].manifest = "/etc/passwd".into()),
        ("the reason for generation", |o| o.generation_reason = "a\nb".into()),
        ("generation 1 has none", |o| o.secure_boot = SecureBoot::MicrosoftUefiCa),
    ];
    for (words, change) in cases {
        let mut options = options(&machine, Generation::One);
        change(&mut options);
        let error = script(&machine, &options).unwrap_err();
        assert_eq!(error.kind(), MachineErrorKind::Invalid);
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn losses_are_warned_of() {
    let mut machine = machine("../x", 1);
    machine.memory_mib = 4097;
    machine.firmware = Firmware { kind: FirmwareKind::Uefi, secure_boot: Some(true) };
    machine.cpu.topology = Some(Topology { sockets: 1, cores: 1, threads: 2 });
    machine.os = Some(OsHint { family: OsFamily::Windows, description: "Windows".into() });
    machine.uuid = Some(uuid::Uuid::from_u128(7));
    machine.tpm = Some(driver_machine::Tpm::V1_2);
    machine.tags.insert("team".into(), "a".into());
    machine.disks[0].size_bytes = Some(3 << 40);
    let made = script(&machine, &options(&machine, Generation::One)).unwrap();
    let mut codes: Vec<&str> = made.warnings.iter().map(|warning| warning.code).collect();
    codes.sort_unstable();
    assert_eq!(
        codes,
        [
            "hyperv-boot-disk-large",
            "hyperv-clock",
            "hyperv-firmware-differs",
            "hyperv-mac",
            "hyperv-memory-rounded",
            "hyperv-name-changed",
            "hyperv-secure-boot-off",
            "hyperv-tags",
            "hyperv-topology",
            "hyperv-tpm",
            "hyperv-uuid",
        ]
    );
    assert!(made.text.contains(&format!("$MemoryBytes = {}\r\n", 4098_u64 << 20)));
    assert_eq!(made.vm_name, ".._x");
}

/// Text that tries to leave its literal, of characters that the model lets through.
fn printable() -> impl Strategy<Value = String> {
    const PIECES: &[&str] = &[
        "'", "''", "\u{2018}", "\u{2019}", "\u{201a}", "\u{201b}", "\u{201c}", "\"", "$(x)", "`", "#>", "<#",
        "'@ ", "; ", "}", "{0}", "@(", "..\\", "|", "&",
    ];
    let piece = prop_oneof![proptest::sample::select(PIECES).prop_map(str::to_owned), "[a-zé名 ]{1,4}"];
    proptest::collection::vec(piece, 1..12).prop_map(|pieces| format!("x{}", pieces.concat()))
}

/// The same with one character in it that no field may hold.
fn refused() -> impl Strategy<Value = String> {
    let bad = proptest::sample::select(
        &['\n', '\r', '\0', '\u{1b}', '\u{85}', '\u{2028}', '\u{202e}', '\u{2066}'][..],
    );
    (printable(), bad, printable()).prop_map(|(before, bad, after)| format!("{before}{bad}{after}"))
}

fn config() -> ProptestConfig {
    // A failing case is printed with its input; no file is kept.
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    /// Every text comes back from the script exactly and changes nothing else in it.
    #[test]
    fn any_text_is_kept_exactly(name in printable(), network in printable(), notes in printable(), reason in printable()) {
        let mut hostile = machine(&name, 1);
        hostile.nics[0].network = Some(network.clone());
        hostile.notes = Some(notes.clone());
        let mut options = options(&hostile, Generation::Two);
        options.secure_boot_reason = reason.clone();
        let made = script(&hostile, &options).unwrap();
        let tame = machine("tame", 1);
        let tame = script(&tame, &self::options(&tame, Generation::Two)).unwrap().text;
        prop_assert_eq!(skeleton(&made.text), skeleton(&tame));
        prop_assert_eq!(assigned(&made.text, "$VMName"), windows_name(&name));
        prop_assert_eq!(assigned(&made.text, "Network"), network);
        prop_assert_eq!(assigned(&made.text, "$Notes"), notes);
        prop_assert_eq!(assigned(&made.text, "$SecureBootReason"), reason);
        prop_assert_eq!(assigned(&made.text, "File"), format!("{}-0.vhdx", windows_name(&name)));
    }

    /// Control and reordering characters are refused in every field, and the error does not repeat them.
    #[test]
    fn control_characters_are_refused(text in refused(), field in 0..5) {
        let mut hostile = machine("x", 1);
        let mut options = options(&hostile, Generation::Two);
        match field {
            0 => hostile.name = text,
            1 => hostile.nics[0].network = Some(text),
            2 => hostile.notes = Some(text),
            3 => options.generation_reason = text,
            _ => options.disks[0].file = format!("{text}.vhdx"),
        }
        let refused = script(&hostile, &options);
        prop_assert!(refused.is_err());
        prop_assert!(!refused.unwrap_err().to_string().chars().any(char::is_control));
    }
}

#[test]
fn the_judges_see_what_is_wrong() {
    let machine = machine("x", 1);
    let text = script(&machine, &options(&machine, Generation::Two)).unwrap().text;
    let broken = [
        text.replacen("$VMName = 'x'", "$VMName = 'x", 1),
        text.replacen("$VMName = 'x'", "$VMName = 'x'; }", 1),
        text.replacen("try {", "try", 1),
    ];
    for (index, text) in broken.into_iter().enumerate() {
        assert!(std::panic::catch_unwind(|| check_grammar(&text)).is_err(), "grammar, {index}");
        assert!(std::panic::catch_unwind(|| tokens(&text)).is_err(), "tokens, {index}");
    }
    let leaky = text.replacen("$VMName = 'x'", "$VMName = 'x\u{2019}; Stop-Computer; \u{2018}'", 1);
    assert_ne!(skeleton(&leaky), skeleton(&text));
}
