//! Which point in time the operator means.

use crate::{Error, Point, Result};

/// See [`Point::choose`].
pub(crate) fn choose(points: &[Point], wanted: Option<&str>) -> Result<usize> {
    let newest =
        points.len().checked_sub(1).ok_or_else(|| Error::corrupt("there is no point in time in it"))?;
    let Some(wanted) = wanted.filter(|wanted| *wanted != "latest") else { return Ok(newest) };
    if let Some(exact) = points.iter().position(|point| point.id == wanted) {
        return Ok(exact);
    }
    if let Some(number) = wanted.parse().ok().filter(|number: &usize| *number <= newest) {
        return Ok(number);
    }
    if let Some(end) = end_of_time(wanted) {
        let earlier = |point: &Point| point.time.is_some_and(|time| time <= end);
        return points
            .iter()
            .rposition(earlier)
            .ok_or_else(|| unknown(points, format!("no point in time is as old as {wanted}")));
    }
    let mut begun = points.iter().enumerate().filter(|(_, point)| point.id.starts_with(wanted));
    match (begun.next(), begun.next()) {
        (Some((index, _)), None) => Ok(index),
        (None, _) => Err(unknown(points, format!("no point in time is called {wanted:?}"))),
        (Some(_), Some(_)) => Err(unknown(points, format!("several points in time begin with {wanted:?}"))),
    }
}

fn unknown(points: &[Point], text: String) -> Error {
    let newest = points.len().saturating_sub(1);
    let ids: Vec<_> = points.iter().rev().take(5).map(|point| point.id.as_str()).collect();
    Error::usage(text).hint(format!(
        "--at takes a number from 0, the oldest, to {newest}, a time, or an id; the newest are {}",
        ids.join(", ")
    ))
}

/// The last second of a day, hour, minute or second in UTC that is written as RFC 3339 has it, from the left; `None` for
/// anything else.
fn end_of_time(text: &str) -> Option<i64> {
    let text = text.strip_suffix('Z').unwrap_or(text);
    let (date, clock) = match text.split_once(['T', ' ']) {
        Some((date, clock)) => (date, Some(clock)),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let (year, month, day) =
        (number(parts.next()?, 4)?, number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    if parts.next().is_some() || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let mut seconds = days_from_1970(year, month, day) * 86_400;
    let mut left = 86_400;
    for (part, unit, most) in clock
        .into_iter()
        .flat_map(|c| c.split(':'))
        .zip([(3600, 23), (60, 59), (1, 59)])
        .map(|(p, (u, m))| (p, u, m))
    {
        let value = number(part, 2).filter(|value| *value <= most)?;
        (seconds, left) = (seconds + value * unit, unit);
    }
    if clock.is_some_and(|clock| clock.split(':').count() > 3) {
        return None;
    }
    Some(seconds + left - 1)
}

/// See [`Point::time_of`].
pub(crate) fn time_of(text: &str) -> Option<i64> {
    let (date, rest) = (text.get(..19)?, text.get(19..)?);
    date.get(10..11).filter(|sign| matches!(*sign, "T" | "t" | " "))?;
    // All fields are there, so the last second is the only one.
    let seconds = end_of_time(&date.replace('t', "T"))?;
    let zone = match rest.strip_prefix('.') {
        Some(fraction) => fraction.trim_start_matches(|digit: char| digit.is_ascii_digit()),
        None => rest,
    };
    if matches!(zone, "" | "Z" | "z") {
        return Some(seconds);
    }
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let ahead = number(hours, 2)? * 3600 + number(minutes, 2)? * 60;
    match zone.get(..1)? {
        "+" => Some(seconds - ahead),
        "-" => Some(seconds + ahead),
        _ => None,
    }
}

fn number(text: &str, digits: usize) -> Option<i64> {
    let plain = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// Days of the proleptic Gregorian calendar.
fn days_from_1970(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March here, so that the leap day is the last of one.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points() -> Vec<Point> {
        // 2024-02-29T12:00:00Z, a day later, a year later
        [("aaa1", 1_709_208_000), ("aab2", 1_709_294_400), ("ccc3", 1_740_744_000)]
            .map(|(id, time)| Point { id: id.into(), time: Some(time), virtual_size: None, is_chosen: false })
            .to_vec()
    }

    #[test]
    fn points_are_chosen_by_number_id_and_time() {
        let points = points();
        for (wanted, expected) in [
            (None, 2),
            (Some("latest"), 2),
            (Some("0"), 0),
            (Some("1"), 1),
            (Some("aab2"), 1),
            (Some("c"), 2),
            (Some("2024-02-29"), 0),
            (Some("2024-02-29T12:00:00Z"), 0),
            (Some("2024-03-01"), 1),
            (Some("2024-03-01T11:59"), 0),
            (Some("2030-01-01 00:00"), 2),
        ] {
            assert_eq!(choose(&points, wanted).unwrap(), expected, "{wanted:?}");
        }
        for wanted in ["aa", "x", "3", "2024-02-29T11", "2024-13-01", ""] {
            assert!(choose(&points, Some(wanted)).is_err(), "{wanted:?}");
        }
        assert!(choose(&[], None).is_err());
    }

    #[test]
    fn times_of_all_zones_are_seconds() {
        for text in [
            "2024-02-29T12:00:00Z",
            "2024-02-29 12:00:00",
            "2024-02-29T12:00:00.987654321Z",
            "2024-02-29T13:30:00.5+01:30",
            "2024-02-29T04:00:00-08:00",
        ] {
            assert_eq!(time_of(text), Some(1_709_208_000), "{text}");
        }
        for text in [
            "",
            "2024-02-29",
            "2024-02-29T12:00",
            "2024-02-29T12:00:00+",
            "2024-02-29T12:00:00 Z",
            "é024-02-29T12:00:00",
        ] {
            assert_eq!(time_of(text), None, "{text}");
        }
    }
}
