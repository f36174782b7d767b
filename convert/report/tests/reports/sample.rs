//! Made-up jobs and batches of the shapes that real ones have.

use convert_report::{
    AdapterReport, Attempt, BatchReport, BootTestReport, ChangeReport, Counter, DiskReport, ErrorReport,
    Evidence, FixupReport, GuestReport, JobReport, MachineReport, Proof, StageReport, State, Totals,
    WarningReport,
};

const GIB: u64 = 1 << 30;
/// 2026-11-29 22:00 UTC.
const EVENING: u64 = 1_795_989_600;

/// Numbers that look random and are the same in every run.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

fn time(seconds: u64) -> String {
    let since = std::time::Duration::from_secs(EVENING + seconds);
    humantime::format_rfc3339_millis(std::time::UNIX_EPOCH + since).to_string()
}

pub fn attempt(began: u64, seconds: u64, exit_code: i32) -> Attempt {
    Attempt {
        began: Some(time(began)),
        ended: Some(time(began + seconds)),
        exit_code: Some(exit_code),
        message: (exit_code == 75).then(|| "the source is locked by another process".into()),
    }
}

fn hex(dice: &mut Dice) -> String {
    (0..64).map(|_| char::from_digit(dice.below(16) as u32, 16).unwrap()).collect()
}

/// A disk that is used at its start, in islands behind, and little at its end.
pub fn disk(name: &str, size: u64, dice: &mut Dice) -> DiskReport {
    let mut ranges = vec![(0, size / 9 + dice.below(size / 9))];
    for _ in 0..40 {
        let offset = dice.below(size * 3 / 4);
        ranges.push((offset, dice.below(size / 60)));
    }
    let count = |skip: usize| {
        let mut counter = Counter::new(size, 512);
        ranges.iter().skip(skip).for_each(|(offset, len)| counter.add(*offset, *len));
        counter.finish()
    };
    let before = count(0);
    DiskReport {
        source: format!("/exports/wave1/{name}.vmdk"),
        source_format: Some("vmdk".into()),
        source_file_size: Some(before.data_bytes * 6 / 10),
        target: format!("{name}.vhdx"),
        target_format: "vhdx".into(),
        target_file_size: Some(before.data_bytes * 101 / 100),
        virtual_size: size,
        data_bytes: Some(before.data_bytes),
        digest: Some(hex(dice)),
        source_digest: Some(hex(dice)),
        proof: Proof::Source,
        changed: vec![(1 << 20, 1 << 20), (size / 5, 6 << 20), (size / 3, 64 << 10)],
        after: Some(count(0)),
        before: Some(before),
        ..DiskReport::default()
    }
}

fn stages(data: u64) -> Vec<StageReport> {
    let mut dice = Dice::new(data);
    let mut stage = |name: &str, mib: u64| {
        let (mut samples, mut at, mut bytes) = (Vec::new(), 0.0, 0);
        while bytes < data {
            at += 0.5;
            bytes = (bytes + ((mib + dice.below(mib / 2)) << 19)).min(data);
            samples.push((at, bytes));
        }
        StageReport { name: name.into(), bytes, seconds: at, ended: true, samples }
    };
    vec![stage("copy", 310), stage("prove", 840), stage("prove source", 620)]
}

fn fixup(id: &str, title: &str, status: &str, reason: &str, edits: u64) -> FixupReport {
    FixupReport {
        id: id.into(),
        title: title.into(),
        status: status.into(),
        reason: Some(reason.into()).filter(|reason: &String| !reason.is_empty()),
        next_step: None,
        edits,
    }
}

pub fn change(path: &str, action: &str, reason: &str, detail: &str) -> ChangeReport {
    ChangeReport { path: path.into(), action: action.into(), reason: reason.into(), detail: detail.into() }
}

pub fn warning(code: &str, message: &str) -> WarningReport {
    WarningReport { code: code.into(), message: message.into() }
}

/// A migration that went well.
pub fn moved(id: &str) -> JobReport {
    let mut dice = Dice::new(id.len() as u64 + id.bytes().map(u64::from).sum::<u64>());
    let disks = vec![disk(id, 40 * GIB, &mut dice), disk(&format!("{id}-data"), 200 * GIB, &mut dice)];
    let data = disks[0].data_bytes.unwrap();
    JobReport {
        id: id.into(),
        action: "migrate".into(),
        sources: disks.iter().map(|disk| disk.source.clone()).collect(),
        platform: Some("Hyper-V generation 2".into()),
        target: Some(format!("/srv/hyperv/{id}")),
        state: State::Done,
        exit_code: Some(0),
        attempts: vec![attempt(120, 260, 75), attempt(420, 365, 0)],
        guest: Some(GuestReport {
            family: "linux".into(),
            name: "Debian GNU/Linux 12 (bookworm)".into(),
            version: "12".into(),
            architecture: Some("x86_64".into()),
            hostname: Some(id.into()),
        }),
        machine: Some(MachineReport {
            name: id.into(),
            cpus: 4,
            memory_mib: 16_384,
            firmware: "uefi".into(),
            secure_boot: Some(true),
            adapters: vec![AdapterReport {
                source_mac: Some("00:50:56:8a:11:20".into()),
                source_network: Some("VLAN 20 servers".into()),
                mac: Some("00:50:56:8a:11:20".into()),
                network: Some("LAN".into()),
            }],
        }),
        disks,
        stages: stages(data),
        fixups: vec![
            fixup(
                "initramfs",
                "Drivers of the target in the initramfs",
                "planned",
                "hv_storvsc and hv_vmbus are not in the initramfs of the default kernel",
                2,
            ),
            fixup("fstab", "Devices in fstab by UUID", "planned", "/dev/sda1 will be another device", 1),
            fixup(
                "vmware-tools",
                "VMware's agent",
                "planned",
                "open-vm-tools does nothing on Hyper-V and is disabled",
                1,
            ),
            fixup("grub", "Kernel consoles", "nothing-to-do", "", 0),
            fixup("ifcfg", "Network scripts of Red Hat", "not-applicable", "", 0),
            fixup("cloud-init", "Where cloud-init looks", "not-applicable", "", 0),
        ],
        changes: vec![
            change(
                "/etc/fstab",
                "replace",
                "/dev/sda1 is named by its UUID",
                "@@ -3 +3 @@\n-/dev/sda1 / ext4 defaults 0 1\n+UUID=5f0c2f1e-6ad4-4b5e-9a0e-1d7d0ad1b9c3 / ext4 defaults 0 1\n",
            ),
            change(
                "/boot/initrd.img-6.1.0-28-amd64",
                "append",
                "drivers of Hyper-V are added",
                "hv_vmbus.ko\nhv_storvsc.ko\nhv_netvsc.ko\n",
            ),
        ],
        warnings: vec![warning(
            "tpm-left-behind",
            "the machine had a TPM, whose keys never move: what is sealed to it has to be enrolled again",
        )],
        next_step: Some(format!("copy /srv/hyperv/{id} to the Hyper-V host and run {id}.ps1 there")),
        boot_test: Some(BootTestReport {
            verdict: "passed".into(),
            about: "the guest asks for a login".into(),
            place: Some("serial".into()),
            line: Some(format!("{id} login:")),
            seconds: Some(41.5),
            machine: Some("QEMU 10.0.3, board q35, disks on virtio-scsi".into()),
            screenshot: None,
        }),
        command: [
            "rehome",
            "migrate",
            "/exports/wave1/web.vmdk",
            "--to",
            "hyperv",
            "--network-map",
            "VLAN 20 servers=LAN",
            "--out",
            "/srv/hyperv/web",
        ]
        .map(str::to_owned)
        .into(),
        environment: [("program", "rehome 0.1.0"), ("kernel", "6.1.0-28-amd64"), ("qemu", "10.0.3")]
            .map(|(name, version)| (name.to_owned(), version.to_owned()))
            .into(),
        evidence: vec![Evidence {
            path: format!("{id}/{id}.vhdx.rehome.json"),
            size: 1402,
            blake3: hex(&mut dice),
        }],
        ..JobReport::default()
    }
}

pub fn failed(id: &str, state: State, code: i32, message: &str, hint: Option<&str>) -> JobReport {
    JobReport {
        id: id.into(),
        action: "migrate".into(),
        sources: vec![format!("/exports/wave1/{id}.vmdk")],
        platform: Some("Hyper-V generation 1".into()),
        state,
        exit_code: Some(code),
        error: Some(ErrorReport {
            kind: "corrupt".into(),
            message: message.into(),
            hint: hint.map(str::to_owned),
            stage: Some("copy".into()),
            ..ErrorReport::default()
        }),
        ..JobReport::default()
    }
}

/// What a night brings: most is well, and of each kind of trouble there is one.
fn job(index: u64, dice: &mut Dice) -> JobReport {
    let id = format!("{}-{index:03}", ["web", "db", "mail", "build", "win", "file"][dice.below(6) as usize]);
    let mut job = match index {
        5 => failed(
            &id,
            State::Failed,
            65,
            "vmdk: grain 1,204 of the table at 0x50000 lies behind the end of the file",
            Some("take another copy of the source; 'rehome check SOURCE' lists what is broken"),
        ),
        17 => failed(
            &id,
            State::Held,
            78,
            "the volume C: is encrypted with BitLocker",
            Some("suspend BitLocker in the source machine, or give its recovery key with --key-file"),
        ),
        23 => failed(
            &id,
            State::Failed,
            66,
            "cannot read /exports/wave1/gone.vmdk: no such file or directory",
            None,
        ),
        31 => failed(&id, State::Interrupted, 75, "interrupted", None),
        _ => moved(&id),
    };
    job.wave = (index / 500) as u32;
    job
}

/// A batch of `count` jobs that ran `at_once`.
pub fn night(count: u64, at_once: usize) -> BatchReport {
    let mut dice = Dice::new(count);
    let mut free = vec![0_u64; at_once];
    let mut jobs = Vec::new();
    for index in 0..count {
        let mut job = job(index, &mut dice);
        let seconds = 60 + dice.below(900);
        let lane = (0..at_once).min_by_key(|lane| free[*lane]).unwrap();
        let code = job.exit_code.unwrap();
        job.attempts = vec![attempt(free[lane], seconds, code)];
        if index % 11 == 3 {
            job.attempts.insert(0, attempt(free[lane], seconds / 3, 75));
            job.attempts[1] = attempt(free[lane] + seconds / 2, seconds / 2, code);
        }
        free[lane] += seconds;
        if job.state == State::Done && index % 7 == 1 {
            job.warnings.clear();
        }
        jobs.push(job);
    }
    BatchReport {
        id: "wave-2026-11-29".into(),
        title: Some("Data centre Frankfurt, wave 1".into()),
        began: Some(time(0)),
        ended: Some(time(*free.iter().max().unwrap())),
        made: Some(time(*free.iter().max().unwrap() + 1)),
        tool: "rehome 0.1.0".into(),
        host: Some("mover-01".into()),
        retry: Some("rehome batch retry --failed".into()),
        totals: Totals::of(&jobs),
        jobs,
        evidence: vec![Evidence { path: "jobs.toml".into(), size: 20_411, blake3: hex(&mut dice) }],
    }
}

/// What a tenant may call a machine, or write where it will be shown.
pub const HOSTILE: [&str; 8] = [
    "</title></style><script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "<!-- --><svg onload=alert(1)>",
    "javascript:alert(1)",
    "\u{1b}]0;owned\u{7}\u{1b}[31mred",
    "abc\u{202e}gpj.exe\u{2066}",
    "&lt;b&gt; &amp; &#60;",
];

/// A job in which every text is hostile.
pub fn hostile() -> JobReport {
    let text = HOSTILE.join(" ");
    let mut job = moved("x");
    let value = serde_json::to_value(&job).unwrap();
    job = serde_json::from_value(poisoned(value, &text)).unwrap();
    // Those that are no words of the report's own.
    job.state = State::Failed;
    job.error = failed("x", State::Failed, 65, &text, Some(&text)).error;
    job.page = Some("javascript:alert(1).html".into());
    job
}

fn poisoned(value: serde_json::Value, text: &str) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::String(word) if ["done", "source", "read-back"].contains(&word.as_str()) => {
            Value::String(word)
        }
        Value::String(word) if word.contains('T') && word.ends_with('Z') => Value::String(word),
        Value::String(_) => Value::String(text.to_owned()),
        Value::Array(list) => list.into_iter().map(|value| poisoned(value, text)).collect(),
        Value::Object(map) => map.into_iter().map(|(name, value)| (name, poisoned(value, text))).collect(),
        other => other,
    }
}
