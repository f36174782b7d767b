//! From what `rehome --output json` printed to a report. Read tolerantly: what is missing is left out, what is new is passed over.

use crate::model::{
    AdapterReport, BootTestReport, ChangeReport, DiskReport, ErrorReport, FixupReport, GuestReport,
    JobReport, MachineReport, Proof, State, WarningReport,
};
use format_core::{ErrorKind, codes};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Longer descriptions of a change are cut: the outcome itself has them.
const MOST_DETAIL: usize = 2000;

/// The fields of a JSON object.
#[derive(Clone, Copy)]
struct Fields<'a>(&'a Value);

impl<'a> Fields<'a> {
    fn at(self, name: &str) -> Self {
        Self(self.0.get(name).unwrap_or(&Value::Null))
    }

    fn has(self, name: &str) -> bool {
        !self.at(name).0.is_null()
    }

    fn text(self, name: &str) -> Option<String> {
        self.at(name).0.as_str().map(str::to_owned)
    }

    fn word(self, name: &str) -> String {
        self.text(name).unwrap_or_default()
    }

    fn number(self, name: &str) -> Option<u64> {
        self.at(name).0.as_u64()
    }

    fn list(self, name: &str) -> impl Iterator<Item = Self> + use<'a> {
        self.at(name).0.as_array().map(Vec::as_slice).unwrap_or_default().iter().map(Fields)
    }

    fn texts(self, name: &str) -> Vec<String> {
        self.list(name).filter_map(|field| field.0.as_str().map(str::to_owned)).collect()
    }
}

impl JobReport {
    /// What an outcome says: that of `migrate`, `convert` (one image or several) or of either when it failed. `id` is the job's, and what
    /// only the caller knows (times, attempts, the exit code of a process that was killed) is for it to set.
    #[must_use]
    pub fn from_outcome(id: &str, outcome: &Value) -> Self {
        let mut report = Self { id: id.to_owned(), ..Self::default() };
        match outcome {
            Value::Array(outcomes) => {
                report.action = "convert".into();
                outcomes.iter().for_each(|outcome| report.read_conversion(Fields(outcome)));
            }
            outcome if is_migration(outcome) => report.read_migration(Fields(outcome)),
            outcome if is_conversion(outcome) => {
                report.action = "convert".into();
                report.read_conversion(Fields(outcome));
            }
            outcome => report.read_error(Fields(outcome)),
        }
        report
    }

    fn read_error(&mut self, outcome: Fields<'_>) {
        let error = outcome.at("error");
        if !outcome.has("error") {
            return;
        }
        let code = error.number("exit_code").and_then(|code| i32::try_from(code).ok());
        // Of several failures the first one counts.
        if self.error.is_none() {
            self.state = State::of_exit_code(code.unwrap_or(1));
            self.exit_code = code;
            self.error = Some(ErrorReport {
                code: error.text("code"),
                kind: error.word("kind"),
                message: error.word("message"),
                hint: error.text("hint"),
                stage: error.text("stage"),
                offset: error.number("offset"),
            });
        }
    }

    fn read_warnings(&mut self, outcome: Fields<'_>) {
        self.warnings.extend(
            outcome.list("warnings").map(|warning| WarningReport {
                code: warning.word("code"),
                message: warning.word("message"),
            }),
        );
    }

    fn read_sandbox(&mut self, sandbox: Fields<'_>) {
        let Some(state) = sandbox.text("state") else { return };
        let landlock = sandbox.number("landlock").map(|version| format!(", Landlock {version}"));
        let reason = sandbox.text("reason").map(|reason| format!(": {reason}"));
        let text = format!("{state}{}{}", landlock.unwrap_or_default(), reason.unwrap_or_default());
        self.environment.insert("sandbox".into(), text);
    }

    fn read_conversion(&mut self, outcome: Fields<'_>) {
        self.sources.extend(outcome.text("source"));
        self.read_sandbox(outcome.at("sandbox"));
        self.read_warnings(outcome);
        if outcome.has("error") {
            return self.read_error(outcome);
        }
        let target = outcome.word("target");
        self.target.get_or_insert_with(|| target.clone());
        let seconds = outcome.at("seconds").0.as_f64().unwrap_or(0.0);
        self.seconds = Some(self.seconds.unwrap_or(0.0).max(seconds));
        let lost = outcome.list("unreadable").filter_map(|range| range.number("len"));
        let unreadable_bytes = lost.fold(0_u64, u64::saturating_add);
        let proven = outcome.at("verified").0.as_bool() == Some(true);
        let hashes = outcome.at("hashes").0.as_object().into_iter().flatten();
        self.disks.push(DiskReport {
            source: outcome.word("source"),
            target,
            target_format: outcome.word("format"),
            target_file_size: outcome.number("file_size"),
            virtual_size: outcome.number("virtual_size").unwrap_or(0),
            data_bytes: outcome.number("data_bytes").or(outcome.number("source_bytes_read")),
            digest: outcome.text("digest"),
            hashes: hashes
                .filter_map(|(kind, hash)| Some((kind.clone(), hash.as_str()?.to_owned())))
                .collect(),
            proof: if proven { Proof::ReadBack } else { Proof::None },
            unreadable_bytes,
            ..DiskReport::default()
        });
        if self.error.is_none() {
            (self.state, self.exit_code) = (State::Done, Some(0));
        }
        if unreadable_bytes > 0 && self.error.is_none() {
            (self.state, self.exit_code) = (State::Failed, Some(1));
            self.error = Some(ErrorReport {
                kind: "unreadable".into(),
                message: format!(
                    "{unreadable_bytes} bytes of the source could not be read and are zeros now"
                ),
                code: Some(codes::DATA_LOST.id.into()),
                hint: Some("run it again with --mapfile: only what is missing is read".into()),
                ..ErrorReport::default()
            });
        }
    }

    fn read_migration(&mut self, outcome: Fields<'_>) {
        self.action = "migrate".into();
        let choice = outcome.at("choice");
        self.platform = choice.at("target").text("name");
        self.target = outcome.text("out");
        self.obstacles = outcome.texts("obstacles");
        self.next_step = outcome.text("next_step");
        self.environment.extend(outcome.text("tool").map(|tool| ("program".to_owned(), tool)));
        self.read_sandbox(outcome.at("sandbox"));
        self.guest = guest(outcome.at("guest").at("os"));
        self.machine = machine(outcome, choice.at("secure_boot").0.as_bool());
        self.disks = outcome.list("disks").map(disk).collect();
        self.sources = self.disks.iter().map(|disk| disk.source.clone()).collect();
        self.fixups = outcome.list("fixups").map(fixup).collect();
        self.changes = outcome.list("edits").map(change).collect();
        give_reasons(&mut self.fixups, &self.changes);
        self.read_warnings(outcome);
        (self.state, self.exit_code) = match outcome.word("outcome").as_str() {
            "blocked" => (State::Held, Some(78)),
            _ => (State::Done, Some(0)),
        };
        self.dry_run = outcome.word("outcome") == "planned";
        if outcome.has("boot_test") {
            self.read_boot_test(outcome.at("boot_test"), outcome.list("files"));
        }
    }

    fn read_boot_test<'a>(&mut self, test: Fields<'a>, files: impl Iterator<Item = Fields<'a>>) {
        let verdict = test.word("verdict");
        match verdict.as_str() {
            "failed" => (self.state, self.exit_code) = (State::Failed, Some(1)),
            "undecided" => (self.state, self.exit_code) = (State::Held, Some(78)),
            _ => {}
        }
        let mut names = files.filter_map(|file| file.0.as_str());
        let screen = names.find(|name| name.ends_with(".boot-test/screen.png"));
        let folder = self.target.as_deref().map(Path::new).unwrap_or(Path::new(""));
        let machine = test.at("machine");
        self.boot_test = Some(BootTestReport {
            about: test.text("about").or(test.text("reason")).unwrap_or_default(),
            verdict,
            place: test.text("place"),
            line: test.text("line"),
            seconds: test.at("seconds").0.as_f64(),
            machine: machine.text("qemu").map(|qemu| {
                format!(
                    "QEMU {qemu}, board {}, disks on {}",
                    machine.word("board"),
                    machine.word("controller")
                )
            }),
            screenshot: screen.map(|name| folder.join(name).display().to_string()),
        });
    }
}

impl State {
    /// How a job that ended with this code stands, when it is not tried again.
    #[must_use]
    pub fn of_exit_code(code: i32) -> Self {
        match code {
            0 => Self::Done,
            code if code == i32::from(ErrorKind::NeedsPerson.exit_code()) => Self::Held,
            code if code == i32::from(ErrorKind::Temporary.exit_code()) => Self::Interrupted,
            _ => Self::Failed,
        }
    }
}

/// Whether this looks like what a program of ours printed: otherwise there is nothing to report.
pub(crate) fn is_outcome(value: &Value) -> bool {
    let known = |value: &Value| is_migration(value) || is_conversion(value) || value.get("error").is_some();
    value.as_array().map_or_else(|| known(value), |list| !list.is_empty() && list.iter().all(known))
}

fn is_migration(value: &Value) -> bool {
    ["outcome", "choice", "fixups"].iter().all(|name| value.get(name).is_some())
}

fn is_conversion(value: &Value) -> bool {
    ["source", "target", "virtual_size"].iter().all(|name| value.get(name).is_some())
}

/// The files that an outcome names besides images: manifests, definitions, the evidence of a boot test. Their digests belong into
/// the report. Paths are as the run saw them; what is a folder here, as that of the undo, has no digest and is left out.
#[must_use]
pub fn files_of_outcome(outcome: &Value) -> Vec<PathBuf> {
    let fields = Fields(outcome);
    if let Some(outcomes) = outcome.as_array() {
        return outcomes.iter().flat_map(files_of_outcome).collect();
    }
    if !is_migration(outcome) {
        return fields.text("manifest").map(PathBuf::from).into_iter().collect();
    }
    let folder = PathBuf::from(fields.word("out"));
    let images: Vec<String> =
        fields.list("disks").map(|disk| disk.word("file")).chain(fields.text("package")).collect();
    let files = fields.texts("files").into_iter().filter(|file| !images.contains(file));
    files.map(|file| folder.join(file)).filter(|file| !file.is_dir()).collect()
}

fn guest(os: Fields<'_>) -> Option<GuestReport> {
    let name = os.text("name")?;
    Some(GuestReport {
        family: os.word("family"),
        name,
        version: os.word("version"),
        architecture: os.text("arch"),
        hostname: os.text("hostname"),
    })
}

fn machine(outcome: Fields<'_>, secure_boot: Option<bool>) -> Option<MachineReport> {
    let machine = outcome.at("machine");
    let adapters = outcome.list("adapters").map(|adapter| AdapterReport {
        source_mac: adapter.text("source_mac"),
        source_network: adapter.text("source_network"),
        mac: adapter.text("mac"),
        network: adapter.text("network"),
    });
    Some(MachineReport {
        name: machine.text("name")?,
        cpus: machine.at("cpu").number("count").and_then(|count| u32::try_from(count).ok()).unwrap_or(0),
        memory_mib: machine.number("memory_mib").unwrap_or(0),
        firmware: machine.at("firmware").word("kind"),
        secure_boot,
        adapters: adapters.collect(),
    })
}

fn disk(disk: Fields<'_>) -> DiskReport {
    let chain: Vec<_> = disk.list("source").collect();
    let sizes = chain.iter().filter_map(|file| file.number("file_size"));
    let changed = disk.list("changed").filter_map(|range| {
        let range = range.0.as_array()?;
        Some((range.first()?.as_u64()?, range.get(1)?.as_u64()?))
    });
    let digest = disk.text("digest");
    DiskReport {
        source: chain.first().map(|file| file.word("path")).unwrap_or_default(),
        source_format: chain.first().and_then(|file| file.text("format")),
        source_file_size: (!chain.is_empty()).then(|| sizes.fold(0, u64::saturating_add)),
        target: disk.word("file"),
        target_format: disk.word("format"),
        target_file_size: disk.number("file_size"),
        virtual_size: disk.number("virtual_size").unwrap_or(0),
        data_bytes: disk.number("data_bytes"),
        source_digest: disk.text("source_digest"),
        // A migration that wrote a digest compared both sides; it ends otherwise where they differ.
        proof: if digest.is_some() && disk.has("differing_blocks") { Proof::Source } else { Proof::None },
        digest,
        changed: changed.collect(),
        ..DiskReport::default()
    }
}

fn fixup(fixup: Fields<'_>) -> FixupReport {
    FixupReport {
        id: fixup.word("id"),
        title: fixup.word("title"),
        status: fixup.word("status"),
        reason: fixup.text("reason"),
        next_step: fixup.text("next_step"),
        edits: fixup.number("edits").unwrap_or(0),
    }
}

/// A fixup that found something to do says why with each of its changes, which come in the order of the fixups.
fn give_reasons(fixups: &mut [FixupReport], changes: &[ChangeReport]) {
    let mut changes = changes.iter();
    for fixup in fixups {
        let mut reasons: Vec<&str> = Vec::new();
        for change in changes.by_ref().take(usize::try_from(fixup.edits).unwrap_or(usize::MAX)) {
            if !reasons.contains(&change.reason.as_str()) {
                reasons.push(&change.reason);
            }
        }
        if fixup.reason.is_none() && !reasons.is_empty() {
            fixup.reason = Some(reasons.join("; "));
        }
    }
}

fn change(edit: Fields<'_>) -> ChangeReport {
    let detail = edit.word("detail");
    let cut = detail.char_indices().nth(MOST_DETAIL).map(|(at, _)| at);
    let detail = match cut {
        Some(at) => format!("{}…", detail.get(..at).unwrap_or_default()),
        None => detail,
    };
    ChangeReport { path: edit.word("path"), action: edit.word("action"), reason: edit.word("reason"), detail }
}
