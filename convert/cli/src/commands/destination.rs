//! `rehome destination`

use crate::args::{
    DestinationArgs, DestinationCheckArgs, DestinationCommand, DestinationInitArgs, DestinationIsolateArgs,
    How, Shows, StateArgs, WaitArgs,
};
use crate::output::{Printer, safe, table};
use convert_destination::{
    Destination, Device, Entered, Host, Isolation, Isolator, Left, Marker, Place, Required, init,
    state_folder,
};
use format_core::units::format_size;
use format_core::{Error, ErrorKind, Result, Warning};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// What a run that isolates waits for others to let go.
const PATIENCE: u32 = 10;

/// Links and servers come up slower than volumes are let go.
const REACH: u32 = 60;

#[derive(Serialize)]
struct Marked {
    folder: String,
    #[serde(flatten)]
    marker: Marker,
    warnings: Vec<Warning>,
}

pub(crate) fn run(args: &DestinationArgs, printer: &Printer, interrupted: &AtomicBool) -> Result<ExitCode> {
    let host = Host::system();
    match &args.command {
        DestinationCommand::Init(args) => mark(&host, args, printer)?,
        DestinationCommand::Check(args) => check(&host, args, printer, interrupted)?,
        DestinationCommand::Isolate(args) => isolate(&host, args, printer, interrupted)?,
        DestinationCommand::Restore(args) => {
            let entered =
                with(&host, &args.state, &args.wait, &[], interrupted, |it| it.enter(&args.folder))?;
            printer.result(&entered, restored)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn mark(host: &Host, args: &DestinationInitArgs, printer: &Printer) -> Result<()> {
    let (marker, warnings) = init(host, &args.folder)?;
    printer.warnings(&warnings);
    let marked = Marked { folder: args.folder.display().to_string(), marker, warnings };
    printer.result(&marked, |marked| {
        let volume = &marked.marker.volume;
        let rows = [
            ("destination", marked.folder.clone()),
            ("id", marked.marker.id.to_string()),
            ("marked", marked.marker.created.clone()),
            ("volume", format!("{} on {}", volume.fs_type, volume.source)),
            ("uuid", volume.uuid.clone().unwrap_or_else(|| "unknown".into())),
            ("mounted at", volume.place().display().to_string()),
        ];
        rows_of(&rows)
    })
}

fn check(
    host: &Host,
    args: &DestinationCheckArgs,
    printer: &Printer,
    interrupted: &AtomicBool,
) -> Result<()> {
    let id = args.id.as_deref().map(|id| {
        id.parse().map_err(|_| {
            Error::usage(format!("{id:?} is no UUID")).hint("'rehome destination init' prints it")
        })
    });
    let required = match (id.transpose()?, args.require) {
        (Some(id), _) => Required::Marked(Some(id)),
        (None, Shows::Exists) => Required::Exists,
        (None, Shows::Subfolder) => Required::SubfolderOfVolume,
        (None, Shows::Marked) => Required::Marked(None),
    };
    let uuid = args.uuid.clone().map(Device::Uuid);
    let destination = Destination {
        mount_point: args.mount_point.clone(),
        device: uuid.or_else(|| args.device.clone().map(Device::Source)),
        ..Destination::new(&args.folder, required)
    };
    let place = destination.check(host).map_err(|error| {
        let wait = WaitArgs { wait: None };
        let isolated = with(host, &args.state, &wait, &[], interrupted, |it| it.isolated(&args.folder));
        match isolated {
            Ok(Some(how)) if error.kind() == ErrorKind::Destination => error
                .context(format!("isolated by {how}"))
                .hint("bring it back: rehome destination restore, with the same folder and --state"),
            _ => error,
        }
    })?;
    printer.result(&place, place_rows)
}

fn isolate(
    host: &Host,
    args: &DestinationIsolateArgs,
    printer: &Printer,
    interrupted: &AtomicBool,
) -> Result<()> {
    let isolation = match (args.how, &args.interface) {
        (How::Unmount, None) => Isolation::Unmount,
        (How::Eject, None) => Isolation::Eject,
        (How::NetworkDown, Some(interface)) => Isolation::NetworkDown {
            interface: interface.clone(),
            yes_i_lose_network: args.yes_i_lose_network,
        },
        _ => return Err(Error::usage("--interface goes with --how network-down")),
    };
    let mut keep = args.keep.clone();
    keep.extend(std::env::current_exe());
    let left =
        with(host, &args.state, &args.wait, &keep, interrupted, |it| it.leave(&args.folder, &isolation))?;
    printer.result(&left, isolated)
}

fn with<T>(
    host: &Host,
    state: &StateArgs,
    wait: &WaitArgs,
    keep: &[PathBuf],
    interrupted: &AtomicBool,
    act: impl FnOnce(&Isolator<'_>) -> Result<T>,
) -> Result<T> {
    let state = state.state.clone().unwrap_or_else(state_folder);
    let seconds = |default: u32| Duration::from_secs(wait.wait.unwrap_or(default).into());
    let (patience, reach) = (seconds(PATIENCE), seconds(REACH));
    act(&Isolator { host, state: Path::new(&state), keep, patience, reach, interrupted })
}

fn place_rows(place: &Place) -> String {
    let volume = &place.volume;
    let room = format!("{} free of {}", format_size(place.free_bytes), format_size(place.total_bytes));
    let mut rows = vec![
        ("destination", place.folder.display().to_string()),
        ("volume", format!("{} on {}", volume.fs_type, volume.source)),
        ("mounted at", volume.place().display().to_string()),
        ("room", room),
    ];
    rows.extend(volume.uuid.iter().map(|uuid| ("uuid", uuid.clone())));
    rows.extend(place.marker.iter().map(|marker| ("id", marker.id.to_string())));
    if place.on_root_disk {
        rows.push(("note", "this is the disk that the host runs from".into()));
    }
    rows_of(&rows)
}

fn isolated(left: &Left) -> String {
    let mut text = format!("Isolated by {}{}.\n", left.how, if left.already { " already" } else { "" });
    left.verified.iter().for_each(|line| text.push_str(&format!("  verified: {}\n", safe(line))));
    text
}

fn restored(entered: &Entered) -> String {
    let mut text = match entered.how {
        Some(how) => format!("Restored; it was isolated by {how}.\n"),
        None => "It was not isolated.\n".into(),
    };
    entered.interface.iter().for_each(|name| text.push_str(&format!("  link up: {}\n", safe(name))));
    entered.mounted.iter().for_each(|point| text.push_str(&format!("  mounted: {}\n", safe(point))));
    text + &place_rows(&entered.place)
}

fn rows_of(rows: &[(&str, String)]) -> String {
    table(&rows.iter().map(|(key, value)| vec![(*key).to_owned(), safe(value)]).collect::<Vec<_>>())
}
