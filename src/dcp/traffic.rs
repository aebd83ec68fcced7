use crate::wire::FrameBuilder;
use crate::wire::HEADER_LEN;
use crate::wire::Header;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::ServerOpcode;
use crate::wire::Status;

/// A response without a body.
pub fn response(opcode: Opcode, status: Status, opaque: Opaque) -> FrameBuilder {
    FrameBuilder::response(opcode, status).opaque(opaque)
}

/// Whether a request with this opcode belongs to a stream and is sent by its producer: it then repeats the stream's
/// opaque and is charged to the window (dcp-protocol.md §3 and §5).
pub const fn is_stream_message(opcode: Opcode) -> bool {
    matches!(
        opcode,
        Opcode::DCP_STREAM_END
            | Opcode::DCP_SNAPSHOT_MARKER
            | Opcode::DCP_MUTATION
            | Opcode::DCP_DELETION
            | Opcode::DCP_EXPIRATION
            | Opcode::DCP_SET_VBUCKET_STATE
            | Opcode::DCP_SYSTEM_EVENT
            | Opcode::DCP_PREPARE
            | Opcode::DCP_COMMIT
            | Opcode::DCP_ABORT
            | Opcode::DCP_SEQNO_ADVANCED
            | Opcode::DCP_OSO_SNAPSHOT
            | Opcode::DCP_CACHE_TRANSFER
            | Opcode::DCP_CACHE_TRANSFER_END
    )
}

/// Whether a request with this opcode is answered when all goes well.
///
/// Data messages, BUFFER_ACK and SEQNO_ACK are answered only on failure, and so are the quiet KV commands. A snapshot
/// marker is answered only where it has the Ack flag, which [`super::Message::expects_answer`] knows.
pub const fn expects_answer(opcode: Opcode) -> bool {
    !matches!(
        opcode,
        Opcode::DCP_STREAM_END
            | Opcode::DCP_SNAPSHOT_MARKER
            | Opcode::DCP_MUTATION
            | Opcode::DCP_DELETION
            | Opcode::DCP_EXPIRATION
            | Opcode::DCP_SYSTEM_EVENT
            | Opcode::DCP_PREPARE
            | Opcode::DCP_COMMIT
            | Opcode::DCP_ABORT
            | Opcode::DCP_SEQNO_ADVANCED
            | Opcode::DCP_OSO_SNAPSHOT
            | Opcode::DCP_CACHE_TRANSFER
            | Opcode::DCP_CACHE_TRANSFER_END
            | Opcode::DCP_SEQNO_ACK
            | Opcode::DCP_BUFFER_ACK
            | Opcode::GETQ
            | Opcode::GETKQ
            | Opcode::SETQ
            | Opcode::ADDQ
            | Opcode::REPLACEQ
            | Opcode::DELETEQ
            | Opcode::INCREMENTQ
            | Opcode::DECREMENTQ
            | Opcode::QUITQ
            | Opcode::FLUSHQ
            | Opcode::APPENDQ
            | Opcode::PREPENDQ
            | Opcode::GATQ
            | Opcode::RSETQ
            | Opcode::RAPPENDQ
            | Opcode::RPREPENDQ
            | Opcode::RDELETEQ
            | Opcode::RINCRQ
            | Opcode::RDECRQ
            | Opcode::GETQ_META
            | Opcode::SETQ_WITH_META
            | Opcode::ADDQ_WITH_META
            | Opcode::DELQ_WITH_META
    )
}

/// Whether a server request with this opcode is answered: all but the change of a cluster map (dcp-protocol.md §2).
pub const fn server_expects_answer(opcode: ServerOpcode) -> bool {
    !matches!(opcode, ServerOpcode::CLUSTERMAP_CHANGE_NOTIFICATION)
}

/// Bytes that a frame is charged to the flow-control window (dcp-protocol.md §5): its length, 2 more for a PREPARE,
/// 24 for every CACHE_TRANSFER_END; 0 for responses, no-ops and everything else that is not a stream message.
pub const fn charge(header: &Header) -> u32 {
    if !header.is_request() || !is_stream_message(header.opcode) {
        return 0;
    }
    let len = header.body_len.saturating_add(HEADER_LEN as u32);
    match header.opcode {
        Opcode::DCP_PREPARE => len.saturating_add(2),
        Opcode::DCP_CACHE_TRANSFER_END => HEADER_LEN as u32,
        _ => len,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(hex_text: &str) -> Header {
        Header::parse_slice(&hex::decode(hex_text).unwrap()).unwrap()
    }

    #[test]
    fn the_charge_is_the_length_but_for_the_exceptions() {
        assert_eq!(charge(&header("805700061f0102100000002c000012101698e4c5a2f30000")), 68);
        assert_eq!(charge(&header("806000061f0002100000002a000012101698e4c5a2f30000")), 68);
        assert_eq!(charge(&header("806700000000021000000000000012100000000000000000")), 24);
        assert_eq!(charge(&header("086703000000021000000003000012100000000000000000")), 24);
        assert_eq!(charge(&header("805c00000000000000000000009896810000000000000000")), 0);
        assert_eq!(charge(&header("815700000000000100000000000012100000000000000000")), 0);
        assert_eq!(charge(&header("826000061f0002100000002a000012101698e4c5a2f30000")), 0);
        assert_eq!(charge(&header("805d00000400000000000004000000000000000000000000")), 0);
    }

    #[test]
    fn who_is_answered() {
        assert!(expects_answer(Opcode::DCP_SET_VBUCKET_STATE));
        assert!(expects_answer(Opcode::DCP_NOOP));
        assert!(expects_answer(Opcode(0x6f)));
        assert!(!expects_answer(Opcode::DCP_SEQNO_ACK));
        assert!(!expects_answer(Opcode::DCP_STREAM_END));
        assert!(!expects_answer(Opcode::SETQ));
    }

    #[test]
    fn every_uncharged_opcode_is_no_stream_message() {
        let stream: Vec<u8> = (0..=u8::MAX).filter(|&o| is_stream_message(Opcode(o))).collect();
        assert_eq!(stream, [0x55, 0x56, 0x57, 0x58, 0x59, 0x5b, 0x5f, 0x60, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67]);
    }
}
