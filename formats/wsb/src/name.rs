//! What names say: when a backup was made, and where a volume lay.

use crate::layout::BACKUP_PREFIX;
use uuid::Uuid;

/// What the last six bytes of a volume's name count in.
const UNIT: u64 = 64 << 10;

/// When the backup in the folder `Backup 2019-02-22 124351` was made, in seconds since 1970; `None` for another name.
pub(crate) fn time(folder: &str) -> Option<i64> {
    let [date, clock] = exactly(folder.get(BACKUP_PREFIX.len()..)?.split(' '))?;
    let [year, month, day] = exactly(date.split('-'))?;
    let (year, month, day) = (number(year, 4)?, number(month, 2)?, number(day, 2)?);
    let (hour, minute, second) =
        (number(clock.get(..2)?, 2)?, number(clock.get(2..4)?, 2)?, number(clock.get(4..)?, 2)?);
    let is_time =
        (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 61;
    is_time.then(|| days_from_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

fn exactly<'a, const N: usize>(parts: impl Iterator<Item = &'a str>) -> Option<[&'a str; N]> {
    parts.collect::<Vec<_>>().try_into().ok()
}

fn number(text: &str, digits: usize) -> Option<i64> {
    let plain = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// Days of the Gregorian calendar. Years begin in March here, so that the leap day is the last of one.
fn days_from_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Where a volume lay: Windows 8 and later name volumes of basic MBR disks by that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The disk's signature in its MBR.
    pub(crate) signature: u32,
    /// Where on the disk its partition began, in bytes.
    pub(crate) offset: u64,
}

/// What the name of a volume's image says; nothing for volumes of GPT disks and older systems, whose names are random.
pub(crate) fn origin(file: &str) -> Option<Origin> {
    let (stem, _) = file.rsplit_once('.')?;
    let id = Uuid::try_parse(stem).ok()?;
    let (signature, second, third, rest) = id.as_fields();
    let [0, 0, bytes @ ..] = *rest else { return None };
    let mut units = [0; 8];
    units.get_mut(..bytes.len())?.copy_from_slice(&bytes);
    let offset = u64::from_le_bytes(units).checked_mul(UNIT)?;
    (second == 0 && third == 0 && signature != 0 && offset != 0).then_some(Origin { signature, offset })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_say_when() {
        assert_eq!(time("Backup 2019-02-22 124351"), Some(1_550_839_431));
        assert_eq!(time("Backup 2024-02-29 000000"), Some(1_709_164_800));
        for name in [
            "Backup 2019-02-22",
            "Backup 2019-13-22 124351",
            "Backup 2019-02-22 1243",
            "Backup",
            "Backup 2019-02-22 24000é",
        ] {
            assert_eq!(time(name), None, "{name}");
        }
    }

    #[test]
    fn volumes_of_basic_mbr_disks_say_where() {
        let found = |name| origin(name).map(|Origin { signature, offset }| (signature, offset));
        assert_eq!(found("06fedb78-0000-0000-0000-100000000000.vhdx"), Some((0x06fe_db78, 1 << 20)));
        assert_eq!(found("06fedb78-0000-0000-0000-501f00000000.vhdx"), Some((0x06fe_db78, 501 << 20)));
        for name in [
            "9b9cfbc3-369e-11e9-a17c-806e6f6e6963.vhd",
            "x.vhdx",
            "00000000-0000-0000-0000-100000000000.vhdx",
        ] {
            assert_eq!(found(name), None, "{name}");
        }
        assert_eq!(
            found("06fedb78-0000-0000-0000-ffffffffffff.vhd"),
            Some((0x06fe_db78, 0xffff_ffff_ffff << 16))
        );
    }
}
