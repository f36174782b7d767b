//! Dates as FAT keeps them: from 1980 to 2107, in steps of two seconds (`fatgen103`, "Date and Time Formats").

use crate::entry::Stamp;

/// Days from 1970 to 1980 and to 2108.
const FIRST_DAY: u64 = 3652;
const LAST_DAY: u64 = 50_403;

/// `seconds` since 1970 in UTC; the nearest date that FAT has where it has not that one.
pub(crate) fn stamp_of(seconds: u64) -> Stamp {
    let day = seconds / 86_400;
    let (day, second) = match day {
        0..FIRST_DAY => (FIRST_DAY, 0),
        FIRST_DAY..LAST_DAY => (day, seconds % 86_400),
        _ => (LAST_DAY - 1, 86_399),
    };
    let (year, month, date) = civil(day);
    let time = (second / 3600) << 11 | (second / 60 % 60) << 5 | (second % 60 / 2);
    Stamp {
        date: ((year - 1980) << 9 | month << 5 | date) as u16,
        time: time as u16,
        hundredths: (second % 2 * 100) as u8,
    }
}

/// Year, month and day of the month, counted by years that begin in March: a leap day is then a year's last.
fn civil(day: u64) -> (u64, u64, u64) {
    // 0000-03-01 is 719468 days before 1970; 400 years have 146097.
    let day = day + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let (month, late) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + late, month, date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, year, month, day, time, hundredths) in [
            (0, 1980, 1, 1, (0, 0, 0), 0),
            (315_532_800, 1980, 1, 1, (0, 0, 0), 0),
            (951_827_696, 2000, 2, 29, (12, 34, 56), 0),
            (1_790_000_001, 2026, 9, 21, (14, 13, 21), 100),
            (4_354_819_198, 2107, 12, 31, (23, 59, 58), 0),
            (u64::MAX, 2107, 12, 31, (23, 59, 59), 100),
        ] {
            let stamp = stamp_of(seconds);
            let date = ((year - 1980) << 9) | (month << 5) | day;
            let (hour, minute, second): (u16, u16, u16) = time;
            let time = (hour << 11) | (minute << 5) | (second / 2);
            assert_eq!(stamp, Stamp { date, time, hundredths }, "{seconds}");
        }
    }
}
