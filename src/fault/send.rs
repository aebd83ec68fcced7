use std::num::NonZeroU32;
use std::str::FromStr;

use serde::Deserialize;
use serde::Serialize;

use super::Fault;
use super::Scene;
use super::Shot;
use super::Spec;
use super::body::Body;
use super::once::once;
use super::role;
use crate::dcp;
use crate::engine::Event;
use crate::journal::Role;
use crate::units;
use crate::wire::FrameBuilder;
use crate::wire::Header;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

/// A frame of the tool's own is sent. What it is answered with goes to nobody (law L3), but expectations see it.
#[derive(Clone, PartialEq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SendSpec {
    /// What it is.
    #[serde(with = "units::text")]
    pub message: Opcode,
    /// To whom; the producer where it is not said.
    #[serde(default, with = "role", skip_serializing_if = "Option::is_none")]
    pub to: Option<Role>,
    /// Of a response: its status. Without it, it is a request.
    #[serde(default, with = "units::text_option", skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// `fresh` (the default of requests: one that nobody has used), `stream` (that of the stream that the step fired at; the
    /// default of responses), `frame` (that of the frame that it fired at) or four bytes as `0x0000000a`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opaque: Option<OpaqueOf>,
    /// The vbucket; that of the stream that the step fired at, or 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vbucket: Option<u16>,
    /// The stream id in its framing extras.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_id: Option<u16>,
    /// The CAS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cas: Option<u64>,
    /// The extras in hex digits; `SEQNO` stands for the seqno that the consumer has got of the stream, in 8 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extras: Option<Hex>,
    /// The key, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The value, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// A made-up value of so many bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_size: Option<units::Size>,
    /// How often; once where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<NonZeroU32>,
}

/// Which opaque a frame of the tool's gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpaqueOf {
    /// One that nobody has used.
    Fresh,
    /// That of the stream.
    Stream,
    /// That of the frame at which the step fired.
    Frame,
    /// This one.
    Is(Opaque),
}

/// Hex digits, with `SEQNO` for eight bytes that are known when the step fires.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hex(String);

impl Hex {
    fn bytes(&self, seqno: u64) -> Vec<u8> {
        hex::decode(self.0.replace("SEQNO", &format!("{seqno:016x}"))).unwrap_or_default()
    }
}

impl FromStr for Hex {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text: String = text.split_whitespace().collect();
        match hex::decode(text.replace("SEQNO", "0000000000000000")) {
            Ok(_) => Ok(Self(text)),
            Err(_) => Err(format!("expected pairs of hex digits or SEQNO, found '{text}'")),
        }
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        units::text::deserialize(from)
    }
}

impl Serialize for Hex {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for OpaqueOf {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let four = || {
            let mut bytes = [0; 4];
            hex::decode_to_slice(text.strip_prefix("0x")?, &mut bytes).ok()?;
            Some(Self::Is(Opaque(bytes)))
        };
        match text.as_str() {
            "fresh" => Ok(Self::Fresh),
            "stream" => Ok(Self::Stream),
            "frame" => Ok(Self::Frame),
            _ => four().ok_or_else(|| {
                serde::de::Error::custom(format!(
                    "expected fresh, stream, frame or 0x and 8 hex digits, found '{text}'"
                ))
            }),
        }
    }
}

impl Serialize for OpaqueOf {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Fresh => to.serialize_str("fresh"),
            Self::Stream => to.serialize_str("stream"),
            Self::Frame => to.serialize_str("frame"),
            Self::Is(opaque) => to.collect_str(opaque),
        }
    }
}

impl Spec for SendSpec {
    fn fire(&self, shot: &Shot, _: &mut Scene<'_>) -> Option<Box<dyn Fault>> {
        let default = if self.status.is_some() { OpaqueOf::Stream } else { OpaqueOf::Fresh };
        let opaque = self.opaque.unwrap_or(default);
        if shot.struck.is_none() && opaque == OpaqueOf::Stream {
            return None;
        }
        let (spec, struck) = (self.clone(), shot.struck.clone());
        Some(once(move |event, scene| {
            for _ in 0..spec.times.map_or(1, NonZeroU32::get) {
                let opaque = match (opaque, &struck, event) {
                    (OpaqueOf::Is(opaque), ..) => opaque,
                    (OpaqueOf::Stream, Some(struck), _) => struck.opaque,
                    (OpaqueOf::Frame, _, Event::Frame { head, .. }) => head.header.opaque,
                    _ => scene.tools.opaque(),
                };
                let seqno = struck.as_ref().map_or(0, |struck| struck.seqno);
                let vbucket = spec.vbucket.or(struck.as_ref().map(|struck| struck.key.vbucket)).unwrap_or_default();
                let frame = spec.frame(opaque, vbucket, seqno).build();
                if spec.message == Opcode::DCP_STREAM_REQ && spec.status.is_none() {
                    // What comes of a stream that the consumer has not asked for is for nobody.
                    scene.tools.keep_from_consumer(opaque);
                }
                match spec.to {
                    Some(Role::Consumer) => {
                        let charge = Header::parse_slice(&frame).map_or(0, |header| dcp::charge(&header));
                        scene.will_be_acknowledged(charge);
                        scene.to_consumer(frame);
                    }
                    Some(Role::Producer) | None => scene.to_producer(frame),
                }
            }
        }))
    }
}

impl SendSpec {
    /// A request of that kind, as it is where nothing else is said.
    pub const fn of(message: Opcode) -> Self {
        Self {
            message,
            to: None,
            status: None,
            opaque: None,
            vbucket: None,
            stream_id: None,
            cas: None,
            extras: None,
            key: None,
            value: None,
            value_size: None,
            times: None,
        }
    }

    fn frame(&self, opaque: Opaque, vbucket: u16, seqno: u64) -> FrameBuilder {
        let mut frame = match self.status {
            Some(status) => FrameBuilder::response(self.message, status),
            None => FrameBuilder::request(self.message).vbucket(vbucket),
        };
        frame = frame.opaque(opaque).stream_id(self.stream_id);
        if let Some(cas) = self.cas {
            frame = frame.cas(cas);
        }
        if let Some(extras) = &self.extras {
            frame = frame.extras(extras.bytes(seqno));
        }
        if let Some(key) = &self.key {
            frame = frame.key(key.as_bytes());
        }
        match Body::of(self.value.as_deref(), self.value_size) {
            Body::None => frame,
            body @ (Body::Text(_) | Body::ClusterMap(_)) => frame.value(body.bytes()),
        }
    }
}
