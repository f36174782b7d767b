//! From the XML of EC2 to the JSON that AWS's command line makes of it.

use crate::xml;
use format_core::{Error, Result};
use roxmltree::Node;
use serde_json::{Map, Value};

/// Deeper than any answer is.
const MAX_DEPTH: u32 = 24;

/// Lists, with their names in JSON. In XML a list is an element whose children are called `item`.
const LISTS: [(&str, &str); 17] = [
    ("attachmentSet", "Attachments"),
    ("blockDeviceMapping", "BlockDeviceMappings"),
    ("groupSet", "SecurityGroups"),
    ("imagesSet", "Images"),
    ("instancesSet", "Instances"),
    ("instanceTypeSet", "InstanceTypes"),
    ("ipv6AddressesSet", "Ipv6Addresses"),
    ("networkInterfaceSet", "NetworkInterfaces"),
    ("privateIpAddressesSet", "PrivateIpAddresses"),
    ("productCodes", "ProductCodes"),
    ("reservationSet", "Reservations"),
    ("snapshotSet", "Snapshots"),
    ("tagSet", "Tags"),
    ("volumeSet", "Volumes"),
    ("gpus", "Gpus"),
    ("disks", "Disks"),
    ("supportedBootModes", "SupportedBootModes"),
];

/// Other names than the first letter alone would make.
const NAMES: [(&str, &str); 6] = [
    ("instanceState", "State"),
    ("imageState", "State"),
    ("status", "State"),
    ("dnsName", "PublicDnsName"),
    ("ipAddress", "PublicIpAddress"),
    ("productCode", "ProductCodeId"),
];

/// Elements that have fields, and may have none of them: what reads the JSON expects no text there.
const STRUCTURES: [&str; 14] = [
    "association",
    "attachment",
    "cpuOptions",
    "ebs",
    "enclaveOptions",
    "gpuInfo",
    "hibernationOptions",
    "iamInstanceProfile",
    "instanceState",
    "memoryInfo",
    "metadataOptions",
    "monitoring",
    "placement",
    "vCpuInfo",
];

/// Leaves that are numbers.
const NUMBERS: [&str; 16] = [
    "amiLaunchIndex",
    "code",
    "coreCount",
    "count",
    "defaultCores",
    "defaultThreadsPerCore",
    "defaultVCpus",
    "deviceIndex",
    "iops",
    "networkCardIndex",
    "size",
    "sizeInGB",
    "sizeInMiB",
    "threadsPerCore",
    "throughput",
    "volumeSize",
];

/// Leaves that are true or false.
const TRUTHS: [&str; 17] = [
    "bareMetal",
    "configured",
    "currentGeneration",
    "deleteOnTermination",
    "ebsOptimized",
    "enabled",
    "enaSupport",
    "encrypted",
    "fastRestored",
    "hibernationSupported",
    "instanceStorageSupported",
    "isPublic",
    "isPrimaryIpv6",
    "multiAttachEnabled",
    "primary",
    "sourceDestCheck",
    "autoRecoverySupported",
];

/// The JSON of a Describe answer.
///
/// # Errors
/// `Io` where it is no XML, or deeper than any answer is.
pub fn to_json(body: &[u8]) -> Result<Value> {
    let text = std::str::from_utf8(body).map_err(|_| xml::wrong("the answer of EC2 is no text"))?;
    let document = xml::parse(text)?;
    let mut value = object(document.root_element(), 0)?;
    if let Some(fields) = value.as_object_mut() {
        fields.remove("RequestId");
    }
    Ok(value)
}

fn object(node: Node<'_, '_>, depth: u32) -> Result<Value> {
    if depth > MAX_DEPTH {
        return Err(too_deep());
    }
    let mut fields = Map::new();
    for child in node.children().filter(Node::is_element) {
        let name = child.tag_name().name();
        let value = field(child, name, depth + 1)?;
        fields.insert(json_name(child), value);
    }
    Ok(Value::Object(fields))
}

fn field(node: Node<'_, '_>, name: &str, depth: u32) -> Result<Value> {
    if depth > MAX_DEPTH {
        return Err(too_deep());
    }
    let mut items = node.children().filter(Node::is_element).peekable();
    let is_list = LISTS.iter().any(|(list, _)| *list == name)
        || items.peek().is_some_and(|first| first.tag_name().name() == "item");
    if is_list {
        let items =
            items.map(|item| if is_leaf(item) { Ok(leaf(item, "")) } else { object(item, depth + 1) });
        return Ok(Value::Array(items.collect::<Result<_>>()?));
    }
    let is_text = is_leaf(node) && !STRUCTURES.contains(&name);
    if is_text { Ok(leaf(node, name)) } else { object(node, depth + 1) }
}

fn is_leaf(node: Node<'_, '_>) -> bool {
    !node.children().any(|child| child.is_element())
}

fn leaf(node: Node<'_, '_>, name: &str) -> Value {
    let text = node.text().unwrap_or_default();
    let number = || NUMBERS.contains(&name).then(|| text.trim().parse::<u64>().ok()).flatten();
    match (text.trim(), TRUTHS.contains(&name)) {
        ("true", true) => Value::Bool(true),
        ("false", true) => Value::Bool(false),
        _ => number().map_or_else(|| Value::String(text.to_owned()), Value::from),
    }
}

/// The name of a field; that of a list depends on where it is: the groups of an interface are called otherwise than the machine's.
fn json_name(node: Node<'_, '_>) -> String {
    let name = node.tag_name().name();
    let is_interface =
        || node.parent().is_some_and(|parent| xml::child(parent, "networkInterfaceId").is_some());
    if name == "groupSet"
        && (is_interface()
            || node.parent().is_some_and(|parent| xml::child(parent, "reservationId").is_some()))
    {
        return "Groups".into();
    }
    // The state of an attachment and of a volume is called status as well; only a snapshot's is not a word of its own.
    let is_snapshot = node.parent().is_some_and(|parent| xml::child(parent, "progress").is_some());
    let known = NAMES.iter().find(|(xml, _)| *xml == name && (*xml != "status" || is_snapshot));
    if let Some((_, json)) = LISTS.iter().find(|(xml, _)| *xml == name).or(known) {
        return (*json).to_owned();
    }
    let bare = name.strip_suffix("Set").filter(|bare| !bare.is_empty()).unwrap_or(name);
    let mut letters = bare.chars();
    letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
}

fn too_deep() -> Error {
    xml::wrong(format!("the answer of EC2 is more than {MAX_DEPTH} elements deep"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_the_command_line() {
        let text = r#"<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId><reservationSet><item>
            <reservationId>r-1</reservationId><groupSet/><instancesSet><item><instanceId>i-0</instanceId><instanceState><code>16</code><name>running</name></instanceState>
            <enaSupport>true</enaSupport><hibernationOptions/><cpuOptions><coreCount>2</coreCount></cpuOptions><groupSet><item><groupId>sg-1</groupId></item></groupSet>
            <blockDeviceMapping><item><deviceName>/dev/sda1</deviceName><ebs><volumeId>vol-1</volumeId></ebs></item></blockDeviceMapping>
            <networkInterfaceSet><item><networkInterfaceId>eni-1</networkInterfaceId><groupSet><item><groupId>sg-1</groupId></item></groupSet>
            <attachment><deviceIndex>1</deviceIndex><status>attached</status></attachment></item></networkInterfaceSet>
            <tagSet><item><key>Name</key><value>true</value></item></tagSet><productCodes/></item></instancesSet></item></reservationSet></DescribeInstancesResponse>"#;
        let wanted = serde_json::json!({"Reservations": [{"ReservationId": "r-1", "Groups": [], "Instances": [{
            "InstanceId": "i-0", "State": {"Code": 16, "Name": "running"}, "EnaSupport": true, "HibernationOptions": {}, "CpuOptions": {"CoreCount": 2},
            "SecurityGroups": [{"GroupId": "sg-1"}],
            "BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeId": "vol-1"}}],
            "NetworkInterfaces": [{"NetworkInterfaceId": "eni-1", "Groups": [{"GroupId": "sg-1"}], "Attachment": {"DeviceIndex": 1, "Status": "attached"}}],
            "Tags": [{"Key": "Name", "Value": "true"}], "ProductCodes": []}]}]});
        assert_eq!(to_json(text.as_bytes()).unwrap(), wanted);
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let deep = format!("{}{}", "<a>".repeat(500), "</a>".repeat(500));
        for text in ["", "<a>", "<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>", deep.as_str()] {
            assert!(to_json(text.as_bytes()).is_err(), "{text}");
        }
    }
}
