//! OVF envelopes: read as two products write them, written, and read again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod machines;

use std::process::Command;

use driver_machine::ovf::{Digested, definition, machine_from_ovf, manifest};
use driver_machine::{
    Architecture, Bus, Clock, Dialect, DiskBus, DiskSource, FirmwareKind, Machine, MachineErrorKind,
    NicModel, OsFamily, Tpm, Warning, detect, read_documents,
};
use machines::{HOSTILE, codes, golden, hostile, hostile_files, kept, machine, options};
use proptest::prelude::*;

/// As vCenter exports it, shortened. Written for these tests.
const VMWARE: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!-- exported -->
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
  xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
  xmlns:vmw="http://www.vmware.com/schema/ovf" xmlns:vssd="urn:vssd">
  <References>
    <File ovf:href="web%20server-disk1.vmdk" ovf:id="file1" ovf:size="1000"/>
    <File ovf:href="data.vmdk" ovf:id="file2"/>
  </References>
  <DiskSection>
    <Info>disks</Info>
    <Disk ovf:capacity="50" ovf:capacityAllocationUnits="byte * 2^30" ovf:diskId="vmdisk1" ovf:fileRef="file1"/>
    <Disk ovf:capacity="${size}" ovf:capacityAllocationUnits="byte * 2^20" ovf:diskId="vmdisk2" ovf:fileRef="file2"/>
  </DiskSection>
  <NetworkSection><Info>nets</Info><Network ovf:name="PG-60"/></NetworkSection>
  <VirtualSystem ovf:id="web">
    <Info>one</Info>
    <Name>web server</Name>
    <AnnotationSection><Info>n</Info><Annotation>two
      lines</Annotation></AnnotationSection>
    <OperatingSystemSection ovf:id="103" vmw:osType="windows7Server64Guest">
      <Info>os</Info><Description>Microsoft Windows Server 2008 R2 (64-bit)</Description>
    </OperatingSystemSection>
    <ProductSection><Info>p</Info><Property ovf:key="size" ovf:type="int" ovf:value="100"/></ProductSection>
    <VirtualHardwareSection>
      <Info>hw</Info>
      <System><vssd:VirtualSystemType>vmx-10</vssd:VirtualSystemType></System>
      <Item><rasd:AllocationUnits>hertz * 10^6</rasd:AllocationUnits><rasd:InstanceID>1</rasd:InstanceID>
        <rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>4</rasd:VirtualQuantity>
        <vmw:CoresPerSocket ovf:required="false">2</vmw:CoresPerSocket></Item>
      <Item><rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits><rasd:InstanceID>2</rasd:InstanceID>
        <rasd:ResourceType>4</rasd:ResourceType><rasd:VirtualQuantity>1024</rasd:VirtualQuantity></Item>
      <Item><rasd:Address>0</rasd:Address><rasd:InstanceID>3</rasd:InstanceID>
        <rasd:ResourceSubType>lsilogicsas</rasd:ResourceSubType><rasd:ResourceType>6</rasd:ResourceType></Item>
      <Item><rasd:AddressOnParent>1</rasd:AddressOnParent><rasd:HostResource>ovf:/disk/vmdisk2</rasd:HostResource>
        <rasd:InstanceID>10</rasd:InstanceID><rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>
      <Item><rasd:AddressOnParent>0</rasd:AddressOnParent><rasd:HostResource>ovf:/disk/vmdisk1</rasd:HostResource>
        <rasd:InstanceID>9</rasd:InstanceID><rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>
      <Item><rasd:AutomaticAllocation>true</rasd:AutomaticAllocation><rasd:Connection>PG-60</rasd:Connection>
        <rasd:InstanceID>11</rasd:InstanceID><rasd:ResourceSubType>E1000</rasd:ResourceSubType>
        <rasd:ResourceType>10</rasd:ResourceType></Item>
      <!-- more -->
      <vmw:Config ovf:required="false" vmw:key="firmware" vmw:value="efi"/>
      <vmw:Config ovf:required="false" vmw:key="bootOptions.efiSecureBootEnabled" vmw:value="true"/>
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
"#;

/// As VirtualBox 7 exports it in version 2 of the format, shortened. Written for these tests.
const VIRTUALBOX: &str = r#"<?xml version="1.0"?>
<Envelope ovf:version="2.0" xml:lang="en-US" xmlns="http://schemas.dmtf.org/ovf/envelope/2"
  xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/2" xmlns:rasd="urn:rasd" xmlns:sasd="urn:sasd.xsd"
  xmlns:epasd="urn:epasd.xsd" xmlns:vssd="urn:vssd" xmlns:vbox="http://www.virtualbox.org/ovf/machine">
  <References><File ovf:id="file1" ovf:href="deb-disk001.vmdk"/></References>
  <DiskSection><Info>d</Info>
    <Disk ovf:capacity="8589934592" ovf:diskId="vmdisk1" ovf:fileRef="file1" vbox:uuid="4e3c"/></DiskSection>
  <VirtualSystem ovf:id="deb">
    <OperatingSystemSection ovf:id="96"><Info>o</Info><Description>Debian_64</Description>
      <vbox:OSType ovf:required="false">Debian_64</vbox:OSType></OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>h</Info>
      <System><vssd:VirtualSystemType>virtualbox-2.2</vssd:VirtualSystemType></System>
      <Item><rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>3</rasd:ResourceType>
        <rasd:VirtualQuantity>2</rasd:VirtualQuantity></Item>
      <Item><rasd:AllocationUnits>MegaBytes</rasd:AllocationUnits><rasd:InstanceID>2</rasd:InstanceID>
        <rasd:ResourceType>4</rasd:ResourceType><rasd:VirtualQuantity>2048</rasd:VirtualQuantity></Item>
      <Item><rasd:Address>0</rasd:Address><rasd:InstanceID>3</rasd:InstanceID>
        <rasd:ResourceSubType>AHCI</rasd:ResourceSubType><rasd:ResourceType>20</rasd:ResourceType></Item>
      <StorageItem><sasd:AddressOnParent>0</sasd:AddressOnParent><sasd:HostResource>/disk/vmdisk1</sasd:HostResource>
        <sasd:InstanceID>6</sasd:InstanceID><sasd:Parent>3</sasd:Parent><sasd:ResourceType>17</sasd:ResourceType>
      </StorageItem>
      <EthernetPortItem><epasd:Connection>NAT</epasd:Connection><epasd:InstanceID>7</epasd:InstanceID>
        <epasd:ResourceSubType>E1000</epasd:ResourceSubType><epasd:ResourceType>10</epasd:ResourceType>
      </EthernetPortItem>
    </VirtualHardwareSection>
    <vbox:Machine ovf:required="false" version="1.19-linux" uuid="{0cc19ee9-dbb3-4e19-a4da-8c1911046394}" name="deb">
      <ovf:Info>c</ovf:Info>
      <Hardware>
        <Firmware type="EFI"/>
        <Network>
          <Adapter slot="1" MACAddress="080027FFFFFF" type="82540EM"/>
          <Adapter slot="0" enabled="true" MACAddress="0800279C1AB2" type="82540EM"><NAT/></Adapter>
        </Network>
        <RTC localOrUTC="UTC"/>
      </Hardware>
    </vbox:Machine>
  </VirtualSystem>
</Envelope>
"#;

fn read(text: &str) -> (Machine, Vec<Warning>) {
    machine_from_ovf(text, None).unwrap()
}

fn disks(machine: &Machine) -> Vec<(&str, Bus, Option<u64>, DiskSource)> {
    machine
        .disks
        .iter()
        .map(|disk| (disk.id.as_str(), disk.bus, disk.size_bytes, disk.source.clone()))
        .collect()
}

#[test]
fn vmwares_flavour_arrives() {
    let (machine, warnings) = read(VMWARE);
    assert_eq!((machine.name.as_str(), machine.notes.as_deref()), ("web server", Some("two lines")));
    assert_eq!((machine.firmware.kind, machine.firmware.secure_boot), (FirmwareKind::Uefi, Some(true)));
    let topology = machine.cpu.topology.unwrap();
    assert_eq!((machine.cpu.count, topology.sockets, topology.cores, machine.memory_mib), (4, 2, 2, 1024));
    let file = |name: &str| DiskSource::File(name.into());
    assert_eq!(
        disks(&machine),
        [
            ("vmdisk1", Bus::Scsi, Some(50 << 30), file("web server-disk1.vmdk")),
            ("vmdisk2", Bus::Scsi, Some(100 << 20), file("data.vmdk")),
        ]
    );
    assert!(machine.disks[0].boot && !machine.disks[1].boot);
    assert_eq!(machine.nics.len(), 1);
    assert_eq!(
        (machine.nics[0].network.as_deref(), machine.nics[0].model.as_deref()),
        (Some("PG-60"), Some("E1000"))
    );
    assert_eq!((machine.os.as_ref().unwrap().family, machine.clock), (OsFamily::Windows, Clock::Local));
    assert_eq!(codes(&warnings), ["ovf-properties"]);
    assert_eq!(Machine::from_json(&machine.to_json().unwrap()).unwrap(), machine);
}

#[test]
fn virtualboxes_flavour_arrives() {
    let (machine, warnings) = read(VIRTUALBOX);
    assert_eq!(
        (machine.name.as_str(), machine.architecture, machine.clock),
        ("deb", Architecture::X86_64, Clock::Utc)
    );
    assert_eq!((machine.firmware.kind, machine.firmware.secure_boot), (FirmwareKind::Uefi, None));
    assert_eq!((machine.cpu.count, machine.memory_mib), (2, 2048));
    assert_eq!(
        disks(&machine),
        [("vmdisk1", Bus::Sata, Some(8 << 30), DiskSource::File("deb-disk001.vmdk".into()))]
    );
    assert_eq!(machine.nics[0].mac.unwrap().to_string(), "08:00:27:9c:1a:b2");
    assert_eq!(machine.uuid.unwrap().to_string(), "0cc19ee9-dbb3-4e19-a4da-8c1911046394");
    assert_eq!(machine.os.as_ref().unwrap().family, OsFamily::Linux);
    assert_eq!(codes(&warnings), Vec::<&str>::new());
}

#[test]
fn the_text_is_recognised_in_every_encoding() {
    assert_eq!(detect(VMWARE).unwrap(), Dialect::Ovf);
    assert_eq!(detect("<ovf:Envelope/>").unwrap(), Dialect::Ovf);
    let error = detect("<?xml version='1.0'?><a:VirtualBox/>").unwrap_err().to_string();
    assert!(error.contains("XML with the root element \"VirtualBox\""), "{error}");
    let wide: Vec<u8> =
        [0xff, 0xfe].into_iter().chain(VMWARE.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    assert_eq!(read_documents(&[&wide], None).unwrap(), read(VMWARE));
    assert!(read_documents(&[VMWARE.as_bytes(), VMWARE.as_bytes()], None).is_err());
}

#[test]
fn several_machines_need_a_choice() {
    let system = &VMWARE[VMWARE.find("<VirtualSystem").unwrap()..VMWARE.find("</Envelope>").unwrap()];
    let second = system.replace("ovf:id=\"web\"", "ovf:id=\"db\"").replace("web server", "db server");
    let both = VMWARE.replace(
        system,
        &format!("<VirtualSystemCollection ovf:id=\"v\">{system}{second}</VirtualSystemCollection>"),
    );
    assert_eq!(machine_from_ovf(&both, Some("db")).unwrap().0.name, "db server");
    assert_eq!(machine_from_ovf(&both, Some("web")).unwrap().0.name, "web server");
    for wanted in [None, Some("mail")] {
        let error = machine_from_ovf(&both, wanted).unwrap_err();
        assert_eq!(error.kind(), MachineErrorKind::Choice);
        assert!(error.to_string().ends_with("instances in the documents: \"web\", \"db\""), "{error}");
    }
}

#[test]
fn what_is_not_taken_over_is_a_warning() {
    let item = |fields: &str| format!("<Item><rasd:InstanceID>77</rasd:InstanceID>{fields}</Item>");
    let of_type = |number: u32, sub: &str| {
        item(&format!(
            "<rasd:ResourceSubType>{sub}</rasd:ResourceSubType><rasd:ResourceType>{number}</rasd:ResourceType>"
        ))
    };
    let marker = "<!-- more -->";
    for (text, code) in [
        (of_type(15, "vmware.cdrom.iso"), "ovf-cdrom"),
        (of_type(14, "vmware.floppy.device"), "ovf-floppy"),
        (of_type(21, "vmware.serialport.uri"), "ovf-serial"),
        (of_type(22, ""), "ovf-parallel"),
        (of_type(35, "vmware.soundcard.hdaudio"), "ovf-sound"),
        (of_type(1, "vmware.pci.passthrough"), "ovf-passthrough"),
        (of_type(1, "vmware.scsi.passthrough"), "ovf-passthrough"),
        (of_type(1, "vmware.vtpm"), "ovf-tpm"),
        (of_type(1, "vmware.nvdimm.device"), "ovf-nvdimm"),
        (of_type(99, ""), "ovf-item"),
        (of_type(17, ""), "ovf-empty-disk"),
        (
            "<Item ovf:configuration=\"big\"><rasd:ResourceType>3</rasd:ResourceType></Item>".into(),
            "ovf-configuration",
        ),
    ] {
        let (_, warnings) = read(&VMWARE.replace(marker, &text));
        let found = codes(&warnings);
        assert!(found.contains(&code), "{text}: {found:?}");
    }
    for silent in [of_type(1, "vmware.vmci"), of_type(24, ""), of_type(23, "vmware.usb.ehci"), of_type(5, "")]
    {
        assert_eq!(read(&VMWARE.replace(marker, &silent)).1, read(VMWARE).1, "{silent}");
    }
    for (from, to, code) in [
        ("ovf:id=\"file1\"", "ovf:id=\"file1\" ovf:compression=\"gzip\"", "ovf-compressed"),
        ("ovf:id=\"file1\"", "ovf:id=\"file1\" ovf:chunkSize=\"5\"", "ovf-chunked"),
        ("\"data.vmdk\"", "\"http://host/data.vmdk\"", "ovf-remote-file"),
        ("\"data.vmdk\"", "\"../data.vmdk\"", "ovf-disk-elsewhere"),
        ("ovf:diskId=\"vmdisk2\"", "ovf:diskId=\"vmdisk2\" ovf:parentRef=\"vmdisk1\"", "ovf-delta-disk"),
        ("${size}", "${none}", "ovf-capacity-unknown"),
        ("ovf:value=\"100\"", "ovf:value=\"\"", "ovf-capacity-unknown"),
        ("byte * 2^20\" ovf:diskId", "byte\" ovf:diskId", "ovf-capacity-unknown"),
        ("<NetworkSection>", "<x:FooSection xmlns:x=\"u\"/><NetworkSection>", "ovf-section"),
        ("<rasd:AutomaticAllocation>true", "<rasd:AutomaticAllocation>false", "ovf-nic-disconnected"),
        ("<Name>web server</Name>", "<Name>&#x202e;</Name>", "ovf-name"),
        ("<rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits>", "", "ovf-memory-units-guessed"),
    ] {
        let changed = VMWARE.replacen(from, to, 1);
        assert_ne!(changed, VMWARE, "{from}");
        assert!(codes(&read(&changed).1).contains(&code), "{to}");
    }
    let unknown = VMWARE.replace("vmx-10", "xen-3").replace("vmw:key=\"firmware\"", "vmw:key=\"other\"");
    assert!(codes(&read(&unknown).1).contains(&"ovf-firmware-guessed"));
    for (from, to, code) in [
        ("name=\"deb\">", "name=\"deb\" stateFile=\"a.sav\">", "ovf-suspended"),
        ("<ovf:Info>c</ovf:Info>", "<Snapshot/>", "ovf-snapshot"),
        ("<RTC", "<TrustedPlatformModule type=\"v2_0\"/><RTC", "ovf-tpm"),
        ("<RTC", "<UART><Port slot=\"0\" enabled=\"true\"/></UART><RTC", "ovf-serial"),
        ("slot=\"1\"", "slot=\"1\" enabled=\"true\"", "ovf-mac"),
        ("uuid=\"{0cc", "uuid=\"{zcc", "ovf-uuid"),
    ] {
        assert_eq!(codes(&read(&VIRTUALBOX.replacen(from, to, 1)).1), [code], "{to}");
    }
}

#[test]
fn a_tpm_is_seen_in_both_flavours() {
    let item = "<Item><rasd:InstanceID>77</rasd:InstanceID><rasd:ResourceSubType>vmware.vtpm</rasd:ResourceSubType>\
                <rasd:ResourceType>1</rasd:ResourceType></Item>";
    assert_eq!(read(&VMWARE.replace("<!-- more -->", item)).0.tpm, Some(Tpm::V2_0));
    for (kind, tpm) in [("v1_2", Some(Tpm::V1_2)), ("v2_0", Some(Tpm::V2_0)), ("None", None)] {
        let element = format!("<TrustedPlatformModule type=\"{kind}\"/><RTC");
        assert_eq!(read(&VIRTUALBOX.replace("<RTC", &element)).0.tpm, tpm);
    }
}

#[test]
fn contradictions_are_refused() {
    for (from, to, wanted) in [
        ("envelope/1", "envelope/7", "possible are versions 1 and 2"),
        (
            "http://schemas.dmtf.org/ovf/envelope/1",
            "http://www.vmware.com/schema/ovf/1/envelope",
            "version 0.9",
        ),
        ("ovf:id=\"file2\"", "ovf:id=\"file1\"", "two Files have the id \"file1\""),
        ("ovf:diskId=\"vmdisk2\"", "ovf:diskId=\"vmdisk1\"", "two Disks have the id \"vmdisk1\""),
        ("ovf:fileRef=\"file2\"", "ovf:fileRef=\"file9\"", "names no File: \"file9\""),
        ("/disk/vmdisk2", "/disk/vmdisk9", "which is no Disk"),
        ("capacity=\"50\"", "capacity=\"-50\"", "capacity \"-50\" is no size"),
        ("capacity=\"50\"", "capacity=\"18446744073709551615\"", "is no size"),
        ("byte * 2^30", "furlong", "capacityAllocationUnits \"furlong\" is not known"),
        ("<rasd:InstanceID>11", "<rasd:InstanceID>10", "two items have the InstanceID \"10\""),
        (
            "<rasd:VirtualQuantity>1024",
            "<rasd:VirtualQuantity>many",
            "VirtualQuantity of the memory is \"many\"",
        ),
        ("vmw:value=\"efi\"", "vmw:value=\"open\"", "firmware is \"open\", possible are bios and efi"),
        ("ovf:href=\"data.vmdk\" ", "", "File \"file2\" has no href"),
        ("<rasd:ResourceType>10</rasd:ResourceType>", "", "has no ResourceType"),
        ("VirtualHardwareSection", "OtherSection", "has no VirtualHardwareSection"),
    ] {
        let error = machine_from_ovf(&VMWARE.replace(from, to), None).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn hostile_xml_ends_in_an_error_at_once() {
    let body = |inner: &str| VMWARE.replace("<!-- more -->", inner);
    let namespaces = |count: usize| (0..count).map(|n| format!("<a xmlns:n{n}=\"u\">")).collect::<String>();
    let attributes: String = (0..100_000).map(|n| format!(" a{n}= \"\"")).collect();
    let bomb = "<!DOCTYPE Envelope [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">]>";
    let systems = "<VirtualSystem ovf:id=\"x\"/>".repeat(200_000);
    for text in [
        VMWARE.replace("<!-- exported -->", bomb),
        VMWARE.replace("<!-- exported -->", "<!DOCTYPE a SYSTEM \"file:///etc/passwd\">"),
        body(&"<a>".repeat(1_000_000)),
        body(&format!("{}{}", "<a>".repeat(1_000_000), "</a>".repeat(1_000_000))),
        body(&namespaces(100_000)),
        body(&format!("<a{attributes}/>")),
        body(&"<a/>".repeat(1_000_000)),
        body(&"=\"".repeat(3_000_000)),
        VMWARE.replace("<VirtualSystem ovf:id", &format!("{systems}<VirtualSystem ovf:id")),
        VMWARE.replace("</Envelope>", &" ".repeat(10 << 20)),
        VMWARE.replace("web server", "web\u{0}server"),
        VMWARE.replace("</Envelope>", ""),
        "<Envelope".into(),
        "<!--".repeat(1_000_000),
    ] {
        let started = std::time::Instant::now();
        let error = machine_from_ovf(&text, None).unwrap_err();
        assert!(read_documents(&[text.as_bytes()], None).is_err());
        assert!(started.elapsed().as_secs() < 2, "{:?}: {error}", started.elapsed());
        assert!(!error.to_string().chars().any(char::is_control));
    }
}

fn well_formed(text: &str) {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let name = format!("{}-{:x}.ovf", std::process::id(), text.len() ^ (text.as_ptr() as usize));
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    let judge = Command::new("xmllint").args(["--noout", "--nonet"]).arg(&path).output().unwrap();
    assert!(judge.status.success(), "{}", String::from_utf8_lossy(&judge.stderr));
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn golden_files() {
    let web = machine("web", 2);
    let made = definition(&web, &options(&web, "vmdk", DiskBus::Pvscsi, NicModel::Vmxnet3)).unwrap();
    golden("pvscsi.ovf", &made.text);
    assert_eq!(made.file_name, "web.ovf");
    assert_eq!(codes(&made.warnings), ["ovf-mac", "ovf-uuid"]);
    let mut bios = machine("old", 3);
    bios.firmware = driver_machine::Firmware { kind: FirmwareKind::Bios, secure_boot: None };
    bios.nics = vec![driver_machine::Nic::default()];
    bios.uuid = None;
    bios.cpu.topology = None;
    bios.os = None;
    let mut given = options(&bios, "vmdk", DiskBus::Ide, NicModel::E1000);
    given.disks[1].file = "a b.vmdk".into();
    let made = definition(&bios, &given).unwrap();
    golden("ide_bios.ovf", &made.text);
    assert_eq!(codes(&made.warnings), ["ovf-file-name", "ovf-no-network"]);
}

#[test]
fn what_is_written_is_well_formed_and_read_again() {
    for bus in
        [DiskBus::Pvscsi, DiskBus::LsiLogic, DiskBus::LsiSas, DiskBus::Sata, DiskBus::Nvme, DiskBus::Ide]
    {
        for index in 0..HOSTILE.len() {
            let source = hostile(index);
            let given = hostile_files(&source, options(&source, "vmdk", bus, NicModel::Vmxnet3), index);
            let made = definition(&source, &given).unwrap();
            well_formed(&made.text);
            let (again, warnings) = read(&made.text);
            assert_eq!(kept(&again), kept(&source), "{bus:?} {index}");
            assert_eq!(warnings, []);
            for (disk, file) in again.disks.iter().zip(&given.disks) {
                assert_eq!(disk.source, DiskSource::File(file.file.clone()));
                assert_eq!(disk.size_bytes, Some(file.size_bytes));
            }
            assert_eq!(again.nics[0].mac, source.nics[0].mac);
            let again_given = hostile_files(&again, options(&again, "vmdk", bus, NicModel::Vmxnet3), index);
            assert_eq!(read(&definition(&again, &again_given).unwrap().text).0, again);
        }
    }
}

#[test]
fn what_xml_cannot_hold_is_unsupported() {
    for name in ["a\u{ffff}b", "a\u{fffe}b"] {
        let source = machine(name, 1);
        let error =
            definition(&source, &options(&source, "vmdk", DiskBus::Sata, NicModel::E1000)).unwrap_err();
        assert_eq!(error.kind(), MachineErrorKind::Unsupported);
    }
}

#[test]
fn a_manifest_lists_the_digests() {
    let files = [
        Digested { file: "web.ovf".into(), sha256: [0xab; 32] },
        Digested { file: "web (1).vmdk".into(), sha256: [1; 32] },
    ];
    let wanted = format!("SHA256(web.ovf)= {}\nSHA256(web (1).vmdk)= {}\n", "ab".repeat(32), "01".repeat(32));
    assert_eq!(manifest(&files).unwrap(), wanted);
    assert!(manifest(&[Digested { file: "a\nSHA256(b".into(), sha256: [0; 32] }]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_name_survives(name in "[!-~é‘🖥<>&]([ -~é‘🖥<>&]{0,40}[!-~é])?") {
        let source = machine(&name, 1);
        let made = definition(&source, &options(&source, "vmdk", DiskBus::Sata, NicModel::E1000)).unwrap();
        prop_assert_eq!(read(&made.text).0.name, name);
    }

    #[test]
    fn a_changed_envelope_never_panics(at in 0..VMWARE.len(), cut in 0..40_usize, text in "[ -~]{0,12}") {
        let mut bytes = VMWARE.as_bytes().to_vec();
        let end = (at + cut).min(bytes.len());
        bytes.splice(at..end, text.bytes());
        let _ = read_documents(&[&bytes], None);
    }
}
