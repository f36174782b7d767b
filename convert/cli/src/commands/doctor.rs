//! `rehome doctor` and `rehome doctor net`

use crate::args::{DoctorArgs, DoctorNetArgs, DoctorPart, RequiredAbility};
use crate::output::{Printer, safe};
use convert_doctor::host::{self, Ability, State};
use convert_doctor::net::{self, Wish};
use format_core::{Error, ErrorKind, FileTarget, Result, TargetStorage, codes};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

pub(crate) fn run(args: &DoctorArgs, printer: &Printer) -> Result<ExitCode> {
    match &args.part {
        Some(DoctorPart::Net(args)) => run_net(args, printer),
        None => run_host(args, printer),
    }
}

fn run_host(args: &DoctorArgs, printer: &Printer) -> Result<ExitCode> {
    let require = args.require.iter().map(|ability| ability_of(*ability)).collect();
    let report = host::examine(&host::Request { folder: args.dir.clone(), require });
    printer.result(&report, human)?;
    if report.fit {
        return Ok(ExitCode::SUCCESS);
    }
    let missing = |found: &&host::Finding| found.required && found.state == State::Missing;
    let names: Vec<_> = report.findings.iter().filter(missing).map(|found| found.name).collect();
    let error = Error::unsupported(format!("missing on this host: {}", names.join(", ")))
        .with_code(&codes::HOST_MISSING);
    printer.say(&error);
    Ok(ExitCode::from(error.kind().exit_code()))
}

fn ability_of(ability: RequiredAbility) -> Ability {
    match ability {
        RequiredAbility::BootTest => Ability::BootTest,
        RequiredAbility::Uefi => Ability::Uefi,
        RequiredAbility::Kvm => Ability::Kvm,
        RequiredAbility::Mount => Ability::Mount,
        RequiredAbility::MicroVm => Ability::MicroVm,
        RequiredAbility::Borg => Ability::Borg,
        RequiredAbility::Ssh => Ability::Ssh,
    }
}

fn human(report: &host::Report) -> String {
    let mut text = String::new();
    for found in &report.findings {
        let mark = match found.state {
            State::Ok => "ok",
            State::Degraded => "degraded",
            State::Missing if found.required => "MISSING",
            State::Missing => "missing",
        };
        text.push_str(&format!("  {mark:<9}{:<16}{}\n", found.name, safe(&found.found)));
        if let Some(without) = found.without {
            text.push_str(&format!("{:27}so: {without}\n", ""));
        }
        if let Some(get) = found.get {
            text.push_str(&format!("{:27}then: {get}\n", ""));
        }
    }
    text
}

fn run_net(args: &DoctorNetArgs, printer: &Printer) -> Result<ExitCode> {
    let proxy = match args.proxy.as_deref() {
        None => Wish::Environment,
        Some("none") => Wish::Direct,
        Some(url) => Wish::Through(url.to_owned()),
    };
    let limit = Duration::from_secs(args.timeout);
    let report = net::reach(&net::Request { urls: args.urls.clone(), proxy, limit })?;
    if let Some(path) = &args.log {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let time = humantime::format_rfc3339_seconds(SystemTime::now());
        let version = env!("CARGO_PKG_VERSION");
        let head = format!("rehome {version} doctor net, {time}, host {}\n\n", safe(host.trim()));
        // A new file that takes the place of an old one: nothing is written through a link.
        let file = Box::new(FileTarget::create(path, true)?);
        file.write_all_at(0, (head + &report.text()).as_bytes())?;
        file.commit()?;
    }
    printer.result(&report, net::Report::text)?;
    Ok(if report.reachable { ExitCode::SUCCESS } else { ExitCode::from(ErrorKind::Temporary.exit_code()) })
}
