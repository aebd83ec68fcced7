//! A real server's own encoding bug: frames whose header denies the framing extras that follow it.

use super::Malformed;
use super::Negotiated;
use super::malformed::malformed;
use crate::wire::Frame;
use crate::wire::Magic;
use crate::wire::Opcode;

/// Whether this is a version 2 deletion or an expiration with a stream id as 6.5.0 sends them: the 3 bytes of framing
/// extras are there and the body's length counts them, but the header says that there are none (dcp-protocol.md §3,
/// real-servers.md §4). It does not decode; frame it by its body length and forward it as it is.
pub fn is_felen0_quirk(frame: &Frame<'_>, negotiated: &Negotiated) -> bool {
    let header = frame.header();
    let shape = matches!((header.opcode, header.extras_len), (Opcode::DCP_DELETION, 21) | (Opcode::DCP_EXPIRATION, 20));
    negotiated.stream_id
        && shape
        && header.magic == Magic::FLEX_REQUEST
        && header.framing_extras_len == 0
        && frame.extras().first() == Some(&0x22)
}

/// The bytes that the server meant to send, if the frame has the quirk: [`crate::dcp::decode`] reads them. `None` too where
/// they would be no frame: those 3 bytes have no room in the body, or the key behind them is cut.
pub fn felen0_repaired(frame: &Frame<'_>, negotiated: &Negotiated) -> Option<Vec<u8>> {
    if !is_felen0_quirk(frame, negotiated) {
        return None;
    }
    let mut bytes = frame.bytes().to_vec();
    *bytes.get_mut(2)? = 3;
    Frame::new(&bytes).is_ok().then_some(bytes)
}

#[inline]
pub(super) fn refuse(frame: &Frame<'_>, negotiated: &Negotiated) -> Result<(), Malformed> {
    if is_felen0_quirk(frame, negotiated) {
        Err(malformed!(
            "expected a framing extras length of 3 in the header of {}, found 0 although 3 framing bytes follow it and \
             are counted in the body",
            frame.header().opcode
        ))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dcp::Message;

    const QUIRK: &str =
        "08580006150002100000001e000012101698e4c5a2f300002200470000000000000018000000000000000262590081000968656c6c6f";

    #[test]
    fn it_is_known_refused_and_repaired() {
        let bytes = hex::decode(QUIRK).unwrap();
        let frame = Frame::whole(&bytes).unwrap();
        let negotiated = Negotiated { collections: true, stream_id: true, ..Negotiated::default() };
        assert!(is_felen0_quirk(&frame, &negotiated));
        assert!(!is_felen0_quirk(&frame, &Negotiated { stream_id: false, ..negotiated }));
        assert!(crate::dcp::decode(&frame, &negotiated).is_err());
        let repaired = felen0_repaired(&frame, &negotiated).unwrap();
        let message = crate::dcp::decode(&Frame::whole(&repaired).unwrap(), &negotiated).unwrap();
        assert_eq!(message.by_seqno(), Some(24));
        assert!(matches!(message, Message::Deletion(_)));
    }

    #[test]
    fn what_has_no_room_for_the_framing_extras_is_not_repaired() {
        let negotiated = Negotiated { collections: true, stream_id: true, ..Negotiated::default() };
        let whole = hex::decode(QUIRK).unwrap();
        let cut = Frame::new(&whole[..whole.len() - 1]).unwrap();
        assert!(is_felen0_quirk(&cut, &negotiated) && felen0_repaired(&cut, &negotiated).is_none());
        let mut short = whole;
        short[11] = 27;
        let short = Frame::new(&short[..51]).unwrap();
        assert!(is_felen0_quirk(&short, &negotiated) && felen0_repaired(&short, &negotiated).is_none());
    }
}
