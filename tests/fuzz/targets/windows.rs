//! Fixups of Windows guests for every target, with hives that the input composes and then patches. The law: the plan that was made for a guest can be
//! carried out, and a second plan is empty.
#![no_main]

#[path = "../../../drivers/registry/tests/maker/mod.rs"]
#[allow(missing_docs)]
mod maker;

use driver_core::{Adapter, Context, Guest, GuestTree, Mac, MemFs, Wishes, apply, make_plan};
use driver_registry::{FileTime, Hive, Kind, Value};
use driver_windows::{BOOT_VOLUME, fixups, inspect, mount_hives};
use format_core::ErrorKind;
use libfuzzer_sys::fuzz_target;

/// Between the text and the patches.
const PATCHES: &[u8] = b"\n\0";
const HIVES: [&str; 3] = ["SYSTEM", "SOFTWARE", "BCD"];
const SET: &str = r"SYSTEM\ControlSet001";
/// Files of drivers that every guest has.
const DRIVERS: [&str; 9] =
    ["vmbus", "storvsc", "vmstorfl", "intelide", "pciide", "atapi", "storahci", "stornvme", "lsi_sas"];

/// A line of the text: key, name, type and data. Of a text and a list the data are text, with `|` for a zero, of a number digits.
fn set(hives: &mut [Hive], line: &[u8]) {
    let mut parts = line.splitn(4, |byte| *byte == b'\t');
    let mut part = || parts.next().unwrap_or_default();
    let key = String::from_utf8_lossy(part()).into_owned();
    let name = String::from_utf8_lossy(part()).into_owned();
    let kind = part().first().map_or(0, |byte| u32::from(byte.wrapping_sub(b'0')));
    let data = part();
    let Some((hive, below)) = key.split_once('\\') else { return };
    let Some(at) = HIVES.iter().position(|name| *name == hive) else { return };
    let bytes = match kind {
        1 | 2 | 7 => String::from_utf8_lossy(data).replace('|', "\0").encode_utf16().flat_map(u16::to_le_bytes).collect(),
        4 => match std::str::from_utf8(data).ok().and_then(|text| text.parse::<u32>().ok()) {
            Some(number) => number.to_le_bytes().to_vec(),
            None => data.to_vec(),
        },
        _ => data.to_vec(),
    };
    let Ok(mut edit) = hives[at].edit(FileTime(1)) else { return };
    if edit.create_key(below, None).is_ok() {
        let _ = edit.set_value(below, &name, &Value::raw(Kind(kind), bytes));
    }
}

/// The hives of the guest: those of the text, with single bytes of them changed.
fn hives(text: &[u8], patches: &[u8]) -> [Vec<u8>; 3] {
    let mut hives = HIVES.map(|_| Hive::open(maker::empty(5)).expect("the recipe is right"));
    text.split(|byte| *byte == b'\n').for_each(|line| set(&mut hives, line));
    let mut files = hives.map(|hive| hive.into_bytes().unwrap_or_else(|_| maker::empty(5)));
    for patch in patches.chunks_exact(5) {
        let file = &mut files[usize::from(patch[0]) % HIVES.len()];
        let at = u32::from_le_bytes([patch[1], patch[2], patch[3], 0]) as usize % file.len();
        file[at] = patch[4];
    }
    files.iter_mut().for_each(|file| maker::seal(file));
    files
}

fn tree(options: u8, [system, software, bcd]: [Vec<u8>; 3]) -> GuestTree {
    let config = "/Windows/System32/config";
    let mut files = MemFs::new()
        .with_file(&format!("{config}/SYSTEM"), system)
        .with_file(&format!("{config}/SOFTWARE"), software)
        .with_file("/Windows/System32/drivers/etc/hosts", "127.0.0.1 localhost\r\n169.254.169.254 metadata\r\n");
    for driver in DRIVERS {
        let inf = format!("/Windows/System32/DriverStore/FileRepository/{driver}.inf_x/{driver}.sys");
        let path = format!("/Windows/System32/drivers/{driver}.sys");
        files = files.with_file(if options & 1 == 0 { &path } else { &inf }, driver);
    }
    let mut tree = GuestTree::new();
    tree.mount("/", Box::new(files));
    tree.mount(BOOT_VOLUME, Box::new(MemFs::new().with_file("/Boot/BCD", bcd)));
    tree
}

fn wishes(options: u8) -> Wishes {
    let adapter = |last| Adapter { source: Some(Mac([2, 0, 0, 0, 0, last])), target: Some(Mac([2, 0, 0, 0, 1, last])) };
    let mut wishes = Wishes::NONE;
    wishes.network.adapters = (0..options >> 1 & 3).map(adapter).collect();
    if options & 8 != 0 {
        wishes.network.static_addresses = vec!["Ethernet=192.0.2.10/24,192.0.2.1,192.0.2.53".parse().expect("an address")];
    }
    wishes
}

fn seeds() -> Vec<(String, Vec<u8>)> {
    let text = |lines: &[(&str, &str, char, &str)]| {
        let line = |(key, name, kind, data): &(&str, &str, char, &str)| {
            format!("{}\t{name}\t{kind}\t{data}\n", key.replace("$", SET))
        };
        lines.iter().map(line).collect::<String>()
    };
    let version = r"SOFTWARE\Microsoft\Windows NT\CurrentVersion";
    let (one, zero) = ("1", "0");
    let tcp = r"$\Services\Tcpip\Parameters\Interfaces\{8b}";
    let connection = r"$\Control\Network\{4D36E972-E325-11CE-BFC1-08002BE10318}\{8b}\Connection";
    let class = r"$\Control\Class\{4d36e97d-e325-11ce-bfc1-08002be10318}";
    let base = text(&[
        (r"SYSTEM\Select", "Default", '4', one),
        (version, "CurrentVersion", '1', "6.1|"),
        (version, "CurrentBuildNumber", '1', "7601|"),
        (version, "InstallationType", '1', "Server|"),
        (r"$\Control\Session Manager\Environment", "PROCESSOR_ARCHITECTURE", '1', "AMD64|"),
        (r"$\Services\vmbus", "ImagePath", '2', "system32\\drivers\\vmbus.sys|"),
        (r"$\Services\vmbus", "Start", '4', "3"),
        (r"$\Services\storahci\StartOverride", "0", '4', "3"),
    ]);
    let later = text(&[
        (r"SYSTEM\Select", "LastKnownGood", '4', "2"),
        (r"SYSTEM\ControlSet002\Services\vmbus", "Start", '4', one),
        (version, "CurrentMajorVersionNumber", '4', "10"),
        (version, "CurrentMinorVersionNumber", '4', zero),
        (version, "CurrentBuildNumber", '1', "17763|"),
    ]);
    let network = text(&[
        (tcp, "EnableDHCP", '4', zero),
        (tcp, "IPAddress", '7', "192.0.2.7||"),
        (tcp, "SubnetMask", '7', "255.255.255.0||"),
        (tcp, "DefaultGateway", '7', "192.0.2.1||"),
        (tcp, "DefaultGatewayMetric", '7', "10||"),
        (tcp, "NameServer", '1', "192.0.2.53,169.254.169.253|"),
        (connection, "Name", '1', "Ethernet|"),
        (connection, "PnpInstanceID", '1', r"PCI\VEN_8086&DEV_10D3&S\020000FFFF000000|"),
        (r"$\Services\Tcpip\Parameters\PersistentRoutes", "169.254.169.254,255.255.255.255,10.0.0.1,1", '1', "|"),
        (r"$\Services\W32Time\Parameters", "NtpServer", '1', "169.254.169.123,0x9|"),
    ]);
    let source = text(&[
        (r"$\Services\xenfilt", "Start", '4', zero),
        (r"$\Services\XEN\Unplug", "DISKS", '4', one),
        (class, "UpperFilters", '7', "xenfilt|other||"),
        (r"$\Enum\PCI\VEN_8086\3", "LowerFilters", '7', "xenfilt||"),
        (r"$\Services\AmazonSSMAgent", "Start", '4', "2"),
        (r"$\Services\VMTools", "Start", '4', "2"),
        (r"$\Services\viostor", "Start", '4', zero),
        (r"$\Services\partmgr\Parameters", "SanPolicy", '4', "2"),
        (r"SYSTEM\HardwareConfig\{1}", "SystemManufacturer", '1', "Amazon EC2|"),
        (r"$\Control\TimeZoneInformation", "RealTimeIsUniversal", '4', one),
    ]);
    let manager = r"BCD\Objects\{9dea862c-5cdd-4e70-acc1-f32b344d4795}\Elements";
    let loader = r"BCD\Objects\{11111111-2222-3333-4444-555555555555}\Elements";
    let boot = text(&[
        (&format!(r"{manager}\23000003"), "Element", '1', "{11111111-2222-3333-4444-555555555555}|"),
        (&format!(r"{manager}\24000001"), "Element", '7', "{11111111-2222-3333-4444-555555555555}||"),
        (&format!(r"{manager}\16000020"), "Element", '3', "\u{1}"),
        (&format!(r"{loader}\11000001"), "Element", '3', "\0\0\0\0"),
        (&format!(r"{loader}\12000002"), "Element", '1', r"\Windows\system32\winload.exe|"),
        (&format!(r"{loader}\26000022"), "Element", '3', "\u{1}"),
    ]);
    let seed = |name: &str, options: u8, parts: &[&str], patch: &[u8]| {
        let mut bytes = vec![options, options];
        bytes.extend(parts.concat().bytes());
        bytes.extend([PATCHES, patch].concat());
        (name.to_owned(), bytes)
    };
    vec![
        seed("base", 0, &[&base], b""),
        seed("network", 10, &[&base, &later, &network], b""),
        seed("source", 3, &[&base, &source, &boot], b"\0\xf0\x1f\0\x04"),
        seed("all", 5, &[&base, &later, &network, &source, &boot], b"\x01\xf0\x1f\0\xff"),
    ]
}

fuzz_target!(init: fuzz::write_seeds(seeds), |input: &[u8]| {
    let Some((&[target, options], content)) = input.split_first_chunk() else { return };
    let end = content.windows(PATCHES.len()).position(|window| window == PATCHES);
    let (text, patches) = content.split_at(end.unwrap_or(content.len()));
    let patches = patches.get(PATCHES.len()..).unwrap_or_default();
    let targets: Vec<_> = driver_targets::targets().collect();
    let target = targets[usize::from(target) % targets.len()];
    let mut tree = tree(options, hives(text, patches));
    let mut guest = Guest::default();
    if mount_hives(&mut tree).is_err() || inspect(&tree, &mut guest).is_err() {
        return;
    }
    let wishes = wishes(options);
    let context = Context { wishes: &wishes, ..Context::new(&guest, target) };
    let Ok(plan) = make_plan(&context, &tree, fixups()) else { return };
    // What cannot be done stops a migration, and would stop every input here: the law is that of the others.
    let stuck: Vec<_> = plan.obstacles().map(|fixup| fixup.id).collect();
    let able: Vec<_> = fixups().iter().copied().filter(|fixup| !stuck.contains(&fixup.id())).collect();
    let Ok(plan) = make_plan(&context, &tree, &able) else { return };
    if plan.obstacles().next().is_some() {
        return;
    }
    if let Err(error) = apply(&mut tree, &plan.edits) {
        // What a hive is whole without, such as the order of its lists, is looked at when it is edited.
        let is_damaged = error.kind() == ErrorKind::Corrupt && !patches.is_empty();
        let is_of_guest = is_damaged
            || matches!(error.kind(), ErrorKind::NeedsPerson | ErrorKind::Unsupported | ErrorKind::Limit);
        assert!(is_of_guest, "the plan was made for this guest: {error}: {:#?}", plan.edits);
        return;
    }
    // A disk that was written is looked at anew.
    mount_hives(&mut tree).expect("what was written can be read");
    let mut guest = Guest::default();
    inspect(&tree, &mut guest).expect("the guest can still be inspected");
    let context = Context { wishes: &wishes, ..Context::new(&guest, target) };
    let again = make_plan(&context, &tree, &able).expect("the guest can still be planned");
    assert!(again.edits.is_empty(), "a second plan is not empty: {:#?}", again.edits);
});
