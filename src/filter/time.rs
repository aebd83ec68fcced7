//! Dates, as people write them.

/// Reads `2019-07-13 06:40:00.5` (a `T` for the space, a `Z` behind it; UTC always) as nanoseconds since the epoch.
pub(super) fn parse(text: &str) -> Option<u64> {
    let text = text.strip_suffix(['Z', 'z']).unwrap_or(text);
    let (date, time) = text.split_once([' ', 'T', 't']).unwrap_or((text, "00:00:00"));
    let [year, month, day] = parts(date, '-')?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let [hour, minute, second] = parts(time, ':')?;
    let valid = (1970..=2500).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_of(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60
        && fraction.len() <= 9
        && fraction.bytes().all(|b| b.is_ascii_digit());
    if !valid {
        return None;
    }
    let nanos: u64 = format!("{fraction:0<9}").parse().ok()?;
    let days: u64 = (1970..year).map(|year| if is_leap(year) { 366 } else { 365 }).sum::<u64>()
        + (1..month).map(|month| days_of(year, month)).sum::<u64>()
        + day
        - 1;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    Some(seconds * 1_000_000_000 + nanos)
}

/// Three numbers between separators.
fn parts(text: &str, separator: char) -> Option<[u64; 3]> {
    let mut parts = text.split(separator).map(|part| {
        let digits = (1..=4).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| part.parse().ok()).flatten()
    });
    let three = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(three)
}

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

const fn days_of(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_utc() {
        assert_eq!(parse("1970-01-01"), Some(0));
        assert_eq!(parse("2019-07-13 06:40:00"), Some(1_563_000_000_000_000_000));
        assert_eq!(parse("2019-07-13T06:40:00.000000012Z"), Some(1_563_000_000_000_000_012));
        assert_eq!(parse("2000-02-29 23:59:59.5"), Some(951_868_799_500_000_000));
        for wrong in [
            "2019-02-29",
            "2019-13-01",
            "2019-07-13 24:00:00",
            "2019-07",
            "yesterday",
            "",
            "2019-07-13 6:40",
            "9999-01-01",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
