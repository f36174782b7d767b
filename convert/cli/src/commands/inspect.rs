//! `rehome inspect`

use crate::args::InspectArgs;
use crate::container::ContainerFacts;
use crate::output::{Printer, safe, table};
use convert_migrate::{BY_MICROVM, COPY_AGAIN, ChainFile, EditorReport, Readiness, inspect_for, readiness};
use driver_core::{
    DiskFacts, DriverState, GroupFacts, Guest, KernelFacts, PartitionFacts, TableKind, WindowsFacts,
};
use format_core::units::format_size;
use format_core::{Error, OpenedImage, Result, Warning, open_images};
use serde::Serialize;
use std::process::ExitCode;

#[derive(Serialize)]
struct Outcome {
    /// The boot disk's.
    #[serde(flatten)]
    first: Image,
    /// Those of the other disks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    further_images: Vec<Image>,
    /// The backups and packages in which they lie.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    containers: Vec<ContainerFacts>,
    editor: EditorReport,
    guest: Guest,
    replays: Vec<String>,
    readiness: Vec<Readiness>,
    warnings: Vec<Warning>,
}

#[derive(Serialize)]
struct Image {
    image: Vec<ChainFile>,
    virtual_size: u64,
    allocated_size: u64,
    /// The dirty bitmaps that the image keeps, as `convert --sync --bitmap` takes them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bitmaps: Vec<Bitmap>,
}

#[derive(Serialize)]
struct Bitmap {
    name: String,
    /// Bytes of the disk that one bit stands for.
    granularity: u64,
    /// Whether a program has the image open, or was killed while it had: it does not tell all.
    in_use: bool,
    /// Whether it records what is written.
    enabled: bool,
}

impl Bitmap {
    /// Those in the details of the image itself; a difference's parents have none that count.
    fn of(opened: &OpenedImage) -> Vec<Self> {
        let details = opened.disk.layers().first().map(|layer| layer.details()).unwrap_or_default();
        let list = details.get("bitmaps").and_then(|list| list.as_array());
        let bitmap = |one: &serde_json::Value| {
            let is =
                |flag: &str| one["flags"].as_array().is_some_and(|flags| flags.iter().any(|own| own == flag));
            Some(Self {
                name: one["name"].as_str()?.to_owned(),
                granularity: one["granularity"].as_u64()?,
                in_use: is("in-use"),
                enabled: is("auto"),
            })
        };
        list.into_iter().flatten().filter_map(bitmap).collect()
    }

    fn line(&self) -> String {
        let enabled = if self.enabled { "enabled" } else { "disabled" };
        let in_use = if self.in_use { ", in use: does not tell all" } else { "" };
        let size = format_size(self.granularity);
        format!("  bitmap {}: granularity {size}, {enabled}{in_use}\n", safe(&self.name))
    }
}

impl Image {
    fn of(opened: &OpenedImage) -> Self {
        Self {
            image: chain(opened),
            virtual_size: opened.disk.virtual_size(),
            allocated_size: opened.chain.iter().map(|link| link.allocated_size).sum(),
            bitmaps: Bitmap::of(opened),
        }
    }
}

pub(crate) fn run(args: &InspectArgs, printer: &Printer) -> Result<ExitCode> {
    let options = args.open.options()?;
    let (mut opened, mut containers) = (Vec::new(), Vec::new());
    for path in &args.images {
        let images = open_images(path, &options)?;
        containers.extend(ContainerFacts::of(&images)?);
        opened.extend(images);
    }
    let disks: Vec<_> = opened.iter().map(|image| image.disk.clone()).collect();
    let (inspection, editor) = inspect_for(&disks, &args.editor.wish(false, args.open.passphrases()?))?;
    let readiness = readiness(&inspection)?;
    let mut images = opened.iter().map(Image::of);
    let first = images.next().ok_or_else(|| Error::usage("no image was named"))?;
    let complete = containers.iter().all(ContainerFacts::is_complete);
    let outcome = Outcome {
        first,
        further_images: images.collect(),
        containers,
        editor,
        guest: inspection.guest,
        replays: inspection.replays,
        readiness,
        warnings: opened.iter().flat_map(|image| image.warnings.clone()).collect(),
    };
    printer.result(&outcome, human)?;
    printer.warnings(&outcome.warnings);
    // Parts of a backup that are missing are lost data.
    Ok(ExitCode::from(u8::from(!complete)))
}

fn chain(opened: &OpenedImage) -> Vec<ChainFile> {
    let file = |link: &format_core::ChainLink| ChainFile {
        path: link.path.clone(),
        format: link.format.name,
        file_size: link.file_size,
    };
    opened.chain.iter().map(file).collect()
}

fn human(o: &Outcome) -> String {
    let mut text = String::new();
    for container in &o.containers {
        text.push_str("Backup or package\n");
        container.lines().lines().for_each(|line| text.push_str(&format!("  {line}\n")));
        text.push('\n');
    }
    let several = !o.further_images.is_empty();
    let of_disk = |number: usize| if several { format!(", disk {number}") } else { String::new() };
    let images = std::iter::once(&o.first).chain(&o.further_images);
    for (number, (image, disk)) in images.zip(&o.guest.disks).enumerate() {
        let gap = if number == 0 { "" } else { "\n" };
        text.push_str(&format!("{gap}Image{}\n", of_disk(number)));
        text.push_str(&image_lines(image));
        text.push_str(&format!("\nPartitions{} ({})\n", of_disk(number), table_name(disk)));
        text.push_str(&table(&disk.partitions.iter().map(partition_row).collect::<Vec<_>>()));
    }
    for (number, group) in o.guest.groups.iter().enumerate() {
        text.push_str(&group_lines(&o.guest, number, group));
    }
    if let Some(microvm) = &o.editor.microvm {
        text.push_str(&format!("\nOpened by the micro-VM ({}), because\n", safe(microvm)));
        o.editor.reasons.iter().for_each(|reason| text.push_str(&format!("  {}\n", safe(reason))));
    }
    text.push_str(&guest_lines(&o.guest));
    if !o.guest.kernels.is_empty() {
        text.push_str("\nKernels\n");
        for kernel in &o.guest.kernels {
            text.push_str(&kernel_lines(kernel));
        }
    }
    let mut cut_off: Vec<String> = o.guest.cut_off().collect();
    if !cut_off.is_empty() {
        cut_off.push(format!("next: {COPY_AGAIN}"));
    }
    for (title, lines) in [
        ("Cut off", &cut_off),
        ("Replayed in memory", &o.replays),
        ("Could not be looked at", &o.guest.obstacles),
    ] {
        if !lines.is_empty() {
            text.push_str(&format!("\n{title}\n"));
            lines.iter().for_each(|line| text.push_str(&format!("  {}\n", safe(line))));
        }
    }
    text.push_str("\nTargets\n");
    for target in &o.readiness {
        text.push_str(&target_lines(target));
    }
    text.push_str(
        "What would be done for one of them: rehome migrate IMAGE... --to PLATFORM --out DIR --dry-run\n",
    );
    text
}

fn image_lines(image: &Image) -> String {
    let mut text = String::new();
    for (depth, file) in image.image.iter().enumerate() {
        let role = if depth == 0 { "" } else { "parent " };
        let path = safe(&file.path.display().to_string());
        text.push_str(&format!("  {role}{path}: {}, file of {}\n", file.format, format_size(file.file_size)));
    }
    let (size, allocated) = (format_size(image.virtual_size), format_size(image.allocated_size));
    text.push_str(&format!("  disk of {size}, {allocated} on the host\n"));
    image.bitmaps.iter().for_each(|bitmap| text.push_str(&bitmap.line()));
    text
}

/// What stands in the way, and what is left to a person. What would be done is too much for a list of all targets.
fn target_lines(target: &Readiness) -> String {
    let fixable = target.verdict == "fixable";
    let edits = if fixable { format!(" with {} edits", target.edits) } else { String::new() };
    let mut text = format!("  {:<32} {}{edits}\n", target.name, target.verdict);
    let told = target.reasons.iter().filter(|reason| !fixable || reason.starts_with(BY_MICROVM));
    told.for_each(|reason| text.push_str(&format!("      {}\n", safe(reason))));
    text
}

fn table_name(disk: &DiskFacts) -> &'static str {
    match disk.table {
        TableKind::None => "no table",
        TableKind::Mbr => "MBR",
        TableKind::Gpt if !disk.hybrid.is_empty() => "GPT with a hybrid MBR",
        TableKind::Gpt => "GPT",
    }
}

fn partition_row(partition: &PartitionFacts) -> Vec<String> {
    let fs = partition.file_system.as_ref();
    let kind = fs.map_or("-", |fs| fs.kind.as_str());
    let state = fs.and_then(|fs| fs.state.as_deref()).unwrap_or("");
    let uuid = fs.and_then(|fs| fs.uuid.as_deref()).unwrap_or("");
    let name = fs.and_then(|fs| fs.label.as_deref()).or(partition.name.as_deref()).unwrap_or("");
    let number = if partition.number == 0 { "disk".to_owned() } else { partition.number.to_string() };
    let role = match partition.role {
        driver_core::PartitionRole::Data => String::new(),
        role => format!("{role:?}"),
    };
    [number, format_size(partition.size), kind.into(), uuid.into(), name.into(), role, state.into()]
        .map(|cell| safe(&cell))
        .to_vec()
}

/// An array or volume group with its parts and volumes.
fn group_lines(guest: &Guest, number: usize, group: &GroupFacts) -> String {
    let title = match group.kind {
        driver_core::GroupKind::Lvm => "Volume group",
        driver_core::GroupKind::Md => "Array",
        driver_core::GroupKind::Luks => "Encrypted volume",
    };
    let mut text = format!("\n{title} {} ({})\n", safe(&group.name), safe(&group.layout));
    let mut rows = Vec::new();
    for part in &group.parts {
        let place = part.place.map_or_else(|| "on none of the disks".into(), |id| guest.place_name(id));
        let uuid = part.uuid.clone().unwrap_or_default();
        rows.push(["part".into(), place, part.state.clone(), uuid].map(|cell| safe(&cell)).to_vec());
    }
    text.push_str(&table(&rows));
    let mut rows = Vec::new();
    for volume in guest.volumes.iter().filter(|volume| volume.group == number) {
        let name = volume.devices.first().cloned().unwrap_or_default();
        let fs = volume.file_system.as_ref();
        let kind = fs.map_or("-", |fs| fs.kind.as_str());
        let uuid = fs.and_then(|fs| fs.uuid.as_deref()).unwrap_or("");
        let label = fs.and_then(|fs| fs.label.as_deref()).unwrap_or("");
        let state =
            volume.obstacle.as_ref().map(|_| "not mapped").or_else(|| fs?.state.as_deref()).unwrap_or("");
        let cells = [name.as_str(), &format_size(volume.size), &volume.layout, kind, uuid, label, state];
        rows.push(cells.map(safe).to_vec());
    }
    text.push_str(&table(&rows));
    group.warnings.iter().for_each(|warning| text.push_str(&format!("  note: {}\n", safe(warning))));
    text
}

fn guest_lines(guest: &Guest) -> String {
    let mut rows = Vec::new();
    let mut row = |name: &str, value: String| rows.push(vec![name.to_owned(), safe(&value)]);
    match &guest.os {
        Some(os) => {
            let arch = os.arch.as_deref().unwrap_or("unknown architecture");
            row("system", format!("{} ({arch}), by {}", os.name, os.known_by));
            if let Some(hostname) = &os.hostname {
                row("host name", hostname.clone());
            }
        }
        None => row("system", "not recognised".into()),
    }
    if guest.os.is_some() {
        row("came from", guest.source.describe());
    }
    let boot = &guest.boot;
    row("BIOS", boot.bios.clone().unwrap_or_else(|| "no boot loader found".into()));
    row("UEFI", boot.uefi.clone().unwrap_or_else(|| "no fallback loader found".into()));
    if let Some(menu) = &boot.host_loader {
        row("Xen PV, PVH", format!("a loader of the host can start it from {menu}"));
    }
    if let Some(loader) = &boot.loader {
        row("loader", loader.clone());
    }
    for mount in &guest.mounts {
        let partition = format!("{} ({})", guest.place_name(mount.place), mount.kind);
        match &guest.windows {
            Some(_) => row("volume", format!("{} is {partition}", mount.point)),
            None => row("mount", format!("{} from {partition}, fstab says {:?}", mount.point, mount.device)),
        }
    }
    if let Some(windows) = &guest.windows {
        windows_rows(windows, guest.os.as_ref().is_some_and(|os| os.local_clock), &mut row);
    }
    format!("\nGuest\n{}", table(&rows))
}

fn windows_rows(windows: &WindowsFacts, local_clock: bool, row: &mut dyn FnMut(&str, String)) {
    let revision = windows.revision.map(|number| format!(".{number}")).unwrap_or_default();
    let (major, minor) = windows.version;
    let edition = windows.edition.as_deref().unwrap_or("edition unknown");
    let installation = windows.installation.as_deref().unwrap_or("installation unknown");
    row("version", format!("{major}.{minor}.{}{revision}, {edition}, {installation}", windows.build));
    let clock = if local_clock { "local time" } else { "UTC" };
    let zone = windows.time_zone.as_deref().unwrap_or("unknown");
    row("clock", format!("the hardware's is taken for {clock}; time zone {zone}"));
    if windows.control_sets.len() > 1 {
        row("control sets", windows.control_sets.join(", "));
    }
    if let Some(path) = &windows.boot_configuration {
        row("boot data", path.clone());
    }
    for interface in &windows.interfaces {
        let name = interface.name.as_deref().unwrap_or(&interface.guid);
        let addresses: Vec<String> =
            interface.addresses.iter().map(|(ip, bits)| format!("{ip}/{bits}")).collect();
        let how = if interface.dhcp { "DHCP".to_owned() } else { addresses.join(", ") };
        row("interface", format!("{name}: {how}"));
    }
    row("at boot", windows.boot_drivers.join(" "));
    for (title, list) in
        [("agents", &windows.agents), ("antivirus", &windows.antivirus), ("unfinished", &windows.pending)]
    {
        if !list.is_empty() {
            row(title, list.join(", "));
        }
    }
}

fn kernel_lines(kernel: &KernelFacts) -> String {
    let default = if kernel.default { " (default)" } else { "" };
    let initramfs = match (&kernel.initramfs, &kernel.initramfs_kind) {
        (Some(path), Some(kind)) => format!("{path} by {kind}"),
        (Some(path), None) => path.clone(),
        _ => "no initramfs".into(),
    };
    let mut text = format!("  {}{default}, {}\n", safe(&kernel.version), safe(&initramfs));
    let names = |wanted: &dyn Fn(DriverState, bool) -> bool| {
        let found =
            kernel.drivers.iter().filter(|d| wanted(d.state, d.in_initramfs)).map(|d| d.module.as_str());
        found.collect::<Vec<_>>().join(" ")
    };
    for (title, list) in [
        ("at boot", names(&|state, inside| state == DriverState::BuiltIn || inside)),
        ("on disk only", names(&|state, inside| state == DriverState::Module && !inside)),
        ("missing", names(&|state, _| state == DriverState::Missing)),
    ] {
        if !list.is_empty() {
            text.push_str(&format!("    {title:<13} {list}\n"));
        }
    }
    text
}
