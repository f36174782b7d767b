//! INF files in the shapes that drivers of the field have, folders of them, and disc images.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use driver_inf::WindowsVersion;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub const SERVER_2008_R2: WindowsVersion = windows(6, 1, 7601, true);
pub const SERVER_2016: WindowsVersion = windows(10, 0, 14393, true);
pub const SERVER_2019: WindowsVersion = windows(10, 0, 17763, true);
pub const SERVER_2022: WindowsVersion = windows(10, 0, 20348, true);
pub const WINDOWS_10: WindowsVersion = windows(10, 0, 19045, false);
pub const WINDOWS_11: WindowsVersion = windows(10, 0, 22631, false);

pub const fn windows(major: u32, minor: u32, build: u32, is_server: bool) -> WindowsVersion {
    WindowsVersion { major, minor, build, is_server }
}

/// A storage driver in virtio-win's shape: tokens for numbers, a hardware section, an event log. `arch` is a decoration
/// such as `NTamd64.6.1`.
pub fn storage_inf(name: &str, arch: &str, ids: [&str; 2], bus_type: u32, version: &str) -> String {
    let [old, new] = ids;
    format!(
        r#"; A storage driver.
[Version]
Signature="$Windows NT$"
Class=SCSIAdapter
ClassGUID={{4D36E97B-E325-11CE-BFC1-08002BE10318}}
Provider=%VENDOR%
DriverVer = {version}
CatalogFile={name}.cat
PnpLockdown=1

[SourceDisksNames]
1 = %DiskId1%,,,""

[SourceDisksFiles]
{name}.sys = 1,,

[DestinationDirs]
{name}_Files = 12

[Manufacturer]
%VENDOR%   = Models,{arch}

[Models.{arch}]
%Desc% = the_inst, PCI\VEN_1AF4&DEV_{old}, PCI\VEN_1AF4&DEV_GENERIC
%Desc% = the_inst, PCI\VEN_1AF4&DEV_{new}

[{name}_Files]
{name}.sys,,,2

[the_inst]
CopyFiles={name}_Files

[the_inst.Services]
AddService = {name}, 0x00000002 , Service_Inst, EventLog_Inst

[Service_Inst]
DisplayName    = %Svc%
ServiceType    = %KERNEL%
StartType      = %BOOT%
ErrorControl   = %NORMAL%
ServiceBinary  = %12%\{name}.sys
LoadOrderGroup = SCSI miniport
AddReg         = pnpsafe

[the_inst.HW]
AddReg         = msix

[EventLog_Inst]
AddReg = EventLog_AddReg

[EventLog_AddReg]
HKR,,EventMessageFile,%REG_EXPAND_SZ%,"%%SystemRoot%%\System32\IoLogMsg.dll"

[pnpsafe]
HKR, "Parameters\PnpInterface", "5", %REG_DWORD%, 0x00000001
HKR, "Parameters", "BusType", %REG_DWORD%, {bus_type:#010X}

[msix]
HKR, "Interrupt Management",, 0x00000010
HKR, "Interrupt Management\Affinity Policy", DevicePolicy, 0x00010001, 5

[Strings]
VENDOR = "Some, Vendor"
diskId1 = "The disk"
Desc = "A SCSI controller"
Svc = "The service"
REG_EXPAND_SZ  = 0x00020000
REG_DWORD      = 0x00010001
KERNEL  = 1
BOOT    = 0
NORMAL  = 1
"#
    )
    .replace("0X", "0x")
}

/// The usual identifiers.
pub fn viostor(arch: &str, version: &str) -> String {
    let ids = ["1001&SUBSYS_00021AF4&REV_00", "1042&SUBSYS_11001AF4&REV_01"];
    storage_inf("viostor", arch, ids, 1, version)
}

/// Puts files below `root`.
pub fn put(root: &Path, files: &[(&str, &[u8])]) {
    for (path, content) in files {
        let full = root.join(path);
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        fs::write(full, content).unwrap();
    }
}

/// A folder `driver/os/processor` with INF, catalog and binary; the binary says where it is from.
pub fn put_viostor(root: &Path, folder: &str, arch: &str, version: &str) {
    put(
        root,
        &[
            (&format!("{folder}/viostor.inf"), viostor(arch, version).as_bytes()),
            (&format!("{folder}/viostor.cat"), b"catalog"),
            (&format!("{folder}/viostor.sys"), format!("binary of {folder}").as_bytes()),
            (&format!("{folder}/viostor.pdb"), b"symbols"),
        ],
    );
}

/// Makes an image of a folder by xorriso in the manner of mkisofs.
pub fn image(folder: &Path, options: &[&str]) -> PathBuf {
    let image = folder.with_extension(format!("{}iso", options.concat()));
    let output = Command::new("xorriso")
        .args(["-as", "mkisofs", "-quiet"])
        .args(options)
        .arg("-o")
        .arg(&image)
        .arg(folder)
        .output()
        .unwrap_or_else(|e| panic!("xorriso: {e}"));
    assert!(output.status.success(), "xorriso {options:?}: {}", String::from_utf8_lossy(&output.stderr));
    image
}

/// A network driver as server vendors write them: one INF for many versions, client and server apart, in-box sections.
pub const NIC: &str = r#"
[Version]
Signature   = "$CHICAGO$"
Class       = Net
ClassGUID   = {4d36e972-e325-11ce-bfc1-08002be10318}
Provider    = %Prov%
CatalogFile = plain.cat
CatalogFile.NTx86 = small.cat
CatalogFile.NTAMD64 = big.cat
DriverVer   = 4/5/2016

[Manufacturer]
%Prov%  = Nic, NTx86.6.1, NTamd64.6.1, NTamd64.6.1.1, NTamd64.6.3, NTamd64.10.0...16299
%Other% = More, NTamd64
Plain

[ControlFlags]
ExcludeFromSelect = *

[Nic.NTx86.6.1]
%Nic% = nic32, PCI\VEN_8086&DEV_0032
[Nic.NTamd64.6.1]
%Nic% = nic61, PCI\VEN_8086&DEV_0061
[Nic.NTamd64.6.1.1]
%Nic% = nic61, PCI\VEN_8086&DEV_0061&CLIENT
[Nic.NTamd64.6.3]
[Nic.NTamd64.10.0...16299]
%Nic% = nic10, PCI\VEN_8086&DEV_0010
%Nic% = nic10, , PCI\VEN_8086&DEV_COMPATIBLE
[More.NTamd64]
"Second %% kind" = nul, ROOT\NOTHING
[Plain]
Old = nic32, PCI\VEN_8086&DEV_PLAIN

[nic61.NT]
CopyFiles = nic.files, @extra.dll
Include = netvwifibus.inf
Needs = VWiFiBus.CopyFiles, local.needs
[nic61]
CopyFiles = wrong.files
[nic61.NT.Services]
AddService = nicsvc, 2, nic.service
AddService = nicflt,, nic.filter
[nic61.Services]
AddService = wrong, 2, wrong.service
[local.needs]
CopyFiles = needed.files
[needed.files]
needed.dll

[nic10]
CopyFiles = nic.files
[nic10.CoInstallers]
CopyFiles = co.files
[nic10.Services]
Include = pci.inf
Needs = Pci.Services
AddService = nicsvc, 0x2, nic.service
[nic10.HW]
AddReg = hw1, hw2
AddReg = hw1
[nul]
[nul.Services]
AddService = , 2
[nic32]
[nic32.Services]
AddService = nicsvc, 2, nic.service

[nic.files]
nic.sys, nic_64.sys
[co.files]
nicco.dll

[nic.service]
ServiceType = 0x1 ; kernel
StartType = 3
ErrorControl = 1
ServiceBinary = "%13%\nic.sys"
Dependencies = +NDIS, tcpip
AddReg = svc
[nic.filter]
ServiceType = 1
StartType = 0
ErrorControl = 3
ServiceBinary = system32\drivers\nicflt.sys
[svc]
HKR, Parameters, List, 0x00010000, one, two
HKR, , Text, 0x2, "keep me"
HKLM, Software\X, y,, z
[hw1]
HKR,,A,0x10001,1
[hw2]
HKR,,B,1,de,ad

[SourceDisksNames]
1 = disk
[SourceDisksFiles.amd64]
nic_64.sys = 1, x64

[DestinationDirs]
DefaultDestDir = 13
co.files = 11

[Strings]
Prov = "neutral"
Other = "other"
Nic = "NIC"
[Strings.0409]
Prov = "english"
"#;
