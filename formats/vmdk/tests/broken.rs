//! Good bytes, one thing broken: each error says what it is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::err_expect, reason = "a test fails by a panic")]

mod builder;

use builder::{Grain, Image, Plan, STREAM, deflate, noise, read};
use format_core::ErrorKind::{self, Corrupt, Limit, NeedsPerson, Unsupported};

/// Breaks a good image and expects an error of `kind` that says `words`.
fn broken(plan: &Plan, break_it: impl FnOnce(&mut Image), kind: ErrorKind, words: &str) {
    let mut image = plan.build();
    assert_eq!(read(&image.bytes).unwrap(), image.content, "the image was good before: {words}");
    break_it(&mut image);
    let error = read(&image.bytes).err().expect(words);
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.message().contains(words), "{error} does not say {words:?}");
    assert!(error.to_string().starts_with("vmdk: "), "{error}");
}

fn sparse(at: usize, value: &[u8], kind: ErrorKind, words: &str) {
    broken(&Plan::sample(0), |image| image.put(at, value), kind, words);
}

#[test]
fn header_fields() {
    sparse(0, b"XXXX", Corrupt, "no VMDK");
    sparse(4, &[4], Unsupported, "header version 4");
    sparse(4, &[0], Unsupported, "header version 0");
    sparse(10, &[4], Unsupported, "unknown incompatible bits 0x40000");
    sparse(73, b"\r\n \n", Corrupt, "text mode");
    sparse(12, &[0; 8], Corrupt, "capacity is 0");
    sparse(12, &[0xff; 8], Corrupt, "do not fit 64 bits");
    for grain in [0u64, 3, 16384, u64::MAX] {
        sparse(20, &grain.to_le_bytes(), Corrupt, "grainSize is");
    }
    for entries in [0u32, 4097, u32::MAX] {
        sparse(44, &entries.to_le_bytes(), Corrupt, "numGTEsPerGT is");
    }
    sparse(77, &[1], Unsupported, "compressAlgorithm is 1 with flags 0x7");
    broken(&Plan::stream(), |i| i.put(77, &[2]), Unsupported, "compressAlgorithm is 2 with flags 0x30007");
    broken(&Plan::stream(), |i| i.put(10, &[1]), Unsupported, "with flags 0x10007");
    broken(&Plan::sample(0), |i| i.bytes.truncate(100), Corrupt, "the header is cut off");
}

#[test]
fn places_in_the_header() {
    sparse(28, &[0; 8], Unsupported, "part of a split disk");
    sparse(512, &[0; 2048], Unsupported, "part of a split disk");
    sparse(28, &[0xff; 8], Corrupt, "the descriptor lies at sector 0xffffffffffffffff");
    sparse(28, &1000u64.to_le_bytes(), Corrupt, "the descriptor at 0x7d000 of 0x800 bytes leaves the file");
    sparse(36, &8193u64.to_le_bytes(), Limit, "the descriptor has 0x400200 bytes");
    let unredundant = Plan { flags: 5, ..Plan::sample(0) };
    let directory = |value: u64, words| {
        broken(&unredundant, |image| image.put(56, &value.to_le_bytes()), Corrupt, words);
    };
    directory(0, "names no grain directory");
    directory(u64::MAX - 1, "the grain directory lies at sector");
    directory(1 << 40, "the grain directory at 0x2000000000000");
    // 2^33 entries, while the descriptor is made to agree with the capacity.
    let huge = |image: &mut Image| {
        image.put(12, &(1u64 << 38).to_le_bytes());
        let text = "#\ncreateType=monolithicSparse\nRW 274877906944 SPARSE \"x\"\n\0";
        image.put(512, text.as_bytes());
    };
    broken(&Plan::sample(0), huge, Limit, "the grain directory has 0x200000000 entries");
}

#[test]
fn tables_and_entries() {
    let plan = Plan { flags: 5, ..Plan::sample(0) };
    let entry = |at: fn(&Image) -> usize, value: u32, words| {
        broken(&plan, |image| image.put(at(image), &value.to_le_bytes()), Corrupt, words);
    };
    entry(|i| i.directory_at, 0x8000_0000, "grain directory entry 0x0 puts a grain table at 0x10000000000");
    entry(
        |i| i.directory_at + 4,
        4,
        "grain directory entry 0x1 puts a grain table at 0x800, over the header",
    );
    entry(|i| i.tables_at[0], 0x8000_0000, "the entry of grain 0x0 points to 0x10000000000");
    entry(|i| i.tables_at[1], 2, "the entry of grain 0x4 points to 0x400, over the header");
    let last = |image: &mut Image| {
        let sector = (image.bytes.len() / 512 - 1) as u32;
        image.put(image.tables_at[0], &sector.to_le_bytes());
    };
    broken(&plan, last, Corrupt, "0x1000 bytes are needed there");
}

#[test]
fn footers() {
    let stream = Plan::stream();
    broken(&stream, |i| i.bytes.truncate(i.footer_at), Corrupt, "the stream is cut off");
    broken(&stream, |i| i.bytes.truncate(i.footer_at + 512), Corrupt, "the stream is cut off");
    broken(&stream, |i| i.put(i.footer_at - 512 + 12, &[2]), Corrupt, "the stream is cut off");
    broken(&stream, |i| i.put(i.footer_at, b"X"), Corrupt, "the stream is cut off");
    broken(&stream, |i| i.bytes.extend([1; 512]), Corrupt, "the stream is cut off");
    broken(&stream, |i| i.put(i.footer_at + 12, &[45]), Corrupt, "disagree on capacity: 0x2d and 0x2c");
    broken(&stream, |i| i.put(i.footer_at + 20, &[16]), Corrupt, "disagree on grainSize");
    broken(&stream, |i| i.put(i.footer_at + 44, &[8]), Corrupt, "disagree on numGTEsPerGT");
    broken(&stream, |i| i.put(i.footer_at + 8, &[3]), Corrupt, "disagree on flags");
    broken(&stream, |i| i.put(i.footer_at + 56, &[0xff; 8]), Corrupt, "names no grain directory");
}

#[test]
fn compressed_grains() {
    let stream = Plan::stream();
    let marker = |offset: usize, value: &'static [u8], words| {
        broken(&stream, |image| image.put(image.grains_at[3] + offset, value), Corrupt, words);
    };
    marker(0, &[0], "is for sector 0x0, the grain table says sector 0x18");
    marker(8, &[0; 4], "says 0x0 compressed bytes");
    marker(8, &[0xff; 4], "says 0xffffffff compressed bytes");
    marker(12, &[0], "zlib stream of the grain");
    marker(500, &[0xff; 8], "zlib stream of the grain");
    let swapped = |image: &mut Image| {
        let (a, b) = (image.tables_at[1], image.tables_at[1] + 4);
        let entry: [u8; 4] = image.bytes[a..a + 4].try_into().unwrap();
        image.put(b, &entry);
    };
    broken(&stream, swapped, Corrupt, "is for sector 0x20, the grain table says sector 0x28");
    // A bomb: 1 MiB of zeros in a grain of 4 KiB. And too little, in a grain that is not the last.
    let bomb = |image: &mut Image| image.replace_stream(0, &deflate(&vec![0; 1 << 20]));
    broken(&stream, bomb, Corrupt, "inflates to more than the 0x1000 bytes of a grain");
    let short = |image: &mut Image| image.replace_stream(0, &deflate(&noise(1, 1000)));
    broken(&stream, short, Corrupt, "inflates to 0x3e8 bytes, 0x1000 are needed");
    let short_last = |image: &mut Image| image.replace_stream(5, &deflate(&noise(1, 2047)));
    broken(&stream, short_last, Corrupt, "inflates to 0x7ff bytes, 0x800 are needed");
    let cut = |image: &mut Image| {
        // The last grain's entry is moved to the end of the file, where only its marker fits.
        let at = image.grains_at[5];
        let marker = image.bytes[at..at + 12].to_vec();
        let sector = (image.bytes.len() / 512) as u32;
        image.put(image.tables_at[1] + 4, &sector.to_le_bytes());
        image.bytes.extend(marker);
        image.bytes.extend([7; 30]);
    };
    broken(&Plan::sample(STREAM), cut, Corrupt, "leaves the file");
}

#[test]
fn descriptors() {
    let text = |text: &'static str, kind, words| {
        let change = |image: &mut Image| {
            image.put(512, &[0; 2048]);
            image.put(512, text.as_bytes());
        };
        broken(&Plan::sample(0), change, kind, words);
    };
    text("#\nRW 44 SPARSE \"x\"", Corrupt, "has no createType");
    text("#\ncreateType=fullDevice\nRW 44 SPARSE \"x\"", Unsupported, "is a device");
    text("#\ncreateType=monolithicSparse\n", Corrupt, "lists 0 extents");
    text(
        "#\ncreateType=monolithicSparse\nRW 22 SPARSE \"x\"\nRW 22 SPARSE \"y\"",
        Corrupt,
        "lists 2 extents",
    );
    text(
        "#\ncreateType=monolithicSparse\nRW 44 FLAT \"x\" 0",
        Unsupported,
        "extent is FLAT, the file is SPARSE",
    );
    text("#\ncreateType=monolithicSparse\nNOACCESS 44 SPARSE \"x\"", Unsupported, "are NOACCESS SPARSE");
    text("#\ncreateType=monolithicSparse\nRW 4z SPARSE \"x\"", Corrupt, "extent line is \"RW 4z SPARSE");
    text(
        "#\ncreateType=monolithicSparse\nRW 36 SPARSE \"x\"",
        Corrupt,
        "says 0x24 sectors, the extent's header 0x2c",
    );
    text(
        "#\ncreateType=monolithicSparse\nRW 45 SPARSE \"x\"",
        Corrupt,
        "says 0x2d sectors, the extent's header 0x2c",
    );
    text("#\nCID=1\nCID=2\n", Corrupt, "has CID twice");
    text("#\nparentCID=1\nPARENTCID=2\n", Corrupt, "has parentCID twice");
    text("#\nCID=xyz\n", Corrupt, "CID is \"xyz\"");
    text("#\nCID=100000000\n", Corrupt, "CID is \"100000000\"");
    for key in
        ["keyID=abc", "encryptionKeys=\"x\"", "encryption.keySafe = \"x\"", "ddb.iofilters=\"vmwarevmcrypt\""]
    {
        let mut plan = Plan::sample(0);
        plan.text = format!("{key}\n");
        let error = read(&plan.build().bytes).unwrap_err();
        assert_eq!(error.kind(), NeedsPerson, "{error}");
        assert!(error.message().contains("is encrypted"), "{error}");
    }
}

#[test]
fn parents_that_cannot_be_found() {
    let base = "#\ncreateType=monolithicSparse\nRW 44 SPARSE \"x\"\n";
    let text = |more: &[u8], kind, words| {
        let mut image = Plan::sample(0).build();
        image.put(512, &[0; 2048]);
        image.put(512, base.as_bytes());
        image.put(512 + base.len(), more);
        let error = read(&image.bytes).err().expect(words);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains(words), "{error}");
    };
    text(b"parentFileNameHint=\"b.vmdk\"\n", Corrupt, "says that there is no parent");
    text(b"ddb.uuid.parent=\"1afee561\"\n", Corrupt, "ddb.uuid.parent is \"1afee561\"");
    let two = b"ddb.uuid.parent=1afee561-b72e-4f5d-9859-f969b055d4b7\nddb.uuid.parent=2afee561-b72e-4f5d-9859-f969b055d4b7\n";
    text(two, Corrupt, "has ddb.uuid.parent twice");
    text(
        b"parentCID=1\nparentFileNameHint=\"\xff.vmdk\"\n",
        Unsupported,
        "cannot be decoded from encoding \"UTF-8\"",
    );
}

#[test]
fn descriptors_in_a_file_of_their_own() {
    let text = |text: &str, kind, words| {
        let error = read(text.as_bytes()).err().expect(words);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains(words), "{error}");
    };
    let head = "# Disk DescriptorFile\r\ncreateType=\"custom\"\r\n";
    text("# Disk DescriptorFile\n", Corrupt, "has no createType");
    text(head, Corrupt, "extents have 0 sectors");
    text("# Disk DescriptorFile\nkeyID=x\ncreateType=vmfs", NeedsPerson, "is encrypted");
    text(&format!("{head}NOACCESS 9 ZERO"), Unsupported, "NOACCESS ZERO");
    text(&format!("{head}RW 9 VSANSPARSE \"a\""), Unsupported, "RW VSANSPARSE");
    text(&format!("{head}RW 9 VMFSRDM \"a-rdm.vmdk\""), Unsupported, "VMFSRDM: a-rdm.vmdk");
    text(&format!("{head}RW 9 FLAT \"/dev/sda\" 0"), Unsupported, "FLAT: /dev/sda");
    text(&format!("{head}RW 9 FLAT 0 x"), Corrupt, "extent line is");
    let device = head.replace("custom", "vmfsRawDeviceMap");
    text(&format!("{device}RW 9 FLAT \"a\" 0"), Unsupported, "vmfsRawDeviceMap: a");
    let mut endless = head.as_bytes().to_vec();
    endless.resize(8 << 20, b'=');
    assert_eq!(read(&endless).err().unwrap().kind(), Limit);
}

#[test]
fn an_entry_outside_the_disk_is_nobodys_business() {
    // The second table has room for grains 6 and 7, which the disk has not.
    let mut image = Plan { grains: vec![Grain::Absent; 6], ..Plan::sample(0) }.build();
    image.put(image.tables_at[1] + 8, &[0xff; 8]);
    assert_eq!(read(&image.bytes).unwrap(), image.content);
}
