//! What the tool remarks on the packets of its own recordings, as text that a person can read in Wireshark and that
//! [`super::Recorded`] reads back.
//!
//! A remark is one comment of a packet, on one line, and begins with `dcproxy: `. Those with members have them as
//! `name=value` words, in that order; text that may hold anything has all but letters, digits and `-_.:` as `%` and two
//! hex digits. What tells of a frame stands on the packet that the frame ends in.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use crate::dcp::Negotiated;
use crate::journal::Act;
use crate::journal::Side;
use crate::wire::FramingError;
use crate::wire::Magic;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

/// One remark of the tool on a packet of its recording.
#[derive(Clone, PartialEq, Debug)]
pub enum Remark {
    /// `connection 3 edge=upstream dialler=A upstream=B dialled=C`: whose packets these are. On the first packet that each
    /// edge of a connection has in a file.
    Connection(Identity),
    /// `terms ...`: how the live run was judged, as text of [`crate::net`]'s; beside [`Self::Connection`].
    Terms(String),
    /// `joined negotiated=collections,xattr`: the connection was open before it was recorded, and this had been agreed on;
    /// beside [`Self::Connection`].
    Joined(Negotiated),
    /// `act ...`: the tool did this, after all packets before and before what this packet ends.
    Act(Act),
    /// `paused`, `resumed`: nothing more was read from the end at this edge, or again.
    Paused(bool),
    /// `injected: WHY`: the frame, or the close, is the tool's own.
    Injected(String),
    /// `withheld: WHY`: the frame answers the tool, and went no further.
    Withheld(String),
    /// `swallowed: WHY`: the frame, or the close, went no further.
    Swallowed(String),
    /// `cut to 7 bytes: WHY`: only so many bytes of the frame went on.
    Cut(u64, String),
    /// `replaced: WHY`: the frame went on as other bytes.
    Replaced(String),
    /// `garbled error=truncated expected=107 found=30`: what is delivered to the end at this edge, from the next bytes on, is
    /// no frames to it, as the tool cut one or sent one whose lengths are not its own.
    Garbled(FramingError),
    /// `lost 3 frames, 400 bytes`: so much of this direction, before this packet, could not be recorded.
    Lost {
        /// Frames of which something is missing.
        frames: u64,
        /// Bytes.
        bytes: u64,
    },
    /// `over: HOW`: the tool let the connection go.
    Over(String),
}

/// Which connection of the tool's a recorded one is a half of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The connection's number in the live run.
    pub id: u64,
    /// The edge that was recorded.
    pub edge: Side,
    /// The end that dialled the tool.
    pub dialler: SocketAddr,
    /// The end that the tool dialled.
    pub upstream: SocketAddr,
    /// At this edge, the end that was dialled: the tool itself at the dialler's, the upstream at the upstream's.
    pub dialled: SocketAddr,
}

/// What every remark begins with.
pub(super) const MARK: &str = "dcproxy: ";

/// The name of an edge, as an interface has it and as remarks do.
pub(super) const fn edge_name(edge: Side) -> &'static str {
    match edge {
        Side::Dialler => "dialler",
        Side::Upstream => "upstream",
    }
}

/// A text as one word.
pub fn word(text: &str) -> String {
    let mut word = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte) {
            word.push(char::from(byte));
        } else {
            word.push_str(&format!("%{byte:02x}"));
        }
    }
    word
}

/// The text that [`word`] was made of.
pub fn unword(word: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        bytes.push(u8::from_str_radix(after.get(..2)?, 16).ok()?);
        rest = after.get(2..)?;
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok()
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MARK)?;
        match self {
            Self::Connection(Identity { id, edge, dialler, upstream, dialled }) => write!(
                f,
                "connection {id} edge={} dialler={dialler} upstream={upstream} dialled={dialled}",
                edge_name(*edge)
            ),
            Self::Terms(terms) => write!(f, "terms {}", one_line(terms)),
            Self::Joined(negotiated) => {
                let names = negotiated.names().collect::<Vec<_>>();
                write!(f, "joined negotiated={}", if names.is_empty() { "-".to_owned() } else { names.join(",") })
            }
            Self::Act(act) => write!(f, "act {}", Told(act)),
            Self::Paused(true) => f.write_str("paused"),
            Self::Paused(false) => f.write_str("resumed"),
            Self::Injected(why) => write!(f, "injected: {}", one_line(why)),
            Self::Withheld(why) => write!(f, "withheld: {}", one_line(why)),
            Self::Swallowed(why) => write!(f, "swallowed: {}", one_line(why)),
            Self::Cut(len, why) => write!(f, "cut to {len} bytes: {}", one_line(why)),
            Self::Replaced(why) => write!(f, "replaced: {}", one_line(why)),
            Self::Garbled(error) => {
                f.write_str("garbled error=")?;
                match error {
                    FramingError::Magic(Magic(magic)) => write!(f, "magic magic={magic}"),
                    FramingError::Lengths { parts, body } => write!(f, "lengths parts={parts} body={body}"),
                    FramingError::TooLong(len) => write!(f, "too-long len={len}"),
                    FramingError::Truncated { expected, found } => {
                        write!(f, "truncated expected={expected} found={found}")
                    }
                }
            }
            Self::Lost { frames, bytes } => write!(f, "lost {frames} frames, {bytes} bytes"),
            Self::Over(how) => write!(f, "over: {}", one_line(how)),
        }
    }
}

fn one_line(text: &str) -> String {
    text.replace(['\n', '\r', '\0'], " ")
}

/// A comment that is no remark, or one of a later version.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected a remark of dcproxy's, found another text")]
pub struct NoRemark;

impl FromStr for Remark {
    type Err = NoRemark;

    fn from_str(text: &str) -> Result<Self, NoRemark> {
        text.strip_prefix(MARK).and_then(parse).ok_or(NoRemark)
    }
}

fn parse(text: &str) -> Option<Remark> {
    if let Some((what, why)) = text.split_once(": ") {
        let why = why.to_owned();
        match what {
            "injected" => return Some(Remark::Injected(why)),
            "withheld" => return Some(Remark::Withheld(why)),
            "swallowed" => return Some(Remark::Swallowed(why)),
            "replaced" => return Some(Remark::Replaced(why)),
            "over" => return Some(Remark::Over(why)),
            _ => {}
        }
        if let Some(len) = what.strip_prefix("cut to ").and_then(|rest| rest.strip_suffix(" bytes")) {
            return Some(Remark::Cut(len.parse().ok()?, why));
        }
    }
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    match first {
        "connection" => {
            let (id, rest) = rest.split_once(' ')?;
            let mut words = Words(rest);
            let edge = match words.next("edge")? {
                "dialler" => Side::Dialler,
                "upstream" => Side::Upstream,
                _ => return None,
            };
            Some(Remark::Connection(Identity {
                id: id.parse().ok()?,
                edge,
                dialler: words.parsed("dialler")?,
                upstream: words.parsed("upstream")?,
                dialled: words.parsed("dialled")?,
            }))
        }
        "terms" => Some(Remark::Terms(rest.to_owned())),
        "joined" => Some(Remark::Joined(Words(rest).optional("negotiated")?.unwrap_or_default())),
        "act" => act(rest).map(Remark::Act),
        "garbled" => garbled(rest).map(Remark::Garbled),
        "paused" => Some(Remark::Paused(true)),
        "resumed" => Some(Remark::Paused(false)),
        "lost" => {
            let (frames, bytes) = rest.strip_suffix(" bytes")?.split_once(" frames, ")?;
            Some(Remark::Lost { frames: frames.parse().ok()?, bytes: bytes.parse().ok()? })
        }
        _ => None,
    }
}

/// An act as text.
struct Told<'a>(&'a Act);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Act::Fired { step, vbucket, stream_id, opaque, seqno, cut } => {
                let stream_id = stream_id.map_or_else(|| "-".to_owned(), |id| id.to_string());
                write!(
                    f,
                    "fired step={} vbucket={vbucket} stream_id={stream_id} opaque={opaque} seqno={seqno} cut={cut}",
                    word(step)
                )
            }
            Act::Triggered { step, stream: None } => write!(f, "triggered step={} vbucket=-", word(step)),
            Act::Triggered { step, stream: Some((vbucket, stream_id, opaque, seqno)) } => {
                let stream_id = stream_id.map_or_else(|| "-".to_owned(), |id| id.to_string());
                write!(
                    f,
                    "triggered step={} vbucket={vbucket} stream_id={stream_id} opaque={opaque} seqno={seqno}",
                    word(step)
                )
            }
            Act::Resuming { cut, opaque, start_seqno } => {
                write!(f, "resuming cut={cut} opaque={opaque} start_seqno={start_seqno}")
            }
            Act::Narrowed(Some(window)) => write!(f, "narrowed window={window}"),
            Act::Narrowed(None) => f.write_str("narrowed window=-"),
            Act::LeftOut { message, status } => write!(f, "left_out message={message} status={status}"),
            Act::Armed { course, orphans, fatal_too, messages } => {
                write!(f, "armed course={} orphans={orphans} fatal_too={fatal_too} messages=", word(course))?;
                match &messages[..] {
                    [] => f.write_str("-"),
                    messages => f.write_str(&messages.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")),
                }
            }
            Act::NeverFired { step } => write!(f, "never_fired step={}", word(step)),
            Act::Settling => f.write_str("settling"),
            Act::Settled => f.write_str("settled"),
            Act::Swallowed => f.write_str("swallowed"),
            Act::Replaced => f.write_str("replaced"),
            Act::Cut(len) => write!(f, "cut len={len}"),
        }
    }
}

fn act(text: &str) -> Option<Act> {
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    let mut words = Words(rest);
    Some(match first {
        "fired" => Act::Fired {
            step: unword(words.next("step")?)?,
            vbucket: words.parsed("vbucket")?,
            stream_id: words.optional("stream_id")?,
            opaque: opaque(words.next("opaque")?)?,
            seqno: words.parsed("seqno")?,
            cut: words.parsed("cut")?,
        },
        "triggered" => {
            let step = unword(words.next("step")?)?;
            let stream = match words.optional("vbucket")? {
                None => None,
                Some(vbucket) => {
                    let stream_id = words.optional("stream_id")?;
                    Some((vbucket, stream_id, opaque(words.next("opaque")?)?, words.parsed("seqno")?))
                }
            };
            Act::Triggered { step, stream }
        }
        "resuming" => Act::Resuming {
            cut: opaque(words.next("cut")?)?,
            opaque: opaque(words.next("opaque")?)?,
            start_seqno: words.parsed("start_seqno")?,
        },
        "narrowed" => Act::Narrowed(words.optional("window")?),
        "left_out" => {
            Act::LeftOut { message: words.parsed::<Opcode>("message")?, status: words.parsed::<Status>("status")? }
        }
        "armed" => Act::Armed {
            course: unword(words.next("course")?)?,
            orphans: words.parsed("orphans")?,
            fatal_too: words.parsed("fatal_too")?,
            messages: match words.next("messages")? {
                "-" => Vec::new(),
                messages => messages.split(',').map(|message| message.parse().ok()).collect::<Option<_>>()?,
            },
        },
        "never_fired" => Act::NeverFired { step: unword(words.next("step")?)? },
        "settling" => Act::Settling,
        "settled" => Act::Settled,
        "swallowed" => Act::Swallowed,
        "replaced" => Act::Replaced,
        "cut" => Act::Cut(words.parsed("len")?),
        _ => return None,
    })
}

fn garbled(text: &str) -> Option<FramingError> {
    let mut words = Words(text);
    Some(match words.next("error")? {
        "magic" => FramingError::Magic(Magic(words.parsed("magic")?)),
        "lengths" => FramingError::Lengths { parts: words.parsed("parts")?, body: words.parsed("body")? },
        "too-long" => FramingError::TooLong(words.parsed("len")?),
        "truncated" => FramingError::Truncated { expected: words.parsed("expected")?, found: words.parsed("found")? },
        _ => return None,
    })
}

fn opaque(text: &str) -> Option<Opaque> {
    let mut bytes = [0; 4];
    hex::decode_to_slice(text.strip_prefix("0x")?, &mut bytes).ok()?;
    Some(Opaque(bytes))
}

/// `name=value` words, each at its place.
struct Words<'a>(&'a str);

impl<'a> Words<'a> {
    fn next(&mut self, name: &str) -> Option<&'a str> {
        let (first, rest) = self.0.split_once(' ').unwrap_or((self.0, ""));
        self.0 = rest;
        first.strip_prefix(name)?.strip_prefix('=')
    }

    fn parsed<T: FromStr>(&mut self, name: &str) -> Option<T> {
        self.next(name)?.parse().ok()
    }

    fn optional<T: FromStr>(&mut self, name: &str) -> Option<Option<T>> {
        match self.next(name)? {
            "-" => Some(None),
            value => value.parse().ok().map(Some),
        }
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use super::*;

    fn all() -> Vec<(Remark, &'static str)> {
        let fired = |step: &str, stream_id| Act::Fired {
            step: step.to_owned(),
            vbucket: 3,
            stream_id,
            opaque: Opaque([0, 0, 0x12, 0xab]),
            seqno: 17,
            cut: true,
        };
        let addr = |text: &str| text.parse().unwrap();
        let identity = Identity {
            id: 3,
            edge: Side::Upstream,
            dialler: addr("127.0.0.1:40000"),
            upstream: addr("[::1]:11210"),
            dialled: addr("[::1]:11210"),
        };
        vec![
            (
                Remark::Connection(identity),
                "connection 3 edge=upstream dialler=127.0.0.1:40000 upstream=[::1]:11210 dialled=[::1]:11210",
            ),
            (Remark::Terms("seed=1 era=auto".into()), "terms seed=1 era=auto"),
            (
                Remark::Act(fired("cut it = 5%", None)),
                "act fired step=cut%20it%20%3d%205%25 vbucket=3 stream_id=- opaque=0x000012ab seqno=17 cut=true",
            ),
            (
                Remark::Act(fired("ä", Some(7))),
                "act fired step=%c3%a4 vbucket=3 stream_id=7 opaque=0x000012ab seqno=17 cut=true",
            ),
            (
                Remark::Act(Act::Resuming { cut: Opaque([1; 4]), opaque: Opaque([2; 4]), start_seqno: 9 }),
                "act resuming cut=0x01010101 opaque=0x02020202 start_seqno=9",
            ),
            (Remark::Act(Act::Narrowed(Some(1024))), "act narrowed window=1024"),
            (Remark::Act(Act::Narrowed(None)), "act narrowed window=-"),
            (
                Remark::Act(Act::LeftOut { message: Opcode::DCP_COMMIT, status: Status::KEY_ENOENT }),
                "act left_out message=DCP_COMMIT status=KeyEnoent",
            ),
            (
                Remark::Act(Act::LeftOut { message: Opcode(0x6f), status: Status(0x7e) }),
                "act left_out message=0x6f status=0x7e",
            ),
            (Remark::Act(Act::Triggered { step: "a b".into(), stream: None }), "act triggered step=a%20b vbucket=-"),
            (
                Remark::Act(Act::Triggered { step: "s".into(), stream: Some((3, Some(4), Opaque([0, 0, 0, 5]), 6)) }),
                "act triggered step=s vbucket=3 stream_id=4 opaque=0x00000005 seqno=6",
            ),
            (Remark::Act(Act::NeverFired { step: String::new() }), "act never_fired step="),
            (
                Remark::Act(Act::Armed {
                    course: "toxic a b".to_owned(),
                    orphans: true,
                    fatal_too: false,
                    messages: vec![Opcode::DCP_MUTATION, Opcode::DCP_PREPARE],
                }),
                "act armed course=toxic%20a%20b orphans=true fatal_too=false messages=DCP_MUTATION,DCP_PREPARE",
            ),
            (
                Remark::Act(Act::Armed { course: "x".to_owned(), orphans: false, fatal_too: true, messages: vec![] }),
                "act armed course=x orphans=false fatal_too=true messages=-",
            ),
            (Remark::Act(Act::Settling), "act settling"),
            (Remark::Act(Act::Settled), "act settled"),
            (Remark::Act(Act::Swallowed), "act swallowed"),
            (Remark::Act(Act::Replaced), "act replaced"),
            (Remark::Act(Act::Cut(5)), "act cut len=5"),
            (Remark::Paused(true), "paused"),
            (Remark::Paused(false), "resumed"),
            (Remark::Injected("a: b".into()), "injected: a: b"),
            (Remark::Withheld("x".into()), "withheld: x"),
            (Remark::Swallowed("x".into()), "swallowed: x"),
            (Remark::Cut(7, "x".into()), "cut to 7 bytes: x"),
            (Remark::Replaced("x".into()), "replaced: x"),
            (Remark::Garbled(FramingError::Magic(Magic(0x79))), "garbled error=magic magic=121"),
            (Remark::Garbled(FramingError::Lengths { parts: 9, body: 8 }), "garbled error=lengths parts=9 body=8"),
            (Remark::Garbled(FramingError::TooLong(1 << 40)), "garbled error=too-long len=1099511627776"),
            (
                Remark::Garbled(FramingError::Truncated { expected: 107, found: 30 }),
                "garbled error=truncated expected=107 found=30",
            ),
            (Remark::Lost { frames: 3, bytes: 400 }, "lost 3 frames, 400 bytes"),
            (Remark::Over("settled".into()), "over: settled"),
        ]
    }

    #[test]
    fn every_remark_is_read_back_from_its_text() {
        for (remark, text) in all() {
            let text = format!("dcproxy: {text}");
            assert_eq!(remark.to_string(), text);
            assert_eq!(text.parse(), Ok(remark));
        }
    }

    #[test]
    fn what_is_no_remark_is_told_apart_and_nothing_panics() {
        for text in ["", "dcproxy: ", "a note of the user's", "dcproxy: connection x", "dcproxy: act fired step=%zz"] {
            assert_eq!(text.parse::<Remark>(), Err(NoRemark), "{text}");
        }
        for (_, text) in all() {
            for end in (0..text.len()).filter(|&end| text.is_char_boundary(end)) {
                let _ = format!("dcproxy: {}", &text[..end]).parse::<Remark>();
            }
        }
        assert_eq!(Remark::Over("a\nb".into()).to_string(), "dcproxy: over: a b", "a remark is one line");
    }
}
