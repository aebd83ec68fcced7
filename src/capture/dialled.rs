use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::wire::Header;
use crate::wire::Magic;
use crate::wire::Opcode;

use super::packet::Segment;

/// Ports that Couchbase's data service listens on.
const WELL_KNOWN: [u16; 3] = [11210, 11207, 11209];
/// Where the usual systems begin to number the ports of those who dial.
const FIRST_EPHEMERAL: u16 = 32768;
/// How many dialled addresses are remembered.
const KNOWN_LIMIT: usize = 4096;

/// Tells the dialled end of a connection.
#[derive(Debug, Default)]
pub(super) struct Dialled {
    known: BTreeSet<SocketAddr>,
}

impl Dialled {
    /// Whether the sender of a connection's first packet is the end that dialled. A SYN says so; without one (the
    /// capture began in the middle) it is a guess, by the surest of: requests that only a client sends, addresses that
    /// are known to have been dialled, well-known ports, ports that systems give to those who dial, what is said (a
    /// consumer dials its producer), and the lower port.
    pub(super) fn sender_is_dialler(&mut self, first: &Segment<'_>) -> bool {
        let (from, to) = (first.from.port(), first.to.port());
        let rules = [
            first.syn.then_some(first.ack.is_none()),
            from_set_up(first.payload),
            differ(self.known.contains(&first.to), self.known.contains(&first.from)),
            differ(WELL_KNOWN.contains(&to), WELL_KNOWN.contains(&from)),
            differ(to < FIRST_EPHEMERAL, from < FIRST_EPHEMERAL),
            from_data(first.payload),
        ];
        let sender_dialled = rules.into_iter().flatten().next().unwrap_or(from >= to);
        if first.syn && self.known.len() < KNOWN_LIMIT {
            self.known.insert(if sender_dialled { first.to } else { first.from });
        }
        sender_dialled
    }
}

/// What a property of the receiver, which the sender has not, says; nothing where both or none have it.
fn differ(receiver: bool, sender: bool) -> Option<bool> {
    (receiver != sender).then_some(receiver)
}

/// What is certain: these requests come only from who dialled, and their answers only from who was dialled.
fn from_set_up(payload: &[u8]) -> Option<bool> {
    let header = plausible(payload)?;
    if header.magic.is_server() {
        return Some(header.is_response() || header.magic == Magic::SERVER_RESPONSE);
    }
    let set_up = [
        Opcode::HELLO,
        Opcode::SASL_LIST_MECHS,
        Opcode::SASL_AUTH,
        Opcode::SASL_STEP,
        Opcode::SELECT_BUCKET,
        Opcode::DCP_OPEN,
        Opcode::DCP_ADD_STREAM,
    ];
    set_up.contains(&header.opcode).then_some(header.is_request())
}

/// What is likely: a consumer has dialled its producer.
fn from_data(payload: &[u8]) -> Option<bool> {
    let header = plausible(payload)?;
    let consumers = [
        Opcode::DCP_STREAM_REQ,
        Opcode::DCP_CONTROL,
        Opcode::DCP_BUFFER_ACK,
        Opcode::DCP_CLOSE_STREAM,
        Opcode::DCP_SEQNO_ACK,
    ];
    header.opcode.is_dcp().then_some(consumers.contains(&header.opcode) == header.is_request())
}

fn plausible(payload: &[u8]) -> Option<Header> {
    Header::parse_slice(payload).ok().filter(|header| header.check().is_ok())
}
