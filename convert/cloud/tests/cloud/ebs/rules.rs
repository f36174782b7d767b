//! Answers that break the rules, and requests that are turned down.

use super::super::stub::{Stub, reply};
use super::{BLOCK, NEW, open, sparse, with};
use convert_cloud::{CloudOptions, EbsSnapshot, EbsTarget, Ec2, Environment};
use format_core::{ErrorKind, Storage, TargetStorage};
use test_cloud_servers::ebs::{Fake, Fault};

#[test]
fn a_block_that_is_not_what_its_checksum_says_is_no_data() {
    for (fault, kind) in [
        (Fault::WrongBytes, ErrorKind::Corrupt),
        (Fault::WrongSum, ErrorKind::Corrupt),
        (Fault::NoSum, ErrorKind::Io),
        (Fault::ShortBlock, ErrorKind::Io),
        (Fault::LongBlock, ErrorKind::Io),
        (Fault::CutBlock, ErrorKind::Temporary),
        (Fault::CredentialsEnd, ErrorKind::Denied),
    ] {
        let fake = Fake::new();
        fake.put(NEW, 1, sparse());
        let snapshot = open(&fake).unwrap();
        fake.set(fault, u32::MAX);
        let error = snapshot.read_exact_at(0, &mut vec![0; BLOCK]).unwrap_err();
        assert_eq!(error.kind(), kind, "{fault:?}: {error}");
        // What was garbled once on its way comes well the next time.
        if matches!(fault, Fault::WrongBytes) {
            fake.set(fault, 1);
            let mut block = vec![0; BLOCK];
            snapshot.read_exact_at(0, &mut block).unwrap();
            assert!(block == sparse()[0].1);
        }
    }
}

#[test]
fn lists_that_break_the_rules_are_refused() {
    for fault in [Fault::Twice, Fault::Outside, Fault::OddSize, Fault::Endless] {
        let fake = Fake::new();
        fake.put(NEW, 1, sparse());
        fake.set(fault, u32::MAX);
        assert_eq!(open(&fake).err().unwrap().kind(), ErrorKind::Io, "{fault:?}");
    }
    let fake = Fake::new();
    fake.put(NEW, 1, sparse());
    let snapshot = open(&fake).unwrap();
    // The size of the volume is another one, later.
    fake.set(Fault::OtherSize, u32::MAX);
    assert_eq!(snapshot.read_exact_at(2047 * BLOCK as u64, &mut [0; 512]).unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn tokens_that_end_each_time_end_the_read() {
    let fake = Fake::new();
    fake.put(NEW, 1, sparse());
    let snapshot = open(&fake).unwrap();
    fake.set(Fault::BlockTokensEnd, u32::MAX);
    let error = snapshot.read_exact_at(0, &mut vec![0; BLOCK]).unwrap_err();
    assert!(error.to_string().contains("INVALID_BLOCK_TOKEN") && fake.count("block") < 10, "{error}");
}

#[test]
fn what_does_not_fit_the_volume_or_the_service_is_refused() {
    let fake = Fake::new();
    let options = with(&fake);
    assert_eq!(EbsTarget::start(0, None, None, &options).err().unwrap().kind(), ErrorKind::Usage);
    assert_eq!(EbsTarget::start(1, Some("snap-"), None, &options).err().unwrap().kind(), ErrorKind::Usage);
    let target = EbsTarget::start(1, None, None, &options).unwrap();
    assert_eq!(target.write_all_at(1 << 30, &[1]).unwrap_err().kind(), ErrorKind::Destination);
    assert_eq!(target.write_all_at(u64::MAX, &[1]).unwrap_err().kind(), ErrorKind::Destination);
    for block in 0..64u64 {
        target.write_all_at(block * BLOCK as u64, &[1]).unwrap();
    }
    assert_eq!(target.write_all_at(64 * BLOCK as u64, &[1]).unwrap_err().kind(), ErrorKind::Unsupported);
    target.write_all_at(100 * BLOCK as u64, &vec![1; BLOCK]).unwrap();
    assert_eq!(target.write_all_at(100 * BLOCK as u64, &[1]).unwrap_err().kind(), ErrorKind::Contract);
}

#[test]
fn a_snapshot_that_fails_at_the_end_is_told() {
    let fake = Fake::new();
    let target = EbsTarget::start(1, None, None, &with(&fake)).unwrap();
    target.write_all_at(0, &vec![1; BLOCK]).unwrap();
    fake.set(Fault::EndsInError, u32::MAX);
    assert_eq!(Box::new(target).commit().unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn refusals_and_missing_credentials_are_told_without_secrets() {
    let fake = Fake::new();
    fake.put(NEW, 1, sparse());
    let mut variables = vec![
        ("AWS_ENDPOINT_URL", fake.url()),
        ("AWS_REGION", "eu-west-1".into()),
        ("AWS_EC2_METADATA_DISABLED", "true".into()),
    ];
    let options = |variables: &Vec<(&str, String)>| CloudOptions {
        environment: Environment::only(variables.clone()),
        ..super::super::options()
    };
    assert_eq!(
        EbsSnapshot::open(NEW, None, &options(&variables)).err().unwrap().kind(),
        ErrorKind::NeedsPerson
    );
    variables.push(("AWS_ACCESS_KEY_ID", super::super::signed::ID.into()));
    variables.push(("AWS_SECRET_ACCESS_KEY", "falsch".into()));
    fake.set(Fault::Refused, u32::MAX);
    let error = EbsSnapshot::open(NEW, None, &options(&variables)).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.to_string().contains("InvalidSignatureException"), "{error}");
    for hidden in ["falsch", "secret words", "startingBlockIndex", "AKID"] {
        assert!(!format!("{error:?}").contains(hidden), "{error}");
    }
    let error = EbsSnapshot::open(NEW, Some("no/region"), &options(&variables)).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Usage);
}

#[test]
fn a_role_of_the_instance_is_used_and_renewed() {
    let fake = Fake::new();
    fake.put(NEW, 1, sparse());
    let metadata = Stub::new(|ask| match (ask.method.as_str(), ask.path()) {
        ("PUT", "/latest/api/token") if ask.header("x-aws-ec2-metadata-token-ttl-seconds").is_some() => {
            reply(200, &[], "TOKEN")
        }
        _ if ask.header("x-aws-ec2-metadata-token") != Some("TOKEN") => reply(401, &[], ""),
        (_, "/latest/meta-data/iam/security-credentials/") => reply(200, &[], "role\n"),
        (_, "/latest/meta-data/placement/region") => reply(200, &[], "eu-west-1"),
        (_, "/latest/meta-data/iam/security-credentials/role") => {
            let (id, key) = (super::super::signed::ID, super::super::signed::KEY);
            // They end at once, so each request gets new ones.
            let text = format!(
                r#"{{"AccessKeyId":"{id}","SecretAccessKey":"{key}","Token":"S","Expiration":"2020-01-01T00:00:00Z"}}"#
            );
            reply(200, &[], text)
        }
        _ => reply(404, &[], ""),
    });
    let variables =
        [("AWS_ENDPOINT_URL", fake.url()), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.url(""))];
    let options = CloudOptions { environment: Environment::only(variables), ..super::super::options() };
    let snapshot = EbsSnapshot::open(NEW, None, &options).unwrap();
    snapshot.read_exact_at(0, &mut vec![0; BLOCK]).unwrap();
    let got = metadata.asked().iter().filter(|ask| ask.path().ends_with("/role")).count();
    assert_eq!(got, 2);
}

#[test]
fn an_instance_is_described_as_the_command_line_does() {
    let service = Stub::new(|ask| {
        super::super::signed::verify(ask, "ec2");
        let body = match ask.query("Action").as_deref() {
            Some("DescribeInstances") => {
                assert_eq!(ask.query("InstanceId.1").as_deref(), Some("i-0123456789abcdef0"));
                "<R><requestId>x</requestId><reservationSet><item><instancesSet><item><instanceId>i-0123456789abcdef0</instanceId><imageId>ami-01234567</imageId>\
                 <blockDeviceMapping><item><deviceName>/dev/xvda</deviceName><ebs><volumeId>vol-01234567</volumeId></ebs></item></blockDeviceMapping>\
                 </item></instancesSet></item></reservationSet></R>"
            }
            Some("DescribeVolumes") => {
                assert_eq!(ask.query("VolumeId.1").as_deref(), Some("vol-01234567"));
                "<R><volumeSet><item><volumeId>vol-01234567</volumeId><size>8</size><encrypted>false</encrypted></item></volumeSet></R>"
            }
            _ => {
                return reply(
                    400,
                    &[],
                    "<Response><Errors><Error><Code>InvalidAMIID.NotFound</Code></Error></Errors></Response>",
                );
            }
        };
        reply(200, &[], body)
    });
    let variables = [
        ("AWS_ENDPOINT_URL_EC2", service.url("")),
        ("AWS_ACCESS_KEY_ID", super::super::signed::ID.into()),
        ("AWS_SECRET_ACCESS_KEY", super::super::signed::KEY.into()),
    ];
    let options = CloudOptions {
        environment: Environment::only(variables),
        region: Some("eu-west-1".into()),
        ..super::super::options()
    };
    let ec2 = Ec2::open(None, &options).unwrap();
    let text = String::from_utf8(ec2.describe_instance("i-0123456789abcdef0").unwrap()).unwrap();
    assert!(text.contains(r#""Volumes":[{"Encrypted":false,"Size":8,"VolumeId":"vol-01234567"}]"#), "{text}");
    assert!(text.contains(r#""Ebs":{"VolumeId":"vol-01234567"}"#) && !text.contains("Images"), "{text}");
    assert_eq!(ec2.describe_images(&["ami-01234567"]).unwrap_err().kind(), ErrorKind::SourceMissing);
    assert_eq!(ec2.describe_instance("i-x&Action=TerminateInstances").unwrap_err().kind(), ErrorKind::Usage);
}
