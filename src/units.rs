//! Durations and sizes as people write them, on the command line and in files.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use serde::Deserializer;
use serde::Serializer;

/// Reads `2s`, `150ms`, `1.5s`, `10m`, `1h`.
///
/// # Errors
/// What was expected, and the text.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("expected a duration such as 2s or 150ms, found '{text}'");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit_ns: u32 = match &text[digits.len()..] {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => return seconds(digits, 60).ok_or_else(wrong),
        "h" => return seconds(digits, 3600).ok_or_else(wrong),
        _ => return Err(wrong()),
    };
    decimal_ns(digits, u64::from(unit_ns)).map(Duration::from_nanos).ok_or_else(wrong)
}

fn seconds(digits: &str, each: u64) -> Option<Duration> {
    decimal_ns(digits, each.checked_mul(1_000_000_000)?).map(Duration::from_nanos)
}

/// `digits` (`12` or `1.5`) times `unit` nanoseconds, exactly; what is below a nanosecond is dropped.
fn decimal_ns(digits: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !plain(whole) || !plain(fraction) || fraction.len() > 9 {
        return None;
    }
    let scale = 10u128.pow(u32::try_from(fraction.len()).ok()?);
    let part = fraction.parse::<u128>().ok()?.checked_mul(u128::from(unit))? / scale;
    whole.parse::<u64>().ok()?.checked_mul(unit)?.checked_add(u64::try_from(part).ok()?)
}

/// Reads a size in bytes: `1000`, `64KB`, `100MB`, `1.5GB` (powers of 1000) or `64KiB`, `100MiB`, `1GiB`.
///
/// # Errors
/// What was expected, and the text.
pub fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match &text[digits.len()..] {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => 0,
    };
    decimal_ns(digits, unit)
        .filter(|&size| size > 0)
        .ok_or_else(|| format!("expected a size such as 100MB or 64KiB, found '{text}'"))
}

/// A duration in the largest unit that says it in whole numbers: `2s`, `1500ms`.
pub fn duration_text(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let unit = [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)]
        .into_iter()
        .find(|(_, each)| nanos.is_multiple_of(*each));
    let (unit, each) = unit.unwrap_or(("ns", 1));
    format!("{}{unit}", nanos / each)
}

/// Serde: values that are written as text, by their `Display` and `FromStr`.
pub mod text {
    use super::*;

    /// Reads a value from its text.
    ///
    /// # Errors
    /// What its `FromStr` says.
    pub fn deserialize<'de, D: Deserializer<'de>, T: FromStr<Err: fmt::Display>>(from: D) -> Result<T, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }

    /// Writes a value as its text.
    ///
    /// # Errors
    /// What the serializer says.
    pub fn serialize<S: Serializer>(value: &impl fmt::Display, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }
}

/// Serde: values that may be missing, and are written as text where they are there.
pub mod text_option {
    use super::*;

    /// Reads a value from its text.
    ///
    /// # Errors
    /// What its `FromStr` says.
    pub fn deserialize<'de, D: Deserializer<'de>, T: FromStr<Err: fmt::Display>>(
        from: D,
    ) -> Result<Option<T>, D::Error> {
        text::deserialize(from).map(Some)
    }

    /// Writes a value as its text.
    ///
    /// # Errors
    /// What the serializer says.
    pub fn serialize<S: Serializer>(value: &Option<impl fmt::Display>, to: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => to.collect_str(value),
            None => to.serialize_none(),
        }
    }
}

/// Serde: lists of values that are written as text.
pub mod texts {
    use super::*;

    #[derive(Deserialize)]
    #[serde(bound = "T: FromStr<Err: fmt::Display>")]
    struct Text<T>(#[serde(deserialize_with = "text::deserialize")] T);

    /// Reads each value from its text.
    ///
    /// # Errors
    /// What its `FromStr` says.
    pub fn deserialize<'de, D: Deserializer<'de>, T: FromStr<Err: fmt::Display>>(from: D) -> Result<Vec<T>, D::Error> {
        Ok(Vec::<Text<T>>::deserialize(from)?.into_iter().map(|Text(value)| value).collect())
    }

    /// Writes each value as its text.
    ///
    /// # Errors
    /// What the serializer says.
    pub fn serialize<S: Serializer>(values: &[impl fmt::Display], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(values.iter().map(ToString::to_string))
    }
}

/// A span of time that files write as text: `150ms`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        duration(text).map(Self)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&duration_text(self.0))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        text::deserialize(from)
    }
}

impl serde::Serialize for Span {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        text::serialize(self, to)
    }
}

/// A number of bytes that files write as a number or as text: `100KB`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Size(pub u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl serde::de::Visitor<'_> for Either {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of bytes, or a size such as \"100KB\"")
            }

            fn visit_u64<E: serde::de::Error>(self, bytes: u64) -> Result<Size, E> {
                Ok(Size(bytes))
            }

            fn visit_i64<E: serde::de::Error>(self, bytes: i64) -> Result<Size, E> {
                u64::try_from(bytes).map(Size).map_err(|_| E::custom(format!("expected a size, found {bytes}")))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Size, E> {
                size(text).map(Size).map_err(E::custom)
            }
        }
        from.deserialize_any(Either)
    }
}

impl serde::Serialize for Size {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_they_are_read() {
        for text in ["2s", "150ms", "7us", "7ns", "1500ms"] {
            assert_eq!(duration_text(duration(text).unwrap()), text);
        }
        assert_eq!(duration_text(duration("10m").unwrap()), "600s");
    }

    #[test]
    fn durations_are_exact() {
        for (text, nanos) in [
            ("2s", 2_000_000_000),
            ("150ms", 150_000_000),
            ("1.5s", 1_500_000_000),
            ("0.1s", 100_000_000),
            ("7us", 7_000),
            ("7ns", 7),
            ("10m", 600_000_000_000),
            ("1h", 3_600_000_000_000),
            ("0s", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
        for text in [
            "",
            "2",
            "s",
            "-1s",
            "+1s",
            "1 s",
            "1.s",
            ".5s",
            "1e3s",
            "2sec",
            "99999999999999999999s",
            "20000000000s",
            "1.0000000001s",
            "2S",
            "²s",
        ] {
            assert_eq!(duration(text), Err(format!("expected a duration such as 2s or 150ms, found '{text}'")));
        }
    }

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [("1000", 1000), ("64KiB", 65_536), ("1.5GB", 1_500_000_000), ("2MB", 2_000_000)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "0", "MB", "-1", "1mb", "1 MB", "99999999999GB"] {
            assert_eq!(size(text), Err(format!("expected a size such as 100MB or 64KiB, found '{text}'")));
        }
    }
}
