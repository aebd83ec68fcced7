//! Section A, first half: frames that can be read.

use super::Concerns;
use super::Invariant;
use super::rule::Alike;
use super::rule::Rule;
use super::rule::Ruling;
use super::rule::Seen;
use super::rule::held;
use crate::dcp;
use crate::journal::Role;
use crate::wire::Datatype;
use crate::wire::FramingError;
use crate::wire::Opcode;

pub(super) fn add(all: &mut Vec<Box<dyn Invariant>>) {
    all.extend([
        held::<Framing>(),
        held::<FrameSize>(),
        held::<WellFormed>(),
        held::<DatatypeEnabled>(),
        held::<SnappyInflates>(),
        held::<XattrSection>(),
    ]);
}

/// A1.
#[derive(Debug, Default)]
pub(super) struct Framing;

impl Rule for Framing {
    const ID: &'static str = "a1-framing";
    const REQUIREMENT: &'static str =
        "every frame has a known magic, and framing extras, extras and key that fit its body";
    const ALIKE: Alike = Alike::Same;

    fn judge(&mut self, _: &Seen<'_>) -> Ruling {
        Ruling::Kept
    }

    fn framing_lost(&mut self, error: FramingError) -> Ruling {
        match error {
            FramingError::Magic(_) | FramingError::Lengths { .. } => broken_as(&error.to_string()),
            FramingError::TooLong(_) | FramingError::Truncated { .. } => Ruling::Silent,
        }
    }
}

/// A2.
#[derive(Debug, Default)]
pub(super) struct FrameSize;

impl Rule for FrameSize {
    const ID: &'static str = "a2-frame-size";
    const REQUIREMENT: &'static str = "no frame is larger than max_packet_size (30 MiB)";
    const EXCEPTIONS: &'static str = "a server may be configured to take larger ones";
    const ALIKE: Alike = Alike::Same;

    fn judge(&mut self, _: &Seen<'_>) -> Ruling {
        Ruling::Kept
    }

    fn framing_lost(&mut self, error: FramingError) -> Ruling {
        match error {
            FramingError::TooLong(_) => broken_as(&error.to_string()),
            FramingError::Magic(_) | FramingError::Lengths { .. } | FramingError::Truncated { .. } => Ruling::Silent,
        }
    }
}

/// What decoding found wrong, by the rule that it belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// A3.
    Form,
    /// A5.
    Snappy,
    /// A6.
    Xattr,
    /// B1 and B2.
    Key,
    /// E9.
    Prepare,
    /// F7.
    EventValue,
}

impl Fault {
    /// The fault that a message with this opcode has for this reason.
    pub(super) fn of(opcode: Opcode, reason: &str) -> Self {
        if dcp::carries_key(opcode) || opcode == Opcode::DCP_CACHE_TRANSFER {
            let begins = [
                "expected a key of ",
                "expected a key after ",
                "collection id of the key",
                "expected a collection id ",
            ];
            let holds = ["to have a key, found none", "cached item's key_len"];
            if begins.iter().any(|text| reason.starts_with(text)) || holds.iter().any(|text| reason.contains(text)) {
                return Self::Key;
            }
        }
        if opcode == Opcode::DCP_PREPARE {
            let holds = ["a durability level of", "to have a CAS above 0", "to have a by_seqno above 0"];
            if holds.iter().any(|text| reason.contains(text)) {
                return Self::Prepare;
            }
        }
        if opcode == Opcode::DCP_SYSTEM_EVENT && reason.contains(" bytes of value, found") {
            return Self::EventValue;
        }
        if reason.contains("a snappy value") || reason.contains("snappy element") || reason.contains("snappy copy") {
            Self::Snappy
        } else if reason.contains("xattr section") || reason.contains("xattr pair") {
            Self::Xattr
        } else {
            Self::Form
        }
    }
}

/// A3. What is wrong with a key is B1's and B2's, with the level, CAS or seqno of a prepare E9's, with the length of a
/// system event's value F7's.
#[derive(Debug, Default)]
pub(super) struct WellFormed;

impl Rule for WellFormed {
    const ID: &'static str = "a3-well-formed";
    const REQUIREMENT: &'static str = "extras, key, value, CAS and datatype of every request, and of the answers that a stream rests on, have the \
         form of their opcode";
    const EXCEPTIONS: &'static str = "the consumer's responses; extended metadata of up to 6.x; deletions of 6.5 that hide their stream id; what \
         belongs to A5, A6, B1, B2, E9 and F7";
    const ALIKE: Alike = Alike::Same;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        // kv_engine does not validate responses to its messages (orphaned-responses.md §5.11).
        if seen.header().is_response() && seen.sender == Role::Consumer {
            return Ruling::Silent;
        }
        // Servers since 6.5 send deletions with a stream id so (dcp-protocol.md §3, the exception of invariants.md A7).
        if seen.hides_stream_id() {
            return Ruling::Silent;
        }
        match &seen.head.message {
            Ok(_) => Ruling::Kept,
            // Old nmeta, up to 6.x (dcp-protocol.md §4.2).
            Err(reason) if reason.0.contains("an nmeta of 0") => Ruling::Silent,
            Err(reason) if Fault::of(seen.header().opcode, &reason.0) == Fault::Form => broken_as(&reason.0),
            Err(_) => Ruling::Silent,
        }
    }
}

/// A4.
#[derive(Debug, Default)]
pub(super) struct DatatypeEnabled;

impl Rule for DatatypeEnabled {
    const ID: &'static str = "a4-datatype-enabled";
    const REQUIREMENT: &'static str = "a message has only datatype bits that its receiver has enabled by HELLO";
    const EXCEPTIONS: &'static str = "connections opened with flag 0x40: what was stripped keeps its datatype";
    const CONCERNS: Concerns = Concerns::STREAM_MESSAGES;
    const ALIKE: Alike = Alike::Same;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let datatype = seen.header().datatype;
        if seen.produced().is_none() || datatype == Datatype::RAW || !datatype.is_defined() {
            return Ruling::Silent;
        }
        // The stored datatype stays on what was stripped (dcp-protocol.md §1.2).
        if seen.session.open().is_some_and(|open| open.has(dcp::Open::NO_VALUE_WITH_UNDERLYING_DATATYPE)) {
            return Ruling::Silent;
        }
        let agreed = seen.session.negotiated();
        let unagreed = (datatype.contains(Datatype::SNAPPY) && !agreed.snappy)
            || (datatype.contains(Datatype::XATTR) && !agreed.xattr);
        Ruling::of(!unagreed, || {
            let granted = match (agreed.snappy, agreed.xattr) {
                (false, false) => "json",
                (true, false) => "json and snappy",
                (false, true) => "json and xattr",
                (true, true) => "json, snappy and xattr",
            };
            (format!("no datatype bits but {granted}"), format!("{} with {datatype:?}", seen.header().opcode))
        })
    }
}

/// A5.
#[derive(Debug, Default)]
pub(super) struct SnappyInflates;

impl Rule for SnappyInflates {
    const ID: &'static str = "a5-snappy-inflates";
    const REQUIREMENT: &'static str = "a value whose datatype says Snappy inflates";
    const EXCEPTIONS: &'static str = "an empty value";
    const CONCERNS: Concerns = Concerns::STREAM_MESSAGES;
    const ALIKE: Alike = Alike::Same;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let header = seen.header();
        if seen.produced().is_none() || !header.datatype.contains(Datatype::SNAPPY) || header.value_len() == 0 {
            return Ruling::Silent;
        }
        of_value(seen, Fault::Snappy)
    }
}

/// A6.
#[derive(Debug, Default)]
pub(super) struct XattrSection;

impl Rule for XattrSection {
    const ID: &'static str = "a6-xattr-section";
    const REQUIREMENT: &'static str = "a value whose datatype says Xattr begins with a well-formed xattr section";
    const EXCEPTIONS: &'static str = "an empty value";
    const CONCERNS: Concerns = Concerns::STREAM_MESSAGES;
    const ALIKE: Alike = Alike::Same;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let header = seen.header();
        if seen.produced().is_none() || !header.datatype.contains(Datatype::XATTR) || header.value_len() == 0 {
            return Ruling::Silent;
        }
        of_value(seen, Fault::Xattr)
    }
}

fn of_value(seen: &Seen<'_>, fault: Fault) -> Ruling {
    match &seen.head.message {
        Ok(_) => Ruling::Kept,
        Err(reason) if Fault::of(seen.header().opcode, &reason.0) == fault => broken_as(&reason.0),
        Err(_) => Ruling::Silent,
    }
}

/// The errors of decoding say what was expected and what was found.
pub(super) fn broken_as(error: &str) -> Ruling {
    let error = error.strip_prefix("expected ").unwrap_or(error);
    let (expected, found) = error.split_once(", found").unwrap_or((error, " something else"));
    Ruling::broken(expected.to_owned(), found.trim_start_matches([' ', ':']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::rule::verdicts;
    use super::*;
    use crate::dcp::Feature;
    use crate::dcp::Malformed;
    use crate::dcp::Message;
    use crate::journal::Direction;
    use crate::journal::What;
    use crate::session::script::*;
    use crate::verdict::Verdict;
    use crate::wire::Magic;
    use crate::wire::Status;

    const PASS: Option<Verdict> = Some(Verdict::Pass);
    const FAIL: Option<Verdict> = Some(Verdict::Fail);

    #[test]
    fn lost_framing_is_the_senders_fault() {
        let mut script = Script::opened();
        assert_eq!(verdicts::<Framing>(&script), (PASS, PASS));
        script.say(Direction::From, What::FramingLost(FramingError::Magic(Magic(0x79))));
        assert_eq!(verdicts::<Framing>(&script), (FAIL, PASS));
        assert_eq!(verdicts::<FrameSize>(&script), (PASS, PASS));
        let mut script = Script::opened();
        script.say(Direction::To, What::FramingLost(FramingError::TooLong(1 << 40)));
        assert_eq!(verdicts::<FrameSize>(&script), (PASS, FAIL));
        assert_eq!(verdicts::<Framing>(&script), (PASS, PASS));
    }

    fn malformed(reason: &str, datatype: Datatype) -> Script {
        let mut script = Script::with(&[Feature::SNAPPY, Feature::XATTR], dcp::Open::PRODUCER, &[]);
        script.stream(1, 10, 0);
        script.p(marker(1, 10, 1, 9));
        let mut head = mutation(1, 10, 1);
        head.header.datatype = datatype;
        script.p(head.clone());
        if !reason.is_empty() {
            head.message = Err(Malformed(reason.to_owned()));
            script.p(head);
        }
        script
    }

    #[test]
    fn a_malformed_frame_breaks_the_rule_that_its_reason_belongs_to() {
        let reasons = [
            "expected DCP_MUTATION to have 31 bytes of extras, found 30",
            "expected a snappy value that inflates, found: corrupt",
            "expected an xattr section of 9 bytes, found 3 bytes of value after its length",
            "expected DCP_MUTATION to have an nmeta of 0, found 4",
            "",
        ];
        let both = Datatype::SNAPPY | Datatype::XATTR;
        for (at, reason) in reasons.iter().enumerate() {
            let script = malformed(reason, both);
            let of = |rule| if at == rule { FAIL } else { PASS };
            assert_eq!(verdicts::<WellFormed>(&script).0, of(0), "{reason}");
            assert_eq!(verdicts::<SnappyInflates>(&script).0, of(1), "{reason}");
            assert_eq!(verdicts::<XattrSection>(&script).0, of(2), "{reason}");
        }
        assert_eq!(verdicts::<SnappyInflates>(&malformed("", Datatype::JSON)).0, None);
    }

    #[test]
    fn the_consumers_error_responses_may_look_as_they_like() {
        let mut script = malformed("", Datatype::RAW);
        let mut head = plain(Opcode::DCP_MUTATION, Status::KEY_ENOENT, 10);
        head.message = Err(Malformed("expected no key, found one".to_owned()));
        script.c(head.clone());
        assert_eq!(verdicts::<WellFormed>(&script), (PASS, PASS));
        head.message = Err(Malformed("expected a failover log, found nothing".to_owned()));
        script.p(head);
        assert_eq!(verdicts::<WellFormed>(&script), (FAIL, PASS));
    }

    #[test]
    fn datatype_bits_need_their_feature() {
        for (features, flags, datatype, expected) in [
            (&[][..], 0, Datatype::JSON, PASS),
            (&[][..], 0, Datatype::SNAPPY, FAIL),
            (&[Feature::SNAPPY][..], 0, Datatype::SNAPPY, PASS),
            (&[Feature::SNAPPY_EVERYWHERE][..], 0, Datatype::SNAPPY | Datatype::JSON, PASS),
            (&[Feature::SNAPPY][..], 0, Datatype::XATTR, FAIL),
            (&[Feature::XATTR][..], 0, Datatype::XATTR, PASS),
            (&[][..], dcp::Open::NO_VALUE_WITH_UNDERLYING_DATATYPE, Datatype::SNAPPY, None),
            (&[][..], 0, Datatype::RAW, None),
        ] {
            let mut script = Script::with(features, dcp::Open::PRODUCER | flags, &[]);
            script.stream(1, 10, 0);
            let mut head = mutation(1, 10, 1);
            head.header.datatype = datatype;
            head.message = Ok(Message::Mutation(dcp::Mutation { by_seqno: 1, ..dcp::Mutation::default() }));
            script.p(head);
            assert_eq!(verdicts::<DatatypeEnabled>(&script).0, expected, "{features:?} {datatype:?}");
        }
    }
}
