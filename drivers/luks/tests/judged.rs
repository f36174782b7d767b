//! Volumes that cryptsetup and QEMU made, and what they say of them. The content is judged by QEMU for version 1, and for
//! version 2 by another implementation of the ciphers, with the key that cryptsetup gives.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod tools;

use driver_core::Volume;
use driver_luks::{Passphrase, probe, unlock};
use std::path::Path;
use std::sync::Arc;
use tools::{Cipher, Made, Memory, hex, pattern, run, table};

const MIB: usize = 1 << 20;
/// Content from 2 MiB on.
const SMALL: &str = "--type luks2 --luks2-metadata-size 16k --luks2-keyslots-size 1536k --offset 4096";

/// Reads what another implementation encrypted, and writes what it decrypts.
fn content_agrees(made: &Made, cipher: &Cipher) {
    let key = made.volume_key(0);
    let plain = pattern(made.bytes().len() - cipher.offset, 3);
    made.encrypt(cipher, &plain);
    let (device, unlocked) = made.unlock(0).unwrap();
    let before = device.bytes();
    let volume = unlocked.volume();
    assert_eq!(volume.size() as usize, plain.len(), "{}", cipher.name);
    let mut found = vec![0; plain.len()];
    volume.read_exact_at(0, &mut found).unwrap();
    assert!(found == plain, "{}: the content is another", cipher.name);
    let mut wanted = plain;
    for (at, len) in [(0, 1), (511, 2), (4096, 8192), (5000, 70_001), (wanted.len() - 7, 7)] {
        let new = pattern(len, at as u64 + 9);
        wanted[at..at + len].copy_from_slice(&new);
        volume.write_all_at(at as u64, &new).unwrap();
    }
    let after = device.bytes();
    assert!(after[..cipher.offset] == before[..cipher.offset], "the header was written");
    made.set_bytes(&after);
    assert!(made.decrypt(cipher) == wanted, "{}: what was written is another", cipher.name);
    let options =
        if cipher.sector == 512 { String::new() } else { format!(" 1 sector_size:{}", cipher.sector) };
    assert_eq!(
        table(&unlocked.mapping("x")),
        format!(
            "0 {} crypt {} {} {} MEMBER {}{options}",
            wanted.len() / 512,
            cipher.name,
            hex(&key),
            cipher.first,
            cipher.offset / 512
        )
    );
}

#[test]
fn the_content_is_what_another_implementation_encrypted() {
    for (name, bits, sector) in [
        ("aes-xts-plain64", 512, 512),
        ("aes-xts-plain64", 512, 4096),
        ("aes-xts-plain64", 256, 2048),
        ("aes-xts-plain", 256, 512),
        ("aes-cbc-essiv:sha256", 256, 512),
        ("aes-cbc-essiv:sha256", 128, 1024),
        ("aes-cbc-plain64", 192, 4096),
    ] {
        let options = format!("{SMALL} --cipher {name} --key-size {bits} --sector-size {sector}");
        content_agrees(
            &Made::new(2 * MIB + (256 << 10), &options),
            &Cipher { name, offset: 2 * MIB, first: 0, sector },
        );
    }
    for (name, bits) in [("aes-xts-plain64", 512), ("aes-cbc-essiv:sha256", 256), ("aes-cbc-plain64", 128)] {
        let made =
            Made::new(2 * MIB + (256 << 10), &format!("--type luks1 --cipher {name} --key-size {bits}"));
        let device = Memory::new(made.bytes());
        assert_eq!(probe(device.as_ref()).unwrap().unwrap().version(), 1);
        let offset: usize = {
            let dump = made.cryptsetup("luksDump volume");
            let line = dump.lines().find_map(|line| line.strip_prefix("Payload offset:")).unwrap();
            line.trim().parse::<usize>().unwrap() * 512
        };
        content_agrees(&made, &Cipher { name, offset, first: 0, sector: 512 });
    }
}

/// Every passphrase opens here what it opens there, with the same key.
fn keyslots_agree(made: &Made, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let theirs = made.keyslot(number);
        let ours = made.unlock(number);
        assert_eq!(ours.as_ref().map(|(_, unlocked)| unlocked.keyslot()), theirs, "passphrase {number}");
        if let Some((_, unlocked)) = ours {
            let key = hex(&made.volume_key(number));
            assert!(table(&unlocked.mapping("x")).contains(&key), "passphrase {number}");
        }
    }
}

#[test]
fn every_kind_of_keyslot_opens_what_it_opens_for_cryptsetup() {
    let made = Made::new(3 * MIB, &format!("{SMALL} --pbkdf argon2id --label data"));
    made.cryptsetup("luksAddKey --key-file 0 --pbkdf argon2i --pbkdf-parallel 4 volume 1");
    made.cryptsetup("luksAddKey --key-file 0 --pbkdf pbkdf2 --hash sha512 volume 2");
    made.cryptsetup(
        "luksAddKey --key-file 0 --pbkdf pbkdf2 --hash ripemd160 --keyslot-cipher aes-cbc-essiv:sha256 --keyslot-key-size 256 volume 3",
    );
    // A key of its own, which opens nothing.
    made.cryptsetup("luksAddKey --unbound --key-size 512 --key-slot 4 volume 4");
    let header = probe(Memory::new(made.bytes()).as_ref()).unwrap().unwrap();
    assert_eq!((header.version(), header.label()), (2, Some("data")));
    assert_eq!(header.describe(), "LUKS2, aes-xts-plain64, 4 keyslots");
    let kinds: Vec<_> = header.keyslots().iter().map(|slot| (slot.number(), slot.kdf())).collect();
    assert_eq!(kinds, [(0, "argon2id, 64 KiB"), (1, "argon2i, 64 KiB"), (2, "pbkdf2"), (3, "pbkdf2")]);
    assert!(header.warnings().is_empty() && header.obstacle().is_none() && header.tokens().is_empty());
    let uuid = made.cryptsetup("luksUUID volume").trim().to_owned();
    assert_eq!(header.uuid(), uuid);
    let (_, unlocked) = made.unlock(1).unwrap();
    let mapping = unlocked.mapping("data");
    assert_eq!(mapping.uuid, format!("CRYPT-LUKS2-{}-data", uuid.replace('-', "")));
    assert!(!format!("{mapping:?}").contains(&hex(&made.volume_key(0))));
    keyslots_agree(&made, 0..6);
    // The order in which they are tried.
    std::fs::copy(made.path("0"), made.path("7")).unwrap();
    made.cryptsetup("luksAddKey --key-file 0 --pbkdf pbkdf2 --new-key-slot 5 volume 7");
    for priorities in [["normal", "prefer"], ["ignore", "normal"], ["prefer", "normal"], ["ignore", "ignore"]]
    {
        made.cryptsetup(&format!("config --key-slot 0 --priority {} volume", priorities[0]));
        made.cryptsetup(&format!("config --key-slot 5 --priority {} volume", priorities[1]));
        let theirs = made.keyslot(0);
        assert_eq!(made.unlock(0).map(|(_, unlocked)| unlocked.keyslot()), theirs, "{priorities:?}");
    }
}

#[test]
fn every_hash_of_version_1_and_wrong_passphrases() {
    for hash in ["sha1", "sha256", "sha512", "ripemd160"] {
        let made = Made::new(4 * MIB, &format!("--type luks1 --hash {hash}"));
        made.cryptsetup(&format!("luksAddKey --key-file 0 --hash {hash} volume 1"));
        keyslots_agree(&made, 0..3);
        let device = Memory::new(made.bytes());
        let header = probe(device.as_ref()).unwrap().unwrap();
        assert_eq!(header.describe(), "LUKS1, aes-xts-plain64, 2 keyslots");
        assert_eq!(header.uuid(), made.cryptsetup("luksUUID volume").trim());
        // Several at once: the one that fits counts.
        let all = [made.passphrase(5), made.passphrase(1)];
        let opened = unlock(&header, Arc::clone(&device) as Arc<dyn Volume>, &all).unwrap().unwrap();
        assert_eq!(opened.keyslot(), 1);
        assert_eq!(opened.mapping("a-b").uuid, format!("CRYPT-LUKS1-{}-a-b", header.uuid().replace('-', "")));
        // A passphrase file's first line is another secret than the file.
        let text = Passphrase::from_text(std::fs::read(made.path("0")).unwrap()).unwrap();
        assert!(unlock(&header, device, &[text]).unwrap().is_none());
    }
}

#[test]
fn flags_of_the_header_reach_the_table() {
    let made = Made::new(3 * MIB, &format!("{SMALL} --sector-size 4096"));
    let bytes = made.bytes();
    let json = String::from_utf8_lossy(&bytes[4096..16384]).trim_end_matches('\0').to_owned();
    let flagged = json.replacen(
        "\"config\":{",
        "\"config\":{\"flags\":[\"allow-discards\",\"no-read-workqueue\",\"new\"],",
        1,
    );
    made.set_bytes(&header::with_json(&bytes, &flagged));
    assert!(made.cryptsetup("luksDump volume").contains("allow-discards no-read-workqueue"));
    let (device, unlocked) = made.unlock(0).unwrap();
    assert!(
        table(&unlocked.mapping("x")).ends_with("4096 3 allow_discards no_read_workqueue sector_size:4096")
    );
    assert_eq!(probe(device.as_ref()).unwrap().unwrap().warnings().len(), 1);
}

#[path = "tools/header.rs"]
mod header;

/// QEMU writes and reads version 1 by itself.
#[test]
fn qemu_reads_what_is_written_here_and_the_other_way() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("key"), "open sesame").unwrap();
    for (options, name) in [
        ("", "aes-xts-plain64"),
        (
            ",cipher-alg=aes-256,cipher-mode=cbc,ivgen-alg=essiv,ivgen-hash-alg=sha256,hash-alg=sha1",
            "aes-cbc-essiv:sha256",
        ),
    ] {
        let mut plain = pattern(2 * MIB, 5);
        std::fs::write(folder.join("plain"), &plain).unwrap();
        let options = format!("key-secret=s,iter-time=10{options}");
        let secret = ["--object", "secret,id=s,file=key"];
        let image = "driver=luks,file.filename=volume,key-secret=s";
        qemu(folder, &["create", "-q", secret[0], secret[1], "-f", "luks", "-o", &options, "volume", "2M"]);
        qemu(
            folder,
            &["convert", secret[0], secret[1], "-n", "-f", "raw", "--target-image-opts", "plain", image],
        );
        let device = Memory::new(std::fs::read(folder.join("volume")).unwrap());
        let header = probe(device.as_ref()).unwrap().unwrap();
        assert!(header.describe().starts_with(&format!("LUKS1, {name}")), "{}", header.describe());
        let passphrase = Passphrase::from_text(b"open sesame\n".to_vec()).unwrap();
        let unlocked =
            unlock(&header, Arc::clone(&device) as Arc<dyn Volume>, &[passphrase]).unwrap().unwrap();
        let mut found = vec![0; plain.len()];
        unlocked.volume().read_exact_at(0, &mut found).unwrap();
        assert!(found == plain, "{name}");
        let new = pattern(300_001, 6);
        plain[777..777 + new.len()].copy_from_slice(&new);
        unlocked.volume().write_all_at(777, &new).unwrap();
        std::fs::write(folder.join("volume"), device.bytes()).unwrap();
        qemu(folder, &["convert", secret[0], secret[1], "--image-opts", image, "-O", "raw", "back"]);
        assert!(std::fs::read(folder.join("back")).unwrap() == plain, "{name}");
    }
}

fn qemu(folder: &Path, args: &[&str]) {
    run(folder, "qemu-img", args);
}
