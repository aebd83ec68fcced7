use crate::era::Era;
use crate::fault::FaultSpec;
use crate::fault::Hex;
use crate::fault::OpaqueOf;
use crate::fault::SendSpec;
use crate::filter::Filter;
use crate::scenario::ConsumerSettings;
use crate::search::Ground;
use crate::wire::Opaque;
use crate::wire::Opcode;

/// What the tool asks of the producer in its consumer's name, beside what the consumer asks of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::search) enum Asked {
    /// The stream of a vbucket that the producer does not have: it is refused, with one answer.
    Absent,
    /// An open stream, once more: it is refused, and the stream goes on.
    Twice,
    /// A stream from its beginning, right behind the close of the open one, whose end has not come yet.
    Again {
        /// What the new stream is known by.
        opaque: Opaque,
        /// Whether the closed one is acknowledged in between, up to where the consumer is.
        acknowledged: bool,
    },
    /// The acknowledgement of a stream that was asked for again, at a seqno that it has brought.
    Acknowledged {
        /// What the stream is known by.
        opaque: Opaque,
        /// The seqno.
        seqno: u64,
    },
    /// A larger window.
    Window(u64),
}

/// The highest seqno that a stream which was asked for again is acknowledged at.
pub(in crate::search) const MOST_ACKNOWLEDGED: u64 = 64;

/// The extras of a STREAM_REQ from the beginning to no end: flags, reserved, start, end, uuid, snapshot start and end
/// (dcp-protocol.md §3.1).
const FROM_ZERO: &str = "0000000000000000\
                         0000000000000000ffffffffffffffff0000000000000000\
                         00000000000000000000000000000000";
const WINDOW: &str = "connection_buffer_size";

impl Asked {
    /// The faults that ask it; with `ids`, streams have an id each.
    pub(in crate::search) fn faults(self, ids: bool, ground: &Ground) -> Vec<FaultSpec> {
        let close = || SendSpec::of(Opcode::DCP_CLOSE_STREAM);
        let extras = |text: &str| text.parse::<Hex>().ok();
        let request = || SendSpec { extras: extras(FROM_ZERO), ..SendSpec::of(Opcode::DCP_STREAM_REQ) };
        let acknowledge = |opaque, seqno: &str| SendSpec {
            opaque: Some(opaque),
            extras: extras(seqno),
            ..SendSpec::of(Opcode::DCP_SEQNO_ACK)
        };
        let sent = match self {
            Self::Absent => {
                let value = ids.then(|| "{\"sid\":1}".to_owned());
                vec![SendSpec { vbucket: Some(ground.absent), value, ..request() }]
            }
            Self::Twice => vec![request()],
            Self::Again { opaque, acknowledged } => {
                let ack = acknowledged.then(|| acknowledge(OpaqueOf::Stream, "SEQNO"));
                let request = SendSpec { opaque: Some(OpaqueOf::Is(opaque)), ..request() };
                [Some(close()), ack, Some(request)].into_iter().flatten().collect()
            }
            Self::Acknowledged { opaque, seqno } => {
                vec![acknowledge(OpaqueOf::Is(opaque), &format!("{seqno:016x}"))]
            }
            Self::Window(bytes) => {
                let (key, value) = (Some(WINDOW.to_owned()), Some(bytes.to_string()));
                vec![SendSpec { key, value, ..SendSpec::of(Opcode::DCP_CONTROL) }]
            }
        };
        sent.into_iter().map(FaultSpec::Send).collect()
    }

    /// What these faults ask; `None` where a consumer does not ask so.
    pub(in crate::search) fn of(faults: &[FaultSpec], ids: bool, ground: &Ground) -> Option<Self> {
        let Some(FaultSpec::Send(last)) = faults.last() else { return None };
        let named = match last.opaque {
            Some(OpaqueOf::Is(opaque)) => Some(opaque),
            Some(OpaqueOf::Fresh | OpaqueOf::Stream | OpaqueOf::Frame) | None => None,
        };
        let again = |opaque| [true, false].into_iter().map(move |acknowledged| Self::Again { opaque, acknowledged });
        let acknowledged = |opaque| (1..=MOST_ACKNOWLEDGED).map(move |seqno| Self::Acknowledged { opaque, seqno });
        let window = last.value.as_ref().and_then(|value| value.parse().ok()).map(Self::Window);
        let known = [Self::Absent, Self::Twice].into_iter().chain(window);
        let mut known = known.chain(named.into_iter().flat_map(again)).chain(named.into_iter().flat_map(acknowledged));
        known.find(|asked| asked.faults(ids, ground) == faults)
    }

    /// Whether a consumer with these settings may ask it of a producer of the era.
    pub(in crate::search) fn check(self, settings: &ConsumerSettings, era: Era) -> Result<(), String> {
        let ids = settings.stream_ids == Some(true);
        let most = if era == Era::Master { u64::MAX } else { u64::from(u32::MAX) };
        let replicates = era >= Era::V6_5 && !ids && settings.sync_writes != Some(false);
        match self {
            // The id of a stream is known only when it is there.
            Self::Twice | Self::Again { .. } if ids => {
                Err("expected no request for a stream that has an id by one without".to_owned())
            }
            Self::Again { acknowledged: true, .. } | Self::Acknowledged { .. }
                if !replicates || settings.consumer_name == Some(false) =>
            {
                Err("expected acknowledgements only with sync replication (dcp-protocol.md §4.7)".to_owned())
            }
            Self::Window(_) if settings.window == Some(0) => {
                Err("expected no window where there is no flow control".to_owned())
            }
            Self::Window(bytes) if bytes <= u64::from(settings.window.unwrap_or(64 << 10)) || bytes > most => {
                Err(format!("expected a larger window of up to {most} bytes, found {bytes}"))
            }
            Self::Absent | Self::Twice | Self::Again { .. } | Self::Acknowledged { .. } | Self::Window(_) => Ok(()),
        }
    }
}

/// The trigger's filter for messages of a stream with that opaque, from a seqno on.
pub(in crate::search) fn at_seqno(opaque: Opaque, seqno: u64) -> Option<Filter> {
    format!("dcp.opaque == {opaque} && dcp.seqno >= {seqno}").parse().ok()
}
