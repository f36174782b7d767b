//! A folder in the shape of the virtio-win discs, with INF files in our own words and stubs for binaries; and descriptions of the
//! machines that the guests come from.

use crate::bench::Bench;
use test_windows_guests::{Address, Recipe};

const FOLDERS: [&str; 4] = ["2k8R2", "2k16", "2k19", "2k22"];

/// Name, hardware ids (transitional and modern), and bus type, as the discs have them.
const STORAGE: [(&str, [&str; 2], u32); 2] = [
    ("viostor", ["1001&SUBSYS_00021AF4&REV_00", "1042&SUBSYS_11001AF4&REV_01"], 1),
    ("vioscsi", ["1004&SUBSYS_00081AF4&REV_00", "1048&SUBSYS_11001AF4&REV_01"], 10),
];

/// Makes `drivers`.
pub(crate) fn put(bench: &Bench) {
    let put = |driver: &str, os: &str, name: &str, inf: String| {
        let folder = format!("drivers/{driver}/{os}/amd64");
        std::fs::create_dir_all(bench.path(&folder)).unwrap();
        bench.write(&format!("{folder}/{name}.inf"), format!("; for {os}\n{inf}").replace('\n', "\r\n"));
        bench.write(&format!("{folder}/{name}.cat"), format!("catalog of {driver} {os}"));
        bench.write(&format!("{folder}/{name}.sys"), format!("MZ, {driver} for {os}"));
    };
    for os in FOLDERS {
        for (name, ids, bus) in STORAGE {
            put(name, os, name, storage(name, ids, bus));
        }
        put("NetKVM", os, "netkvm", network());
    }
}

fn head(class: &str, guid: &str, name: &str) -> String {
    format!(
        "[Version]\nSignature=\"$Windows NT$\"\nClass={class}\nClassGUID={{{guid}}}\nProvider=%V%\n\
         DriverVer=11/04/2024,100.95.104.26200\nCatalogFile={name}.cat\n\n[SourceDisksNames]\n1=%V%,,,\"\"\n\n\
         [SourceDisksFiles]\n{name}.sys=1,,\n\n[DestinationDirs]\nDefaultDestDir=12\n\n\
         [Manufacturer]\n%V%=M,NTamd64\n\n"
    )
}

fn storage(name: &str, [old, new]: [&str; 2], bus: u32) -> String {
    head("SCSIAdapter", "4D36E97B-E325-11CE-BFC1-08002BE10318", name)
        + &format!(
            "[M.NTamd64]\n%D%=I,PCI\\VEN_1AF4&DEV_{old}\n%D%=I,PCI\\VEN_1AF4&DEV_{new}\n\n[F]\n{name}.sys,,,2\n\n\
             [I]\nCopyFiles=F\n\n[I.Services]\nAddService={name},0x00000002,S\n\n\
             [S]\nServiceType=1\nStartType=0\nErrorControl=1\nServiceBinary=%12%\\{name}.sys\n\
             LoadOrderGroup=SCSI miniport\nAddReg=P\n\n\
             [P]\nHKR,\"Parameters\\PnpInterface\",\"5\",0x00010001,1\nHKR,\"Parameters\",\"BusType\",0x00010001,{bus}\n\n\
             [Strings]\nV=\"Somebody\"\nD=\"A controller\"\n"
        )
}

fn network() -> String {
    head("Net", "4D36E972-E325-11CE-BFC1-08002BE10318", "netkvm")
        + "[M.NTamd64]\n%D%=I,PCI\\VEN_1AF4&DEV_1000\n%D%=I,PCI\\VEN_1AF4&DEV_1041\n\n[F]\nnetkvm.sys,,,2\n\n\
           [I]\nCharacteristics=0x84\nCopyFiles=F\n\n[I.Services]\nAddService=netkvm,0x00000002,S\n\n\
           [S]\nServiceType=1\nStartType=3\nErrorControl=1\nServiceBinary=%12%\\netkvm.sys\nLoadOrderGroup=NDIS\n\n\
           [Strings]\nV=\"Somebody\"\nD=\"An adapter\"\n"
}

/// The file that describes the machine at its source; `None` for sources that say nothing.
pub(crate) fn machine(bench: &Bench, recipe: &Recipe) -> Option<&'static str> {
    if recipe.name.contains("vmware") {
        bench.write("machine.vmx", vmx(recipe));
        return Some("machine.vmx");
    }
    recipe.source.is_aws().then(|| {
        bench.write("machine.json", instances(recipe));
        "machine.json"
    })
}

/// What `aws ec2 describe-instances` prints, as far as it is read.
fn instances(recipe: &Recipe) -> String {
    let adapters = recipe.adapters.iter().enumerate().map(|(number, adapter)| {
        let own = match adapter.address {
            Address::Static { addresses, .. } => addresses,
            Address::Dhcp { ref leased, .. } => std::slice::from_ref(leased),
        };
        let each = own
            .iter()
            .map(|address| serde_json::json!({"Primary": *address == own[0], "PrivateIpAddress": address}));
        serde_json::json!({
            "MacAddress": format!("02:aa:bb:cc:dd:{number:02x}"),
            "Attachment": {"DeviceIndex": number, "Status": "attached"},
            "PrivateIpAddress": own[0],
            "PrivateIpAddresses": each.collect::<Vec<_>>(),
            "SubnetId": "subnet-0a1b2c3d4e5f60718",
        })
    });
    serde_json::json!({"Reservations": [{"Instances": [{
        "InstanceId": "i-0123456789abcdef0",
        "InstanceType": "t3.large",
        "Architecture": "x86_64",
        "Hypervisor": "xen",
        "VirtualizationType": "hvm",
        "BootMode": if recipe.is_uefi() { "uefi" } else { "legacy-bios" },
        "PlatformDetails": "Windows",
        "RootDeviceName": "/dev/sda1",
        "RootDeviceType": "ebs",
        "BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": {"Status": "attached", "VolumeId": "vol-0123456789abcdef0"}}],
        "CpuOptions": {"CoreCount": 1, "ThreadsPerCore": 2},
        "NetworkInterfaces": adapters.collect::<Vec<_>>(),
        "Tags": [{"Key": "Name", "Value": "shop"}],
    }]}]})
    .to_string()
}

fn vmx(recipe: &Recipe) -> String {
    let firmware = if recipe.is_uefi() { "firmware = \"efi\"\n" } else { "" };
    let mut text = format!(
        ".encoding = \"UTF-8\"\nconfig.version = \"8\"\nvirtualHW.version = \"13\"\ndisplayName = \"shop\"\n\
         guestOS = \"windows9srv-64\"\n{firmware}numvcpus = \"2\"\nmemSize = \"8192\"\nscsi0.present = \"TRUE\"\n\
         scsi0:0.present = \"TRUE\"\nscsi0:0.fileName = \"disk0.raw\"\nscsi0:0.deviceType = \"scsi-hardDisk\"\n"
    );
    for number in 0..recipe.adapters.len() {
        text += &format!(
            "ethernet{number}.present = \"TRUE\"\nethernet{number}.virtualDev = \"vmxnet3\"\n\
             ethernet{number}.networkName = \"VM Network\"\nethernet{number}.addressType = \"static\"\n\
             ethernet{number}.address = \"00:50:56:01:02:{number:02x}\"\n"
        );
    }
    text
}
