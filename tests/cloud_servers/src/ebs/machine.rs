//! What EC2 says of the machine whose disk the snapshots are of.

use super::{INSTANCE, State};
use crate::stub::{Ask, Reply, reply};

const VOLUME: &str = "vol-0123456789abcdef0";
const IMAGE: &str = "ami-0123456789abcdef0";

const INSTANCES: &str = "<DescribeInstancesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>r</requestId>\
    <reservationSet><item><reservationId>r-1</reservationId><ownerId>123456789012</ownerId><groupSet/><instancesSet><item>\
    <instanceId>i-0123456789abcdef0</instanceId><imageId>ami-0123456789abcdef0</imageId>\
    <instanceState><code>80</code><name>stopped</name></instanceState><privateDnsName>ip-10-0-0-7.internal</privateDnsName>\
    <instanceType>t3.small</instanceType><placement><availabilityZone>eu-west-1a</availabilityZone><tenancy>default</tenancy></placement>\
    <subnetId>subnet-0a1b2c3d</subnetId><vpcId>vpc-0a1b2c3d</vpcId><architecture>x86_64</architecture>\
    <rootDeviceType>ebs</rootDeviceType><rootDeviceName>/dev/xvda</rootDeviceName>\
    <blockDeviceMapping><item><deviceName>/dev/xvda</deviceName><ebs><volumeId>vol-0123456789abcdef0</volumeId><status>attached</status>\
    <deleteOnTermination>true</deleteOnTermination></ebs></item></blockDeviceMapping>\
    <networkInterfaceSet><item><networkInterfaceId>eni-0a1b2c3d</networkInterfaceId><subnetId>subnet-0a1b2c3d</subnetId>\
    <vpcId>vpc-0a1b2c3d</vpcId><macAddress>06:3f:9a:52:c4:1d</macAddress><sourceDestCheck>true</sourceDestCheck>\
    <attachment><deviceIndex>0</deviceIndex><networkCardIndex>0</networkCardIndex></attachment><interfaceType>interface</interfaceType>\
    <privateIpAddressesSet><item><privateIpAddress>10.0.0.7</privateIpAddress><primary>true</primary></item></privateIpAddressesSet>\
    </item></networkInterfaceSet><tagSet><item><key>Name</key><value>web01</value></item></tagSet><enaSupport>true</enaSupport>\
    <cpuOptions><coreCount>1</coreCount><threadsPerCore>2</threadsPerCore></cpuOptions>\
    <platformDetails>Linux/UNIX</platformDetails><currentInstanceBootMode>legacy-bios</currentInstanceBootMode>\
    </item></instancesSet></item></reservationSet></DescribeInstancesResponse>";

impl State {
    pub(super) fn ec2(&mut self, ask: &Ask) -> Reply {
        assert_eq!(ask.query("Version").as_deref(), Some("2016-11-15"));
        let about = |name: &str| ask.query(name).unwrap_or_else(|| panic!("no {name} in {}", ask.target));
        let missing = |code: &str| {
            let text = format!("<Response><Errors><Error><Code>{code}</Code></Error></Errors></Response>");
            reply(400, &[], text)
        };
        let body = match about("Action").as_str() {
            "DeleteSnapshot" => {
                let gone = self.snapshots.remove(&about("SnapshotId")).unwrap();
                assert!(gone.looks.is_none(), "only what was never complete may be deleted");
                self.add_one("deleted");
                "<DeleteSnapshotResponse><return>true</return></DeleteSnapshotResponse>".to_owned()
            }
            "DescribeSnapshots" => return self.state(&about("SnapshotId.1")),
            "DescribeInstances" if about("InstanceId.1") == INSTANCE => INSTANCES.to_owned(),
            "DescribeInstances" => return missing("InvalidInstanceID.NotFound"),
            "DescribeVolumes" => {
                assert_eq!(about("VolumeId.1"), VOLUME);
                format!(
                    "<DescribeVolumesResponse><volumeSet><item><volumeId>{VOLUME}</volumeId><size>1</size>\
                     <encrypted>false</encrypted></item></volumeSet></DescribeVolumesResponse>"
                )
            }
            "DescribeImages" => {
                assert_eq!(about("ImageId.1"), IMAGE);
                // The image of an old machine is often gone.
                return missing("InvalidAMIID.NotFound");
            }
            "DescribeInstanceTypes" => {
                assert_eq!(about("InstanceType.1"), "t3.small");
                "<DescribeInstanceTypesResponse><instanceTypeSet><item><instanceType>t3.small</instanceType><hypervisor>nitro</hypervisor>\
                 <vCpuInfo><defaultVCpus>2</defaultVCpus></vCpuInfo><memoryInfo><sizeInMiB>2048</sizeInMiB></memoryInfo>\
                 </item></instanceTypeSet></DescribeInstanceTypesResponse>"
                    .to_owned()
            }
            other => panic!("{other}"),
        };
        reply(200, &[], body)
    }
}
