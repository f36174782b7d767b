//! Cut, bent and contradictory headers: an answer in no time, never a wrong key, and nothing written but content.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "tools/header.rs"]
mod header;
mod tools;

use driver_core::Volume;
use driver_luks::{Header, probe, unlock};
use format_core::{ErrorKind, Result};
use header::{COPY, json_of, seal, set_seqid, with_json};
use std::sync::{Arc, LazyLock};
use std::time::Instant;
use tools::{Made, Memory, table};

const MIB: usize = 1 << 20;

static LUKS2: LazyLock<(Made, Vec<u8>)> = LazyLock::new(|| {
    let options = "--type luks2 --luks2-metadata-size 16k --luks2-keyslots-size 512k --offset 2048";
    let made = Made::new(MIB + (64 << 10), options);
    let bytes = made.bytes();
    (made, bytes)
});
static LUKS1: LazyLock<(Made, Vec<u8>)> = LazyLock::new(|| {
    let made = Made::new(2 * MIB + (64 << 10), "--type luks1 --key-size 256");
    let bytes = made.bytes();
    (made, bytes)
});

fn probe_bytes(bytes: &[u8]) -> Result<Option<Header>> {
    let begun = Instant::now();
    let found = probe(Memory::new(bytes.to_vec()).as_ref());
    assert!(begun.elapsed().as_millis() < 1000, "it took {:?}", begun.elapsed());
    found
}

/// Whether the right passphrase opens it; then it is the right key, and writing leaves the header alone.
fn opens(made: &Made, good: &[u8], bytes: Vec<u8>) -> bool {
    let device = Memory::new(bytes.clone());
    let Ok(Some(header)) = probe(device.as_ref()) else { return false };
    let volume = Arc::clone(&device) as Arc<dyn Volume>;
    let Ok(Some(unlocked)) = unlock(&header, volume, &[made.passphrase(0)]) else { return false };
    let (_, whole) = {
        let device = Memory::new(good.to_vec());
        let header = probe(device.as_ref()).unwrap().unwrap();
        ((), unlock(&header, device, &[made.passphrase(0)]).unwrap().unwrap())
    };
    let key =
        |unlocked: &driver_luks::Unlocked| table(&unlocked.mapping("x")).split(' ').nth(4).map(str::to_owned);
    assert_eq!(key(&unlocked), key(&whole), "a wrong key was taken");
    let content = unlocked.volume();
    content.write_all_at(content.size() - 700, &[1; 700]).unwrap();
    assert!(content.write_all_at(content.size() - 1, &[1; 2]).is_err());
    let start = bytes.len() - content.size() as usize;
    assert!(device.bytes()[..start] == bytes[..start], "the header was written");
    true
}

/// What is said of the text in both copies.
fn verdict(from: &str, to: &str) -> std::result::Result<Header, (ErrorKind, String)> {
    let (_, good) = &*LUKS2;
    let json = json_of(good);
    assert!(json.contains(from), "{from} is not in {json}");
    let bent = with_json(good, &json.replacen(from, to, 1));
    probe_bytes(&bent).map(Option::unwrap).map_err(|error| (error.kind(), error.to_string()))
}

#[test]
fn the_newest_whole_copy_counts() {
    let (made, good) = &*LUKS2;
    let label =
        |bytes: &[u8]| probe_bytes(bytes).map(|found| found.and_then(|h| h.label().map(str::to_owned)));
    let warnings = |bytes: &[u8]| probe_bytes(bytes).unwrap().unwrap().warnings().join("; ");
    // Different labels tell the copies apart.
    let mut two = good.clone();
    for (at, name) in [(0, b"first\0"), (COPY, b"secnd\0")] {
        two[at + 24..at + 30].copy_from_slice(name);
        set_seqid(&mut two, at, 5);
    }
    assert_eq!(label(&two).unwrap().as_deref(), Some("first"));
    assert_eq!(warnings(&two), "");
    set_seqid(&mut two, COPY, 6);
    assert_eq!(label(&two).unwrap().as_deref(), Some("secnd"));
    assert!(warnings(&two).contains("newer"));
    set_seqid(&mut two, COPY, 4);
    assert_eq!(label(&two).unwrap().as_deref(), Some("first"));
    // A bit of a copy, anywhere.
    for at in [100, 200, 449, 700, 4100, COPY - 1] {
        let mut bent = two.clone();
        bent[at] ^= 4;
        assert_eq!(label(&bent).unwrap().as_deref(), Some("secnd"), "{at}");
        assert!(opens(made, good, bent.clone()) && warnings(&bent).contains("damaged"), "{at}");
        bent[COPY + at] ^= 4;
        assert_eq!(label(&bent).unwrap_err().kind(), ErrorKind::Corrupt, "{at}");
        bent[at] ^= 4;
        assert_eq!(label(&bent).unwrap().as_deref(), Some("first"), "{at}");
    }
    let mut zeros = two.clone();
    zeros[..4096].fill(0);
    assert_eq!(label(&zeros).unwrap().as_deref(), Some("secnd"));
    assert!(warnings(&zeros).contains("overwritten"));
    // Something else lies there now.
    zeros[1080] = 0x53;
    assert!(probe_bytes(&zeros).unwrap().is_none());
}

#[test]
fn what_is_no_header_is_none() {
    assert!(probe_bytes(&[]).unwrap().is_none());
    assert!(probe_bytes(&vec![0; MIB]).unwrap().is_none());
    assert!(probe_bytes(&b"LUKS".repeat(2000)).unwrap().is_none());
    let (_, good) = &*LUKS2;
    let mut other = good.clone();
    other[6..8].copy_from_slice(&[0, 3]);
    other[COPY..COPY + 6].fill(0);
    assert_eq!(probe_bytes(&other).unwrap_err().kind(), ErrorKind::Unsupported);
    other[4..6].copy_from_slice(&[0xde, 0xad]);
    assert_eq!(probe_bytes(&other).unwrap_err().kind(), ErrorKind::NeedsPerson);
}

#[test]
fn a_text_that_contradicts_itself_is_refused() {
    for (from, to) in [
        ("\"keyslots\":{", "\"keyslots\":["),
        ("\"keyslots\":{", "\"keysluts\":{"),
        ("\"config\"", "\"konfig\""),
        ("\"json_size\":\"12288\"", "\"json_size\":\"12289\""),
        ("\"json_size\":\"12288\"", "\"json_size\":12288"),
        ("\"keyslots_size\":\"524288\"", "\"keyslots_size\":\"18446744073709551615\""),
        ("\"keyslots_size\":\"524288\"", "\"keyslots_size\":\"-1\""),
        ("\"keyslots_size\":\"524288\"", "\"keyslots_size\":\"2000000\""),
        ("\"keyslots_size\":\"524288\"", "\"keyslots_size\":\"4096\""),
        ("\"offset\":\"32768\"", "\"offset\":\"16384\""),
        ("\"offset\":\"32768\"", "\"offset\":\"32769\""),
        ("\"offset\":\"32768\"", "\"offset\":\"18446744073709551104\""),
        ("\"size\":\"258048\"", "\"size\":\"512\""),
        ("\"stripes\":4000", "\"stripes\":0"),
        ("\"stripes\":4000", "\"stripes\":4000000000"),
        ("\"stripes\":4000", "\"stripes\":18446744073709551615"),
        ("\"key_size\":64", "\"key_size\":18446744073709551615"),
        ("\"iterations\":1000", "\"iterations\":0"),
        ("\"iterations\":1000", "\"iterations\":-1"),
        ("\"salt\":\"", "\"salt\":\"?"),
        ("\"offset\":\"1048576\"", "\"offset\":\"4096\""),
        ("\"offset\":\"1048576\"", "\"offset\":\"1048577\""),
        ("\"offset\":\"1048576\"", "\"offset\":\"18446744073709551104\""),
        ("\"size\":\"dynamic\"", "\"size\":\"1048576000\""),
        ("\"size\":\"dynamic\"", "\"size\":\"0\""),
        ("\"size\":\"dynamic\"", "\"size\":\"513\""),
        ("\"sector_size\":", "\"sector_size\":1"),
        ("\"iv_tweak\":\"0\"", "\"iv_tweak\":\"x\""),
        ("\"segments\":[\"0\"]", "\"segments\":[]"),
        ("\"keyslots\":{\"0\"", "\"keyslots\":{\"32\""),
        ("\"keyslots\":{\"0\"", "\"keyslots\":{\"a\""),
    ] {
        let found = verdict(from, to).map(|header| format!("{header:?}"));
        assert_eq!(
            found.as_ref().map_err(|(kind, _)| *kind),
            Err(ErrorKind::Corrupt),
            "{from} -> {to}: {found:?}"
        );
    }
    let (_, good) = &*LUKS2;
    let deep = "[".repeat(12000);
    assert_eq!(probe_bytes(&with_json(good, &deep)).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn what_is_not_done_here_is_said_before_anything_is_computed() {
    for (from, to, word) in [
        ("\"type\":\"crypt\"", "\"type\":\"linear\"", "linear"),
        ("\"type\":\"crypt\"", "\"type\":\"hw-opal-crypt\"", "OPAL"),
        (
            "\"type\":\"crypt\"",
            "\"type\":\"crypt\",\"integrity\":{\"type\":\"hmac(sha256)\"}",
            "dm-integrity",
        ),
        ("\"type\":\"luks2\"", "\"type\":\"reencrypt\"", "re-encrypted"),
        ("\"segments\":{", "\"segments\":{\"1\":{\"type\":\"crypt\"},", "re-encrypted"),
        (
            "\"config\":{",
            "\"config\":{\"requirements\":{\"mandatory\":[\"online-reencrypt-v2\"]},",
            "re-encrypted",
        ),
        ("\"config\":{", "\"config\":{\"requirements\":{\"mandatory\":[\"opal\"]},", "requires \"opal\""),
        (
            "\"encryption\":\"aes-xts-plain64\",\"sector_size\"",
            "\"encryption\":\"serpent-xts-plain64\",\"sector_size\"",
            "serpent-xts-plain64",
        ),
        ("\"offset\":\"1048576\"", "\"offset\":\"0\"", "detached"),
    ] {
        let header = verdict(from, to).unwrap();
        let reason = header.obstacle().unwrap().to_owned();
        assert!(reason.contains(word), "{to}: {reason}");
        let error =
            unlock(&header, Memory::new(Vec::new()), &[LUKS2.0.passphrase(0)]).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{to}");
    }
    let pbkdf2 = "\"type\":\"pbkdf2\",\"hash\":\"sha256\",\"iterations\":1000";
    for (to, kind, word) in [
        (
            "\"type\":\"pbkdf2\",\"hash\":\"sha256\",\"iterations\":4294967295",
            ErrorKind::Unsupported,
            "seconds",
        ),
        (
            "\"type\":\"argon2id\",\"time\":2147483648,\"memory\":1048576,\"cpus\":4",
            ErrorKind::Unsupported,
            "seconds",
        ),
        ("\"type\":\"argon2id\",\"time\":4,\"memory\":4294967295,\"cpus\":4", ErrorKind::Unsupported, "KiB"),
        (
            "\"type\":\"argon2i\",\"time\":4,\"memory\":1024,\"cpus\":4000000",
            ErrorKind::Unsupported,
            "threads",
        ),
        ("\"type\":\"scrypt\"", ErrorKind::Unsupported, "scrypt"),
        (
            "\"type\":\"pbkdf2\",\"hash\":\"whirlpool\",\"iterations\":1000",
            ErrorKind::Unsupported,
            "whirlpool",
        ),
    ] {
        let begun = Instant::now();
        let header = verdict(pbkdf2, to).unwrap();
        let device = Memory::new(LUKS2.1.clone());
        let error = unlock(&header, device, &[LUKS2.0.passphrase(0)]).map(|_| ()).unwrap_err();
        assert!(error.kind() == kind && error.to_string().contains(word), "{to}: {error}");
        assert!(begun.elapsed().as_millis() < 1000, "{to}: it took {:?}", begun.elapsed());
    }
}

#[test]
fn flipped_bits_of_version_1_and_of_the_keyslots_never_give_a_wrong_key() {
    for (made, good) in [&*LUKS1, &*LUKS2] {
        assert!(opens(made, good, good.clone()));
        let mut other = good.clone();
        *other.last_mut().unwrap() ^= 1;
        assert!(opens(made, good, other), "content is no part of the header");
        // The first keyslot: bits that count, and those of unused ones that do not.
        let stripes = if good[7] == 1 { 4096 } else { 32768 };
        for at in [stripes, stripes + 1000, stripes + 100_000] {
            let mut bent = good.clone();
            bent[at] ^= 0x10;
            assert!(!opens(made, good, bent), "{at:#x}");
        }
    }
    let (made, good) = &*LUKS1;
    // More iterations than there are now would only take long.
    for at in (0..592).filter(|at| !(164..167).contains(at) && !(212..215).contains(at)) {
        let mut bent = good.clone();
        bent[at] ^= 1 << (at % 8);
        let opened = opens(made, good, bent);
        // What is behind the end of a name, the UUID, and unused keyslots do not count; where the content begins is said once,
        // and version 1 has no checksum.
        let is_free = (8..104).contains(&at) && good[at] == 0
            || (104..108).contains(&at)
            || (168..208).contains(&at)
            || at >= 256;
        assert!(!opened || is_free, "{at} is not looked at");
    }
    for len in (0..4096 + 128_000).step_by(509) {
        assert!(!opens(made, good, good[..len].to_vec()), "{len}");
    }
}

#[test]
fn random_headers_of_version_2_are_read_or_refused() {
    let (made, good) = &*LUKS2;
    let mut state = 88_172_645_463_325_252u64;
    let mut next = move |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 20) as usize % bound
    };
    for _ in 0..400 {
        let mut bent = good.clone();
        let len = 4096 + json_of(good).len();
        for _ in 0..1 + next(3) {
            let at = next(len);
            let byte = b"0123456789\",{}[]:a"[next(18)];
            for copy in [0, COPY] {
                bent[copy + at] = byte;
            }
        }
        seal(&mut bent, 0);
        seal(&mut bent, COPY);
        let begun = Instant::now();
        opens(made, good, bent);
        assert!(begun.elapsed().as_secs() < 10);
    }
}
