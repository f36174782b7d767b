//! Which recipes of hives a guest is composed of.

use crate::layout::Table;
use crate::network;
use crate::recipe::{Recipe, Source, Special};
use crate::regedit::{Keys, hex};
use crate::release::Filled;
use std::fmt::Write;

macro_rules! text {
    ($name:literal) => {
        include_str!(concat!("../hives/", $name, ".reg"))
    };
}

/// Storage drivers of Windows 8 and later that get a `StartOverride` when the installed machine does not need them, as in
/// a real hive.
const OVERRIDDEN: [&str; 15] = [
    "atapi", "intelide", "pciide", "viaide", "storahci", "stornvme", "storflt", "storvsc", "vmbus",
    "LSI_SAS", "LSI_SAS2", "LSI_SAS3", "megasas", "iaStorAV", "iaStorV",
];

/// The hives of a guest that have content.
pub(crate) struct Hives {
    pub(crate) system: Keys,
    pub(crate) software: Keys,
    pub(crate) bcd: Keys,
    /// What SYSTEM says after its logs are applied, where it is dirty.
    pub(crate) late: Option<Keys>,
}

/// Composes the hives of a recipe.
pub(crate) fn hives(recipe: &Recipe, tables: &[Table]) -> Hives {
    let mut filled = recipe.release.filled();
    let os = tables[0].partitions.iter().position(|it| it.holds == crate::layout::Holds::System).unwrap();
    let hiberboot = u32::from(recipe.has(Special::Hibernated));
    filled.insert("computer", "PHONY-PC".to_owned());
    filled.insert("os partition", (os + 1).to_string());
    filled.insert("hiberboot", format!("{hiberboot:08x}"));
    filled
        .insert("last known good", if recipe.release.is_nt61() { "00000002" } else { "00000001" }.to_owned());
    filled.insert("driver version", format!("6.1.{}.0", recipe.release.build()));
    filled.insert("renames", renames());
    let system = system(recipe, tables, &filled);
    let late = recipe.has(Special::DirtyHive).then(|| {
        let mut keys = Keys::default();
        keys.add(text!("late"), sets(recipe), &filled);
        keys
    });
    Hives { system, software: software(recipe, &filled), bcd: bcd(recipe, tables, &filled), late }
}

/// Windows 8 gave up the second control set.
fn sets(recipe: &Recipe) -> &'static [&'static str] {
    if recipe.release.is_nt61() { &["ControlSet001", "ControlSet002"] } else { &["ControlSet001"] }
}

fn system(recipe: &Recipe, tables: &[Table], filled: &Filled) -> Keys {
    let mut keys = Keys::default();
    let mut add = |text: &str| keys.add(text, sets(recipe), filled);
    add(text!("system"));
    if recipe.release.is_nt61() {
        add(text!("inbox-6.1"));
        add(text!("critical-devices"));
    } else {
        add(text!("inbox-6.3"));
        add(text!("inbox-6.3-class"));
        add(text!("driver-database"));
        if recipe.release.is_nt10() {
            add(text!("inbox-10.0"));
        }
        add(&overrides(recipe));
    }
    drivers(recipe).into_iter().for_each(&mut add);
    add(&network::recipe_of(recipe));
    add(&mounted(tables));
    let specials = [
        (Special::Antivirus, text!("antivirus")),
        (Special::PendingReboot, text!("pending-system")),
        (Special::Sysprepped, text!("sysprep-system")),
        (Special::UtcClock, text!("clock-utc")),
    ];
    specials.into_iter().filter(|(special, _)| recipe.has(*special)).for_each(|(_, text)| add(text));
    if recipe.release.is_nt61() {
        keys.respell("Services", "services");
        // These came with Windows 8.
        keys.forget("Owners");
    }
    keys
}

/// Drivers, devices and agents of a source.
fn drivers(recipe: &Recipe) -> Vec<&'static str> {
    let mut texts = match recipe.source {
        Source::AwsXen => vec![text!("aws-xen"), text!("aws-xen-devices"), text!("aws-agents")],
        Source::AwsNitro => vec![text!("aws-xen"), text!("aws-nitro"), text!("aws-agents")],
        Source::VmwareLsi => vec![text!("vmware"), text!("vmware-lsi")],
        Source::VmwarePvscsi => vec![text!("vmware"), text!("vmware-pvscsi")],
        Source::VirtualBox => vec![text!("virtualbox")],
        Source::Citrix => vec![text!("citrix")],
        Source::VirtioBlk => vec![text!("kvm"), text!("kvm-viostor")],
        Source::VirtioScsi => vec![text!("kvm"), text!("kvm-vioscsi")],
        Source::HyperV if recipe.is_uefi() => vec![text!("hyperv")],
        Source::HyperV => vec![text!("hyperv"), text!("hyperv-gen1")],
        Source::PhysicalMegasas => vec![text!("physical-megasas")],
        Source::PhysicalIntelRaid => vec![text!("physical-intel")],
    };
    if recipe.has(Special::MovedFromXen) {
        texts.push(text!("aws-xen-devices"));
    }
    if recipe.source.is_aws() && !recipe.release.is_nt10() {
        texts.push(text!("aws-ec2config"));
    }
    if has_launch2(recipe) {
        texts.push(text!("aws-ec2launch2"));
    }
    if !recipe.release.is_nt61() {
        texts.extend(packages(recipe.source));
    }
    texts
}

/// The entries of a source's drivers in the DriverDatabase.
fn packages(source: Source) -> Vec<&'static str> {
    match source {
        Source::AwsXen => vec![text!("aws-xen-database")],
        Source::AwsNitro => vec![text!("aws-xen-database"), text!("aws-nitro-database")],
        Source::VmwarePvscsi => vec![text!("vmware-pvscsi-database")],
        Source::Citrix => vec![text!("citrix-database")],
        Source::VirtioBlk => vec![text!("kvm-viostor-database")],
        Source::VirtioScsi => vec![text!("kvm-vioscsi-database")],
        _ => Vec::new(),
    }
}

/// EC2Launch v2 came with Server 2022.
pub(crate) fn has_launch2(recipe: &Recipe) -> bool {
    recipe.source.is_aws() && recipe.release.build() >= 20348
}

fn overrides(recipe: &Recipe) -> String {
    let used = recipe.source.in_use(recipe.is_uefi());
    let unused = OVERRIDDEN.iter().filter(|driver| !used.contains(driver));
    unused.fold(String::new(), |mut text, driver| {
        writeln!(text, "[CurrentControlSet\\Services\\{driver}\\StartOverride]\n\"0\"=dword:00000003\n")
            .unwrap();
        text
    })
}

fn mounted(tables: &[Table]) -> String {
    let mut text = "[MountedDevices]\n".to_owned();
    let mut letter = b'C';
    for (disk, table) in tables.iter().enumerate() {
        for (at, partition) in table.partitions.iter().enumerate() {
            use crate::layout::Holds::{Data, Esp, Reserved, System};
            let value = hex(3, &table.mounted(partition));
            if matches!(partition.holds, System | Data) {
                writeln!(text, "\"\\DosDevices\\{}:\"={value}", char::from(letter)).unwrap();
                letter += 1;
            }
            if !matches!(partition.holds, Reserved | Esp) {
                let guid = format!("8bff1c8{disk}-9188-11e5-824f-806e6f6e696{at}");
                writeln!(text, "\"\\??\\Volume{{{guid}}}\"={value}").unwrap();
            }
        }
    }
    text
}

/// Pairs of names for `PendingFileRenameOperations`: one file is deleted, one replaced. Empty names are why this is no
/// list like others.
fn renames() -> String {
    let names = [
        r"\??\C:\Windows\Temp\old.dll",
        "",
        r"\??\C:\Windows\Temp\new.dll",
        r"!\??\C:\Windows\System32\some.dll",
        "",
    ];
    let bytes = names.iter().flat_map(|name| name.encode_utf16().chain([0])).flat_map(u16::to_le_bytes);
    bytes.map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(",")
}

fn software(recipe: &Recipe, filled: &Filled) -> Keys {
    let mut keys = Keys::default();
    let mut add = |text: &str| keys.add(text, &[], filled);
    add(text!("software"));
    match recipe.source {
        Source::AwsXen | Source::AwsNitro => add(text!("aws-software")),
        Source::VmwareLsi | Source::VmwarePvscsi => add(text!("vmware-software")),
        Source::VirtualBox => add(text!("virtualbox-software")),
        Source::Citrix => add(text!("citrix-software")),
        Source::VirtioBlk | Source::VirtioScsi => add(text!("kvm-software")),
        Source::HyperV | Source::PhysicalMegasas | Source::PhysicalIntelRaid => {}
    }
    if has_launch2(recipe) {
        add(text!("aws-software-ec2launch2"));
    }
    if recipe.has(Special::PendingReboot) {
        add(text!("pending-software"));
    }
    if recipe.has(Special::Sysprepped) {
        add(text!("sysprep-software"));
    }
    keys
}

fn bcd(recipe: &Recipe, tables: &[Table], filled: &Filled) -> Keys {
    let device = |partition| {
        let bytes = tables[0].device(partition);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(",")
    };
    let uefi = recipe.is_uefi();
    let mut filled = filled.clone();
    filled.insert("boot device", device(tables[0].boot().unwrap()));
    filled.insert("os device", device(tables[0].find(crate::layout::Holds::System).unwrap()));
    filled.insert("loader", if uefi { "efi" } else { "exe" }.to_owned());
    filled.insert("boot folder", if uefi { r"\EFI\Microsoft\Boot" } else { r"\Boot" }.to_owned());
    filled.insert("loader name", recipe.release.loader_name().to_owned());
    let mut keys = Keys::default();
    keys.add(text!("bcd"), &[], &filled);
    if uefi {
        keys.add(text!("bcd-uefi"), &[], &filled);
    }
    if recipe.has(Special::SerialConsole) {
        keys.add(text!("bcd-ems"), &[], &filled);
    }
    keys
}
