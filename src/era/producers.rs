use super::Era;
use crate::wire::Opcode;
use crate::wire::Status;

/// What a producer does with a response (the legend of orphaned-responses.md §4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Stays connected, nothing else.
    Ignore,
    /// The engine decides to disconnect.
    Disc,
    /// The front end has no handler for it, or its log line throws: the connection is closed.
    Close,
    /// The engine throws: the connection is closed.
    Throw,
    /// Stays connected; taken as the awaited acknowledgement, whatever its status, if the opaque is a live stream's.
    Ack,
    /// Ends that stream's cache transfer and stays, if the opaque is known; else it disconnects.
    Cancel,
}

/// The statuses that the columns of a row are for; two more columns follow: any other status, and a status that the
/// release does not know.
const COLUMNS: [Status; 10] = [
    Status::SUCCESS,
    Status::KEY_ENOENT,
    Status::KEY_EEXISTS,
    Status::EINVAL,
    Status::NOT_MY_VBUCKET,
    Status::DCP_STREAM_NOT_FOUND,
    Status::OPAQUE_NO_MATCH,
    Status::ERANGE,
    Status::ENOMEM,
    Status::ETMPFAIL,
];
const ANY_OTHER: usize = 10;
const UNKNOWN: usize = 11;

/// One letter a column: i(gnore) d(isc) c(lose) t(hrow) a(ck) x (cancel).
type Row = &'static [u8; 12];

struct Table {
    own_noop: Row,
    other_noop: Row,
    rows: &'static [(&'static [Opcode], Row)],
}

const DOCUMENTS: &[Opcode] = &[Opcode::DCP_MUTATION, Opcode::DCP_DELETION, Opcode::DCP_EXPIRATION];
const SYSTEM_EVENT: &[Opcode] = &[Opcode::DCP_SYSTEM_EVENT];
const PREPARE: &[Opcode] = &[Opcode::DCP_PREPARE];
const COMPLETIONS: &[Opcode] = &[Opcode::DCP_COMMIT, Opcode::DCP_ABORT];
const STREAM_END: &[Opcode] = &[Opcode::DCP_STREAM_END];
const ACKNOWLEDGED: &[Opcode] = &[Opcode::DCP_SNAPSHOT_MARKER, Opcode::DCP_SET_VBUCKET_STATE];
const SET_UP: &[Opcode] = &[
    Opcode::DCP_OPEN,
    Opcode::DCP_ADD_STREAM,
    Opcode::DCP_CLOSE_STREAM,
    Opcode::DCP_STREAM_REQ,
    Opcode::DCP_GET_FAILOVER_LOG,
    Opcode::DCP_BUFFER_ACK,
    Opcode::DCP_CONTROL,
    Opcode::GET_ERROR_MAP,
];
const SEQNO_ACK: &[Opcode] = &[Opcode::DCP_SEQNO_ACK];
const CACHE_TRANSFER: &[Opcode] = &[Opcode::DCP_CACHE_TRANSFER];
const CACHE_TRANSFER_END: &[Opcode] = &[Opcode::DCP_CACHE_TRANSFER_END];
const PLAIN_NOOP: &[Opcode] = &[Opcode::NOOP];

const IGNORED: Row = b"iiiiiiiiiiii";
const ACK: Row = b"aaaaaaaaaaaa";
const DISC: Row = b"dddddddddddd";
const THROW: Row = b"tttttttttttt";
/// Opcodes in no row: the front end has no handler for such responses (measured for 0x64-0x66 and SET).
const NO_HANDLER: Row = b"cccccccccccc";

const V6_0: Table = Table {
    own_noop: IGNORED,
    other_noop: DISC,
    rows: &[
        (DOCUMENTS, IGNORED),
        (SYSTEM_EVENT, DISC),
        (PREPARE, DISC),
        (COMPLETIONS, DISC),
        (STREAM_END, IGNORED),
        (ACKNOWLEDGED, ACK),
        (SET_UP, DISC),
        (PLAIN_NOOP, IGNORED),
    ],
};

const V2019_07: Table = Table {
    own_noop: IGNORED,
    other_noop: DISC,
    rows: &[
        (DOCUMENTS, b"iiiiicciiiic"),
        (SYSTEM_EVENT, b"iiiiicciiiic"),
        (PREPARE, b"iiiiicciiiic"),
        (COMPLETIONS, b"iiiiicciiiic"),
        (STREAM_END, b"iiiiicciiiic"),
        (ACKNOWLEDGED, ACK),
        (SET_UP, DISC),
        (PLAIN_NOOP, IGNORED),
    ],
};

const V6_5: Table = Table {
    own_noop: IGNORED,
    other_noop: DISC,
    rows: &[
        (DOCUMENTS, b"iiiiicciiiic"),
        (SYSTEM_EVENT, b"iiiiicciiiic"),
        (PREPARE, b"ididicciiiic"),
        (COMPLETIONS, b"ididicciiiic"),
        (STREAM_END, b"iiiiicciiiic"),
        (ACKNOWLEDGED, ACK),
        (SET_UP, DISC),
        (PLAIN_NOOP, IGNORED),
    ],
};

const V6_6: Table = Table {
    own_noop: IGNORED,
    other_noop: b"diididdddddd",
    rows: &[
        (DOCUMENTS, b"iiididdddddd"),
        (SYSTEM_EVENT, b"iiididdddddd"),
        (PREPARE, b"idididdddddd"),
        (COMPLETIONS, b"idididdddddd"),
        (STREAM_END, b"iiididdddddd"),
        (ACKNOWLEDGED, ACK),
        (SET_UP, b"iiididdddddd"),
        (SEQNO_ACK, THROW),
        (PLAIN_NOOP, IGNORED),
    ],
};

const V7_0_OFF: Table = Table {
    own_noop: IGNORED,
    other_noop: b"diidiiiddddd",
    rows: &[
        (DOCUMENTS, b"iiidiiiddddd"),
        (SYSTEM_EVENT, b"iiidiiiddddd"),
        (PREPARE, b"iiidiiiddddd"),
        (COMPLETIONS, b"ididiiiddddd"),
        (STREAM_END, b"iiidiiiddddd"),
        (ACKNOWLEDGED, ACK),
        (SET_UP, b"iiidiiiddddd"),
        (SEQNO_ACK, THROW),
        (PLAIN_NOOP, IGNORED),
    ],
};

const V7_0_ON: Table = Table {
    own_noop: IGNORED,
    other_noop: b"ddddiiiddddd",
    rows: &[
        (DOCUMENTS, b"idddiiiddddd"),
        (SYSTEM_EVENT, b"idddiiiddddd"),
        (PREPARE, b"idddiiiddddd"),
        (COMPLETIONS, b"idddiiiddddd"),
        (STREAM_END, b"iiddiiiddddd"),
        (ACKNOWLEDGED, ACK),
        (SET_UP, b"idddiiiddddd"),
        (SEQNO_ACK, THROW),
        (PLAIN_NOOP, IGNORED),
    ],
};

/// What master adds to 7.0.
const MASTER_OFF: &[(&[Opcode], Row)] = &[(CACHE_TRANSFER, b"iiidiiidxddd"), (CACHE_TRANSFER_END, b"iiidiiiddddd")];
const MASTER_ON: &[(&[Opcode], Row)] = &[(CACHE_TRANSFER, b"idddiiidxddd"), (CACHE_TRANSFER_END, b"idddiiiddddd")];

/// What a producer of the era does with a response of `opcode` and `status`. `v7`: the control `v7_dcp_status_codes` was
/// accepted, which only eras from 7.0 on do. `own_noop`: for DCP_NOOP, that its opaque is that of the no-op sent.
pub fn producer_action(era: Era, v7: bool, opcode: Opcode, status: Status, own_noop: bool) -> Action {
    let row = match (opcode, own_noop) {
        (Opcode::DCP_NOOP, true) => table(era, v7).own_noop,
        (Opcode::DCP_NOOP, false) => table(era, v7).other_noop,
        _ => additions(era, v7)
            .iter()
            .chain(table(era, v7).rows)
            .find(|(opcodes, _)| opcodes.contains(&opcode))
            .map_or(NO_HANDLER, |&(_, row)| row),
    };
    match row[column(era, status)] {
        b'i' => Action::Ignore,
        b'd' => Action::Disc,
        b'a' => Action::Ack,
        b't' => Action::Throw,
        b'x' => Action::Cancel,
        _ => Action::Close,
    }
}

/// Whether releases of the era have a name for the status; what they have no name for falls in the last column.
///
/// Measured for 2019-07 and 6.5 (real-servers.md §1): 0x0a 0x0b 0x0d 0x0e 0x49 0x7f are unknown, 0x00-0x07 0x81-0x83
/// 0x86 0x88 0x8d are known. Of the others, those count as known that every 6.5 had; where it is doubtful (0xa4, 0xd4
/// and later), as unknown, because then nothing is demanded of the producer.
pub const fn knows(era: Era, status: Status) -> bool {
    match era {
        Era::V6_0 | Era::V2019_07 | Era::V6_5 => {
            matches!(status.0, 0x00..=0x09 | 0x1f..=0x25 | 0x80..=0x8d | 0xa0..=0xa3 | 0xc0..=0xd3)
        }
        Era::V6_6 | Era::V7_0 | Era::Master => status.name().is_some(),
    }
}

fn column(era: Era, status: Status) -> usize {
    let other = if knows(era, status) { ANY_OTHER } else { UNKNOWN };
    COLUMNS.iter().position(|&column| column == status).unwrap_or(other)
}

const fn table(era: Era, v7: bool) -> &'static Table {
    match (era, v7) {
        (Era::V6_0, _) => &V6_0,
        (Era::V2019_07, _) => &V2019_07,
        (Era::V6_5, _) => &V6_5,
        (Era::V6_6, _) => &V6_6,
        (Era::V7_0 | Era::Master, false) => &V7_0_OFF,
        (Era::V7_0 | Era::Master, true) => &V7_0_ON,
    }
}

const fn additions(era: Era, v7: bool) -> &'static [(&'static [Opcode], Row)] {
    match (era, v7) {
        (Era::Master, false) => MASTER_OFF,
        (Era::Master, true) => MASTER_ON,
        (Era::V6_0 | Era::V2019_07 | Era::V6_5 | Era::V6_6 | Era::V7_0, _) => &[],
    }
}
