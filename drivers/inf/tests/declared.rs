//! What INF files declare, in the shapes that the drivers of the field have.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod maker;

use driver_core::{DriverDate, DriverPackage, ServiceData, WriteMode};
use driver_inf::{Arch, WindowsVersion, parse};
use format_core::ErrorKind;
use maker::*;

fn package(text: &str, guest: WindowsVersion, arch: Arch) -> Option<DriverPackage> {
    parse(text.as_bytes()).unwrap().package(&guest, arch).unwrap()
}

fn ids(package: &DriverPackage) -> Vec<&str> {
    package.devices.iter().map(|device| device.hardware_id.as_str()).collect()
}

#[test]
fn a_storage_driver_of_virtio_win() {
    let text = viostor("NTamd64.10.0", "07/21/2023,100.93.104.24000");
    let package = package(&text, SERVER_2019, Arch::Amd64).unwrap();
    assert_eq!(package.provider, "Some, Vendor");
    assert_eq!(package.class, "SCSIAdapter");
    assert_eq!(package.class_guid, "{4d36e97b-e325-11ce-bfc1-08002be10318}");
    assert_eq!(package.date, DriverDate { year: 2023, month: 7, day: 21 });
    assert_eq!(package.version, [100, 93, 104, 24000]);
    assert_eq!(package.catalog.as_deref(), Some("viostor.cat"));
    assert_eq!(package.notes, [""; 0]);

    let [service] = package.services.as_slice() else { panic!("{:?}", package.services) };
    assert_eq!((service.name.as_str(), service.binary.as_str()), ("viostor", "viostor.sys"));
    assert_eq!(service.display_name.as_deref(), Some("The service"));
    assert_eq!((service.service_type, service.start, service.error_control), (1, 0, 1));
    assert_eq!(service.load_order_group.as_deref(), Some("SCSI miniport"));
    assert_eq!(service.binary_dirid, Some(12));
    let values: Vec<_> = service
        .values
        .iter()
        .map(|value| (value.key.as_str(), value.name.as_str(), value.value.clone(), value.mode))
        .collect();
    assert_eq!(
        values,
        [
            ("Parameters\\PnpInterface", "5", ServiceData::Dword(1), WriteMode::Set),
            ("Parameters", "BusType", ServiceData::Dword(1), WriteMode::Set),
        ]
    );

    assert_eq!(
        ids(&package),
        [
            "PCI\\VEN_1AF4&DEV_1001&SUBSYS_00021AF4&REV_00",
            "PCI\\VEN_1AF4&DEV_GENERIC",
            "PCI\\VEN_1AF4&DEV_1042&SUBSYS_11001AF4&REV_01",
        ]
    );
    let compatible: Vec<bool> = package.devices.iter().map(|device| device.is_compatible_id).collect();
    assert_eq!(compatible, [false, true, false]);
    for device in &package.devices {
        assert_eq!(device.service.as_deref(), Some("viostor"));
        assert_eq!(device.description, "A SCSI controller");
        let [key, policy] = device.values.as_slice() else { panic!("{:?}", device.values) };
        assert_eq!((key.key.as_str(), &key.value), ("Interrupt Management", &ServiceData::Key));
        assert_eq!(policy.value, ServiceData::Dword(5));
    }
    // BusType is the INF's, whatever the driver is called.
    let sas = storage_inf("vioscsi", "NTamd64", ["1004", "1048"], 10, "01/01/2020,1.0.0.0");
    let sas = self::package(&sas, SERVER_2019, Arch::Amd64).unwrap();
    let bus = sas.service("VIOSCSI").unwrap().values.iter().find(|value| value.name == "BusType").unwrap();
    assert_eq!(bus.value, ServiceData::Dword(10));
}

#[test]
fn it_is_for_the_windows_and_the_processor_that_it_names() {
    let text = viostor("NTamd64.10.0...17763", "01/01/2020,1.0.0.0");
    assert!(package(&text, SERVER_2019, Arch::Amd64).is_some());
    assert!(package(&text, SERVER_2016, Arch::Amd64).is_none());
    assert!(package(&text, SERVER_2008_R2, Arch::Amd64).is_none());
    assert!(package(&text, SERVER_2019, Arch::Arm64).is_none());
    assert!(package(&text, SERVER_2019, Arch::X86).is_none());
}

#[test]
fn one_inf_for_many_versions_gives_each_its_own_section() {
    for (guest, arch, expected) in [
        (
            WINDOWS_10,
            Arch::Amd64,
            &["PCI\\VEN_8086&DEV_0010", "PCI\\VEN_8086&DEV_COMPATIBLE", "ROOT\\NOTHING"][..],
        ),
        // An empty section stands against this Windows.
        (SERVER_2016, Arch::Amd64, &["ROOT\\NOTHING"]),
        (SERVER_2008_R2, Arch::Amd64, &["PCI\\VEN_8086&DEV_0061", "ROOT\\NOTHING"]),
        (windows(6, 1, 7601, false), Arch::Amd64, &["PCI\\VEN_8086&DEV_0061&CLIENT", "ROOT\\NOTHING"]),
        (windows(6, 0, 6002, true), Arch::Amd64, &["ROOT\\NOTHING"]),
        (windows(6, 1, 7601, false), Arch::X86, &["PCI\\VEN_8086&DEV_0032", "PCI\\VEN_8086&DEV_PLAIN"]),
        (windows(5, 1, 2600, false), Arch::X86, &["PCI\\VEN_8086&DEV_PLAIN"]),
    ] {
        assert_eq!(ids(&package(NIC, guest, arch).unwrap()), expected, "{guest:?} {arch:?}");
    }
    assert!(package(NIC, WINDOWS_11, Arch::Arm64).is_none());
}

#[test]
fn the_most_exact_install_section_counts_with_all_that_belongs_to_it() {
    let old = package(NIC, SERVER_2008_R2, Arch::Amd64).unwrap();
    assert_eq!(old.provider, "english");
    assert_eq!(old.catalog.as_deref(), Some("big.cat"));
    assert_eq!((old.date.year, old.date.month, old.version), (2016, 4, [0; 4]));
    let names: Vec<&str> = old.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["nicsvc", "nicflt"]);
    assert_eq!(old.devices[0].service.as_deref(), Some("nicsvc"));
    assert_eq!(old.devices[1].description, "Second % kind");
    assert_eq!(old.devices[1].service, None);
    let filter = old.service("nicflt").unwrap();
    assert_eq!((filter.binary.as_str(), filter.binary_dirid, filter.start), ("nicflt.sys", None, 0));
    assert_eq!(
        old.notes,
        [
            "[nic61.nt] needs [VWiFiBus.CopyFiles], which is in an INF file of Windows",
            "[svc] HKLM,Software\\X,y,: it is not relative to the key",
        ]
    );
    assert_eq!(
        package(NIC, windows(5, 1, 2600, false), Arch::X86).unwrap().catalog.as_deref(),
        Some("small.cat")
    );

    let new = package(NIC, WINDOWS_10, Arch::Amd64).unwrap();
    let service = new.service("nicsvc").unwrap();
    assert_eq!((service.binary_dirid, service.start), (Some(13), 3));
    assert_eq!(service.dependencies, ["+NDIS", "tcpip"]);
    let strings = vec!["one".to_owned(), "two".to_owned()];
    assert_eq!(service.values[0].value, ServiceData::MultiString(strings));
    assert_eq!((&service.values[1].name, service.values[1].mode), (&"Text".to_owned(), WriteMode::Keep));
    let hardware: Vec<_> = new.devices[0].values.iter().map(|value| value.value.clone()).collect();
    assert_eq!(hardware, [ServiceData::Dword(1), ServiceData::Binary(vec![0xde, 0xad])]);
    // Only a compatible identifier: the first place is empty.
    assert!(new.devices[1].is_compatible_id && !new.devices[0].is_compatible_id);
}

#[test]
fn what_is_no_drivers_inf_is_for_nobody() {
    for text in [
        "",
        "[autorun]\nopen=setup.exe",
        "[Version]\nSignature=\"$Windows 95$\"\n[Manufacturer]\na=b,NTamd64\n[b.NTamd64]\nc=d,e\n",
        "[Version]\nSignature=$Windows NT$\n",
        "[Version]\nSignature=$Windows NT$\n[Manufacturer]\na=b,NTamd64\n",
        "[Version]\nSignature=$Windows NT$\n[Manufacturer]\na=b,NTamd64\n[b.NTamd64]\nc=d\n",
    ] {
        assert!(package(text, WINDOWS_10, Arch::Amd64).is_none(), "{text}");
    }
}

#[test]
fn a_service_that_is_not_fully_declared_is_refused() {
    let whole = viostor("NTamd64", "01/01/2020,1.0.0.0");
    for (line, says) in [
        ("StartType      = %BOOT%", "service viostor: inf: [Service_Inst] has no StartType"),
        ("ServiceType    = %KERNEL%", "has no ServiceType"),
        ("ErrorControl   = %NORMAL%", "has no ErrorControl"),
        ("ServiceBinary  = %12%\\viostor.sys", "has no ServiceBinary"),
        ("[Service_Inst]", "its section [Service_Inst] is not there"),
        ("KERNEL  = 1", "ServiceType is %KERNEL%, possible are numbers"),
    ] {
        let text = whole.replacen(line, if line.starts_with('[') { "[Other]" } else { ";" }, 1);
        assert_ne!(text, whole);
        let error = parse(text.as_bytes()).unwrap().package(&WINDOWS_10, Arch::Amd64).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn a_small_file_cannot_ask_for_very_much() {
    use std::fmt::Write as _;
    let head = "[Version]\nSignature=$Windows NT$\n[Manufacturer]\na=b,NTamd64\n[b.NTamd64]\n";
    // Many devices of one section with many values; many sections that need one long list of empty ones.
    let mut devices = head.to_owned();
    let mut needs = head.to_owned();
    for n in 0..20_000 {
        writeln!(devices, "d=i,ID{n}").unwrap();
        writeln!(needs, "d=i{n},ID{n}\n[i{n}]\nNeeds=long\n[b.NTamd64]").unwrap();
    }
    devices += "[i]\n[i.HW]\nAddReg=r\n[r]\n";
    needs += "[long]\n";
    for n in 0..20_000 {
        writeln!(devices, "HKR,,{n},,x").unwrap();
        writeln!(needs, "AddReg=r{n}").unwrap();
    }
    for text in [devices, needs] {
        let start = std::time::Instant::now();
        let error = parse(text.as_bytes()).unwrap().package(&WINDOWS_10, Arch::Amd64).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
        assert!(start.elapsed().as_secs() < 5);
    }
}
