//! Against other people's servers: moto for AWS, azurite for Azure. `tests/cloud.sh` installs them, starts them and runs this.

use super::options;
use super::stub::noise;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use convert_cloud::{
    AzureBlob, CloudAddress, CloudOptions, EbsSnapshot, Ec2, Environment, S3Store, Writing, create, open,
};
use format_core::{Claim, ConditionalStore, ExtentKind, Storage, TargetStorage};
use std::process::Command;

/// The documented key of the emulator.
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: tests/cloud.sh sets it"))
}

fn aws() -> CloudOptions {
    let endpoint = variable("REHOME_TEST_MOTO");
    let variables = [
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_REGION", "us-east-1"),
    ];
    CloudOptions { environment: Environment::only(variables), limits: Default::default(), ..options() }
}

/// Runs a script of the server's own library, and gives what it prints.
fn python(script: &str, arguments: &[&str]) -> String {
    let run =
        Command::new(variable("REHOME_TEST_PYTHON")).arg("-c").arg(script).args(arguments).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).unwrap().trim().to_owned()
}

fn boto(body: &str, arguments: &[&str]) -> String {
    let endpoint = variable("REHOME_TEST_MOTO");
    let start = "import boto3, sys, hashlib\nkeys = dict(endpoint_url=sys.argv[1], region_name='us-east-1', aws_access_key_id='test', aws_secret_access_key='test')\n\
                 client = lambda name: boto3.client(name, **keys)\n";
    python(&format!("{start}{body}"), &[&[endpoint.as_str()], arguments].concat())
}

#[test]
#[ignore = "needs moto: tests/cloud.sh runs it"]
fn s3_of_moto() {
    let bucket = format!("rehome-{}", std::process::id());
    boto("client('s3').create_bucket(Bucket=sys.argv[2])", &[&bucket]);
    let address = CloudAddress::parse(&format!("s3://{bucket}/a b/ü+disk.raw")).unwrap().unwrap();
    let content = noise((33 << 20) + 512);
    let target = create(&address, &aws(), Writing::alone(content.len() as u64)).unwrap().storage;
    for (number, chunk) in content.chunks(4 << 20).enumerate() {
        target.write_all_at(number as u64 * (4 << 20), chunk).unwrap();
    }
    target.commit().unwrap();
    let theirs = boto(
        "print(hashlib.sha256(client('s3').get_object(Bucket=sys.argv[2], Key=sys.argv[3])['Body'].read()).hexdigest())",
        &[&bucket, "a b/ü+disk.raw"],
    );
    assert_eq!(theirs, sum(&content));
    let source = open(&address, &aws()).unwrap();
    let mut read = vec![0; content.len()];
    source.storage.read_exact_at(0, &mut read).unwrap();
    assert!(read == content && source.identity.is_some());

    let store = S3Store::open(&bucket, None, &aws()).unwrap();
    assert!(store.put_if_absent("lease", b"one").unwrap().is_some());
    assert!(store.put_if_absent("lease", b"two").unwrap().is_none());
    let (bytes, tag) = store.get("lease").unwrap().unwrap();
    assert_eq!(bytes, b"one");
    let next = store.put_if_match("lease", &tag, b"two").unwrap();
    // The emulator knows no If-Match where it puts, and takes what comes: the service and our own stand-in do (s3.rs).
    assert!(next.is_some());
    store.remove_if_match("lease", &next.unwrap()).unwrap();
    assert!(store.get("lease").unwrap().is_none());
}

/// A claim that is always held.
struct Held;

impl Claim for Held {
    fn check(&self) -> format_core::Result<()> {
        Ok(())
    }

    fn is_fresh(&self) -> bool {
        false
    }

    fn release(&self, _: bool) {}
}

#[test]
#[ignore = "needs moto: tests/cloud.sh runs it"]
fn an_upload_to_moto_goes_on() {
    let bucket = format!("rehome-on-{}", std::process::id());
    boto("client('s3').create_bucket(Bucket=sys.argv[2])", &[&bucket]);
    let address = CloudAddress::parse(&format!("s3://{bucket}/a/disk.raw")).unwrap().unwrap();
    let content = noise((50 << 20) + 512);
    let begin = || {
        let size = content.len() as u64;
        create(&address, &aws(), Writing { size, claim: Some(Box::new(Held)), restart: false }).unwrap()
    };
    let first = begin().storage;
    first.write_all_at(0, &content[..40 << 20]).unwrap();
    drop(first);
    let keys = "r = client('s3').list_objects_v2(Bucket=sys.argv[2]); print([o['Key'] for o in r.get('Contents', [])])";
    assert_eq!(boto(keys, &[&bucket]), "['a/disk.raw.rehome-journal']");
    let second = begin();
    assert!(second.note.unwrap().contains("2 parts"));
    second.storage.write_all_at(0, &content).unwrap();
    second.storage.commit().unwrap();
    assert_eq!(boto(keys, &[&bucket]), "['a/disk.raw']");
    let left = "print(client('s3').list_multipart_uploads(Bucket=sys.argv[2]).get('Uploads', []))";
    assert_eq!(boto(left, &[&bucket]), "[]");
    let theirs = boto(
        "print(hashlib.sha256(client('s3').get_object(Bucket=sys.argv[2], Key='a/disk.raw')['Body'].read()).hexdigest())",
        &[&bucket],
    );
    assert_eq!(theirs, sum(&content));
}

#[test]
#[ignore = "needs azurite: tests/cloud.sh runs it"]
fn a_page_blob_is_written_to_azurite() {
    let endpoint = variable("REHOME_TEST_AZURITE");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("content");
    std::fs::write(&file, [1; 512]).unwrap();
    // For its container.
    python(include_str!("azurite.py"), &[&endpoint, KEY, file.to_str().unwrap()]);
    let connection = format!("AccountName=devstoreaccount1;AccountKey={KEY};BlobEndpoint={endpoint}");
    let with = CloudOptions {
        environment: Environment::only([("AZURE_STORAGE_CONNECTION_STRING", connection)]),
        ..options()
    };
    let text = format!("azblob://devstoreaccount1/disks/new {}/disk.vhd", std::process::id());
    let address = CloudAddress::parse(&text).unwrap().unwrap();
    let size = 24u64 << 20;
    let begin = || create(&address, &with, Writing::alone(size));
    let (mut disk, mut footer) = (vec![0; size as usize], vec![0; 512]);
    disk[5 << 20..15 << 20].copy_from_slice(&noise(10 << 20));
    footer[..8].copy_from_slice(b"conectix");
    footer[48..56].copy_from_slice(&size.to_be_bytes());
    footer[63] = 2;
    let target = begin().unwrap().storage;
    target.write_all_at(0, &disk[..8 << 20]).unwrap();
    let error = begin().err().unwrap();
    assert_eq!(error.code().id, "RH-LEASE-HELD", "{error}");
    drop(target);
    let target = begin().unwrap().storage;
    target.write_all_at(0, &disk).unwrap();
    target.write_all_at(size, &footer).unwrap();
    target.commit().unwrap();
    assert_eq!(begin().err().unwrap().code().id, "RH-DESTINATION-EXISTS");
    let source = open(&address, &with).unwrap().storage;
    let mut read = vec![9; size as usize + 512];
    source.read_exact_at(0, &mut read).unwrap();
    assert!(read == [disk, footer].concat());
    let hole = source.data_at(0).unwrap();
    assert_eq!((hole.kind, hole.len), (ExtentKind::Zero, 5 << 20));
}

#[test]
#[ignore = "needs moto: tests/cloud.sh runs it"]
fn ebs_and_ec2_of_moto() {
    // The emulator says that a block has 512 bytes, whatever is put there, and tells blocks in the order in which they came. So only what
    // is written to suit that is read.
    let id = boto(
        "import base64\nebs = client('ebs')\nid = ebs.start_snapshot(VolumeSize=1)['SnapshotId']\n\
         for index in (0, 3):\n    data = bytes([index + 1]) * 512\n    \
         ebs.put_snapshot_block(SnapshotId=id, BlockIndex=index, BlockData=data, DataLength=512, ChecksumAlgorithm='SHA256', \
         Checksum=base64.b64encode(hashlib.sha256(data).digest()).decode())\n\
         ebs.complete_snapshot(SnapshotId=id, ChangedBlocksCount=2)\nprint(id)",
        &[],
    );
    let snapshot = EbsSnapshot::open(&id, None, &aws()).unwrap();
    assert_eq!(snapshot.size(), 1 << 30);
    let mut read = vec![9; 5 * 512];
    snapshot.read_exact_at(0, &mut read).unwrap();
    let wanted: Vec<u8> = [1u8, 0, 0, 4, 0].iter().flat_map(|byte| [*byte; 512]).collect();
    assert!(read == wanted);
    let hole = snapshot.data_at(512).unwrap();
    assert_eq!((hole.kind, hole.len), (ExtentKind::Zero, 1024));

    // Ours, as it stores what comes.
    let target = convert_cloud::EbsTarget::start(1, None, None, &aws()).unwrap();
    let ours = target.id().to_owned();
    target.write_all_at(512 << 10, &noise(1 << 20)).unwrap();
    let blocks = "r = client('ebs').list_snapshot_blocks(SnapshotId=sys.argv[2]); print(sorted(b['BlockIndex'] for b in r['Blocks']))";
    assert_eq!(boto(blocks, &[&ours]), "[1, 2]");

    let instance = boto(
        "ec2 = client('ec2')\nimage = ec2.describe_images()['Images'][0]['ImageId']\n\
         print(ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, InstanceType='t3.micro')['Instances'][0]['InstanceId'])",
        &[],
    );
    let text =
        String::from_utf8(Ec2::open(None, &aws()).unwrap().describe_instance(&instance).unwrap()).unwrap();
    // All that the dialect of machines reads has to be named and typed as AWS's own library does.
    let script = "import json\nours = json.loads(sys.argv[3])\nec2 = client('ec2')\ntheirs = ec2.describe_instances(InstanceIds=[sys.argv[2]])\n\
        a, b = ours['Reservations'][0]['Instances'][0], theirs['Reservations'][0]['Instances'][0]\n\
        names = ['InstanceId', 'InstanceType', 'ImageId', 'State', 'Architecture', 'RootDeviceName', 'RootDeviceType', 'EnaSupport', 'Tags', \
        'SourceDestCheck', 'SecurityGroups', 'Placement', 'HibernationOptions', 'CpuOptions', 'BootMode', 'ProductCodes']\n\
        bad = [n for n in names if n in b and a.get(n) != b[n]]\n\
        bad += ['disk' for x, y in zip(a['BlockDeviceMappings'], b['BlockDeviceMappings']) if x['Ebs']['VolumeId'] != y['Ebs']['VolumeId']]\n\
        bad += ['nic' for x, y in zip(a['NetworkInterfaces'], b['NetworkInterfaces']) if any(x.get(n) != y.get(n) for n in ('MacAddress', 'SubnetId', 'VpcId'))]\n\
        bad += ['count'] if len(a['BlockDeviceMappings']) != len(b['BlockDeviceMappings']) else []\n\
        v = ec2.describe_volumes(VolumeIds=[x['Ebs']['VolumeId'] for x in b['BlockDeviceMappings']])['Volumes'][0]\n\
        bad += [n for n in ('VolumeId', 'Size', 'Encrypted') if ours['Volumes'][0][n] != v[n]]\n\
        bad += [] if ours['Images'][0]['ImageId'] == b['ImageId'] and ours['InstanceTypes'][0]['MemoryInfo']['SizeInMiB'] > 0 else ['image or type']\n\
        print(bad)";
    assert_eq!(boto(script, &[&instance, &text]), "[]", "{text}");
}

#[test]
#[ignore = "needs azurite: tests/cloud.sh runs it"]
fn a_page_blob_of_azurite() {
    let endpoint = variable("REHOME_TEST_AZURITE");
    let content = noise(6 << 20);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("content");
    std::fs::write(&file, &content).unwrap();
    // Written by a script of its own signatures: the emulator's library is not needed.
    let made = python(include_str!("azurite.py"), &[&endpoint, KEY, file.to_str().unwrap()]);
    assert_eq!(made, "made");
    let connection = format!("AccountName=devstoreaccount1;AccountKey={KEY};BlobEndpoint={endpoint}");
    let with = CloudOptions {
        environment: Environment::only([("AZURE_STORAGE_CONNECTION_STRING", connection)]),
        ..options()
    };
    let blob = AzureBlob::open("devstoreaccount1", "disks", "a b/disk.vhd", None, &with).unwrap();
    assert_eq!(blob.size(), 16 << 20);
    // The content lies from 4 MiB on; before it and behind it nothing was written.
    let (first, data) = (blob.data_at(0).unwrap(), blob.data_at(4 << 20).unwrap());
    assert_eq!((first.kind, first.len), (ExtentKind::Zero, 4 << 20));
    assert_eq!((data.kind, data.len), (ExtentKind::Data, 6 << 20));
    assert_eq!(blob.data_at(10 << 20).unwrap().kind, ExtentKind::Zero);
    let mut read = vec![0; 16 << 20];
    blob.read_exact_at(0, &mut read).unwrap();
    assert!(
        read[4 << 20..10 << 20] == content
            && read[..4 << 20].iter().chain(&read[10 << 20..]).all(|byte| *byte == 0)
    );
    assert!(STANDARD.decode(KEY).is_ok() && blob.identity().is_some());
}

fn sum(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
