//! Watches a machine from its start until something decides.

use crate::child::Running;
use crate::command::{CELLS, CONTROL, PICTURE};
use crate::console::{Console, LOG_LIMIT, tail_of};
use crate::frame::{self, Frame};
use crate::qmp::Qmp;
use crate::rules::{Finder, KVM_FAULT, Rule, named};
use crate::run::{Sight, trouble_of};
use crate::text_mode::{self, Font};
use format_core::{Error, ErrorKind, Result, codes};
use serde_json::{Value, json};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long one wait for the serial console lasts.
const TICK: Duration = Duration::from_millis(100);
/// A line without an end is whole when nothing came for so long.
const QUIET: Duration = Duration::from_secs(2);
/// How many pieces of up to 4 KiB are read from it in one turn.
const MOST_PIECES: u32 = 32;
/// How often the screen is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// A loader that complained has to stay silent for so long until it counts: GRUB waits ten seconds for a key.
const SILENCE: Duration = Duration::from_secs(20);
/// A machine of KVM that shows nothing for so long, and whose disks are idle, is tried by emulation.
const STILL: Duration = Duration::from_secs(60);
/// What comes within this time of a complaint still belongs to it.
const SLACK: Duration = Duration::from_secs(5);
/// How long a machine is watched after the verdict, for what a guest says on its way down.
const AFTERMATH: Duration = Duration::from_secs(2);
/// A guest may start over so often: firmware does after its first start, Windows while it sets up devices.
const MOST_REBOOTS: u32 = 4;
/// How long QEMU may take until its control socket is there.
const START_LIMIT: Duration = Duration::from_secs(30);
/// Lines of console and screen in reports.
const TAIL: usize = 25;

/// What decided.
pub(crate) struct Decision {
    pub(crate) rule: &'static Rule,
    pub(crate) place: &'static str,
    pub(crate) line: String,
}

/// All that was seen of a start.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) decision: Option<Decision>,
    pub(crate) elapsed: Duration,
    pub(crate) reboots: u32,
    pub(crate) observations: Vec<String>,
    pub(crate) console: Vec<String>,
    pub(crate) screen: Vec<String>,
}

/// A complaint that counts when nothing follows.
struct Suspicion {
    decision: Decision,
    at: Instant,
}

/// A machine that is watched.
pub(crate) struct Watch {
    running: Running,
    qmp: Option<Qmp>,
    folder: PathBuf,
    is_kvm: bool,
    finder: Finder,
    console: Console,
    font: Option<Font>,
    frame: Option<Frame>,
    screen_text: String,
    suspicion: Option<Suspicion>,
    started: Instant,
    limit: Duration,
    looked: Option<Instant>,
    last_serial: Instant,
    /// What came last was looked at as a whole.
    is_quiet: bool,
    last_change: Instant,
    last_io: Instant,
    disk_operations: u64,
    reboots: u32,
}

impl Watch {
    /// Starts QEMU.
    ///
    /// # Errors
    /// What starting a program reports.
    pub(crate) fn start(
        program: &Path,
        arguments: &[String],
        folder: &Path,
        limit: Duration,
    ) -> Result<Self> {
        let now = Instant::now();
        Ok(Self {
            is_kvm: arguments.iter().any(|word| word == "kvm"),
            finder: Finder::new()?,
            console: Console::new()?,
            running: Running::start(program, arguments, folder)?,
            qmp: None,
            folder: folder.to_path_buf(),
            font: text_mode::font_of_host(),
            frame: None,
            screen_text: String::new(),
            suspicion: None,
            started: now,
            limit,
            looked: None,
            last_serial: now,
            is_quiet: true,
            last_change: now,
            last_io: now,
            disk_operations: 0,
            reboots: 0,
        })
    }

    /// Watches until something decides or the time has passed.
    ///
    /// # Errors
    /// `Temporary` when interrupted; `Io` when QEMU ended or is silent; what stands in `trouble`.
    pub(crate) fn until_decided(
        &mut self,
        see: &dyn Fn(&Sight),
        interrupted: &AtomicBool,
        trouble: &Mutex<Option<Error>>,
    ) -> Result<Seen> {
        let mut shown = None;
        let decision = loop {
            if interrupted.load(Ordering::Relaxed) {
                return Err(Error::new(ErrorKind::Temporary, "interrupted; the guest was stopped")
                    .with_code(&codes::INTERRUPTED));
            }
            let decision = self.turn()?;
            // Before anything is concluded from what a guest without its disk does.
            trouble_of(trouble)?;
            let elapsed = self.started.elapsed();
            if decision.is_some() || elapsed >= self.limit {
                break decision;
            }
            if shown.is_none_or(|shown: Instant| shown.elapsed() >= Duration::from_secs(1)) {
                shown = Some(Instant::now());
                see(&Sight { elapsed, limit: self.limit, line: self.last_line() });
            }
        };
        let elapsed = self.started.elapsed();
        let end = Instant::now() + AFTERMATH;
        while decision.is_some() && Instant::now() < end {
            self.listen();
        }
        // The last screen is the evidence, whatever it says; where all is decided, it can be missing.
        match self.connect().and_then(|()| self.look()) {
            Err(error) if decision.is_none() => return Err(self.ended_or(error)),
            _ => trouble_of(trouble)?,
        }
        let observations = if decision.is_none() { self.observations() } else { Vec::new() };
        Ok(Seen {
            decision,
            elapsed,
            reboots: self.reboots,
            observations,
            console: self.console.tail(TAIL),
            screen: tail_of(&self.screen_text, TAIL),
        })
    }

    /// What shows it: the serial log, and the screen as a PNG file.
    ///
    /// # Errors
    /// `Contract` when the picture cannot be packed.
    pub(crate) fn evidence(self) -> Result<(Vec<u8>, Option<Vec<u8>>)> {
        let png = self.frame.as_ref().map(Frame::png).transpose()?;
        Ok((self.console.log().to_vec(), png))
    }

    /// One turn: console, events, and from time to time the screen.
    fn turn(&mut self) -> Result<Option<Decision>> {
        if let Some(decision) = self.listen() {
            return Ok(Some(decision));
        }
        if let Some(status) = self.running.ended()? {
            return Err(self.running.failure(status));
        }
        self.connect()?;
        let decision = match self.events() {
            Ok(decision) => decision,
            Err(error) => return Err(self.ended_or(error)),
        };
        if decision.is_some() {
            return Ok(decision);
        }
        if self.looked.is_none_or(|looked| looked.elapsed() >= LOOK) && self.qmp.is_some() {
            self.looked = Some(Instant::now());
            match self.look() {
                Ok(None) => {}
                Ok(decision) => return Ok(decision),
                Err(error) => return Err(self.ended_or(error)),
            }
        }
        Ok(self.settled().or_else(|| self.stands_still()))
    }

    /// When QEMU ended, that says more than a connection that broke.
    fn ended_or(&mut self, error: Error) -> Error {
        match self.running.ends_within(Duration::from_secs(1)) {
            Ok(Some(status)) => self.running.failure(status),
            _ => error,
        }
    }

    /// Takes what came on the serial console.
    fn listen(&mut self) -> Option<Decision> {
        let mut wait = TICK;
        // A guest that never stops writing keeps nothing else from its turn.
        for _ in 0..MOST_PIECES {
            let data = match self.running.serial(wait) {
                Some(data) => data,
                None if self.last_serial.elapsed() >= QUIET && !self.is_quiet => Vec::new(),
                None => break,
            };
            self.is_quiet = data.is_empty();
            if !self.is_quiet {
                self.last_serial = Instant::now();
            }
            for found in self.console.take(&data, &self.finder) {
                let decision = Decision { rule: found.rule, place: "serial", line: found.line };
                if let Some(decision) = self.consider(decision) {
                    return Some(decision);
                }
            }
            wait = Duration::ZERO;
        }
        None
    }

    /// Decides at once, or keeps the complaint in mind.
    fn consider(&mut self, decision: Decision) -> Option<Decision> {
        if decision.rule.is_final {
            return Some(decision);
        }
        let is_known = self.suspicion.as_ref().is_some_and(|known| {
            (known.decision.rule.id, known.decision.place) == (decision.rule.id, decision.place)
                && known.decision.line == decision.line
        });
        if !is_known {
            self.suspicion = Some(Suspicion { decision, at: Instant::now() });
        }
        None
    }

    /// A machine of KVM in which nothing moves: nested virtualisation may start a loader and hang in the kernel.
    fn stands_still(&self) -> Option<Decision> {
        let last = self.last_serial.max(self.last_change).max(self.last_io);
        let rule = named(KVM_FAULT).filter(|_| self.is_kvm && last.elapsed() >= STILL)?;
        Some(Decision { rule, place: "events", line: format!("nothing moved for {} s", STILL.as_secs()) })
    }

    /// The complaint after which nothing came any more.
    fn settled(&mut self) -> Option<Decision> {
        let last = self.last_serial.max(self.last_change).max(self.last_io);
        let suspicion =
            self.suspicion.take_if(|suspicion| last <= suspicion.at + SLACK && last.elapsed() >= SILENCE);
        suspicion.map(|suspicion| suspicion.decision)
    }

    fn connect(&mut self) -> Result<()> {
        if self.qmp.is_none() {
            self.qmp = Qmp::connect(&self.folder.join(CONTROL))?;
        }
        if self.qmp.is_none() && self.started.elapsed() > START_LIMIT {
            return Err(Error::new(ErrorKind::Io, "QEMU's control socket does not appear"));
        }
        Ok(())
    }

    /// Counts starts, and notices the end.
    fn events(&mut self) -> Result<Option<Decision>> {
        let Some(qmp) = &mut self.qmp else { return Ok(None) };
        for event in qmp.events()? {
            let by_guest = event.pointer("/data/guest").and_then(Value::as_bool) == Some(true);
            let line = event.pointer("/data/reason").and_then(Value::as_str).unwrap_or_default().to_owned();
            let rule = match event.get("event").and_then(Value::as_str) {
                Some("RESET") if by_guest => {
                    self.reboots += 1;
                    // A blue screen that ends in a restart was a stop.
                    let blue = self.suspicion.take().filter(|found| found.decision.rule.id == "blue-screen");
                    if blue.is_some() && self.frame.as_ref().and_then(Frame::blue).is_some() {
                        return Ok(blue.map(|suspicion| suspicion.decision));
                    }
                    if self.reboots > MOST_REBOOTS { named("reboot-loop") } else { None }
                }
                Some("SHUTDOWN") if by_guest => named("shut-down"),
                _ => None,
            };
            if let Some(rule) = rule {
                return Ok(Some(Decision { rule, place: "events", line }));
            }
        }
        Ok(None)
    }

    /// Looks at the screen and at what the disks do.
    fn look(&mut self) -> Result<Option<Decision>> {
        let Some(qmp) = &mut self.qmp else { return Ok(None) };
        // A machine on broken nested virtualisation stands still, and nothing else tells.
        let status = qmp.run("query-status", &json!({}))?;
        if status.get("status").and_then(Value::as_str) == Some("internal-error") {
            let line = "internal-error".into();
            return Ok(named(KVM_FAULT).map(|rule| Decision { rule, place: "events", line }));
        }
        let operations = operations_of(&qmp.run("query-blockstats", &json!({}))?);
        if operations != self.disk_operations {
            (self.disk_operations, self.last_io) = (operations, Instant::now());
        }
        qmp.run("screendump", &json!({ "filename": PICTURE }))?;
        let frame = Frame::parse(&read(&self.folder.join(PICTURE), frame::MOST_BYTES)?)?;
        let text = if text_mode::is_text_mode(&frame) {
            let place =
                json!({ "val": text_mode::CELLS_AT, "size": text_mode::CELLS_LEN, "filename": CELLS });
            qmp.run("pmemsave", &place)?;
            text_mode::rows_of_cells(&read(&self.folder.join(CELLS), text_mode::CELLS_LEN)?)
        } else {
            self.font.as_ref().map(|font| font.read(&frame)).unwrap_or_default()
        };
        if self.frame.as_ref().is_none_or(|last| last.differs_from(&frame)) || text != self.screen_text {
            self.last_change = Instant::now();
        }
        let blue = frame.blue();
        self.frame = Some(frame);
        if let (Some(([red, green, blue], percent)), Some(rule)) = (blue, named("blue-screen")) {
            let line = format!("{percent} % of the screen are #{red:02x}{green:02x}{blue:02x}");
            self.consider(Decision { rule, place: "screen", line });
        }
        if text == self.screen_text {
            return Ok(None);
        }
        self.screen_text = text;
        Ok(self.read_screen())
    }

    /// Applies the rules to the text on the screen.
    fn read_screen(&mut self) -> Option<Decision> {
        let text = std::mem::take(&mut self.screen_text);
        let mut rest = text.as_str();
        let mut decision = None;
        while let Some(found) = self.finder.first(rest, true).filter(|_| decision.is_none()) {
            rest = rest.get(found.end.max(1)..).unwrap_or_default();
            decision = self.consider(Decision { rule: found.rule, place: "screen", line: found.line });
        }
        self.screen_text = text;
        decision
    }

    /// The last line of what changed last.
    fn last_line(&self) -> String {
        let screen = || tail_of(&self.screen_text, 1);
        let line = if self.last_change > self.last_serial { screen() } else { self.console.tail(1) };
        let line = if line.is_empty() { screen() } else { line };
        line.into_iter().next().unwrap_or_default()
    }

    /// What helps a person who has to decide.
    fn observations(&self) -> Vec<String> {
        let seconds = |since: Instant| since.elapsed().as_secs();
        let mut said = vec![match &self.frame {
            None => "the screen was not seen".to_owned(),
            Some(frame) if frame.is_blank() => "the screen is blank".to_owned(),
            Some(frame) => format!(
                "the screen has {}×{} pixels and has not changed for {} s",
                frame.width,
                frame.height,
                seconds(self.last_change)
            ),
        }];
        said.push(format!("the disks have been idle for {} s", seconds(self.last_io)));
        said.push(if self.console.log().is_empty() {
            "nothing came on the serial console".to_owned()
        } else {
            format!("the serial console has been silent for {} s", seconds(self.last_serial))
        });
        if self.console.is_cut() {
            said.push(format!("only the first {} MiB of the serial console were kept", LOG_LIMIT >> 20));
        }
        said
    }
}

/// How many reads and writes the guest made on all disks.
fn operations_of(stats: &Value) -> u64 {
    let devices = stats.as_array().map(Vec::as_slice).unwrap_or_default();
    let count = |device: &Value, name: &str| {
        device.pointer("/stats").and_then(|stats| stats.get(name)).and_then(Value::as_u64).unwrap_or(0)
    };
    devices
        .iter()
        .map(|device| count(device, "rd_operations").saturating_add(count(device, "wr_operations")))
        .fold(0, u64::saturating_add)
}

fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let failed = |e| Error::io(format!("cannot read {}", path.display()), e).with_kind(ErrorKind::Io);
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(failed)?.take(most).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}
