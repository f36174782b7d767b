//! Logs that were never replayed.

use crate::maker::{BAT, Change, FIRST_BLOCK, LOG, LOG_GUID, MIB, Maker, content, log_entry, sealed_entry};
use format_core::{ErrorKind, Storage};

const SECTOR: usize = 4096;

/// Two blocks of 1 MiB whose place only a log can tell; the file has their bytes: 1s and 2s.
fn image() -> Maker {
    let mut maker = Maker::new(2 * MIB as u64, MIB as u32, 512);
    maker.append(&[1; MIB]);
    maker.append(&[2; MIB]);
    maker.open_log();
    maker
}

/// A BAT page that says that `blocks` are present, in the order of the file.
fn bat(blocks: usize) -> [u8; SECTOR] {
    let mut page = [0; SECTOR];
    for block in 0..blocks {
        let entry = (FIRST_BLOCK + block * MIB) as u64 | 6;
        page[block * 8..][..8].copy_from_slice(&entry.to_le_bytes());
    }
    page
}

/// An entry that maps `blocks` blocks.
fn maps(sequence: u64, tail: usize, blocks: usize) -> Vec<u8> {
    let size = (FIRST_BLOCK + 2 * MIB) as u64;
    log_entry(sequence, tail as u32, size, size, &[Change::Data(BAT as u64, &bat(blocks))])
}

/// The first byte of each block.
fn blocks(maker: &Maker) -> [u8; 2] {
    let bytes = content(maker.open().unwrap());
    [bytes[0], bytes[MIB]]
}

#[test]
fn the_newest_sequence_is_applied_from_its_tail() {
    let mut maker = image();
    assert_eq!(blocks(&maker), [0, 0]);
    maker.put_log(0, &maps(5, 0, 1));
    assert_eq!(blocks(&maker), [1, 0]);
    let layer = maker.open().unwrap();
    assert_eq!(layer.warnings()[0].code, "vhdx-log-replayed");
    let range = layer.host_range(0).unwrap();
    let mut first = [0];
    range.storage.read_exact_at(range.offset, &mut first).unwrap();
    assert_eq!((first, range.offset, range.len), ([1], FIRST_BLOCK as u64, MIB as u64));
    maker.put_log(2 * SECTOR, &maps(6, 0, 2));
    assert_eq!(blocks(&maker), [1, 2]);
    maker.put_log(64 * SECTOR, &maps(4, 64 * SECTOR, 0));
    assert_eq!(blocks(&maker), [1, 2], "an older sequence elsewhere is stale");
    maker.put_log(64 * SECTOR, &maps(9, 64 * SECTOR, 0));
    assert_eq!(blocks(&maker), [0, 0], "a newer one is not");
    maker.put_log(66 * SECTOR, &maps(10, 0, 2));
    assert_eq!(blocks(&maker), [1, 2], "a head whose tail is not in its sequence is no sequence");
}

#[test]
fn zeros_cover_earlier_data_and_later_data_covers_zeros() {
    let mut maker = image();
    let size = (FIRST_BLOCK + 2 * MIB) as u64;
    let ones = [0x31; SECTOR];
    let at = FIRST_BLOCK as u64;
    let page = bat(2);
    maker.put_log(
        0,
        &log_entry(
            1 << 40,
            0,
            size,
            size,
            &[
                Change::Data(BAT as u64, &page),
                Change::Data(at + 0x2000, &ones),
                Change::Zero(at, 0x10000),
                Change::Data(at + 0x4000, &ones),
            ],
        ),
    );
    let bytes = content(maker.open().unwrap());
    assert!(bytes[..0x4000].iter().all(|byte| *byte == 0));
    assert!(bytes[0x4000..0x5000].iter().all(|byte| *byte == 0x31));
    assert!(bytes[0x5000..0x10000].iter().all(|byte| *byte == 0));
    assert!(bytes[0x10000..MIB].iter().all(|byte| *byte == 1));
}

#[test]
fn a_sequence_around_the_end_of_the_log() {
    let mut maker = image();
    let tail = MIB - SECTOR;
    maker.put_log(tail, &maps(7, tail, 1));
    maker.put_log(SECTOR, &maps(8, tail, 2));
    assert_eq!(blocks(&maker), [1, 2]);
}

#[test]
fn an_entry_with_more_descriptors_than_its_first_sector_holds() {
    let mut maker = image();
    let size = (FIRST_BLOCK + 2 * MIB) as u64;
    let page = bat(2);
    let mut changes: Vec<_> =
        (0..130).map(|i| Change::Zero(FIRST_BLOCK as u64 + i * 0x1000, 0x1000)).collect();
    changes.push(Change::Data(BAT as u64, &page));
    maker.put_log(0, &log_entry(3, 0, size, size, &changes));
    let bytes = content(maker.open().unwrap());
    assert_eq!((bytes[130 * SECTOR - 1], bytes[130 * SECTOR], bytes[MIB]), (0, 1, 2));
}

#[test]
fn a_torn_entry_ends_the_sequence() {
    let good = maps(6, 0, 2);
    type Damage = (&'static str, fn(&mut Vec<u8>));
    let damages: [Damage; 8] = [
        ("a byte of the data", |e| e[5000] ^= 1),
        ("the last sector was not written", |e| e[SECTOR..].fill(0)),
        ("sequence number of the descriptor", |e| e[88] ^= 1),
        ("signature of the descriptor", |e| e[64] ^= 1),
        ("place of the descriptor", |e| e[80] ^= 1),
        ("high half of the data sector's number", |e| e[SECTOR + 4] ^= 1),
        ("low half of the data sector's number", |e| e[2 * SECTOR - 1] ^= 1),
        ("number of descriptors", |e| e[24..28].fill(0xff)),
    ];
    for (number, (what, damage)) in damages.into_iter().enumerate() {
        let mut maker = image();
        maker.put_log(0, &maps(5, 0, 1));
        let mut torn = good.clone();
        damage(&mut torn);
        maker.put_log(2 * SECTOR, &if number < 2 { torn } else { sealed_entry(torn) });
        assert_eq!(blocks(&maker), [1, 0], "{what}");
    }
    let mut other = maps(6, 0, 2);
    other[32] ^= 1;
    let mut maker = image();
    maker.put_log(0, &maps(5, 0, 1));
    maker.put_log(2 * SECTOR, &sealed_entry(other));
    assert_eq!(blocks(&maker), [1, 0], "an entry of another log");
}

#[test]
fn a_log_that_was_never_written_changes_nothing() {
    let mut maker = image();
    assert_eq!(maker.open().unwrap().warnings()[0].code, "vhdx-log-empty");
    let mut foreign = maps(5, 0, 1);
    foreign[40] ^= 1;
    maker.put_log(0, &sealed_entry(foreign));
    assert_eq!(blocks(&maker), [0, 0], "left over from an earlier log");
}

#[test]
fn entries_without_a_valid_sequence_are_an_error() {
    let mut maker = image();
    let mut broken = maps(5, 0, 1);
    broken[5000] ^= 1;
    maker.put_log(0, &broken);
    let error = maker.open_error();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains(&LOG_GUID.to_string()), "{error}");
}

#[test]
fn a_file_that_was_cut_off_is_refused() {
    let mut maker = image();
    maker.put_log(0, &maps(5, 0, 2));
    maker.bytes.pop();
    let error = maker.open_error().to_string();
    assert!(error.contains("the file was cut off"), "{error}");
}

#[test]
fn the_file_grows_to_where_it_last_ended() {
    let mut maker = image();
    maker.bytes.truncate(FIRST_BLOCK + MIB + SECTOR);
    let size = maker.bytes.len() as u64;
    let (page, last) = (bat(2), (FIRST_BLOCK + 2 * MIB) as u64);
    let threes = [3; SECTOR];
    let changes = [Change::Data(BAT as u64, &page), Change::Data(last - SECTOR as u64, &threes)];
    maker.put_log(0, &log_entry(1, 0, size, last, &changes));
    let bytes = content(maker.open().unwrap());
    assert_eq!((bytes[MIB], bytes[MIB + SECTOR], bytes[2 * MIB - 1]), (2, 0, 3));
}

#[test]
fn headers_are_read_from_the_file_and_tables_from_the_log() {
    let mut maker = image();
    let mut header = [0; SECTOR];
    header.copy_from_slice(&maker.bytes[0x20000..][..SECTOR]);
    header[66] = 9;
    // The region table in the file is damaged; the log has the good one.
    let mut table = [0; SECTOR];
    table.copy_from_slice(&maker.bytes[0x30000..][..SECTOR]);
    maker.put(0x30000, &[0; 64]);
    maker.put(0x40000, &[0; 64]);
    let (page, size) = (bat(2), (FIRST_BLOCK + 2 * MIB) as u64);
    let changes =
        [Change::Data(0x20000, &header), Change::Data(0x30000, &table), Change::Data(BAT as u64, &page)];
    maker.put_log(0, &log_entry(1, 0, size, size, &changes));
    assert_eq!(blocks(&maker), [1, 2]);
}

/// Every sector claims to start an entry as long as the log, and every checksum has to be computed.
#[test]
fn a_log_made_to_waste_time_is_refused_soon() {
    struct Hostile(Vec<u8>);
    impl Storage for Hostile {
        fn size(&self) -> u64 {
            64 << 20
        }
        fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> format_core::Result<()> {
            for (index, byte) in buf.iter_mut().enumerate() {
                let at = offset as usize + index;
                *byte = if at < LOG { self.0[at] } else { self.0[LOG + at % SECTOR] };
            }
            Ok(())
        }
    }
    let mut maker = image();
    for at in crate::maker::HEADERS {
        maker.put(at + 68, &(32u32 << 20).to_le_bytes());
    }
    maker.seal();
    let mut entry = maps(5, 0, 1);
    entry[8..12].copy_from_slice(&(32u32 << 20).to_le_bytes());
    maker.put_log(0, &entry);
    let start = std::time::Instant::now();
    let error = crate::maker::open(std::sync::Arc::new(Hostile(maker.bytes))).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
}
