//! Page blobs as targets.

use super::super::{options, stub::noise};
use convert_cloud::{AzureTarget, CloudAddress, CloudOptions, Environment, Writing, create};
use format_core::{ErrorKind, Result, TargetStorage};
use test_cloud_servers::page_blobs::Account;

const MIB: u64 = 1 << 20;
const PLACE: &str = "disks/a b/vm.vhd";

fn with(account: &Account) -> CloudOptions {
    let connection = [("AZURE_STORAGE_CONNECTION_STRING", account.connection())];
    CloudOptions { environment: Environment::only(connection), ..options() }
}

fn begin(account: &Account, size: u64) -> Result<Box<dyn TargetStorage>> {
    let address = CloudAddress::parse(&format!("azblob://account/{PLACE}")).unwrap().unwrap();
    assert!(address.takes_fixed_vhd());
    Ok(create(&address, &with(account), Writing::alone(size))?.storage)
}

/// The last page of a fixed VHD for a disk of so many bytes, as far as it is looked at.
fn footer(size: u64) -> Vec<u8> {
    let mut footer = vec![0; 512];
    footer[..8].copy_from_slice(b"conectix");
    footer[48..56].copy_from_slice(&size.to_be_bytes());
    footer[63] = 2;
    footer
}

/// Data here and there, most of it zeros.
fn disk() -> Vec<u8> {
    let mut disk = vec![0; 24 << 20];
    disk[..100].fill(1);
    disk[5_000_000..14_000_000].copy_from_slice(&noise(9_000_000));
    *disk.last_mut().unwrap() = 3;
    disk
}

fn write(target: &dyn TargetStorage, disk: &[u8]) -> Result<()> {
    let size = disk.len() as u64;
    target.set_len(size)?;
    std::thread::scope(|scope| {
        let halves = disk.split_at(disk.len() / 2);
        let writers = [(0, halves.0), (halves.0.len(), halves.1)].map(|(start, half)| {
            scope.spawn(move || {
                half.chunks(MIB as usize).enumerate().try_for_each(|(index, bytes)| {
                    target.write_all_at(start as u64 + index as u64 * MIB, bytes)
                })
            })
        });
        writers.into_iter().try_for_each(|writer| writer.join().unwrap())
    })?;
    target.sync()?;
    target.write_all_at(size, &footer(size))
}

#[test]
fn a_blob_is_written_by_pages_and_its_zeros_are_not() {
    let account = Account::new();
    let target = begin(&account, 24 * MIB - 5).unwrap();
    assert!(!target.is_sequential() && target.is_blank() && target.name() == Some("vm.vhd"));
    write(target.as_ref(), &disk()).unwrap();
    let blob = account.blob(PLACE).unwrap();
    assert!(blob.lease.is_some() && blob.metadata.contains_key("rehome_unfinished"));
    assert!(blob.bytes.ends_with(&[0; 512]), "the footer comes last");
    // Who has no lease does nothing to it.
    assert_eq!(begin(&account, MIB).err().unwrap().code().id, "RH-LEASE-HELD");
    // Too much for the service for a while.
    account.state().refused = vec![503, 503];
    target.commit().unwrap();
    let blob = account.blob(PLACE).unwrap();
    assert!(blob.lease.is_none() && blob.metadata.is_empty());
    assert!(blob.bytes == [disk(), footer(24 * MIB)].concat());
    let written = account.state().written.clone();
    assert_eq!(written.last(), Some(&(24 * MIB, 512)));
    assert!(written.iter().map(|(_, len)| len).sum::<u64>() < 9_100_000, "{written:?}");
    let error = begin(&account, MIB).err().unwrap();
    assert_eq!((error.kind(), error.code().id), (ErrorKind::Destination, "RH-DESTINATION-EXISTS"));
}

#[test]
fn what_is_no_fixed_vhd_becomes_no_blob() {
    let wrong: [fn(&mut Vec<u8>); 3] = [
        |footer| footer[63] = 3,
        |footer| footer[48..56].copy_from_slice(&(5 * MIB).to_be_bytes()),
        |footer| footer.fill(0),
    ];
    for change in wrong {
        let account = Account::new();
        let target = begin(&account, 4 * MIB).unwrap();
        target.write_all_at(0, &noise(1024)).unwrap();
        assert_eq!(target.write_all_at(1024, &[1; 100]).unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(target.write_all_at(4 * MIB + 512, &[1; 512]).unwrap_err().kind(), ErrorKind::Destination);
        assert_eq!(
            target.write_all_at(u64::MAX - 511, &[1; 512]).unwrap_err().kind(),
            ErrorKind::Destination
        );
        let mut page = footer(4 * MIB);
        change(&mut page);
        target.write_all_at(4 * MIB, &page).unwrap();
        assert_eq!(target.commit().unwrap_err().kind(), ErrorKind::Unsupported);
        assert!(account.blob(PLACE).is_none(), "nothing is left behind");
    }
    assert_eq!(begin(&Account::new(), 9 << 40).err().unwrap().kind(), ErrorKind::Unsupported);
}

#[test]
fn what_a_killed_run_left_is_written_over_once_its_lease_has_ended() {
    let account = Account::new();
    let target = begin(&account, 4 * MIB).unwrap();
    target.write_all_at(0, &noise(64 << 10)).unwrap();
    std::mem::forget(target);
    let error = begin(&account, 24 * MIB).err().unwrap();
    assert_eq!((error.kind(), error.code().id), (ErrorKind::Temporary, "RH-LEASE-HELD"));
    account.end_leases();
    let target = begin(&account, 24 * MIB).unwrap();
    let blob = account.blob(PLACE).unwrap();
    assert!(blob.bytes.len() == (24 << 20) + 512 && blob.bytes.iter().all(|byte| *byte == 0));
    write(target.as_ref(), &disk()).unwrap();
    target.commit().unwrap();
    assert!(account.blob(PLACE).unwrap().bytes == [disk(), footer(24 * MIB)].concat());
}

#[test]
fn a_run_that_was_taken_over_writes_no_more() {
    let account = Account::new();
    let old = begin(&account, 24 * MIB).unwrap();
    old.write_all_at(0, &noise(64 << 10)).unwrap();
    // It stood still for longer than its lease lives.
    account.end_leases();
    let new = begin(&account, 24 * MIB).unwrap();
    let error = old.write_all_at(0, &noise(64 << 10)).unwrap_err();
    assert_eq!((error.kind(), error.code().id), (ErrorKind::Temporary, "RH-LEASE-LOST"), "{error}");
    old.write_all_at(24 * MIB, &footer(24 * MIB)).unwrap();
    assert_eq!(old.commit().unwrap_err().code().id, "RH-LEASE-LOST");
    assert!(account.blob(PLACE).unwrap().lease.is_some(), "what the new one writes is not deleted");
    write(new.as_ref(), &disk()).unwrap();
    new.commit().unwrap();
    assert!(account.blob(PLACE).unwrap().bytes == [disk(), footer(24 * MIB)].concat());
    // Nobody took over, and the lease has ended all the same: nothing is sure any more.
    let account = Account::new();
    let target = begin(&account, 24 * MIB).unwrap();
    write(target.as_ref(), &disk()).unwrap();
    account.end_leases();
    assert_eq!(target.commit().unwrap_err().code().id, "RH-LEASE-LOST");
    assert!(account.blob(PLACE).unwrap().metadata.contains_key("rehome_unfinished"));
}

#[test]
fn a_signed_address_is_written_to_and_not_shown() {
    let account = Account::judged_by(|ask| {
        assert!(ask.header("authorization").is_none());
        assert_eq!(ask.query("sig").as_deref(), Some("ge/heim="));
    });
    let address = format!("{}/disks/vm.vhd?sv=2020&sig=ge%2Fheim%3D", account.url());
    let target: Box<dyn TargetStorage> =
        Box::new(AzureTarget::create_signed(&address, 24 * MIB, &options()).unwrap());
    write(target.as_ref(), &disk()).unwrap();
    target.commit().unwrap();
    assert!(account.blob("disks/vm.vhd").unwrap().bytes.len() == (24 << 20) + 512);
    let error = AzureTarget::create_signed(&address, MIB, &options()).err().unwrap();
    assert!(!format!("{error:?}").contains("heim"), "{error:?}");
}
