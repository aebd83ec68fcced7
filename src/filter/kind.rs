use super::field::nearest;
use crate::wire::Opcode;
use crate::wire::ServerOpcode;
use crate::wire::Status;

/// How the values of a field look, and so what it can be compared with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A number, decimal or `0x` hex.
    Number,
    /// A number that is shown with so many hex digits.
    Hex(usize),
    /// An operation, by name or number.
    Opcode,
    /// An operation of a server request, by name or number.
    ServerOpcode,
    /// A status, by name or number.
    Status,
    /// A set of json, snappy and xattr, by name or number.
    Datatype,
    /// True or false.
    Flag,
    /// Text, in quotes.
    Text,
    /// A number in some messages, text in others.
    NumberOrText,
    /// A moment: seconds since the epoch, or a date in quotes.
    Time,
    /// A time span: seconds, or with a unit.
    Duration,
    /// Microseconds.
    Micros,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list of objects: it is there or not.
    Objects,
}

/// What a field is compared with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Literal {
    Number(i128),
    Text(String),
}

/// Why a value does not fit a kind: what would, and what was meant perhaps.
pub(super) struct Misfit {
    pub(super) expected: String,
    pub(super) tip: Option<String>,
}

impl Kind {
    /// Its name, as `--fields` lists it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Hex(_) => "hex",
            Self::Opcode => "opcode",
            Self::ServerOpcode => "server opcode",
            Self::Status => "status",
            Self::Datatype => "datatype",
            Self::Flag => "flag",
            Self::Text => "text",
            Self::NumberOrText => "number or text",
            Self::Time => "time",
            Self::Duration => "duration",
            Self::Micros => "microseconds",
            Self::Word(_) => "word",
            Self::Objects => "list",
        }
    }

    /// Whether values are text: these can contain and match.
    pub(super) const fn is_text(self) -> bool {
        matches!(self, Self::Text | Self::NumberOrText)
    }

    /// Whether values have bits that can be tested.
    pub(super) const fn has_bits(self) -> bool {
        matches!(self, Self::Number | Self::Hex(_) | Self::Datatype)
    }

    /// Whether values are ordered.
    pub(super) const fn is_ordered(self) -> bool {
        !matches!(self, Self::Flag | Self::Word(_) | Self::Objects)
    }

    /// What it is compared with, for an error.
    pub(super) fn expectation(self) -> String {
        match self {
            Self::Number | Self::Hex(_) => "a number".into(),
            Self::Opcode => "an opcode such as mutation, DCP_MUTATION or 0x57".into(),
            Self::ServerOpcode => "a server opcode such as Authenticate or 0x02".into(),
            Self::Status => "a status such as key_enoent, KeyEnoent or 0x01".into(),
            Self::Datatype => "raw, json, snappy, xattr or a number".into(),
            Self::Flag => "true or false".into(),
            Self::Text => "text in quotes".into(),
            Self::NumberOrText => "a number, or text in quotes".into(),
            Self::Time => "seconds since the epoch, or a time such as \"2019-07-13 06:40:00\"".into(),
            Self::Duration => "a time span such as 0.5, 5ms or 20us".into(),
            Self::Micros => "microseconds, such as 120.5".into(),
            Self::Word(words) => words.join(", "),
            Self::Objects => "a member of the list, such as dcp.failover_log.seqno".into(),
        }
    }

    /// Reads a word without quotes (a name or a number) as a value of this kind.
    pub(super) fn word(self, word: &str) -> Result<Literal, Misfit> {
        let known: Option<i128> = match self {
            Self::Number | Self::Hex(_) | Self::NumberOrText => number(word),
            Self::Opcode => bounded(word, u8::MAX.into()).or_else(|| Some(word.parse::<Opcode>().ok()?.0.into())),
            Self::ServerOpcode => bounded(word, u8::MAX.into()).or_else(|| {
                let same = |opcode: &&ServerOpcode| opcode.name().is_some_and(|name| name.eq_ignore_ascii_case(word));
                Some(ServerOpcode::ALL.iter().find(same)?.0.into())
            }),
            Self::Status => bounded(word, u16::MAX.into()).or_else(|| Some(word.parse::<Status>().ok()?.0.into())),
            Self::Datatype => bounded(word, u8::MAX.into()).or(match word.to_ascii_lowercase().as_str() {
                "raw" => Some(0),
                "json" => Some(1),
                "snappy" => Some(2),
                "xattr" => Some(4),
                _ => None,
            }),
            Self::Flag => match word.to_ascii_lowercase().as_str() {
                "true" | "1" => Some(1),
                "false" | "0" => Some(0),
                _ => None,
            },
            Self::Time => scaled(word, 9),
            Self::Duration => span(word),
            Self::Micros => scaled(word, 3),
            Self::Word(words) => {
                let word = word.to_ascii_lowercase();
                return if words.contains(&word.as_str()) { Ok(Literal::Text(word)) } else { Err(self.misfit(&word)) };
            }
            Self::Text | Self::Objects => None,
        };
        known.map(Literal::Number).ok_or_else(|| self.misfit(word))
    }

    /// Reads text in quotes as a value of this kind.
    pub(super) fn quoted(self, text: &str) -> Result<Literal, Misfit> {
        match self {
            Self::Text | Self::NumberOrText => Ok(Literal::Text(text.to_owned())),
            Self::Time => {
                super::time::parse(text).map(|at| Literal::Number(at.into())).ok_or_else(|| self.misfit(text))
            }
            Self::Opcode | Self::ServerOpcode | Self::Status | Self::Word(_) => self.word(text),
            Self::Number
            | Self::Hex(_)
            | Self::Datatype
            | Self::Flag
            | Self::Duration
            | Self::Micros
            | Self::Objects => Err(self.misfit(text)),
        }
    }

    fn misfit(self, found: &str) -> Misfit {
        let names = |name: Option<&'static str>| name.map(str::to_owned);
        let tip = match self {
            Self::Opcode => {
                let all = Opcode::ALL.iter();
                nearest(
                    found,
                    all.filter_map(|opcode| names(opcode.short_name()))
                        .chain(Opcode::ALL.iter().filter_map(|opcode| names(opcode.name()))),
                )
                .map(|name| name.to_ascii_lowercase())
            }
            Self::ServerOpcode => nearest(found, ServerOpcode::ALL.iter().filter_map(|opcode| names(opcode.name()))),
            Self::Status => {
                nearest(&found.replace('_', ""), Status::ALL.iter().filter_map(|status| names(status.name())))
            }
            Self::Word(words) => nearest(found, words.iter().map(|word| (*word).to_owned())),
            Self::Text if !found.is_empty() => Some(format!("{found:?}")),
            Self::Number
            | Self::Hex(_)
            | Self::Datatype
            | Self::Flag
            | Self::Text
            | Self::NumberOrText
            | Self::Time
            | Self::Duration
            | Self::Micros
            | Self::Objects => None,
        };
        Misfit { expected: self.expectation(), tip }
    }
}

/// A whole number, decimal or hex, that fits 64 bits.
fn number(word: &str) -> Option<i128> {
    let (negative, digits) = word.strip_prefix('-').map_or((false, word), |digits| (true, digits));
    let magnitude = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) if hex.bytes().all(|b| b.is_ascii_hexdigit()) => u64::from_str_radix(hex, 16).ok()?,
        None if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok()?,
        _ => return None,
    };
    let magnitude = i128::from(magnitude);
    Some(if negative { -magnitude } else { magnitude })
}

fn bounded(word: &str, max: i128) -> Option<i128> {
    number(word).filter(|number| (0..=max).contains(number))
}

/// A number with decimals, times 10 to the power of `digits`.
fn scaled(word: &str, digits: u32) -> Option<i128> {
    let (whole, fraction) = word.split_once('.').unwrap_or((word, ""));
    let all_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) || fraction.len() > digits as usize {
        return None;
    }
    let whole: i128 = whole.parse::<u64>().ok()?.into();
    let fraction: i128 = format!("0{fraction:0<width$}", width = digits as usize).parse().ok()?;
    whole.checked_mul(10_i128.pow(digits))?.checked_add(fraction)
}

/// A time span in nanoseconds: seconds, or with one of the units s, ms, us and ns.
fn span(word: &str) -> Option<i128> {
    let unit = word.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(word.len());
    let (amount, unit) = word.split_at(unit);
    let digits = match unit {
        "" | "s" => 9,
        "ms" => 6,
        "us" => 3,
        "ns" => 0,
        _ => return None,
    };
    scaled(amount, digits)
}
